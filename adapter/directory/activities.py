"""The audit trail: lists that tell one day a call, walked day by day, newest first, behind one cursor over all places.

A page asks for as few days as fill it. It ends with a cursor, or at the oldest day; where that is not the caller's own
bound, the answer says so: an end that is no end must not look like one.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import msgspec
from cachetools import LRUCache

from adapter.directory.assembly import unreadable
from adapter.directory.days import DayList, Days, Purse
from adapter.directory.gather import Read, below, missing_of
from adapter.directory.lists import Client, Missing, lasting
from adapter.directory.query import Condition, Query
from adapter.directory.views import Collection
from adapter.errors import DirectoryGathering, InvalidCursor, RemoteRateLimited, TooManyRequests
from adapter.mapping import engine
from adapter.mapping.engine import Record
from adapter.mapping.expressions import ShapeError
from adapter.mapping.merge import moment
from adapter.mapping.model import Model, Resource, Unit
from adapter.mapping.shaping import Instance, shape

MAX_REQUESTS = 64
"""Upstream requests after which a page that holds anything ends, though it could hold more."""

_MOST_DAYS = 8
"""Days asked for at once, where few records are found in each."""
_MADE_DAYS = 128
_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)
_LOWER = frozenset({"gt", "gte", "eq", "in"})
_UPPER = frozenset({"lt", "lte", "eq", "in"})

Stop = Literal["budget_reserved", "gathering", "enough"]


class Trail(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the trail. `after` is where the next one begins, None at the end."""

    records: list[Record]
    after: Any
    oldest: float
    """When the oldest list that may still change was read, in seconds since the epoch."""
    newest: float
    missing: tuple[Missing, ...]
    paths: tuple[tuple[str, int, float], ...]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One list of the trail, like an enterprise account's; `since` is the first day that it can tell of."""

    lineage: Mapping[str, Any]
    path: str
    since: date | None


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The days that a walk is about, both included. `is_open`: the caller set no lower bound."""

    newest: date
    oldest: date
    is_open: bool


class Activities:
    """Walks daily units for any account; see `page`."""

    def __init__(
        self, model: Model, *, max_age: float = 60.0, wait: float = 20.0, clock: Callable[[], float] = time.time
    ) -> None:
        """`max_age` is how old today's list may be, `wait` how long a page may take, in seconds."""
        self._model = model
        self._max_age = max_age
        self._wait = wait
        self._clock = clock
        self.days = Days(clock)
        self._made: LRUCache[tuple[str, str, date], tuple[Resource, tuple[int, ...], Made]] = LRUCache(_MADE_DAYS)

    async def page(
        self,
        account_id: str,
        client: Client,
        resource: Resource,
        query: Query,
        *,
        after: Any,
        parents: Sequence[Read],
        purse: Purse | None = None,
    ) -> Trail:
        """The records that follow `after` (None: the newest). InvalidCursor, DirectoryGathering, upstream errors.

        `parents` are the reads of the lists that the daily unit hangs on.
        """
        _refuse_blindness(parents, query)
        walk = _Walk(self, account_id, client, resource, query, parents, purse)
        await walk.go(after)
        return walk.trail()

    def unit(self, resource: Resource) -> Unit:
        return self._model.units[resource.sources[0].units[0]]

    def today(self) -> date:
        return datetime.fromtimestamp(self._clock(), UTC).date()

    def max_age(self, query: Query) -> float:
        return self._max_age if query.max_age is None else query.max_age

    def now(self) -> float:
        return self._clock()

    @property
    def wait(self) -> float:
        return self._wait

    def made(self, account_id: str, resource: Resource, day: date, lists: Sequence[tuple[Place, DayList]]) -> "Made":
        """A day's records of all places, shaped once for each version of its lists."""
        key = (account_id, resource.name, day)
        versions = tuple(kept.version for _, kept in lists)
        held = self._made.get(key)
        if held is None or held[0] is not resource or held[1] != versions:
            held = self._made[key] = (resource, versions, self._shaped(resource, lists))
        return held[2]

    def _shaped(self, resource: Resource, lists: Sequence[tuple[Place, DayList]]) -> "Made":
        unit = self.unit(resource)
        shaped = [
            shape(
                resource,
                Instance(unit=unit.name, path=place.path, lineage=place.lineage, records=kept.records),
            )
            for place, kept in lists
        ]
        records, faults = engine.assemble(self._model, resource, shaped)
        return Made(collection=Collection(resource, records), missing=tuple(map(unreadable, faults)))


class Made(msgspec.Struct, frozen=True, kw_only=True):
    collection: Collection
    missing: tuple[Missing, ...]


