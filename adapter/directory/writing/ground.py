"""What a write stands on: places resolved by id, who is in them, what kind they are; each read once for a plan.

Whatever can't be read, or stands in the way, is raised as `Blocked`: planning collects these place by place.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from adapter.directory.gather import Read
from adapter.directory.lists import Missing
from adapter.directory.writing.desk import Desk
from adapter.directory.writing.model import Obstacle, PlaceRef
from adapter.directory.writing.people import Whom
from adapter.errors import RemoteError, RemoteNotFound
from adapter.mapping.compiled import false
from adapter.mapping.expressions import ShapeError
from adapter.mapping.units import Unit
from adapter.mapping.writes import Entry, PlaceKind


class Blocked(Exception):
    """What stands in the way of one change."""

    def __init__(
        self,
        guard: str,
        message: str,
        *,
        place: PlaceRef | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.obstacle = Obstacle(guard=guard, message=message, place=place, details=dict(details or {}))


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """A place with its record; `lineage` is what paths and reads of it are filled in from."""

    kind: PlaceKind
    ref: PlaceRef
    record: Mapping[str, Any]

    @property
    def lineage(self) -> dict[str, Any]:
        above = {word: expression(self.record) for word, expression in self.kind.within.items()}
        return {self.kind.as_: self.record, **{word: record for word, record in above.items() if record}}

    @property
    def label(self) -> str:
        return self.ref.name or self.ref.id


class Ground:
    """Readings for one plan, none older than `since`; those of what kind a place is none older than `kinds_since`."""

    def __init__(self, desk: Desk, *, since: float, kinds_since: float | None = None) -> None:
        self.desk = desk
        self.writes = desk.writes
        self._since = since
        self._kinds_since = since if kinds_since is None else kinds_since
        self.reads: dict[str, Read] = {}
        self.unknown: list[Missing] = []

    async def read(self, unit: Unit, lineage: Mapping[str, Any], since: float | None = None) -> Read:
        path = unit.path(lineage)
        if path not in self.reads:
            self.reads[path] = await self.desk.fresh(unit, lineage, since=self._since if since is None else since)
        return self.reads[path]

    # --- places

    async def spot(self, ref: PlaceRef) -> Spot:
        """The place by its id, as the provider has it now. Its kind may be given by the contract's word for it
        (`workspace`), where the kinds that go by this word are tried. Blocked where it isn't there or can't be read.
        """
        kinds = self._kinds(ref.kind)
        for kind in kinds[:-1]:
            try:
                return await self._spot(kind, ref)
            except Blocked as blocked:
                if blocked.obstacle.guard != "not_found":
                    raise
        return await self._spot(kinds[-1], ref)

    def _kinds(self, word: str) -> list[PlaceKind]:
        if word in self.writes.places:
            return [self.writes.places[word]]
        kinds = [kind for kind in self.writes.places.values() if kind.named == word]
        if not kinds:
            known = ", ".join(self.writes.places)
            raise Blocked("not_found", f"There is no kind of place `{word}`; known are: {known}.")
        return kinds

    async def _spot(self, kind: PlaceKind, ref: PlaceRef) -> Spot:
        named = PlaceRef(kind=kind.name, id=ref.id, name=ref.name)
        record = await self._record(kind, named)
        found = PlaceRef(kind=kind.name, id=str(record.get("id")), name=record.get("name"))
        if found.id != ref.id:
            raise Blocked(
                "not_found",
                f"`{ref.id}` is no id: the {kind.named} of that name has the id {found.id}. Name it by that.",
                place=found,
            )
        if ref.name is not None and ref.name != found.name:
            raise Blocked(
                "place_mismatch",
                f"The {kind.named} {ref.id} is called `{found.name}`, not `{ref.name}`; make sure which one is meant.",
                place=found,
            )
        return Spot(kind=kind, ref=found, record=record)

    async def _record(self, kind: PlaceKind, ref: PlaceRef) -> Mapping[str, Any]:
        read = await self.read(kind.read, {kind.as_: {"id": ref.id}}, self._kinds_since)
        if isinstance(read.state.error, RemoteNotFound):
            raise Blocked("not_found", f"There is no {ref.kind} `{ref.id}` that this account can see.", place=ref)
        self._checked(read, ref)
        record: Mapping[str, Any] = (read.state.records or [{}])[0]
        return record

    def _checked(self, read: Read, ref: PlaceRef) -> None:
        """Blocked where the reading is none."""
        error = read.state.error
        if error is None:
            return
        missing = read.missing()
        status = {"status": error.status} if isinstance(error, RemoteError) else {}
        raise Blocked(
            "unreadable",
            f"{read.unit.name} of {ref.name or ref.id} can't be read, and nothing is changed unseen: {error.message}",
            place=ref,
            details={**status, "missing": msgspec.to_builtins(missing)},
        )

    # --- who is there, and what kind of place it is

    async def entries(self, spot: Spot) -> list[Entry]:
        """Everybody in the place. Invitations that can't be read are told as unknown; members that can't, Blocked."""
        found: list[Entry] = []
        for people in spot.kind.people:
            unit = self.desk.model.units[people.units[0]]
            if people.only_known or (unit.where is not None and false(unit.where(spot.lineage))):
                continue
            read = await self.read(unit, spot.lineage)
            missing = read.missing()
            if people.pending and missing is not None:
                self.unknown.append(missing)
                continue
            self._checked(read, spot.ref)
            try:
                found += people.entries(read.instance().records, spot.lineage)
            except ShapeError as error:
                raise Blocked("unreadable", f"{unit.name} of {spot.label}: {error}", place=spot.ref) from None
        return found

    async def of(self, whom: Whom, spot: Spot) -> list[Entry]:
        """What the place's lists say of one person, who is known the better for it."""
        mine = [entry for entry in await self.entries(spot) if whom.is_(entry)]
        for entry in mine:
            whom.learn(entry)
        return mine

    async def holds(self, names: Sequence[str], spot: Spot) -> bool:
        """Whether all of these conditions hold there."""
        for name in names:
            if not await self._holds(name, spot):
                return False
        return True

    async def _holds(self, name: str, spot: Spot) -> bool:
        condition = self.writes.conditions[name]
        if condition.negated is not None:
            return not await self._holds(condition.negated, spot)
        if condition.place is not None:
            return not false(condition.place(spot.record))
        assert condition.read is not None
        assert condition.any is not None
        unit = self.writes.reads[condition.read]
        if not set(unit.lineage) <= set(spot.lineage):
            return False
        read = await self.read(unit, spot.lineage, self._kinds_since)
        self._checked(read, spot.ref)
        return any(not false(condition.any(record)) for record in read.state.records or ())
