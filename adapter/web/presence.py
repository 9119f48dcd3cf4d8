"""Whether the caller is still there: whoever hangs up is not worked for any longer."""

import asyncio
from types import TracebackType
from typing import Self

from starlette.types import Receive

_AFTER = 0.25


class Gone(Exception):
    """The caller hung up while their body was being read."""


class Presence:
    """Around the part of a request in which nothing is read from the caller any more.

    Most requests are over before anybody could hang up, so the watch begins only after a quarter of a second: until
    then it costs one timer. When the caller goes, the body of the `with` is cancelled, and left without an error.
    """

    __slots__ = ("_gone", "_receive", "_task", "_timer", "_watch")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gone = False
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(_AFTER, self._begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if self._timer is not None:
            self._timer.cancel()
        if self._watch is not None:
            self._watch.cancel()
        if kind is asyncio.CancelledError and self._gone and self._task is not None:
            return self._task.uncancel() == 0
        return False

    def _begin(self) -> None:
        self._watch = asyncio.get_running_loop().create_task(self._watched())

    async def _watched(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        if self._task is not None:
            self._task.cancel()
