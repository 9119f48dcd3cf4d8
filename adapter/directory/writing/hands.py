"""The operations in this process's hands: begun here, or taken up where another process left them."""

import asyncio
import time
from typing import Any

import structlog

from adapter.directory.writing.faults import words
from adapter.directory.writing.journal import Journal, Lost
from adapter.directory.writing.limits import Limits
from adapter.directory.writing.model import UNFINISHED
from adapter.directory.writing.places import Places
from adapter.directory.writing.resuming import Watcher, lapse
from adapter.directory.writing.running import Run
from adapter.directory.writing.work import Work, WorkMaker
from adapter.errors import AdapterError, StorageUnavailable
from adapter.storage.dbclock import In
from adapter.storage.operation_rows import Note
from adapter.storage.operations import GOING

_GLANCE = 0.25

_log = structlog.get_logger("adapter.writing")


class Hands:
    """Runs by operation. No run ends because whoever asked has left."""

    def __init__(self, journal: Journal, places: Places, work: WorkMaker, limits: Limits) -> None:
        self._journal = journal
        self._places = places
        self._work = work
        self._limits = limits
        self._runs: dict[str, tuple[Run, asyncio.Task[None]]] = {}
        self._closing = False
        self.watcher = Watcher(journal, limits, self.take_up, held=lambda: frozenset(self._runs))

    async def carry_out(self, operation_id: str, work: Work, *, anew: bool = False, left_behind: bool = False) -> None:
        """Begin to carry out an operation whose lease is ours. `anew`: by a new plan; `left_behind`: by its plan, of
        which each step is held against what the provider shows now.
        """
        self.watcher.start()
        row = await self._journal.store.get(operation_id)
        if row is None:
            return
        run = Run(
            await self._journal.read(operation_id),
            work,
            self._journal,
            self._places,
            self._limits,
            left_behind=left_behind,
        )
        run.halt.by(closing=self._closing, stop=row.stop)
        task = asyncio.create_task(self._guarded(run, anew=anew, waits_for=tuple(row.waits_for)))
        self._runs[operation_id] = (run, task)
        task.add_done_callback(lambda _: self._runs.pop(operation_id, None))

    async def take_up(self, operation_id: str, *, also_lapsed: bool = False) -> None:
        """Go on with an operation, if nobody holds it."""
        statuses = (*GOING, "lapsed") if also_lapsed else GOING
        store, owner, lease = self._journal.store, self._journal.owner, self._journal.lease
        if operation_id in self._runs or not await store.take(
            operation_id, owner=owner, lease=lease, statuses=statuses
        ):
            return
        try:
            operation = await self._journal.read(operation_id)
            standing = await self._journal.note(operation_id, Note(events=[("picked_up", {})]))
        except Lost:
            return
        try:
            work = await self._work(operation.account_id)
        except StorageUnavailable:
            raise
        except AdapterError as error:
            # The account can't be used at the moment. It is tried again once the lease has lapsed.
            _log.warning("operation_not_taken_up", operation_id=operation_id, code=error.code)
            if standing.left <= 0:
                await lapse(self._journal, operation_id, {"why": error.code}, error)
            return
        await self.carry_out(operation_id, work, left_behind=True)

    def stop(self, operation_id: str, reason: Any) -> None:
        """Tell a run of this process at once what others hear with their next sign of life."""
        if operation_id in self._runs:
            self._runs[operation_id][0].halt.by(stop=reason)

    async def ended(self, operation_id: str, seconds: float) -> None:
        """Return when the operation has ended, here or anywhere, at the latest after so many seconds."""
        over = time.monotonic() + seconds
        while (left := over - time.monotonic()) > 0:
            if (held := self._runs.get(operation_id)) is not None:
                await asyncio.wait({held[1]}, timeout=left)
            row = await self._journal.store.status(operation_id)
            if row not in UNFINISHED or row == "lapsed":
                return
            await asyncio.sleep(min(_GLANCE, left))

    async def close(self) -> None:
        """What is being sent is finished and written down; the rest is left to other processes."""
        self._closing = True
        await self.watcher.close()
        tasks = [task for _, task in self._runs.values()]
        for run, _ in self._runs.values():
            run.halt.by(closing=True)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._limits.grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _guarded(self, run: Run, *, anew: bool, waits_for: tuple[str, ...]) -> None:
        operation_id = run.operation.id
        try:
            await run.go(anew=anew, waits_for=waits_for)
        except Lost:
            _log.info("operation_lost", operation_id=operation_id)
        except StorageUnavailable:
            _log.warning("operation_left", operation_id=operation_id)
        except Exception as error:  # noqa: BLE001  # a fault of ours, told below and ended there
            _log.exception("operation_broke", operation_id=operation_id)
            await self._broke(operation_id, error)

    async def _broke(self, operation_id: str, error: Exception) -> None:
        """A fault of ours ends the operation where it stands: it would only be run into again."""
        said = words(error if isinstance(error, AdapterError) else AdapterError())
        fields = {"status": "partial", "error": said, "finished_at": In(0), "owner": None, "lease_until": In(0)}
        try:
            await self._journal.firmly(operation_id, Note(fields=fields, events=[("finished", {"status": "partial"})]))
        except (Lost, AdapterError):
            _log.warning("operation_left", operation_id=operation_id)
