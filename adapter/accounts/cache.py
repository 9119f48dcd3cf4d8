"""A short memory in front of the store, so that a request costs no database and a change acts within seconds."""

import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from cachetools import TTLCache

V = TypeVar("V")

MAX_AGE = 4.0
"""Seconds. What is changed on another process acts here after at most so long: the contract says 5."""


class ShortCache(Generic[V]):
    """At most `size` values, each for `MAX_AGE`; absence is not remembered, so strangers can't fill it.

    A value whose reading began before a `drop` is not kept after it: the reader may have seen the old row.
    """

    def __init__(self, size: int, *, timer: Callable[[], float] = time.monotonic) -> None:
        self._values: TTLCache[object, V] = TTLCache(size, MAX_AGE, timer=timer)
        self._drops = 0

    async def get(self, key: object, read: Callable[[], Awaitable[V | None]]) -> V | None:
        """The value of `key`, read if it is not remembered."""
        known = self._values.get(key)
        if known is not None:
            return known
        drops = self._drops
        value = await read()
        if value is not None and drops == self._drops:
            self._values[key] = value
        return value

    def drop(self, which: Callable[[V], bool]) -> None:
        """Forget every value for which `which` holds."""
        self._drops += 1
        for key, value in list(self._values.items()):
            if which(value):
                self._values.pop(key, None)

    def __len__(self) -> int:
        return len(self._values)
