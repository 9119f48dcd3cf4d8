"""`GET /integrated-account/{id}/directory`: how every unit of an account's directory stands."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from adapter.directory.query import DEFAULT_LIMIT, MAX_LIMIT
from adapter.directory.service import Directory
from adapter.directory.status import STANDINGS, Status, UnitStatus, shown_summary, shown_unit
from adapter.errors import InvalidCursor, InvalidParameter, UnknownParameter
from adapter.models import Caller, Scope
from adapter.web.answers import json_answer, rate_headers
from adapter.web.auth import caller_of, require_scope
from adapter.web.query import parse_query

PATH = "/integrated-account/{id}/directory"
PARAMETERS = ("state", "limit", "next_cursor")


class Accounts(Protocol):
    """What this door needs of the accounts."""

    async def open(self, account_id: str, caller: Caller | None = None) -> Any: ...


class Cursors(Protocol):
    def seal(self, bound_to: str, payload: Any) -> str: ...
    def open(self, bound_to: str, cursor: str) -> Any: ...


def routes(*, directory: Directory, accounts: Accounts, cursors: Cursors) -> list[BaseRoute]:
    async def show(request: Request) -> Response:
        caller = caller_of(request)
        require_scope(caller, Scope.DIRECTORY_READ)
        params = _params(parse_query(request.scope["query_string"]))
        state, limit = _state(params), _limit(params)
        account_id = request.path_params["id"]
        client = await accounts.open(account_id, caller)
        status = await directory.status(account_id, client)
        bound_to = f"{PATH} {account_id} {state or ''}"
        after = _place(cursors.open(bound_to, params["next_cursor"])) if params.get("next_cursor") else None
        page, onward = _page(status, state, limit, after)
        body = {
            "result": [shown_unit(unit) for unit in page],
            "next_cursor": cursors.seal(bound_to, onward) if onward else None,
            "prev_cursor": None,
            "result_count": len(page),
            "summary": shown_summary(status),
        }
        return json_answer(body, headers=rate_headers(client.budget))

    return [Route(PATH, show, methods=["GET"])]


def _page(
    status: Status, state: str | None, limit: int, after: tuple[str, str] | None
) -> tuple[Sequence[UnitStatus], tuple[str, str] | None]:
    """Units by name and path, so that a walk repeats none; and where the next page begins."""
    units = [unit for unit in status.units if state is None or unit.state == state]
    behind = sorted((u for u in units if after is None or (u.unit, u.path) > after), key=lambda u: (u.unit, u.path))
    page = behind[:limit]
    return page, (page[-1].unit, page[-1].path) if len(behind) > limit else None


def _place(payload: Any) -> tuple[str, str]:
    match payload:
        case [str(unit), str(path)]:
            return unit, path
    raise InvalidCursor


def _params(given: Mapping[str, Any]) -> dict[str, str]:
    """The query by name, each at most once."""
    for name, values in given.items():
        if name not in PARAMETERS:
            raise UnknownParameter(
                f"`{name}` is no parameter here; known are: {', '.join(PARAMETERS)}.",
                details=[{"where": "query", "name": name, "expected": list(PARAMETERS)}],
            )
        if not isinstance(values, list) or len(values) != 1:
            raise _refused(name, "several values", "one value")
    return {name: values[0] for name, values in given.items()}


def _state(params: Mapping[str, str]) -> str | None:
    state = params.get("state") or None
    if state is not None and state not in STANDINGS:
        raise _refused("state", state, ", ".join(STANDINGS))
    return state


def _limit(params: Mapping[str, str]) -> int:
    text = params.get("limit") or str(DEFAULT_LIMIT)
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_LIMIT):
        raise _refused("limit", text, f"1 to {MAX_LIMIT}")
    return int(text)


def _refused(name: str, found: str, expected: str) -> InvalidParameter:
    return InvalidParameter(
        f"`{name}` can't be `{found}`; expected: {expected}.",
        details=[{"where": "query", "name": name, "found": found, "expected": expected}],
    )
