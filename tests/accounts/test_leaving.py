import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import structlog

from adapter.accounts import leaving
from adapter.accounts.links import LinkRequest
from adapter.errors import AccountNotFound, KeyLost, UpstreamFailure
from adapter.models import IntegratedAccount
from adapter.storage.database import Database
from adapter.storage.renewals import Renewals
from tests.accounts.fakes import FakeConsent, FakeProvider, House, oauth_credential


class Consented(House):
    """A house with an OAuth client, and an account connected by it."""

    def __init__(self, database: Database, provider: FakeProvider, keys: list[str] | None = None) -> None:
        self.consent = FakeConsent()
        super().__init__(database, provider, keys, consent=self.consent)

    async def connected(self, key: str = "fake-ann", tenant: str = "acme", **lives: Any) -> IntegratedAccount:
        async def nothing(*_: object) -> None:
            return

        return await self.accounts.connect(tenant, oauth_credential(key, **lives), context={}, also=nothing)


@pytest.fixture
async def consented(database: Database, provider: FakeProvider) -> AsyncIterator[Consented]:
    house = Consented(database, provider)
    yield house
    await house.close()


async def test_the_grant_is_revoked_and_everything_is_deleted(consented: Consented) -> None:
    account = await consented.connected()
    await consented.tokens.create_account(account.id)
    await consented.connecting.create_link(LinkRequest(account_id=account.id))

    removal = await consented.accounts.remove(account.id)

    assert (removal.revoked_at_provider, removal.reason) == (True, None)
    assert consented.consent.revoked == ["fake-ann"]
    assert removal.deleted.items() >= {"credentials": 1, "tokens": 1, "link_tokens": 1, "units": 0}.items()
    with pytest.raises(AccountNotFound):
        await consented.accounts.get(account.id)


async def test_a_blocked_account_can_be_disconnected(consented: Consented) -> None:
    account = await consented.connected()
    await consented.accounts.patch(account.id, is_blocked=True)

    assert (await consented.accounts.remove(account.id)).revoked_at_provider is True


async def test_an_authorization_that_is_gone_is_nothing_to_revoke(consented: Consented) -> None:
    account = await consented.connected()
    consented.consent.revocation = False

    removal = await consented.accounts.remove(account.id)

    assert (removal.revoked_at_provider, bool(removal.reason)) == (None, True)


TROUBLE: dict[str, Any] = {
    "the provider fails": UpstreamFailure("It is down."),
    "the provider is dead": httpx.ConnectError("refused"),
    "the token is refused": None,
}


@pytest.mark.parametrize("case", TROUBLE)
async def test_trouble_at_the_provider_is_told_and_keeps_nothing(
    consented: Consented, provider: FakeProvider, case: str
) -> None:
    account, trouble = await consented.connected(), TROUBLE[case]
    if isinstance(trouble, UpstreamFailure):
        consented.consent.revocation = trouble
    else:
        provider.broken = trouble
        provider.keys.clear()

    removal = await consented.accounts.remove(account.id)

    assert removal.revoked_at_provider is False
    assert removal.reason is not None
    assert removal.reason.startswith("Revoke it at the provider")
    assert removal.deleted["credentials"] == 1
    assert await consented.accounts.list() == []


async def test_nobody_waits_long_for_a_silent_provider(
    consented: Consented, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await consented.connected()
    monkeypatch.setattr(leaving, "PATIENCE", 0.05)
    provider.gate.clear()

    async with asyncio.timeout(5):
        removal = await consented.accounts.remove(account.id)

    assert removal.revoked_at_provider is False
    assert "in time" in (removal.reason or "")
    provider.gate.set()


async def test_without_a_client_nothing_can_be_revoked(consented: Consented, house: House) -> None:
    account = await consented.connected()

    removal = await house.accounts.remove(account.id)

    assert removal.revoked_at_provider is False
    assert "OAuth client" in (removal.reason or "")


async def test_a_lost_key_keeps_no_account_from_leaving(database: Database, provider: FakeProvider) -> None:
    old, new = (Consented(database, provider, [f"fake-key-{name * 32}"]) for name in "on")
    account = await old.connected()
    with pytest.raises(KeyLost):
        await (await new.accounts.open(account.id)).send("GET", "/teams")

    with structlog.testing.capture_logs() as logs:
        removal = await new.accounts.remove(account.id)

    assert removal.revoked_at_provider is False
    assert "ADAPTER_SECRET_KEYS" in (removal.reason or "")
    assert any(line["event"] == "grant_not_revoked" for line in logs)
    for house in (old, new):
        await house.close()


async def test_a_token_that_has_run_out_is_refreshed_to_revoke(consented: Consented, database: Database) -> None:
    account = await consented.connected(lives=timedelta(seconds=-1))
    consented.accounts = type(consented.accounts)(
        store=consented.store,
        vault=consented.vault,
        upstream=consented.upstream,
        chores=consented.chores,
        oauth=consented.consent,
        renewals=Renewals(database, consented.store),
    )
    consented.provider.keys["fake-ann-renewed"] = consented.provider.keys["fake-ann"]

    removal = await consented.accounts.remove(account.id)

    assert (removal.revoked_at_provider, consented.consent.revoked) == (True, ["fake-ann-renewed"])


async def test_two_who_disconnect_at_once_do_it_once(consented: Consented) -> None:
    account = await consented.connected()

    ended = await asyncio.gather(*(consented.accounts.remove(account.id) for _ in range(2)), return_exceptions=True)

    assert sum(isinstance(end, AccountNotFound) for end in ended) == 1
