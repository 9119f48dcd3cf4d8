"""What the mapping files say of lists that lag behind: which writes take an item out of which lists, and for how long
a list may go on showing what was taken out. Pure: what a write did, and what of a list is no longer true.

A write is read from its method, its path and the provider's answer; it says who was taken out or put in, and where.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import msgspec

from adapter.errors import DeclarationError
from adapter.mapping.expressions import Expression, ShapeError, compile_expression
from adapter.mapping.schema import RemovalDecl, WithoutDecl

_PLACE, _ITEM = "{place}", "{item}"
_DELETE = "DELETE"
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """One way of taking somebody out of a place. `seconds`: how long lists may go on showing them."""

    name: str
    seconds: float
    paths: tuple[tuple[str, ...], ...]
    goes_by: Expression
    place: Expression | None


class Without(msgspec.Struct, frozen=True, kw_only=True):
    """How a unit lists what a removal takes out: where, and under which ids and addresses."""

    place: Expression
    items: str | None
    names: Expression


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody taken out of a place, or put in, at `at`; lists may lag behind until `until`; since the epoch.

    `places` and `names` are everything that the place and the person are known to go by, in lower case; of a place that
    somebody was taken out of, no name that has the form of an id: another place's could be meant.
    """

    kind: str
    places: frozenset[str]
    names: frozenset[str]
    gone: bool
    at: float
    until: float
    astray: bool = False
    """The place was not known: no list of it is read again for this change."""


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """What a write to the provider did, as far as its path and answer tell; `place` as the path has it."""

    removal: Removal
    place: str
    places: frozenset[str]
    names: frozenset[str]
    gone: bool


def written(removals: Mapping[str, Removal], method: str, path: str, answer: bytes) -> Write | None:
    """What a write that succeeded did to somebody's place in a list; None where no removal is declared for its path."""
    segments = tuple(unquote(part) for part in path.partition("?")[0].split("/") if part)
    for removal in removals.values():
        for template in removal.paths:
            found = _match(template, segments)
            if found is not None:
                place, item = found
                return _write(removal, place, item, method == _DELETE, answer)
    return None


def looks_like_id(word: str) -> bool:
    """Whether a word has the form of an id, which a name can have too: the provider takes it for the id."""
    return _ID.fullmatch(word) is not None


def truthful(
    without: Mapping[str, Without], changes: Sequence[Change], records: Sequence[Any], parents: Mapping[str, Any]
) -> list[Any]:
    """The unit's records without those that were taken out since; `parents` are what it hangs on, as `_name`."""
    return [left for record in records for left in _left(without, changes, record, parents)]


# --- reading a write


def _match(template: Sequence[str], segments: Sequence[str]) -> tuple[str, str | None] | None:
    """The place and the item that a path names; the list itself, where things are put in, names no item."""
    if len(segments) not in {len(template), len(template) - 1}:
        return None
    found: dict[str, str] = {}
    for expected, segment in zip(template, segments, strict=False):
        if expected in {_PLACE, _ITEM}:
            found[expected] = segment
        elif expected != segment:
            return None
    return found[_PLACE], found.get(_ITEM)


def _write(removal: Removal, place: str, item: str | None, deleted: bool, answer: bytes) -> Write | None:
    if deleted and item is None:
        return None
    shown = _decoded(answer)
    names = _words(removal.goes_by, shown) | ({item.lower()} if item else set())
    places = _place_words(removal.place, shown, deleted) if removal.place else set()
    return Write(
        removal=removal, place=place, places=frozenset({place.lower(), *places}), names=frozenset(names), gone=deleted
    )


def _place_words(expression: Expression, data: Any, deleted: bool) -> set[str]:
    """What a place goes by, its id first. Nobody is hidden in a place for being named like the id of another one, but
    whoever was put in somewhere may be in any place that goes by that word.
    """
    found = enumerate(_found(expression, data))
    return {word for n, word in found if word and not (deleted and n and looks_like_id(word))}


def _decoded(answer: bytes) -> Any:
    try:
        return msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _words(expression: Expression, data: Any) -> set[str]:
    return {word for word in _found(expression, data) if word}


def _found(expression: Expression, data: Any) -> list[str]:
    """The texts that an expression finds, in lower case; none in what it can't read, "" for what is no text."""
    try:
        found = expression(data)
    except ShapeError:
        return []
    items = found if isinstance(found, list) else [found]
    return [item.lower() if isinstance(item, str) else "" for item in items]


# --- hiding what is gone


def _left(
    without: Mapping[str, Without], changes: Sequence[Change], record: Any, parents: Mapping[str, Any]
) -> Iterator[Any]:
    if not isinstance(record, dict):
        yield record
        return
    here = [(change, how) for change in changes for how in _there(without, change, {**record, **parents})]
    if not here:
        yield record
    elif any(how.items is None for _, how in here):
        if not _gone(here, record):
            yield record
    else:
        yield _thinned(here, record)


def _there(without: Mapping[str, Without], change: Change, context: Mapping[str, Any]) -> Iterable[Without]:
    how = without.get(change.kind)
    return (how,) if how is not None and _place_words(how.place, context, change.gone) & change.places else ()


def _thinned(here: Sequence[tuple[Change, Without]], record: dict[str, Any]) -> dict[str, Any]:
    lists = {how.items for _, how in here if how.items and isinstance(record.get(how.items), list)}
    return {**record, **{name: [item for item in record[name] if not _gone(here, item)] for name in lists}}


def _gone(here: Sequence[tuple[Change, Without]], item: Any) -> bool:
    """The last that is known of somebody holds: whoever was put in again is there."""
    about = [change.gone for change, how in here if _words(how.names, item) & change.names]
    return bool(about) and about[-1]


# --- declarations


def plan_removals(decls: Mapping[str, RemovalDecl], path: str) -> dict[str, Removal]:
    """The declared removals, compiled; DeclarationError shows the fault."""
    return {name: _removal(name, decl, path, f"removals.{name}") for name, decl in decls.items()}


def _removal(name: str, decl: RemovalDecl, path: str, at: str) -> Removal:
    for i, text in enumerate(decl.paths):
        holes = re.findall(r"\{[^}]*\}", text)
        if holes != [_PLACE, _ITEM] or not text.endswith(f"/{_ITEM}"):
            raise DeclarationError(path, f"{at}.paths[{i}]", f"`{text}` must name {_PLACE} and end in {_ITEM}")
    return Removal(
        name=name,
        seconds=float(decl.seconds),
        paths=tuple(tuple(text.strip("/").split("/")) for text in decl.paths),
        goes_by=compile_expression(decl.goes_by, path, f"{at}.goes_by"),
        place=compile_expression(decl.place, path, f"{at}.place") if decl.place is not None else None,
    )


def plan_without(
    decls: Mapping[str, WithoutDecl], removals: Mapping[str, Any], path: str, at: str
) -> dict[str, Without]:
    """How a unit lists what the removals take out; DeclarationError for a removal that nobody declared."""
    made = {}
    for name, decl in decls.items():
        if name not in removals:
            raise DeclarationError(path, f"{at}.{name}", f"unknown removal `{name}`", sorted(removals))
        made[name] = Without(
            place=compile_expression(decl.place, path, f"{at}.{name}.place"),
            items=decl.items,
            names=compile_expression(decl.names, path, f"{at}.{name}.names"),
        )
    return made
