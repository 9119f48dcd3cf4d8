"""Integrated accounts: connected, shown, changed, opened and removed.

`caller` says who asks; None is the deployment itself (the command line). For an API token bound to a tenant, another
tenant's account does not exist; an integrated account token opens its own account and no other.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
import structlog
from cachetools import LRUCache
from msgspec import UNSET, UnsetType

from adapter.accounts.cache import ShortCache
from adapter.accounts.checks import checked_context, checked_key, checked_tenant
from adapter.accounts.chores import Chores
from adapter.accounts.credentials import StoredCredential, about, seal, unseal
from adapter.accounts.trial import Finding, UnitScopes, tried
from adapter.errors import (
    AccountBlocked,
    AccountNotFound,
    Conflict,
    Forbidden,
    InvalidCredential,
    KeyLost,
    NeedsReauth,
    WrongAccount,
)
from adapter.models import AccountStatus, Caller, Credential, ErrorNote, IntegratedAccount, Secret
from adapter.storage.accounts import AccountStore
from adapter.storage.vault import Vault
from adapter.upstream.client import BoundClient, UpstreamClient

Override = Mapping[str, Any] | UnsetType | None
"""An account's own mapping; None for none, UNSET where nothing was said of it."""

_ROWS = 4096
_CLIENTS = 1024

_log = structlog.get_logger(__name__)


class KeyRotation(msgspec.Struct, frozen=True, kw_only=True):
    """What a rotation of the secret keys did."""

    resealed: int
    """Credentials that are now under the first key."""
    current: int
    """Credentials that were already."""
    lost: tuple[str, ...]
    """Integrated accounts whose credential no key opens: put the key back, or reconnect them."""


