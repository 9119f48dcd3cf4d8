"""What the browser tests stand on: an adapter with an OAuth client before a sandbox, and a product's own site."""

import asyncio
import signal
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from msgspec import structs

from adapter.app import open_house
from adapter.config import Settings
from adapter.sandbox import RunningSandbox
from adapter.sandbox.seed import SeedOptions
from tests.cli.running import Running, clean_environment
from tests.e2e.serving import KEY, AdapterThread, _free_port

TENANT = "acme-inc"
TENANT_NAME = "Acme Directory"


@dataclass(kw_only=True)
class Site:
    """A web site of its own origin, whose pages a test writes. It remembers what it was asked for."""

    url: str
    pages: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def page(self, path: str, html: str, **headers: str) -> str:
        """Puts a page at `path`; its address."""
        self.pages[path] = (html, {name.replace("_", "-"): value for name, value in headers.items()})
        return self.url + path


@dataclass(kw_only=True)
class Place:
    """A running adapter that customers can connect to."""

    url: str
    sandbox: RunningSandbox
    site: Site
    api_token: str
    client_secret: str
    settings: Settings
    database: Path
    secrets: list[str] = field(default_factory=list)
    """Whatever must never show anywhere: the tests add to it."""

    def api(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.api_token}"}
        with httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False) as client:
            return client.request(method, path, **more)

    def link(self, **body: Any) -> str:
        """The address of a new link, for the tenant unless said otherwise."""
        target = {} if "integrated_account_id" in body else {"tenant_id": TENANT}
        context = {} if "integrated_account_id" in body else {"context": {"tenant_name": TENANT_NAME}}
        answer = self.api("POST", "/link-token", json={**target, **context, **body})
        assert answer.status_code == 200, answer.text
        self.secrets.append(answer.json()["link_token"])
        return str(answer.json()["url"])

    def accounts(self, tenant_id: str = TENANT) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api("GET", "/integrated-account", params={"tenant_id": tenant_id}).json()[
            "result"
        ]
        return found

    def key(self, *scopes: str, who: str | None = None) -> str:
        """A token of the sandbox's, `global` and the owner's unless said otherwise."""
        made = self.sandbox.token(list(scopes) or ["global"], who)
        self.secrets.append(made)
        return made

    def provider_secrets(self) -> list[str]:
        """Every code and token that the sandbox ever gave out."""
        given = self.sandbox.sandbox.keyring.authorizations.values()
        return [one.text for held in given for one in (held.access, held.refresh, held.grant) if one]

    def account(self, tenant_id: str = TENANT) -> dict[str, Any]:
        """The tenant's only one."""
        (found,) = self.accounts(tenant_id)
        return found

    def change(self, statement: str) -> int:
        """Changes rows behind the adapter's back, like time does; how many there were."""
        with closing(sqlite3.connect(self.database, timeout=30)) as connection, connection:
            return connection.execute(statement).rowcount


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        self.site.asked.append(self.path)
        html, headers = self.site.pages.get(urlsplit(self.path).path, ("<!doctype html><title>site</title>", {}))
        body = html.encode()
        self.send_response(200)
        for name, value in {"content-type": "text/html; charset=utf-8", **headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815  # the name that the base class looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name that the base class gives it
        pass


@contextmanager
def site() -> Iterator[Site]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    made = Site(url=f"http://localhost:{server.server_port}")
    server.RequestHandlerClass = type("Handler", (_Handler,), {"site": made})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def place(directory: Path, *, log: Path | None = None, **changes: Any) -> Iterator[Place]:
    """The adapter, its sandbox and a product's site, which is on both allow-lists.

    With `log`, the adapter is a process of its own that writes everything there.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with RunningSandbox(seed=SeedOptions(teams=2, members=6, apps=3)) as sandbox, site() as saas:
        client = sandbox.control("POST", "oauth-clients", {"redirect_uri": f"{url}/connect-account/callback"})
        settings = Settings(
            database_url=f"sqlite:///{directory / 'adapter.db'}",
            adapter_secret_keys=KEY,
            heroku_api_url=sandbox.url,
            heroku_auth_url=sandbox.url,
            heroku_oauth_id=client["id"],
            heroku_oauth_secret=client["secret"],
            adapter_redirect_uris=f"{saas.url}/connected",
            adapter_origins=saas.url,
            port=port,
            public_url=url,
            **changes,
        )
        api_token = _api_token(settings)
        with _served(settings, log):
            yield Place(
                url=url,
                sandbox=sandbox,
                site=saas,
                api_token=api_token,
                client_secret=client["secret"],
                settings=settings,
                database=directory / "adapter.db",
                secrets=[api_token, client["secret"], sandbox.owner_token, KEY],
            )


@contextmanager
def _served(settings: Settings, log: Path | None) -> Iterator[None]:
    if log is None:
        thread = AdapterThread(settings)
        try:
            yield
        finally:
            thread.close()
        return
    words = {name.upper(): str(value) for name, value in structs.asdict(settings).items() if value not in {"", None}}
    env = clean_environment(**words | {"LOG_FORMAT": "json"})
    with log.open("w") as stream, Running("serve", env=env, stdout=stream, stderr=stream) as running:
        while not _is_ready(settings.public_url):
            assert running.process.poll() is None, log.read_text()
        yield
        running.stop(signal.SIGTERM)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", trust_env=False, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _api_token(settings: Settings) -> str:
    """Made in a thread of its own: the browser's loop runs in this one."""

    async def made() -> str:
        async with open_house(settings) as house:
            _, token = await house.tokens.create_api()
            return token.reveal()

    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, made()).result()
