"""The edge: what happens to every request before and after its door. Plain ASGI, each layer with one job.

`Observed` (request id, access log, metrics) holds `Shaped` (errors in one shape) holds `Limited` (sizes) holds the
rest. What one layer knows and another needs stands in `scope["state"]`: `request_id`, `status`, `route`, `caller`.
"""

import itertools
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapter import logs
from adapter.errors import (
    AdapterError,
    BadRequest,
    HeadersTooLarge,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    UriTooLong,
)
from adapter.web.answers import error_answer, wants_problem
from adapter.web.auth import Authenticated, Authenticator
from adapter.web.doors import door_of
from adapter.web.forwarded import Forwarded
from adapter.web.metrics import Metrics

_REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{7,127}")
_CLIENT_CLOSED = 499
_SERVER = (b"server", b"adapter")
_MAX_PATH = 8 * 1024
_BY_STATUS: Mapping[int, type[AdapterError]] = {404: NotFound, 405: MethodNotAllowed, 413: PayloadTooLarge}

# Unique, not secret: asking the system for random bytes would cost each request more than its log line.
_PROCESS = secrets.token_hex(10)
_numbers = itertools.count(secrets.randbelow(1 << 32))

RemoteIds = Callable[[int], str | None]


def edged(
    app: ASGIApp,
    *,
    tokens: Authenticator,
    metrics: Metrics,
    remote_ids: RemoteIds,
    own_origins: Collection[str] = (),
    max_body: int = 10 * 1024 * 1024,
    max_query: int = 16 * 1024,
    max_headers: int = 32 * 1024,
    trusted_hops: int = 0,
) -> ASGIApp:
    """`app` (a router) inside all the layers. Sizes in bytes; `remote_ids(status)` is the provider's error id, which
    the root door's errors carry too. `trusted_hops` proxies in front are believed.
    """
    inner = Authenticated(Housed(app), tokens, own_origins)
    limited = Limited(inner, max_body=max_body, max_query=max_query, max_headers=max_headers)
    # Outside all else, so that nothing within sees anything but the request as it came from the world.
    return Forwarded(Observed(Shaped(limited, remote_ids), metrics), trusted_hops)


class Observed:
    """Gives each request an id (the caller's, if it is a sane one), and each answer a log line and a count.

    The line holds the route's template, never the URL: paths and queries hold names, e-mails and tokens.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        header = (b"x-request-id", request_id.encode())

        def noted(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                state["status"] = message["status"]
                message["headers"] = [*message.get("headers", ()), header, _SERVER]
            return send(message)

        begun = time.perf_counter()
        try:
            await self._app(scope, receive, noted)
        finally:
            self._note(scope, state, time.perf_counter() - begun)

    def _note(self, scope: Scope, state: Mapping[str, Any], seconds: float) -> None:
        status = state.get("status", _CLIENT_CLOSED)
        route = state.get("route") or getattr(scope.get("route"), "path", None) or "unmatched"
        method = scope["method"]
        self._metrics.request(route, method, status, seconds)
        caller = state.get("caller")
        logs.access(
            {
                "method": method if len(method) <= 16 else method[:16],
                "route": route,
                "status": status,
                "ms": round(seconds * 1000, 2),
                "request_id": state["request_id"],
                "token_id": caller.token_id if caller is not None else None,
            }
        )


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            given = str(value, "ascii")
            if not logs.telling(given):
                return given
    return f"{_PROCESS}{next(_numbers):012x}"


class Shaped:
    """Every error in the contract's shape: our own, the router's, and whatever nobody thought of (its trace logged).

    Once an answer has begun there is no changing it: the error is raised on, and the server breaks the connection off,
    which is how the caller learns that the body is not complete.
    """

    def __init__(self, app: ASGIApp, remote_ids: RemoteIds) -> None:
        self._app = app
        self._remote_ids = remote_ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            shaped = _shaped(error)
            if shaped.status == 500:
                # The message of an unforeseen error may hold anything; its type and trace are enough to find it.
                structlog.get_logger("adapter.web").error(
                    "crash", request_id=scope["state"]["request_id"], exc_info=not isinstance(error, AdapterError)
                )
            if "status" in scope["state"]:
                raise
            await self._answer(shaped, scope, receive, send)

    async def _answer(self, error: AdapterError, scope: Scope, receive: Receive, send: Send) -> None:
        extra = {}
        if door_of(scope["raw_path"]) == "root":
            extra = {"id": getattr(error, "remote_id", None) or self._remote_ids(error.status) or error.code}
        answer = error_answer(error, scope["state"]["request_id"], wants_problem(scope["headers"]), extra)
        await answer(scope, receive, send)


def _shaped(error: Exception) -> AdapterError:
    match error:
        case AdapterError():
            return error
        case HTTPException():
            kind = _BY_STATUS.get(error.status_code, BadRequest if error.status_code < 500 else AdapterError)
            return kind(headers=dict(error.headers or {}))
        case _:
            return AdapterError()


class Limited:
    """Sizes: of the path and query (414), the headers (431) and the body (413; the raw doors stream and are exempt)."""

    def __init__(self, app: ASGIApp, *, max_body: int, max_query: int, max_headers: int) -> None:
        self._app = app
        self._max_body = max_body
        self._max_query = max_query
        self._max_headers = max_headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if len(scope["raw_path"]) > _MAX_PATH or len(scope["query_string"]) > self._max_query:
            raise UriTooLong
        size = 0
        announced: bytes | None = None
        for name, value in scope["headers"]:
            size += len(name) + len(value)
            if name == b"content-length" and announced is None:
                announced = value
        if size > self._max_headers:
            raise HeadersTooLarge
        if door_of(scope["raw_path"]) is None:
            receive = self._counted(b"0" if announced is None else announced, receive)
        await self._app(scope, receive, send)

    def _counted(self, announced: bytes, receive: Receive) -> Receive:
        if not announced.isdigit() or int(announced) > self._max_body:
            raise PayloadTooLarge
        left = self._max_body

        async def counted() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise PayloadTooLarge
            return message

        return counted


class Housed:
    """Innermost: refuses what isn't HTTP, and lets the router raise its 404 and 405 instead of answering them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        scope["app"] = self
        await self._app(scope, receive, send)