class Accounts:
    """The integrated accounts of this deployment."""

    def __init__(
        self,
        *,
        store: AccountStore,
        vault: Vault,
        upstream: UpstreamClient,
        chores: Chores,
        unit_scopes: UnitScopes | None = None,
        check_override: Callable[[Mapping[str, Any]], None] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`unit_scopes` tells which of the provider's scopes each unit needs; `chores` is finished at shutdown.

        `check_override` refuses, by InvalidBody, what can't be an account's own mapping.
        """
        self._store = store
        self._vault = vault
        self._upstream = upstream
        self._chores = chores
        self._unit_scopes = dict(unit_scopes or {})
        self._check_override = check_override or (lambda _: None)
        self._now = now
        self._rows: ShortCache[IntegratedAccount] = ShortCache(_ROWS)
        self._clients: LRUCache[str, BoundClient] = LRUCache(_CLIENTS)

    async def connect_api_key(
        self,
        *,
        tenant_id: str,
        api_key: Secret,
        context: Mapping[str, Any] | None = None,
        override: Override = UNSET,
        caller: Caller | None = None,
    ) -> IntegratedAccount:
        """Keep a provider account for a tenant, once its key has proved good; InvalidCredential where it has not.

        The tenant's connection to that provider account, if there is one, gets the new key and keeps its id.
        """
        _refuse_other_tenant(checked_tenant(tenant_id), caller)
        given = self._given(override) | ({"context": checked_context(context)} if context is not None else {})
        token = checked_key(api_key)
        finding = await tried(self._upstream, token, self._unit_scopes)
        try:
            return await self._keep(tenant_id, token, given, finding)
        except Conflict:
            # Somebody connected the same provider account in between: now it is there to be found.
            return await self._keep(tenant_id, token, given, finding)

    async def get(self, account_id: str, caller: Caller | None = None) -> IntegratedAccount:
        """AccountNotFound, or WrongAccount for an account token that belongs to another."""
        if caller is not None and caller.kind == "account" and caller.account_id != account_id:
            raise WrongAccount
        account = await self._rows.get(account_id, lambda: self._read(account_id))
        if account is None or not _in_tenant(account.tenant_id, caller):
            raise AccountNotFound
        return account

    async def list(
        self,
        caller: Caller | None = None,
        *,
        tenant_id: str | None = None,
        status: AccountStatus | None = None,
        after: str = "",
        limit: int = 100,
    ) -> list[IntegratedAccount]:
        """At most `limit` accounts with an id above `after`, by id. None of another tenant than a bound caller's."""
        _refuse_account_token(caller)
        bound = caller.tenant_id if caller is not None else None
        wanted = bound if tenant_id is None else tenant_id
        if wanted is not None and (not _in_tenant(wanted, caller) or not wanted.isprintable()):
            return []
        return await self._store.list(tenant_id=wanted, status=status, after=after, limit=limit)

    async def patch(
        self,
        account_id: str,
        *,
        is_blocked: bool | None = None,
        context: Mapping[str, Any] | None = None,
        override: Override = UNSET,
        caller: Caller | None = None,
    ) -> IntegratedAccount:
        """Block or unblock, and merge into the context: a word with null is taken out, one not named stays.

        `override` takes the place of the account's own mapping; None removes it.
        """
        account = await self._managed(account_id, caller)
        fields = self._given(override)
        if is_blocked is not None:
            fields["is_blocked"] = is_blocked
        if context is not None:
            merged = {**account.context, **context}
            fields["context"] = checked_context({key: value for key, value in merged.items() if value is not None})
        return await self._updated(account_id, **fields) if fields else account

    async def replace_credentials(
        self, account_id: str, api_key: Secret, caller: Caller | None = None
    ) -> IntegratedAccount:
        """Give the account another key of the same provider account; Conflict unless it is shown to be that."""
        account = await self._managed(account_id, caller)
        token = checked_key(api_key)
        finding = await tried(self._upstream, token, self._unit_scopes)
        _refuse_other_identity(account, finding)
        return await self._renew(account_id, token, finding)

    async def refresh_credentials(self, account_id: str, caller: Caller | None = None) -> IntegratedAccount:
        """Try the kept credential again: the account becomes active with what was found, or NeedsReauth is raised."""
        await self._managed(account_id, caller)
        sealed = await self._store.credential(account_id)
        if sealed is None:
            raise AccountNotFound
        token = unseal(self._vault, account_id, sealed).access_token
        try:
            finding = await tried(self._upstream, token, self._unit_scopes)
        except InvalidCredential:
            note = ErrorNote(code=NeedsReauth.code, message=NeedsReauth().message, at=self._now())
            await self._store.update(account_id, only_if=sealed, status="needs_reauth", last_error=note)
            self._forget(account_id)
            raise NeedsReauth from None
        account = await self._store.update(
            account_id, only_if=sealed, status="active", last_error=None, **finding.fields()
        )
        self._forget(account_id)
        return account or await self.get(account_id, caller)  # another credential came in between

    async def remove(self, account_id: str, caller: Caller | None = None) -> Mapping[str, Any]:
        """Delete the account with its credential and tokens: its id, and how many rows of what went with it."""
        await self._managed(account_id, caller)
        counts = await self._store.remove(account_id)
        self._forget(account_id)
        if counts is None:
            raise AccountNotFound
        _log.info("account_removed", integrated_account_id=account_id, **counts)
        return {"id": account_id, **counts}

    async def open(self, account_id: str, caller: Caller | None = None) -> BoundClient:
        """The provider as this account: the only way to a plaintext credential.

        AccountNotFound, WrongAccount, AccountBlocked, or NeedsReauth.
        """
        account = await self.get(account_id, caller)
        if account.is_blocked:
            raise AccountBlocked
        if account.status != "active":
            raise NeedsReauth(
                f"The account is {account.status}: reconnect it, or send a new key to "
                f"PATCH /integrated-account/{account.id}/credentials."
            )
        return self._client(account)

    async def rotate_keys(self) -> KeyRotation:
        """Reseal every credential with the first key. May be broken off and begun again at any point."""
        resealed, current, lost = 0, 0, list[str]()
        async for account_id, sealed in self._store.iterate_sealed():
            if not self._vault.needs_reseal(sealed):
                current += 1
            elif await self._reseal(account_id, sealed):
                resealed += 1
            else:
                lost.append(account_id)
        _log.info("keys_rotated", resealed=resealed, current=current, lost=lost)
        return KeyRotation(resealed=resealed, current=current, lost=tuple(lost))

    async def lost_keys(self) -> tuple[str, ...]:
        """The integrated accounts whose credential was sealed with a key that is no longer there."""
        return tuple([id_ async for id_, sealed in self._store.iterate_sealed() if not self._vault.can_open(sealed)])

    async def _reseal(self, account_id: str, sealed: bytes) -> bool:
        """False where no key opens it; a credential replaced meanwhile is tried again as it then is."""
        stored: bytes | None = sealed
        while stored is not None and self._vault.needs_reseal(stored):
            try:
                fresh = self._vault.reseal(stored, about=about(account_id))
            except KeyLost:
                return False
            if await self._store.reseal(account_id, old=stored, new=fresh):
                return True
            stored = await self._store.credential(account_id)
        return True

    def _given(self, override: Override) -> dict[str, Any]:
        """The override as a field to set, once it is found good; nothing where none was given."""
        if isinstance(override, UnsetType):
            return {}
        if override is not None:
            self._check_override(override)
        return {"unified_model_override": override or None}

    async def _keep(
        self, tenant_id: str, token: Secret, given: Mapping[str, Any], finding: Finding
    ) -> IntegratedAccount:
        known = await self._store.find(tenant_id, finding.identity.id) if finding.identity else None
        if known is not None:
            return await self._renew(known.id, token, finding, **given)
        account = self._new(tenant_id, given, finding)
        await self._store.add(account, seal(self._vault, account.id, _api_key(token)))
        _log.info("account_connected", integrated_account_id=account.id, missing_units=sorted(account.missing_scopes))
        return account

    def _new(self, tenant_id: str, given: Mapping[str, Any], finding: Finding) -> IntegratedAccount:
        now = self._now()
        return IntegratedAccount(
            id=str(uuid4()),
            tenant_id=tenant_id,
            status="active",
            authentication_method="api_key",
            created_at=now,
            updated_at=now,
            **given,
            **finding.fields(),
        )

    async def _renew(self, account_id: str, token: Secret, finding: Finding, **fields: Any) -> IntegratedAccount:
        fields |= finding.fields() | {"status": "active", "last_error": None, "authentication_method": "api_key"}
        account = await self._updated(account_id, sealed=seal(self._vault, account_id, _api_key(token)), **fields)
        _log.info("account_reconnected", integrated_account_id=account_id)
        return account

    async def _read(self, account_id: str) -> IntegratedAccount | None:
        # PostgreSQL can't even be asked for a NUL; no id of ours holds anything of the kind.
        return await self._store.get(account_id) if account_id.isprintable() else None

    async def _managed(self, account_id: str, caller: Caller | None) -> IntegratedAccount:
        """The account as it stands in the store, for somebody who may change it."""
        _refuse_account_token(caller)
        self._rows.drop(lambda account: account.id == account_id)
        return await self.get(account_id, caller)

    async def _updated(self, account_id: str, **fields: Any) -> IntegratedAccount:
        try:
            account = await self._store.update(account_id, **fields)
        finally:
            self._forget(account_id)
        if account is None:
            raise AccountNotFound
        return account

    def _client(self, account: IntegratedAccount) -> BoundClient:
        key = account.identity.id if account.identity else f"account:{account.id}"
        client = self._clients.get(account.id)
        if client is None or client.account_key != key:
            source = StoredCredential(
                account.id, store=self._store, vault=self._vault, chores=self._chores, on_change=self._forget_row
            )
            client = self._upstream.bind(source, account_key=key)
            self._clients[account.id] = client
        return client

    def _forget_row(self, account_id: str) -> None:
        self._rows.drop(lambda account: account.id == account_id)

    def _forget(self, account_id: str) -> None:
        self._forget_row(account_id)
        self._clients.pop(account_id, None)


def _api_key(token: Secret) -> Credential:
    return Credential(method="api_key", access_token=token)


def _in_tenant(tenant_id: str, caller: Caller | None) -> bool:
    return caller is None or caller.tenant_id is None or caller.tenant_id == tenant_id


def _refuse_other_tenant(tenant_id: str, caller: Caller | None) -> None:
    _refuse_account_token(caller)
    if not _in_tenant(tenant_id, caller):
        raise Forbidden("This API token is bound to another tenant.")


def _refuse_account_token(caller: Caller | None) -> None:
    if caller is not None and caller.kind == "account":
        raise Forbidden("An integrated account token opens the directory and the raw doors; this needs an API token.")


def _refuse_other_identity(account: IntegratedAccount, finding: Finding) -> None:
    if account.identity is None:
        return
    if finding.identity is None:
        raise Conflict(
            "This credential can't show whose it is, so it can't take the place of the present one: "
            "send one that may read its own account, or connect it as another integrated account."
        )
    if finding.identity.id != account.identity.id:
        raise Conflict("This credential belongs to another provider account; connect it as another integrated account.")
