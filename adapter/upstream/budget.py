"""What is left of an account's request budget, as far as its answers tell: observed, then estimated with the refill."""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

from adapter.upstream.protocol import BudgetRule, Headers


class Budget:
    """One provider account's budget. Nothing in it is exact: others spend from the same bucket between two answers."""

    __slots__ = ("_at", "_clock", "_multiplier", "_rule", "_seen", "_seen_at", "_window", "capacity", "per_second")

    def __init__(self, rule: BudgetRule, clock: Callable[[], float] = time.monotonic) -> None:
        self._rule = rule
        self._clock = clock
        self._seen: int | None = None
        self._grant(1.0)
        self._at = 0.0
        self._seen_at = 0.0
        self._window = rule.window

    @property
    def observed_at(self) -> datetime | None:
        """When an answer last told."""
        return datetime.fromtimestamp(self._seen_at, UTC) if self._seen_at else None

    @property
    def remaining(self) -> int | None:
        """Requests left by now, the refill since the last answer included; None before any answer."""
        if self._seen is None:
            return None
        return min(self.capacity, int(self._seen + (self._clock() - self._at) * self.per_second))

    def observe(self, headers: Headers) -> None:
        """Take note of an answer; one that doesn't tell changes nothing."""
        seen = self._rule.observe(headers)
        if seen is not None:
            self._seen, multiplier = seen
            if multiplier != self._multiplier:
                self._grant(multiplier)
            self._at = self._clock()
            self._seen_at = time.time()

    def _grant(self, multiplier: float) -> None:
        """Heroku may give an account a larger bucket: so many times as much, and as fast."""
        self._multiplier = multiplier
        self.capacity = int(self._rule.capacity * multiplier)
        """Requests in a full bucket."""
        self.per_second = self._rule.per_minute * multiplier / 60
        """Requests that flow back in a second."""

    def exhausted(self) -> None:
        """Take note of a refusal for want of budget."""
        self._seen, self._at, self._seen_at = 0, self._clock(), time.time()

    def headers(self) -> list[tuple[str, str]]:
        """`ratelimit-*` for our answers; a budget that nobody has seen yet is taken for full.

        The reset is in seconds: when the bucket will be full again, if nobody takes from it.
        """
        return [(name.decode(), value.decode()) for name, value in self.raw_headers()]

    def raw_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The same, as they go over the wire."""
        left = self.remaining
        return _shown(self.capacity, self.capacity if left is None else left, self.per_second, self._window)


@lru_cache(maxsize=4096)
def _shown(capacity: int, left: int, per_second: float, window: int) -> tuple[tuple[bytes, bytes], ...]:
    """Kept, since every answer has them and few numbers stand in them."""
    return (
        (b"ratelimit-limit", b"%d;w=%d" % (capacity, window)),
        (b"ratelimit-remaining", b"%d" % left),
        (b"ratelimit-reset", b"%d" % (math.ceil((capacity - left) / per_second) if left < capacity else 0)),
    )
