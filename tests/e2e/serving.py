"""The adapter and a sandbox on real sockets, with an account connected: what the end-to-end tests talk to."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server

from adapter.app import create_app, open_house
from adapter.config import Settings
from adapter.models import Scope, Secret
from adapter.sandbox import RunningSandbox

KEY = "a-key-for-tests-that-is-long-enough-0123456789"
WAIT_S = 30
_TRUST = httpx.create_ssl_context()
"""Never used on loopback, and made by each client that is given none, which takes longer than what most of them ask."""


@dataclass(kw_only=True)
class Connected:
    """A running adapter with one integrated account of the sandbox's."""

    url: str
    sandbox: RunningSandbox
    api_token: str
    account_id: str
    settings: Settings

    def client(self, token: str | None = None) -> httpx.Client:
        headers = {"authorization": f"Bearer {token or self.api_token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False, verify=_TRUST)

    def get(self, path: str, token: str | None = None, headers: Any = None, **query: Any) -> httpx.Response:
        with self.client(token) as client:
            params = {"integrated_account_id": self.account_id, **query}
            return client.get(path, params=params, headers=headers)

    def users(self, **query: Any) -> httpx.Response:
        return self.get("/unified/user-directory/users", **query)

    def everything(self, resource: str, **query: Any) -> list[dict[str, Any]]:
        """All records of a resource, page after page."""
        records: list[dict[str, Any]] = []
        cursor = ""
        while True:
            answer = self.get(f"/unified/user-directory/{resource}", next_cursor=cursor, **query)
            assert answer.status_code == 200, answer.text
            body = answer.json()
            assert body["result_count"] == len(body["result"])
            assert body["result"] or body["next_cursor"] is None
            records += body["result"]
            cursor = body["next_cursor"]
            if not cursor:
                return records

    def account_token(self, *scopes: Scope, account_id: str | None = None) -> str:
        body = {"integrated_account_id": account_id or self.account_id, "scopes": list(scopes)}
        with self.client() as client:
            answer = client.post("/integrated-account/token", json=body)
        assert answer.status_code in {200, 201}, answer.text
        return str(answer.json()["token"])

    def connect(self, api_key: str, tenant_id: str = "acme") -> httpx.Response:
        body = {"tenant_id": tenant_id, "authentication_method": "api_key", "context": {"api_key": api_key}}
        with self.client() as client:
            return client.post("/integrated-account", json=body)


class AdapterThread:
    """The adapter served from a thread of its own, answering when the constructor returns."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: Server | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(WAIT_S)
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as failure:  # noqa: BLE001  # handed to whoever waits in the constructor
            self._failure = failure
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = Server(
            create_app(self._settings),
            self._settings.host,
            self._settings.port,
            interface=Interfaces.ASGI,
            http=HTTPModes.http1,
            websockets=False,
            log_enabled=False,
        )
        serving = asyncio.create_task(self._server.serve())
        async with asyncio.timeout(WAIT_S):
            while not await _answers(self._settings):
                assert not serving.done(), "the adapter did not start"
                await asyncio.sleep(0.01)
        self._ready.set()
        await serving

    def close(self) -> None:
        if self._loop is not None and self._server is not None:
            self._loop.call_soon_threadsafe(self._server.stop)
        self._thread.join(WAIT_S)


async def _answers(settings: Settings) -> bool:
    try:
        async with httpx.AsyncClient(trust_env=False, verify=_TRUST) as client:
            answer = await client.get(f"http://{settings.host}:{settings.port}/readyz")
    except httpx.TransportError:
        return False
    return answer.status_code == 200


@contextmanager
def serving(
    sandbox: RunningSandbox,
    directory: Path,
    *,
    api_key: str | None = None,
    database_url: str = "",
    keys: str = KEY,
    **changes: Any,
) -> Iterator[Connected]:
    settings = Settings(
        database_url=database_url or f"sqlite:///{directory / 'adapter.db'}",
        adapter_secret_keys=keys,
        heroku_api_url=changes.pop("heroku_api_url", sandbox.url),
        port=_free_port(),
        **changes,
    )
    api_token, account_id = asyncio.run(_connected(settings, api_key or sandbox.owner_token))
    thread = AdapterThread(settings)
    try:
        yield Connected(
            url=f"http://{settings.host}:{settings.port}",
            sandbox=sandbox,
            api_token=api_token,
            account_id=account_id,
            settings=settings,
        )
    finally:
        thread.close()


async def _connected(settings: Settings, api_key: str) -> tuple[str, str]:
    async with open_house(settings) as house:
        _, token = await house.tokens.create_api()
        account = await house.accounts.connect_api_key(tenant_id="acme", api_key=Secret(api_key))
        return token.reveal(), account.id


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
