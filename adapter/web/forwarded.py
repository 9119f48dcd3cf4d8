"""What proxies in front say of a request: whether it came over TLS, and from whom. Believed of as many as are ours."""

from collections.abc import Iterable
from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

_PROTO, _FOR = b"x-forwarded-proto", b"x-forwarded-for"


class Forwarded:
    """Plain ASGI: sets `scope["scheme"]` and `scope["client"]` as the outermost of `hops` trusted proxies saw them.

    Each proxy appends what it saw, so the value that `hops` proxies leave is the one `hops` from the end: what stands
    before it was said by whoever called, and means nothing. Without trusted proxies the headers are not looked at.
    """

    def __init__(self, app: ASGIApp, hops: int = 0) -> None:
        self._app = app
        self._hops = hops

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._hops and scope["type"] == "http":
            scope = {**scope, **self._seen(scope["headers"])}
        await self._app(scope, receive, send)

    def _seen(self, headers: Iterable[tuple[bytes, bytes]]) -> dict[str, object]:
        headers = list(headers)
        scheme = self._said(headers, _PROTO).lower()
        client = self._said(headers, _FOR)
        return {
            **({"scheme": scheme} if scheme in {"http", "https"} else {}),
            **({"client": (client, 0)} if _is_address(client) else {}),
        }

    def _said(self, headers: list[tuple[bytes, bytes]], wanted: bytes) -> str:
        """What the outermost trusted proxy said; nothing where fewer than that were passed.

        A proxy that sets the header instead of appending to it (as many do with the scheme) leaves one value, which
        is the outermost's where there is one proxy, and is taken for it where there are more.
        """
        joined = b",".join(value for name, value in headers if name == wanted)
        values = [value.strip() for value in joined.decode("latin-1").split(",") if value.strip()]
        if len(values) >= self._hops:
            return values[-self._hops]
        return values[-1] if len(values) == 1 and wanted == _PROTO else ""


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
