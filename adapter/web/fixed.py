"""Answers whose bytes are made once: the same for everybody until the process ends."""

from collections.abc import Mapping
from hashlib import sha256

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_CACHED = "public, max-age=60"


def fixed_route(
    path: str, body: bytes, media_type: str, headers: Mapping[str, str] | None = None, *, in_schema: bool = True
) -> Route:
    """`GET path` answers `body`, or 304 to whoever has it already."""
    etag = f'"{sha256(body).hexdigest()[:32]}"'
    shown = {"ETag": etag, "Cache-Control": _CACHED, "X-Content-Type-Options": "nosniff", **(headers or {})}

    async def answered(request: Request) -> Response:
        if _holds(request.headers.get("if-none-match", ""), etag):
            return Response(status_code=304, headers=shown)
        return Response(body, headers=shown, media_type=media_type)

    return Route(path, answered, methods=["GET"], include_in_schema=in_schema)


def _holds(given: str, etag: str) -> bool:
    """Whether `If-None-Match` names this one; compared weakly, as RFC 9110 has it."""
    return any(part.strip().removeprefix("W/") in {etag, "*"} for part in given.split(","))
