"""Which door a path leads to. The first segment decides, as it came over the wire: nothing is decoded for it."""

from typing import Literal

Door = Literal["custom", "proxy", "root"]

RESERVED = frozenset(
    {
        "connect-account",
        "custom",
        "docs",
        "favicon.ico",
        "graph",
        "healthz",
        "integrated-account",
        "integration",
        "link-token",
        "metrics",
        "openapi.json",
        "operations",
        "proxy",
        "readyz",
        "robots.txt",
        "scim",
        "static",
        "unified",
    }
)
"""Our own first path segments; no path of the provider's begins with one, which a test holds against its schema."""

_PREFIXES: tuple[tuple[bytes, Door], ...] = ((b"/custom/", "custom"), (b"/proxy/", "proxy"))


def door_of(raw_path: bytes) -> Door | None:
    """The raw door that serves this path, or None where the path is one of our own."""
    for prefix, door in _PREFIXES:
        if raw_path.startswith(prefix):
            return door
    first = raw_path[1:].split(b"/", 1)[0]
    # An encoded first segment is nobody's name: the router, which decodes, must not serve one as another door's.
    if not first or b"%" in first or first.decode("ascii", "replace").lower() in RESERVED:
        return None
    return "root"


def behind(raw_path: bytes, door: Door) -> bytes:
    """The provider's path behind a door: `/apps` for `/custom/apps`."""
    return raw_path if door == "root" else raw_path[len(door) + 1 :]
