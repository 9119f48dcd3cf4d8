"""The unified door: `/unified/user-directory/{resource}` and `/{resource}/{id}`, lists and records in one shape."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from email.utils import formatdate
from operator import attrgetter
from typing import Any, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from adapter.directory.lists import Client
from adapter.directory.pages import Page
from adapter.directory.query import Query, parse_list, parse_one
from adapter.directory.service import Answer, Directory
from adapter.errors import InvalidParameter, NotFound
from adapter.mapping.engine import Record
from adapter.mapping.model import Resource
from adapter.models import Caller, Scope
from adapter.web.answers import rate_headers, rated
from adapter.web.auth import ACCOUNT_PARAMETER, caller_of, chosen_account, require_scope
from adapter.web.query import parse_query
from adapter.web.repeats import lasting_headers, question

PREFIX = "/unified/user-directory"
JSON = "application/json"
_ENCODER = msgspec.json.Encoder()
_CHUNK = 200


class Accounts(Protocol):
    """What this door needs of the accounts."""

    async def open(self, account_id: str, caller: Caller | None = None) -> Any: ...


def routes(*, directory: Directory, accounts: Accounts) -> list[BaseRoute]:
    door = _Door(directory, accounts)
    return [
        Route(PREFIX + "/{resource}", door.list, methods=["GET"]),
        Route(PREFIX + "/{resource}/{id:path}", door.get, methods=["GET"]),
    ]


class _Door:
    def __init__(self, directory: Directory, accounts: Accounts) -> None:
        self._directory = directory
        self._accounts = accounts

    async def list(self, request: Request) -> Response:
        resource, client, account_id, params = await self._opened(request, "list")
        with rated(client.budget):
            query = parse_list(resource, params, max_age=max_age(request))
            answer = await self._directory.list_records(account_id, client, resource, query)
            headers = _headers(answer, query, client)
            if query.format == "stream":
                return StreamingResponse(_lines(answer, query), headers=headers, media_type="application/x-ndjson")
            response = Response(_envelope(answer, query), headers=headers, media_type=JSON)
        if answer.version and query.max_age is None:
            self._keep(request, account_id, resource, query, answer, response)
        return response

    def _keep(
        self, request: Request, account_id: str, resource: Resource, query: Query, answer: Answer, response: Response
    ) -> None:
        page = Page(
            account_id=account_id,
            resource=resource,
            query=query,
            version=answer.version,
            body=bytes(response.body),
            headers=lasting_headers(response.raw_headers),
        )
        self._directory.pages.keep(question(request.scope, caller_of(request)), page)

    async def get(self, request: Request) -> Response:
        resource, client, account_id, params = await self._opened(request, "get")
        key = request.path_params["id"]
        with rated(client.budget):
            query = parse_one(resource, params, max_age=max_age(request))
            answer = await self._directory.get_record(account_id, client, resource, key, query)
        return Response(_object(answer, query), headers=_headers(answer, query, client), media_type=JSON)

    async def _opened(self, request: Request, method: str) -> tuple[Resource, Client, str, dict[str, Any]]:
        caller = caller_of(request)
        require_scope(caller, Scope.DIRECTORY_READ)
        resource = self._directory.resource(request.path_params["resource"])
        if method not in resource.methods:
            raise NotFound(f"`{resource.name}` has no records to ask for one by one; list it.")
        params = parse_query(request.scope["query_string"])
        named = params.get(ACCOUNT_PARAMETER, ())
        account_id = chosen_account(() if isinstance(named, Mapping) else named, caller)
        client = await self._accounts.open(account_id, caller)
        return resource, client, account_id, params


# --- bodies


def _envelope(answer: Answer, query: Query) -> bytes:
    """The list envelope, joined from records that are encoded already."""
    rest = {
        "next_cursor": answer.next_cursor,
        "prev_cursor": None,
        "result_count": _count(answer.records, query),
        **_gaps(answer),
    }
    if query.format == "debug":
        rest["debug"] = _debug(answer)
    # Joined at once: a page is large enough for each copy of it to count.
    return b"".join((b'{"result":', *_result(answer.records, query), b",", _ENCODER.encode(rest)[1:]))


def _object(answer: Answer, query: Query) -> bytes:
    if query.format == "raw":
        return _ENCODER.encode({**answer.records[0].remote, **_gaps(answer)})
    body = _encoder_for(query)(answer.records[0])
    extra = _gaps(answer) | ({"debug": _debug(answer)} if query.format == "debug" else {})
    return body[:-1] + b"," + _ENCODER.encode(extra)[1:] if extra else body


def _count(records: Sequence[Record], query: Query) -> int:
    """How many there are in the result: of the provider's own records, one person may be made of several."""
    if query.format != "raw":
        return len(records)
    return sum(len(part) for record in records for part in record.remote.values())


