from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from adapter.sandbox import Options, RunningSandbox, Sandbox, World
from adapter.sandbox.app import create_app
from tests.sandbox.worlds import small_world

ACCEPT = "application/vnd.heroku+json; version=3"


class Asker:
    """Asks a sandbox without a socket between, as its owner unless told otherwise."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(create_app(sandbox)), base_url="http://sandbox.test"
        )

    @property
    def world(self) -> World:
        return self.sandbox.world

    def token(self, *scopes: str, account: str | None = None, expires_in: float | None = None) -> str:
        found = self.world.account(account) if account else self.world.owner
        assert found is not None
        return self.sandbox.mint(found.id, scopes or ("global",), expires_in).access_token

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        who: str | None = None,
        token: str | None = None,
        **headers: str,
    ) -> httpx.Response:
        """Header names are written with underscores; `who` asks with that account's global token."""
        credential = token or (self.token(account=who) if who else self.sandbox.owner_token)
        sent = {"Accept": ACCEPT, "Authorization": f"Bearer {credential}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.request(method, path, json=body, headers=sent)

    async def get(self, path: str, **headers: Any) -> httpx.Response:
        return await self.ask("GET", path, **headers)


@pytest.fixture
def asker() -> Asker:
    """The small world, without eventual consistency."""
    return Asker(Sandbox(small_world(), Options(consistency_s=0)))


@pytest.fixture
def running() -> Iterator[RunningSandbox]:
    """The small world on a real socket."""
    with RunningSandbox(small_world(), options=Options(consistency_s=0)) as sandbox:
        yield sandbox
