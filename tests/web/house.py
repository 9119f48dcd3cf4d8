"""A house small enough to test the edge and the raw doors in: fake tokens and accounts, everything else as it is."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from granian.constants import Interfaces
from granian.server.embed import Server
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp

from adapter.directory.cursors import Cursors
from adapter.errors import AccountNotFound, RemoteForbidden
from adapter.models import Caller, Scope, Secret
from adapter.upstream.client import BoundClient, UpstreamClient
from adapter.upstream.provider import Provider, load_provider
from adapter.web import health
from adapter.web.edge import edged
from adapter.web.metrics import Metrics
from adapter.web.raw import Answered, RawDoors

PROVIDER: Provider = load_provider()
API = "uda_an-api-token"
ACCOUNT_TOKENS: Mapping[str, frozenset[Scope]] = {
    "udt_reader": frozenset({Scope.RAW_READ}),
    "udt_writer": frozenset({Scope.RAW_READ, Scope.RAW_WRITE}),
    "udt_below": frozenset(Scope) - {Scope.RAW_SECRETS},
    "udt_all": frozenset(Scope),
    "udt_directory": frozenset({Scope.DIRECTORY_READ}),
}


class Source:
    """A credential that remembers what it was told."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens or ("HRKU-first",))
        self.was_rejected = 0
        self.refusals: list[RemoteForbidden] = []

    async def token(self) -> Secret:
        return Secret(self.tokens[0])

    async def renew(self, rejected: Secret) -> Secret | None:
        later = self.tokens[1:]
        if not later or rejected.reveal() != self.tokens[0]:
            return None
        self.tokens = later
        return Secret(later[0])

    async def rejected(self, token: Secret) -> None:  # noqa: ARG002  # the last one, whichever
        self.was_rejected += 1

    async def forbidden(self, error: RemoteForbidden) -> None:
        self.refusals.append(error)


class Tokens:
    async def authenticate(self, plaintext: str) -> Caller | None:
        if plaintext == API:
            return Caller(kind="api", token_id="t-api")
        scopes = ACCOUNT_TOKENS.get(plaintext)
        if scopes is None:
            return None
        return Caller(kind="account", token_id=f"t-{plaintext[4:]}", account_id="acc-1", scopes=scopes)


class Accounts:
    def __init__(self, upstream: UpstreamClient) -> None:
        self.source = Source()
        self.clients = {"acc-1": upstream.bind(self.source, account_key="heroku-1")}

    async def open(self, account_id: str, caller: Caller | None = None) -> BoundClient:
        client = self.clients.get(account_id)
        if client is None or caller is None:
            raise AccountNotFound
        return client


class House:
    """The composed app, and what a test wants to look at."""

    def __init__(self, upstream_url: str, *, routes: Sequence[BaseRoute] = (), timeout: float | None = None) -> None:
        self.upstream = UpstreamClient(PROVIDER, api_url=upstream_url, timeout=timeout)
        self.accounts = Accounts(self.upstream)
        self.metrics = Metrics()
        self.written: list[tuple[str, str, str]] = []
        self.listens = False
        self.said: list[bytes] = []
        """The provider's answers to writes, while somebody listens."""
        self.doors = RawDoors(
            accounts=self.accounts, provider=PROVIDER, cursors=Cursors([b"k" * 32]), on_write=self._on_write
        )
        rest = [*routes, *health.routes(checks={}, metrics=self.metrics)]
        router = Router([*self.doors.routes, *rest], default=self.doors.root, redirect_slashes=False)
        self.app: ASGIApp = edged(
            self.doors.ahead_of(router),
            tokens=Tokens(),
            metrics=self.metrics,
            remote_ids=PROVIDER.errors.id_of,
            own_origins=["http://adapter.example"],
        )
        self.port = 0

    async def _on_write(self, account_id: str, method: str, path: str, answer: Answered) -> None:
        self.written.append((account_id, method, path))
        if self.listens:
            self.said.append(await answer())

    @asynccontextmanager
    async def served(self) -> AsyncIterator["House"]:
        """Served by granian on a free port of the loopback, inside this event loop."""
        self.port = _free_port()
        server = Server(
            self.app,
            address="127.0.0.1",
            port=self.port,
            interface=Interfaces.ASGINL,
            log_enabled=False,
            websockets=False,
        )
        task = asyncio.get_running_loop().create_task(server.serve())
        try:
            await _listening(self.port)
            yield self
        finally:
            server.stop()  # type: ignore[no-untyped-call]  # granian types only part of itself
            await task
            await self.upstream.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _listening(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return
