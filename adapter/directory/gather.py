"""One gather: the units that a resource is made of, read from the roots down, each as soon as its parent is there.

Nothing waits for what it does not hang on, so that a gather takes as long as its requests do, many at a time.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from adapter.directory.lists import Client, Missing
from adapter.directory.proof import prove
from adapter.directory.query import Query
from adapter.directory.state import State
from adapter.directory.units import AccountUnits
from adapter.errors import AdapterError, BudgetReserved, RemoteForbidden, RemoteNotFound, RemoteRateLimited
from adapter.mapping.model import Model, Resource, Unit
from adapter.mapping.removals import Change, truthful
from adapter.mapping.schema import Place
from adapter.mapping.shaping import Instance

Lineage = Mapping[str, Any]


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """A list that is about some places only needs the units of these."""

    place: Place
    ids: frozenset[str]


def scope_of(resource: Resource, query: Query) -> Scope | None:
    """The places that a list is confined to, where a filter says so; conditions on other places widen it again."""
    if not query.conditions:
        return None
    placed = [(place, c) for c in query.conditions if (place := resource.filters[c.filter].place)]
    if not placed or any(place != placed[0][0] or c.operator not in {"eq", "in"} for place, c in placed):
        return None
    return Scope(place=placed[0][0], ids=frozenset(str(value) for _, c in placed for value in c.values))


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """A unit's state together with the records that it hangs on."""

    unit: Unit
    lineage: Lineage
    state: State
    distrusted: bool = False
    """The unit proved wrong, or does not exist: other units are read instead of it."""
    changes: tuple[Change, ...] = ()
    """What writes did that the list may not show yet."""
    settles: bool = False
    """A write touched the list, and it can't be relied on yet."""

    def instance(self) -> Instance:
        return Instance(unit=self.unit.name, path=self.state.path, lineage=self.lineage, records=self._records())

    @property
    def hides(self) -> bool:
        """Whether somebody stands in the list and is left out, for having been removed a moment ago."""
        return [*self._records()] != [*(self.state.records or ())]

    def _records(self) -> Sequence[Any]:
        records = self.state.records or ()
        if not self.changes:
            return records
        parents = {f"_{name}": record for name, record in self.lineage.items()}
        return truthful(self.unit.without, self.changes, records, parents)

    def missing(self) -> Missing | None:
        error = self.state.error
        if error is None or self.distrusted:
            return None
        return missing_of(self.unit, self.lineage, error)


