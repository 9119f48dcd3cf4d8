"""The directory: every door asks its questions here and is answered from the units of an integrated account."""

import asyncio
import time
from collections.abc import Callable, Sequence

import msgspec
from cachetools import LRUCache

from adapter.directory.cursors import Cursors
from adapter.directory.gather import Gather, Read, Scope
from adapter.directory.query import Query
from adapter.directory.touch import touched_by
from adapter.directory.units import AccountUnits, Client, Missing, fetch
from adapter.directory.views import Collection, View
from adapter.errors import BadRequest, DirectoryGathering, InvalidParameter, NotFound
from adapter.mapping import engine
from adapter.mapping.engine import Fault, Record
from adapter.mapping.model import Model, Resource

MAX_ACCOUNTS = 512
"""Accounts whose units are kept in memory; the one not asked for longest goes first."""

ViewKey = tuple[str, Scope | None, bool]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A page of records, with everything that its envelope and headers have to say."""

    records: Sequence[Record]
    next_cursor: str | None
    age: float
    last_modified: float
    missing: tuple[Missing, ...]
    paths: tuple[tuple[str, int, float], ...]


class Directory:
    """Who has what, for any connected account; see `list_records` and `get_record`."""

    def __init__(
        self,
        model: Model,
        cursors: Cursors,
        *,
        max_age: float = 60.0,
        wait: float = 20.0,
        reserve: int = 500,
        refill: float = 0.8,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`max_age`, `wait` and `refill` (the time in which one upstream request flows back) are in seconds."""
        self.model = model
        self._cursors = cursors
        self._max_age = max_age
        self._wait = wait
        self._reserve = reserve
        self._refill = refill
        self._clock = clock
        self._accounts: LRUCache[str, AccountUnits] = LRUCache(MAX_ACCOUNTS)
        self._views: LRUCache[tuple[str, ViewKey], tuple[int, View]] = LRUCache(MAX_ACCOUNTS * 4)
        self._gathers: dict[tuple[str, ViewKey], tuple[Gather, asyncio.Task[None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        """Every gather under way, those too that nobody joins any more."""

    # --- questions

    def resource(self, name: str) -> Resource:
        """The declaration of a resource; NotFound names those that exist."""
        if name not in self.model.resources:
            raise NotFound(f"There is no resource `{name}`; known are: {', '.join(sorted(self.model.resources))}.")
        return self.model.resources[name]

    async def list_records(self, account_id: str, client: Client, resource: Resource, query: Query) -> Answer:
        """One page of a list. InvalidCursor, DirectoryGathering, or what the upstream client raises."""
        bound_to = f"{account_id}|{resource.name}|{query.fingerprint()}"
        after = self._cursors.open(bound_to, query.cursor) if query.cursor else None
        if query.remote_query:
            view = await self._passed_through(client, resource, query)
        else:
            view = await self._view(account_id, client, resource, query, _scope(resource, query))
        records, place = view.collection.page(query, after)
        return self._answer(view, records, self._cursors.seal(bound_to, place) if place is not None else None)

    async def get_record(self, account_id: str, client: Client, resource: Resource, key: str, query: Query) -> Answer:
        """One record by its id. NotFound says so where it may only be out of sight."""
        if resource.id_pattern and not resource.id_pattern.fullmatch(key):
            raise InvalidParameter(
                f"`{key}` is no id of {resource.name}; they look like {resource.id_form}.",
                details=[{"where": "path", "name": "id", "found": key, "expected": resource.id_form}],
            )
        scope = Scope(place=resource.get_place, ids=frozenset({key})) if resource.get_place else None
        view = await self._view(account_id, client, resource, query, scope)
        record = view.collection.find(key) or engine.find_anonymous(resource, key, view.collection.records)
        if record is None:
            raise _absent(resource, key, view.missing)
        return self._answer(view, [record], None)

    def warm(self, account_id: str, client: Client) -> None:
        """Begin the first gather of an account that has just been connected; whoever asks next joins it."""
        for name in ("users", "role_assignments"):
            if name in self.model.resources:
                resource = self.model.resources[name]
                self._join(account_id, client, resource, (name, None, False), self._max_age)

    def touched(self, account_id: str, path: str) -> int:
        """Have whatever a write to the provider's `path` may have changed read again; returns how many units."""
        units = self._units(account_id)
        return units.make_stale(touched_by(self.model, units.states, path.partition("?")[0]))

    def gathering(self, account_id: str) -> Gather | None:
        """The gather that an account's callers wait for at the moment, for showing its progress."""
        return next((gather for (account, _), (gather, _) in self._gathers.items() if account == account_id), None)

    def forget(self, account_id: str) -> None:
        """Drop everything that is known of an account."""
        self._accounts.pop(account_id, None)
        for key in [key for key in self._views if key[0] == account_id]:
            self._views.pop(key, None)

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for units in list(self._accounts.values()):
            await units.close()

    # --- views

    async def _view(
        self, account_id: str, client: Client, resource: Resource, query: Query, scope: Scope | None
    ) -> View:
        key: ViewKey = (resource.name, scope, query.include_inherited)
        units = self._units(account_id)
        max_age = self._max_age_for(units, client, query)
        kept = self._views.get((account_id, key))
        if kept and kept[0] == units.generation and units.now() - kept[1].oldest <= max_age:
            return kept[1]
        gather, task = self._join(account_id, client, resource, key, max_age)
        done, _ = await asyncio.wait({task}, timeout=self._wait)
        if not done and not query.allow_partial:
            raise DirectoryGathering(headers={"Retry-After": str(self._retry_after(gather))})
        if done and not (query.allow_partial and gather.has_read):
            task.result()
        complete = bool(done) and task.exception() is None
        view = self._assemble(resource, gather, units, query, complete=complete)
        if complete:
            # A write that went by meanwhile may not be in it: the next to ask gathers again.
            self._views[account_id, key] = (gather.begun_generation, view)
        return view

    def _join(
        self, account_id: str, client: Client, resource: Resource, key: ViewKey, max_age: float
    ) -> tuple[Gather, asyncio.Task[None]]:
        """The gather under way for this view, or a new one: callers that come together share it."""
        running = self._gathers.get((account_id, key))
        units = self._units(account_id)
        if running and running[0].begun_generation == units.generation and running[0].max_age <= max_age:
            return running
        names = self.model.units_of(resource, inherited=key[2])
        gather = Gather(self.model, units, client, names, scope=key[1], max_age=max_age)
        task = asyncio.create_task(self._run(units, gather))
        self._tasks.add(task)
        self._gathers[account_id, key] = (gather, task)
        task.add_done_callback(lambda done: self._left(account_id, key, done))
        return gather, task

    async def _run(self, units: AccountUnits, gather: Gather) -> None:
        await gather.run()
        units.gather_cost = max(units.gather_cost, gather.cost) if gather.scope is None else units.gather_cost

    def _left(self, account_id: str, key: ViewKey, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._gathers.get((account_id, key), (None, None))[1] is task:
            del self._gathers[account_id, key]
        if not task.cancelled():
            task.exception()  # whoever waits for the task raises it; nobody may

    def _assemble(
        self, resource: Resource, gather: Gather, units: AccountUnits, query: Query, *, complete: bool
    ) -> View:
        reads = [*gather.reads_above(), *gather.reads()]
        missing = [gap for read in reads if (gap := read.missing())] + ([] if complete else gather.pending())
        _refuse_blindness(reads, complete=complete, allow_partial=query.allow_partial)
        trusted = [read for read in gather.reads() if _readable(read)]
        records, faults = self._records(resource, trusted, inherited=query.include_inherited)
        times = [read.state.fetched_at for read in reads] or [units.now()]
        changed = [read.state.changed_at for read in reads] or [units.now()]
        return View(
            collection=Collection(resource, records),
            oldest=min(times),
            changed=max(changed),
            missing=(*missing, *map(_unreadable, faults)),
            paths=tuple(
                (read.state.path, read.state.error.status if read.state.error else 200, read.state.fetched_at)
                for read in reads
            ),
        )

    def _records(
        self, resource: Resource, reads: Sequence[Read], *, inherited: bool
    ) -> tuple[list[Record], list[Fault]]:
        base = self.model.resources[resource.derived.resource] if resource.derived else resource
        records, faults = engine.assemble(self.model, resource, [_shaped(base, read) for read in reads])
        if inherited and resource.inherited:
            above = [read.instance() for read in reads if read.unit.name == resource.inherited.unit]
            records = engine.inherit(resource, records, above)
        return records, faults

    async def _passed_through(self, client: Client, resource: Resource, query: Query) -> View:
        """A list asked of the provider in the caller's words: never stored, and only where one unit serves it."""
        names = self.model.units_of(resource)
        unit = self.model.units[names[0]] if len(names) == 1 and not resource.derived else None
        if unit is None or unit.parent:
            raise BadRequest(f"`remote_query` can't reach {resource.name}: more than one upstream list serves it.")
        records, _ = await fetch(unit, unit.path({}), client, query.remote_query)
        instance = engine.Instance(unit=unit.name, path=unit.path({}), lineage={}, records=records)
        merged, faults = engine.assemble(self.model, resource, [engine.shape(resource, instance)])
        now = self._clock()
        return View(
            collection=Collection(resource, merged),
            oldest=now,
            changed=now,
            missing=tuple(map(_unreadable, faults)),
            paths=((instance.path, 200, now),),
        )

    # --- small things

    def _units(self, account_id: str) -> AccountUnits:
        units = self._accounts.get(account_id)
        if units is None:
            units = self._accounts[account_id] = AccountUnits(self._clock)
        return units

    def _max_age_for(self, units: AccountUnits, client: Client, query: Query) -> float:
        """How old units may be: a gather of C requests is not repeated before C requests have flowed back, unless the
        caller insists and the account's budget stays above the reserve.
        """
        usual = max(self._max_age, units.gather_cost * self._refill)
        remaining = client.budget.remaining
        affordable = remaining is None or remaining - units.gather_cost >= self._reserve
        return query.max_age if query.max_age is not None and affordable else usual

    def _retry_after(self, gather: Gather) -> int:
        return max(2, min(60, round(len(gather.pending()) * 0.05)))

    def _answer(self, view: View, records: Sequence[Record], cursor: str | None) -> Answer:
        return Answer(
            records=records,
            next_cursor=cursor,
            age=max(0.0, self._clock() - view.oldest),
            last_modified=view.changed,
            missing=view.missing,
            paths=view.paths,
        )


def _scope(resource: Resource, query: Query) -> Scope | None:
    """The places that a list is confined to, where a filter says so; conditions on other places widen it again."""
    placed = [(place, c) for c in query.conditions if (place := resource.filters[c.filter].place)]
    if not placed or any(place != placed[0][0] or c.operator not in {"eq", "in"} for place, c in placed):
        return None
    return Scope(place=placed[0][0], ids=frozenset(str(value) for _, c in placed for value in c.values))


def _shaped(resource: Resource, read: Read) -> engine.Shaped:
    """The read's fragments: shaped once for each version of the unit and of what it hangs on."""
    key = (resource.name, read.unit.name)
    kept = read.state.shaped.get(key)
    if kept is None or kept[0] != read.lineage:
        kept = read.state.shaped[key] = (read.lineage, engine.shape(resource, read.instance()))
    return kept[1]


def _readable(read: Read) -> bool:
    return read.state.error is None and not read.distrusted


def _refuse_blindness(reads: Sequence[Read], *, complete: bool, allow_partial: bool) -> None:
    """Where nothing at all could be read, say why: an empty list would look like an empty directory."""
    errors = [read.state.error for read in reads if read.state.error is not None and not read.distrusted]
    if complete and errors and not any(map(_readable, reads)) and not allow_partial:
        raise errors[0]


def _unreadable(fault: Fault) -> Missing:
    return Missing(unit=fault.unit, reason="record_unreadable", message=fault.reason)


def _absent(resource: Resource, key: str, missing: Sequence[Missing]) -> NotFound:
    if not missing:
        return NotFound(f"There is no `{key}` among the {resource.name}.")
    return NotFound(
        f"`{key}` is not among the {resource.name} that could be read; it may stand in what is missing.",
        details=[{"where": "directory", "missing": msgspec.to_builtins(gap)} for gap in missing],
    )
