"""Operations that nobody holds: picked up soon after their process died, left for `resume` once that is long ago.

Nobody who was hired again last week is to be removed today because a process comes back.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import structlog

from adapter.directory.writing.faults import words
from adapter.directory.writing.journal import Journal, Lost
from adapter.directory.writing.limits import Limits
from adapter.errors import AdapterError
from adapter.storage.dbclock import In
from adapter.storage.operation_rows import Late, Note

_SWEEP_SECONDS = 3600.0

# Its own, so that whoever seeds the interpreter's random numbers goes on getting the same ones.
_spread = random.Random().uniform  # noqa: S311  # no secret

_log = structlog.get_logger("adapter.writing")


class GoOn(Protocol):
    """Takes an operation into this process's hands, if nobody was faster."""

    def __call__(self, operation_id: str, /) -> Awaitable[object]: ...


class Watcher:
    """Looks for lapsed leases every few seconds, in every process."""

    def __init__(self, journal: Journal, limits: Limits, go_on: GoOn, *, held: Callable[[], frozenset[str]]) -> None:
        """`held` tells which operations are in this process's hands."""
        self._journal = journal
        self._limits = limits
        self._go_on = go_on
        self._held = held
        self._task: asyncio.Task[None] | None = None
        self._sweep_in = 0.0

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            try:
                await self.look()
            except AdapterError as error:
                _log.warning("watch_failed", code=error.code)
            # Processes that were started together do not look together.
            pause = self._limits.scan * _spread(0.8, 1.2)
            self._sweep_in -= pause
            await asyncio.sleep(pause)

    async def look(self) -> None:
        """Take up whatever nobody holds, once."""
        for late in await self._journal.store.late():
            if late.id in self._held():
                continue
            if late.by > self._limits.patience:
                await self._leave(late)
            else:
                await self._go_on(late.id)
        if self._sweep_in <= 0:
            await self._journal.store.sweep()
            self._sweep_in = _SWEEP_SECONDS

    async def _leave(self, late: Late) -> None:
        """Too long ago: whoever wants it still has to say so."""
        store, owner = self._journal.store, self._journal.owner
        if not await store.take(late.id, owner=owner, lease=self._journal.lease):
            return
        await lapse(self._journal, late.id, {"why": "left", "seconds": round(late.by)})


async def lapse(journal: Journal, operation_id: str, why: Mapping[str, Any], error: AdapterError | None = None) -> None:
    """Leave an operation that is ours for `resume`."""
    fields = {"status": "lapsed", "retry_at": None, "owner": None, "lease_until": In(0)}
    told = {"error": words(error)} if error is not None else {}
    try:
        await journal.note(operation_id, Note(fields=fields | told, events=[("lapsed", why)]))
    except Lost:
        return
    _log.warning("operation_lapsed", operation_id=operation_id)
