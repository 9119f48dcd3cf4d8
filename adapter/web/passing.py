"""What passes through the raw doors and what stays behind: headers both ways, our own words in the query."""

from collections.abc import Iterable, Mapping
from urllib.parse import unquote_plus

from adapter.errors import BadRequest, InvalidParameter
from adapter.upstream.provider import Provider

RawHeaders = Iterable[tuple[bytes, bytes]]
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
_ADDED = [(b"x-content-type-options", b"nosniff"), (b"content-security-policy", b"sandbox")]


class Outbound:
    """The rules for request headers: the general ones, and the provider's `never_forward` and default headers."""

    def __init__(self, provider: Provider) -> None:
        named = [name.lower().encode() for name in provider.never_forward]
        self._dropped = _HOP_BY_HOP | _OURS | {name for name in named if not name.endswith(b"*")}
        self._dropped_beginnings = _OURS_BEGIN + tuple(name[:-1] for name in named if name.endswith(b"*"))
        self._defaults = {name.lower(): value for name, value in provider.headers.items()}

    def headers(self, given: RawHeaders, *, keep_length: bool) -> list[tuple[str, str]]:
        """What goes on of `given`, and the provider's default for what isn't; BadRequest for a value beyond ASCII.

        `keep_length` keeps the Content-Length of a body that is streamed or empty; any other gets its own.
        """
        kept: list[tuple[str, str]] = []
        hop: bytes = b""
        for name, value in given:
            if name in self._dropped:
                if name == b"connection":
                    hop += b"," + value.lower()
                continue
            if name.startswith(self._dropped_beginnings) or (name == b"content-length" and not keep_length):
                continue
            if not value.isascii():
                raise BadRequest(f"The header `{name.decode('ascii', 'replace')}` holds more than ASCII.")
            kept.append((name.decode("ascii"), value.decode("ascii")))
        if hop and hop not in {b",keep-alive", b",close"}:
            listed = {part.strip().decode("ascii", "replace") for part in hop.split(b",")}
            kept = [pair for pair in kept if pair[0] not in listed]
        names = {name for name, _ in kept}
        return kept + [pair for pair in self._defaults.items() if pair[0] not in names]


def inbound(headers: Iterable[tuple[str, str]], without: frozenset[str] = frozenset()) -> list[tuple[bytes, bytes]]:
    """What is handed on of the provider's response headers, and what is added to them."""
    kept = [
        (name.encode(), value.encode())
        for name, value in headers
        if name not in _NOT_HANDED_ON and name not in without and not name.startswith("access-control-")
    ]
    return kept + _ADDED


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
