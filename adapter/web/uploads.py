"""Request bodies for the raw doors: whole while they are small, so that they can be sent twice; streamed beyond."""

from collections.abc import AsyncIterator, Mapping

from starlette.types import Receive, Scope

from adapter.web.presence import Gone

_WHOLE = 1024 * 1024
"""Bytes. Larger bodies, and those of unknown length, are handed on as they arrive."""

Upload = bytes | AsyncIterator[bytes] | None


def is_upload(fields: Mapping[bytes, bytes]) -> bool:
    """Whether the request may have a body."""
    return b"content-length" in fields or b"transfer-encoding" in fields


async def upload_of(scope: Scope, receive: Receive) -> Upload:
    """None where the request has no body; Gone where the caller hangs up before its end."""
    length = 0
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return _parts(receive)
        if name == b"content-length":
            length = int(value)
    if not length:
        return None
    return b"".join([part async for part in _parts(receive)]) if length <= _WHOLE else _parts(receive)


async def _parts(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        if message.get("body"):
            yield message["body"]
        more = message.get("more_body", False)
