import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapter.accounts import tokens as tokens_module
from adapter.accounts.cache import MAX_AGE, ShortCache
from adapter.accounts.tokens import Tokens
from adapter.errors import AccountNotFound, Forbidden, InvalidBody, NotFound
from adapter.models import ALL_SCOPES, Scope, Secret, TokenInfo
from tests.accounts.fakes import ACME, API, OTHER, House, holder


@pytest.fixture
async def account_id(house: House) -> str:
    return (await house.accounts.connect_api_key(tenant_id="acme", api_key=Secret("fake-ann"))).id


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def pass_by(self, **span: float) -> None:
        self.at += timedelta(**span)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(house: House, clock: Clock) -> Tokens:
    return Tokens(store=house.token_store, accounts=house.accounts, chores=house.chores, now=clock)


@pytest.mark.parametrize("tenant", [None, "acme"])
async def test_an_api_token_may_do_everything_within_its_tenant(tokens: Tokens, tenant: str | None) -> None:
    info, secret = await tokens.create_api(tenant_id=tenant, name="ci")

    caller = await tokens.authenticate(secret.reveal())

    assert re.fullmatch(r"uda_[A-Za-z0-9_-]{43}", secret.reveal())
    assert caller is not None
    assert (caller.kind, caller.tenant_id, caller.account_id) == ("api", tenant, None)
    assert (caller.token_id, caller.scopes) == (info.id, ALL_SCOPES)
    assert info.expires_at is None


async def test_an_account_token_reads_the_directory_for_a_quarter_of_an_hour(
    tokens: Tokens, account_id: str, clock: Clock
) -> None:
    info, secret = await tokens.create_account(account_id, by=API)

    caller = await tokens.authenticate(secret.reveal())

    assert re.fullmatch(r"udt_[A-Za-z0-9_-]{43}", secret.reveal())
    assert caller is not None
    assert (caller.kind, caller.account_id) == ("account", account_id)
    assert caller.scopes == frozenset({Scope.DIRECTORY_READ})
    assert info.expires_at == clock() + timedelta(minutes=15)


async def test_scopes_are_as_asked(tokens: Tokens, account_id: str) -> None:
    _, secret = await tokens.create_account(account_id, scopes=["raw:secrets", "raw:read", "raw:read"], by=API)

    caller = await tokens.authenticate(secret.reveal())

    assert caller is not None
    assert caller.scopes == {Scope.RAW_READ, Scope.RAW_SECRETS}


