"""What a caller may ask of a resource, checked against its declaration: no mistyped filter may widen an answer."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, get_args

import msgspec

from adapter.errors import InvalidParameter, UnknownParameter
from adapter.mapping.merge import moment
from adapter.mapping.model import Filter, Resource

Operator = Literal["eq", "ne", "gt", "gte", "lt", "lte", "in"]
Format = Literal["unified", "raw", "normalized", "stream", "debug"]
Params = Mapping[str, Any]
"""Parameter name -> its values, or for `name[key]=…` a mapping of key -> values."""

OPERATORS: tuple[str, ...] = get_args(Operator)
FORMATS: tuple[str, ...] = get_args(Format)
DEFAULT_LIMIT, MAX_LIMIT = 100, 1000

# Whatever else the compatible API's clients send under this prefix has nothing to act on here, and is named as such.
PREFIX = re.compile(r"truto_[a-z0-9_]{1,64}")
COMMON = (
    "integrated_account_id", "limit", "next_cursor", "sort_by", "q", "allow_partial", "remote_query",
    "truto_response_format", "truto_exclude_fields", "truto_key_by", "truto_ignore_limit", "truto_ignore_remote_data",
)  # fmt: skip
FOR_ONE = (
    "integrated_account_id",
    "allow_partial",
    "truto_response_format",
    "truto_exclude_fields",
    "truto_ignore_remote_data",
)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_TRISTATE = {**_BOOLEANS, "null": None}


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One filter of a query: `values` are decoded for the filter's type, lower-cased where case does not matter."""

    filter: str
    operator: Operator
    values: tuple[Any, ...]


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A checked question to one resource."""

    limit: int = DEFAULT_LIMIT
    cursor: str | None = None
    conditions: tuple[Condition, ...] = ()
    search: str | None = None
    sort: tuple[str, bool] | None = None
    """The field, and whether descending."""
    include_inherited: bool = False
    format: Format = "unified"
    exclude: frozenset[str] = frozenset()
    key_by: str | None = None
    ignore_limit: bool = False
    ignore_remote: bool = False
    allow_partial: bool = False
    remote_query: Mapping[str, str] = {}
    warnings: tuple[str, ...] = ()
    """Known parameters that had no effect."""
    max_age: float | None = None
    """Seconds, where the caller insists on a fresher answer than usual."""

    def fingerprint(self) -> str:
        """What a cursor is bound to besides its list: everything that decides which records follow in which order."""
        parts = (
            sorted((c.filter, c.operator, sorted(map(str, c.values))) for c in self.conditions),
            self.search, self.sort, self.include_inherited, sorted(self.remote_query.items()),
        )  # fmt: skip
        return msgspec.json.encode(parts).decode()


def parse_list(resource: Resource, params: Params, *, max_age: float | None = None) -> Query:
    """A list's question; InvalidParameter or UnknownParameter with `details` otherwise."""
    known = {*COMMON, *resource.filters, *(("include_inherited",) if resource.inherited else ())}
    warnings = _unknown(params, known)
    return Query(
        limit=_limit(params),
        cursor=_one(params, "next_cursor") or None,
        conditions=tuple(_conditions(resource, params)),
        search=_search(resource, params),
        sort=_sort(resource, params),
        include_inherited=_flag(params, "include_inherited"),
        key_by=_field(resource, params, "truto_key_by"),
        # A stream has a closing line instead of pages.
        ignore_limit=_flag(params, "truto_ignore_limit") or _one(params, "truto_response_format") == "stream",
        remote_query=_remote_query(params),
        warnings=warnings,
        max_age=max_age,
        **_common(resource, params),
    )


def parse_one(resource: Resource, params: Params, *, max_age: float | None = None) -> Query:
    """The question for one record by its id."""
    warnings = _unknown(params, set(FOR_ONE))
    return Query(warnings=warnings, max_age=max_age, **_common(resource, params))


def _common(resource: Resource, params: Params) -> dict[str, Any]:
    form = _one(params, "truto_response_format") or "unified"
    if form not in FORMATS:
        raise _invalid("truto_response_format", form, FORMATS)
    excluded = _many(params, "truto_exclude_fields")
    for name in excluded:
        if name not in resource.fields and name != "remote_data":
            raise _invalid("truto_exclude_fields", name, (*resource.fields, "remote_data"))
    return {
        "format": form,
        "exclude": frozenset(excluded),
        "ignore_remote": _flag(params, "truto_ignore_remote_data"),
        "allow_partial": _flag(params, "allow_partial"),
    }


def _unknown(params: Params, known: set[str]) -> tuple[str, ...]:
    for name in params:
        if name not in known and not PREFIX.fullmatch(name):
            raise UnknownParameter(
                f"`{name}` is no parameter here; known are: {', '.join(sorted(known))}.",
                details=[{"where": "query", "name": name, "expected": sorted(known)}],
            )
    return tuple(sorted(name for name in params if name not in known))


# --- filters


def _conditions(resource: Resource, params: Params) -> Iterable[Condition]:
    for name, given in params.items():
        spec = resource.filters.get(name)
        if spec is None:
            continue
        if isinstance(given, Mapping):
            yield from (_condition(spec, name, operator, values) for operator, values in given.items())
        elif any(value != "" for value in given):
            yield _condition(spec, name, "in" if len(_split(spec, given)) > 1 else "eq", given)


