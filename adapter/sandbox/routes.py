"""Which function answers which method and path, and with which scopes: a tree of path segments.

A tree and not a list of patterns, because the sandbox is the target of load tests and has more than a hundred paths;
segments are matched before they are decoded, so that an encoded slash never splits a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from urllib.parse import unquote

from msgspec import Struct

if TYPE_CHECKING:
    from .answers import Answer
    from .calls import Call

Scopes = tuple[str, ...]
Handler = Callable[["Call"], "Answer"]


class Route(Struct, frozen=True):
    method: str
    template: str
    scopes: Scopes
    handler: Handler


class Node:
    __slots__ = ("children", "routes", "wildcard")

    def __init__(self) -> None:
        self.children: dict[str, Node] = {}
        self.wildcard: Node | None = None
        self.routes: dict[str, Route] = {}


class Routes:
    """A noun module declares its routes with `get`, `put`, … and `RouteTree` puts all of them together."""

    def __init__(self) -> None:
        self.declared: list[Route] = []

    def on(self, method: str, template: str, scopes: Scopes) -> Callable[[Handler], Handler]:
        """Declare the function below as the answer to `method template`, e.g. `/teams/{team}/members`."""

        def declare(handler: Handler) -> Handler:
            self.declared.append(Route(method, template, scopes, handler))
            return handler

        return declare

    def get(self, template: str, scopes: Scopes) -> Callable[[Handler], Handler]:
        return self.on("GET", template, scopes)

    def post(self, template: str, scopes: Scopes) -> Callable[[Handler], Handler]:
        return self.on("POST", template, scopes)

    def put(self, template: str, scopes: Scopes) -> Callable[[Handler], Handler]:
        return self.on("PUT", template, scopes)

    def patch(self, template: str, scopes: Scopes) -> Callable[[Handler], Handler]:
        return self.on("PATCH", template, scopes)

    def delete(self, template: str, scopes: Scopes) -> Callable[[Handler], Handler]:
        return self.on("DELETE", template, scopes)


class RouteTree:
    def __init__(self, tables: Iterable[Routes]) -> None:
        self._root = Node()
        self.declared = [route for table in tables for route in table.declared]
        for route in self.declared:
            self._plant(route)

    def _plant(self, route: Route) -> None:
        node = self._root
        for segment in route.template.strip("/").split("/"):
            if segment.startswith("{"):
                node.wildcard = node.wildcard or Node()
                node = node.wildcard
            else:
                node = node.children.setdefault(segment, Node())
        node.routes[route.method] = route

    def find(self, method: str, raw_path: str) -> tuple[Route, dict[str, str]] | None:
        """The route of a path as sent, with its decoded parameters. A literal segment wins over a parameter."""
        segments = raw_path.strip("/").split("/")
        found = self._walk(self._root, method, segments, 0)
        if found is None:
            return None
        names = found.template.strip("/").split("/")
        return found, {
            name[1:-1]: unquote(segment) for name, segment in zip(names, segments, strict=True) if name.startswith("{")
        }

    def _walk(self, node: Node, method: str, segments: list[str], depth: int) -> Route | None:
        if depth == len(segments):
            return node.routes.get(method)
        literal = node.children.get(segments[depth])
        found = self._walk(literal, method, segments, depth + 1) if literal else None
        if found is None and node.wildcard and segments[depth]:
            return self._walk(node.wildcard, method, segments, depth + 1)
        return found
