import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import structlog

from adapter.accounts.service import Accounts
from adapter.errors import (
    AccountBlocked,
    AccountNotFound,
    AdapterError,
    Conflict,
    Forbidden,
    InvalidBody,
    InvalidCredential,
    KeyLost,
    NeedsReauth,
    RemoteForbidden,
    RemoteUnauthorized,
    UpstreamNonsense,
    UpstreamUnreachable,
    WrongAccount,
)
from adapter.models import ErrorNote, IntegratedAccount, ProviderIdentity, Secret
from adapter.storage.database import Database
from adapter.storage.tables import METADATA
from tests.accounts.fakes import ACME, API, OTHER, FakeProvider, House, Key, holder
from tests.storage.samples import NOW

OLD, NEW = "fake-old-key-" + "o" * 32, "fake-new-key-" + "n" * 32


async def connect(house: House, key: str = "fake-ann", tenant: str = "acme", **extra: Any) -> IntegratedAccount:
    return await house.accounts.connect_api_key(tenant_id=tenant, api_key=Secret(key), **extra)


# Connecting


async def test_connecting_records_whose_key_it_is_and_what_it_may_do(house: House) -> None:
    account = await connect(house, context={"plan": "gold"})

    assert account.identity == ProviderIdentity(id="ann", email="ann@example.com")
    assert (account.tenant_id, account.status, account.authentication_method) == ("acme", "active", "api_key")
    assert account.scopes == ("global",)
    assert account.missing_scopes == {}
    assert account.context == {"plan": "gold"}
    assert await house.accounts.get(account.id) == account


_TEAMS = ("global", "read", "read-protected", "write", "write-protected")


@pytest.mark.parametrize(
    ("key", "identity", "missing"),
    [
        ("fake-ann", "ann", {}),
        ("fake-identity", "ann", {"teams": _TEAMS, "team_members": ("global",)}),
        ("fake-read", None, {"account": ("global", "identity"), "team_members": ("global",)}),
        ("fake-write-protected", None, {"account": ("global", "identity"), "team_members": ("global",)}),
    ],
)
async def test_a_narrower_key_connects_and_names_the_units_that_will_be_missing(
    house: House, key: str, identity: str | None, missing: dict[str, tuple[str, ...]]
) -> None:
    account = await connect(house, key)

    assert account.status == "active"
    assert (account.identity.id if account.identity else None) == identity
    assert account.missing_scopes == missing


async def test_where_no_scopes_are_told_none_are_called_missing(house: House, provider: FakeProvider) -> None:
    provider.broken = httpx.Response(200, json={"id": "ann"})

    account = await connect(house)

    assert (account.scopes, account.missing_scopes) == ((), {})


