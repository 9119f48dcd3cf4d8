"""The raw doors: the provider's own API through an integrated account. `/custom` and the root hand bytes on as they
are, `/proxy` puts lists into the envelope. Plain ASGI throughout: nothing here needs a request object.

What is judged is what is sent: the path comes from the wire (`raw_path`), is refused unless it is plain, looked up in
the provider's access table as it stands, and sent as it stands.
"""

import re
import zlib
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Protocol

import msgspec
import structlog
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from adapter.errors import AdapterError, InvalidTarget, MethodNotAllowed, NeedsReauth, NotFound, UpstreamNonsense
from adapter.models import Caller
from adapter.models import Scope as Right
from adapter.upstream.access import AccessTable
from adapter.upstream.client import BoundClient
from adapter.upstream.paths import checked_target
from adapter.upstream.provider import Provider
from adapter.upstream.reply import StreamedReply
from adapter.web.auth import ACCOUNT_PARAMETER, caller_of, chosen_account, require_scope
from adapter.web.doors import Door, behind, door_of
from adapter.web.envelope import CursorSealer, Listing, length_of_list, may_list
from adapter.web.passing import Outbound, Taken, inbound, take_out
from adapter.web.presence import Gone, Presences
from adapter.web.uploads import Upload, is_upload, upload_of

_METHOD = re.compile(r"[A-Z]{1,20}")
_REFUSED_METHODS = frozenset({"CONNECT", "TRACE"})
_READING = frozenset({"GET", "HEAD"})
_BODILESS = frozenset({204, 304})
_OURS = frozenset({ACCOUNT_PARAMETER})
_OURS_OF_LISTS = frozenset({ACCOUNT_PARAMETER, "limit", "next_cursor"})
_ROUTES: dict[Door, str] = {"custom": "/custom/{path}", "proxy": "/proxy/{path}", "root": "/{path}"}
_WHOLE = 64 * 1024
"""Bytes: answers up to this length are read before they are begun, so that one that breaks off is a 502."""
_MAX_EMPTY_PAGES = 50
_GZIP = 16 + zlib.MAX_WBITS

_audit = structlog.get_logger("adapter.audit")
_log = structlog.get_logger("adapter.web")

Answered = Callable[[], Awaitable[bytes]]
OnWrite = Callable[[str, str, str, Answered], Awaitable[object]]


class Opener(Protocol):
    """Opens an integrated account for a caller."""

    async def open(self, account_id: str, caller: Caller | None = None) -> BoundClient: ...


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What a first line asks for: the target as it will be sent, our own parameters taken out, the scope it needs."""

    method: str
    path: str
    target: str
    taken: Taken
    accounts: tuple[str, ...]
    needs: Right


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request that was admitted: who asks what of which account."""

    caller: Caller
    account_id: str
    client: BoundClient
    judged: Judged
    method: str
    request_id: str


