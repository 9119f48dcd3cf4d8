"""Lists that tell one day a call: each day fetched once at a time, and kept. A day that is over does not change."""

import asyncio
import itertools
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

import msgspec
from cachetools import LRUCache

from adapter.directory.lists import Client, lasting
from adapter.errors import (
    NeedsReauth,
    RemoteError,
    RemoteForbidden,
    RemoteNotFound,
    RemoteRateLimited,
    RemoteUnauthorized,
)
from adapter.mapping.model import Unit

MAX_RECORDS = 100_000
"""Records kept in memory over all accounts; the days not asked for longest go first."""

_SETTLED = timedelta(hours=1)
"""How long after its end a day may still get records: the provider's trail is written behind the events."""
_PATIENCE = 30.0
_MAX_CLOSED = 4096
_VERSIONS = itertools.count(1)

Key = tuple[str, str, date]
"""The account, the list's path, the day."""


class Purse(Protocol):
    """What a fetch asks before it spends of the account's request budget."""

    async def admit(self, priority: float, cost: int = 1) -> int: ...
    def settle(self, turn: int, cost: int = 1) -> None: ...
    def back_off(self, seconds: float) -> None: ...


class DayList(msgspec.Struct, frozen=True, kw_only=True):
    """One list of one day as it was read. `error` is why there is none, where the provider won't show it."""

    path: str
    day: date
    records: list[Any]
    fetched_at: float
    is_final: bool
    error: RemoteError | None = None
    version: int = msgspec.field(default_factory=lambda: next(_VERSIONS))


class Days:
    """The day lists of all accounts, bounded."""

    def __init__(self, clock: Callable[[], float] = time.time, *, max_records: int = MAX_RECORDS) -> None:
        self._clock = clock
        self._kept: LRUCache[Key, DayList] = LRUCache(max_records, getsizeof=lambda day: len(day.records) + 1)
        self._closed: LRUCache[tuple[str, str], DayList] = LRUCache(_MAX_CLOSED)
        """Account and path -> the refusal: a place that is closed on one day is closed on the others."""
        self._flights: dict[Key, asyncio.Task[DayList]] = {}

    def at_hand(self, key: Key, max_age: float) -> DayList | None:
        """The list, or its place's refusal, where nothing needs to be asked for it."""
        for kept in (self._kept.get(key), self._closed.get(key[:2])):
            if kept and ((kept.is_final and kept.error is None) or 0 <= self._clock() - kept.fetched_at <= max_age):
                return kept
        return None

    async def read(self, key: Key, unit: Unit, client: Client, max_age: float, purse: Purse | None) -> DayList:
        """The list, at most `max_age` seconds old unless its day is over; what the upstream client or purse raises."""
        found = self.at_hand(key, max_age)
        if found is None:
            flight = self._flights.get(key) or self._take_off(key, unit, client, purse)
            found = await asyncio.shield(flight)
        return found

    def touched(self, account_id: str) -> None:
        """After a write of the account's, what may still change is read again."""
        self._drop(lambda key, kept: key[0] == account_id and not kept.is_final)

    def forget(self, account_id: str) -> None:
        self._drop(lambda key, _: key[0] == account_id)
        for place in [place for place in self._closed if place[0] == account_id]:
            del self._closed[place]

    async def close(self) -> None:
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    def _drop(self, wanted: Callable[[Key, DayList], bool]) -> None:
        for key in [key for key, kept in self._kept.items() if wanted(key, kept)]:
            del self._kept[key]
        # A list that is on its way may or may not show the write: it is not kept.
        for key in [key for key in self._flights if wanted(key, _UNKNOWN)]:
            del self._flights[key]

    def _take_off(self, key: Key, unit: Unit, client: Client, purse: Purse | None) -> asyncio.Task[DayList]:
        flight = self._flights[key] = asyncio.create_task(self._fetch(key, unit, client, purse))
        flight.add_done_callback(lambda done: self._landed(key, done))
        return flight

    def _landed(self, key: Key, flight: asyncio.Task[DayList]) -> None:
        current = self._flights.get(key) is flight
        if current:
            del self._flights[key]
        if flight.cancelled() or flight.exception() is not None or not current:
            return  # whoever waits for it raises it; they may all have left
        day = flight.result()
        if isinstance(day.error, RemoteForbidden | RemoteNotFound):
            self._closed[key[:2]] = day
        elif self._kept.getsizeof(day) <= self._kept.maxsize:
            self._kept[key] = day

    async def _fetch(self, key: Key, unit: Unit, client: Client, purse: Purse | None) -> DayList:
        turn = 0 if purse is None else await purse.admit(0.0)
        fetched_at = self._clock()
        try:
            records, error = await _asked(key, unit, client), None
        except RemoteRateLimited as refused:
            if purse is not None:
                purse.back_off(_seconds(refused.headers.get("retry-after")))
            raise
        except RemoteError as refused:
            if not lasting(refused):
                raise
            records, error = [], refused
        finally:
            if purse is not None:
                purse.settle(turn)
        is_final = fetched_at >= _end_of(key[2]) + _SETTLED.total_seconds()
        return DayList(path=key[1], day=key[2], records=records, fetched_at=fetched_at, is_final=is_final, error=error)


_UNKNOWN = DayList(path="", day=date.min, records=[], fetched_at=0.0, is_final=False)
"""What is known of a list that is on its way."""


async def _asked(key: Key, unit: Unit, client: Client) -> list[Any]:
    assert unit.daily is not None
    headers = {"Accept": unit.accept} if unit.accept else None
    query = {unit.daily.query: key[2].isoformat()}
    try:
        return (await client.iterate(key[1], query=query, headers=headers, order=unit.order)).records
    except RemoteUnauthorized as error:
        raise NeedsReauth(headers=error.headers) from error


def _end_of(day: date) -> float:
    return (datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)).timestamp()


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isdigit() else _PATIENCE
