"""Where places stand: their records as the directory has them at hand, and the lists that show who is in them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from adapter.directory.gather import Read
from adapter.directory.writing.desk import Desk
from adapter.directory.writing.model import Held, PlaceRef, Step
from adapter.mapping.compiled import false
from adapter.mapping.units import Unit
from adapter.mapping.writes import PlaceKind

Key = tuple[str, str]
"""A place: its kind's name and its id."""


def key_of(place: PlaceRef) -> Key:
    return place.kind, place.id


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A list of the provider's for one chain of records that it hangs on."""

    unit: Unit
    lineage: Mapping[str, Any]
    lag: float
    """Seconds for which it may go on showing somebody who was taken out."""

    @property
    def path(self) -> str:
        return self.unit.path(self.lineage)


class Atlas:
    """Places by kind and id; made by `opened`."""

    def __init__(self, desk: Desk, reads: Iterable[Read]) -> None:
        self._desk = desk
        self._reads = list(reads)
        self._records = {
            (kind.name, str(record["id"])): record
            for kind in desk.writes.places.values()
            for read in self._listing(kind)
            for record in _records(read)
        }

    @classmethod
    async def opened(cls, desk: Desk) -> "Atlas":
        """From what is at hand; nothing is asked of the provider."""
        names = [unit.name for kind in desk.writes.places.values() for unit in listing_units(desk, kind)]
        return cls(desk, await desk.at_hand(dict.fromkeys(names)))

    def lineage(self, place: PlaceRef) -> dict[str, Any]:
        """What paths and expressions see of a place; of an unknown one, its id and name."""
        kind = self._desk.writes.places[place.kind]
        record = self.record(place)
        above = {word: expression(record) for word, expression in kind.within.items()}
        return {kind.as_: record, **{word: found for word, found in above.items() if found}}

    def record(self, place: PlaceRef) -> Mapping[str, Any]:
        return self._records.get(key_of(place), {"id": place.id, "name": place.name})

    def lists(self, place: PlaceRef) -> list[Listing]:
        """The place's own lists of who is in it, or invited."""
        lineage = self.lineage(place)
        kind = self._desk.writes.places[place.kind]
        units = [self._desk.model.units[people.units[0]] for people in kind.people if not people.only_known]
        return [
            listing(self._desk, unit, lineage) for unit in units if unit.where is None or not false(unit.where(lineage))
        ]

    def above(self, place: PlaceRef) -> list[Key]:
        """What the place is in, as far as access here goes with a membership there."""
        lineage = self.lineage(place)
        kinds = [kind for kind in self._desk.writes.places.values() if place.kind in kind.covers]
        records = [(kind.name, lineage.get(kind.as_)) for kind in kinds]
        return [(name, str(record["id"])) for name, record in records if isinstance(record, Mapping) and "id" in record]

    def overview(self, place: PlaceRef) -> Listing | None:
        """The list that shows, in one, who is in everything inside a place; None where there is none to be trusted."""
        kind = self._desk.writes.places[place.kind]
        for name in (unit for inner in self._covered(kind) for people in inner.people for unit in people.units):
            unit = self._desk.model.units[name]
            if unit.parent == kind.as_:
                found = listing(self._desk, unit, self.lineage(place))
                return found if self._trusted(found) else None
        return None

    def proving(self, places: Iterable[tuple[PlaceRef, PlaceRef | None]]) -> dict[Key, list[Listing]]:
        """By place, the lists that tell whether somebody has left it: its own, or where it goes with another place, the
        overview of that one.
        """
        overviews: dict[Key, Listing | None] = {}
        found: dict[Key, list[Listing]] = {}
        for place, by in places:
            if by is not None and key_of(by) not in overviews:
                overviews[key_of(by)] = self.overview(by)
            overview = overviews[key_of(by)] if by is not None else None
            found[key_of(place)] = [overview] if overview is not None else self.lists(place)
        return found

    def _covered(self, kind: PlaceKind) -> Iterator[PlaceKind]:
        return (self._desk.writes.places[name] for name in kind.covers)

    def _listing(self, kind: PlaceKind) -> list[Read]:
        names = {unit.name for unit in listing_units(self._desk, kind)}
        return [read for read in self._reads if read.unit.name in names]

    def _trusted(self, found: Listing) -> bool:
        state = self._desk.units.states.get(found.path)
        return state is not None and state.error is None and (state.proof is None or state.proof[1])


async def reading_back(desk: Desk, steps: Iterable[Step], held: Iterable[Held]) -> int:
    """Requests that reading back every place takes that a removal from everywhere is about, where nobody is found."""
    taken = [step.place for step in steps if step.place is not None]
    left = {key_of(place) for place in taken}
    covered = [(one.place, one.by) for one in held if one.by is not None and key_of(one.by) in left]
    lists = (await Atlas.opened(desk)).proving([*((place, None) for place in taken), *covered])
    return len({one.path for found in lists.values() for one in found})


def listing_units(desk: Desk, kind: PlaceKind) -> list[Unit]:
    """The units whose records are places of a kind."""
    names = [name for unit in desk.model.units.values() if unit.parent == kind.as_ for name in unit.parents]
    return [desk.model.units[name] for name in dict.fromkeys(names)]


def listing(desk: Desk, unit: Unit, lineage: Mapping[str, Any]) -> Listing:
    lags = [desk.model.removals[name].seconds for name in unit.without if name in desk.model.removals]
    return Listing(unit=unit, lineage=lineage, lag=max(lags, default=0.0))


def _records(read: Read) -> Iterator[Mapping[str, Any]]:
    return (record for record in read.state.records or () if isinstance(record, dict) and record.get("id"))
