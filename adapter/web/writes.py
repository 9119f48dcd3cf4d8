"""The unified door's writes: `POST|PATCH|DELETE /unified/user-directory/…`, each made an Ask and handed to `Writes`.

A write that was understood is answered with what came of it: 200 only where every step was done, 202 where it goes on
without the caller, and an error that says how far it came. `dry_run=true` answers the plan, and changes nothing.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

from adapter.directory.query import PREFIX as NO_EFFECT
from adapter.directory.writing.model import Ask, Operation, OperationKind, PlaceRef, Plan
from adapter.errors import AdapterError, InvalidParameter, MethodNotAllowed, UnknownParameter
from adapter.mapping.model import Model
from adapter.models import Caller
from adapter.models import Scope as Right
from adapter.web import write_bodies as bodies
from adapter.web.answers import json_answer, rate_headers, rated
from adapter.web.asks import PLACES, Asks, Subject
from adapter.web.auth import ACCOUNT_PARAMETER, account_of, caller_of, require_scope
from adapter.web.bodies import body_of
from adapter.web.query import parse_query
from adapter.web.unified import PREFIX
from adapter.web.write_answers import accepted, failure, planned, shown, warned

WAIT = 20.0
"""Seconds that a write is waited for before it goes on without its caller."""
IF_MATCH, IDEMPOTENCY_KEY = "If-Match", "Idempotency-Key"

_ETAG = re.compile(r'"([!#-~]{1,128})"')
_KEY = re.compile(r"[!-~]{1,255}")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}

Maker = Callable[[Asks], Callable[[Any, Subject], Ask]]
Handler = Callable[[Request], Awaitable[Response]]


class Outcome(Protocol):
    @property
    def operation(self) -> Operation: ...
    @property
    def finished(self) -> bool: ...


class Writes(Protocol):
    """What this door needs of write-back."""

    async def plan(self, account_id: str, client: Any, caller: Caller, ask: Ask) -> Plan: ...

    async def write(
        self,
        account_id: str,
        client: Any,
        caller: Caller,
        ask: Ask,
        *,
        if_match: str | None = None,
        key: str | None = None,
        address: str = "",
        wait: float = WAIT,
    ) -> Outcome: ...


class Accounts(Protocol):
    """What this door needs of the accounts."""

    async def open(self, account_id: str, caller: Caller | None = None) -> Any: ...


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of write: where it is asked for, what its body is, and how it is answered."""

    kind: OperationKind
    method: str
    path: str
    """Below the unified prefix."""
    body: type[msgspec.Struct]
    ask: Maker
    scoped: bool = False
    """Whether the query may confine it to one place."""

    @property
    def resource(self) -> str:
        return self.kind.partition(".")[0]

    @property
    def is_custom(self) -> bool:
        """Whether it is a method of its own, and no create, update or delete."""
        return self.kind.partition(".")[2] not in _USUAL


_USUAL = frozenset({"create", "update", "delete"})
_METHODS = {"create": "POST", "update": "PATCH", "delete": "DELETE"}


def _usual(kind: OperationKind, body: type[msgspec.Struct], ask: Maker, *, scoped: bool = False) -> Sequence[Write]:
    """A create, or an update or delete, whose id may stand in the path or in the body."""
    resource, _, verb = kind.partition(".")
    paths = [f"/{resource}"] if verb == "create" else [f"/{resource}/{{id}}", f"/{resource}"]
    return [Write(kind=kind, method=_METHODS[verb], path=path, body=body, ask=ask, scoped=scoped) for path in paths]


def _custom(kind: OperationKind, body: type[msgspec.Struct], ask: Maker) -> Write:
    return Write(kind=kind, method="POST", path="/" + kind.replace(".", "/"), body=body, ask=ask)


