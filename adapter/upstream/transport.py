"""The border to the HTTP libraries: how their client is built, and what their errors are called on our side."""

from datetime import timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.compatibility.httpx import HttpxTransport
from pyreqwest.exceptions import (
    BuilderError,
    ClientClosedError,
    DecodeError,
    PyreqwestError,
    RedirectError,
    RequestTimeoutError,
    StatusError,
)

from adapter import __version__
from adapter.errors import (
    AdapterError,
    BadRequest,
    Unavailable,
    UpstreamFailure,
    UpstreamNonsense,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from adapter.upstream.provider import Timeouts

USER_AGENT = f"unified-directory-adapter/{__version__}"

FOREIGN = (PyreqwestError, httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, TimeoutError, OSError, ValueError)
"""What the libraries may raise out of a request; each is known to `translated`."""


def pool(timeouts: Timeouts) -> Client:
    """The one pool: bodies as they are on the wire, redirects handed on, no cookies, no proxy from the environment."""
    return (
        ClientBuilder()
        .gzip(enable=False)
        .brotli(enable=False)
        .zstd(enable=False)
        .deflate(enable=False)
        .follow_redirects(enable=False)
        .referer(enable=False)
        .no_proxy()
        .user_agent(USER_AGENT)
        .http1_lower_case_headers()
        .connect_timeout(timedelta(seconds=timeouts.connect))
        .read_timeout(timedelta(seconds=timeouts.answer))
        .pool_max_idle_per_host(256)
        .build()
    )


def interface(client: Client, transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    """The httpx client over that pool, or over a transport in its place; it keeps no cookie and follows nothing."""
    return httpx.AsyncClient(
        transport=transport or HttpxTransport(client, close_client=False),
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        headers={"user-agent": USER_AGENT},
        follow_redirects=False,
        trust_env=False,
        timeout=None,  # noqa: S113  # the pool's own timeouts hold; httpx's would be added up to one
    )


# The first line that fits holds. pyreqwest raises ValueError where a response header is not visible ASCII.
_WORDS: tuple[tuple[tuple[type[Exception], ...], type[AdapterError]], ...] = (
    ((RequestTimeoutError, httpx.TimeoutException, TimeoutError), UpstreamTimeout),
    ((ClientClosedError,), Unavailable),
    ((DecodeError, RedirectError, StatusError, httpx.DecodingError, httpx.RemoteProtocolError), UpstreamNonsense),
    ((BuilderError, httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError), BadRequest),
    ((PyreqwestError, httpx.HTTPError, OSError), UpstreamUnreachable),
    ((ValueError, httpx.StreamError), UpstreamNonsense),
)


# pyreqwest (as of 0.15) calls it a ConnectError too where a connection ended instead of an answer, so that only the
# innermost client's word tells that there never was one, and so that nothing went over it.
_NO_CONNECTION = "client error (Connect)"
_NOT_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def translated(error: Exception) -> AdapterError:
    """Our word for what an HTTP library raised. Its text stays behind: it may hold the URL."""
    if isinstance(error, AdapterError):
        return error
    found = next((word() for kinds, word in _WORDS if isinstance(error, kinds)), UpstreamNonsense())
    if isinstance(found, UpstreamFailure) and _never_left(error):
        found.was_sent = False
    return found


def _never_left(error: Exception) -> bool:
    """Whether a request certainly failed before anything of it was sent; of what is not known to, nobody can tell."""
    inner = error if isinstance(error, PyreqwestError) else error.__cause__
    if isinstance(inner, PyreqwestError):
        details: Any = (inner.args[1] if len(inner.args) > 1 else None) or {}
        return any(cause.get("message") == _NO_CONNECTION for cause in details.get("causes") or ())
    return isinstance(error, _NOT_CONNECTED) and inner is None


def broken(error: Exception) -> AdapterError:
    """Likewise for what was raised while a body came in: one that breaks off was begun, so its sender was reached."""
    found = translated(error)
    return UpstreamNonsense("The provider's answer breaks off.") if type(found) is UpstreamUnreachable else found
