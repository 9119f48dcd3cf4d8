"""The audit trail: lists that tell one day a call, walked day by day, newest first, behind one cursor over all places.

A page asks for as few days as fill it. It ends with a cursor, or at the oldest day; where that is not the caller's own
bound, the answer says so: an end that is no end must not look like one.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import msgspec
from cachetools import LRUCache

from adapter.directory.days import DayList, Days, Purse
from adapter.directory.gather import Read, below
from adapter.directory.query import Condition, Query
from adapter.directory.units import Client, Missing
from adapter.directory.views import Collection
from adapter.errors import DirectoryGathering, InvalidCursor, TooManyRequests
from adapter.mapping import engine
from adapter.mapping.engine import Record
from adapter.mapping.expressions import ShapeError
from adapter.mapping.merge import moment
from adapter.mapping.model import Model, Resource, Unit

MAX_REQUESTS = 64
"""Upstream requests after which a page that holds anything ends, though it could hold more."""

_MOST_DAYS = 8
"""Days asked for at once, where few records are found in each."""
_MADE_DAYS = 128
_DAY = timedelta(days=1)
_BOUNDS: Mapping[str, tuple[str, ...]] = {"lower": ("gt", "gte", "eq", "in"), "upper": ("lt", "lte", "eq", "in")}

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
            engine.shape(
                resource,
                engine.Instance(unit=unit.name, path=place.path, lineage=place.lineage, records=kept.records),
            )
            for place, kept in lists
        ]
        records, faults = engine.assemble(self._model, resource, shaped)
        gaps = tuple(Missing(unit=f.unit, reason="record_unreadable", message=f.reason) for f in faults)
        return Made(collection=Collection(resource, records), missing=gaps)


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
        self._missing: dict[Missing, None] = dict.fromkeys(gap for read in parents if (gap := read.missing()))

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
            except TooManyRequests:
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
            return min(2 ** min(read, 8), _MOST_DAYS)
        lacking = self._query.limit - len(self._taken)
        return max(1, min(_MOST_DAYS, lacking * max(read, 1) // len(self._taken)))

    async def _read(self, days: Sequence[date]) -> list[list[tuple[Place, DayList]]]:
        """The lists of these days, of every place that was there then."""
        wanted = [[place for place in self._places if place.since is None or place.since <= day] for day in days]
        asked = [
            self._list(place, day) for day, places in zip(days, wanted, strict=True) for place in places
        ]
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
        self._missing |= dict.fromkeys(gap for where, kept in lists if (gap := self._refused(where, kept)))
        made = self._trails.made(self._account_id, self._resource, day, readable)
        self._missing |= dict.fromkeys(made.missing)
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
            self._missing[_not_asked(self._unit, window)] = None
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
        self._missing[Missing(unit=self._unit.name, reason=stop, message=message)] = None

    def _refused(self, place: Place, kept: DayList) -> Missing | None:
        state = _Refused(kept)
        return Read(unit=self._unit, lineage=place.lineage, state=state).missing()  # type: ignore[arg-type]  # XXX


def _places(unit: Unit, resource: Resource, query: Query, parents: Sequence[Read]) -> list[Place]:
    """The places whose lists are walked: those that a filter names, where one does."""
    chains = [chain for read in parents if read.state.error is None for chain in below(unit, read)]
    wanted = [c for c in query.conditions if resource.filters[c.filter].place in unit.places]
    return [
        Place(lineage=chain, path=unit.path(chain), since=_since(unit, chain))
        for chain in chains
        if all(_fits(unit, resource, condition, chain) for condition in wanted)
    ]