WRITES: tuple[Write, ...] = (
    *_usual("users.create", bodies.UserCreate, lambda asks: asks.create_user),
    *_usual("users.update", bodies.UserUpdate, lambda asks: asks.update_user),
    *_usual("users.delete", bodies.UserDelete, lambda asks: asks.delete_user, scoped=True),
    _custom("users.offboard", bodies.Offboard, lambda asks: asks.offboard),
    *_usual("role_assignments.create", bodies.Grant, lambda asks: asks.create_grant),
    *_usual("role_assignments.update", bodies.Regrant, lambda asks: asks.update_grant),
    *_usual("role_assignments.delete", bodies.Gone, lambda asks: asks.delete_grant),
    *_usual("groups.create", bodies.GroupCreate, lambda asks: asks.create_group),
    *_usual("groups.update", bodies.GroupUpdate, lambda asks: asks.update_group),
    *_usual("groups.delete", bodies.Gone, lambda asks: asks.delete_group),
    _custom("groups.add-user", bodies.Membership, lambda asks: asks.add_to_group),
    _custom("groups.remove-user", bodies.Membership, lambda asks: asks.remove_from_group),
)


def routes(*, writes: Writes, accounts: Accounts, model: Model) -> list[BaseRoute]:
    """These belong before the routes that read."""
    door = _Door(writes, accounts, Asks(model))
    by_path: dict[str, list[Write]] = {}
    for write in sorted(WRITES, key=lambda write: not write.is_custom):
        by_path.setdefault(write.path, []).append(write)
    return [_route(door, path, found) for path, found in by_path.items()]


def _route(door: "_Door", path: str, found: Sequence[Write]) -> BaseRoute:
    handlers = {write.method: door.handler(write) for write in found}

    async def endpoint(request: Request) -> Response:
        return await handlers[request.method](request)

    own = found[0].is_custom
    return _Writing(PREFIX + path.replace("{id}", "{id:path}"), endpoint, methods=list(handlers), own=own)


class _Writing(Route):
    """Stands before the route that reads at the same path, which takes what this one doesn't.

    An `own` path is nobody else's: `users/offboard` is no record's.
    """

    def __init__(self, path: str, endpoint: Handler, *, methods: list[str], own: bool) -> None:
        super().__init__(path, endpoint, methods=methods)
        self._own = own

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        return (Match.FULL if self._own and match is Match.PARTIAL else match), child

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        taken = self.methods or set()
        if scope["method"] not in taken:
            allowed = taken if self._own else taken | {"GET", "HEAD"}
            raise MethodNotAllowed(headers={"Allow": ", ".join(sorted(allowed))})
        await super().handle(scope, receive, send)


class _Said(msgspec.Struct, frozen=True, kw_only=True):
    """A write as it was asked for, beside its Ask."""

    ask: Ask
    id: str | None
    dry_run: bool
    if_match: str | None
    key: str | None
    address: str
    """Method and path: a key holds for these alone."""
    ignored: tuple[str, ...]


class _Door:
    def __init__(self, writes: Writes, accounts: Accounts, asks: Asks) -> None:
        self._writes = writes
        self._accounts = accounts
        self._asks = asks

    def handler(self, write: Write) -> Handler:
        make = write.ask(self._asks)

        async def handle(request: Request) -> Response:
            caller = caller_of(request)
            require_scope(caller, Right.DIRECTORY_WRITE)
            account_id = account_of(request, caller)
            said = await _said(request, write, make)
            client = await self._accounts.open(account_id, caller)
            with rated(client.budget):
                return await self._answer(write, said, account_id, client, caller)

        return handle

    async def _answer(self, write: Write, said: _Said, account_id: str, client: Any, caller: Caller) -> Response:
        if said.dry_run:
            plan = await self._writes.plan(account_id, client, caller, said.ask)
            headers = rate_headers(client.budget) | warned(plan.obstacles, said.ignored)
            return planned(plan, headers, wrapped=write.is_custom)
        outcome = await self._writes.write(
            account_id,
            client,
            caller,
            said.ask,
            if_match=said.if_match,
            key=said.key,
            address=said.address,
            wait=WAIT,
        )
        operation = outcome.operation
        headers = rate_headers(client.budget) | warned(operation.plan.obstacles, said.ignored)
        if not outcome.finished:
            return accepted(operation, headers)
        if operation.status != "succeeded":
            raise failure(operation)
        return json_answer(_result(write, said, operation), headers=headers)


def _result(write: Write, said: _Said, operation: Operation) -> Any:
    if write.is_custom:
        return {"result": shown(operation.result)}
    return {"id": said.id} if write.method == "DELETE" else shown(operation.result)


