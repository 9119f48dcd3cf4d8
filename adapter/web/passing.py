"""What passes through the raw doors and what stays behind: headers both ways, our own words in the query."""

from collections.abc import Callable, Mapping
from urllib.parse import unquote_plus

from adapter.errors import BadRequest, InvalidParameter
from adapter.upstream.provider import Provider
from adapter.upstream.request import RawHeaders
from adapter.upstream.transport import USER_AGENT

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
        b"alt-svc",
        b"clear-site-data",
        b"connection",
        b"content-security-policy",
        b"content-security-policy-report-only",
        b"keep-alive",
        b"nel",
        b"proxy-authenticate",
        b"proxy-connection",
        b"public-key-pins",
        b"ratelimit-limit",
        b"ratelimit-remaining",
        b"ratelimit-reset",
        b"report-to",
        b"reporting-endpoints",
        b"server",
        b"service-worker-allowed",
        b"set-cookie",
        b"set-cookie2",
        b"strict-transport-security",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"www-authenticate",
        b"x-content-type-options",
        b"x-request-id",
    }
)
_MAX_NAMES = 1024
_NONE: frozenset[bytes] = frozenset()
_ADDED = [(b"x-content-type-options", b"nosniff"), (b"content-security-policy", b"sandbox")]


class _Names(dict[bytes, bool]):
    """Whether headers of a name pass, worked out once for each name."""

    def __init__(self, passes: Callable[[bytes], bool]) -> None:
        self._passes = passes

    def __missing__(self, name: bytes) -> bool:
        if len(self) >= _MAX_NAMES:
            self.clear()
        passes = self[name] = self._passes(name)
        return passes


class Outbound:
    """The rules for request headers: the general ones, and the provider's `never_forward` and default headers."""

    def __init__(self, provider: Provider) -> None:
        named = [name.lower().encode() for name in provider.never_forward]
        self._dropped = _HOP_BY_HOP | _OURS | {name for name in named if not name.endswith(b"*")}
        self._dropped_beginnings = _OURS_BEGIN + tuple(name[:-1] for name in named if name.endswith(b"*"))
        defaults = [(name.lower(), value) for name, value in provider.headers.items()]
        self._defaults = [(name.encode(), value.encode()) for name, value in (*defaults, ("user-agent", USER_AGENT))]
        self._names = _Names(self._passes)

    def headers(
        self, given: RawHeaders, fields: Mapping[bytes, bytes], *, keep_length: bool
    ) -> list[tuple[bytes, bytes]]:
        """What goes on of `given`, and the provider's default for what isn't; BadRequest for a value beyond ASCII.
        `fields` are the same headers by name.

        `keep_length` keeps the Content-Length of a body that is streamed or empty; any other gets its own.
        """
        names = self._names
        kept = [pair for pair in given if names[pair[0]]]
        if not b"".join([value for _, value in kept]).isascii():
            raise BadRequest("A request header holds more than ASCII, which can't be sent on.")
        gone = _listed_as_hop_by_hop(given) if b"connection" in fields else _NONE
        if not keep_length and b"content-length" in fields:
            gone |= {b"content-length"}
        if gone:
            kept = [pair for pair in kept if pair[0] not in gone]
        for default in self._defaults:
            name = default[0]
            if name not in fields or not names[name] or name in gone:
                kept.append(default)
        return kept

    def _passes(self, name: bytes) -> bool:
        return name not in self._dropped and not name.startswith(self._dropped_beginnings)


def _listed_as_hop_by_hop(given: RawHeaders) -> frozenset[bytes]:
    """The names that `Connection` lists."""
    listed = [value.lower() for name, value in given if name == b"connection"]
    return frozenset([part.strip() for part in b",".join(listed).split(b",")])


_handed_on = _Names(lambda name: name not in _NOT_HANDED_ON and not name.startswith(b"access-control-"))


def inbound(headers: RawHeaders, without: frozenset[bytes] = _NONE) -> list[tuple[bytes, bytes]]:
    """What is handed on of the provider's response headers, and what is added to them."""
    names = _handed_on
    kept = [pair for pair in headers if names[pair[0]]]
    if without:
        kept = [pair for pair in kept if pair[0] not in without]
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
