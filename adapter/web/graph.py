"""`GET /graph`: who is where and what they can do there, as JSON or as a Graphviz document."""

from collections.abc import Mapping, Sequence
from email.utils import formatdate
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from adapter.directory.graph import Asked, Form, chunks, read_graph
from adapter.directory.service import Directory
from adapter.errors import InvalidParameter, UnknownParameter
from adapter.models import Caller, Scope
from adapter.web.answers import rate_headers, rated
from adapter.web.auth import ACCOUNT_PARAMETER, account_of, caller_of, require_scope
from adapter.web.query import parse_query
from adapter.web.unified import max_age

PATH = "/graph"
MEDIA_TYPES: Mapping[Form, str] = {"json": "application/json", "dot": "text/vnd.graphviz"}
PARAMETERS = (ACCOUNT_PARAMETER, "format", "addons", "include_inherited", "allow_partial")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


class Accounts(Protocol):
    """What this door needs of the accounts."""

    async def open(self, account_id: str, caller: Caller | None = None) -> Any: ...


def routes(*, directory: Directory, accounts: Accounts) -> list[BaseRoute]:
    async def graph(request: Request) -> Response:
        caller = caller_of(request)
        require_scope(caller, Scope.DIRECTORY_READ)
        params = parse_query(request.scope["query_string"])
        form, asked = _form(request, params), _asked(request, params)
        account_id = account_of(request, caller)
        client = await accounts.open(account_id, caller)
        with rated(client.budget):
            found = await read_graph(directory, account_id, client, asked)
        headers = {
            "Age": str(int(found.age)),
            "Last-Modified": formatdate(found.last_modified, usegmt=True),
            "Vary": "Accept",
            **rate_headers(client.budget),
        }
        return StreamingResponse(chunks(found, form), headers=headers, media_type=MEDIA_TYPES[form])

    return [Route(PATH, graph, methods=["GET"])]


def _asked(request: Request, params: Mapping[str, Any]) -> Asked:
    for name in params:
        if name not in PARAMETERS:
            raise UnknownParameter(
                f"`{name}` is no parameter here; known are: {', '.join(sorted(PARAMETERS))}.",
                details=[{"where": "query", "name": name, "expected": sorted(PARAMETERS)}],
            )
    return Asked(
        addons=_flag(params, "addons", default=True),
        include_inherited=_flag(params, "include_inherited"),
        allow_partial=_flag(params, "allow_partial"),
        max_age=max_age(request),
    )


def _form(request: Request, params: Mapping[str, Any]) -> Form:
    """What `format` says, else what the caller would rather have."""
    if _given(params, "format"):
        return "json" if _one(params, "format", tuple(MEDIA_TYPES)) == "json" else "dot"
    return "dot" if MEDIA_TYPES["dot"] in request.headers.get("accept", "").lower() else "json"


def _flag(params: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    return _FLAGS[_one(params, name, tuple(_FLAGS))] if _given(params, name) else default


def _given(params: Mapping[str, Any], name: str) -> bool:
    """Whether a parameter says anything: as in the lists, an empty one does not."""
    return bool(params.get(name, [""]) != [""])


def _one(params: Mapping[str, Any], name: str, known: Sequence[str]) -> str:
    values = params[name]
    found = str(values[0]).lower() if not isinstance(values, Mapping) and len(values) == 1 else "several values"
    if found not in known:
        raise InvalidParameter(
            f"`{name}` can't be `{found}`; expected: {', '.join(known)}.",
            details=[{"where": "query", "name": name, "found": found, "expected": list(known)}],
        )
    return found
