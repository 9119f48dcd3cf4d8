import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapter.errors import Conflict
from adapter.models import ErrorNote, IntegratedAccount, ProviderIdentity
from adapter.storage.accounts import AccountStore
from adapter.storage.database import Database
from adapter.storage.tables import ACCOUNTS, CREDENTIALS
from adapter.storage.tokens import TokenStore
from tests.storage.samples import NOW, an_account, an_account_token


@pytest.fixture
def store(database: Database) -> AccountStore:
    return AccountStore(database)


FULL = an_account(
    id="full",
    status="needs_reauth",
    is_blocked=True,
    context={"plan": {"seats": [1, None, 2.5]}, "note": "ü\u0000\u2028"},
    scopes=("identity", "read"),
    missing_scopes={"team_members": ("global",)},
    identity=ProviderIdentity(id="01", email="a+b@example.com", name=None),
    last_error=ErrorNote(code="needs_reauth", message="no longer accepted", at=NOW),
    last_forbidden_error=ErrorNote(code="remote_forbidden", message="no", at=NOW, missing_scopes=("global",)),
    unified_model_override={"users": {"name": "email"}},
)


@pytest.mark.parametrize("account", [an_account(), FULL], ids=["bare", "full"])
async def test_an_account_comes_back_as_it_was_kept(store: AccountStore, account: IntegratedAccount) -> None:
    await store.add(account, b"sealed")

    assert await store.get(account.id) == account
    assert await store.credential(account.id) == b"sealed"


async def test_what_is_not_there_is_none(store: AccountStore) -> None:
    assert await store.get("nobody") is None
    assert await store.credential("nobody") is None
    assert await store.find("acme", "nobody") is None
    assert await store.update("nobody", is_blocked=True) is None
    assert await store.remove("nobody") is None
    assert await store.reseal("nobody", old=b"a", new=b"b") is False


async def test_a_tenant_has_a_provider_account_once(store: AccountStore) -> None:
    me = ProviderIdentity(id="01")
    await store.add(an_account(id="a", tenant_id="acme", identity=me), b"1")
    await store.add(an_account(id="b", tenant_id="other", identity=me), b"2")

    with pytest.raises(Conflict):
        await store.add(an_account(id="c", tenant_id="acme", identity=me), b"3")

    found = await store.find("other", "01")
    assert found is not None
    assert found.id == "b"
    assert await store.get("c") is None


async def test_accounts_without_an_identity_don_t_clash(store: AccountStore) -> None:
    await store.add(an_account(id="a"), b"1")
    await store.add(an_account(id="b"), b"2")

    await store.update("a", identity=ProviderIdentity(id="01"))

    with pytest.raises(Conflict):
        await store.update("b", identity=ProviderIdentity(id="01"))


