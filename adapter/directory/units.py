"""The units of one integrated account, in memory: each fetched whole, once at a time, and kept with its time.

A unit is known by its path: two declarations that lead to the same list share one fetch.
"""

import asyncio
import time
from collections.abc import Callable

from adapter.directory.keeping import Forgetful, Keeper
from adapter.directory.layout import Layout, Unrelated
from adapter.directory.lists import Client, fetch, lasting
from adapter.directory.purse import Purse
from adapter.directory.settling import AGE, Settling, restored, stored
from adapter.directory.sharing import Alike
from adapter.directory.state import VERSIONS, State
from adapter.errors import RemoteError, RemoteRateLimited, UpstreamFailure
from adapter.mapping.model import Unit

_PATIENCE = 1.0
"""Seconds between two looks at a unit that another process is fetching, if no news comes before."""
SKEW = 10.0
"""Seconds by which another machine's clock may be ahead. What was read later than that from now was read before this
clock was set back: nobody knows how old it is.
"""


class AccountUnits:
    """All units of one account. `generation` moves whenever a write made some of them stale."""

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        *,
        keeper: Keeper | None = None,
        purse: Purse | None = None,
        layout: Layout | None = None,
    ) -> None:
        self._clock = clock
        self._keeper: Keeper = keeper or Forgetful()
        self.purse = purse
        self._layout: Layout = layout or Unrelated()
        self.states: dict[str, State] = {}
        self.generation = next(VERSIONS)
        self.gather_cost = 0
        """Upstream requests of the costliest recent gather: what it takes to do it again."""
        self.settling = Settling()
        """What recent writes did to lists that lag behind them."""
        self._shared_generation = 0
        """The account's generation among all processes on one database, as this one last saw it."""
        self._opened: asyncio.Task[None] | None = None
        self._asked: dict[str, int] = {}
        """Path -> how often the unit was asked for: what is wanted most is refreshed first."""
        self._flights: dict[str, _Flight] = {}
        self._alike = Alike()
        """What the lists of the gather under way say alike."""

    def now(self) -> float:
        return self._clock()

    async def open(self) -> None:
        """Have at hand what was kept, and know of every write that any process has answered before now."""
        if self._opened is None or (self._opened.done() and _failed(self._opened)):
            self._opened = asyncio.create_task(self._load())
        if not self._opened.done():
            await asyncio.shield(self._opened)
        generation = await self._keeper.generation()
        if generation is not None and generation != self._shared_generation:
            await self._catch_up(generation)

    async def _load(self) -> None:
        directory, states = await self._keeper.load()
        self._shared_generation = directory.generation
        self.gather_cost = max(self.gather_cost, directory.gather_cost)
        self.settling = restored(directory.settling).then(self.settling, self.now())
        for state in states:
            self.states.setdefault(state.path, state)
        self._sweep()

    async def _catch_up(self, generation: int) -> None:
        """Another process wrote: whatever is stale by now is stale here, whatever is newer is taken over."""
        # What lands from here on may have been read before the write, and what is being written is not marked yet.
        self.generation = next(VERSIONS)
        await self._keeper.settle()
        self.settling = restored(await self._keeper.settling())
        newer, stale = await self._keeper.fresher({path: state.fetched_at for path, state in self.states.items()})
        for state in newer:
            self._adopt(state)
        for path in stale:
            if path in self.states:
                self.states[path].stale = True
        self.generation, self._shared_generation = next(VERSIONS), generation

    def _adopt(self, state: State) -> State:
        """Another process's reading, where it is no older than ours."""
        mine = self.states.get(state.path)
        if mine is not None and mine.fetched_at > state.fetched_at and not self._ahead(mine):
            mine.stale = mine.stale or state.stale
            return mine
        self._put(state)
        return state

    def _put(self, state: State) -> None:
        """Go on with a newer reading; where places are gone from it, without what hung on them."""
        older = self.states.get(state.path)
        state.succeed(older)
        self.states[state.path] = state
        if older is not None and self._layout.has_lost(older, state):
            self._sweep()

    def _sweep(self) -> None:
        """Forget the units of places that no list names any more."""
        gone = self._layout.orphans(self.states)
        for path in gone:
            del self.states[path]
            self._asked.pop(path, None)
        if gone:
            self._keeper.drop(gone)

    async def read(self, unit: Unit, path: str, client: Client, max_age: float) -> State:
        """The unit's state, at most `max_age` seconds old; fetched by whoever asks first, waited for by the others.

        BudgetReserved where it would have to be fetched and the account's budget does not allow it now.
        """
        return await self._read(unit, path, client, max_age, again=True)

    async def _read(self, unit: Unit, path: str, client: Client, max_age: float, *, again: bool) -> State:
        asked_in = self.generation
        self._asked[path] = self._asked.get(path, 0) + 1
        state = self.states.get(path)
        if state is not None and self._fresh(state, max_age):
            return state
        joined = self._flights.get(path)
        if joined is not None and joined.task.done():
            joined = None  # it ended in this very moment, with what stands among the states
        flight = joined or self._take_off(unit, path, client, max_age)
        try:
            state = await self._aboard(path, flight)
        except UpstreamFailure:
            if joined is None or not again:
                raise
            # It set out before anybody asked here: what it ran into may be over.
            return await self._read(unit, path, client, max_age, again=False)
        if state.stale and flight.generation < asked_in:
            # It set out before a write that whoever asks here may know of.
            return await self.read(unit, path, client, max_age)
        return state

    def _fresh(self, state: State, max_age: float) -> bool:
        settles = state.fetched_at < self.settling.until(state.path)
        young = self.now() - state.fetched_at <= (min(max_age, AGE) if settles else max_age)
        return young and not state.stale and not self._ahead(state)

    def holds(self, state: State) -> bool:
        """Whether a reading that may not be renewed now can still be answered with, however old it is."""
        return not state.stale and not self.settling.outlived(state.path, state.fetched_at, self.now())

    def _ahead(self, state: State) -> bool:
        return state.fetched_at > self.now() + SKEW

    def _take_off(self, unit: Unit, path: str, client: Client, max_age: float) -> "_Flight":
        flight = _Flight(self.generation, asyncio.create_task(self._fetch(unit, path, client, max_age)))
        flight.task.add_done_callback(lambda _: self._landed(path, flight))
        self._flights[path] = flight
        return flight

    async def _aboard(self, path: str, flight: "_Flight") -> State:
        """Wait for a fetch. One that nobody waits for any more, and that was not sent yet, is called off: it would
        only run into what made the others leave.
        """
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.sent and not flight.task.done():
                self._landed(path, flight)
                flight.task.cancel()

    def _landed(self, path: str, flight: "_Flight") -> None:
        if self._flights.get(path) is flight:
            del self._flights[path]
            self._alike = self._alike if self._flights else Alike()
        if flight.task.done() and not flight.task.cancelled():
            flight.task.exception()  # whoever waits for it raises it; they may all have left

    async def _fetch(self, unit: Unit, path: str, client: Client, max_age: float) -> State:
        """The unit from whichever process has it fresh, else from upstream; one process fetches at a time."""
        while not await self._keeper.claim(path):
            theirs = await self._theirs(path, max_age)
            if theirs is not None:
                return theirs
            await self._keeper.news(_PATIENCE)
        try:
            theirs = await self._theirs(path, max_age)
            if theirs is None:
                return await self._claimed(unit, path, client)
        except BaseException:
            self._keeper.give_back(path)
            raise
        self._keeper.give_back(path)
        return theirs

    async def _theirs(self, path: str, max_age: float) -> State | None:
        """Another process's reading, where it will do."""
        generation = None
        while generation != self.generation:
            # A write that goes by while we look may have come too late for what we see.
            generation = self.generation
            theirs = await self._keeper.look(path)
        if theirs is None or not self._fresh(theirs, max_age):
            return None
        mine = self.states.get(path)
        if mine is not None and mine.stale and mine.fetched_at >= theirs.fetched_at:
            return None
        return self._adopt(theirs)

    async def _claimed(self, unit: Unit, path: str, client: Client) -> State:
        generation, shared_generation = self.generation, self._shared_generation
        state = await self._admitted(unit, path, client)
        # A list that was on its way while a write went by may or may not show the write.
        state.stale = generation != self.generation
        self._put(state)
        self._keeper.keep(state, shared_generation)
        return state

    async def _admitted(self, unit: Unit, path: str, client: Client) -> State:
        older = self.states.get(path)
        if self.purse is None:
            return await self._read_upstream(unit, path, client, older)
        cost = older.cost if older else 1
        turn = await self.purse.admit(self.priority(path), cost)
        try:
            return await self._read_upstream(unit, path, client, older)
        except RemoteRateLimited as error:
            # The whole account is out of budget: nobody else needs to find that out for themselves.
            self.purse.back_off(_seconds(error.headers.get("retry-after")))
            raise
        finally:
            self.purse.settle(turn, cost)

    def priority(self, path: str) -> float:
        """Lower goes first: what is unknown, then what is old and much asked for."""
        older = self.states.get(path)
        if older is None or older.stale:
            return float("-inf")
        return -(self.now() - older.fetched_at) * self._asked.get(path, 1)

    async def reread(self, unit: Unit, path: str, client: Client, since: float) -> State:
        """The unit as it was at `since` (by `now`) or later, for a write: it does not wait behind refreshes, and may
        take from what the purse keeps back. A list that reads the same costs the provider next to nothing.
        """
        older = self.states.get(path)
        if older is not None and not older.stale and since <= older.fetched_at <= self.now():
            return older
        generation = self.generation
        state = await self._ask(unit, path, client, older)
        state.stale = generation != self.generation
        self._put(state)
        return state

    async def _read_upstream(self, unit: Unit, path: str, client: Client, older: State | None) -> State:
        if path in self._flights:
            self._flights[path].sent = True
        return await self._ask(unit, path, client, older)

    async def _ask(self, unit: Unit, path: str, client: Client, older: State | None) -> State:
        fetched_at = self.now()
        etag = older.etag if older is not None and older.records is not None else None
        try:
            answer = await fetch(unit, path, client, etag=etag)
        except RemoteError as error:
            if not lasting(error):
                raise
            # Without the frames that it was raised through: it stays for as long as the unit does.
            return State(path, None, fetched_at=fetched_at, cost=1, error=error.with_traceback(None))
        if answer.not_modified and older is not None:
            records = older.records
        else:
            alike = self._alike if path in self._flights else Alike()
            records = await alike.shared(answer.records)
        return State(path, records, fetched_at=fetched_at, cost=answer.requests, etag=answer.etag)

    async def make_stale(self, touched: Callable[[str], bool], news: Settling | None = None) -> int:
        """Have the units whose path `touched` accepts read again before they are used, by every process; how many.

        They are marked in the database first: until then, what is read there looks fresh. `news` is what the write
        leaves to settle.
        """
        now = self.now()
        self.settling = self.settling.then(news or Settling(), now)
        try:
            generation = await self._keeper.mark_stale(
                touched, (lambda kept: stored(restored(kept).then(news, now))) if news is not None else None
            )
            if generation == self._shared_generation + 1:
                # Else another process wrote meanwhile, which is still to be caught up with.
                self._shared_generation = generation
        finally:
            self.generation = next(VERSIONS)
            hit = [state for path, state in self.states.items() if touched(path)]
            for state in hit:
                state.stale = True
        return len(hit)

    def proved(self, state: State, day: int, held: bool) -> None:
        """Remember a proof's verdict for the day."""
        state.proof = (day, held)
        self._keeper.keep_proof(state.path, day, held)

    def cost_of_gather(self, cost: int) -> None:
        """Remember what a whole gather cost, where it was the costliest so far."""
        if cost > self.gather_cost:
            self.gather_cost = cost
            self._keeper.keep_cost(cost)

    async def close(self) -> None:
        flights = [flight.task for flight in self._flights.values()]
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        await self._keeper.settle()


class _Flight:
    """A fetch under way: the generation in which it set out, who waits for it, and whether it was sent."""

    __slots__ = ("generation", "sent", "task", "waiting")

    def __init__(self, generation: int, task: asyncio.Task[State]) -> None:
        self.generation = generation
        self.task = task
        self.waiting = 0
        self.sent = False


def _failed(task: asyncio.Task[None]) -> bool:
    return task.cancelled() or task.exception() is not None


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isdigit() else 30.0
