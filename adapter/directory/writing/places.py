"""One writer at a time for each place: in turn within the process, by the store's locks among processes.

Locks that are asked for, or given back, in the same moment share a transaction.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

import structlog

from adapter.directory.batches import Batch
from adapter.directory.writing.model import PlaceRef
from adapter.errors import StorageUnavailable
from adapter.storage.place_locks import PlaceLocks

_log = structlog.get_logger("adapter.writing")

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0


def key_of(place: PlaceRef) -> str:
    """By the provider's id: two connections may see one place."""
    return f"place:{place.kind}:{place.id}"


class Busy(Exception):
    """Somebody else writes to the place, and it was waited for long enough."""


class Places:
    """The places that one process writes to."""

    def __init__(self, locks: PlaceLocks, holder: str, *, seconds: float) -> None:
        """`seconds` is how long a lock outlives the process that held it."""
        self._locks = locks
        self._holder = holder
        self._seconds = seconds
        self._acquiring: Batch[str, bool] = Batch(self._acquire_all)
        self._releasing: Batch[str, bool] = Batch(self._release_all)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(self, place: PlaceRef | None, patient: Callable[[], bool]) -> AsyncIterator[str | None]:
        """The place's lock, waited for as long as `patient` says; its key, or None where nothing is held.

        Busy once patience is over.
        """
        if place is None:
            yield None
            return
        key = key_of(place)
        turn = self._turns.setdefault(key, asyncio.Lock())
        async with turn:
            await self._acquire(key, patient)
            try:
                yield key
            finally:
                await asyncio.shield(self._release(key))

    async def extend(self) -> None:
        """Hold whatever is held for longer."""
        await self._locks.extend(holder=self._holder, seconds=self._seconds)

    async def _release(self, key: str) -> None:
        try:
            await self._releasing.ask(key)
        except StorageUnavailable as error:
            _log.warning("place_not_released", place=key, code=error.code)  # its time runs out by itself

    async def _acquire(self, key: str, patient: Callable[[], bool]) -> None:
        pause = _FIRST_PAUSE
        while not await self._acquiring.ask(key):
            if not patient():
                raise Busy
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    async def _acquire_all(self, keys: list[str]) -> Mapping[str, bool]:
        granted = await self._locks.acquire(keys, holder=self._holder, seconds=self._seconds)
        return {key: key in granted for key in keys}

    async def _release_all(self, keys: list[str]) -> Mapping[str, bool]:
        await self._locks.release(keys, holder=self._holder)
        return dict.fromkeys(keys, True)
