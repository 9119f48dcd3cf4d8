"""The border to httpx: the interface that most of the code speaks, over our connections, its errors in our words."""

from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from adapter import __version__
from adapter.errors import (
    AdapterError,
    BadRequest,
    UpstreamFailure,
    UpstreamNonsense,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from adapter.upstream.pool import Pool, origin_of

USER_AGENT = f"unified-directory-adapter/{__version__}"

FOREIGN = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, TimeoutError, OSError, ValueError)
"""What httpx, and whatever stands in for our transport, may raise out of a request; each is known to `translated`."""

_LEFT_TO_THE_POOL = frozenset({b"connection", b"content-length", b"host", b"transfer-encoding"})
_FRAMED = frozenset({"content-length", "transfer-encoding"})


class OverPool(httpx.AsyncBaseTransport):
    """httpx's requests over the pool, whole both ways."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        named = [(name.lower(), value) for name, value in request.headers.raw]
        headers = [pair for pair in named if pair[0] not in _LEFT_TO_THE_POOL]
        body = await request.aread() if _FRAMED & request.headers.keys() else None
        target = request.url.raw_path.decode("ascii")
        reply = await self._pool.send(origin_of(request.url), request.method, target, headers, body)
        try:
            content = await reply.body()
        finally:
            reply.abort()
        return httpx.Response(reply.status, headers=reply.headers, stream=httpx.ByteStream(content))


def interface(pool: Pool, transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    """The httpx client over that pool, or over a transport in its place; it keeps no cookie and follows nothing."""
    return httpx.AsyncClient(
        transport=transport or OverPool(pool),
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        headers={"user-agent": USER_AGENT},
        follow_redirects=False,
        trust_env=False,
        timeout=None,  # noqa: S113  # the pool's own timeouts hold; httpx's would be added up to one
    )


# The first line that fits holds.
_WORDS: tuple[tuple[tuple[type[Exception], ...], type[AdapterError]], ...] = (
    ((httpx.TimeoutException, TimeoutError), UpstreamTimeout),
    ((httpx.DecodingError, httpx.RemoteProtocolError), UpstreamNonsense),
    ((httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError), BadRequest),
    ((httpx.HTTPError, OSError), UpstreamUnreachable),
    ((ValueError, httpx.StreamError), UpstreamNonsense),
)
_NOT_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def translated(error: Exception) -> AdapterError:
    """Our word for what httpx raised. Its text stays behind: it may hold the URL."""
    if isinstance(error, AdapterError):
        return error
    found = next((word() for kinds, word in _WORDS if isinstance(error, kinds)), UpstreamNonsense())
    if isinstance(found, UpstreamFailure) and isinstance(error, _NOT_CONNECTED):
        found.was_sent = False
    return found
