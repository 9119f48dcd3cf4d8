"""Integrated accounts: connected, shown, changed, opened and removed.

`caller` says who asks; None is the deployment itself (the command line). For an API token bound to a tenant, another
tenant's account does not exist; an integrated account token opens its own account and no other.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

import msgspec
import structlog
from cachetools import LRUCache
from msgspec import UNSET, UnsetType

from adapter.accounts.bounds import (
    in_tenant,
    refuse_account_token,
    refuse_another_owner,
    refuse_other_identity,
    refuse_other_tenant,
)
from adapter.accounts.cache import ShortCache
from adapter.accounts.checks import checked_context, checked_key, checked_tenant, merged_context
from adapter.accounts.chores import Chores
from adapter.accounts.credentials import StoredCredential, about, seal, unseal
from adapter.accounts.leaving import Grants, Removal, taken_back
from adapter.accounts.refreshing import Refreshing
from adapter.accounts.rotation import KeyRotation, reported, rotated
from adapter.accounts.trial import Finding, UnitScopes, tried
from adapter.errors import (
    AccountBlocked,
    AccountNotFound,
    AdapterError,
    Conflict,
    InvalidCredential,
    NeedsReauth,
    WrongAccount,
)
from adapter.models import AccountStatus, Caller, Credential, ErrorNote, IntegratedAccount, Secret
from adapter.storage.accounts import AccountStore, Also
from adapter.storage.renewals import Renewals
from adapter.storage.vault import Vault
from adapter.upstream.client import BoundClient, UpstreamClient

Override = Mapping[str, Any] | UnsetType | None
"""An account's own mapping; None for none, UNSET where nothing was said of it."""

_ROWS = 4096
_CLIENTS = 1024

_log = structlog.get_logger(__name__)


class _Proved(msgspec.Struct, frozen=True, kw_only=True):
    """A credential that proved good, and what is to be kept with it."""

    credential: Credential
    finding: Finding
    fields: Mapping[str, Any] = {}
    """Of the account, in the place of what it had."""
    adds: Mapping[str, Any] = {}
    """Laid over the account's context."""
    also: Also | None = None

    def of(self, account: IntegratedAccount | None) -> dict[str, Any]:
        """The fields to set; `account` is the one that is connected again. Its last 403 was the former credential's."""
        found: dict[str, Any] = {**self.fields, **self.finding.fields()}
        found["authentication_method"] = self.credential.method
        if self.adds:
            found["context"] = merged_context(account.context if account else {}, self.adds)
        if account is not None and self.finding.identity is None:
            found["identity"] = account.identity
        return found | {"status": "active", "last_error": None, "last_forbidden_error": None}