REFUSALS: dict[str, tuple[str, Any, type[AdapterError]]] = {
    "a wrong key": ("fake-nobody", None, InvalidCredential),
    "a suspended owner": ("fake-suspended", None, RemoteForbidden),
    "a dead provider": ("fake-ann", httpx.ConnectError("refused"), UpstreamUnreachable),
    "truncated JSON": ("fake-ann", httpx.Response(200, content=b'{"id": "an'), UpstreamNonsense),
    "an answer without an id": ("fake-ann", httpx.Response(200, json={"email": "x"}), UpstreamNonsense),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_nothing_is_kept_of_a_key_that_did_not_prove_good(
    house: House, provider: FakeProvider, case: str
) -> None:
    key, provider.broken, error = REFUSALS[case]

    with pytest.raises(error) as caught:
        await connect(house, key)

    assert await house.accounts.list() == []
    assert key not in str(caught.value)


async def test_a_refused_key_is_a_422_in_the_provider_s_words(house: House) -> None:
    with pytest.raises(InvalidCredential) as caught:
        await connect(house, "fake-nobody")

    assert caught.value.status == 422
    assert caught.value.extra()["truto_is_remote_error"] is True
    assert caught.value.extra()["raw_response"]["message"] == "Invalid credentials provided."


async def test_connecting_again_renews_the_account_and_keeps_its_id(house: House) -> None:
    first = await connect(house, context={"a": 1})
    again = await connect(house, "fake-ann-2")

    assert (again.id, again.context) == (first.id, {"a": 1})
    client = await house.accounts.open(first.id)
    await client.send("GET", "/teams")
    assert house.provider.seen[-1] == ("/teams", "fake-ann-2")


async def test_tenants_have_their_own_accounts_of_one_provider_account(house: House) -> None:
    ours, theirs = await connect(house), await connect(house, tenant="other")

    assert ours.id != theirs.id


async def test_two_who_connect_the_same_at_once_end_with_one_account(house: House, provider: FakeProvider) -> None:
    provider.gate.clear()
    both = [asyncio.create_task(connect(house, key)) for key in ("fake-ann", "fake-ann-2")]
    for _ in both:
        await provider.arrivals.acquire()
    provider.gate.set()

    first, second = await asyncio.gather(*both)

    assert first.id == second.id
    assert [account.id for account in await house.accounts.list()] == [first.id]


def _nested(levels: int) -> Any:
    return [_nested(levels - 1)] if levels else 1


BODIES: dict[str, tuple[dict[str, Any], str]] = {
    "no tenant": ({"tenant_id": ""}, "tenant_id"),
    "a long tenant": ({"tenant_id": "x" * 257}, "tenant_id"),
    "a nul in the tenant": ({"tenant_id": "a\0b"}, "tenant_id"),
    "a line break in the tenant": ({"tenant_id": "a\nb"}, "tenant_id"),
    "no key": ({"api_key": Secret("  ")}, "context.api_key"),
    "a key of two lines": ({"api_key": Secret("fake\r\nhost: evil")}, "context.api_key"),
    "a key beyond ASCII": ({"api_key": Secret("fäke")}, "context.api_key"),
    "a key with a blank": ({"api_key": Secret("fake key")}, "context.api_key"),
    "a long key": ({"api_key": Secret("x" * 5000)}, "context.api_key"),
    "a credential in the context": ({"context": {"Access_Token": "hunter2"}}, "context.Access_Token"),
    "a deep context": ({"context": {"a": _nested(40)}}, "context"),
    "a large context": ({"context": {"a": "x" * 20_000}}, "context"),
}


@pytest.mark.parametrize("case", BODIES)
async def test_what_can_t_be_kept_is_refused_before_anything_is_sent(house: House, case: str) -> None:
    change, where = BODIES[case]
    arguments: dict[str, Any] = {"tenant_id": "acme", "api_key": Secret("fake-ann")} | change

    with pytest.raises(InvalidBody) as caught:
        await house.accounts.connect_api_key(**arguments)

    assert [detail["where"] for detail in caught.value.details] == [where]
    assert caught.value.details[0]["expected"]
    assert "hunter2" not in str(caught.value)
    assert house.provider.seen == []


async def test_blanks_around_a_key_are_a_clipboard_s(house: House) -> None:
    await connect(house, " fake-ann\n")

    assert house.provider.seen == [("/account", "fake-ann")]


# Who sees what


async def test_another_tenant_s_account_does_not_exist(house: House) -> None:
    account = await connect(house)
    asks: list[Callable[[], Awaitable[object]]] = [
        lambda: house.accounts.get(account.id, OTHER),
        lambda: house.accounts.open(account.id, OTHER),
        lambda: house.accounts.patch(account.id, is_blocked=True, caller=OTHER),
        lambda: house.accounts.replace_credentials(account.id, Secret("fake-ann"), OTHER),
        lambda: house.accounts.refresh_credentials(account.id, OTHER),
        lambda: house.accounts.remove(account.id, OTHER),
    ]

    for ask in asks:
        with pytest.raises(AccountNotFound):
            await ask()
    assert await house.accounts.get(account.id, ACME) == account


async def test_an_account_token_opens_its_account_and_changes_nothing(house: House) -> None:
    account = await connect(house)
    mine, foreign = holder(account.id), holder("another")

    assert await house.accounts.get(account.id, mine) == account
    await house.accounts.open(account.id, mine)
    with pytest.raises(WrongAccount):
        await house.accounts.open(account.id, foreign)
    changes: list[Callable[[], Awaitable[object]]] = [
        lambda: house.accounts.list(mine),
        lambda: house.accounts.patch(account.id, is_blocked=True, caller=mine),
        lambda: house.accounts.replace_credentials(account.id, Secret("fake-ann"), mine),
        lambda: house.accounts.refresh_credentials(account.id, mine),
        lambda: house.accounts.remove(account.id, mine),
        lambda: connect(house, caller=mine),
    ]
    for change in changes:
        with pytest.raises(Forbidden):
            await change()


async def test_a_bound_token_connects_for_its_own_tenant_only(house: House) -> None:
    await connect(house, caller=ACME)

    with pytest.raises(Forbidden):
        await connect(house, caller=OTHER)


async def test_lists_hold_what_the_caller_may_see(house: House) -> None:
    ours, theirs = await connect(house), await connect(house, tenant="other")

    async def ids(*args: Any, **filters: Any) -> set[str]:
        return {account.id for account in await house.accounts.list(*args, **filters)}

    assert await ids() == await ids(API) == {ours.id, theirs.id}
    assert await ids(ACME) == await ids(ACME, tenant_id="acme") == {ours.id}
    assert await ids(ACME, tenant_id="other") == set()
    assert await ids(API, tenant_id="other") == {theirs.id}
    assert await ids(API, status="needs_reauth") == set()


# Changing


async def test_a_patch_merges_into_the_context(house: House) -> None:
    account = await connect(house, context={"a": 1, "b": 2})

    patched = await house.accounts.patch(account.id, context={"b": None, "c": {"d": None}})

    assert patched.context == {"a": 1, "c": {"d": None}}
    assert await house.accounts.patch(account.id) == patched


async def test_a_credential_does_not_get_into_the_context_by_a_patch(house: House) -> None:
    account = await connect(house)

    with pytest.raises(InvalidBody, match="credentials"):
        await house.accounts.patch(account.id, context={"api_key": "fake"})


async def test_blocking_acts_at_once_and_unblocking_too(house: House) -> None:
    account = await connect(house)
    await house.accounts.open(account.id)

    await house.accounts.patch(account.id, is_blocked=True)
    with pytest.raises(AccountBlocked):
        await house.accounts.open(account.id)
    await house.accounts.patch(account.id, is_blocked=False)
    await house.accounts.open(account.id)


async def test_blocking_and_unblocking_act_within_five_seconds_elsewhere(house: House, second_house: House) -> None:
    account = await connect(house)
    client = await second_house.accounts.open(account.id)
    await client.send("GET", "/teams")

    def asks() -> list[Awaitable[object]]:
        # Whoever was let in before has a client already.
        return [second_house.accounts.open(account.id), client.send("GET", "/teams")]

    for blocked in (True, False):
        await house.accounts.patch(account.id, is_blocked=blocked)
        await _within_five_seconds(asks, AccountBlocked if blocked else None)


async def _within_five_seconds(asks: Callable[[], list[Awaitable[object]]], error: type[AdapterError] | None) -> None:
    """Until every one of them ends with the error, or without any."""
    ended: list[object] = []
    async with asyncio.timeout(5):
        for _ in range(1000):
            ended = await asyncio.gather(*asks(), return_exceptions=True)
            if all(isinstance(end, error) if error else not isinstance(end, BaseException) for end in ended):
                return
            await asyncio.sleep(0.05)
    raise AssertionError(ended)


@pytest.mark.parametrize("key", ["fake-read", "fake-identity"])
async def test_a_better_key_ends_the_memory_of_a_403(house: House, key: str) -> None:
    account = await connect(house, key)
    await house.store.update(account.id, last_forbidden_error=ErrorNote(code="forbidden", message="no", at=NOW))

    better = await house.accounts.replace_credentials(account.id, Secret("fake-ann"))

    assert better.last_forbidden_error is None


async def test_a_kept_credential_that_opens_another_account_is_used_no_more(
    house: House, provider: FakeProvider
) -> None:
    account = await connect(house)
    provider.keys["fake-ann"] = Key(owner="bob")

    with pytest.raises(Conflict):
        await house.accounts.refresh_credentials(account.id)

    marked = await house.accounts.get(account.id)
    assert (marked.status, marked.identity) == ("validation_error", account.identity)
    assert marked.last_error is not None
    assert marked.last_error.code == "conflict"
    with pytest.raises(NeedsReauth, match="validation_error"):
        await house.accounts.open(account.id)
    again = await house.accounts.replace_credentials(account.id, Secret("fake-ann-2"))
    assert (again.status, again.last_error) == ("active", None)


async def test_a_credential_that_can_no_longer_show_its_owner_keeps_them(house: House, provider: FakeProvider) -> None:
    account = await connect(house)
    provider.keys["fake-ann"] = Key(owner="ann", scopes="read")

    refreshed = await house.accounts.refresh_credentials(account.id)

    assert (refreshed.status, refreshed.identity, refreshed.scopes) == ("active", account.identity, ("read",))


async def test_a_new_key_of_the_same_person_is_used_at_once(house: House) -> None:
    account = await connect(house)
    await (await house.accounts.open(account.id)).send("GET", "/teams")

    await house.accounts.replace_credentials(account.id, Secret("fake-ann-2"))
    await (await house.accounts.open(account.id)).send("GET", "/teams")

    assert house.provider.seen[-1] == ("/teams", "fake-ann-2")


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        ("fake-ann", "fake-bob", Conflict),
        ("fake-ann", "fake-read", Conflict),  # whose it is can't be shown
        ("fake-ann", "fake-nobody", InvalidCredential),
    ],
)
async def test_a_key_that_is_not_the_same_person_s_changes_nothing(
    house: House, before: str, after: str, outcome: type[AdapterError]
) -> None:
    account = await connect(house, before)

    with pytest.raises(outcome):
        await house.accounts.replace_credentials(account.id, Secret(after))

    assert await house.accounts.get(account.id) == account
    await (await house.accounts.open(account.id)).send("GET", "/teams")
    assert house.provider.seen[-1] == ("/teams", before)


