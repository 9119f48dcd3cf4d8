"""One connection to the provider: requests are written to it as they are given, answers read as they come.

Bodies are bytes and stay bytes; httptools reads the answers, asyncio does TLS and the sockets. A body that is sent has
just as many bytes as its head announces, so that nothing of one request can be taken for another. A connection that was
left at any other point than the clean end of an answer is closed.
"""

import asyncio
import ssl
from collections.abc import AsyncIterable, Callable
from typing import cast

import httptools

from adapter.errors import AdapterError, BadRequest, UpstreamNonsense, UpstreamTimeout, UpstreamUnreachable
from adapter.upstream.reply import StreamedReply
from adapter.upstream.request import Body, Origin, RawHeaders, announced, head_of

_HELD = 256 * 1024
"""Bytes of an answer that are kept for a reader who is slower than the provider."""
_MAX_UNHELD = 256 * 1024
"""Bytes that may come without one of the body among them: headers, trailers, what chunks bring along."""
_UNREADABLE = (httptools.HttpParserError, httptools.HttpParserUpgrade)


class Connection(asyncio.Protocol):
    """One request after the other. `on_idle` is told when it can take the next, `on_closed` when there will be none.

    `patience` seconds are what the provider has for the head of an answer, and for each silence within its body; and as
    long a connection may lie unused. While we ourselves hold the provider up (a slow caller who reads or writes), it
    isn't taken for silence.
    """

    __slots__ = (
        "_due",
        "_fed",
        "_interim",
        "_keep",
        "_loop",
        "_method",
        "_on_closed",
        "_on_idle",
        "_parser",
        "_patience",
        "_paused",
        "_reply",
        "_room",
        "_said_all",
        "_timer",
        "_transport",
        "_upload",
        "_waits",
        "origin",
    )

    def __init__(
        self,
        origin: Origin,
        patience: float,
        *,
        on_idle: Callable[["Connection"], None],
        on_closed: Callable[["Connection"], None],
    ) -> None:
        self.origin = origin
        self._patience = patience
        self._on_idle = on_idle
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._reply: StreamedReply | None = None
        self._method = ""
        self._fed = 0
        self._interim = self._keep = self._paused = self._said_all = self._waits = False
        self._upload: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._due = self._loop.time() + patience
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    @property
    def is_mute(self) -> bool:
        """Whether nothing at all has come since the last request."""
        return not self._fed

    def ask(self, method: str, target: str, headers: RawHeaders, body: Body) -> StreamedReply:
        """Send a request; the reply's head is on its way. BadRequest for what would not be one request.

        A body of bytes is announced here; the length of any other by its own Content-Length header, or it is chunked.
        """
        head = head_of(method, target, self.origin, headers, body)
        assert self._transport is not None
        self._method, self._fed = method, 0
        self._interim = self._keep = False
        self._due = self._loop.time() + self._patience
        if self._timer is None:  # not before: uvloop doesn't tell of the loss of one whose opening was cancelled
            self._timer = self._loop.call_at(self._due, self._look)
        self._reply = reply = StreamedReply(self)
        if isinstance(body, bytes) or body is None:
            self._transport.write(head + body if body else head)
        else:
            self._transport.write(head)
            self._upload = self._loop.create_task(self._uploading(body, announced(headers)))
        return reply

    def flow(self) -> None:
        """Let more of the answer come: its reader has nothing left to read."""
        if self._paused and self._transport is not None:
            self._paused = False
            self._due = self._loop.time() + self._patience
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()
        self._stop_upload()

    # --- what asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        reply = self._reply
        if reply is None:
            self.abort()  # bytes that nobody asked for
            return
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except _UNREADABLE:
            self._break_off(reply, UpstreamNonsense())
            return
        if self._fed > _MAX_UNHELD and not reply.over:
            self._break_off(reply, UpstreamNonsense("The provider's answer has more headers than can be taken."))
            return
        if not reply.status:
            return
        self._due = self._loop.time() + self._patience
        if reply.over:
            self._ended()
        elif reply.held > _HELD and not self._paused:
            self._hold_back()
        reply.wake()

    def eof_received(self) -> None:
        """The provider has said all it had to say; or, over TLS, somebody cut it off: an answer that only the end of
        its connection ends is not whole then (RFC 9112, 9.8).
        """
        assert self._transport is not None
        self._said_all = _took_leave(self._transport.get_extra_info("ssl_object"))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._stop_upload()
        reply, self._reply = self._reply, None
        if reply is not None:
            if exc is None and self._said_all and reply.status and _ends_with_connection(reply):
                reply.finish()
            reply.fail(_broken_off() if reply.status else UpstreamUnreachable())
        self._on_closed(self)
        del self._parser  # it holds our methods, and so us

    def pause_writing(self) -> None:
        self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        self._due = self._loop.time() + self._patience
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    # --- what the parser tells

    def on_message_begin(self) -> None:
        if self._reply is None or self._reply.over:
            raise UpstreamNonsense

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._reply is not None and not self._reply.status:  # trailers are nobody's
            self._reply.headers.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        reply, parser = self._reply, self._parser
        status = parser.get_status_code()
        if reply is None or status < 100 or status == 101:  # nobody asked for another protocol
            raise UpstreamNonsense
        self._interim = status < 200
        if self._interim:
            reply.headers.clear()
            return
        if "transfer-encoding" in reply.fields and not _is_chunked(reply.headers):
            raise UpstreamNonsense
        reply.status = status
        self._keep = parser.should_keep_alive()
        if self._method == "HEAD":
            # What comes next is another answer, though the parser waits for a body, whose length it may not know.
            self._parser = httptools.HttpResponseParser(self)
            self._keep = self._keep or (parser.get_http_version() == "1.1" and not _says_close(reply.headers))
            reply.over = True

    def on_body(self, body: bytes) -> None:
        reply = self._reply
        if reply is None or reply.over or not reply.status:
            raise UpstreamNonsense
        self._fed = 0
        reply.add(body)

    def on_message_complete(self) -> None:
        if not self._interim and self._reply is not None:
            self._reply.over = True

    # --- what follows from it

    def _ended(self) -> None:
        """The answer is here; what was not taken of the request by now is nobody's."""
        assert self._transport is not None
        sent = (self._upload is None or self._upload.done()) and not self._transport.get_write_buffer_size()
        self._reply = None
        if self._paused:
            self.flow()
        if self._keep and sent and not self._transport.is_closing():
            self._upload = None
            self._on_idle(self)
        else:
            self.abort()

    def _break_off(self, reply: StreamedReply, error: AdapterError) -> None:
        reply.fail(error)
        self.abort()

    def _hold_back(self) -> None:
        assert self._transport is not None
        self._paused = True
        self._transport.pause_reading()

    def _look(self) -> None:
        """Whether it was silent too long. The time is put off with each sign of life, the timer only here."""
        now = self._loop.time()
        if self._paused or self._waits:
            self._due = now + self._patience
        if now < self._due:
            self._timer = self._loop.call_at(self._due, self._look)
            return
        if self._reply is not None:
            self._reply.fail(UpstreamTimeout())
        self.abort()

    def _stop_upload(self) -> None:
        if self._upload is not None and not self._upload.done() and self._upload is not asyncio.current_task():
            self._upload.cancel()

    async def _uploading(self, body: AsyncIterable[bytes], length: int | None) -> None:
        """Send a body on as it comes. What its sender raises, the reader of the answer gets."""
        try:
            await self._send_parts(body, length)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  # it belongs to whoever waits for the answer
            if self._reply is not None:
                self._reply.fail(error)
            self.abort()

    async def _send_parts(self, body: AsyncIterable[bytes], length: int | None) -> None:
        left = length
        self._waits = True
        try:
            async for part in body:
                self._go_on()
                if left is not None:
                    left -= len(part)
                    if left < 0:
                        raise BadRequest("The body is longer than its Content-Length.")
                    await self._write(part)
                elif part:  # a chunk without a byte would be the last
                    await self._write(b"%x\r\n%b\r\n" % (len(part), part))
                self._waits = True
        finally:
            self._go_on()
        if left:
            raise BadRequest("The body is shorter than its Content-Length.")
        if left is None:
            await self._write(b"0\r\n\r\n")

    def _go_on(self) -> None:
        """It's the provider's turn again, from now on."""
        self._waits = False
        self._due = self._loop.time() + self._patience

    async def _write(self, data: bytes) -> None:
        """Return when there is room for more."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
        if self._room is not None:
            await self._room
        self._due = self._loop.time() + self._patience


def _took_leave(tls: ssl.SSLObject | None) -> bool:
    """Whether nothing but its end is left of a connection, and not merely of what carries it."""
    try:
        return tls is None or not tls.read(1)
    except ssl.SSLZeroReturnError:
        return True
    except ssl.SSLError:
        return False


def _says_close(headers: RawHeaders) -> bool:
    return any(name == b"connection" and b"close" in value.lower() for name, value in headers)


def _is_chunked(headers: RawHeaders) -> bool:
    """Whether its chunks are all that was made of the body on the way: nothing else was asked for."""
    return [value.lower() for name, value in headers if name == b"transfer-encoding"] == [b"chunked"]


def _ends_with_connection(reply: StreamedReply) -> bool:
    """Whether the end of the connection is how this answer ends: it tells no length, and isn't chunked."""
    return "content-length" not in reply.fields and "transfer-encoding" not in reply.fields


def _broken_off() -> AdapterError:
    return UpstreamNonsense("The provider's answer breaks off.")
