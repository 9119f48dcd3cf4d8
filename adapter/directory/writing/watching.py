"""Lists read again after a removal, as the provider shows them and not as the directory tells them: until they show the
person no more, or for as long as they may lag behind.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec

from adapter.directory.gather import Read, missing_of
from adapter.directory.lists import Missing
from adapter.directory.writing.atlas import Listing
from adapter.directory.writing.desk import Desk
from adapter.directory.writing.people import Found, Whom, look_for
from adapter.directory.writing.work import Halted
from adapter.errors import AdapterError, RemoteRateLimited, Unprocessable
from adapter.mapping.writes import Entry, PlaceKind

Sleep = Callable[[float], Awaitable[None]]

Awaited = Callable[[PlaceKind, Entry], bool]
"""Whether somebody's standing in a place may be a thing of the past that a list lags behind."""

_AT_ONCE = 16
"""Lists that are read at the same time: half of what an account may have under way."""


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How a proof waits. Times are in seconds."""

    pauses: tuple[float, ...] = (0.5, 1.0, 2.0, 3.0)
    """Between two readings of a list; the last goes on for as long as it takes."""
    budget: float = 60.0
    """How long the request budget is waited for."""
    trouble: float = 10.0
    """For how long a list that can't be read for the moment is tried again."""

    def pause(self, turn: int) -> float:
        return self.pauses[min(turn, len(self.pauses) - 1)]


class Watch:
    """Lists under watch for one person. A list counts only as it was at `since` (by the units' clock) or later."""

    def __init__(
        self, desk: Desk, whom: Whom, *, since: float, patience: Patience, sleep: Sleep, halted: Halted
    ) -> None:
        self._desk = desk
        self._whom = whom
        self._since = since
        self._patience = patience
        self._sleep = sleep
        self._halted = halted
        self.reads: dict[str, Read] = {}
        self.errors: dict[str, tuple[Listing, AdapterError]] = {}
        self.requests = 0

    async def settle(self, listings: Iterable[Listing], awaited: Awaited) -> None:
        """Read the lists; those again in which the person still stands in a way that is `awaited` to pass, and those
        that could not be read for the moment.
        """
        begun, since, turn, slept = self._desk.units.now(), self._since, 0, 0.0
        left = list({listing.path: listing for listing in listings}.values())
        while left:
            await self._read_all(left, since)
            shown = await self._showing(left, awaited)
            # A clock that is set back would have us wait for as long again.
            waited = max(slept, self._desk.units.now() - begun)
            left = [one for one in left if waited < self._patience_for(one, shown)]
            if not left or self._halted():
                return
            pause = max(self._patience.pause(turn), *(self._asked_for(one) for one in left))
            await self._sleep(pause)
            slept += pause
            since, turn = self._desk.units.now(), turn + 1

    async def found(self, paths: Iterable[str] | None = None) -> list[Found]:
        """Where the lists, or some of them, show the person, as they were last read."""
        reads = [self.reads[path] for path in (self.reads if paths is None else paths) if path in self.reads]
        found, faults = await look_for(self._desk, self._whom, reads)
        for read, text in faults:
            self._fail(Listing(unit=read.unit, lineage=read.lineage, lag=0.0), Unprocessable(text))
        return found

    def missing(self) -> list[Missing]:
        """The lists that could not be read."""
        return [missing_of(listing.unit, listing.lineage, error) for listing, error in self.errors.values()]

    def gap(self, paths: Iterable[str]) -> Missing | None:
        """The first of these lists that could not be read."""
        failed = [self.errors[path] for path in paths if path in self.errors]
        return missing_of(failed[0][0].unit, failed[0][0].lineage, failed[0][1]) if failed else None

    def read_at(self, paths: Iterable[str]) -> float | None:
        """When the oldest of these lists was read; None where one was not."""
        states = [self.reads[path].state if path in self.reads else None for path in paths]
        times = [state.fetched_at for state in states if state is not None]
        return min(times) if times and len(times) == len(states) else None

    def names(self, path: str, place_id: str) -> bool:
        """Whether a list of places has this one."""
        read = self.reads.get(path)
        records = read.state.records if read is not None else None
        return any(isinstance(record, dict) and record.get("id") == place_id for record in records or ())

    # --- one round

    async def _read_all(self, listings: Sequence[Listing], since: float) -> None:
        slots = asyncio.Semaphore(_AT_ONCE)

        async def one(listing: Listing) -> None:
            async with slots:
                await self._read(listing, since)

        await asyncio.gather(*(one(listing) for listing in listings))

    async def _read(self, listing: Listing, since: float) -> None:
        desk, path = self._desk, listing.path
        known = desk.units.states.get(path)
        try:
            state = await desk.units.reread(listing.unit, path, desk.client, since)
        except AdapterError as error:
            self.requests += 1
            self._fail(listing, error)
            return
        self.requests += state.cost if state is not known else 0
        if state.error is not None:
            self._fail(listing, state.error)
            return
        self.errors.pop(path, None)
        self.reads[path] = Read(unit=listing.unit, lineage=listing.lineage, state=state)

    def _fail(self, listing: Listing, error: AdapterError) -> None:
        """What was read of a list before says nothing any more."""
        self.reads.pop(listing.path, None)
        self.errors[listing.path] = (listing, error)

    async def _showing(self, listings: Sequence[Listing], awaited: Awaited) -> set[str]:
        """The paths of the lists that still show the person where they should not."""
        found = await self.found([listing.path for listing in listings])
        return {read.state.path for kind, read, entry in found if awaited(kind, entry)}

    def _patience_for(self, listing: Listing, shown: set[str]) -> float:
        """For how long it pays to read the list again."""
        if listing.path not in self.errors:
            return listing.lag if listing.path in shown else 0.0
        error = self.errors[listing.path][1]
        if isinstance(error, RemoteRateLimited):
            return self._patience.budget if self._asked_for(listing) <= self._patience.budget else 0.0
        return self._patience.trouble if _passing(error) else 0.0

    def _asked_for(self, listing: Listing) -> float:
        """The seconds that the provider asks to wait before the list is asked for again."""
        failed = self.errors.get(listing.path)
        return seconds_of(failed[1]) if failed is not None else 0.0


def seconds_of(error: AdapterError) -> float:
    """How long an error asks to wait."""
    text = error.headers.get("retry-after", "")
    return float(text) if text.isdigit() else 0.0


def _passing(error: AdapterError) -> bool:
    """Whether an error tells something of the moment rather than of the list."""
    return error.status >= 500
