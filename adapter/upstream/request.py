"""The head of a request, as it is sent: bytes in which nothing can be taken for another header, or another request."""

from collections.abc import AsyncIterable, Sequence
from typing import NamedTuple

from adapter.errors import BadRequest

RawHeaders = Sequence[tuple[bytes, bytes]]
Body = bytes | AsyncIterable[bytes] | None

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_MAX_DIGITS = 18


class Origin(NamedTuple):
    """Where requests are sent; `authority` is what the Host header says."""

    host: str
    port: int
    tls: bool
    authority: bytes


def head_of(method: str, target: str, origin: Origin, headers: RawHeaders, body: Body) -> bytes:
    """The request line and the headers, `host` and what tells the body's length added; BadRequest for what a server
    might read as something else than one request with this body.
    """
    try:
        first = b"%b %b HTTP/1.1" % (method.encode("ascii"), target.encode("ascii"))
    except UnicodeEncodeError:
        raise _no_request() from None
    lines = [first, b"host: " + origin.authority]
    lines += [b"%b: %b" % header for header in headers]
    head = b"\r\n".join(lines)
    ends = len(lines) - 1
    if head.count(b"\n") != ends or head.count(b"\r") != ends or b"\0" in head or first.count(b" ") != 2:
        raise _no_request()
    lower = head.lower()
    if lower.count(b"\nhost:") != 1:
        raise _no_request()
    if body is None and b"\ncontent-length:" not in lower and b"\ntransfer-encoding:" not in lower:
        return head + b"\r\n\r\n"
    return head + _framing(headers, body) + b"\r\n\r\n"


def _framing(headers: RawHeaders, body: Body) -> bytes:
    """What is added to the headers so that they tell the body's length."""
    length = announced(headers)
    if body is None and length == 0:
        return b""
    if isinstance(body, bytes) and length is None:
        return b"\r\ncontent-length: %d" % len(body)
    if body is None or isinstance(body, bytes):
        raise _no_request()
    return b"\r\ntransfer-encoding: chunked" if length is None else b""


def announced(headers: RawHeaders) -> int | None:
    """The body's length as the headers tell it, if they do; BadRequest where it could be read in two ways."""
    told = [(name.lower(), value) for name, value in headers if name.lower() in _FRAMING]
    if not told:
        return None
    name, value = told[0]
    if len(told) > 1 or name != b"content-length" or not value.isdigit() or len(value) > _MAX_DIGITS:
        raise _no_request()
    return int(value)


def _no_request() -> BadRequest:
    return BadRequest("A header leaves in doubt where it, or the request, would end; so it can't be sent on.")
