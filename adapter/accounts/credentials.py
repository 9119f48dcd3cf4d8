"""Credentials between the vault and the client: sealed on one side, a `CredentialSource` on the other."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from adapter.accounts.chores import Chores
from adapter.accounts.refreshing import Refreshing, margin, seconds_left, spread
from adapter.accounts.sealing import about, seal, unseal
from adapter.errors import AccountBlocked, AccountNotFound, AdapterError, NeedsReauth, RemoteForbidden
from adapter.models import Credential, ErrorNote, Secret
from adapter.storage.accounts import AccountStore
from adapter.storage.vault import Vault

__all__ = ["StoredCredential", "about", "seal", "unseal"]

_MAX_AGE = 4.0
_NOTE_EVERY = 60.0
_PATIENCE = 2.0
"""Seconds. Who has a token that still lives waits no longer for a better one."""

_log = structlog.get_logger(__name__)


class StoredCredential:
    """An account's kept credential, opened when it is needed, reread after a few seconds, and fresh if it can be.

    `on_change` is told when the account's row was changed from here. Without `refreshing` a credential is used as it
    is, until the provider refuses it.
    """

    def __init__(
        self,
        account_id: str,
        *,
        store: AccountStore,
        vault: Vault,
        chores: Chores,
        on_change: Callable[[str], None],
        refreshing: Refreshing | None = None,
        timer: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._id = account_id
        self._store = store
        self._vault = vault
        self._chores = chores
        self._on_change = on_change
        self._refreshing = refreshing
        self._timer = timer
        self._now = now
        self._spread = spread()
        self._held: Secret | None = None
        self._held_until = 0.0
        self._reading = asyncio.Lock()
        self._noted: tuple[str, tuple[str, ...]] | None = None
        self._noted_until = 0.0

    async def token(self) -> Secret:
        """What to send; KeyLost where it can't be opened, AccountBlocked, AccountNotFound once the account is removed.

        Where it has lapsed and can't be refreshed: whatever keeps the provider from answering, as `renew`.
        """
        if self._held is not None and self._timer() < self._held_until:
            return self._held
        async with self._reading:  # when it lapses under load, it is read once
            if self._held is not None and self._timer() < self._held_until:
                return self._held
            await self._refuse_blocked()
            _, kept = await self._read()
            if self._refreshing is not None and kept.refresh_token is not None and self._is_due(kept):
                kept = await self._freshened(self._refreshing, kept)
                await self._refuse_blocked()  # by now: the provider may have taken its time
            return self._hold(kept)

    async def renew(self, rejected: Secret) -> Secret | None:
        """Another credential than the rejected one: somebody else's, or refreshed; None where neither can be had.

        NeedsReauth where the provider refuses to refresh it, and the account is marked so. UpstreamFailure,
        RemoteRateLimited or StorageUnavailable where it could not be asked: then nothing is known of the account.
        AccountBlocked where it was blocked meanwhile.
        """
        _, kept = await self._read()
        if kept.access_token == rejected:
            if self._refreshing is None or kept.refresh_token is None:
                return None
            kept = await self._refreshing.fresh(self._id, lambda found: found.access_token == rejected)
            await self._refuse_blocked()
        return self._hold(kept)

    async def rejected(self, token: Secret) -> None:
        """The provider's last word: the account needs a new credential, unless it has got one in this moment."""
        sealed, kept = await self._read()
        if kept.access_token != token:
            return
        note = ErrorNote(code="needs_reauth", message=NeedsReauth().message, at=datetime.now(UTC))
        if await self._store.update(self._id, only_if=sealed, status="needs_reauth", last_error=note):
            _log.warning("account_needs_reauth", integrated_account_id=self._id)
            self._on_change(self._id)

    async def forbidden(self, error: RemoteForbidden) -> None:
        """Remember a 403, the same one at most once a minute, without keeping anybody waiting."""
        note = _note(error)
        what = (note.message, note.missing_scopes)
        if what == self._noted and self._timer() < self._noted_until:
            return
        self._noted, self._noted_until = what, self._timer() + _NOTE_EVERY
        self._chores.add("note_forbidden", self._keep(note))

    async def _keep(self, note: ErrorNote) -> None:
        await self._store.update(self._id, last_forbidden_error=note)
        self._on_change(self._id)

    async def _refuse_blocked(self) -> None:
        """Whoever was let in before the account was blocked, like a gather under way, ends here."""
        account = await self._store.get(self._id)
        if account is not None and account.is_blocked:
            raise AccountBlocked

    async def _read(self) -> tuple[bytes, Credential]:
        sealed = await self._store.credential(self._id)
        if sealed is None:
            # It goes with its account, of which another process may have a memory that is some seconds old.
            raise AccountNotFound
        return sealed, unseal(self._vault, self._id, sealed)

    async def _freshened(self, refreshing: Refreshing, kept: Credential) -> Credential:
        """The credential refreshed; as it is, if that takes long or fails while it still lives."""
        lives = seconds_left(kept, self._now()) > 0
        try:
            return await refreshing.fresh(self._id, self._is_due, patience=_PATIENCE if lives else None)
        except (AdapterError, TimeoutError):
            if not lives:
                raise
            return kept

    def _is_due(self, credential: Credential) -> bool:
        return self._seconds_until_due(credential) <= 0

    def _seconds_until_due(self, credential: Credential) -> float:
        return seconds_left(credential, self._now()) - margin(credential) * self._spread

    def _hold(self, credential: Credential) -> Secret:
        """Until it is to be read again: sooner where it becomes due, or else lapses, before that."""
        ends = (self._seconds_until_due(credential), seconds_left(credential, self._now()), _MAX_AGE)
        self._held_until = self._timer() + min(_MAX_AGE, next(seconds for seconds in ends if seconds > 0))
        self._held = credential.access_token
        return self._held


def _note(error: RemoteForbidden) -> ErrorNote:
    missing = error.insight.get("forbidden_error", {}).get("missing_scopes", ())
    # The error's own message may point to the rest of an answer, which is not kept.
    message = f"The credential lacks a scope for that at the provider: {' or '.join(missing)}." if missing else None
    return ErrorNote(
        code=error.remote_id or error.code,
        message=message or error.message,
        at=datetime.now(UTC),
        missing_scopes=tuple(missing),
    )
