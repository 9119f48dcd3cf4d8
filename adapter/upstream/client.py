"""The one client: send a request, walk a list, stream bytes. No word of a provider in it; `provider.yaml` has those.

`UpstreamClient` owns the pool; `bind` gives a `BoundClient`, which speaks as one account and is the only form in which
a credential leaves the accounts' room.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode
from weakref import WeakValueDictionary

import httpx
import msgspec
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from adapter.errors import (
    AdapterError,
    RemoteError,
    RemoteForbidden,
    RemoteNotFound,
    RemoteRateLimited,
    RemoteUnauthorized,
    UpstreamNonsense,
    UpstreamUnreachable,
)
from adapter.models import Secret
from adapter.upstream.budget import Budget
from adapter.upstream.lane import Lane
from adapter.upstream.paths import checked_target
from adapter.upstream.pool import Pool, origin_of
from adapter.upstream.provider import Provider
from adapter.upstream.request import Body, RawHeaders
from adapter.upstream.source import CredentialSource, FixedCredential
from adapter.upstream.streaming import Exchange, Link
from adapter.upstream.transport import FOREIGN, interface, translated

__all__ = [
    "BoundClient",
    "CredentialSource",
    "FixedCredential",
    "ListReply",
    "Query",
    "Reply",
    "UpstreamClient",
    "remote_error",
]

Query = Mapping[str, Any] | Sequence[tuple[str, Any]]

_IDEMPOTENT = frozenset({"GET", "HEAD"})
_ATTEMPTS = 3
_LONGEST_REQUEST_ID = 512
"""Characters: each hop adds one to the list."""
_PASSING_TROUBLE = frozenset({500, 502, 503, 504})


class Reply(msgspec.Struct, frozen=True):
    """An answer, whole; `body` is decompressed."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def request_id(self) -> str | None:
        """The provider's own ids of the request, as it joins them."""
        return _request_id(self.headers)

    def json(self) -> Any:
        """The body decoded; UpstreamNonsense where it is no JSON."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            nonsense = UpstreamNonsense("The provider's answer is not JSON, or breaks off.")
            nonsense.was_sent = True
            raise nonsense from None


class ListReply(msgspec.Struct, frozen=True, kw_only=True):
    """A list, complete. `etag` stands for all of it, and so is None where it came in more pages than one."""

    records: list[Any]
    etag: str | None = None
    last_modified: str | None = None
    requests: int = 1
    not_modified: bool = False


class UpstreamClient:
    """One per process."""

    def __init__(
        self,
        provider: Provider,
        *,
        api_url: str | None = None,
        concurrency: int = 32,
        timeout: float | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`api_url` overrides the provider's; `timeout` (seconds) its `timeouts.answer`; `transport` stands in for the
        pool under `send` and `iterate`, for tests.
        """
        timeouts = provider.timeouts
        if timeout is not None:
            timeouts = msgspec.structs.replace(timeouts, answer=timeout)
        self.provider = provider
        self.base_url = (api_url or provider.base_url).rstrip("/")
        self.timeout = timeouts.answer
        address = httpx.URL(self.base_url)
        self.origin = origin_of(address)
        self.prefix = address.path.rstrip("/")
        self.pool = Pool(timeouts)
        self.http = interface(self.pool, transport)
        self._concurrency = concurrency
        self._patience = timeouts.slot
        self._lanes: WeakValueDictionary[str, Lane] = WeakValueDictionary()

    def bind(self, source: CredentialSource, *, account_key: str) -> "BoundClient":
        """A client that speaks as one account. `account_key` is the provider's own id of it: connections that share it
        share its budget and its slots, for as long as any of their clients lives.
        """
        lane = self._lanes.get(account_key)
        if lane is None:
            lane = Lane(Budget(self.provider.budget), slots=self._concurrency, patience=self._patience)
            self._lanes[account_key] = lane
        return BoundClient(self, source, account_key, lane)

    async def close(self) -> None:
        await self.http.aclose()
        await self.pool.close()


