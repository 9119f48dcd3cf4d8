"""Everything that somebody has anywhere, drafted for removal: what can be taken, what stays and why, what is not known.

It rests on the directory, whose units may be some seconds or minutes old; only what a guard needs is read anew. What
stands in the way in one place keeps nothing from being taken in the others.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from adapter.directory.gather import Gather, Read, Scope, missing_of
from adapter.directory.lists import Missing
from adapter.directory.writing.conditions import Wish
from adapter.directory.writing.drafting import Draft, drafted
from adapter.directory.writing.ground import Blocked, Ground, Spot
from adapter.directory.writing.model import Ask, Held, Obstacle, PlaceRef
from adapter.directory.writing.people import Found, Whom, holding_of, look_for
from adapter.errors import Unprocessable
from adapter.mapping.writes import Entry, PlaceKind


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """What a look through the directory came to. `full_proof`: the requests that reading all of it anew takes."""

    drafts: tuple[Draft, ...]
    held: tuple[Held, ...]
    remains: tuple[Obstacle, ...]
    unknown: tuple[Missing, ...]
    reads: tuple[Read, ...]
    full_proof: int
    may_return: tuple[Mapping[str, Any], ...] = ()
    secrets: tuple[PlaceRef, ...] = ()


class _Presence(msgspec.Struct, kw_only=True):
    """A person in a place, as all units together show it."""

    kind: PlaceKind
    ref: PlaceRef
    record: Mapping[str, Any]
    entries: list[Entry]


async def sweep(ground: Ground, ask: Ask, whom: Whom) -> Sweep:
    """Everything that the directory shows of a person, drafted for removal."""
    desk = ground.desk
    gather = await desk.gathered(desk.writes.units())
    reads = [read for read in gather.reads() if not read.distrusted]
    found, faults = await look_for(desk, whom, reads)
    presences = _presences(found, list(ground.writes.places))
    taken, remains = [], []
    for presence in _uncovered(presences):
        made = await _taken(ground, ask, whom, presence)
        if isinstance(made, Draft):
            taken.append(made)
        else:
            remains += made
    unknown = [*_gaps(gather), *(_fault(read, text) for read, text in faults), *ground.unknown]
    used = {id(read): read for _, read, _ in found}
    return Sweep(
        drafts=tuple(taken),
        held=tuple(_held(presences)),
        remains=tuple(remains),
        unknown=tuple(unknown),
        reads=tuple(used.values()),
        full_proof=sum(read.state.cost for reads in gather.done.values() for read in reads.values()),
        may_return=tuple(_returning(presences)),
        secrets=tuple(await _secrets(ground, presences)),
    )


async def _taken(ground: Ground, ask: Ask, whom: Whom, presence: _Presence) -> Draft | list[Obstacle]:
    """The removal from one place, or what keeps the person there."""
    spot = Spot(kind=presence.kind, ref=presence.ref, record=presence.record)
    try:
        entries: Sequence[Entry] = presence.entries
        if presence.kind.keepers & set(holding_of(presence.kind, entries).roles):
            entries = await ground.of(whom, spot)
        made = await drafted(ground, ask, whom, Wish(verb="take", place=spot.ref), spot, entries)
    except Blocked as blocked:
        return [blocked.obstacle]
    return [obstacle for obstacle in made.obstacles if not obstacle.is_warning] if made.refused else made


# --- what was found


def _presences(found: Iterable[Found], kinds: Sequence[str]) -> list[_Presence]:
    """By place, in the order in which kinds are declared, then by id."""
    made: dict[tuple[str, str], _Presence] = {}
    for kind, read, entry in found:
        presence = made.setdefault((kind.name, entry.place_id), _presence(kind, entry))
        presence.entries.append(entry)
        record = read.lineage.get(kind.as_)
        if isinstance(record, Mapping) and len(record) > len(presence.record):
            presence.record = record
    return sorted(made.values(), key=lambda presence: (kinds.index(presence.kind.name), presence.ref.id))


def _presence(kind: PlaceKind, entry: Entry) -> _Presence:
    ref = PlaceRef(kind=kind.name, id=entry.place_id, name=entry.place_name)
    return _Presence(kind=kind, ref=ref, record={"id": entry.place_id, "name": entry.place_name}, entries=[])


def _covering(presences: Iterable[_Presence]) -> dict[tuple[str, str | None], PlaceRef]:
    """By kind and id of the place above: the memberships with which everything of that kind in it goes, or stays."""
    return {
        (kind, presence.ref.id): presence.ref
        for presence in presences
        for kind in presence.kind.covers
        if any(not entry.pending for entry in presence.entries)
    }


def _above(presence: _Presence, covering: Mapping[tuple[str, str | None], PlaceRef]) -> PlaceRef | None:
    found = (covering.get((presence.kind.name, entry.within)) for entry in presence.entries)
    return next((ref for ref in found if ref is not None), None)


def _held(presences: Sequence[_Presence]) -> Iterable[Held]:
    covering = _covering(presences)
    for presence in presences:
        holding = holding_of(presence.kind, presence.entries)
        yield Held(place=presence.ref, holding=holding, by=_above(presence, covering))


def _uncovered(presences: Sequence[_Presence]) -> list[_Presence]:
    """Without what goes, or stays, with a membership in the place above."""
    covering = _covering(presences)
    return [presence for presence in presences if _above(presence, covering) is None]


async def inside(ground: Ground, whom: Whom, spot: Spot) -> list[PlaceRef]:
    """The places inside a place in which the person has something of their own."""
    kinds = [ground.writes.places[name] for name in spot.kind.covers]
    names = [unit for kind in kinds for people in kind.people for unit in people.units]
    if not names:
        return []
    gather = await ground.desk.gathered(names, scope=Scope(place=spot.kind.named, ids=frozenset({spot.ref.id})))
    found, _ = await look_for(ground.desk, whom, [read for read in gather.reads() if not read.distrusted])
    ground.unknown += _gaps(gather)
    refs = [
        PlaceRef(kind=kind.name, id=entry.place_id)
        for kind, _, entry in found
        if kind in kinds and entry.within == spot.ref.id
    ]
    return list(dict.fromkeys(refs))


# --- what is not known, and what goes on after the removal


def _gaps(gather: Gather) -> list[Missing]:
    """What could not be read, each once: absence of knowledge, never of people."""
    reads = [read for reads in gather.done.values() for read in reads.values()]
    gaps = [missing for read in reads if (missing := read.missing()) is not None]
    return gaps + [gap for gap in gather.pending() if gap.unit not in {known.unit for known in gaps}]


def _fault(read: Read, text: str) -> Missing:
    return missing_of(read.unit, read.lineage, Unprocessable(text))


def _returning(presences: Iterable[_Presence]) -> Iterable[Mapping[str, Any]]:
    """The places into which signing in would lead the person again."""
    for presence in presences:
        through = presence.kind.returns_by(presence.record) if presence.kind.returns_by else None
        if through:
            yield {"place": msgspec.to_builtins(presence.ref), "through": str(through)}


async def _secrets(ground: Ground, presences: Sequence[_Presence]) -> list[PlaceRef]:
    """The places whose secrets the person could read: by a role there, or by one in the place above."""
    reading = [presence for presence in presences if _reads_secrets(presence)]
    refs = [presence.ref for presence in reading if not presence.kind.covers]
    for kind in ground.writes.places.values():
        above = {presence.ref.id for presence in reading if kind.name in presence.kind.covers}
        refs += await _listed(ground, kind, above) if above and kind.listed_by else []
    return list({(ref.kind, ref.id): ref for ref in refs}.values())


def _reads_secrets(presence: _Presence) -> bool:
    roles = {role for entry in presence.entries if not entry.pending for role in entry.roles}
    return any(role.reads_secrets for name, role in presence.kind.roles.items() if name in roles)


async def _listed(ground: Ground, kind: PlaceKind, above: set[str]) -> list[PlaceRef]:
    """Every place of a kind inside others, whoever is in it."""
    parent = next(parent for parent in ground.writes.places.values() if kind.name in parent.covers)
    gather = await ground.desk.gathered(kind.listed_by, scope=Scope(place=parent.named, ids=frozenset(above)))
    records = [record for read in gather.reads() for record in read.instance().records if isinstance(record, Mapping)]
    return [PlaceRef(kind=kind.name, id=str(record["id"]), name=record.get("name")) for record in records]
