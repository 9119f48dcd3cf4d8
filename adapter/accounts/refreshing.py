"""OAuth credentials kept fresh: one refresh at a time for each account, in this process and in all of them.

Who needs a fresh credential shares the refresh under way. It outlives whoever asked for it, since the provider may give
a new refresh token only once. What it knows of a credential it has read from the store after it held its row.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog
from cachetools import LRUCache
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from adapter.accounts.chores import Chores
from adapter.accounts.sealing import seal, unseal
from adapter.errors import (
    AccountNotFound,
    AdapterError,
    NeedsReauth,
    OAuthFailed,
    RemoteRateLimited,
    StorageUnavailable,
    UpstreamFailure,
)
from adapter.models import Credential, ErrorNote
from adapter.storage.accounts import AccountStore
from adapter.storage.renewals import Renewals
from adapter.storage.vault import Vault

Stale = Callable[[Credential], bool]
Refresh = Callable[[Credential], Awaitable[Credential]]

MARGIN = 600.0
"""Seconds before its end in which a credential is refreshed; a fifth of its life where that is less."""
JITTER = 0.2
"""The part of the margin by which processes and accounts differ, so that not all of them refresh at once."""
COOL_DOWN = 15.0
"""Seconds after a failure in which nobody tries again, but for `Retry-After` where the provider names it."""
_RESCUE = 60.0

# Its own, so that whoever seeds the interpreter's random numbers goes on getting the same ones.
_uniform = random.Random().uniform  # noqa: S311  # to spread the load, not to keep a secret

_log = structlog.get_logger(__name__)


def spread() -> float:
    """What to multiply the margin with: another number for whoever asks."""
    return _uniform(1 - JITTER, 1 + JITTER)


def seconds_left(credential: Credential, now: datetime) -> float:
    """Until the access token lapses; infinite where that is not known."""
    return (credential.expires_at - now).total_seconds() if credential.expires_at else float("inf")


def margin(credential: Credential) -> float:
    """How many seconds before its end the access token is to be refreshed, without jitter."""
    if credential.issued_at is None or credential.expires_at is None:
        return MARGIN
    return min(MARGIN, (credential.expires_at - credential.issued_at).total_seconds() / 5)


class Refreshing:
    """The refreshes of this process."""

    def __init__(
        self,
        *,
        refresh: Refresh,
        renewals: Renewals,
        store: AccountStore,
        vault: Vault,
        chores: Chores,
        on_change: Callable[[str], None],
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """`refresh` asks the provider for what follows a credential: OAuthFailed says that it refused.

        `on_change` is told when an account's row was changed from here; `chores` waits for what is under way.
        """
        self._refresh = refresh
        self._renewals = renewals
        self._store = store
        self._vault = vault
        self._chores = chores
        self._on_change = on_change
        self._timer = timer
        self._flights: dict[str, asyncio.Task[Credential]] = {}
        self._failures: LRUCache[str, tuple[float, AdapterError]] = LRUCache(4096)

    async def fresh(
        self, account_id: str, stale: Stale, *, patience: float | None = None, insist: bool = False
    ) -> Credential:
        """The account's credential once it is not stale: as somebody else left it, or refreshed.

        NeedsReauth where the provider refuses, and the account is marked so. What else goes wrong says nothing of the
        credential, and is repeated to whoever asks within the cool-down, unless they `insist`. TimeoutError after
        `patience` seconds; the refresh goes on.
        """
        while True:
            flight = self._flights.get(account_id)
            if flight is None or flight.done():
                self._refuse_too_soon(account_id, insist)
                return await _landed(self._begin(account_id, stale), patience)
            credential = await _landed(flight, patience)
            # Who joins a refresh may have come with a later credential than that one began with.
            if not stale(credential):
                return credential

    def _refuse_too_soon(self, account_id: str, insist: bool) -> None:
        until, failure = self._failures.get(account_id, (0.0, None))
        if failure is not None and not insist and self._timer() < until:
            raise failure.fresh()

    def _begin(self, account_id: str, stale: Stale) -> asyncio.Task[Credential]:
        flight = asyncio.create_task(self._fly(account_id, stale), name=f"refresh {account_id}")
        self._flights[account_id] = flight
        flight.add_done_callback(lambda done: self._over(account_id, done))
        self._chores.add("refresh_credential", _end_of(flight))
        return flight

    def _over(self, account_id: str, flight: asyncio.Task[Credential]) -> None:
        if self._flights.get(account_id) is flight:
            del self._flights[account_id]
        if not flight.cancelled():
            flight.exception()  # told to whoever waits; if nobody does any more, it is not to be complained about

    async def _fly(self, account_id: str, stale: Stale) -> Credential:
        try:
            credential = await self._renewed(account_id, stale)
        except AdapterError as error:
            if isinstance(error, UpstreamFailure):
                error.was_sent = False  # of what waits for the credential, nothing
            self._cool_down(account_id, error)
            raise
        self._failures.pop(account_id, None)
        return credential

    async def _renewed(self, account_id: str, stale: Stale) -> Credential:
        sealed = given = None
        try:
            async with self._renewals.hold(account_id) as held:
                sealed = held.sealed
                kept = self._open(account_id, sealed)
                if not stale(kept):
                    return kept
                given = await self._refresh(kept)
                done = await held.replace(seal(self._vault, account_id, given))
        except OAuthFailed as refusal:
            return await self._refused(account_id, sealed, refusal, stale)
        except StorageUnavailable:
            if given is None:
                raise
            done = False
        _log.info("credential_refreshed", integrated_account_id=account_id, expires_at=given.expires_at)
        return given if done else await self._rescued(account_id, kept, given)

    async def _refused(self, account_id: str, sealed: bytes | None, refusal: OAuthFailed, stale: Stale) -> Credential:
        """Mark the account, unless it has got another credential in this moment."""
        note = ErrorNote(code=refusal.code, message=refusal.message, at=datetime.now(UTC))
        if await self._store.update(account_id, only_if=sealed, status="needs_reauth", last_error=note):
            _log.warning(
                "account_needs_reauth",
                integrated_account_id=account_id,
                remote_status=refusal.remote_status,
                remote_id=refusal.remote_id,
            )
            self._on_change(account_id)
        else:
            credential = self._open(account_id, await self._store.credential(account_id))
            if not stale(credential):
                return credential
        raise NeedsReauth(refusal.message) from None

    async def _rescued(self, account_id: str, kept: Credential, given: Credential) -> Credential:
        """Keep what the provider may give only once, though the row was moved or the database was away.

        Other keys may have sealed the row anew. What somebody has connected meanwhile stays.
        """
        sealed = seal(self._vault, account_id, given)
        async for attempt in AsyncRetrying(
            stop=stop_after_delay(_RESCUE),
            wait=wait_random_exponential(multiplier=0.05, max=5),
            retry=retry_if_exception_type(StorageUnavailable),
            reraise=True,
        ):
            with attempt:
                while True:
                    row = await self._store.credential(account_id)
                    found = self._open(account_id, row)
                    if found != kept or row is None:
                        return found
                    if await self._store.reseal(account_id, old=row, new=sealed):
                        return given
        raise StorageUnavailable  # the retrying ends by a return or a raise

    def _open(self, account_id: str, sealed: bytes | None) -> Credential:
        if sealed is None:
            raise AccountNotFound  # the credential goes with its account
        return unseal(self._vault, account_id, sealed)

    def _cool_down(self, account_id: str, error: AdapterError) -> None:
        asked = error.insight.get("rate_limit_error", {}) if isinstance(error, RemoteRateLimited) else {}
        seconds = max(COOL_DOWN, float(asked.get("retry_after", 0)))
        self._failures[account_id] = (self._timer() + seconds, error)
        _log.warning("refresh_failed", integrated_account_id=account_id, error=error.code, cool_down=seconds)


async def _landed(flight: asyncio.Task[Credential], patience: float | None) -> Credential:
    """What a flight brings; it flies on when whoever waits gives up or goes away."""
    done, _ = await asyncio.wait({flight}, timeout=patience)
    if not done:
        raise TimeoutError
    try:
        return flight.result()
    except AdapterError as error:
        raise error.fresh() from None


async def _end_of(flight: asyncio.Task[Credential]) -> None:
    await asyncio.wait({flight})
