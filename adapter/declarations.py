"""YAML into strict structs: the one way in which a declared file becomes typed data, or a refusal that shows the fault.

Each refusal is a DeclarationError with the file, the path inside it, what was found and what could stand there instead.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec
import yaml

from adapter.errors import DeclarationError

T = TypeVar("T")

_MAX_BYTES = 1024 * 1024
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`")
_INVALID = re.compile(r"Invalid enum value (?P<name>.*)$")
_AT = re.compile(r" - at (?P<key>`key` in )?`(?P<path>[^`]*)`$")
_STEP = re.compile(r"\[[^\]]*\]|[^.\[\]]+")


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice, which YAML would silently let the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is not text", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"`{key}` stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def bundled_dir() -> Path:
    """The shipped mapping files: inside an installed wheel, or beside the package in a checkout."""
    inside = Path(__file__).parent / "mappings"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "mappings"


def read_yaml(path: Path) -> dict[str, Any]:
    """The file's mapping; DeclarationError where it can't be read, is no YAML, or holds something else."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DeclarationError(str(path), "", f"can't be read ({error.strerror})") from None
    if len(raw) > _MAX_BYTES:
        raise DeclarationError(str(path), "", f"is {len(raw)} bytes, more than {_MAX_BYTES}")
    return parse_yaml(raw, str(path))


def parse_yaml(raw: bytes | str, file: str) -> dict[str, Any]:
    try:
        data = yaml.load(raw, Loader=_Loader)  # noqa: S506  # a SafeLoader, only stricter
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise DeclarationError(file, where, f"is not YAML: {problem}") from None
    if not isinstance(data, dict):
        raise DeclarationError(file, "", f"holds {_kind(data)} where a mapping of words is expected")
    return data


def overlay(base: Any, over: Any) -> Any:
    """`over` laid over `base`: mappings word by word, anything else replaced."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {key: overlay(base.get(key), over[key]) if key in over else base[key] for key in (base | over)}
    return over


def decode(data: Any, into: type[T], file: str, at: str = "") -> T:
    """`data` as the struct `into`; an unknown word is refused together with the words known at that place."""
    try:
        return msgspec.convert(data, into)
    except msgspec.ValidationError as error:
        raise _refusal(str(error), into, data, file, at) from None


def _refusal(text: str, into: Any, data: Any, file: str, at: str) -> DeclarationError:
    match = _AT.search(text)
    path, kind, value = _locate(into, data, _STEP.findall(match["path"].removeprefix("$")) if match else [])
    if match and match["key"]:
        # The key itself is at fault, not what stands under it.
        kind = get_args(_part(kind, dict))[0]
        path = f"{path}.{next(key for key in value if not _fits(key, kind))}".removeprefix(".")
    found = _AT.sub("", text)
    unknown = _UNKNOWN.match(found) or _INVALID.match(found)
    if unknown:
        found = f"unknown word `{unknown['name'].strip(chr(39))}`"
    full = ".".join(part for part in (at, path) if part).replace(".[", "[")
    return DeclarationError(file, full, found, _words(kind) if unknown else [])


def _locate(kind: Any, data: Any, steps: Sequence[str]) -> tuple[str, Any, Any]:
    """The path as a reader of the file would write it, the type that is expected there, and what stands there.

    msgspec writes `[...]` for some key of a mapping: the one whose value can't be decoded is meant.
    """
    if not steps:
        return "", kind, data
    name, below = _descend(kind, data, steps[0])
    value: Any = None
    if isinstance(data, Mapping):
        value = data.get(name)
    elif isinstance(data, list) and isinstance(name, int):
        value = data[name]
    rest, last, found = _locate(below, value, steps[1:])
    step = f"[{name}]" if isinstance(name, int) else str(name)
    return f"{step}.{rest}".rstrip(".").replace(".[", "["), last, found


def _descend(kind: Any, data: Any, step: str) -> tuple[str | int, Any]:
    if step == "[...]":
        inner = _part(kind, dict)
        value_type = (get_args(inner) or (Any, Any))[-1]
        return next((key for key, value in data.items() if not _fits(value, value_type)), step), value_type
    if step.startswith("["):
        return int(step[1:-1]), (get_args(_part(kind, list)) or (Any,))[0]
    struct = _part(kind, msgspec.Struct)
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(struct)} if struct else {}
    return step, fields.get(step, Any)


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _part(kind: Any, wanted: type) -> Any:
    """The part of a type (inside Annotated, or one of a union) that is a list, a dict or a struct."""
    origin = get_origin(kind) or kind
    if isinstance(origin, type) and issubclass(origin, wanted):
        return kind
    return next((found for arg in get_args(kind) if (found := _part(arg, wanted)) is not None), None)


def _words(kind: Any) -> list[str]:
    """The words that could stand where this type is expected: a struct's fields, or a choice's values."""
    if get_origin(kind) is Literal:
        return [str(word) for word in get_args(kind)]
    choice = next((arg for arg in get_args(kind) if get_origin(arg) is Literal), None)
    if choice is not None:
        return _words(choice)
    struct = _part(kind, msgspec.Struct)
    return [field.encode_name for field in msgspec.structs.fields(struct)] if struct else []


def _kind(data: Any) -> str:
    return {type(None): "nothing", list: "a list", str: "text"}.get(type(data), f"a {type(data).__name__}")
