"""What a Heroku, or what stands before it, does instead of answering."""

import socket
import struct
from collections.abc import Mapping

from tests.faults.line import Asked, Trouble


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
    raw: socket.socket = asked.writer.get_extra_info("socket")
    raw.shutdown(socket.SHUT_WR)  # below TLS too, which knows no such thing
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


OK = "HTTP/1.1 200 OK\ncontent-type: application/json"
UNREACHABLE, NONSENSE, TIMEOUT = (502, "upstream_unreachable"), (502, "upstream_nonsense"), (504, "upstream_timeout")

TROUBLES: Mapping[str, tuple[Trouble, tuple[int, str]]] = {
    "resets": (resets, UNREACHABLE),
    "half_closes": (half_closes, UNREACHABLE),
    "hangs": (hangs, TIMEOUT),
    "body_shorter_than_its_length": (says(f"{OK}\ncontent-length: 100", b"[]"), NONSENSE),
    "length_that_is_no_number": (says(f"{OK}\ncontent-length: many", b"[]"), NONSENSE),
    "negative_length": (says(f"{OK}\ncontent-length: -5", b"[]"), NONSENSE),
    "two_lengths": (says(f"{OK}\ncontent-length: 2\ncontent-length: 3", b"[]x"), NONSENSE),
    "control_character": (says(f"{OK}\nx-name: a\x01b\ncontent-length: 2", b"[]"), NONSENSE),
    "megabyte_of_header": (says(f"{OK}\nx-name: {'a' * 1_000_000}\ncontent-length: 2", b"[]"), NONSENSE),
    "another_protocol": (says("SSH-2.0-OpenSSH_9.6"), NONSENSE),
}
"""What Heroku, or what stands before it, does instead of answering; and what every door makes of it."""

BROKEN_OFF: Mapping[str, Trouble] = {
    "in_its_body": gets_stuck,
    "between_its_chunks": says(f"{OK}\ntransfer-encoding: chunked", b"5\r\n[1,2]\r\n"),
    "before_its_first_chunk": says(f"{OK}\ntransfer-encoding: chunked", b"zz\r\n[]\r\n0\r\n\r\n"),
}
