"""YAML into strict structs: the one way in which a declared file becomes typed data, or a refusal that shows the fault.

Each refusal is a DeclarationError with the file, the path inside it, what was found and what could stand there instead.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec
import yaml

from adapter.errors import DeclarationError

T = TypeVar("T")

_MAX_BYTES = 1024 * 1024
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`")
_AT = re.compile(r" - at `(?P<path>[^`]*)`$")


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice, which YAML would silently let the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)  # type: ignore[no-untyped-call]  # the stub lacks types
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


def decode(data: Any, into: type[T], file: str, at: str = "") -> T:
    """`data` as the struct `into`; an unknown word is refused together with the words known at that place."""
    try:
        return msgspec.convert(data, into)
    except msgspec.ValidationError as error:
        raise _refusal(str(error), into, data, file, at) from None


def _refusal(text: str, into: Any, data: Any, file: str, at: str) -> DeclarationError:
    match = _AT.search(text)
    path = (match["path"] if match else "$").removeprefix("$").removeprefix(".")
    found = _AT.sub("", text)
    unknown = _UNKNOWN.match(found)
    known = _words(_type_at(into, path)) if unknown else []
    if unknown:
        found = f"unknown word `{unknown['name']}`"
    full = ".".join(part for part in (at, _named(path, data)) if part).replace(".[", "[")
    return DeclarationError(file, full, found, known)


def _type_at(into: Any, path: str) -> Any:
    """The struct type that a msgspec error path (`sources[0].fields[...]`) leads to, as far as types can tell."""
    here = into
    for step in re.findall(r"\[[^\]]*\]|[^.\[\]]+", path):
        here = _step(_struct_in(here) or here, step)
    return _struct_in(here)


def _step(here: Any, step: str) -> Any:
    if step.startswith("["):
        args = get_args(here)
        return args[-1] if args else here
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(here)} if _is_struct(here) else {}
    kind = fields.get(step, here)
    return next((part for part in get_args(kind) if get_args(part)), kind)


def _struct_in(kind: Any) -> Any:
    if _is_struct(kind):
        return kind
    return next((part for part in get_args(kind) if _is_struct(part)), None)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _words(kind: Any) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(kind)] if _is_struct(kind) else []


def _named(path: str, data: Any) -> str:
    """msgspec writes `[...]` for a mapping's key; name the keys where there is only one candidate."""
    if "[...]" not in path:
        return path
    head, _, tail = path.partition("[...]")
    here = data
    for step in re.findall(r"\[(\d+)\]|([^.\[\]]+)", head):
        key: Any = int(step[0]) if step[0] else step[1]
        try:
            here = here[key]
        except (KeyError, IndexError, TypeError):
            return path
    keys = list(here) if isinstance(here, Mapping) else []
    return f"{head}.{keys[0]}{tail}".lstrip(".") if len(keys) == 1 else f"{head}{{{'|'.join(map(str, keys))}}}{tail}"


def _kind(data: Any) -> str:
    return {type(None): "nothing", list: "a list", str: "text"}.get(type(data), f"a {type(data).__name__}")
