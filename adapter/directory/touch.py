"""Which units a write to the provider may have changed, told from its path alone.

Units know their places by id, callers may write by name: a place is looked for by both among the records at hand, and
where it can't be found, everything counts as touched. Too much is read again rather than too little.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from adapter.directory.state import State
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
    return lambda unit_path: unit_path.count("/") == 1 or any(unquote(part) in related for part in unit_path.split("/"))


def named(model: Model, states: Mapping[str, State], segment: str) -> set[str]:
    """The ids of the places that go by this id or name."""
    return {str(record["id"]) for record in _places(model, states) if segment in {record.get("id"), record.get("name")}}


def owners(model: Model, states: Mapping[str, State], ids: set[str]) -> set[str]:
    """The ids of whatever the records of these places point at: the team of an app or space, and its organization."""
    return {
        str(value["id"])
        for record in _places(model, states)
        if record["id"] in ids
        for value in record.values()
        if isinstance(value, dict) and value.get("id")
    }


def _belongings(model: Model, states: Mapping[str, State], ids: set[str]) -> set[str]:
    """The ids of whatever points at these places, on any level: the teams of an organization and the apps of these."""
    found: set[str] = set()
    level = ids
    while level:
        level = {
            str(record["id"])
            for record in _places(model, states)
            if any(isinstance(value, dict) and value.get("id") in level for value in record.values())
        } - (found | ids)
        found |= level
    return found


def _places(model: Model, states: Mapping[str, State]) -> Iterable[Any]:
    for state in states.values():
        if _lists_places(model, state.path):
            yield from (record for record in state.records or () if isinstance(record, dict) and record.get("id"))


def _lists_places(model: Model, path: str) -> bool:
    shape = path.strip("/").split("/")
    return any(unit.lists and alike(unit.get.strip("/").split("/"), shape) for unit in model.units.values())


def alike(template: list[str], path: list[str]) -> bool:
    """Whether a path, part by part, is one of a template's."""
    return len(template) == len(path) and all(t.startswith("{") or t == p for t, p in zip(template, path, strict=True))
