"""Views on a snapshot: filter, search, sort and page over records that are already shaped and merged."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from adapter.directory.lists import Missing
from adapter.directory.query import Condition, Query
from adapter.errors import InvalidCursor
from adapter.mapping.engine import Record, addresses
from adapter.mapping.expressions import reader
from adapter.mapping.merge import moment
from adapter.mapping.model import Filter, Resource

Position = tuple[Any, ...]
"""Where a record stands in an order: no value sorts last, ties go by id."""


class Collection:
    """A resource's records in one state of its units, sorted by id; columns and orders are made when asked for."""

    def __init__(self, resource: Resource, records: Sequence[Record]) -> None:
        self.resource = resource
        self.records = records
        self.keys = [record.key for record in records]
        self._columns: dict[str, list[tuple[Any, ...]]] = {}
        self._orders: dict[tuple[str, bool], list[tuple[Position, int]]] = {}
        self._texts: list[str] | None = None
        self._addresses: Mapping[str, str] | None = None

    def addresses(self) -> Mapping[str, str]:
        """Whose each e-mail address is, in lower case."""
        if self._addresses is None:
            self._addresses = addresses(self.resource, self.records)
        return self._addresses

    def find(self, key: str) -> Record | None:
        place = bisect_right(self.keys, key) - 1
        return self.records[place] if place >= 0 and self.keys[place] == key else None

    def page(self, query: Query, after: Any) -> tuple[list[Record], Any]:
        """The records of one page, and the place after which the next begins: None where nothing follows."""
        limit = len(self.records) if query.ignore_limit else query.limit
        if query.sort is None and query.search is None and not query.conditions:
            return self._slice(after, limit)
        matches = self._matcher(query)
        taken: list[int] = []
        for index in self._from(query, after):
            if matches(index):
                if len(taken) == limit:
                    return [self.records[i] for i in taken], self._place(query, taken[-1])
                taken.append(index)
        return [self.records[i] for i in taken], None

    def _slice(self, after: Any, limit: int) -> tuple[list[Record], Any]:
        """A page of everything, as it lies."""
        start = bisect_right(self.keys, _text(after)) if after is not None else 0
        end = start + limit
        return list(self.records[start:end]), self.keys[end - 1] if end < len(self.keys) else None

    # --- order

    def _from(self, query: Query, after: Any) -> Iterator[int]:
        if query.sort is None:
            start = bisect_right(self.keys, _text(after)) if after is not None else 0
            yield from range(start, len(self.keys))
            return
        order = self._order(*query.sort)
        descending = query.sort[1]
        start = 0 if after is None else _after(order, after, descending=descending)
        yield from (index for _, index in order[start:])

    def _place(self, query: Query, index: int) -> Any:
        if query.sort is None:
            return self.keys[index]
        return [_sortable(self.records[index].data.get(query.sort[0])), self.keys[index]]

    def _order(self, field: str, descending: bool) -> list[tuple[Position, int]]:
        if (field, descending) not in self._orders:
            entries = [
                ((_sortable(record.data.get(field)), record.key), index) for index, record in enumerate(self.records)
            ]
            known = sorted((e for e in entries if e[0][0] is not None), key=lambda e: e[0][0], reverse=descending)
            self._orders[field, descending] = known + [e for e in entries if e[0][0] is None]
        return self._orders[field, descending]

    # --- filters

    def _matcher(self, query: Query) -> Callable[[int], bool]:
        tests = [self._test(condition) for condition in query.conditions]
        if query.search:
            texts, wanted = self._searched(), query.search
            tests.append(lambda index: wanted in texts[index])
        return tests[0] if len(tests) == 1 else lambda index: all(test(index) for test in tests)

    def _test(self, condition: Condition) -> Callable[[int], bool]:
        column = self._column(self.resource.filters[condition.filter])
        compare = _COMPARE[condition.operator]
        values = condition.values
        return lambda index: compare(column[index], values)

    def _column(self, spec: Filter) -> list[tuple[Any, ...]]:
        if spec.name not in self._columns:
            read = reader(spec.path)
            self._columns[spec.name] = [_values(spec, read(record.data)) for record in self.records]
        return self._columns[spec.name]

    def _searched(self) -> list[str]:
        if self._texts is None:
            readers = [reader(expression) for expression in self.resource.search]
            self._texts = [
                "\n".join(_flat(read(data) for read in readers)).casefold()
                for data in (record.data for record in self.records)
            ]
        return self._texts


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A collection together with what an answer has to say of it: how old, how complete, at what cost."""

    collection: Collection
    oldest: float
    """When the oldest unit that it rests on was read, in seconds since the epoch."""
    changed: float
    """When anything in it was last seen to change."""
    missing: tuple[Missing, ...]
    settles: bool = False
    """Whether anything in it may still lag behind a write."""
    held: int = 0
    """How many units are older than asked for, or missing, for want of budget; they follow by themselves."""
    version: int = 0
    """No two complete views have the same; 0 for what answers one question and no other."""
    paths: tuple[tuple[str, int, float], ...]
    """The units' paths with the status that came back and the time, for the debug format."""


# --- values


def _values(spec: Filter, value: Any) -> tuple[Any, ...]:
    """A record's values for a filter, in the filter's own type; nothing known is `(None,)`."""
    items = value if isinstance(value, list) else [value]
    if spec.type == "text":
        items = [item.casefold() if isinstance(item, str) else item for item in items]
    elif spec.type == "datetime":
        items = [moment(item) for item in items]
    return tuple(items) or (None,)


def _flat(values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from _flat(value)


def _sortable(value: Any) -> Any:
    """Something that compares with every other such, and that JSON can carry in a cursor: numbers before texts."""
    if isinstance(value, str):
        found = moment(value) if value[:2].isdigit() and "T" in value else None
        return [0, found.timestamp()] if found else [1, value.casefold()]
    return [0, float(value)] if isinstance(value, bool | int | float) else None


def _after(order: Sequence[tuple[Position, int]], place: Any, *, descending: bool) -> int:
    """The index of the first entry behind a place; the entry at the place itself may have gone meanwhile."""
    if not isinstance(place, list) or len(place) != 2:
        raise InvalidCursor
    value, key = place[0], _text(place[1])
    return bisect_left(order, True, key=lambda entry: _behind(entry[0], value, key, descending=descending))


def _behind(position: Position, value: Any, key: str, *, descending: bool) -> bool:
    mine, my_key = position
    if mine == value:
        return bool(my_key > key)
    if mine is None or value is None:
        return mine is None
    try:
        return bool(mine < value if descending else mine > value)
    except TypeError:
        raise InvalidCursor from None


def _text(after: Any) -> str:
    if not isinstance(after, str):
        raise InvalidCursor
    return after


def _known_pairs(mine: Sequence[Any], values: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    return ((value, values[0]) for value in mine if value is not None and isinstance(value, type(values[0])))


_COMPARE: dict[str, Callable[[Sequence[Any], Sequence[Any]], bool]] = {
    "eq": lambda mine, values: any(value in values for value in mine),
    "in": lambda mine, values: any(value in values for value in mine),
    "ne": lambda mine, values: not any(value in values for value in mine),
    "gt": lambda mine, values: any(a > b for a, b in _known_pairs(mine, values)),
    "gte": lambda mine, values: any(a >= b for a, b in _known_pairs(mine, values)),
    "lt": lambda mine, values: any(a < b for a, b in _known_pairs(mine, values)),
    "lte": lambda mine, values: any(a <= b for a, b in _known_pairs(mine, values)),
}
