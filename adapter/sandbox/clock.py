"""The sandbox's own time, which tests move forward and a demo may speed up."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import lru_cache


class Clock:
    """Time that starts at `start` (default: the wall clock's now) and runs at `speed` sandbox seconds a second."""

    def __init__(self, start: datetime | None = None, speed: float = 1.0) -> None:
        self._base = start or datetime.now(UTC)
        self._speed = speed
        self._mark = time.monotonic()

    @property
    def speed(self) -> float:
        return self._speed

    def now(self) -> datetime:
        return self._base + timedelta(seconds=(time.monotonic() - self._mark) * self._speed)

    def seconds(self) -> float:
        """Now as seconds of the epoch."""
        return self.now().timestamp()

    def advance(self, seconds: float) -> None:
        self._base += timedelta(seconds=seconds)

    def run_at(self, speed: float) -> None:
        """Change the speed from now on; what has passed stays passed."""
        self._base, self._mark, self._speed = self.now(), time.monotonic(), speed

    def stamp(self) -> str:
        """Now as Heroku writes it, e.g. `2026-01-02T03:04:05Z`."""
        return stamp(self.now())


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=4096)
def http_date(iso: str) -> str:
    """`2026-01-02T03:04:05Z` as the HTTP date of a `Last-Modified` header."""
    return format_datetime(datetime.fromisoformat(iso), usegmt=True)
