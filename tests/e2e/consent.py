"""An account connected by OAuth before the sandbox, its access token lapsed: what the tests of refreshes begin with."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec

from adapter.accounts.credentials import seal
from adapter.app import House, open_house
from adapter.config import Settings
from adapter.models import Credential, IntegratedAccount
from adapter.sandbox import RunningSandbox
from adapter.storage.accounts import AccountStore
from tests.e2e.serving import KEY

REDIRECT = "http://127.0.0.1:8080/connect-account/callback"
TOKEN_ENDPOINT = {"method": "POST", "path": "/oauth/token"}


def settings_for(sandbox: RunningSandbox, database_url: str) -> Settings:
    """With a client that is registered there."""
    client = sandbox.control("POST", "oauth-clients", {"redirect_uri": REDIRECT})
    return Settings(
        database_url=database_url,
        adapter_secret_keys=KEY,
        heroku_api_url=sandbox.url,
        heroku_auth_url=sandbox.url,
        heroku_oauth_id=client["id"],
        heroku_oauth_secret=client["secret"],
        public_url="http://127.0.0.1:8080",
    )


@dataclass(kw_only=True)
class Consented:
    """An account, and the houses that serve it: the first one connected it."""

    houses: list[House]
    sandbox: RunningSandbox
    account_id: str

    def refreshes(self) -> int:
        return self.sandbox.request_count(**TOKEN_ENDPOINT)

    async def calls(self, count: int) -> list[object]:
        """What so many calls come to, all at once, the houses taking turns: statuses and errors."""
        each = (self.houses[number % len(self.houses)] for number in range(count))
        return await asyncio.gather(*(self._call(house) for house in each), return_exceptions=True)

    async def _call(self, house: House) -> int:
        client = await house.accounts.open(self.account_id)
        return (await client.send("GET", "/account", retry=False)).status

    async def account(self) -> IntegratedAccount:
        found = await AccountStore(self.houses[0].database).get(self.account_id)
        assert found is not None
        return found

    async def lapse(self, *, known: bool) -> None:
        """Let the access token lapse at the provider; `known`: and let the adapter see that it has."""
        self.sandbox.advance(9 * 3600)
        if known:
            await self.change(expires_at=datetime.now(UTC) - timedelta(hours=1))
        self.sandbox.reset_requests()

    async def change(self, **fields: object) -> None:
        """Change what is stored of the credential."""
        house = self.houses[0]
        _, kept = await house.accounts._kept(self.account_id)
        changed = msgspec.structs.replace(kept, **fields)
        store = AccountStore(house.database)
        assert await store.update(self.account_id, sealed=seal(house.vault, self.account_id, changed))

    async def kept(self) -> Credential:
        return (await self.houses[0].accounts._kept(self.account_id))[1]


@asynccontextmanager
async def consented(settings: Iterable[Settings], sandbox: RunningSandbox) -> AsyncIterator[Consented]:
    """A house for each of the settings, and an account connected in the first."""
    async with AsyncExitStack() as stack:
        houses = [await stack.enter_async_context(open_house(each)) for each in settings]
        account = await connected(houses[0])
        yield Consented(houses=houses, sandbox=sandbox, account_id=account.id)


async def connected(house: House, email: str | None = None, tenant_id: str = "acme") -> IntegratedAccount:
    """An account that somebody has connected by signing in: the owner, or whoever goes by the address."""
    assert house.oauth is not None
    url = house.oauth.authorize_url(state="fake-state", verifier="v" * 43)
    async with httpx.AsyncClient(trust_env=False) as browser:
        back = await browser.get(url + "&auto=grant" + (f"&as={email}" if email else ""))
    code = parse_qs(urlsplit(back.headers["location"]).query)["code"][0]
    credential = await house.oauth.exchange(code, "v" * 43)
    return await house.accounts.connect(tenant_id, credential, context={}, also=_nothing)


async def _nothing(*_: object) -> None:
    """No link is consumed."""
