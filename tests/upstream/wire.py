"""A connection without a socket: what it is fed is what a test says, piece by piece, at the time that a test says."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httptools

from adapter.upstream.connection import Connection
from adapter.upstream.request import Origin

ORIGIN = Origin("provider.test", 80, tls=False, authority=b"provider.test")
PATIENCE_S = 30.0


class Shifted(asyncio.SelectorEventLoop):
    """A loop whose clock a test may put forward."""

    shift = 0.0

    def time(self) -> float:
        return super().time() + self.shift

    async def pass_by(self, seconds: float) -> None:
        self.shift += seconds
        await settled()


def shifted(test: Callable[[Shifted], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test that runs on such a loop, and is given it."""

    def run() -> None:
        loop = Shifted()
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(test(loop))

    run.__name__ = test.__name__
    return run


async def settled() -> None:
    """Once everything that could happen by now has happened."""
    for _ in range(8):
        await asyncio.sleep(0)


class Wire(asyncio.Transport):
    """A connection's transport, which keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self._reading = True
        self.buffered = 0
        self.idle: list[Connection] = []
        self.closed: list[Connection] = []
        self.connection = Connection(ORIGIN, PATIENCE_S, on_idle=self.idle.append, on_closed=self.closed.append)
        self._closing = False
        self.connection.connection_made(self)

    def feed(self, *pieces: bytes) -> None:
        """Each as a read of its own, as long as the connection stands."""
        for piece in pieces:
            if piece and not self._closing:
                self.connection.data_received(piece)

    def end(self, error: Exception | None = None) -> None:
        """The other end closes, or with `error` the connection breaks."""
        if not self._closing:
            self._closing = True
            if error is None:
                self.connection.eof_received()
            self.connection.connection_lost(error)

    def write(self, data: Any) -> None:
        assert not self._closing
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def is_reading(self) -> bool:
        return self._reading

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True

    def is_closing(self) -> bool:
        return self._closing

    def abort(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)


class Requests:
    """What a server makes of the bytes that it was sent."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[list[tuple[bytes, bytes]]] = []
        self.targets: list[bytes] = []
        self.bodies: list[bytes] = []
        self.complete = 0
        httptools.HttpRequestParser(self).feed_data(data)

    def on_message_begin(self) -> None:
        self.headers.append([])
        self.bodies.append(b"")

    def on_url(self, url: bytes) -> None:
        self.targets.append(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[-1].append((name, value))

    def on_body(self, body: bytes) -> None:
        self.bodies[-1] += body

    def on_message_complete(self) -> None:
        self.complete += 1
