"""Which scope of an account token a raw request needs: the table of `provider.yaml`, applied to the path as sent.

The table says what is known to be harmless. Whatever it doesn't know counts as secret, and where more than one of its
lines fits a path (a team may be called `apps`), the strictest holds. What opens a path fits it as it stands: nothing
is decoded or folded for `/Apps` or `/apps/x;y`, which so need `raw:secrets`. What closes one is read generously:
`/teams/apps/Invoices.json` is an app's path by one line, but some server could take it for a team's invoices.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import msgspec

from adapter.errors import DeclarationError
from adapter.models import Scope

_LINE = re.compile(r"([A-Z]+) (/[a-z0-9/_~{}-]+)")
# What may stand for an identity: an id, a name, an e-mail (raw or percent-encoded), a version. `~` is nobody's name:
# where the provider takes it for "the caller", a line says so.
_IDENTITY = re.compile(r"[A-Za-z0-9._+@:%-]+")
_BEYOND_WORDS = re.compile(r"[^a-z0-9_-]")
_STRICTNESS = {Scope.RAW_READ: 0, Scope.RAW_WRITE: 1, Scope.RAW_SECRETS: 2}
_UNKNOWN = "/{unknown}"
_End = tuple[Scope, str]


class AccessLists(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lines of `METHOD /path/{placeholder}`, by the scope that they need."""

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


class AccessTable:
    """The lists as a tree of path segments; a look-up costs a few dictionary reads and is remembered."""

    def __init__(self, lists: AccessLists, *, file: str = "provider.yaml") -> None:
        """DeclarationError where a line can't be read, or stands twice."""
        self._root: dict[Any, Any] = {}
        for name, scope in (("read", Scope.RAW_READ), ("write", Scope.RAW_WRITE), ("secrets", Scope.RAW_SECRETS)):
            for index, line in enumerate(getattr(lists, name)):
                self._add(line, scope, file, f"access.{name}[{index}]")
        self._judged = lru_cache(maxsize=4096)(self._judge)

    def needed_scope(self, method: str, path: str) -> Scope:
        """The scope that opens `method path`; `path` is the target as it is sent, without its query."""
        return self._judged(method, path)[0]

    def template(self, method: str, path: str) -> str:
        """The line's path with its placeholders, for logs; `/{unknown}` where no line fits."""
        return self._judged(method, path)[1]

    def _add(self, line: str, scope: Scope, file: str, at: str) -> None:
        match = _LINE.fullmatch(line)
        if not match:
            raise DeclarationError(file, at, f"`{line}` is not `METHOD /path/{{placeholder}}`")
        method, path = match.groups()
        node = self._root
        for segment in path[1:].split("/"):
            node = node.setdefault(None if segment.startswith("{") else segment, {})
        ends: dict[str, tuple[Scope, str]] = node.setdefault((), {})
        if method in ends:
            raise DeclarationError(file, at, f"`{line}` stands twice")
        ends[method] = (scope, path)

    def _judge(self, method: str, path: str) -> tuple[Scope, str]:
        known = "GET" if method == "HEAD" else method
        ends = [(exact, end[known]) for exact, end in _ends(self._root, path[1:].split("/"), True) if known in end]
        fitting = [end for exact, end in ends if exact or end[0] is Scope.RAW_SECRETS]
        if not path.startswith("/") or not any(exact for exact, _ in ends):
            return Scope.RAW_SECRETS, _UNKNOWN
        return max(fitting, key=lambda end: _STRICTNESS[end[0]])


def _ends(
    node: dict[Any, Any], segments: list[str], exact: bool
) -> Iterator[tuple[bool, dict[str, tuple[Scope, str]]]]:
    """The ends of all lines that fit, and whether they do as the path stands."""
    if not segments:
        if () in node:
            yield exact, node[()]
        return
    head, rest = segments[0], segments[1:]
    if head in node:
        yield from _ends(node[head], rest, exact)
    elif (folded := _folded(head)) in node:
        yield from _ends(node[folded], rest, False)
    if None in node and _IDENTITY.fullmatch(head):
        yield from _ends(node[None], rest, exact)


def _folded(segment: str) -> str:
    """The word that a lenient server might read here: decoded, in lower case, up to what no word of a path holds."""
    return _BEYOND_WORDS.split(unquote(segment).strip().lower(), maxsplit=1)[0]
