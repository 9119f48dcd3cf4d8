"""Callers' tokens: minted here, shown once, known afterwards by their hash alone."""

import re
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import uuid4

from adapter.accounts.cache import ShortCache
from adapter.accounts.checks import checked_tenant, refuse
from adapter.accounts.chores import Chores
from adapter.accounts.service import Accounts
from adapter.errors import Forbidden, NotFound
from adapter.models import ALL_SCOPES, DEFAULT_SCOPES, Caller, Scope, Secret, TokenInfo
from adapter.storage.tokens import TokenStore

DEFAULT_SECONDS = 15 * 60
MAX_SECONDS = 30 * 24 * 60 * 60

_API, _ACCOUNT = "uda_", "udt_"
_FORM = re.compile(r"ud[at]_[A-Za-z0-9_-]{43}", re.ASCII)
_CACHED = 8192
_TOUCH_EVERY = timedelta(minutes=1)
_DEAD_STAY_LISTED = timedelta(days=7)
_MAX_NAME_CHARS = 256


class Tokens:
    """API tokens, which belong to the deployment or a tenant, and integrated account tokens."""

    def __init__(
        self,
        *,
        store: TokenStore,
        accounts: Accounts,
        chores: Chores,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._chores = chores
        self._now = now
        self._known: ShortCache[tuple[TokenInfo, Caller]] = ShortCache(_CACHED)

    async def create_api(self, *, tenant_id: str | None = None, name: str | None = None) -> tuple[TokenInfo, Secret]:
        """A token that may do everything, or everything within one tenant; the Secret is not to be had again."""
        if tenant_id is not None:
            checked_tenant(tenant_id)
        if name is not None and not (1 <= len(name) <= _MAX_NAME_CHARS and name.isprintable()):
            raise refuse("name", "can't be used", f"1 to {_MAX_NAME_CHARS} printable characters")
        info = TokenInfo(id=str(uuid4()), kind="api", tenant_id=tenant_id, name=name, created_at=self._now())
        return info, await self._keep(info, _API)

    async def create_account(
        self,
        account_id: str,
        *,
        scopes: Sequence[str] | None = None,
        expires_in: int | None = None,
        by: Caller | None = None,
    ) -> tuple[TokenInfo, Secret]:
        """A token for one account: `directory:read` and 15 minutes unless asked otherwise, 30 days at most.

        `by` must hold an API token (None: the deployment itself). InvalidBody names the field that can't be used.
        """
        account = await self._of_api_caller(account_id, by)
        now = self._now()
        info = TokenInfo(
            id=str(uuid4()),
            kind="account",
            account_id=account,
            scopes=_checked_scopes(scopes),
            created_at=now,
            expires_at=now + timedelta(seconds=_checked_seconds(expires_in)),
        )
        await self._store.purge(now - _DEAD_STAY_LISTED)
        return info, await self._keep(info, _ACCOUNT, by)

    async def authenticate(self, plaintext: str) -> Caller | None:
        """Who holds this token; None for anything that is not a live token. Remembered for seconds only."""
        if not _FORM.fullmatch(plaintext):
            return None
        digest = _digest(plaintext)
        known = self._known.at_hand(digest) or await self._known.get(digest, lambda: self._read(digest))
        if known is None:
            return None
        info, caller = known
        dead = info.revoked_at is not None or (info.expires_at and info.expires_at <= self._now())
        return None if dead else caller

    async def list_api(self, *, after: str = "", limit: int = 1000) -> list[TokenInfo]:
        """The API tokens of the deployment, by id."""
        return await self._store.list(kind="api", after=after, limit=limit)

    async def list_account(
        self, account_id: str, by: Caller | None = None, *, after: str = "", limit: int = 100
    ) -> list[TokenInfo]:
        """The tokens of one account, by id; the dead stay listed for a week."""
        await self._of_api_caller(account_id, by)
        return await self._store.list(kind="account", account_id=account_id, after=after, limit=limit)

    async def revoke(self, token_id: str) -> TokenInfo:
        """At once on this process, within 5 s on every other. Revoking twice is no error; NotFound for no token."""
        info = await self._store.get(token_id)
        if info is None:
            raise NotFound("No token has this id.")
        at = self._now()
        await self._store.revoke(token_id, at)
        self._known.drop(lambda known: known[0].id == token_id)
        return await self._store.get(token_id) or info

    async def revoke_account(self, account_id: str, by: Caller | None = None, *, token_id: str | None = None) -> int:
        """Revoke all tokens of an account, or the named one; how many were alive until now."""
        await self._of_api_caller(account_id, by)
        if token_id is None:
            count = await self._store.revoke_for_account(account_id, self._now())
        else:
            info = await self._store.get(token_id) if token_id.isprintable() else None
            if info is None or info.account_id != account_id:
                raise NotFound("The account has no token with this id.")
            count = int(await self._store.revoke(token_id, self._now()))
        self._known.drop(lambda known: known[0].account_id == account_id)
        return count

    async def _of_api_caller(self, account_id: str, by: Caller | None) -> str:
        if by is not None and by.kind != "api":
            raise Forbidden("Only an API token may mint, list or revoke tokens.")
        return (await self._accounts.get(account_id, by)).id

    async def _keep(self, info: TokenInfo, prefix: str, by: Caller | None = None) -> Secret:
        plaintext = prefix + secrets.token_urlsafe(32)
        await self._store.add(info, _digest(plaintext), created_by=by.token_id if by else None)
        return Secret(plaintext)

    async def _read(self, digest: bytes) -> tuple[TokenInfo, Caller] | None:
        info = await self._store.by_hash(digest)
        if info is None:
            return None
        now = self._now()
        if info.last_used_at is None or info.last_used_at + _TOUCH_EVERY <= now:
            self._chores.add("touch_token", self._store.touch([info.id], now))
        return info, _caller(info)


def _digest(plaintext: str) -> bytes:
    """SHA-256 is enough: the token is 256 random bits, so there is nothing to guess that hashing could slow down."""
    return sha256(plaintext.encode()).digest()


def _caller(info: TokenInfo) -> Caller:
    if info.kind == "api":
        return Caller(kind="api", token_id=info.id, tenant_id=info.tenant_id, scopes=ALL_SCOPES)
    return Caller(kind="account", token_id=info.id, account_id=info.account_id, scopes=frozenset(info.scopes))


def _checked_scopes(scopes: Sequence[str] | None) -> tuple[Scope, ...]:
    if scopes is None:
        return tuple(sorted(DEFAULT_SCOPES))
    known = ", ".join(Scope)
    if not scopes:
        raise refuse("scopes", "is empty", f"one or more of {known}, or no `scopes` at all")
    for place, scope in enumerate(scopes):
        if scope not in set(Scope):
            raise refuse(f"scopes[{place}]", "is no scope", f"one of {known}")
    return tuple(sorted({Scope(scope) for scope in scopes}))


def _checked_seconds(expires_in: int | None) -> int:
    if expires_in is None:
        return DEFAULT_SECONDS
    if not 1 <= expires_in <= MAX_SECONDS:
        raise refuse("expires_in", "is out of bounds", f"1 to {MAX_SECONDS} seconds")
    return expires_in
