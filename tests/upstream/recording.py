"""A provider that does what a test tells it, over a real socket, and keeps every byte that it was sent."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec

Answer = bytes | Callable[["Received", asyncio.StreamWriter], Awaitable[None]]


class Received(msgspec.Struct):
    """One request as it came over the wire."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


def answer(status: int = 200, body: bytes = b"", *headers: tuple[str, str], length: bool = True) -> bytes:
    """An HTTP/1.1 answer."""
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers)]
    if length and not any(name.lower() == "content-length" for name, _ in headers):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Recorder:
    """`answers` are used up in turn; after them, `always`."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self.closed = asyncio.Event()
        self.answers: list[Answer] = []
        self.always: Answer = answer(200, b"{}", ("content-type", "application/json"))
        self.url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Recorder"]:
        tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
            tasks.add(task)

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                received = await _read(reader)
                self.requests.append(received)
                given = self.answers.pop(0) if self.answers else self.always
                if isinstance(given, bytes):
                    writer.write(given)
                    await writer.drain()
                else:
                    await given(received, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed.set()
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    received = Received(method, target, headers, b"")
    if received.header("transfer-encoding") == "chunked":
        received.body = await _chunked(reader)
    elif (length := received.header("content-length")) is not None:
        received.body = await reader.readexactly(int(length))
    return received


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\n")).strip(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body
