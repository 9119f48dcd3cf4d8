"""Heroku's Range paging: `Range: id ]<start>..[<end>]; max=<n>[, order=asc|desc]`.

https://devcenter.heroku.com/articles/platform-api-reference#ranges and what recorded traffic adds to it.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from typing import Literal
from urllib.parse import quote, unquote

import msgspec

from .answers import Answer, Refusal, etag
from .clock import http_date

DEFAULT_MAX = 200
LARGEST_MAX = 1000
PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).translate({ord(character): None for character in "%;,"})

_RANGE = re.compile(
    r"^\s*(?P<field>[\w-]+)\s+(?P<after>\]?)(?P<start>[^;,]*?)\.\.(?P<before>\]?)(?P<end>[^;,]*?)\s*(?P<params>[;,].*)?$"
)
_MAX = re.compile(r"\d+")


class Range(msgspec.Struct, frozen=True):
    """A range that was asked for. `after` and `before` say that the bound itself is excluded."""

    field: str
    start: str = ""
    end: str = ""
    after: bool = False
    before: bool = False
    max: int = DEFAULT_MAX
    order: Literal["asc", "desc"] = "asc"

    def following(self, last: str) -> str:
        """The `Next-Range` of a page that ended with `last`."""
        order = ", order=desc" if self.order == "desc" else ""
        end = f"{']' if self.before else ''}{bound(self.end)}"
        return f"{self.field} ]{bound(last)}..{end}; max={self.max}{order}"


def bound(value: str) -> str:
    """A sort key as a header can carry it: what is not ASCII is percent-encoded (how Heroku does it is unknown)."""
    return quote(value, safe=PRINTABLE)


class Listing(msgspec.Struct):
    """A whole list, ready to be cut: each record's sort keys and its encoded bytes.

    `fields` are what it may be ordered by, the first being its natural order; `rows` are in natural order.
    `changed` is the newest `updated_at`.
    """

    fields: tuple[str, ...]
    keys: dict[str, list[str]]
    rows: list[bytes]
    changed: str | None
    sorted: dict[str, tuple[list[str], list[bytes]]] = {}
    pages: dict[str | None, Answer] = {}

    def in_order_of(self, field: str) -> tuple[list[str], list[bytes]]:
        held = self.sorted.get(field)
        if held is None:
            pairs = sorted(zip(self.keys[field], self.rows, strict=True), key=lambda pair: pair[0])
            held = self.sorted[field] = ([key for key, _ in pairs], [row for _, row in pairs])
        return held

    def page(self, header: str | None) -> Answer:
        """The answer to a `Range` header (or none); the same header on the same list is cut only once."""
        held = self.pages.get(header)
        if held is None:
            held = self.pages[header] = self._cut(read_range(header, self.fields))
        return held

    def _cut(self, wanted: Range) -> Answer:
        keys, rows = self.in_order_of(wanted.field)
        low, high = _bounds(keys, wanted)
        if wanted.order == "desc":
            span = range(high - 1, max(low, high - wanted.max) - 1, -1)
        else:
            span = range(low, min(high, low + wanted.max))
        headers = {"accept-ranges": ", ".join(sorted(self.fields))}
        if not span:
            return Answer(200, b"[]", headers)
        body = b"[" + b",".join([rows[index] for index in span]) + b"]"
        first, last = keys[span[0]], keys[span[-1]]
        headers |= {"content-range": f"{wanted.field} {bound(first)}..{bound(last)}", "etag": etag(body)}
        if self.changed:
            headers["last-modified"] = http_date(self.changed)
        if len(span) == high - low:
            return Answer(200, body, headers)
        return Answer(206, body, headers | {"next-range": wanted.following(last)})


def _bounds(keys: list[str], wanted: Range) -> tuple[int, int]:
    """Indexes of the first and behind the last record within the bounds. Descending, the start is the upper bound."""
    ascending = wanted.order == "asc"
    floor, ceiling = (wanted.start, wanted.end) if ascending else (wanted.end, wanted.start)
    open_floor, open_ceiling = (wanted.after, wanted.before) if ascending else (wanted.before, wanted.after)
    low = (bisect_right if open_floor else bisect_left)(keys, floor) if floor else 0
    high = (bisect_left if open_ceiling else bisect_right)(keys, ceiling) if ceiling else len(keys)
    return low, max(low, high)


def refused(message: str) -> Refusal:
    return Refusal(416, "requested_range_not_satisfiable", message)


def read_range(header: str | None, fields: tuple[str, ...]) -> Range:
    """Read a `Range` header for a list that may be ordered by `fields`; without one, its natural order.

    Tolerates the `id ..; ;` that some clients send. An end without a start, an unknown field, and a `max` that is not
    a positive number are 416; a `max` beyond the limit is taken as the limit (what Heroku does then is not
    established).
    """
    if header is None or not header.strip():
        return Range(fields[0])
    parts = _RANGE.match(header)
    if parts is None:
        raise refused(f"Invalid range: {header[:80]!r}")
    field, start, end = parts["field"], unquote(parts["start"]).strip(), unquote(parts["end"]).strip()
    if field not in fields:
        raise refused(f"Cannot order by {field}. Ordering is possible by: {', '.join(fields)}")
    if end and not start:
        raise refused("A range with an end needs a start")
    limit, order = _params(parts["params"] or "")
    return Range(field, start, end, bool(parts["after"]), bool(parts["before"]), limit, order)


def _params(text: str) -> tuple[int, Literal["asc", "desc"]]:
    limit = DEFAULT_MAX
    order: Literal["asc", "desc"] = "asc"
    for part in filter(None, (piece.strip() for piece in re.split("[;,]", text))):
        match [word.strip() for word in part.split("=", 1)]:
            case ["max", number] if _MAX.fullmatch(number) and int(number) > 0:
                limit = min(int(number), LARGEST_MAX)
            case ["order", ("asc" | "desc") as direction]:
                order = "desc" if direction == "desc" else "asc"
            case _:
                raise refused(f"Invalid range parameter: {part[:40]!r}")
    return limit, order
