"""An operation that waits until the provider's request budget has flowed back: all its steps together."""

import asyncio
import time

from adapter.directory.writing.journal import Journal
from adapter.directory.writing.limits import Halt
from adapter.storage.dbclock import In
from adapter.storage.operation_rows import Note


class OutOfTime(Exception):
    """The budget flows back later than the operation goes on by itself."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            "The provider's request budget is used up for longer than the operation waits; resume it later."
        )
        self.seconds = seconds


class Pauses:
    """The pauses of one operation, shown in its status."""

    def __init__(self, journal: Journal, operation_id: str, halt: Halt) -> None:
        self._journal = journal
        self._operation_id = operation_id
        self._halt = halt
        self._until = 0.0
        self._one = asyncio.Lock()

    async def wait(self, seconds: float) -> None:
        """Return after so many seconds, or once nothing is to be sent any more. OutOfTime; Lost; StorageUnavailable."""
        self._until = max(self._until, time.monotonic() + seconds)
        await self.until_open()

    async def until_open(self) -> None:
        """Wait with whoever waits already."""
        async with self._one:
            left = self._until - time.monotonic()
            if left > 0 and not self._halt.now:
                await self._shown(left)

    async def _shown(self, seconds: float) -> None:
        data = {"seconds": round(seconds, 1)}
        waiting = Note(fields={"status": "waiting", "retry_at": In(seconds)}, events=[("waiting", data)])
        standing = await self._journal.note(self._operation_id, waiting)
        if seconds > standing.left:
            raise OutOfTime(seconds)
        while (left := self._until - time.monotonic()) > 0 and not await self._halt.within(left):
            continue  # somebody may have learned meanwhile that it takes longer
        await self._journal.note(
            self._operation_id, Note(fields={"status": "running", "retry_at": None}, events=[("going_on", {})])
        )
