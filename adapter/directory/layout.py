"""Which units list places, and which hang on a place: what nobody lists any more, nobody will ask for again."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import unquote

from adapter.directory.state import State
from adapter.mapping.model import Model
from adapter.mapping.units import HOLE


class Layout(Protocol):
    """What an account's units have to do with each other, told from their paths."""

    def has_lost(self, older: State, newer: State) -> bool: ...
    def orphans(self, states: Mapping[str, State]) -> list[str]: ...


class Unrelated:
    """Units that nothing is known of: none is ever an orphan."""

    def has_lost(self, older: State, newer: State) -> bool:
        del older, newer
        return False

    def orphans(self, states: Mapping[str, State]) -> list[str]:
        del states
        return []


class Declared:
    """As the mapping files declare it."""

    def __init__(self, model: Model) -> None:
        self._listing = listing(model)
        self._hanging = _any_of(
            tuple(one.get for one in model.units.values() if one.parents and _all_list(model, one.parents))
        )

    def has_lost(self, older: State, newer: State) -> bool:
        """Whether places were listed before that are not now, or nobody could tell before."""
        if newer.records is None or newer.version == older.version or not self._listing.fullmatch(newer.path):
            return False
        return older.records is None or not _ids(older.records) <= _ids(newer.records)

    def orphans(self, states: Mapping[str, State]) -> list[str]:
        """The paths of the units whose place is in no list; what only these list goes with them.

        None while a list at the root can't be read: nobody knows then what there is.
        """
        if any(state.records is None for path, state in states.items() if path.count("/") == 1):
            return []
        left = dict(states)
        while gone := self._unlisted(left):
            for path in gone:
                del left[path]
        return sorted(states.keys() - left.keys())

    def _unlisted(self, states: Mapping[str, State]) -> list[str]:
        places = {path: found for path, state in states.items() if (found := self._places(path) | _own(state))}
        unknown = set().union(*places.values())
        for state in states.values():
            if not unknown:
                return []
            unknown -= _ids(state.records or ()) - _own(state)
        return [path for path, found in places.items() if not unknown.isdisjoint(found)]

    def _places(self, path: str) -> set[str]:
        match = self._hanging.fullmatch(path)
        return {unquote(found) for found in match.groups() if found} if match else set()


def listing(model: Model) -> re.Pattern[str]:
    """What the paths of the units that list places look like."""
    return _any_of(tuple(unit.get for unit in model.units.values() if unit.lists))


def _all_list(model: Model, names: Iterable[str]) -> bool:
    return all(model.units[name].lists for name in names)


def _ids(records: Iterable[Any]) -> set[str]:
    return {str(record["id"]) for record in records if isinstance(record, dict) and record.get("id")}


def _own(state: State) -> set[str]:
    """The id of the place whose own record this is, at `/teams/{id}`: that it was there says nothing of now."""
    last = unquote(state.path.rpartition("/")[2])
    return {last} if len(state.records or ()) == 1 and last in _ids(state.records or ()) else set()


@lru_cache(maxsize=32)
def _any_of(templates: tuple[str, ...]) -> re.Pattern[str]:
    """What the paths of these templates look like, with the ids in them: `/teams/{team.id}/apps`."""
    shapes = ("([^/]+)".join(map(re.escape, HOLE.split(template)[::3])) for template in templates)
    return re.compile("|".join(shapes) or r"(?!)")