class BoundClient:
    """The upstream as one account sees it."""

    def __init__(self, client: UpstreamClient, source: CredentialSource, account_key: str, lane: Lane) -> None:
        self.account_key = account_key
        self._client = client
        self._source = source
        self._lane = lane
        self._link = Link(client.pool, client.origin, client.provider, lane, source)

    @property
    def budget(self) -> Budget:
        return self._lane.budget

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        retry: bool = True,
    ) -> Reply:
        """One request, its answer whole. `path` is encoded already; `json` is sent as it is encoded by msgspec.

        Only GET and HEAD are ever repeated. Raises InvalidTarget, RemoteError and its kinds for 4xx and 5xx,
        UpstreamUnreachable, UpstreamTimeout and UpstreamNonsense (a redirect is nonsense here, 304 is not).
        """
        request = self._request(method, path, query, headers, json)
        return await self._insistent(request, self._lane.foreground, retry=retry)

    async def iterate(
        self,
        path: str,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        order: str | None,
        page: int | None = None,
        etag: str | None = None,
    ) -> ListReply:
        """A whole list, page after page; as background work it leaves some slots to others.

        `order` is the field to page by, None for a list that takes no range. With `etag`, an unchanged list answers
        `not_modified`. A page that isn't a list, or a way on that was already taken, is UpstreamNonsense.
        """
        paging = self._client.provider.paging
        asked = dict(headers or {}) | ({"if-none-match": etag} if etag else {})
        asked_page = asked | paging.first(order, page)
        records: list[Any] = []
        taken: set[str] = set()
        while True:
            request = self._request("GET", path, query, asked_page, None)
            reply = await self._insistent(request, self._lane.background, retry=True)
            if reply.status == 304:
                return ListReply(records=[], etag=etag, not_modified=True)
            records += _listed(reply)
            onward = paging.following(reply.headers)
            if onward is None:
                full = order is not None and len(records) >= (page or paging.max)
                return _complete(records, reply, requests=len(taken) + 1, full=full)
            if onward in taken:
                raise UpstreamNonsense("The provider's list leads back to a page that was already read.")
            taken.add(onward)
            asked.pop("if-none-match", None)
            asked_page = asked | paging.follow(onward)

    def stream(self, method: str, target: str, headers: RawHeaders, body: Body = None) -> Exchange:
        """The byte-for-byte way: `async with bound.stream(…) as reply`. `target` has passed `checked_target`.

        Bodies are neither decoded nor encoded. A 401 is tried once more with a renewed credential where the body can be
        sent again; the last answer is handed on whatever its status.
        """
        return Exchange(self._link, method, self._client.prefix + target, headers, body)

    def _request(
        self, method: str, path: str, query: Query | None, headers: Mapping[str, str] | None, json: Any
    ) -> httpx.Request:
        target = checked_target(path.encode(), urlencode(query, doseq=True).encode() if query else b"")
        content = msgspec.json.encode(json) if json is not None else None
        given = httpx.Headers(dict(self._client.provider.headers))
        given.update(headers or {})
        if content is not None:
            given.setdefault("content-type", "application/json")
        return self._client.http.build_request(method, self._client.base_url + target, headers=given, content=content)

    async def _insistent(self, request: httpx.Request, slot: Any, *, retry: bool) -> Reply:
        if not retry or request.method not in _IDEMPOTENT:
            return await self._attempt(request, slot)
        retrying = AsyncRetrying(
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            retry=retry_if_exception(_worth_another),
            reraise=True,
        )
        return await retrying(self._attempt, request, slot)

    async def _attempt(self, request: httpx.Request, slot: Any) -> Reply:
        await self._source.token()  # who waits for a fresh one meanwhile takes no slot from the others
        async with slot():
            token = await self._source.token()
            reply = await self._exchange(request, token)
        renewed = await self._source.renew(token) if reply.status == 401 else None
        if renewed is not None:
            token = renewed
            async with slot():
                reply = await self._exchange(request, token)
        if reply.status == 304 or 200 <= reply.status < 300:
            return reply
        raise await self._refusal(reply, token)

    async def _exchange(self, request: httpx.Request, token: Secret) -> Reply:
        request.headers["authorization"] = f"Bearer {token.reveal()}"
        try:
            async with asyncio.timeout(self._client.timeout):
                response = await self._client.http.send(request)
        except FOREIGN as error:
            raise translated(error) from None
        self._lane.budget.observe(response.headers)
        return Reply(response.status_code, response.headers, response.content)

    async def _refusal(self, reply: Reply, token: Secret) -> AdapterError:
        """The error for an answer that is none, after telling the credential's keeper what concerns him."""
        if reply.status < 400:
            nonsense = UpstreamNonsense(f"The provider answered {reply.status}, which leads nowhere here.")
            nonsense.was_sent = True
            return nonsense
        error = remote_error(self._client.provider, reply.status, reply.headers, reply.body)
        if isinstance(error, RemoteUnauthorized):
            await self._source.rejected(token)
        elif isinstance(error, RemoteForbidden):
            await self._source.forbidden(error)
        elif isinstance(error, RemoteRateLimited):
            self._lane.budget.exhausted()
        return error


def remote_error(provider: Provider, status: int, headers: Mapping[str, str], body: bytes) -> RemoteError:
    """The provider's refusal as one of ours; its status and words kept, with an insight into what to do."""
    remote_id, message, raw = provider.errors.read(body)
    insight: dict[str, Any] = {}
    extra: dict[str, str] = {}
    match status:
        case 401:
            kind: type[RemoteError] = RemoteUnauthorized
        case 403:
            kind = RemoteForbidden
            missing, held = provider.scopes.missing(headers), provider.scopes.held(headers)
            insight = {"forbidden_error": {"missing_scopes": list(missing), "held_scopes": list(held)}}
        case 404:
            kind = RemoteNotFound
        case 429:
            kind = RemoteRateLimited
            extra = {"retry-after": str(provider.errors.wait(headers))}
            insight = {"rate_limit_error": {"retry_after": int(extra["retry-after"])}}
        case _:
            kind = RemoteError
    return kind(
        status,
        message,
        remote_id=remote_id,
        raw=raw,
        insight=insight,
        headers=extra,
        request_id=_request_id(headers),
    )


def _request_id(headers: Mapping[str, str]) -> str | None:
    return (headers.get("request-id") or "")[:_LONGEST_REQUEST_ID] or None


def _listed(reply: Reply) -> list[Any]:
    data = reply.json()
    if not isinstance(data, list):
        raise UpstreamNonsense("The provider answered something else where a list was expected.")
    return data


def _complete(records: list[Any], reply: Reply, *, requests: int, full: bool) -> ListReply:
    """An ETag is a page's: that of a full page would still hold when the list goes on behind it."""
    whole = requests == 1 and not full
    return ListReply(
        records=records,
        etag=reply.headers.get("etag") if whole else None,
        last_modified=reply.headers.get("last-modified") if whole else None,
        requests=requests,
    )


def _worth_another(error: BaseException) -> bool:
    if isinstance(error, RemoteError):
        return error.status in _PASSING_TROUBLE
    return isinstance(error, UpstreamUnreachable | UpstreamNonsense)
