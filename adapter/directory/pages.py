"""Whole answers as bytes, kept for as long as the view that they were made from stands."""

import msgspec
from cachetools import LRUCache

from adapter.directory.query import Query
from adapter.mapping.model import Resource

MAX_BYTES = 8 * 1024 * 1024
_LARGEST = 4
"""One answer may take this part of the room, enough for 1,000 people: a whole directory must not put all others out."""
_FRAME = 1024
"""Bytes that an answer takes besides its body and its question, about."""

Question = tuple[str | None, bytes, bytes]
"""The account that the caller is bound to, the path and the query as they were sent: they decide which account, which
resource, and which of its records in which form.
"""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One answer to one question, without what changes from second to second.

    It answers the same question again only while `version` is that of the view that the question would be answered
    from: whoever looks asks the directory first, and whether the caller may ask at all.
    """

    account_id: str
    resource: Resource
    query: Query
    version: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]


class Pages:
    """The answers given last, by question; those not asked for longest go first. Sizes in bytes."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._largest = max_bytes // _LARGEST
        self._kept: LRUCache[Question, tuple[int, Page]] = LRUCache(max_bytes, getsizeof=lambda kept: kept[0])

    def get(self, question: Question) -> Page | None:
        try:
            return self._kept[question][1]
        except KeyError:
            return None

    def keep(self, question: Question, page: Page) -> None:
        """Keep an answer, unless it is too large to be worth it."""
        size = len(page.body) + _FRAME + len(question[1]) + len(question[2])
        if size <= self._largest:
            self._kept[question] = (size, page)

    def forget(self, account_id: str) -> None:
        """Drop the answers of an account."""
        for question in [question for question, (_, page) in self._kept.items() if page.account_id == account_id]:
            del self._kept[question]

    @property
    def bytes(self) -> int:
        """How much room is taken."""
        return int(self._kept.currsize)
