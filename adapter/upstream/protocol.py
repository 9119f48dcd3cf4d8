"""Heroku's temperament as pure, named strategies over (status, headers, body): no I/O in here.

`provider.yaml` chooses a strategy by its name (`strategy: range`) and gives its parameters; the tag of each struct is
that name, so msgspec's decoding is the table from name to class. Headers are looked up by lower-case names: an
`httpx.Headers` or a dict with lower-case keys will do. Marks as in our notes on the API: R recorded traffic,
D Heroku's documentation (https://devcenter.heroku.com/articles/platform-api-reference), C Heroku's own clients.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, ClassVar

import msgspec

Headers = Mapping[str, str]
Names = tuple[str, ...]


class _Strategy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="strategy"):
    """A named strategy: `strategy` in the file is the tag of the struct."""


class RangePaging(_Strategy, frozen=True, kw_only=True, tag="range"):
    """Lists by the `Range` header: `id ]<last>..; max=1000`, the way on in `Next-Range`. D R

    The header decides, not the status: some lists answer 206 and some 200 while more remains. C
    """

    max: Annotated[int, msgspec.Meta(ge=1)] = 1000
    """The largest page; 200 unless asked. D"""
    order: str = "id"
    """The field to page by where nobody chose one; `name` is known to stop early. C"""
    headers: ClassVar[frozenset[str]] = frozenset({"accept-ranges", "content-range", "next-range"})
    """What an answer tells of its range: spent once the page is in an envelope. R"""

    def first(self, order: str | None, page: int | None = None) -> dict[str, str]:
        """The headers of a first page by the field `order`; without one, none: the list comes as it pleases."""
        return {"range": f"{order} ..; max={self._size(page)}"} if order else {}

    def following(self, headers: Headers) -> str | None:
        """What leads on from this page, or None at the end of the list."""
        return (headers.get("next-range") or "").strip() or None

    def follow(self, continuation: str, page: int | None = None) -> dict[str, str]:
        """The headers of the page that `continuation` leads to, with another page size if one is given."""
        if page is not None:
            continuation = self._sized(continuation.rstrip("; "), f"max={self._size(page)}")
        return {"range": continuation}

    def _sized(self, continuation: str, size: str) -> str:
        """The parameters behind the first semicolon are parted by commas. D"""
        sized, times = re.subn(r"max=\d+", size, continuation)
        return sized if times else f"{continuation}{',' if ';' in continuation else ';'} {size}"

    def _size(self, page: int | None) -> int:
        return min(page or self.max, self.max)


class RemainingHeader(_Strategy, frozen=True, kw_only=True, tag="remaining_header"):
    """A token bucket of which each answer tells what remains: `RateLimit-Remaining`, scaled by `-Multiplier`. R D

    There is no header with the limit or the reset; both follow from `capacity` and `per_minute`. A 401 has neither. R
    """

    capacity: Annotated[int, msgspec.Meta(ge=1)]
    per_minute: Annotated[float, msgspec.Meta(gt=0)]

    def observe(self, headers: Headers) -> tuple[int, float] | None:
        """(requests that remain, multiplier of the account), or None where the answer does not tell."""
        remaining = headers.get("ratelimit-remaining")
        if not remaining or not remaining.isascii() or not remaining.isdigit():
            return None
        multiplier = headers.get("ratelimit-multiplier")
        return int(remaining[:9]), (_positive(multiplier) or 1.0) if multiplier else 1.0

    @property
    def window(self) -> int:
        """Seconds in which an empty bucket fills: 4,500 at 75 a minute take an hour."""
        return math.ceil(self.capacity * 60 / self.per_minute)


class IdAndMessage(_Strategy, frozen=True, kw_only=True, tag="id_and_message"):
    """Error bodies `{"id", "message"}`, sometimes with `url` and more; a suspended account is plain text. D C"""

    ids: Mapping[str, str] = {}
    """Status -> the id that the provider gives it, so that our own errors can be read by the provider's tools."""
    retry_after: Annotated[int, msgspec.Meta(ge=1)] = 30
    """Seconds to wait where a 429 names none: Heroku's own clients begin with 30. C"""
    retry_after_most: Annotated[int, msgspec.Meta(ge=1)] = 3600
    """More than this is not believed: `Retry-After` was once seen as an epoch timestamp. C"""

    def read(self, body: bytes) -> tuple[str | None, str | None, Any]:
        """(the provider's error id, its message, the body decoded or as text)."""
        try:
            raw = msgspec.json.decode(body) if body else None
        except msgspec.DecodeError:
            return None, None, body[:4096].decode("utf-8", "replace")
        if not isinstance(raw, dict):
            return None, None, raw
        return _text(raw.get("id")), _text(raw.get("message")), raw

    def id_of(self, status: int) -> str | None:
        """The provider's own error id for a status."""
        return self.ids.get(str(status)) or self.ids.get(f"{status // 100}xx")

    def wait(self, headers: Headers, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> int:
        """Whole seconds that a 429 asks to wait; `Retry-After` may be missing, seconds, a date, or an epoch time."""
        given = _seconds((headers.get("retry-after") or "").strip(), now)
        if given is None or not 0 <= given <= self.retry_after_most:
            return self.retry_after
        return max(1, math.ceil(given))


class ScopeHeaders(_Strategy, frozen=True, kw_only=True, tag="scope_headers"):
    """`oauth-scope` on an answer tells what the token has, `oauth-scope-accepted` which one of would do. R"""

    def held(self, headers: Headers) -> Names:
        return words(headers.get("oauth-scope"))

    def accepted(self, headers: Headers) -> Names:
        return words(headers.get("oauth-scope-accepted"))

    def missing(self, headers: Headers) -> Names:
        """The scopes any one of which would have opened this; empty where one is held or the answer doesn't tell."""
        accepted = self.accepted(headers)
        return () if set(accepted) & set(self.held(headers)) else accepted


Paging = RangePaging
BudgetRule = RemainingHeader
ErrorRule = IdAndMessage
ScopeRule = ScopeHeaders


def words(text: str | None) -> Names:
    """Scopes are split on spaces or commas. C"""
    return tuple(dict.fromkeys(re.findall(r"[^\s,]+", text or "")))


def value_at(data: Any, path: str) -> Any:
    """What stands at a dotted path of decoded JSON; None where nothing does."""
    for step in path.split("."):
        data = data.get(step) if isinstance(data, dict) else None
    return data


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _positive(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < 1000 else None


def _seconds(text: str, now: Callable[[], datetime]) -> float | None:
    if re.fullmatch(r"\d{1,10}(\.\d+)?", text):
        value = float(text)
        return value - now().timestamp() if value > 1e9 else value
    try:
        return (parsedate_to_datetime(text) - now()).total_seconds()
    except (TypeError, ValueError):
        return None
