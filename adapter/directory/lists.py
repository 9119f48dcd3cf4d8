"""A list upstream as the directory knows it: what reads it, what comes of that, and how an answer names one that it
lacks.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from adapter.errors import (
    AdapterError,
    NeedsReauth,
    RemoteError,
    RemoteForbidden,
    RemoteNotFound,
    RemoteRateLimited,
    RemoteUnauthorized,
    UpstreamNonsense,
)
from adapter.mapping.model import Unit


class UpstreamList(Protocol):
    """What a bound client answers to `iterate`."""

    @property
    def records(self) -> list[Any]: ...
    @property
    def requests(self) -> int: ...
    @property
    def etag(self) -> str | None: ...
    @property
    def not_modified(self) -> bool: ...


class UpstreamBudget(Protocol):
    @property
    def remaining(self) -> int | None: ...
    def headers(self) -> list[tuple[str, str]]: ...


class Client(Protocol):
    """What the directory needs of a bound upstream client."""

    @property
    def account_key(self) -> str: ...
    @property
    def budget(self) -> UpstreamBudget: ...
    async def iterate(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        order: str | None,
        etag: str | None = None,
    ) -> UpstreamList: ...
    async def send(self, method: str, path: str, *, query: Mapping[str, str] | None = None) -> Any: ...


class Missing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A unit that could not be read, as an answer names it: absence of knowledge, never of people."""

    unit: str
    reason: str
    """`forbidden`, `missing_scope`, `not_found`, `gathering`, `record_unreadable`, or an error's code."""
    message: str
    place: Mapping[str, Mapping[str, str]] = {}
    """What it belongs to: `{"team": {"id": …, "name": …}}`."""
    count: int = 1
    """How many lists are missing for this reason, where they are too many to name."""
    places: tuple[Mapping[str, Mapping[str, str]], ...] = ()
    """The first of them."""
    retry_after: int | None = None
    """Seconds until it may be read, where only the budget stands in the way."""
    scopes: tuple[str, ...] = ()
    """The provider's scopes, any one of which would open it, where that is known to be what is missing."""


def lasting(error: AdapterError) -> bool:
    """Whether an error tells something about the place (it is closed, or gone) rather than about the moment."""
    if isinstance(error, RemoteForbidden | RemoteNotFound):
        return True
    return isinstance(error, RemoteError) and not isinstance(error, RemoteRateLimited) and 400 <= error.status < 500


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """A list as it came; `not_modified` where the provider said that it is the one of the ETag."""

    records: list[Any]
    requests: int = 1
    etag: str | None = None
    not_modified: bool = False


async def fetch(
    unit: Unit, path: str, client: Client, query: Mapping[str, str] | None = None, etag: str | None = None
) -> Fetched:
    """The unit's records and what they cost in upstream requests; NeedsReauth where the credential is refused."""
    try:
        if unit.single:
            reply = await client.send("GET", path, query=query)
            return Fetched(records=[_object(reply.body)])
        headers = {"Accept": unit.accept} if unit.accept else None
        answer = await client.iterate(path, query=query, headers=headers, order=unit.order, etag=etag)
    except RemoteUnauthorized as error:
        raise NeedsReauth(headers=error.headers) from error
    return Fetched(records=answer.records, requests=answer.requests, etag=answer.etag, not_modified=answer.not_modified)


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        raise UpstreamNonsense from None
