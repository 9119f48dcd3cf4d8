"""Who may ask, and how often: tokens with their scopes, OAuth clients and grants, and each account's request budget."""

from __future__ import annotations

import binascii
import random
from base64 import b64decode
from collections.abc import Callable
from uuid import UUID

from msgspec import Struct, field

from .clock import Clock

SCOPES = ("global", "identity", "read", "read-protected", "write", "write-protected")

# Which scopes an endpoint accepts. Recorded for members, /account, apps, add-ons and enterprise accounts; the rest
# follows Heroku's description of its scopes, and the strictest reading where that is silent.
GLOBAL = ("global",)
IDENTITY = ("global", "identity")
READ = ("global", "read", "read-protected", "write", "write-protected")
WRITE = ("global", "write", "write-protected")
READ_PROTECTED = ("global", "read-protected", "write-protected")
WRITE_PROTECTED = ("global", "write-protected")
ANY = SCOPES

CODE_LIFE_S = 300


class Client(Struct, kw_only=True):
    """An OAuth client. Heroku redirects to `redirect_uri` whatever a request says."""

    id: str
    name: str
    secret: str
    redirect_uri: str
    account_id: str
    created_at: str
    updated_at: str


class Secret(Struct, kw_only=True):
    """A code, an access token or a refresh token; `expires_at` in epoch seconds, None for never."""

    id: str
    text: str
    expires_at: float | None

    def expires_in(self, now: float) -> int | None:
        return None if self.expires_at is None else max(0, int(self.expires_at - now))

    def has_expired(self, now: float) -> bool:
        return self.expires_at is not None and self.expires_at <= now


class Authorization(Struct, kw_only=True):
    id: str
    account_id: str
    scope: tuple[str, ...]
    description: str
    created_at: str
    updated_at: str
    client_id: str | None = None
    grant: Secret | None = None
    access: Secret | None = None
    refresh: Secret | None = None


class Keyring(Struct, kw_only=True):
    """Every authorization and OAuth client, found by id or by secret."""

    clock: Clock
    rng: random.Random
    authorizations: dict[str, Authorization] = field(default_factory=dict)
    clients: dict[str, Client] = field(default_factory=dict)
    by_token: dict[str, Authorization] = field(default_factory=dict)

    def new_id(self) -> str:
        return str(UUID(int=self.rng.getrandbits(128), version=4))

    def secret(self, prefix: str, life_s: float | None) -> Secret:
        text = f"{prefix}{self.new_id()}"
        return Secret(id=self.new_id(), text=text, expires_at=None if life_s is None else self.clock.seconds() + life_s)

    def authorize(
        self,
        account_id: str,
        scope: tuple[str, ...],
        *,
        description: str = "sandbox",
        life_s: float | None = None,
        client_id: str | None = None,
    ) -> Authorization:
        """A new authorization with an access token, as `heroku authorizations:create` makes one."""
        authorization = self._new(account_id, scope, description, client_id)
        self.give_access(authorization, life_s)
        return authorization

    def offer(self, account_id: str, scope: tuple[str, ...], client: Client) -> Authorization:
        """An authorization that so far holds only a code."""
        authorization = self._new(account_id, scope, client.name, client.id)
        authorization.grant = self.secret("", CODE_LIFE_S)
        return authorization

    def _new(self, account_id: str, scope: tuple[str, ...], description: str, client_id: str | None) -> Authorization:
        now = self.clock.stamp()
        authorization = Authorization(
            id=self.new_id(),
            account_id=account_id,
            scope=scope,
            description=description,
            client_id=client_id,
            created_at=now,
            updated_at=now,
        )
        self.authorizations[authorization.id] = authorization
        return authorization

    def give_access(self, authorization: Authorization, life_s: float | None) -> Secret:
        """A fresh access token; the one before it is void."""
        self.end_access(authorization)
        authorization.access = self.secret("HRKU-", life_s)
        authorization.updated_at = self.clock.stamp()
        self.by_token[authorization.access.text] = authorization
        return authorization.access

    def end_access(self, authorization: Authorization) -> None:
        if authorization.access:
            self.by_token.pop(authorization.access.text, None)
        authorization.access = None

    def revoke(self, authorization: Authorization) -> None:
        del self.authorizations[authorization.id]
        self.end_access(authorization)

    def forget(self, account_id: str) -> None:
        """Revoke everything of an account that is deleted: its authorizations, and its clients with theirs."""
        gone = {client.id for client in self.clients.values() if client.account_id == account_id}
        for held in [*self.authorizations.values()]:
            if held.account_id == account_id or held.client_id in gone:
                self.revoke(held)
        for client_id in gone:
            del self.clients[client_id]

    def holder(self, header: str | None) -> Authorization | None:
        """The live authorization behind an `Authorization` header, or None."""
        authorization = self.by_token.get(token_in(header) or "")
        if authorization is None or authorization.access is None:
            return None
        return None if authorization.access.has_expired(self.clock.seconds()) else authorization

    def client_with(self, secret: str) -> Client | None:
        return next((client for client in self.clients.values() if client.secret == secret), None)

    def client_secret(self) -> str:
        return f"sandbox-secret-{self.new_id()}"

    def add_client(self, account_id: str, name: str, redirect_uri: str) -> Client:
        now = self.clock.stamp()
        client = Client(
            id=self.new_id(),
            name=name,
            secret=self.client_secret(),
            redirect_uri=redirect_uri,
            account_id=account_id,
            created_at=now,
            updated_at=now,
        )
        self.clients[client.id] = client
        return client


def token_in(header: str | None) -> str | None:
    """The token of an `Authorization` header: Bearer, Basic with it as the password, or (old) as the user."""
    scheme, _, value = (header or "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip() or None
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return password or user or None


class Budget:
    """A bucket of requests an account: `capacity`, refilled at `per_minute`, in sandbox time."""

    def __init__(self, capacity: float, per_minute: float, now: Callable[[], float]) -> None:
        self.capacity = capacity
        self.per_minute = per_minute
        self._now = now
        self._levels: dict[str, tuple[float, float]] = {}

    def level(self, account_id: str) -> float:
        now = self._now()
        level, since = self._levels.get(account_id, (self.capacity, now))
        return min(self.capacity, level + (now - since) * self.per_minute / 60)

    def remaining(self, account_id: str) -> int:
        return int(self.level(account_id))

    def spend(self, account_id: str, cost: float = 1) -> bool:
        """Take `cost` out; False, and nothing taken, when there is not enough."""
        level = self.level(account_id)
        if level < cost:
            return False
        self.put(account_id, level - cost)
        return True

    def put(self, account_id: str, level: float) -> None:
        self._levels[account_id] = (level, self._now())
