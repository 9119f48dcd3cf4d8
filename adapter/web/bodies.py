"""A request's JSON as a typed struct, or InvalidBody with where it is wrong, what stands there and what was expected.

No message quotes a value: what was put into the wrong field may be a credential.
"""

import re
from collections.abc import Iterator
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec
from starlette.requests import Request

from adapter.errors import InvalidBody

T = TypeVar("T", bound=msgspec.Struct)

_AT = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_FIELD = re.compile(r"Object (?P<fault>missing required|contains unknown) field `(?P<name>[^`]*)`")
_TYPES = re.compile(r"Expected `(?P<expected>[^`]*)`, got `(?P<found>[^`]*)`")


async def body_of(request: Request, kind: type[T], *, may_be_absent: bool = False) -> T:
    """The body as `kind`; InvalidBody for anything else. `may_be_absent`: none counts as an empty object."""
    raw = await request.body() or (b"{}" if may_be_absent else b"")
    try:
        return msgspec.convert(_whole(msgspec.json.decode(raw)), kind)
    except msgspec.ValidationError as error:
        raise _refusal(str(error), kind) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidBody from None


def _whole(data: Any) -> Any:
    """JSON has one kind of number: `60.0` is an integer to its schema, and to us."""
    if not isinstance(data, dict):
        return data
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value for name, value in data.items()
    }


def _refusal(text: str, kind: type[msgspec.Struct]) -> InvalidBody:
    at = _AT.search(text)
    where, what, expected = _fault(_AT.sub("", text), at["path"] if at else "", kind)
    return InvalidBody(
        f"`{where or 'the body'}` {what}; expected {expected}.",
        details=[{"where": where or "body", "what": what, "expected": expected}],
    )


def _fault(text: str, path: str, kind: type[msgspec.Struct]) -> tuple[str, str, str]:
    """(where, what, expected)."""
    if match := _FIELD.match(text):
        name = f"{path}.{match['name']}" if path else match["name"]
        if match["fault"] == "missing required":
            return name, "is missing", _expected(_struct_at(kind, path), match["name"])
        return name, "is unknown", f"one of {', '.join(_struct_at(kind, path).__struct_fields__)}"
    if match := _TYPES.match(text):
        return path, f"is `{match['found']}`", f"`{match['expected']}`"
    return path, "can't be used", _expected(kind, path)


def _struct_at(kind: type[msgspec.Struct], path: str) -> type[msgspec.Struct]:
    """The struct that a path like `roles[0].group` leads to."""
    for name in re.findall(r"[^.\[\]]+(?![^\[]*\])", path):
        declared = next((field.type for field in msgspec.structs.fields(kind) if field.encode_name == name), None)
        kind = next(_structs(declared), kind)
    return kind


def _structs(declared: Any) -> Iterator[type[msgspec.Struct]]:
    """The structs in an annotation, however deep."""
    if isinstance(declared, type) and issubclass(declared, msgspec.Struct):
        yield declared
    for part in get_args(declared):
        yield from _structs(part)


def _expected(kind: type[msgspec.Struct], name: str) -> str:
    declared: Any = next((field.type for field in msgspec.structs.fields(kind) if field.name == name), None)
    if get_origin(declared) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(declared))
    return f"`{declared.__name__}`" if isinstance(declared, type) else "another value"