class Accounts:
    """The integrated accounts of this deployment."""

    def __init__(
        self,
        *,
        store: AccountStore,
        vault: Vault,
        upstream: UpstreamClient,
        chores: Chores,
        oauth: Grants | None = None,
        renewals: Renewals | None = None,
        unit_scopes: UnitScopes | None = None,
        check_override: Callable[[Mapping[str, Any]], None] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`unit_scopes` tells which of the provider's scopes each unit needs; `chores` is finished at shutdown.

        `oauth` renews grants and takes them back, None where no client is configured; renewing needs `renewals`.
        `check_override` refuses, by InvalidBody, what can't be an account's own mapping.
        """
        self._store = store
        self._vault = vault
        self._upstream = upstream
        self._chores = chores
        self._oauth = oauth
        self._unit_scopes = dict(unit_scopes or {})
        self._check_override = check_override or (lambda _: None)
        self._now = now
        self._rows: ShortCache[IntegratedAccount] = ShortCache(_ROWS)
        self._clients: LRUCache[str, BoundClient] = LRUCache(_CLIENTS)
        self._refreshing: Refreshing | None = None
        if oauth is not None and renewals is not None:
            self._refreshing = Refreshing(
                refresh=oauth.refresh,
                renewals=renewals,
                store=store,
                vault=vault,
                chores=chores,
                on_change=self._forget_row,
            )

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
        refuse_other_tenant(checked_tenant(tenant_id), caller)
        given = self._given(override) | ({"context": checked_context(context)} if context is not None else {})
        credential = _api_key(checked_key(api_key))
        finding = await self._tried(credential)
        return await self._connect(tenant_id, _Proved(credential=credential, finding=finding, fields=given))

    async def connect(
        self, tenant_id: str, credential: Credential, *, context: Mapping[str, Any], also: Also
    ) -> IntegratedAccount:
        """Keep a provider account for a tenant, by a credential of any kind, as `connect_api_key` does.

        `context` is laid over that of a connection that is there already. What `also` raises undoes everything.
        """
        finding = await self._tried(credential)
        proved = _Proved(credential=credential, finding=finding, adds=context, also=also)
        return await self._connect(tenant_id, proved)

    async def reconnect(
        self, account_id: str, credential: Credential, *, context: Mapping[str, Any], also: Also
    ) -> IntegratedAccount:
        """Give the account a credential of any kind: its id and history stay. Conflict as `replace_credentials`."""
        account = await self._managed(account_id, None)
        finding = await self._tried(credential)
        refuse_other_identity(account, finding)
        return await self._renew(account, _Proved(credential=credential, finding=finding, adds=context, also=also))

    async def get(self, account_id: str, caller: Caller | None = None) -> IntegratedAccount:
        """AccountNotFound, or WrongAccount for an account token that belongs to another."""
        if caller is not None and caller.kind == "account" and caller.account_id != account_id:
            raise WrongAccount
        account = self._rows.at_hand(account_id) or await self._rows.get(account_id, lambda: self._read(account_id))
        if account is None or not in_tenant(account.tenant_id, caller):
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
        refuse_account_token(caller)
        bound = caller.tenant_id if caller is not None else None
        wanted = bound if tenant_id is None else tenant_id
        if wanted is not None and (not in_tenant(wanted, caller) or not wanted.isprintable()):
            return []
        return await self._store.list(tenant_id=wanted, status=status, after=after, limit=limit)

    async def patch(
        self,
        account_id: str,
        *,
        is_blocked: bool | None = None,
        context: Mapping[str, Any] | None = None,
        override: Override = UNSET,
        allow_admin_grants: bool | None = None,
        caller: Caller | None = None,
    ) -> IntegratedAccount:
        """Block or unblock, and merge into the context: a word with null is taken out, one not named stays.

        `override` takes the place of the account's own mapping; None removes it. `allow_admin_grants` lets callers
        make administrators of people, or not.
        """
        account = await self._managed(account_id, caller)
        fields = self._given(override)
        flags = {"is_blocked": is_blocked, "allow_admin_grants": allow_admin_grants}
        fields |= {name: flag for name, flag in flags.items() if flag is not None}
        if context is not None:
            fields["context"] = merged_context(account.context, context)
        return await self._updated(account_id, **fields) if fields else account

    async def replace_credentials(
        self, account_id: str, api_key: Secret, caller: Caller | None = None
    ) -> IntegratedAccount:
        """Give the account another key of the same provider account; Conflict unless it is shown to be that."""
        account = await self._managed(account_id, caller)
        credential = _api_key(checked_key(api_key))
        finding = await self._tried(credential)
        refuse_other_identity(account, finding)
        return await self._renew(account, _Proved(credential=credential, finding=finding))

    async def refresh_credentials(self, account_id: str, caller: Caller | None = None) -> IntegratedAccount:
        """Refresh what can be, and try it: the account becomes active with what was found, or NeedsReauth is raised.

        Conflict where the credential opens another provider account by now: then the account is `validation_error`.
        UpstreamFailure or RemoteRateLimited where the provider can't be asked: then nothing is changed.
        """
        known = await self._managed(account_id, caller)
        sealed, credential = await self._kept(account_id)
        if self._refreshing is not None and credential.refresh_token is not None:
            former = credential.access_token
            await self._refreshing.fresh(account_id, lambda found: found.access_token == former, insist=True)
            sealed, credential = await self._kept(account_id)
        try:
            finding = await tried(self._upstream, credential.access_token, self._unit_scopes)
        except InvalidCredential:
            await self._mark(account_id, sealed, "needs_reauth", NeedsReauth())
            raise NeedsReauth from None
        try:
            refuse_another_owner(known, finding)
        except Conflict as error:
            await self._mark(account_id, sealed, "validation_error", error)
            raise
        found = finding.fields() | {"identity": finding.identity or known.identity}
        account = await self._store.update(account_id, only_if=sealed, status="active", last_error=None, **found)
        self._forget(account_id)
        return account or await self.get(account_id, caller)  # another credential came in between

    async def remove(self, account_id: str, caller: Caller | None = None) -> Removal:
        """Take the grant back at the provider as far as that can be done, then delete everything about the account.

        The provider comes first: where the rest breaks off, the account is still there to be removed again.
        """
        account = await self._managed(account_id, caller)
        withdrawal = await taken_back(
            account,
            upstream=self._upstream,
            oauth=self._oauth,
            fresh=partial(self._fresh, account_id),
        )
        deleted = await self._store.remove(account_id)
        self._forget(account_id)
        if deleted is None:
            raise AccountNotFound
        _log.info("account_removed", integrated_account_id=account_id, revoked=withdrawal.revoked, **deleted)
        return Removal(id=account_id, deleted=deleted, revoked_at_provider=withdrawal.revoked, reason=withdrawal.reason)

    async def open(self, account_id: str, caller: Caller | None = None) -> BoundClient:
        """The provider as this account: the only way to a plaintext credential.

        AccountNotFound, WrongAccount, AccountBlocked, or NeedsReauth.
        """
        account = await self.get(account_id, caller)
        if account.is_blocked:
            raise AccountBlocked
        if account.status != "active":
            raise NeedsReauth(
                f"The account is {account.status}: reconnect it by a link (POST /link-token with its id as "
                f"`integrated_account_id`), or send a new key to PATCH /integrated-account/{account.id}/credentials."
            )
        return self._client(account)

    async def rotate_keys(self) -> KeyRotation:
        """Reseal every credential with the first key. May be broken off and begun again at any point."""
        rotation = await rotated(self._vault, self._store, about=about, reread=self._store.credential)
        _log.info("keys_rotated", resealed=rotation.resealed, current=rotation.current, lost=rotation.lost)
        return rotation

    def report_lost_keys(self) -> None:
        """Name in the log, in a moment, the accounts that no key opens; the others are served all the same."""
        self._chores.add("report_lost_keys", reported(self.lost_keys))

    async def lost_keys(self) -> tuple[str, ...]:
        """The integrated accounts whose credential was sealed with a key that is no longer there."""
        return tuple([id_ async for id_, sealed in self._store.iterate_sealed() if not self._vault.can_open(sealed)])

    def _given(self, override: Override) -> dict[str, Any]:
        """The override as a field to set, once it is found good; nothing where none was given."""
        if isinstance(override, UnsetType):
            return {}
        if override is not None:
            self._check_override(override)
        return {"unified_model_override": override or None}

    async def _fresh(self, account_id: str, rejected: Secret | None) -> Credential:
        """The account's credential, refreshed where it has run out or is the rejected one."""

        def stale(credential: Credential) -> bool:
            over = credential.expires_at is not None and credential.expires_at <= self._now()
            return over or credential.access_token == rejected

        _, credential = await self._kept(account_id)
        if self._refreshing is None or credential.refresh_token is None or not stale(credential):
            return credential
        return await self._refreshing.fresh(account_id, stale, insist=True)

    async def _mark(self, account_id: str, sealed: bytes, status: AccountStatus, error: AdapterError) -> None:
        """Note what is wrong with the account, unless it has got another credential in this moment."""
        note = ErrorNote(code=error.code, message=error.message, at=self._now())
        if await self._store.update(account_id, only_if=sealed, status=status, last_error=note):
            _log.warning("account_marked", integrated_account_id=account_id, status=status)
        self._forget(account_id)

    async def _tried(self, credential: Credential) -> Finding:
        return await tried(self._upstream, credential.access_token, self._unit_scopes)

    async def _connect(self, tenant_id: str, proved: _Proved) -> IntegratedAccount:
        try:
            return await self._keep(tenant_id, proved)
        except Conflict:
            # Somebody connected the same provider account in between: now it is there to be found.
            return await self._keep(tenant_id, proved)

    async def _keep(self, tenant_id: str, proved: _Proved) -> IntegratedAccount:
        identity = proved.finding.identity
        known = await self._store.find(tenant_id, identity.id) if identity else None
        if known is not None:
            return await self._renew(known, proved)
        now = self._now()
        account = IntegratedAccount(
            id=str(uuid4()), tenant_id=tenant_id, created_at=now, updated_at=now, **proved.of(None)
        )
        await self._store.add(account, seal(self._vault, account.id, proved.credential), also=proved.also)
        _log.info("account_connected", integrated_account_id=account.id, missing_units=sorted(account.missing_scopes))
        return account

    async def _renew(self, known: IntegratedAccount, proved: _Proved) -> IntegratedAccount:
        sealed = seal(self._vault, known.id, proved.credential)
        account = await self._updated(known.id, sealed=sealed, also=proved.also, **proved.of(known))
        _log.info("account_reconnected", integrated_account_id=known.id)
        return account

    async def _read(self, account_id: str) -> IntegratedAccount | None:
        # PostgreSQL can't even be asked for a NUL; no id of ours holds anything of the kind.
        return await self._store.get(account_id) if account_id.isprintable() else None

    async def _kept(self, account_id: str) -> tuple[bytes, Credential]:
        sealed = await self._store.credential(account_id)
        if sealed is None:
            raise AccountNotFound
        return sealed, unseal(self._vault, account_id, sealed)

    async def _managed(self, account_id: str, caller: Caller | None) -> IntegratedAccount:
        """The account as it stands in the store, for somebody who may change it."""
        refuse_account_token(caller)
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
                account.id,
                store=self._store,
                vault=self._vault,
                chores=self._chores,
                on_change=self._forget_row,
                refreshing=self._refreshing,
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