async def test_an_account_without_a_known_owner_learns_it_from_a_better_key(house: House) -> None:
    account = await connect(house, "fake-read")

    better = await house.accounts.replace_credentials(account.id, Secret("fake-ann"))

    assert better.identity is not None
    assert better.identity.id == "ann"
    assert better.missing_scopes == {}


async def test_an_owner_that_the_tenant_has_already_is_a_conflict(house: House) -> None:
    await connect(house)
    unknown = await connect(house, "fake-read")

    with pytest.raises(Conflict):
        await house.accounts.replace_credentials(unknown.id, Secret("fake-ann-2"))


async def test_removing_tells_what_went(house: House) -> None:
    account = await connect(house)
    await house.tokens.create_account(account.id)

    removed = await house.accounts.remove(account.id)

    assert (removed.id, removed.deleted["credentials"], removed.deleted["tokens"]) == (account.id, 1, 1)
    assert (removed.revoked_at_provider, removed.reason and "API token" in removed.reason) == (None, True)

    for gone in (house.accounts.get, house.accounts.open, house.accounts.remove):
        with pytest.raises(AccountNotFound):
            await gone(account.id)


# Opening, and what the provider says later


async def test_connections_to_one_provider_account_share_its_budget(house: House) -> None:
    ours, theirs = await connect(house), await connect(house, tenant="other")

    first, second = await house.accounts.open(ours.id), await house.accounts.open(theirs.id)

    assert first.account_key == second.account_key == "ann"
    assert first.budget is second.budget


