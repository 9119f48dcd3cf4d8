"""The line to a Heroku, which can be bad: it hands requests on to a sandbox as they are, unless trouble takes them."""

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

PATIENCE_S = 30
_CHUNK = 64 * 1024
_GONE = (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, TimeoutError, httpx.TransportError)


@dataclass(kw_only=True)
class Asked:
    """One request, its body unread, and the connection that it came over."""

    method: str
    path: str
    headers: Mapping[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def body(self) -> bytes:
        return b"".join([part async for part in self.parts()])

    async def parts(self) -> AsyncIterator[bytes]:
        """The body as it arrives, however it is framed."""
        if self.headers.get("transfer-encoding") != "chunked":
            left = int(self.headers.get("content-length", 0))
            while left:
                yield (part := await self.reader.read(min(left, _CHUNK)))
                left -= len(part)
                if not part:
                    raise ConnectionResetError
            return
        while size := int(await self.reader.readline(), 16):
            yield await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> None:
        """Return when the other side has closed the connection."""
        with suppress(*_GONE):
            while await self.reader.read(_CHUNK):
                pass


Trouble = Callable[[Asked], Awaitable[bool | None]]
"""Answers a request in its own way, after which the connection is closed; or False: the request is handed on."""


class Line:
    """Listens from construction to the end of the `with`; `trouble` may be set at any time."""

    def __init__(self, target: str, tls: ssl.SSLContext | None = None) -> None:
        self._target = target
        self._tls = tls
        self._scheme = "https" if tls else "http"
        self.trouble: Trouble | None = None
        self.asked: list[str] = []
        """`METHOD /path` of every request that came over it."""
        self._port = 0
        self._connections: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="line", daemon=True)
        self._thread.start()
        self._http = httpx.AsyncClient(base_url=target, trust_env=False, timeout=PATIENCE_S)
        self.mend()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._port}"

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    def call(self, what: Callable[[], object]) -> None:
        """Have something done where its troubles are."""
        self._loop.call_soon_threadsafe(what)

    def mend(self) -> None:
        self.run(self._listen())

    def cut(self) -> None:
        """Nobody listens any more, and what was open is closed."""
        self.run(self._cut())

    def speak(self, tls: ssl.SSLContext | None) -> None:
        """From now on show that certificate, or none, to everybody who comes; all come anew."""
        self.cut()
        self._tls = tls
        self.mend()

    @contextmanager
    def bad(self, trouble: Trouble) -> Iterator[None]:
        self.trouble = trouble
        try:
            yield
        finally:
            self.trouble = None

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, ssl=self._tls)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._connections:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except _GONE:
            writer.transport.abort()  # one side has left: the other hears of it
        finally:
            self._connections.discard(writer)
            with suppress(*_GONE):
                writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether another may follow it."""
        asked = _read(await reader.readuntil(b"\r\n\r\n"), reader, writer)
        self.asked.append(f"{asked.method} {asked.path}")
        trouble = self.trouble
        if trouble is not None and await trouble(asked) is not False:
            return False
        await self._hand_on(asked)
        return True

    async def _hand_on(self, asked: Asked) -> None:
        headers = {name: value for name, value in asked.headers.items() if name != "transfer-encoding"}
        answer = await self._http.request(asked.method, asked.path, headers=headers, content=await asked.body())
        lines = [f"HTTP/1.1 {answer.status_code} Whatever"]
        lines += [f"{name}: {value}" for name, value in answer.headers.multi_items() if name not in _FRAMING]
        if asked.method != "HEAD" and answer.status_code not in {204, 304}:
            lines.append(f"content-length: {len(answer.content)}")
        await asked.write(("\r\n".join(lines) + "\r\n\r\n").encode() + answer.content)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run(self._over())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    async def _over(self) -> None:
        await self._cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(others, timeout=PATIENCE_S) if others else None
        await self._http.aclose()


_FRAMING = frozenset({"connection", "content-encoding", "content-length", "transfer-encoding"})


def _read(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Asked:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    return Asked(method=method, path=path, headers=headers, reader=reader, writer=writer)


# --- what can be wrong with it


def says(head: str, body: bytes = b"") -> Trouble:
    """These bytes, and the end of the connection."""

    async def trouble(asked: Asked) -> None:
        await asked.write(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)

    return trouble


async def resets(asked: Asked) -> None:
    """The connection is reset instead of an answer."""
    raw: socket.socket = asked.writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    asked.writer.transport.abort()


async def half_closes(asked: Asked) -> None:
    """Says that it will say no more, before it has said anything, and goes on listening."""
    asked.writer.write_eof()
    await asked.gone()


async def hangs(asked: Asked) -> None:
    """No answer, for as long as the other side waits."""
    await asked.gone()


async def gets_stuck(asked: Asked) -> None:
    """An answer that stops in the midst of its body."""
    await asked.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 200000\r\n\r\n[")
    await asked.gone()


def only(trouble: Trouble, *, method: str = "", path: str = "", token: str = "") -> Trouble:
    """The trouble for those requests alone."""

    async def chosen(asked: Asked) -> bool | None:
        ours = asked.method == (method or asked.method) and path in asked.path
        return await trouble(asked) if ours and token in asked.headers.get("authorization", "") else False

    return chosen