def _condition(spec: Filter, name: str, operator: str, given: Any) -> Condition:
    if operator not in OPERATORS:
        raise _invalid(f"{name}[{operator}]", operator, OPERATORS)
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise _invalid(name, str(given), ("a value",))
    values = tuple(_value(spec, name, text) for text in _split(spec, given))
    if not values or (operator in {"gt", "gte", "lt", "lte"} and len(values) != 1):
        raise _invalid(f"{name}[{operator}]", ",".join(map(str, given)), ("one value",))
    return Condition(filter=spec.name, operator=operator, values=values)  # type: ignore[arg-type]  # checked above


def _split(spec: Filter, given: Sequence[str]) -> list[str]:
    """`a=x,y` is two values, but for one text that may well hold a comma; of a list's texts each stands alone."""
    if spec.type == "text" and "[]" not in spec.path.text:
        return [value for value in given if value]
    return [part.strip() for value in given for part in value.split(",") if part.strip()]


def _value(spec: Filter, name: str, text: str) -> Any:
    if spec.values and text not in spec.values:
        raise _invalid(name, text, spec.values)
    if spec.type == "boolean":
        if text.lower() not in _TRISTATE:
            raise _invalid(name, text, ("true", "false", "null"))
        return _TRISTATE[text.lower()]
    if spec.type == "datetime":
        return _moment(name, text)
    return text.casefold() if spec.type == "text" else text


def _moment(name: str, text: str) -> datetime:
    # A plus sign that was not percent-encoded arrives as a blank.
    found = moment(text.replace(" ", "+") if "T" in text else f"{text}T00:00:00Z")
    if found is None:
        raise _invalid(name, text, ("an ISO 8601 date or time, like 2026-01-31T12:00:00Z",))
    return found


def _search(resource: Resource, params: Params) -> str | None:
    text = (_one(params, "q") or "").strip()
    if text and not resource.search:
        raise UnknownParameter(f"`q` searches nothing in {resource.name}.")
    return text.casefold() or None


def _sort(resource: Resource, params: Params) -> tuple[str, bool] | None:
    """`sort_by=name`, `sort_by=-name`, `sort_by=name:desc` or `sort_by[name]=desc`."""
    given = params.get("sort_by")
    if not given:
        return None
    if isinstance(given, Mapping):
        pairs = [(field, _last(values)) for field, values in given.items()]
    else:
        pairs = [_sort_pair(value) for value in given if value]
    if not pairs:
        return None
    field, direction = pairs[0]
    if len(pairs) > 1 or field not in resource.sort:
        raise _invalid("sort_by", ",".join(field for field, _ in pairs), resource.sort)
    if direction.lower() not in {"asc", "desc"}:
        raise _invalid("sort_by", direction, ("asc", "desc"))
    return field, direction.lower() == "desc"


def _sort_pair(text: str) -> tuple[str, str]:
    if text.startswith("-"):
        return text[1:], "desc"
    field, _, direction = text.partition(":")
    return field, direction or "asc"


# --- single values


def _limit(params: Params) -> int:
    text = _one(params, "limit")
    if not text:
        return DEFAULT_LIMIT
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MAX_LIMIT:
        raise _invalid("limit", text, (f"a number from 1 to {MAX_LIMIT}",))
    return int(text)


def _field(resource: Resource, params: Params, name: str) -> str | None:
    field = _one(params, name) or None
    if field is not None and field not in resource.fields:
        raise _invalid(name, field, tuple(resource.fields))
    return field


def _flag(params: Params, name: str) -> bool:
    text = _one(params, name)
    if not text:
        return False
    if text.lower() not in _BOOLEANS:
        raise _invalid(name, text, ("true", "false"))
    return _BOOLEANS[text.lower()]


def _remote_query(params: Params) -> dict[str, str]:
    given = params.get("remote_query")
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise _invalid("remote_query", ",".join(given), ("remote_query[name]=value",))
    for name, values in given.items():
        if len(values) != 1:
            raise _invalid(f"remote_query[{name}]", "several values", ("one value",))
    return {name: _last(values) for name, values in given.items()}


def _one(params: Params, name: str) -> str | None:
    values = params.get(name)
    if values is None:
        return None
    if isinstance(values, Mapping) or len(values) != 1:
        raise _invalid(name, "several values", ("one value",))
    return str(values[0])


def _many(params: Params, name: str) -> list[str]:
    values = params.get(name) or []
    if isinstance(values, Mapping):
        raise _invalid(name, "an object", (f"{name}[]=…",))
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def _last(values: Any) -> str:
    return str(values[-1]) if isinstance(values, Sequence) and not isinstance(values, str) and values else str(values)


def _invalid(name: str, found: str, expected: Iterable[str]) -> InvalidParameter:
    wanted = list(expected)
    return InvalidParameter(
        f"`{name}` can't be `{found}`; expected: {', '.join(wanted)}.",
        details=[{"where": "query", "name": name, "found": found, "expected": wanted}],
    )
