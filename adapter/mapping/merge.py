"""How the values of one field, seen in several provider records, become one; a word in the file names the way.

Null is "unknown": it never wins over a known value, and never becomes a "no".
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from adapter.mapping.schema import FieldDecl, MergeWord

Values = Sequence[Any]

_EMPTY: list[Any] = []
"""Of all who have nothing: nobody changes what was merged."""


def merge_field(field: FieldDecl, values: Values) -> Any:
    """One value of many, in the order of the sources; an array that must be there is never null."""
    known = [value for value in values if value is not None]
    merged = _WAYS[field.merge](field, known) if known else None
    return _EMPTY if merged is None and field.type == "array" and field.always else merged


def only_value(field: FieldDecl, value: Any) -> Any:
    """`merge_field` where there is one value, as there is for most: nothing to compare it with."""
    if value is None:
        return _EMPTY if field.type == "array" and field.always else None
    return merge_field(field, (value,)) if field.merge in _TELLING else value


def moment(text: Any) -> datetime | None:
    """An ISO 8601 text as a moment in UTC; None where it is none."""
    try:
        parsed = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _first_known(_field: FieldDecl, known: Values) -> Any:
    return known[0]


def _union(field: FieldDecl, known: Values) -> list[Any]:
    if len(known) == 1 and len(known[0]) < 2:
        only: list[Any] = known[0]
        return only
    items = (item for value in known for item in value)
    return list({_mark(item, field.by): item for item in reversed(list(items))}.values())[::-1]


def _mark(item: Any, by: str | None) -> Any:
    """What tells two items apart: one field's text whatever its case, or everything in them."""
    value = item.get(by) if by and isinstance(item, dict) else None
    return value.lower() if isinstance(value, str) else msgspec.json.encode(item, order="deterministic")


def _rank(field: FieldDecl, known: Values) -> Any:
    """The foremost of the ranked values; one that the file does not know counts behind them all."""
    return min(known, key=lambda value: field.rank.index(value) if value in field.rank else len(field.rank))


def _any(_field: FieldDecl, known: Values) -> bool:
    return any(value is True for value in known)


def _earliest(_field: FieldDecl, known: Values) -> Any:
    return min(known, key=lambda value: moment(value) or datetime.max.replace(tzinfo=UTC))


def _latest(_field: FieldDecl, known: Values) -> Any:
    return max(known, key=lambda value: moment(value) or datetime.min.replace(tzinfo=UTC))


_TELLING = frozenset({"union", "any"})
"""The ways that make something of a single value too."""

_WAYS: dict[MergeWord, Callable[[FieldDecl, Values], Any]] = {
    "first_known": _first_known,
    "union": _union,
    "rank": _rank,
    "any": _any,
    "earliest": _earliest,
    "latest": _latest,
}
