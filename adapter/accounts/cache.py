"""A short memory in front of the store, so that a request costs no database and a change acts within seconds."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

V = TypeVar("V")

MAX_AGE = 4.0
"""Seconds. What is changed on another process acts here after at most so long: the contract says 5."""


class ShortCache(Generic[V]):
    """At most `size` values, each for `MAX_AGE`; absence is not remembered, so strangers can't fill it.

    Who asks while a value is being read waits for that reading: when it lapses under load, it is read once. A value
    whose reading began before a `drop` is not kept after it, nor given to who asks later: the reader may have seen the
    old row. A plain dict, in the order of age, since every raw request looks here twice.
    """

    def __init__(self, size: int, *, timer: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._timer = timer
        self._values: dict[object, tuple[float, V]] = {}
        self._readings: dict[object, asyncio.Task[V | None]] = {}

    def at_hand(self, key: object) -> V | None:
        """The value of `key` where it is remembered: for whoever would rather not wait for a coroutine to say so."""
        known = self._values.get(key)
        return known[1] if known is not None and self._timer() < known[0] else None

    async def get(self, key: object, read: Callable[[], Awaitable[V | None]]) -> V | None:
        """The value of `key`, read if it is not remembered."""
        known = self.at_hand(key)
        if known is not None:
            return known
        reading = self._readings.get(key)
        if reading is None:
            reading = self._readings[key] = asyncio.get_running_loop().create_task(self._read(key, read))
            reading.add_done_callback(lambda done: self._over(key, done))
        # A caller who goes away must not take the reading from the others.
        return await asyncio.shield(reading)

    def drop(self, which: Callable[[V], bool]) -> None:
        """Forget every value for which `which` holds."""
        self._readings.clear()
        self._values = {key: kept for key, kept in self._values.items() if not which(kept[1])}

    def __len__(self) -> int:
        return len(self._values)

    async def _read(self, key: object, read: Callable[[], Awaitable[V | None]]) -> V | None:
        value = await read()
        if value is not None and self._readings.get(key) is asyncio.current_task():
            self._keep(key, value)
        return value

    def _keep(self, key: object, value: V) -> None:
        self._values.pop(key, None)
        while len(self._values) >= self._size:
            del self._values[next(iter(self._values))]
        self._values[key] = (self._timer() + MAX_AGE, value)

    def _over(self, key: object, done: "asyncio.Task[V | None]") -> None:
        if self._readings.get(key) is done:
            del self._readings[key]
        if not done.cancelled():
            done.exception()  # told to whoever waits; if nobody does any more, it is not to be complained about
