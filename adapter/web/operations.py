"""`/operations…`: every write that was ever asked for, to look at, to go on with, and to give up."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, get_args

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from adapter.directory.query import DEFAULT_LIMIT, MAX_LIMIT
from adapter.directory.writing.model import UNFINISHED, Operation, OperationStatus
from adapter.errors import InvalidCursor, InvalidParameter, OperationNotFound, UnknownParameter
from adapter.models import Caller, Scope
from adapter.web.answers import json_answer
from adapter.web.auth import ACCOUNT_PARAMETER, caller_of, chosen_account, require_scope
from adapter.web.query import parse_query
from adapter.web.write_answers import OPERATIONS, accepted, shown, summary

CALLS = (
    ("GET", OPERATIONS),
    ("GET", f"{OPERATIONS}/{{id}}"),
    ("POST", f"{OPERATIONS}/{{id}}/resume"),
    ("POST", f"{OPERATIONS}/{{id}}/cancel"),
)
PARAMETERS = (ACCOUNT_PARAMETER, "status", "limit", "next_cursor")
FOR_ONE = (ACCOUNT_PARAMETER,)
STATUSES: tuple[OperationStatus, ...] = get_args(OperationStatus)


class Writes(Protocol):
    """What this door needs of write-back."""

    async def operations(
        self, caller: Caller, *, account_id: str | None = None, status: Any = None, after: str = "", limit: int = 100
    ) -> Sequence[Operation]: ...
    async def operation(self, caller: Caller, operation_id: str) -> Operation: ...
    async def resume(self, caller: Caller, operation_id: str) -> Operation: ...
    async def cancel(self, caller: Caller, operation_id: str) -> Operation: ...


class Cursors(Protocol):
    def seal(self, bound_to: str, payload: Any) -> str: ...
    def open(self, bound_to: str, cursor: str) -> Any: ...


def routes(*, writes: Writes, cursors: Cursors) -> list[BaseRoute]:
    door = _Door(writes, cursors)
    handlers = (door.list, door.get, door.resume, door.cancel)
    return [Route(path, handler, methods=[method]) for (method, path), handler in zip(CALLS, handlers, strict=True)]


class _Door:
    def __init__(self, writes: Writes, cursors: Cursors) -> None:
        self._writes = writes
        self._cursors = cursors

    async def list(self, request: Request) -> Response:
        caller, params = _asked(request, PARAMETERS)
        account_id, status = _account(params, caller), _status(params.get("status"))
        limit = _limit(params.get("limit"))
        bound_to = "\0".join((OPERATIONS, caller.tenant_id or "", account_id or "", status or ""))
        found = await self._writes.operations(
            caller, account_id=account_id, status=status, after=self._after(bound_to, params), limit=limit + 1
        )
        page = found[:limit]
        onward = self._cursors.seal(bound_to, page[-1].id) if len(found) > limit else None
        result = [summary(operation) for operation in page]
        return json_answer({"result": result, "next_cursor": onward, "prev_cursor": None, "result_count": len(result)})

    async def get(self, request: Request) -> Response:
        return json_answer(shown((await self._found(request))[1]))

    async def resume(self, request: Request) -> Response:
        caller, found = await self._found(request)
        operation = await self._writes.resume(caller, found.id)
        return accepted(operation, {}) if operation.status in UNFINISHED else json_answer(shown(operation))

    async def cancel(self, request: Request) -> Response:
        caller, found = await self._found(request)
        return json_answer(shown(await self._writes.cancel(caller, found.id)))

    async def _found(self, request: Request) -> tuple[Caller, Operation]:
        """Who asks for which operation; one of another account than the one named is as good as none."""
        caller, params = _asked(request, FOR_ONE)
        account_id = _account(params, caller)
        operation = await self._writes.operation(caller, request.path_params["id"])
        if account_id is not None and operation.account_id != account_id:
            raise OperationNotFound
        return caller, operation

    def _after(self, bound_to: str, params: Mapping[str, str]) -> str:
        cursor = params.get("next_cursor")
        place = self._cursors.open(bound_to, cursor) if cursor else ""
        if not isinstance(place, str):
            raise InvalidCursor
        return place


def _asked(request: Request, known: Sequence[str]) -> tuple[Caller, dict[str, str]]:
    """Who asks, and the query, each parameter at most once. Whoever may write may see what became of it."""
    caller = caller_of(request)
    require_scope(caller, Scope.DIRECTORY_WRITE)
    given = parse_query(request.scope["query_string"])
    for name, values in given.items():
        if name not in known:
            raise UnknownParameter(
                f"`{name}` is no parameter here; known are: {', '.join(known)}.",
                details=[{"where": "query", "name": name, "expected": list(known)}],
            )
        if not isinstance(values, list) or len(values) != 1:
            raise _refused(name, "several values", "one value")
    return caller, {name: values[0] for name, values in given.items()}


def _account(params: Mapping[str, str], caller: Caller) -> str | None:
    """The account that is named, or the token's own; WrongAccount for another. None: all that the caller has."""
    named = params.get(ACCOUNT_PARAMETER)
    return chosen_account([named] if named else [], caller) if named or caller.account_id else None


def _status(text: str | None) -> OperationStatus | None:
    for status in STATUSES:
        if status == text:
            return status
    if text:
        raise _refused("status", text, ", ".join(STATUSES))
    return None


def _limit(text: str | None) -> int:
    text = text or str(DEFAULT_LIMIT)
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_LIMIT):
        raise _refused("limit", text, f"1 to {MAX_LIMIT}")
    return int(text)


def _refused(name: str, found: str, expected: str) -> InvalidParameter:
    return InvalidParameter(
        f"`{name}` can't be `{found}`; expected: {expected}.",
        details=[{"where": "query", "name": name, "found": found, "expected": expected}],
    )
