"""The connections to the provider: opened as they are needed, kept open between requests, closed together."""

import asyncio
import ssl
from collections import defaultdict
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path

import certifi
import httpx

from adapter.errors import BadRequest, Unavailable, UpstreamFailure, UpstreamTimeout, UpstreamUnreachable
from adapter.upstream.connection import Connection
from adapter.upstream.provider import Timeouts
from adapter.upstream.reply import StreamedReply
from adapter.upstream.request import Body, Origin, RawHeaders

_PORTS = {"http": 80, "https": 443}
_MAX_IDLE = 256
_READING = frozenset({"GET", "HEAD"})
_ROUNDS = 16
"""Of the loop, at most, in which connections end that are closed at once: one or two, more with TLS."""


def origin_of(url: httpx.URL) -> Origin:
    """Whom a URL is addressed to; BadRequest where that is nobody."""
    port = url.port or _PORTS.get(url.scheme)
    if port is None or not url.host:
        raise BadRequest("The provider's address is no http(s) URL.")
    return Origin(url.raw_host.decode("ascii"), port, url.scheme == "https", url.netloc)


class Pool:
    """Connections by origin. Nothing is followed, unpacked or remembered, and no proxy of the environment's is used.

    A request is sent once, with one exception: a server may close a connection that lies idle in the moment in which it
    is used again. What only reads and met that is asked once more, over a new connection (RFC 9110, 9.2.2).
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._idle: defaultdict[Origin, list[Connection]] = defaultdict(list)
        self._open: set[Connection] = set()
        self._closing = asyncio.Event()

    async def send(
        self, origin: Origin, method: str, target: str, headers: RawHeaders, body: Body = None
    ) -> StreamedReply:
        """The answer, its head here and its body on its way; to be read to its end or aborted.

        UpstreamUnreachable, UpstreamTimeout (`was_sent` False where there was no connection) or UpstreamNonsense;
        BadRequest for headers that can't be sent. Cancelling it ends the request.
        """
        used = self._waiting(origin)
        if used is not None:
            try:
                return await _asked(used, method, target, headers, body)
            except UpstreamUnreachable:
                if method not in _READING or body is not None or not used.is_mute:
                    raise
        return await _asked(await self._connected(origin), method, target, headers, body)

    async def close(self) -> None:
        """Close every connection; what is under way fails."""
        self._closing.set()
        self._idle.clear()
        for connection in list(self._open):
            connection.abort()
        for _ in range(_ROUNDS):
            if self._open:
                await asyncio.sleep(0)

    def _waiting(self, origin: Origin) -> Connection | None:
        """The one that was used last: the others may fall out of use and be closed."""
        idle = self._idle[origin]
        while idle:
            connection = idle.pop()
            if not connection.is_closed:
                return connection
        return None

    async def _connected(self, origin: Origin) -> Connection:
        if self._closing.is_set():
            raise Unavailable
        made = partial(Connection, origin, self._timeouts.answer, on_idle=self._lay_back, on_closed=self._forget)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeouts.connect):
                _, connection = await loop.create_connection(
                    made, origin.host, origin.port, ssl=self._trust if origin.tls else None
                )
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that can't be one
            raise _unsent(UpstreamTimeout() if isinstance(error, TimeoutError) else UpstreamUnreachable()) from None
        if connection.is_closed:  # again, or cut off at once
            raise _unsent(UpstreamUnreachable())
        if self._closing.is_set():
            connection.abort()
            raise Unavailable
        self._open.add(connection)
        return connection

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        idle = self._idle[connection.origin]
        if connection in idle:
            idle.remove(connection)

    def _lay_back(self, connection: Connection) -> None:
        idle = self._idle[connection.origin]
        if self._closing.is_set() or len(idle) >= _MAX_IDLE:
            connection.abort()
        else:
            idle.append(connection)

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        """The system's authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others), or certifi's where it has none."""
        context = ssl.create_default_context()
        if not _has_authorities(ssl.get_default_verify_paths()):
            context.load_verify_locations(certifi.where())
        context.set_alpn_protocols(["http/1.1"])
        return context


async def _asked(connection: Connection, method: str, target: str, headers: RawHeaders, body: Body) -> StreamedReply:
    try:
        reply = connection.ask(method, target, headers, body)
    except BaseException:
        connection.abort()
        raise
    try:
        await reply.head()
    except BaseException:
        reply.abort()  # not the connection: once the answer is over, it may be another's already
        raise
    return reply


def _has_authorities(paths: ssl.DefaultVerifyPaths) -> bool:
    """Whether the system has any: a directory without a certificate is none."""
    with suppress(OSError):
        return bool(paths.cafile) or (bool(paths.capath) and any(Path(paths.capath).iterdir()))
    return False


def _unsent(failure: UpstreamFailure) -> UpstreamFailure:
    failure.was_sent = False
    return failure