# --- what was said


async def _said(request: Request, write: Write, make: Callable[[Any, Subject], Ask]) -> _Said:
    params = parse_query(request.scope["query_string"])
    ignored = _unknown(params, write)
    body = await body_of(request, write.body, may_be_absent=write.method == "DELETE")
    subject = Subject(id=request.path_params.get("id"), scope=_scope(params) if write.scoped else None)
    dry_run = _flag(params, "dry_run") or bool(getattr(body, "dry_run", False))
    if_match, key = _if_match(request), _key(request)
    unused = (IF_MATCH, IDEMPOTENCY_KEY) if dry_run else ()
    return _Said(
        ask=make(body, subject),
        id=subject.id or getattr(body, "id", None),
        dry_run=dry_run,
        if_match=if_match,
        key=key,
        address=f"{write.method} {request.scope['path']}",
        ignored=(*ignored, *(name for name in unused if name in request.headers), *_fields_without_effect(body)),
    )


def parameters(write: Write) -> tuple[str, ...]:
    """The query parameters that a write takes."""
    scope = [name for word in PLACES for name in (f"{word}_id", word)] if write.scoped else []
    return (ACCOUNT_PARAMETER, "dry_run", *scope)


def _unknown(params: Mapping[str, Any], write: Write) -> list[str]:
    """Parameters of the compatible API that have no effect here; UnknownParameter for all others that are not known."""
    known = parameters(write)
    for name in params:
        if name not in known and not NO_EFFECT.fullmatch(name):
            raise UnknownParameter(
                f"`{name}` is no parameter here; known are: {', '.join(known)}.",
                details=[{"where": "query", "name": name, "expected": list(known)}],
            )
    return sorted(name for name in params if name not in known)


def _fields_without_effect(body: Any) -> list[str]:
    """A person's name and the like, which clients send along: whoever is invited tells the provider themselves."""
    if not isinstance(body, bodies.UserCreate):
        return []
    return [name for name in bodies.WITHOUT_EFFECT if getattr(body, name) is not msgspec.UNSET]


def _scope(params: Mapping[str, Any]) -> PlaceRef | None:
    """The place that the query confines a removal to. Empty or repeated it is refused: it never means everything."""
    given = [(word, name) for word in PLACES for name in (f"{word}_id", word) if name in params]
    for word, name in given:
        values = params[name]
        if len(given) > 1 or not isinstance(values, list) or len(values) != 1:
            raise _refused(name, "is given more than once", "one place")
        if not bodies.is_id(values[0]):
            raise _refused(name, "is no id" if values[0] else "is empty", "an id, or not to be there at all")
        return PlaceRef(kind=word, id=values[0])
    return None


def _flag(params: Mapping[str, Any], name: str) -> bool:
    """Whether it is asked for; whatever is not clearly yes or no is refused, for a plan is no write."""
    values = params.get(name, ["false"])
    found = str(values[0]).lower() if isinstance(values, list) and len(values) == 1 else ""
    if found not in _FLAGS:
        raise _refused(name, "is neither yes nor no", "true or false")
    return _FLAGS[found]


def _if_match(request: Request) -> str | None:
    """The plan's ETag, without its quotes."""
    text = _header(request, IF_MATCH)
    match = _ETAG.fullmatch(text) if text is not None else None
    if text is not None and match is None:
        raise _refused(IF_MATCH, "is no plan's ETag", "the `ETag` of a `dry_run`", where="header")
    return match[1] if match is not None else None


def _key(request: Request) -> str | None:
    text = _header(request, IDEMPOTENCY_KEY)
    if text is not None and not _KEY.fullmatch(text):
        raise _refused(IDEMPOTENCY_KEY, "can't be used", "1 to 255 visible ASCII characters", where="header")
    return text


def _header(request: Request, name: str) -> str | None:
    found = request.headers.getlist(name)
    if len(found) > 1:
        raise _refused(name, "is given more than once", "one", where="header")
    return found[0] if found else None


def _refused(name: str, what: str, expected: str, *, where: str = "query") -> AdapterError:
    return InvalidParameter(
        f"`{name}` {what}; expected: {expected}.",
        details=[{"where": where, "name": name, "what": what, "expected": expected}],
    )
