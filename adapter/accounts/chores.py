"""What may be done a moment later: notes that no caller has to wait for, finished before the process ends."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

_log = structlog.get_logger(__name__)

_MOST = 1000


class Chores:
    """Background tasks by reference, so that none is lost; a failure is logged and nobody's answer suffers."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, name: str, work: Coroutine[Any, Any, object]) -> None:
        """Begin `work`; dropped where a thousand are under way: these are notes, not duties."""
        if len(self._tasks) >= _MOST:
            work.close()
            _log.warning("chore_dropped", chore=name)
            return
        task = asyncio.create_task(_run(name, work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Wait for everything begun so far."""
        while self._tasks:
            # Since Python 3.12, waiting for what is done already gives the loop no turn, and so no callback its chance.
            done, _ = await asyncio.wait(self._tasks)
            self._tasks -= done


async def _run(name: str, work: Coroutine[Any, Any, object]) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001  # whatever it was, nobody is waiting for it
        _log.warning("chore_failed", chore=name, error=type(error).__name__)
