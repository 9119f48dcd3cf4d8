"""Bytes on the wire, whole or broken on purpose. Relies on what granian does with what ASGI leaves open; tests hold it.

granian hands a single body message on untouched even under another `Content-Length`, and drops the connection when an
application raises in the middle of a streamed body.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .answers import Answer
from .faults import Fault

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

SLOW_PIECES = 10
MISSING_BYTES = 10
BODILESS = (204, 304)


class BrokenOnPurposeError(Exception):
    """Raised to make the server drop a connection in the middle of an answer."""


async def read_body(scope: Scope, receive: Receive) -> bytes:
    if scope["method"] in ("GET", "HEAD"):
        return b""
    pieces = []
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


def _start(status: int, headers: Mapping[str, str]) -> Message:
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": encoded}


def _body(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def send_answer(send: Send, answer: Answer, headers: Mapping[str, str], method: str) -> None:
    if answer.status in BODILESS:
        headers = {name: value for name, value in headers.items() if name != "content-type"}
    else:
        headers = {**headers, "content-length": str(len(answer.body))}
    await send(_start(answer.status, headers))
    await send(_body(b"" if method == "HEAD" or answer.status in BODILESS else answer.body))


async def send_broken(send: Send, answer: Answer, headers: Mapping[str, str], fault: Fault) -> None:
    """Send an answer with what the fault does to it on the way."""
    body, length = answer.body, len(answer.body)
    match fault.kind:
        case "headers":
            headers = {**headers, **{name.lower(): value for name, value in fault.headers.items()}}
        case "cut_json":
            body = body[: length // 2]
            length = len(body)
        case "wrong_length":
            # Closed afterwards, so that what is over never spills into the next answer.
            length, headers = max(0, length - MISSING_BYTES), {**headers, "connection": "close"}
    await send(_start(answer.status, {**headers, "content-length": str(length)}))
    match fault.kind:
        case "truncate":
            await send(_body(body[: len(body) // 2], more=True))
            await asyncio.sleep(0.01)
            raise BrokenOnPurposeError("truncated on request")
        case "slow_body":
            await _send_slowly(send, body, fault.seconds)
        case _:
            await send(_body(body))


async def _send_slowly(send: Send, body: bytes, seconds: float) -> None:
    size = max(1, -(-len(body) // SLOW_PIECES))
    for start in range(0, len(body), size):
        await send(_body(body[start : start + size], more=True))
        await asyncio.sleep(seconds / SLOW_PIECES)
    await send(_body(b""))


def reset_connection(scope: Scope) -> None:
    """Make the kernel send a TCP reset on this request's connection, whatever the server above it would do.

    ASGI hands out no socket, so the connection is looked up among the process's descriptors by its two addresses.
    """
    ends = [(host, int(port)) for host, port in (scope["client"], scope["server"])]
    for _, connection in own_sockets():
        if _ends(connection) == ends:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.shutdown(socket.SHUT_RD)


async def until_gone(receive: Receive) -> None:
    """Wait until the server has noticed: were the application to end before, it would still answer in its place."""
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            while (await receive())["type"] != "http.disconnect":
                pass


def _ends(connection: socket.socket) -> list[tuple[str, int]] | None:
    try:
        return [connection.getpeername()[:2], connection.getsockname()[:2]]
    except OSError:
        return None


def own_sockets() -> Iterator[tuple[int, socket.socket]]:
    """Every socket of this process: its descriptor, and a duplicate to look at for as long as it is the current one."""
    for descriptor in [int(entry.name) for entry in Path("/dev/fd").iterdir()]:
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                with socket.socket(fileno=os.dup(descriptor)) as duplicate:
                    yield descriptor, duplicate
        except OSError:  # closed meanwhile
            continue