async def test_an_account_of_unknown_owner_has_a_budget_of_its_own(house: House) -> None:
    account = await connect(house, "fake-read")

    assert (await house.accounts.open(account.id)).account_key == f"account:{account.id}"


async def test_a_final_401_asks_for_a_new_credential(house: House, provider: FakeProvider) -> None:
    account = await connect(house)
    client = await house.accounts.open(account.id)
    del provider.keys["fake-ann"]

    with pytest.raises(RemoteUnauthorized):
        await client.send("GET", "/teams")

    marked = await house.accounts.get(account.id)
    assert marked.status == "needs_reauth"
    assert marked.last_error is not None
    assert marked.last_error.code == "needs_reauth"
    with pytest.raises(NeedsReauth, match="credentials"):
        await house.accounts.open(account.id)


async def test_reconnecting_makes_the_account_active_again(house: House, provider: FakeProvider) -> None:
    account = await connect(house)
    del provider.keys["fake-ann"]
    with pytest.raises(NeedsReauth):
        await house.accounts.refresh_credentials(account.id)
    assert (await house.accounts.get(account.id)).status == "needs_reauth"

    again = await connect(house, "fake-ann-2")

    assert (again.id, again.status, again.last_error) == (account.id, "active", None)
    await house.accounts.open(account.id)