class Gather:
    """Reads the named units, and whatever these hang on, at most `max_age` seconds old."""

    def __init__(
        self,
        model: Model,
        units: AccountUnits,
        client: Client,
        names: Sequence[str],
        *,
        scope: Scope | None = None,
        max_age: float = 60.0,
    ) -> None:
        self._model = model
        self._units = units
        self._client = client
        self.scope = scope
        self.max_age = max_age
        self._running: dict[str, asyncio.Task[list[Read]]] = {}
        self._begun: dict[tuple[str, str], tuple[Unit, Lineage]] = {}
        self._failed: dict[tuple[str, str], AdapterError] = {}
        self.names = tuple(name for name in names if self._wanted(model.units[name]))
        self.done: dict[str, dict[str, Read]] = {}
        """What has been read so far, by unit name and path; complete once `run` has returned."""
        self.begun_at = units.now()
        self.begun_generation = units.generation
        self._costs: dict[str, int] = {}
        self._held: set[str] = set()

    @property
    def cost(self) -> int:
        """Upstream requests that this gather has needed so far."""
        return sum(self._costs.values())

    @property
    def held(self) -> int:
        """Units that the account's request budget did not allow to read now."""
        return len(self._held)

    @property
    def has_read(self) -> bool:
        """Whether anything that tells about people or places has been read."""
        return any(read.state.error is None for reads in self.done.values() for read in reads.values())

    async def run(self) -> None:
        """Read everything. The first lasting failure of a request ends the gather; the units already read are kept."""
        tasks = [self._unit(name) for name in self.names]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    def reads(self) -> list[Read]:
        """The named units in a settled order, whatever arrived first: by unit as declared, then by path."""
        return [read for name in self.names for read in self._done(name)]

    def reads_above(self) -> list[Read]:
        """The other units that were read on the way: what could not be read there hides what hangs on it."""
        return [read for name in self._model.units if name not in self.names for read in self._done(name)]

    def pending(self) -> list[Missing]:
        """What is still under way, not begun, or failed for the moment, for an answer that does not wait for it."""
        begun = [_pending(unit, lineage, self._failed.get(key)) for key, (unit, lineage) in self._begun.items()]
        known = {missing.unit for missing in begun}
        return begun + [
            _pending(self._model.units[name], {}, None)
            for name in self.names
            if name not in known and not _over(self._running.get(name))
        ]

    # --- from the roots down

    def _wanted(self, unit: Unit) -> bool:
        return self.scope is None or self.scope.place in unit.places or unit.lists == self.scope.place

    def _unit(self, name: str) -> asyncio.Task[list[Read]]:
        if name not in self._running:
            self._running[name] = asyncio.create_task(self._read_all(self._model.units[name]))
        return self._running[name]

    async def _read_all(self, unit: Unit) -> list[Read]:
        return list(await _all(self._read(unit, chain) for chain in await self._chains(unit)))

    async def _read(self, unit: Unit, lineage: Lineage) -> Read:
        path = unit.path(lineage)
        key = (unit.name, path)
        self._begun[key] = (unit, lineage)
        try:
            read = await self._trusted(unit, lineage, await self._state(unit, path))
        except AdapterError as error:
            self._failed[key] = error
            raise
        # The unit may be read on another way at the same time, instead of one that is not trusted.
        self._begun.pop(key, None)
        return self.done.setdefault(unit.name, {}).setdefault(path, read)

    def _done(self, name: str) -> list[Read]:
        return [self._settled(read) for _, read in sorted(self.done.get(name, {}).items())]

    def _settled(self, read: Read) -> Read:
        """With what is known by now of writes that went by meanwhile."""
        settling, at = self._units.settling, read.state.fetched_at
        changes, settles = settling.about(read.unit, at), at < settling.until(read.state.path)
        return msgspec.structs.replace(read, changes=changes, settles=settles) if changes or settles else read

    async def _state(self, unit: Unit, path: str) -> State:
        # What this gather has read itself is fresh for it, however fresh the caller insists.
        max_age = max(self.max_age, self._units.now() - self.begun_at)
        try:
            state = await self._units.read(unit, path, self._client, max_age)
        except (BudgetReserved, RemoteRateLimited) as error:
            self._held.add(path)
            older = self._units.states.get(path)
            if older is not None and self._units.holds(older):
                return older
            return State(path, None, fetched_at=self._units.now(), cost=0, error=error)
        self._held.discard(path)
        if state.fetched_at >= self.begun_at:
            self._costs[path] = state.cost
        return state

    async def _trusted(self, unit: Unit, lineage: Lineage, state: State) -> Read:
        if unit.proof is None:
            return Read(unit=unit, lineage=lineage, state=state)
        if isinstance(state.error, RemoteNotFound):
            return Read(unit=unit, lineage=lineage, state=state, distrusted=True)
        proved = await prove(self._model, unit, lineage, state, self._units, self._state)
        return Read(unit=unit, lineage=lineage, state=state, distrusted=not proved)

    async def _chains(self, unit: Unit) -> list[Lineage]:
        """The chains of parent records that the unit is read for, each once."""
        if unit.when_any and not await self._any(*unit.when_any):
            return []
        if unit.parent is None:
            return [{}]
        parents = await self._parents(unit)
        chains = [chain for read in parents for chain in below(unit, read)]
        if unit.unless_among:
            name, expression = unit.unless_among
            known = {record["id"] for record in await self._known(name)}
            chains = [chain for chain in chains if expression(chain) not in known]
        return list({unit.path(chain): chain for chain in reversed(chains) if self._in_scope(unit, chain)}.values())[
            ::-1
        ]

    async def _parents(self, unit: Unit) -> list[Read]:
        if unit.instead_of is None:
            return [read for reads in await _all(self._unit(name) for name in unit.parents) for read in reads]
        fallen = [read.lineage for read in await self._unit(unit.instead_of) if read.distrusted]
        pairs = [(self._model.units[name], lineage) for name in unit.parents for lineage in fallen]
        return list(await _all(self._read(parent, lineage) for parent, lineage in pairs))

    async def _known(self, name: str) -> list[Any]:
        """Every record that goes by a name, whichever unit lists it."""
        lists = dict.fromkeys(u for unit in self._model.units.values() if unit.parent == name for u in unit.parents)
        return [
            record for reads in await _all(self._unit(u) for u in lists) for read in reads for record in _records(read)
        ]

    async def _any(self, name: str, expression: Any) -> bool:
        return any(expression({name: record}) for record in await self._known(name))

    def _in_scope(self, unit: Unit, chain: Lineage) -> bool:
        expression = unit.places.get(self.scope.place) if self.scope else None
        return self.scope is None or expression is None or expression(chain) in self.scope.ids


def below(unit: Unit, parent: Read) -> Iterable[Lineage]:
    """The chains of records that the unit is read for below one of its parents."""
    above = {name: record for name, record in parent.lineage.items() if name in unit.lineage}
    assert unit.parent is not None
    for record in _records(parent):
        chain = {**above, unit.parent: record}
        if unit.where is None or unit.where(chain):
            yield chain


def _records(read: Read) -> Iterable[Any]:
    """The records that have an id to hang anything on; others can't be addressed."""
    return (record for record in read.state.records or () if isinstance(record, dict) and record.get("id"))


async def _all(awaitables: Iterable[Any]) -> Sequence[Any]:
    return await asyncio.gather(*awaitables)


def _over(task: asyncio.Task[Any] | None) -> bool:
    return task is not None and task.done() and not task.cancelled() and task.exception() is None


def missing_of(unit: Unit, lineage: Lineage, error: AdapterError) -> Missing:
    """A unit that an error stood in the way of, as an answer names it."""
    reason = _reason(error)
    return Missing(
        unit=unit.name,
        reason=reason,
        message=error.message,
        place={name: _named(record) for name, record in lineage.items()},
        scopes=unit.scopes if reason == "missing_scope" else (),
        retry_after=_retry_after(error),
    )


def _pending(unit: Unit, lineage: Lineage, error: AdapterError | None) -> Missing:
    return Missing(
        unit=unit.name,
        reason=_reason(error) if error else "gathering",
        message=error.message if error else "is still being read; ask again",
        place={name: _named(record) for name, record in lineage.items()},
    )


def _reason(error: AdapterError) -> str:
    if isinstance(error, RemoteForbidden):
        scopes = error.insight.get("forbidden_error", {}).get("missing_scopes")
        return "missing_scope" if scopes else "forbidden"
    if isinstance(error, RemoteNotFound):
        return "not_found"
    return str(getattr(error, "remote_id", None) or error.code)


def _retry_after(error: AdapterError) -> int | None:
    text = error.headers.get("retry-after", "") if isinstance(error, BudgetReserved | RemoteRateLimited) else ""
    return int(text) if text.isdigit() else None


def _named(record: Any) -> dict[str, str]:
    return {word: str(record[word]) for word in ("id", "name") if record.get(word)}
