"""The edge: what happens to every request before and after its door. Plain ASGI, and one coroutine for all of it: each
layer that were a coroutine of its own would be gone through again whenever an answer's next piece arrives.

A request is given its id, measured, its caller found, and led to its door; whatever is raised on the way becomes an
answer, and every answer is counted and logged. What is known of a request stands in `scope["state"]`: `request_id`,
`status`, `route`, `caller`, `door` (the raw one, if it is one), `fields` (the headers by name, the last of each).
"""

import itertools
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime
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
    RemoteError,
    UriTooLong,
)
from adapter.web.answers import error_answer, wants_problem
from adapter.web.auth import Authenticator, Callers
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
    sizes = Sizes(body=max_body, query=max_query, headers=max_headers)
    edge = Edge(app, callers=Callers(tokens, own_origins), sizes=sizes, metrics=metrics, remote_ids=remote_ids)
    # Outside all else, so that nothing within sees anything but the request as it came from the world.
    return Forwarded(edge, trusted_hops) if trusted_hops else edge


class Edge:
    """Gives each request an id (the caller's, if it is a sane one), and each answer a log line and a count.

    The line holds the route's template, never the URL: paths and queries hold names, e-mails and tokens.

    Every error leaves in the contract's shape: our own, the router's, and whatever nobody thought of (its trace
    logged). Once an answer has begun there is no changing it: the error is raised on, and the server breaks the
    connection off, which is how the caller learns that the body is not complete.
    """

    def __init__(
        self, app: ASGIApp, *, callers: Callers, sizes: "Sizes", metrics: Metrics, remote_ids: RemoteIds
    ) -> None:
        self._app = app
        self._callers = callers
        self._sizes = sizes
        self._metrics = metrics
        self._remote_ids = remote_ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._otherwise(scope, receive, send)
            return
        begun = time.perf_counter()
        state = scope.setdefault("state", {})
        state["door"] = door_of(scope["raw_path"])
        state["fields"] = fields = dict(scope["headers"])
        state["request_id"] = request_id = _request_id(fields)
        scope["app"] = self  # the router then raises its 404 and 405 instead of answering them
        added = [(b"x-request-id", request_id.encode()), _SERVER]

        def noted(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                state["status"] = message["status"]
                message["headers"] = [*message.get("headers", ()), *added]
            return send(message)

        try:
            receive = self._sizes.checked(scope, receive)
            await self._callers.find(scope)
            await self._app(scope, receive, noted)
        except Exception as error:
            if not await self._answer(error, scope, receive, noted):
                raise
        finally:
            self._note(scope, state, time.perf_counter() - begun)

    async def _otherwise(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            await self._app(scope, receive, send)

    def _note(self, scope: Scope, state: Mapping[str, Any], seconds: float) -> None:
        status = state.get("status", _CLIENT_CLOSED)
        route = state.get("route") or getattr(scope.get("route"), "path", None) or "unmatched"
        method = scope["method"]
        self._metrics.request(route, method, status, seconds)
        caller = state.get("caller")
        logs.access(
            logs.Access(
                timestamp=datetime.now(UTC),
                method=method if len(method) <= 16 else method[:16],
                route=route,
                status=status,
                ms=round(seconds * 1000, 2),
                request_id=state["request_id"],
                token_id=caller.token_id if caller is not None else None,
            )
        )

    async def _answer(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer with the error, and whether that could be done."""
        shaped = _shaped(error)
        request_id = scope["state"]["request_id"]
        if shaped.status == 500 and not isinstance(shaped, RemoteError):
            # The message of an unforeseen error may hold anything; its type and trace are enough to find it.
            structlog.get_logger("adapter.web").error(
                "crash", request_id=request_id, exc_info=not isinstance(error, AdapterError)
            )
        if "status" in scope["state"]:
            return False
        extra = {}
        if scope["state"]["door"] == "root":
            extra = {"id": getattr(shaped, "remote_id", None) or self._remote_ids(shaped.status) or shaped.code}
        await error_answer(shaped, request_id, wants_problem(scope["headers"]), extra)(scope, receive, send)
        return True


def _request_id(fields: Mapping[bytes, bytes]) -> str:
    value = fields.get(b"x-request-id")
    if value is not None and _REQUEST_ID.fullmatch(value) and not logs.telling(given := str(value, "ascii")):
        return given
    return _PROCESS + f"{next(_numbers):012x}"


def _shaped(error: Exception) -> AdapterError:
    match error:
        case AdapterError():
            return error
        case HTTPException():
            kind = _BY_STATUS.get(error.status_code, BadRequest if error.status_code < 500 else AdapterError)
            return kind(headers=dict(error.headers or {}))
        case _:
            return AdapterError()


class Sizes:
    """Limits, in bytes: of the path and query (414), the headers (431) and the body (413; the raw doors stream, and are
    exempt).
    """

    def __init__(self, *, body: int, query: int, headers: int) -> None:
        self._body = body
        self._query = query
        self._headers = headers

    def checked(self, scope: Scope, receive: Receive) -> Receive:
        """What the body is to be received by; UriTooLong, HeadersTooLarge, or PayloadTooLarge as it is announced."""
        if len(scope["raw_path"]) > _MAX_PATH or len(scope["query_string"]) > self._query:
            raise UriTooLong
        headers = scope["headers"]
        if sum([len(name) + len(value) for name, value in headers]) > self._headers:
            raise HeadersTooLarge
        if scope["state"]["door"] is not None:
            return receive
        return self._counted(scope["state"]["fields"].get(b"content-length", b"0"), receive)

    def _counted(self, announced: bytes, receive: Receive) -> Receive:
        if not announced.isdigit() or int(announced) > self._body:
            raise PayloadTooLarge
        left = self._body

        async def counted() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise PayloadTooLarge
            return message

        return counted
