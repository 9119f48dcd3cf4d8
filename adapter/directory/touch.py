"""Which units a write to the provider may have changed, told from its path alone.

Units know their places by id, callers may write by name: a place is looked for by both among the records at hand, and
where it can't be found, everything counts as touched. Too much is read again rather than too little.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from adapter.directory.layout import listing
from adapter.directory.state import PlaceRow, State
from adapter.mapping.model import Model

Touched = Callable[[str], bool]


def touched_by(model: Model, states: Mapping[str, State], path: str) -> Touched:
    """A test for units' paths: whether the write to `path` may have changed what they list."""
    segments = [unquote(part) for part in path.split("/") if part]
    words = [word for segment in segments[1:] if (word := named(model, states, segment))]
    if not segments or not words:
        return lambda _: True
    ids = set().union(*words)
    # A change in one place shows in the lists of what it hangs on, as an app's people in its team's permissions, and of
    # what hangs on it: whoever leaves a team leaves its apps. The lists at the root name every place.
    related = ids | owners(model, states, ids) | _belongings(model, states, ids)
    return lambda unit_path: unit_path.count("/") == 1 or not related.isdisjoint(_parts(unit_path))


def named(model: Model, states: Mapping[str, State], segment: str) -> set[str]:
    """The ids of the places that go by this id or name."""
    return {place_id for place_id, name, _ in _places(model, states) if segment in (place_id, name)}


def owners(model: Model, states: Mapping[str, State], ids: set[str]) -> set[str]:
    """The ids of whatever the records of these places point at: the team of an app or space, and its organization."""
    return {above for place_id, _, pointed in _places(model, states) if place_id in ids for above in pointed}


def _belongings(model: Model, states: Mapping[str, State], ids: set[str]) -> set[str]:
    """The ids of whatever points at these places, on any level: the teams of an organization and the apps of these."""
    found: set[str] = set()
    level = ids
    while level:
        below = {place_id for place_id, _, pointed in _places(model, states) if not level.isdisjoint(pointed)}
        level = below - (found | ids)
        found |= level
    return found


def _places(model: Model, states: Mapping[str, State]) -> Iterator[PlaceRow]:
    lists_places = listing(model).fullmatch
    for state in states.values():
        if state.places is None:
            # Every write asks, and records stay what they are: they are gone through once.
            state.places = tuple(_rows(state.records or ())) if lists_places(state.path) else ()
        yield from state.places


def _rows(records: Iterable[Any]) -> Iterator[PlaceRow]:
    for record in records:
        if isinstance(record, dict) and record.get("id"):
            pointed = (value["id"] for value in record.values() if isinstance(value, dict) and value.get("id"))
            yield str(record["id"]), record.get("name"), tuple(map(str, pointed))


def _parts(path: str) -> list[str]:
    found = path.split("/")
    return list(map(unquote, found)) if "%" in path else found


def alike(template: list[str], path: list[str]) -> bool:
    """Whether a path, part by part, is one of a template's."""
    return len(template) == len(path) and all(t.startswith("{") or t == p for t, p in zip(template, path, strict=True))