async def test_a_key_replaced_elsewhere_is_taken_up_when_the_old_one_is_refused(
    house: House, second_house: House, provider: FakeProvider
) -> None:
    account = await connect(house)
    client = await house.accounts.open(account.id)
    await client.send("GET", "/teams")
    await second_house.accounts.replace_credentials(account.id, Secret("fake-ann-2"))
    del provider.keys["fake-ann"]

    reply = await client.send("GET", "/teams")

    assert reply.status == 200
    assert (await second_house.accounts.get(account.id)).status == "active"


async def test_a_refreshed_account_tells_what_its_key_may_do_now(house: House, provider: FakeProvider) -> None:
    account = await connect(house)
    provider.keys["fake-ann"] = Key(owner="ann", scopes="identity")

    refreshed = await house.accounts.refresh_credentials(account.id)

    assert refreshed.scopes == ("identity",)
    assert set(refreshed.missing_scopes) == {"teams", "team_members"}


async def test_a_dead_provider_changes_no_status(house: House, provider: FakeProvider) -> None:
    account = await connect(house)
    provider.broken = httpx.ConnectError("refused")

    with pytest.raises(UpstreamUnreachable):
        await house.accounts.refresh_credentials(account.id)

    assert (await house.accounts.get(account.id)).status == "active"


async def test_a_403_is_remembered_and_changes_no_status(house: House) -> None:
    account = await connect(house, "fake-identity")
    client = await house.accounts.open(account.id)

    for _ in range(3):
        with pytest.raises(RemoteForbidden):
            await client.send("GET", "/teams")
    await house.chores.finish()

    noted = await house.accounts.get(account.id)
    assert noted.status == "active"
    assert noted.last_forbidden_error is not None
    assert noted.last_forbidden_error.code == "forbidden"
    assert noted.last_forbidden_error.missing_scopes == _TEAMS


# Keys


async def test_rotation_reseals_every_credential_and_names_the_lost(database: Database, provider: FakeProvider) -> None:
    old, both, new = (House(database, provider, keys) for keys in ([OLD], [NEW, OLD], [NEW]))
    first, second = await connect(old), await connect(old, "fake-bob")
    third = await connect(new, tenant="other")

    assert set(await new.accounts.lost_keys()) == {first.id, second.id}
    lost = await new.accounts.rotate_keys()
    assert (lost.resealed, lost.current, set(lost.lost)) == (0, 1, {first.id, second.id})
    done = await both.accounts.rotate_keys()
    assert (done.resealed, done.current, done.lost) == (2, 1, ())
    again = await new.accounts.rotate_keys()
    assert (again.resealed, again.current, again.lost) == (0, 3, ())
    assert await new.accounts.lost_keys() == ()
    for account in (first, second, third):
        await (await new.accounts.open(account.id)).send("GET", "/teams")
    for house in (old, both, new):
        await house.close()


async def test_an_account_whose_key_is_lost_is_named(database: Database, provider: FakeProvider) -> None:
    old, new = House(database, provider, [OLD]), House(database, provider, [NEW])
    account = await connect(old)
    client = await new.accounts.open(account.id)

    with pytest.raises(KeyLost, match=account.id):
        await client.send("GET", "/teams")

    again = await connect(new, "fake-ann-2")
    assert again.id == account.id
    await client.send("GET", "/teams")
    for house in (old, new):
        await house.close()


