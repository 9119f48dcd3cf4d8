"""A provider of a few lines, behind the real client: which keys it takes, and what each may do."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import msgspec

from adapter.accounts.chores import Chores
from adapter.accounts.connecting import Connecting
from adapter.accounts.links import AllowLists
from adapter.accounts.service import Accounts
from adapter.accounts.tokens import Tokens
from adapter.errors import AdapterError, OAuthFailed
from adapter.models import Caller, Credential, Secret
from adapter.storage.accounts import AccountStore
from adapter.storage.database import Database
from adapter.storage.links import LinkStore
from adapter.storage.tokens import TokenStore
from adapter.storage.vault import Vault
from adapter.upstream.client import BoundClient, UpstreamClient
from adapter.upstream.provider import load_provider

UNITS = {
    "account": ("global", "identity"),
    "teams": ("global", "read", "read-protected", "write", "write-protected"),
    "team_members": ("global",),
    "health": (),
}
API = Caller(kind="api", token_id="api-1")
ACME = Caller(kind="api", token_id="api-2", tenant_id="acme")
OTHER = Caller(kind="api", token_id="api-3", tenant_id="other")


def holder(account_id: str) -> Caller:
    return Caller(kind="account", token_id="account-1", account_id=account_id, scopes=frozenset())


class Key(msgspec.Struct, kw_only=True):
    owner: str
    scopes: str = "global"
    error: tuple[int, Any] | None = None


class FakeProvider(httpx.AsyncBaseTransport):
    """Answers `GET /account` (scopes `global identity`) and `GET /teams` (anything but `identity`) by key."""

    def __init__(self) -> None:
        self.keys: dict[str, Key] = {}
        self.seen: list[tuple[str, str]] = []
        self.broken: httpx.Response | Exception | None = None
        self.arrivals = asyncio.Semaphore(0)
        self.gate = asyncio.Event()
        self.gate.set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        token = request.headers["authorization"].removeprefix("Bearer ")
        self.seen.append((request.url.path, token))
        self.arrivals.release()
        await self.gate.wait()
        if isinstance(self.broken, Exception):
            raise self.broken
        if self.broken is not None:
            return self.broken
        key = self.keys.get(token)
        if key is None:
            return httpx.Response(401, json={"id": "unauthorized", "message": "Invalid credentials provided."})
        if key.error:
            return httpx.Response(key.error[0], json=key.error[1])
        return _answer(request.url.path, key)


def _answer(path: str, key: Key) -> httpx.Response:
    accepted = "global identity" if path == "/account" else "global read read-protected write write-protected"
    headers = {"oauth-scope": key.scopes, "oauth-scope-accepted": accepted}
    if not set(key.scopes.split()) & set(accepted.split()):
        return httpx.Response(403, headers=headers, json={"id": "forbidden", "message": "You do not have access."})
    body = {"id": key.owner, "email": f"{key.owner}@example.com", "name": None} if path == "/account" else []
    return httpx.Response(200, headers=headers, json=body)


def a_provider() -> FakeProvider:
    """With keys of each kind: `fake-ann` and `fake-ann-2` are one person's, the others' names say what they are."""
    provider = FakeProvider()
    provider.keys = {
        "fake-ann": Key(owner="ann"),
        "fake-ann-2": Key(owner="ann"),
        "fake-bob": Key(owner="bob"),
        "fake-read": Key(owner="ann", scopes="read"),
        "fake-identity": Key(owner="ann", scopes="identity"),
        "fake-write-protected": Key(owner="ann", scopes="write-protected"),
        "fake-suspended": Key(owner="eve", error=(403, {"id": "suspended", "message": "Your account is suspended."})),
    }
    return provider


class FakeConsent:
    """An OAuth client whose codes are set by the test: code -> the key that it is exchanged for."""

    scopes = ("global",)

    def __init__(self) -> None:
        self.codes: dict[str, str | AdapterError] = {}
        self.verifiers: list[str] = []
        self.revoked: list[str] = []
        self.revocation: bool | AdapterError = True

    def authorize_url(self, *, state: str, verifier: str, scopes: Sequence[str] | None = None) -> str:
        self.verifiers.append(verifier)
        return "https://sign-in.test/?" + urlencode({"state": state, "scope": " ".join(scopes or self.scopes)})

    async def exchange(self, code: str, verifier: str) -> Credential:
        assert verifier in self.verifiers
        key = self.codes.pop(code, OAuthFailed())
        if isinstance(key, AdapterError):
            raise key
        return oauth_credential(key)

    async def refresh(self, credential: Credential) -> Credential:
        assert credential.refresh_token is not None
        return oauth_credential(credential.refresh_token.reveal().removesuffix("-refresh") + "-renewed")

    async def revoke(self, client: BoundClient, credential: Credential) -> bool:
        await client.send("GET", "/account")  # the provider answers to a live token only
        if isinstance(self.revocation, AdapterError):
            raise self.revocation
        self.revoked.append(credential.access_token.reveal())
        return self.revocation


def oauth_credential(key: str, *, lives: timedelta = timedelta(hours=8)) -> Credential:
    return Credential(
        method="oauth2",
        access_token=Secret(key),
        refresh_token=Secret(f"{key}-refresh"),
        expires_at=datetime.now(UTC) + lives,
    )


def state_of(url: str) -> str:
    return parse_qs(urlsplit(url).query)["state"][0]


REDIRECT = "https://product.example/settings/heroku?from=connect"
ORIGIN = "https://app.product.example"
ALLOWED = AllowLists(redirect_uris=frozenset({REDIRECT, "http://127.0.0.1:3000/back"}), origins=frozenset({ORIGIN}))


class Clock:
    """The time, which a test may move."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class House:
    """The room under test, on one database, with a provider of its own."""

    def __init__(
        self,
        database: Database,
        provider: FakeProvider,
        keys: list[str] | None = None,
        *,
        consent: FakeConsent | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.provider = provider
        self.store = AccountStore(database)
        self.token_store = TokenStore(database)
        self.vault = Vault(keys or ["fake-secret-key-" + "k" * 32])
        self.upstream = UpstreamClient(load_provider(), transport=provider)
        self.chores = Chores()
        self.accounts = Accounts(
            store=self.store,
            vault=self.vault,
            upstream=self.upstream,
            chores=self.chores,
            oauth=consent,
            unit_scopes=UNITS,
        )
        self.link_store = LinkStore(database)
        self.connecting = Connecting(
            store=self.link_store,
            accounts=self.accounts,
            vault=self.vault,
            chores=self.chores,
            oauth=consent,
            known_scopes=("global", "identity", "read"),
            allowed=ALLOWED,
            now=now,
        )
        self.tokens = Tokens(store=self.token_store, accounts=self.accounts, chores=self.chores)

    async def close(self) -> None:
        await self.chores.finish()
        await self.upstream.close()