@pytest.mark.parametrize("seconds", [1, 900, 30 * 24 * 3600])
async def test_a_token_lapses_to_the_second_even_while_it_is_remembered(
    tokens: Tokens, account_id: str, clock: Clock, seconds: int
) -> None:
    _, secret = await tokens.create_account(account_id, expires_in=seconds)

    clock.pass_by(seconds=seconds - 0.001)
    assert await tokens.authenticate(secret.reveal()) is not None
    clock.pass_by(seconds=0.001)
    assert await tokens.authenticate(secret.reveal()) is None


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown scope": ({"scopes": ["directory:read", "root"]}, "scopes[1]"),
    "no scope": ({"scopes": []}, "scopes"),
    "no time": ({"expires_in": 0}, "expires_in"),
    "a negative time": ({"expires_in": -5}, "expires_in"),
    "more than thirty days": ({"expires_in": 30 * 24 * 3600 + 1}, "expires_in"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_a_token_can_t_be_is_refused(tokens: Tokens, account_id: str, case: str) -> None:
    change, where = REFUSED[case]

    with pytest.raises(InvalidBody) as caught:
        await tokens.create_account(account_id, **change)

    assert [detail["where"] for detail in caught.value.details] == [where]
    assert await tokens.list_account(account_id) == []


@pytest.mark.parametrize("change", [{"name": ""}, {"name": "a\nb"}, {"name": "x" * 257}, {"tenant_id": ""}])
async def test_what_an_api_token_can_t_be_called_is_refused(tokens: Tokens, change: dict[str, str]) -> None:
    with pytest.raises(InvalidBody):
        await tokens.create_api(**change)


async def test_only_api_tokens_of_the_tenant_mint_list_and_revoke(tokens: Tokens, account_id: str) -> None:
    for by, error in ((OTHER, AccountNotFound), (holder(account_id), Forbidden)):
        with pytest.raises(error):
            await tokens.create_account(account_id, by=by)
        with pytest.raises(error):
            await tokens.list_account(account_id, by)
        with pytest.raises(error):
            await tokens.revoke_account(account_id, by)
    await tokens.create_account(account_id, by=ACME)

    assert len(await tokens.list_account(account_id, ACME)) == 1


async def test_no_token_for_an_account_that_is_not_there(tokens: Tokens) -> None:
    with pytest.raises(AccountNotFound):
        await tokens.create_account("nobody")


async def test_revoking_acts_at_once_here_and_when_memory_fades_elsewhere(
    tokens: Tokens, second_house: House, account_id: str
) -> None:
    seconds = 0.0
    second_house.tokens._known = ShortCache(10, timer=lambda: seconds)
    _, secret = await tokens.create_account(account_id)
    there = second_house.tokens
    there._now = tokens._now
    assert await tokens.authenticate(secret.reveal()) is not None
    assert await there.authenticate(secret.reveal()) is not None

    assert await tokens.revoke_account(account_id) == 1

    assert await tokens.authenticate(secret.reveal()) is None
    assert await there.authenticate(secret.reveal()) is not None
    seconds = MAX_AGE + 0.01
    assert await there.authenticate(secret.reveal()) is None
    assert MAX_AGE < 5


async def test_one_token_of_several_may_be_revoked(tokens: Tokens, account_id: str) -> None:
    first, second = [await tokens.create_account(account_id) for _ in range(2)]

    assert await tokens.revoke_account(account_id, token_id=first[0].id) == 1
    assert await tokens.revoke_account(account_id, token_id=first[0].id) == 0

    assert await tokens.authenticate(first[1].reveal()) is None
    assert await tokens.authenticate(second[1].reveal()) is not None


async def test_a_token_of_another_account_is_not_revoked_through_this_one(tokens: Tokens, account_id: str) -> None:
    info, secret = await tokens.create_api()

    with pytest.raises(NotFound):
        await tokens.revoke_account(account_id, token_id=info.id)
    assert await tokens.authenticate(secret.reveal()) is not None


async def test_an_api_token_is_revoked_by_its_id(tokens: Tokens) -> None:
    info, secret = await tokens.create_api()
    await tokens.authenticate(secret.reveal())

    revoked = await tokens.revoke(info.id)

    assert revoked.revoked_at is not None
    assert await tokens.authenticate(secret.reveal()) is None
    assert (await tokens.revoke(info.id)).revoked_at == revoked.revoked_at
    with pytest.raises(NotFound):
        await tokens.revoke("nobody")


async def test_lists_tell_everything_but_the_token(tokens: Tokens, account_id: str) -> None:
    api, _ = await tokens.create_api(name="ci")
    mine, secret = await tokens.create_account(account_id, by=API)

    assert await tokens.list_api() == [api]
    assert await tokens.list_account(account_id) == [mine]
    assert secret.reveal() not in repr(await tokens.list_account(account_id))


async def test_tokens_of_a_removed_account_are_gone(tokens: Tokens, house: House, account_id: str) -> None:
    _, secret = await tokens.create_account(account_id)

    await house.accounts.remove(account_id)

    assert await tokens.authenticate(secret.reveal()) is None


async def test_use_is_noted_at_most_once_a_minute(tokens: Tokens, house: House, clock: Clock) -> None:
    info, secret = await tokens.create_api()
    started = clock()

    for _ in range(3):
        await tokens.authenticate(secret.reveal())
        tokens._known.drop(lambda _: True)
        await house.chores.finish()
        clock.pass_by(seconds=15)

    noted = await house.token_store.get(info.id)
    assert noted is not None
    assert noted.last_used_at == started


async def test_tokens_long_dead_are_forgotten_when_another_is_made(
    tokens: Tokens, account_id: str, clock: Clock
) -> None:
    await tokens.create_account(account_id)
    clock.pass_by(days=6)
    await tokens.create_account(account_id)
    assert len(await tokens.list_account(account_id)) == 2

    clock.pass_by(days=2)
    await tokens.create_account(account_id)

    assert len(await tokens.list_account(account_id)) == 2


class _Unread:
    """A store that must not be asked."""

    async def by_hash(self, digest: bytes) -> TokenInfo | None:
        raise AssertionError(digest)


@given(st.text(max_size=60) | st.from_regex(r"ud[at]_[A-Za-z0-9_-]{0,42}", fullmatch=True))
@example("uda_" + "x" * 44)
@example("uda_" + "x" * 43 + "\n")
@example("UDA_" + "x" * 43)
@example("uda_" + "é" * 43)
async def test_what_does_not_look_like_a_token_never_reaches_the_store(text: str) -> None:
    nothing: Any = None
    store: Any = _Unread()
    tokens = Tokens(store=store, accounts=nothing, chores=nothing)

    assert await tokens.authenticate(text) is None


async def test_strangers_can_t_fill_the_memory(tokens: Tokens) -> None:
    for number in range(50):
        assert await tokens.authenticate(f"uda_{number:043d}") is None

    assert len(tokens._known) == 0


async def test_the_memory_is_bounded(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_known", ShortCache(3))
    for _ in range(6):
        _, secret = await tokens.create_api()
        assert await tokens.authenticate(secret.reveal()) is not None

    assert len(tokens._known) == 3
    assert tokens_module._CACHED < 100_000
