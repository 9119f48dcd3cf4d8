"""The units of one integrated account, in memory: each fetched whole, once at a time, and kept with its time.

A unit is known by its path: two declarations that lead to the same list share one fetch.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from adapter.errors import (
    AdapterError,
    NeedsReauth,
    RemoteError,
    RemoteForbidden,
    RemoteNotFound,
    RemoteRateLimited,
    RemoteUnauthorized,
    UpstreamNonsense,
)
from adapter.mapping.engine import Shaped
from adapter.mapping.model import Unit

_VERSIONS = itertools.count(1)
"""Counts on over all accounts, so that no generation comes again when an account is forgotten and read anew."""


class UpstreamList(Protocol):
    """What a bound client answers to `iterate`."""

    @property
    def records(self) -> list[Any]: ...
    @property
    def requests(self) -> int: ...


class UpstreamBudget(Protocol):
    @property
    def remaining(self) -> int | None: ...
    def headers(self) -> list[tuple[str, str]]: ...


class Client(Protocol):
    """What the directory needs of a bound upstream client."""

    @property
    def account_key(self) -> str: ...
    @property
    def budget(self) -> UpstreamBudget: ...
    async def iterate(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        order: str | None,
    ) -> UpstreamList: ...
    async def send(self, method: str, path: str, *, query: Mapping[str, str] | None = None) -> Any: ...


class Missing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A unit that could not be read, as an answer names it: absence of knowledge, never of people."""

    unit: str
    reason: str
    """`forbidden`, `missing_scope`, `not_found`, `gathering`, `record_unreadable`, or an error's code."""
    message: str
    place: Mapping[str, Mapping[str, str]] = {}
    """What it belongs to: `{"team": {"id": …, "name": …}}`."""
    scopes: tuple[str, ...] = ()
    """The provider's scopes, any one of which would open it, where that is known to be what is missing."""


class State:
    """One unit as it was last read: its records, or the reason why there are none."""

    __slots__ = ("changed_at", "cost", "error", "fetched_at", "path", "records", "shaped", "stale", "version")

    def __init__(
        self, path: str, records: list[Any] | None, *, fetched_at: float, cost: int, error: RemoteError | None = None
    ) -> None:
        self.path = path
        self.records = records
        self.error = error
        self.fetched_at = fetched_at
        self.changed_at = fetched_at
        self.cost = cost
        self.stale = False
        self.version = next(_VERSIONS)
        self.shaped: dict[tuple[str, str], tuple[Mapping[str, Any], Shaped]] = {}
        """By resource and unit: two units may share a path and read it differently."""

    def succeed(self, older: "State | None") -> None:
        """Go on from the state before: a list that reads the same keeps its version and its shaped records."""
        if older is None or older.records is None or older.records != self.records:
            return
        self.records, self.version = older.records, older.version
        self.changed_at, self.shaped = older.changed_at, older.shaped


class AccountUnits:
    """All units of one account. `generation` moves whenever a write made some of them stale."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.states: dict[str, State] = {}
        self.generation = next(_VERSIONS)
        self.proofs: dict[str, tuple[int, bool]] = {}
        """Path -> the day of its last proof, and whether the unit proved right."""
        self.gather_cost = 0
        """Upstream requests of the costliest recent gather: what it takes to do it again."""
        self._flights: dict[str, tuple[int, asyncio.Task[State]]] = {}
        """Path -> the generation in which the fetch set out, and the fetch."""

    def now(self) -> float:
        return self._clock()

    async def read(self, unit: Unit, path: str, client: Client, max_age: float) -> State:
        """The unit's state, at most `max_age` seconds old; fetched by whoever asks first, waited for by the others."""
        asked_in = self.generation
        state = self.states.get(path)
        if state is not None and not state.stale and self.now() - state.fetched_at <= max_age:
            return state
        set_out_in, flight = self._flights.get(path) or self._take_off(unit, path, client)
        state = await asyncio.shield(flight)
        if state.stale and set_out_in < asked_in:
            # It set out before a write that whoever asks here may know of.
            return await self.read(unit, path, client, max_age)
        return state

    def _take_off(self, unit: Unit, path: str, client: Client) -> tuple[int, asyncio.Task[State]]:
        flight = asyncio.create_task(self._fetch(unit, path, client))
        flight.add_done_callback(lambda done: self._landed(path, done))
        self._flights[path] = (self.generation, flight)
        return self._flights[path]

    def _landed(self, path: str, flight: asyncio.Task[State]) -> None:
        self._flights.pop(path, None)
        if not flight.cancelled():
            flight.exception()  # whoever waits for it raises it; they may all have left

    async def _fetch(self, unit: Unit, path: str, client: Client) -> State:
        generation = self.generation
        fetched_at = self.now()
        try:
            records, cost = await fetch(unit, path, client)
            state = State(path, records, fetched_at=fetched_at, cost=cost)
        except RemoteError as error:
            if not lasting(error):
                raise
            state = State(path, None, fetched_at=fetched_at, cost=1, error=error)
        # A list that was on its way while a write went by may or may not show the write.
        state.stale = generation != self.generation
        state.succeed(self.states.get(path))
        self.states[path] = state
        return state

    def make_stale(self, touched: Callable[[str], bool]) -> int:
        """Have the units whose path `touched` accepts read again before they are used; returns how many."""
        self.generation = next(_VERSIONS)
        hit = [state for path, state in self.states.items() if touched(path)]
        for state in hit:
            state.stale = True
        return len(hit)

    async def close(self) -> None:
        flights = [flight for _, flight in self._flights.values()]
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)


def lasting(error: AdapterError) -> bool:
    """Whether an error tells something about the place (it is closed, or gone) rather than about the moment."""
    if isinstance(error, RemoteForbidden | RemoteNotFound):
        return True
    return isinstance(error, RemoteError) and not isinstance(error, RemoteRateLimited) and 400 <= error.status < 500


async def fetch(unit: Unit, path: str, client: Client, query: Mapping[str, str] | None = None) -> tuple[list[Any], int]:
    """The unit's records and what they cost in upstream requests; NeedsReauth where the credential is refused."""
    try:
        if unit.single:
            reply = await client.send("GET", path, query=query)
            return [_object(reply.body)], 1
        headers = {"Accept": unit.accept} if unit.accept else None
        answer = await client.iterate(path, query=query, headers=headers, order=unit.order)
    except RemoteUnauthorized as error:
        raise NeedsReauth(headers=error.headers) from error
    return answer.records, answer.requests


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        raise UpstreamNonsense from None