class _Walk:
    """One page on its way through the days."""

    def __init__(
        self,
        trails: Activities,
        account_id: str,
        client: Client,
        resource: Resource,
        query: Query,
        parents: Sequence[Read],
        purse: Purse | None,
    ) -> None:
        self._trails = trails
        self._account_id = account_id
        self._client = client
        self._resource = resource
        self._query = query
        self._purse = purse
        self._unit = trails.unit(resource)
        self._places = _places(self._unit, resource, query, parents)
        self._begun_at = trails.now()
        self._taken: list[Record] = []
        self._after: Any = None
        self._requests = 0
        self._lists: list[DayList] = []
        self._missing = [gap for read in parents if (gap := read.missing())]

    async def go(self, after: Any) -> None:
        window = _window(self._resource, self._unit, self._query, self._trails.today())
        day, place = window.newest, None
        if after is not None:
            day, oldest, place = _opened(after)
            window = msgspec.structs.replace(window, oldest=oldest)
        window = self._told(window)
        stop, day = await self._through(day, window, place)
        if stop is not None:
            self._stopped(stop, day, window)

    def trail(self) -> Trail:
        # Days that are over are as good as new.
        changing = [kept.fetched_at for kept in self._lists if not kept.is_final]
        return Trail(
            records=self._taken,
            after=self._after,
            oldest=min(changing, default=self._trails.now()),
            newest=max((kept.fetched_at for kept in self._lists), default=self._trails.now()),
            missing=tuple(self._missing),
            paths=tuple(
                (f"{k.path}?day={k.day}", k.error.status if k.error else 200, k.fetched_at) for k in self._lists
            ),
        )

    # --- through the days

    async def _through(self, day: date, window: Window, place: Any) -> tuple[Stop | None, date]:
        """Take records until the page is full, nothing is left, or it must stop: then why, and before which day."""
        deadline = asyncio.get_running_loop().time() + self._trails.wait
        read = 0
        while day >= window.oldest:
            days = [day - _DAY * n for n in range(min(self._at_once(read), (day - window.oldest).days + 1))]
            if self._taken and self._requests >= MAX_REQUESTS and not self._query.ignore_limit:
                return "enough", day
            try:
                async with asyncio.timeout_at(deadline):
                    batch = await self._read(days)
            except TimeoutError:
                return "gathering", day
            except (TooManyRequests, RemoteRateLimited):
                return "budget_reserved", day
            for lists in batch:
                if self._take(lists, day, window, place):
                    return None, day
                place, day, read = None, day - _DAY, read + 1
        return None, day

    def _at_once(self, read: int) -> int:
        """How many days may be needed for the rest of the page, judged by those before."""
        if self._query.ignore_limit:
            return _MOST_DAYS
        if not self._taken:
            return min(read + 1, _MOST_DAYS)
        lacking = self._query.limit - len(self._taken)
        return max(1, min(_MOST_DAYS, lacking * max(read, 1) // len(self._taken)))

    async def _read(self, days: Sequence[date]) -> list[list[tuple[Place, DayList]]]:
        """The lists of these days, of every place that was there then."""
        wanted = [[place for place in self._places if place.since is None or place.since <= day] for day in days]
        asked = [self._list(place, day) for day, places in zip(days, wanted, strict=True) for place in places]
        answers = iter(await asyncio.gather(*asked))
        return [[(place, next(answers)) for place in places] for places in wanted]

    async def _list(self, place: Place, day: date) -> DayList:
        key = (self._account_id, place.path, day)
        days = self._trails.days
        # What this walk has read itself is fresh for it, however fresh the caller insists.
        max_age = max(self._trails.max_age(self._query), self._trails.now() - self._begun_at)
        self._requests += days.at_hand(key, max_age) is None
        return await days.read(key, self._unit, self._client, max_age, self._purse)

    def _take(self, lists: Sequence[tuple[Place, DayList]], day: date, window: Window, place: Any) -> bool:
        """Take a day's records from `place` on; whether the page is full, and its end known."""
        self._lists += [kept for _, kept in lists]
        readable = [(where, kept) for where, kept in lists if kept.error is None]
        self._tell(missing_of(self._unit, where.lineage, kept.error) for where, kept in lists if kept.error)
        made = self._trails.made(self._account_id, self._resource, day, readable)
        self._tell(made.missing)
        whole = msgspec.structs.replace(self._query, ignore_limit=True, sort=None)
        records = sorted(made.collection.page(whole, None)[0], key=self._order)
        if place is not None:
            records = [record for record in records if self._order(record) > place]
        room = len(records) if self._query.ignore_limit else self._query.limit - len(self._taken)
        self._taken += records[:room]
        full = not self._query.ignore_limit and len(self._taken) == self._query.limit
        if len(records) > room:
            self._after = [day.isoformat(), window.oldest.isoformat(), *self._order(self._taken[-1])]
        elif full and day > window.oldest:
            self._after = [(day - _DAY).isoformat(), window.oldest.isoformat()]
        return full

    def _order(self, record: Record) -> tuple[float, str]:
        """Newest first, ties by id."""
        assert self._resource.time is not None
        at = moment(record.data.get(self._resource.time))
        return (-at.timestamp() if at else 0.0, record.key)

    # --- what is to be told

    def _told(self, window: Window) -> Window:
        """The window without days that no place can tell of; an end that the caller did not ask for is told."""
        beginnings = [place.since for place in self._places]
        if window.is_open and any(since is None or since < window.oldest for since in beginnings):
            self._tell([_not_asked(self._unit, window)])
        known = [since for since in beginnings if since is not None]
        first = min(known) if len(known) == len(beginnings) and known else window.oldest
        oldest = max(window.oldest, first) if beginnings else max(window.oldest, window.newest + _DAY)
        return msgspec.structs.replace(window, oldest=oldest)

    def _stopped(self, stop: Stop, day: date, window: Window) -> None:
        """A page that holds something goes on from here; one that holds nothing says what was not read."""
        if self._taken and not self._query.ignore_limit:
            self._after = [day.isoformat(), window.oldest.isoformat()]
            return
        if stop == "gathering" and not self._query.allow_partial:
            # What was read is kept: whoever asks again gets further.
            raise DirectoryGathering(headers={"Retry-After": "2"})
        message = f"nothing was read of {day} and before, down to {window.oldest}; ask again, or set a bound"
        self._tell([Missing(unit=self._unit.name, reason=stop, message=message)])

    def _tell(self, gaps: Iterable[Missing]) -> None:
        self._missing += [gap for gap in gaps if gap not in self._missing]


def _places(unit: Unit, resource: Resource, query: Query, parents: Sequence[Read]) -> list[Place]:
    """The places whose lists are walked: those that a filter names, where one does."""
    chains = [chain for read in parents if read.state.error is None for chain in below(unit, read)]
    wanted = [c for c in query.conditions if resource.filters[c.filter].place in unit.places]
    return [
        Place(lineage=chain, path=unit.path(chain), since=_since(unit, chain))
        for chain in chains
        if all(_fits(unit, resource, condition, chain) for condition in wanted)
    ]


def _fits(unit: Unit, resource: Resource, condition: Condition, chain: Mapping[str, Any]) -> bool:
    """Whether the place's records can meet a condition on what place they are of."""
    place = resource.filters[condition.filter].place
    if place is None or condition.operator not in {"eq", "in"}:
        return True
    return unit.places[place](chain) in condition.values


def _since(unit: Unit, chain: Mapping[str, Any]) -> date | None:
    assert unit.daily is not None
    try:
        at = moment(unit.daily.since(chain)) if unit.daily.since else None
    except ShapeError:
        return None
    return at.astimezone(UTC).date() if at else None


def _window(resource: Resource, unit: Unit, query: Query, today: date) -> Window:
    """The days that a query is about: as far back as it says, else as the unit does."""
    assert unit.daily is not None
    assert resource.time is not None
    name = resource.filters[resource.time].name
    bounds = [condition for condition in query.conditions if condition.filter == name]
    lower = [min(c.values) for c in bounds if c.operator in _LOWER]
    # What is before midnight is the day before.
    upper = [max(c.values) - (_TICK if c.operator == "lt" else timedelta(0)) for c in bounds if c.operator in _UPPER]
    newest = min([today, *(at.astimezone(UTC).date() for at in upper)])
    if lower:
        return Window(newest=newest, oldest=max(at.astimezone(UTC).date() for at in lower), is_open=False)
    return Window(newest=newest, oldest=newest - _DAY * (unit.daily.back - 1), is_open=True)


def _not_asked(unit: Unit, window: Window) -> Missing:
    return Missing(
        unit=unit.name,
        reason="not_asked",
        message=f"days before {window.oldest} were not asked for; set a lower bound on the time to go further back",
    )


def _opened(after: Any) -> tuple[date, date, tuple[float, str] | None]:
    """A cursor's day, the oldest day of its walk, and the record behind which it goes on, if within the day."""
    try:
        day, oldest, *place = after
        return date.fromisoformat(day), date.fromisoformat(oldest), (float(place[0]), str(place[1])) if place else None
    except (TypeError, ValueError, IndexError):
        raise InvalidCursor from None


def _refuse_blindness(parents: Sequence[Read], query: Query) -> None:
    """Where the places themselves can't be read, say why: an empty list would look like an uneventful month."""
    errors = [read.state.error for read in parents if read.state.error is not None]
    if errors and len(errors) == len(parents) and lasting(errors[0]) and not query.allow_partial:
        raise errors[0].fresh()