def _result(records: Sequence[Record], query: Query) -> Sequence[bytes]:
    """The records as JSON, in parts."""
    if query.format == "raw":
        return [_ENCODER.encode([remote for record in records for part in record.remote.values() for remote in part])]
    if query.key_by:
        return [_keyed(records, query.key_by, query)]
    encoded = _encoder_for(query)
    return b"[", b",".join([encoded(record) for record in records]), b"]"


def _keyed(records: Sequence[Record], field: str, query: Query) -> bytes:
    """An object instead of the array; where two records share a value, saying nothing would lose one of them."""
    encoded = _encoder_for(query)
    entries: dict[str, msgspec.Raw] = {}
    for record in records:
        value = record.data.get(field)
        name = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        if name in entries:
            raise InvalidParameter(
                f"`truto_key_by={field}` would drop a record: two have the value `{name}`. Choose a field like `id`.",
                details=[{"where": "query", "name": "truto_key_by", "found": field}],
            )
        entries[name] = msgspec.Raw(encoded(record))
    return _ENCODER.encode(entries)


def _encoder_for(query: Query) -> Callable[[Record], bytes]:
    """Makes JSON of a record in the form that a query asks for; the usual one is kept with the record."""
    without_remote = query.ignore_remote or query.format == "normalized" or "remote_data" in query.exclude
    if not query.exclude and not without_remote:
        return attrgetter("encoded")

    def encoded(record: Record) -> bytes:
        data = {name: value for name, value in record.data.items() if name not in query.exclude}
        return _ENCODER.encode(data if without_remote else {**data, "remote_data": record.remote})

    return encoded


async def _lines(answer: Answer, query: Query) -> AsyncIterator[bytes]:
    """NDJSON; whoever does not see the closing line has not seen everything."""
    encoded = _encoder_for(query)
    for start in range(0, len(answer.records), _CHUNK):
        yield b"".join(encoded(record) + b"\n" for record in answer.records[start : start + _CHUNK])
        # Encoding is work; others get their turn between chunks.
        await asyncio.sleep(0)
    closing = {"end": True, "count": len(answer.records), "missing": msgspec.to_builtins(answer.missing)}
    yield _ENCODER.encode(closing) + b"\n"


def _gaps(answer: Answer) -> dict[str, Any]:
    if not answer.missing:
        return {}
    return {"is_partial_response": True, "missing": msgspec.to_builtins(answer.missing)}


def _debug(answer: Answer) -> dict[str, Any]:
    requests = [
        {"method": "GET", "path": path, "status": status, "read_at": formatdate(at, usegmt=True)}
        for path, status, at in answer.paths
    ]
    return {"requests": requests}


# --- headers


def _headers(answer: Answer, query: Query, client: Client) -> dict[str, str]:
    headers = {
        "Age": str(int(answer.age)),
        "Last-Modified": formatdate(answer.last_modified, usegmt=True),
        **rate_headers(client.budget),
    }
    if query.warnings:
        headers["Warning"] = f'299 - "no effect here: {", ".join(query.warnings)}"'
    return headers


def max_age(request: Request) -> float | None:
    """How fresh the caller insists: `no-cache` and `max-age=N` of Cache-Control."""
    directives: Mapping[str, str] = {
        name.strip().lower(): value.strip()
        for name, _, value in (part.partition("=") for part in request.headers.get("cache-control", "").split(","))
    }
    if "no-cache" in directives or "no-store" in directives:
        return 0.0
    seconds = directives.get("max-age", "")
    return float(seconds) if seconds.isdigit() and len(seconds) < 10 else None
