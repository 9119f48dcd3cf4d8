"""What an account leaves behind at the provider when it is disconnected, taken back as far as that can be done."""

import asyncio
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
import structlog

from adapter.accounts.credentials import unseal
from adapter.errors import AdapterError, NeedsReauth
from adapter.models import Credential, IntegratedAccount
from adapter.storage.accounts import AccountStore
from adapter.storage.vault import Vault
from adapter.upstream.client import BoundClient, FixedCredential, UpstreamClient

PATIENCE = 10.0
"""Seconds. Who disconnects an account does not wait longer for the provider."""

_log = structlog.get_logger(__name__)


class Grants(Protocol):
    """Who renews what a person granted at the provider, and takes it back."""

    async def refresh(self, credential: Credential) -> Credential: ...
    async def revoke(self, client: BoundClient, credential: Credential) -> bool:
        """End the grant behind the credential; False where the provider has none such."""


class Withdrawal(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the provider still has a grant of ours: True for revoked, None where there was nothing of ours."""

    revoked: bool | None
    reason: str | None = None

    def told(self) -> dict[str, Any]:
        """As a part of an answer."""
        reason = {"reason": self.reason} if self.reason else {}
        return {"revoked_at_provider": self.revoked, **reason}


async def taken_back(
    account: IntegratedAccount, *, store: AccountStore, vault: Vault, upstream: UpstreamClient, oauth: Grants | None
) -> Withdrawal:
    """Revoke the account's grant at the provider, best effort: whatever keeps it from being revoked is the reason."""
    if account.authentication_method == "api_key":
        return Withdrawal(revoked=None, reason="An API token belongs to whoever made it; revoke it at the provider.")
    if oauth is None:
        return Withdrawal(revoked=False, reason="No OAuth client is configured here; revoke it at the provider.")
    try:
        async with asyncio.timeout(PATIENCE):
            return await _revoked(account, store, vault, upstream, oauth)
    except TimeoutError:
        reason = "The provider did not answer in time."
    except AdapterError as error:
        reason = error.message
    _log.warning("grant_not_revoked", integrated_account_id=account.id, reason=reason)
    return Withdrawal(revoked=False, reason=f"{reason} Revoke it at the provider.")


async def _revoked(
    account: IntegratedAccount, store: AccountStore, vault: Vault, upstream: UpstreamClient, oauth: Grants
) -> Withdrawal:
    sealed = await store.credential(account.id)
    if sealed is None:
        raise NeedsReauth
    credential = unseal(vault, account.id, sealed)
    if credential.refresh_token is not None and _is_over(credential):
        credential = await oauth.refresh(credential)
    # Not the account's own client: a blocked account can be disconnected too.
    client = upstream.bind(FixedCredential(credential.access_token), account_key=f"leaving:{account.id}")
    if await oauth.revoke(client, credential):
        return Withdrawal(revoked=True)
    return Withdrawal(revoked=None, reason="The provider has no such authorization any more.")


def _is_over(credential: Credential) -> bool:
    return credential.expires_at is not None and credential.expires_at <= datetime.now(UTC)
