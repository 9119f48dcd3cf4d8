"""What an account leaves behind at the provider when it is disconnected, taken back as far as that can be done."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import msgspec
import structlog

from adapter.errors import AdapterError, RemoteUnauthorized
from adapter.models import Credential, IntegratedAccount, Secret
from adapter.upstream.client import BoundClient, FixedCredential, UpstreamClient

PATIENCE = 10.0
"""Seconds. Who disconnects an account does not wait longer for the provider."""

Fresh = Callable[[Secret | None], Awaitable[Credential]]

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


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an account that was disconnected, as the caller is told."""

    id: str
    deleted: Mapping[str, int]
    """How many rows of what went with it."""
    revoked_at_provider: bool | None
    reason: str | None
    """Why it was not revoked; null where it was."""


async def taken_back(
    account: IntegratedAccount, *, upstream: UpstreamClient, oauth: Grants | None, fresh: Fresh
) -> Withdrawal:
    """Revoke the account's grant at the provider, best effort: whatever keeps it from being revoked is the reason.

    `fresh` gives the account's credential, another than the one named where that was refused.
    """
    if account.authentication_method == "api_key":
        return Withdrawal(revoked=None, reason="An API token belongs to whoever made it; revoke it at the provider.")
    if oauth is None:
        return Withdrawal(revoked=False, reason="No OAuth client is configured here; revoke it at the provider.")
    try:
        async with asyncio.timeout(PATIENCE):
            return await _revoked(account, upstream, oauth, fresh)
    except TimeoutError:
        reason = "The provider did not answer in time."
    except AdapterError as error:
        reason = error.message
    _log.warning("grant_not_revoked", integrated_account_id=account.id, reason=reason)
    return Withdrawal(revoked=False, reason=f"Revoke it at the provider; it was not revoked from here: {reason}")


async def _revoked(account: IntegratedAccount, upstream: UpstreamClient, oauth: Grants, fresh: Fresh) -> Withdrawal:
    credential = await fresh(None)
    try:
        found = await oauth.revoke(_client(account, upstream, credential), credential)
    except RemoteUnauthorized:
        credential = await fresh(credential.access_token)
        found = await oauth.revoke(_client(account, upstream, credential), credential)
    if found:
        return Withdrawal(revoked=True)
    return Withdrawal(revoked=None, reason="The provider has no such authorization any more.")


def _client(account: IntegratedAccount, upstream: UpstreamClient, credential: Credential) -> BoundClient:
    """Not the account's own client, which a block closes: a blocked account can be disconnected too."""
    return upstream.bind(FixedCredential(credential.access_token), account_key=f"leaving:{account.id}")
