"""Requests written byte by byte, and the answers taken apart again: no client library tidies anything up."""

import asyncio
import re

import msgspec


class Heard(msgspec.Struct):
    """An answer off the wire; `complete` is False where the connection broke off before its end."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    complete: bool = True

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    def json(self) -> dict[str, object]:
        decoded: dict[str, object] = msgspec.json.decode(self.body)
        return decoded


async def say(port: int, request: bytes, *, patience: float = 5.0) -> Heard | None:
    """Send these bytes; None where the server hangs up without a word."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(patience):
            writer.write(request)
            return await hear(reader, head=request.startswith(b"HEAD"))
    except ConnectionError:
        return None
    finally:
        writer.close()


async def hear(reader: asyncio.StreamReader, *, head: bool = False) -> Heard | None:
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    status = int(first.split(" ", 2)[1])
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    heard = Heard(status, headers, b"")
    if head or status in {204, 304}:
        return heard
    try:
        if heard.header("transfer-encoding") == "chunked":
            while size := int((await reader.readline()).strip() or b"x", 16):
                heard.body += await reader.readexactly(size + 2)
                heard.body = heard.body[:-2]
            await reader.readexactly(2)
        else:
            heard.body = await reader.readexactly(int(heard.header("content-length") or 0))
    except (asyncio.IncompleteReadError, ValueError) as error:
        heard.body += getattr(error, "partial", b"")
        heard.complete = False
    return heard


def request(
    target: str | bytes, *headers: tuple[str, str], method: str = "GET", token: str | None = None, body: bytes = b""
) -> bytes:
    """A request's bytes; `target` goes into the first line as it is."""
    raw = target.encode("latin-1") if isinstance(target, str) else target
    lines = [method.encode() + b" " + raw + b" HTTP/1.1", b"Host: adapter.example"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}".encode())
    lines += [f"{name}: {value}".encode("latin-1") for name, value in headers]
    if body and not any(re.match("content-length|transfer-encoding", name, re.IGNORECASE) for name, _ in headers):
        lines.append(f"Content-Length: {len(body)}".encode())
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