class RawDoors:
    """`routes` belong before all others; `root` behind them all, as the router's default."""

    def __init__(self, *, accounts: Opener, provider: Provider, cursors: CursorSealer, on_write: OnWrite) -> None:
        """`on_write(account_id, method, path, answer)` is awaited after each write that succeeded, before it is
        answered; `answer()` is what the provider said, for whoever has to know.
        """
        self._accounts = accounts
        self._provider = provider
        self._table: AccessTable = provider.access_table()
        self._outbound = Outbound(provider)
        self._cursors = cursors
        self._on_write = on_write
        self._presences = Presences()
        self._judged = lru_cache(maxsize=1024)(self._judge)
        self.routes: list[BaseRoute] = [_DoorRoute(b"/custom/", self.custom), _DoorRoute(b"/proxy/", self.proxy)]

    def ahead_of(self, app: ASGIApp) -> "Ahead":
        """The doors with a prefix of their own, before an `app` that would take its time to find them."""
        return Ahead(self, app)

    def custom(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """`ANY /custom/{path}`: status and body byte for byte."""
        return self._pass("custom", scope, receive, send)

    async def root(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`ANY /{path}` with an account token: the same, at the origin's root; what is nobody's path is 404."""
        raw_path: bytes = scope["raw_path"]
        if not raw_path.startswith(b"/") or raw_path.startswith(b"//") or b"%" in raw_path.split(b"/", 2)[1]:
            raise InvalidTarget
        if door_of(raw_path) != "root":
            raise NotFound
        if caller_of(scope).kind != "account":
            raise NotFound("There is nothing at this address; with an API token, the provider's paths are at /custom.")
        await self._pass("root", scope, receive, send)

    async def proxy(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`ANY /proxy/{path}`: a list in the envelope, anything else as it is."""
        call = await self._admitted("proxy", scope)
        listing = Listing(
            self._provider.paging,
            self._cursors,
            account_id=call.account_id,
            method=call.method,
            target=call.judged.target,
        )
        listing.read(call.judged.taken)
        try:
            body = await upload_of(scope, receive)
            headers = self._list_headers(scope, body)
            with self._present(receive, body):
                await self._turn_pages(call, listing, headers, body, send)
        except Gone:
            return
        except AdapterError as error:
            raise _with_rates(error, call.client) from None

    async def _pass(self, door: Door, scope: Scope, receive: Receive, send: Send) -> None:
        call = await self._admitted(door, scope)
        try:
            fields = scope["state"]["fields"]
            body = await upload_of(scope, receive) if is_upload(fields) else None
            headers = self._outbound.headers(scope["headers"], fields, keep_length=not isinstance(body, bytes))
            with self._present(receive, body):
                async with call.client.stream(call.method, call.judged.target, headers, body) as reply:
                    if reply.status == 401 or call.method not in _READING:
                        await self._settle(call, reply)
                    await self._hand_on(call, reply, send)
        except Gone:
            return
        except AdapterError as error:
            raise _with_rates(error, call.client) from None

    async def _admitted(self, door: Door, scope: Scope) -> Call:
        """Everything that may refuse, before anything is sent."""
        state = scope["state"]
        state["route"] = _ROUTES[door]
        caller = caller_of(scope)
        judged = self._judged(door, scope["method"], scope["raw_path"], scope["query_string"])
        account_id = chosen_account(judged.accounts, caller)
        require_scope(caller, judged.needs)
        return Call(
            caller=caller,
            account_id=account_id,
            client=await self._accounts.open(account_id, caller),
            judged=judged,
            method=judged.method,
            request_id=state["request_id"],
        )

    def _judge(self, door: Door, method: str, raw_path: bytes, raw_query: bytes) -> Judged:
        """A pure function of what stands in the first line: its answers are kept."""
        if not _METHOD.fullmatch(method) or method in _REFUSED_METHODS:
            raise MethodNotAllowed("The provider takes no such method.", headers={"allow": "GET, POST, PATCH, DELETE"})
        query, taken = take_out(raw_query, _OURS_OF_LISTS if door == "proxy" else _OURS)
        target = checked_target(behind(raw_path, door), query)
        path = target.partition("?")[0]
        return Judged(
            method=method,
            path=path,
            target=target,
            taken=taken,
            accounts=tuple(taken.get(ACCOUNT_PARAMETER, ())),
            needs=self._table.needed_scope(method, path),
        )

    def _present(self, receive: Receive, body: Upload) -> AbstractContextManager[object]:
        """The watch over a caller who has said all they have to say; one who still sends is heard by that."""
        return self._presences.of(receive) if body is None or isinstance(body, bytes) else nullcontext()

    async def _settle(self, call: Call, reply: StreamedReply) -> None:
        """What an answer means for us, before it is handed on."""
        if reply.status == 401:
            raise NeedsReauth
        if call.method not in _READING and 200 <= reply.status < 300:
            await self._written(call, reply)

    async def _written(self, call: Call, reply: StreamedReply) -> None:
        path = call.judged.path
        # Where the path itself is a secret (an invitation's token), the audit trail holds the template only.
        shown = self._table.template(call.method, path) if call.judged.needs is Right.RAW_SECRETS else path
        _audit.info(
            "raw_write",
            account_id=call.account_id,
            token_id=call.caller.token_id,
            method=call.method,
            path=shown,
            status=reply.status,
            request_id=call.request_id,
        )
        try:
            await self._on_write(call.account_id, call.method, path, lambda: _said(reply))
        except Exception:  # noqa: BLE001  # the write is done: nothing after it may make it look undone
            _log.exception("the directory could not be told of a write", request_id=call.request_id)

    async def _hand_on(self, call: Call, reply: StreamedReply, send: Send) -> None:
        headers = self._answer_headers(call, reply)
        if call.method == "HEAD" or reply.status in _BODILESS:
            await _send_whole(send, reply.status, headers, b"")
            return
        if reply.over or _is_short(reply):
            await _send_whole(send, reply.status, headers, await reply.body())
            return
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        try:
            async for chunk in reply.chunks():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except AdapterError:
            # The head alone would let the server put an answer of its own in its place: so the body begins, and
            # breaks off.
            await send({"type": "http.response.body", "body": b"", "more_body": True})
            raise
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _answer_headers(
        self, call: Call, reply: StreamedReply, without: frozenset[bytes] = frozenset()
    ) -> list[tuple[bytes, bytes]]:
        headers = inbound(reply.headers, without | {b"retry-after"} if reply.status == 429 else without)
        if reply.status == 429:
            wait = self._provider.errors.wait(reply.fields)
            headers.append((b"retry-after", str(wait).encode()))
        headers += call.client.budget.raw_headers()
        return headers

    def _list_headers(self, scope: Scope, body: Upload) -> list[tuple[bytes, bytes]]:
        """As for the other doors, but in the provider's own format and uncompressed: the body is to be read here."""
        given = [
            (name, value)
            for name, value in scope["headers"]
            if name != b"accept-encoding" and (name, value) not in _ANY_FORMAT
        ]
        return self._outbound.headers(given, dict(given), keep_length=not isinstance(body, bytes))

    async def _turn_pages(
        self, call: Call, listing: Listing, headers: list[tuple[bytes, bytes]], body: Upload, send: Send
    ) -> None:
        """One page, or the first of several that isn't empty."""
        given = next((str(value, "ascii") for name, value in headers if name == b"range"), None)
        plain = [pair for pair in headers if pair[0] != b"range"]
        page = listing.page_headers(given)
        for _ in range(_MAX_EMPTY_PAGES):
            asked = [*plain, *((name.encode(), value.encode()) for name, value in page.items())]
            async with call.client.stream(call.method, call.judged.target, asked, body) as reply:
                await self._settle(call, reply)
                if reply.status == 416 and page and given is None and not listing.continued and body is None:
                    page = {}  # a list that can't be ordered by the usual field comes as it pleases
                    continue
                if call.method == "HEAD" or not may_list(reply):
                    await self._hand_on(call, reply, send)
                    return
                content = await reply.body()
            count = length_of_list(content)
            if count == 0 and call.method in _READING and listing.turn(reply):
                page = listing.page_headers(None)
                continue
            await self._send_page(call, listing, reply, content, count, send)
            return
        raise UpstreamNonsense("The provider's list goes on and on without a record.")

    async def _send_page(
        self, call: Call, listing: Listing, reply: StreamedReply, content: bytes, count: int | None, send: Send
    ) -> None:
        if count is None:
            await _send_whole(send, reply.status, self._answer_headers(call, reply), content)
            return
        enveloped = listing.enveloped(reply, content, count)
        headers = self._answer_headers(call, reply, listing.spent)
        headers.append((b"content-length", str(len(enveloped)).encode()))
        await _send_whole(send, 200 if reply.status == 206 else reply.status, headers, enveloped)


_ANY_FORMAT = frozenset({(b"accept", b"*/*"), (b"accept", b"application/json")})
"""What clients send by themselves; the provider refuses it, and `/proxy` means its own format then."""


class Ahead:
    """Plain ASGI, and no coroutine: a request for a raw door is at it at once."""

    def __init__(self, doors: RawDoors, app: ASGIApp) -> None:
        self._app = app
        self._custom = doors.custom
        self._proxy = doors.proxy

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        door = scope["state"]["door"] if scope["type"] == "http" else None
        if door == "custom":
            return self._custom(scope, receive, send)
        if door == "proxy":
            return self._proxy(scope, receive, send)
        return self._app(scope, receive, send)


class _DoorRoute(BaseRoute):
    """Matches by the path as it came over the wire."""

    def __init__(self, prefix: bytes, app: ASGIApp) -> None:
        self._prefix = prefix
        self._app = app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        fits = scope["type"] == "http" and scope["raw_path"].startswith(self._prefix)
        return (Match.FULL if fits else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def _with_rates(error: AdapterError, client: BoundClient) -> AdapterError:
    error.headers = {**dict(client.budget.headers()), **error.headers}
    return error


def _is_short(reply: StreamedReply) -> bool:
    length = reply.fields.get("content-length")
    return length is not None and len(length) <= 5 and int(length) <= _WHOLE


async def _said(reply: StreamedReply) -> bytes:
    """A short answer, unpacked; nothing of one that is long, or packed in a way that is not known."""
    length, packed = reply.fields.get("content-length", ""), reply.fields.get("content-encoding")
    if (length.isdigit() and int(length) > _WHOLE) or packed not in {None, "identity", "gzip"}:
        return b""
    body = await reply.body()
    try:
        return zlib.decompressobj(_GZIP).decompress(body, _WHOLE) if packed == "gzip" else body
    except zlib.error:
        return b""


async def _send_whole(send: Send, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