async def test_at_start_the_accounts_that_no_key_opens_are_named(database: Database, provider: FakeProvider) -> None:
    old, new = House(database, provider, [OLD]), House(database, provider, [NEW])
    locked, open_ = await connect(old), await connect(new, "fake-bob")

    with structlog.testing.capture_logs() as logs:
        for house in (old, new):
            house.accounts.report_lost_keys()
            await house.chores.finish()

    told = [line for line in logs if line["event"] == "keys_lost"]
    assert [line["integrated_account_ids"] for line in told] == [(open_.id,), (locked.id,)]
    assert "ADAPTER_SECRET_KEYS" in told[0]["advice"]
    for house in (old, new):
        await house.close()


async def test_a_rotation_broken_off_is_finished_by_the_next(
    database: Database, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, both = House(database, provider, [OLD]), House(database, provider, [NEW, OLD])
    for tenant in ("a", "b", "c"):
        await connect(old, tenant=tenant)
    reseal, calls = both.store.reseal, 0

    async def crash_at_the_second(account_id: str, *, old: bytes, new: bytes) -> bool:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise RuntimeError("the power went")
        return await reseal(account_id, old=old, new=new)

    monkeypatch.setattr(both.store, "reseal", crash_at_the_second)
    with pytest.raises(RuntimeError):
        await both.accounts.rotate_keys()
    done = await both.accounts.rotate_keys()

    assert (done.resealed, done.current, done.lost) == (2, 1, ())
    for house in (old, both):
        await house.close()


# Secrecy


async def _every_value(database: Database) -> str:
    async with database.read() as connection:
        rows = [await connection.execute(sa.select(table)) for table in METADATA.sorted_tables]
        return "\n".join(repr(tuple(row)) for result in rows for row in result)


async def test_no_row_holds_a_credential_or_a_token(house: House, database: Database, provider: FakeProvider) -> None:
    provider.keys["HRKU-fake-plaintext"] = Key(owner="ann")
    account = await connect(house, "HRKU-fake-plaintext")
    _, api = await house.tokens.create_api(name="ci")
    _, minted = await house.tokens.create_account(account.id)

    stored = await _every_value(database)

    assert account.id in stored
    for secret in ("HRKU-fake-plaintext", api.reveal(), minted.reveal(), api.reveal()[4:], minted.reveal()[4:]):
        assert secret not in stored


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
async def test_the_database_s_files_hold_no_credential(
    house: House, database: Database, provider: FakeProvider
) -> None:
    provider.keys["HRKU-fake-plaintext"] = Key(owner="ann")
    account = await connect(house, "HRKU-fake-plaintext")
    assert database.path is not None

    files = b"".join(path.read_bytes() for path in database.path.parent.glob("adapter.db*"))

    assert account.id.encode() in files
    assert b"HRKU-fake-plaintext" not in files


async def test_no_log_or_repr_shows_a_credential(
    house: House, provider: FakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    provider.keys["HRKU-fake-plaintext"] = Key(owner="ann")
    with structlog.testing.capture_logs() as logs:
        account = await connect(house, "HRKU-fake-plaintext")
        client = await house.accounts.open(account.id)
        await client.send("GET", "/teams")
        del provider.keys["HRKU-fake-plaintext"]
        with pytest.raises(RemoteUnauthorized) as caught:
            await client.send("GET", "/teams")
        await house.accounts.rotate_keys()

    told = f"{logs} {caplog.text} {caught.value} {caught.value!r} {account!r} {vars(client._source)}"
    assert {"account_connected", "account_needs_reauth", "keys_rotated"} <= {entry["event"] for entry in logs}
    assert "HRKU-fake-plaintext" not in told


def test_accounts_give_no_other_way_to_a_credential() -> None:
    public = {name for name in vars(Accounts) if not name.startswith("_")}

    assert public == {
        "connect",
        "connect_api_key",
        "get",
        "list",
        "lost_keys",
        "open",
        "patch",
        "reconnect",
        "refresh_credentials",
        "remove",
        "replace_credentials",
        "report_lost_keys",
        "rotate_keys",
    }
