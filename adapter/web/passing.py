"""What passes through the raw doors and what stays behind: headers both ways, our own words in the query."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote_plus

from adapter.errors import BadRequest, InvalidParameter
from adapter.upstream.provider import Provider

RawHeaders = Sequence[tuple[bytes, bytes]]
Taken = Mapping[str, list[str]]

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"expect",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# Whose the caller is with us is nothing to the provider; and what makes a server read another method, path or host
# than the one that was judged does not pass.
_OURS = frozenset(
    {
        b"authorization",
        b"cookie",
        b"forwarded",
        b"host",
        b"origin",
        b"referer",
        b"via",
        b"x-host",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-original-host",
        b"x-original-method",
        b"x-original-uri",
        b"x-original-url",
        b"x-real-ip",
        b"x-request-id",
        b"x-rewrite-url",
    }
)
_OURS_BEGIN = (b"x-forwarded-", b"cf-", b"sec-")
# What would speak to a browser in our name.
_NOT_HANDED_ON = frozenset(
    {
        "alt-svc",
        "clear-site-data",
        "connection",
        "content-security-policy",
        "content-security-policy-report-only",
        "keep-alive",
        "nel",
        "proxy-authenticate",
        "proxy-connection",
        "public-key-pins",
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
        "report-to",
        "reporting-endpoints",
        "server",
        "service-worker-allowed",
        "set-cookie",
        "set-cookie2",
        "strict-transport-security",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
        "x-content-type-options",
        "x-request-id",
    }
)
_MAX_NAMES = 1024
_NONE: frozenset[str] = frozenset()
_ADDED = [(b"x-content-type-options", b"nosniff"), (b"content-security-policy", b"sandbox")]


class _Names(dict[Any, Any]):
    """What becomes of each header name, worked out once: the name on the other side, or None where it stays behind."""

    def __init__(self, passed_on: Callable[[Any], Any]) -> None:
        self._passed_on = passed_on

    def __missing__(self, name: Any) -> Any:
        if len(self) >= _MAX_NAMES:
            self.clear()
        passed_on = self[name] = self._passed_on(name)
        return passed_on


class Outbound:
    """The rules for request headers: the general ones, and the provider's `never_forward` and default headers."""

    def __init__(self, provider: Provider) -> None:
        named = [name.lower().encode() for name in provider.never_forward]
        self._dropped = _HOP_BY_HOP | _OURS | {name for name in named if not name.endswith(b"*")}
        self._dropped_beginnings = _OURS_BEGIN + tuple(name[:-1] for name in named if name.endswith(b"*"))
        defaults = [(name.lower(), value) for name, value in provider.headers.items()]
        self._defaults = [(name.encode(), (name, value)) for name, value in defaults]
        self._names = _Names(self._passed_on)

    def headers(self, given: RawHeaders, *, keep_length: bool) -> list[tuple[str, str]]:
        """What goes on of `given`, and the provider's default for what isn't; BadRequest for a value beyond ASCII.

        `keep_length` keeps the Content-Length of a body that is streamed or empty; any other gets its own.
        """
        names, fields = self._names, dict(given)
        try:
            kept = [(passed_on, str(value, "ascii")) for name, value in given if (passed_on := names[name])]
        except UnicodeDecodeError:
            raise BadRequest("A request header holds more than ASCII, which can't be sent on.") from None
        gone = _listed_as_hop_by_hop(given) if b"connection" in fields else _NONE
        if not keep_length and b"content-length" in fields:
            gone |= {"content-length"}
        if gone:
            kept = [pair for pair in kept if pair[0] not in gone]
        for name, default in self._defaults:
            if name not in fields or not names[name] or default[0] in gone:
                kept.append(default)
        return kept

    def _passed_on(self, name: bytes) -> str | None:
        stays = name in self._dropped or name.startswith(self._dropped_beginnings)
        return None if stays else name.decode("ascii")


def _listed_as_hop_by_hop(given: RawHeaders) -> frozenset[str]:
    """The names that `Connection` lists."""
    listed = [value.lower() for name, value in given if name == b"connection"]
    parts = b",".join(listed).split(b",") if listed else []
    return frozenset([part.strip().decode("ascii", "replace") for part in parts])


def _handed_on(name: str) -> bytes | None:
    return None if name in _NOT_HANDED_ON or name.startswith("access-control-") else name.encode()


_handed_on_names = _Names(_handed_on)


def inbound(headers: Iterable[tuple[str, str]], without: frozenset[str] = frozenset()) -> list[tuple[bytes, bytes]]:
    """What is handed on of the provider's response headers, and what is added to them."""
    names = _handed_on_names
    if without:
        headers = [pair for pair in headers if pair[0] not in without]
    kept = [(handed_on, value.encode()) for name, value in headers if (handed_on := names[name])]
    kept += _ADDED
    return kept


def take_out(query: bytes, names: frozenset[str]) -> tuple[bytes, Taken]:
    """(the query without the parameters of these names, their values); the rest stays as it was, byte for byte."""
    if not query:
        return query, {}
    kept: list[bytes] = []
    taken: dict[str, list[str]] = {}
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        plain = unquote_plus(name.decode("latin-1"))
        if plain in names:
            taken.setdefault(plain, []).append(unquote_plus(value.decode("latin-1")))
        else:
            kept.append(part)
    return b"&".join(kept), taken


def only(taken: Taken, name: str) -> str | None:
    """The one value of a parameter, None where it is absent or empty; InvalidParameter where it contradicts itself."""
    values = {value for value in taken.get(name, ()) if value}
    if len(values) > 1:
        raise InvalidParameter(f"`{name}` is given more than once.", details=[{"parameter": name}])
    return next(iter(values), None)
