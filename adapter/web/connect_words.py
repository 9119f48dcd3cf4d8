"""What the connect page says of the provider: `<provider>/connect.yaml`, typed, its placeholders checked at start."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from adapter.declarations import bundled_dir, decode, overlay, read_yaml
from adapter.errors import DeclarationError

FILE = "connect.yaml"
KNOWN = ("who", "provider", "scopes", "account", "wait")
"""The placeholders that a sentence may hold."""

Address = Annotated[str, msgspec.Meta(pattern=r"^https://[^\s\"'<>]+$")]


class _Declared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Read(_Declared, frozen=True, kw_only=True):
    """Something that becomes readable, and the upstream lists that it takes."""

    text: str
    units: tuple[str, ...]


class Write(_Declared, frozen=True, kw_only=True):
    """Something that may be changed, with the provider's scopes any one of which allows it."""

    text: str
    scopes: tuple[str, ...]


class Site(_Declared, frozen=True, kw_only=True):
    text: str
    url: Address


class ApiKeyWords(_Declared, frozen=True, kw_only=True):
    """How one makes a token, and what it looks like."""

    name: str
    starts: str = ""
    command: str
    site: Site | None = None
    hint: str = ""


class Withdrawing(_Declared, frozen=True, kw_only=True):
    text: str


class Problem(_Declared, frozen=True, kw_only=True):
    title: str
    text: str


class Words(_Declared, frozen=True, kw_only=True):
    """The whole file."""

    purpose: str
    reads: tuple[Read, ...]
    writes: tuple[Write, ...]
    scopes: Mapping[str, str] = {}
    api_key: ApiKeyWords
    withdraw: Withdrawing
    problems: Mapping[str, Problem] = {}

    def readable(self, missing: Collection[str]) -> list[str]:
        """What can be read where the units in `missing` can't."""
        return [entry.text for entry in self.reads if not set(entry.units) & set(missing)]

    def closed(self, missing: Mapping[str, Sequence[str]]) -> list[tuple[str, tuple[str, ...]]]:
        """What can't be read without the units in `missing` (unit -> scopes that would open it), and what it takes."""
        found = []
        for entry in self.reads:
            needed = [missing[unit] for unit in entry.units if unit in missing]
            if needed:
                found.append((entry.text, tuple(needed[0])))
        return found

    def changeable(self, scopes: Collection[str]) -> list[str]:
        """What may be changed with these scopes of the provider's."""
        return [entry.text for entry in self.writes if set(entry.scopes) & set(scopes)]


def load_words(directories: Sequence[Path] | None, provider: str) -> Words:
    """The file of each directory laid over one another; DeclarationError where there is none, or it can't be used."""
    paths = [directory / provider / FILE for directory in directories or [bundled_dir()]]
    present = [path for path in paths if path.is_file()]
    if not present:
        raise DeclarationError(str(paths[0]), "", "does not exist")
    data: Any = {}
    for path in present:
        data = overlay(data, read_yaml(path))
    words = decode(data, Words, str(present[-1]))
    _check(msgspec.to_builtins(words), str(present[-1]), "")
    return words


def filled(text: str, **values: str) -> str:
    """A sentence with its placeholders replaced; one without a value is left out."""
    return text.format_map({name: values.get(name, "") for name in KNOWN})


def _check(data: Any, file: str, at: str) -> None:
    """DeclarationError for a sentence whose placeholders are not known."""
    if isinstance(data, dict):
        for key, value in data.items():
            _check(value, file, f"{at}.{key}".removeprefix("."))
    elif isinstance(data, list | tuple):
        for number, value in enumerate(data):
            _check(value, file, f"{at}[{number}]")
    elif isinstance(data, str):
        try:
            filled(data)
        except (KeyError, ValueError, IndexError, AttributeError):
            raise DeclarationError(file, at, "holds a placeholder that is not known", KNOWN) from None