async def test_an_account_without_its_credential_is_never_kept(store: AccountStore, database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(sa.text("DROP TABLE credentials"))

    with pytest.raises(Exception, match=r"credentials|database"):
        await store.add(an_account(id="a"), b"1")

    assert await store.get("a") is None


async def test_lists_are_by_id_and_filtered(store: AccountStore) -> None:
    for name in "cabd":
        tenant = "acme" if name in "ab" else "other"
        await store.add(an_account(id=name, tenant_id=tenant, status="active" if name != "b" else "needs_reauth"), b"")

    async def ids(**filters: Any) -> str:
        return "".join(account.id for account in await store.list(**filters))

    assert await ids() == "abcd"
    assert await ids(limit=2) == "ab"
    assert await ids(after="b", limit=2) == "cd"
    assert await ids(tenant_id="acme") == "ab"
    assert await ids(status="needs_reauth") == "b"
    assert await ids(tenant_id="nobody") == ""


async def test_an_update_sets_what_is_named_and_nothing_else(store: AccountStore) -> None:
    await store.add(FULL, b"old")

    changed = await store.update(FULL.id, sealed=b"new", last_error=None, status="active")

    assert changed is not None
    assert changed == msgspec.structs.replace(FULL, last_error=None, status="active", updated_at=changed.updated_at)
    assert changed.updated_at > FULL.updated_at
    assert await store.credential(FULL.id) == b"new"


async def test_an_update_may_depend_on_the_credential_that_was_seen(store: AccountStore) -> None:
    await store.add(an_account(id="a"), b"seen")

    assert await store.update("a", only_if=b"other", status="needs_reauth") is None
    assert await store.update("a", only_if=b"seen", status="needs_reauth") is not None


async def test_a_failed_update_keeps_account_and_credential_as_they_were(
    store: AccountStore, database: Database
) -> None:
    await store.add(an_account(id="a", status="needs_reauth"), b"old")
    async with database.write() as connection:
        await connection.execute(sa.text("ALTER TABLE credentials RENAME TO elsewhere"))

    with pytest.raises(Exception, match=r"credentials|database"):
        await store.update("a", sealed=b"new", status="active")

    async with database.write() as connection:
        await connection.execute(sa.text("ALTER TABLE elsewhere RENAME TO credentials"))
    account = await store.get("a")
    assert account is not None
    assert account.status == "needs_reauth"
    assert await store.credential("a") == b"old"


async def test_removing_takes_everything_and_counts_it(store: AccountStore, database: Database) -> None:
    tokens = TokenStore(database)
    for name in "ab":
        await store.add(an_account(id=name), b"")
    for name in ("a", "a", "b"):
        await tokens.add(an_account_token(account_id=name), uuid4().bytes)

    counts = {"credentials": 1, "tokens": 2, "units": 0, "directories": 0, "connect_sessions": 0, "link_tokens": 0}
    counts |= {"idempotency_keys": 0, "operation_events": 0, "operation_steps": 0, "operations": 0}
    assert await store.remove("a") == counts

    assert await store.get("a") is None
    assert await store.credential("a") is None
    assert await tokens.list(account_id="a") == []
    assert len(await tokens.list(account_id="b")) == 1


async def test_every_sealed_credential_is_met_once_across_batches(
    store: AccountStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapter.storage.accounts._BATCH", 3)
    for number in range(7):
        await store.add(an_account(id=f"a{number}"), b"%d" % number)

    assert [pair async for pair in store.iterate_sealed()] == [(f"a{n}", b"%d" % n) for n in range(7)]


async def test_resealing_never_undoes_a_newer_credential(store: AccountStore) -> None:
    await store.add(an_account(id="a"), b"old")
    await store.update("a", sealed=b"newer")

    assert await store.reseal("a", old=b"old", new=b"resealed") is False
    assert await store.credential("a") == b"newer"
    assert await store.reseal("a", old=b"newer", new=b"resealed") is True


async def test_moments_keep_their_zone(store: AccountStore) -> None:
    east = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC).astimezone(timezone(timedelta(hours=9)))
    await store.add(an_account(id="a", created_at=east, updated_at=east + timedelta(days=1)), b"")

    account = await store.get("a")

    assert account is not None
    assert account.created_at == east
    assert account.created_at.utcoffset() == timedelta(0)


async def test_a_moment_without_a_zone_is_refused(store: AccountStore) -> None:
    naive = NOW.replace(tzinfo=None)

    with pytest.raises(sa.exc.StatementError, match="without a zone"):
        await store.add(an_account(created_at=naive), b"")


async def test_of_two_at_once_for_one_identity_one_is_told_so(store: AccountStore) -> None:
    me = ProviderIdentity(id="01")

    results = await asyncio.gather(
        *(store.add(an_account(id=name, identity=me), b"") for name in "abcd"), return_exceptions=True
    )

    assert sorted(type(result).__name__ for result in results) == ["Conflict", "Conflict", "Conflict", "NoneType"]


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(_TEXT, _JSON, max_size=4))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_context_comes_back_unchanged(store: AccountStore, context: dict[str, Any]) -> None:
    account = an_account(context=context)
    await store.add(account, b"")

    stored = await store.get(account.id)

    assert stored is not None
    assert stored.context == context


def test_the_credential_is_no_column_of_the_account() -> None:
    assert "sealed" not in ACCOUNTS.c
    assert set(CREDENTIALS.c.keys()) == {"account_id", "sealed", "updated_at"}
