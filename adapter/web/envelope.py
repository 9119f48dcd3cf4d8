"""`/proxy`'s lists: the provider's pages in our envelope, its way on in our cursor."""

from typing import Any, Protocol

import msgspec

from adapter.errors import InvalidCursor, InvalidParameter, UpstreamNonsense
from adapter.upstream.protocol import Paging
from adapter.upstream.reply import StreamedReply
from adapter.web.passing import Taken, only

_DEFAULT_LIMIT = 100
_MAX_LIMIT = 1000
_READING = frozenset({"GET", "HEAD"})
_JSON = ("application/json", "application/vnd.")
# The envelope is another body than the one these describe.
_OF_THE_BODY = frozenset({b"content-encoding", b"content-length", b"etag"})

_items = msgspec.json.Decoder(list[msgspec.Raw])


class CursorSealer(Protocol):
    """Seals a place in a list, bound to what it is a place in."""

    def seal(self, bound_to: str, payload: Any) -> str: ...

    def open(self, bound_to: str, cursor: str) -> Any: ...


class Listing:
    """What one `/proxy` call asks for as a list: `limit`, and where to go on from. Bound to account, path and query."""

    def __init__(self, paging: Paging, cursors: CursorSealer, *, account_id: str, method: str, target: str) -> None:
        self._paging = paging
        self._cursors = cursors
        self._bound_to = f"proxy {account_id} {method} {target}"
        self._limit = _DEFAULT_LIMIT
        self._continuation: str | None = None
        self._asked = method in _READING

    @property
    def continued(self) -> bool:
        """Whether this page is not the first."""
        return self._continuation is not None

    @property
    def spent(self) -> frozenset[bytes]:
        """The headers of a page that don't hold for its envelope."""
        return _OF_THE_BODY | {name.encode() for name in self._paging.headers}

    def read(self, taken: Taken) -> None:
        """Take `limit` and `next_cursor` from the query; InvalidParameter, InvalidCursor."""
        limit = only(taken, "limit")
        if limit is not None:
            self._asked = True
            self._limit = _limit(limit)
        cursor = only(taken, "next_cursor")
        if cursor is not None:
            self._asked = True
            self._continuation = self._cursors.open(self._bound_to, cursor)
            if not isinstance(self._continuation, str):
                raise InvalidCursor

    def page_headers(self, given: str | None) -> dict[str, str]:
        """The paging headers of this page: from the cursor, else from the caller's own range, else by the usual field.

        Empty for a write that asked for no page.
        """
        onward = self._continuation or given
        if onward is not None:
            return self._paging.follow(onward, self._limit)
        return self._paging.first(self._paging.order, self._limit) if self._asked else {}

    def turn(self, reply: StreamedReply) -> bool:
        """Move on past an empty page that has a successor: no empty page carries a cursor. False at the end."""
        onward = self._paging.following(reply.fields)
        if onward is None:
            return False
        if onward == self._continuation:
            raise UpstreamNonsense("The provider's list leads back to the page it came from.")
        self._continuation = onward
        return True

    def enveloped(self, reply: StreamedReply, body: bytes, count: int) -> bytes:
        """The page as the contract writes lists; the records keep the provider's bytes."""
        onward = self._paging.following(reply.fields) if count else None
        cursor = self._cursors.seal(self._bound_to, onward) if onward else None
        tail = msgspec.json.encode({"next_cursor": cursor, "prev_cursor": None, "result_count": count})
        return b'{"result":' + body.strip() + b"," + tail[1:]


def may_list(reply: StreamedReply) -> bool:
    """Whether this answer could be a page of a list: a success in plain JSON."""
    kind = (reply.fields.get("content-type") or "application/json").lower()
    return reply.status in {200, 201, 206} and kind.startswith(_JSON) and not reply.fields.get("content-encoding")


def length_of_list(body: bytes) -> int | None:
    """How many records a JSON list holds; None for anything else, UpstreamNonsense where a list breaks off."""
    if body.lstrip()[:1] != b"[":
        return None
    try:
        return len(_items.decode(body))
    except msgspec.DecodeError:
        raise UpstreamNonsense("The provider's list is not JSON, or breaks off.") from None


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:5]) <= _MAX_LIMIT:
        raise InvalidParameter(
            f"`limit` is a number from 1 to {_MAX_LIMIT}.",
            details=[{"parameter": "limit", "expected": f"1 to {_MAX_LIMIT}"}],
        )
    return int(text)
