"""One provider account's share of us: its budget and its slots, whoever asks and through whichever connection."""

import asyncio
from collections import deque
from types import TracebackType

from adapter.errors import Unavailable
from adapter.upstream.budget import Budget


class Slots:
    """A semaphore that can be taken without a coroutine while it is free, as it nearly always is."""

    __slots__ = ("_waiting", "free")

    def __init__(self, count: int) -> None:
        self.free = count
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """One, if there is one; while any is free, nobody waits."""
        if not self.free:
            return False
        self.free -= 1
        return True

    async def acquire(self) -> None:
        """One, in the order of asking."""
        if not self.take():
            await self.wait(asyncio.get_running_loop().create_future())

    async def wait(self, turn: "asyncio.Future[None]") -> None:
        """One when it is our turn; whoever gives `turn` may end the wait by an exception."""
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.release()  # it came in the same moment
            raise

    def release(self) -> None:
        """Hand it to whoever has waited longest, or lay it back."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1


class Lane:
    """At most `slots` requests at a time. Background work (walks of whole lists) leaves an eighth of them to others,
    so that a long queue of it never stands before somebody who waits for one answer.
    """

    __slots__ = (
        "__weakref__",
        "_background",
        "_patience",
        "_patient",
        "_slots",
        "_watched",
        "budget",
        "release",
        "take",
    )

    def __init__(self, budget: Budget, *, slots: int, patience: float) -> None:
        self.budget = budget
        self._slots = Slots(slots)
        self._background = Slots(max(1, slots - slots // 8))
        self._patience = patience
        self._patient: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._watched = False
        self.take = self._slots.take
        self.release = self._slots.release

    async def acquire(self) -> None:
        """A slot, to be given back by `release`; Unavailable after `patience` seconds of waiting for one."""
        if not self.take():
            await self._slots.wait(self._patiently())

    def _patiently(self) -> "asyncio.Future[None]":
        """A turn that is waited for so long only. All are as patient, so that those who came first lose it first, and
        one timer does for them all.
        """
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._forget_done()
        self._patient.append((loop.time() + self._patience, turn))
        if not self._watched:
            self._watched = True
            loop.call_later(self._patience, self._lose_patience, loop)
        return turn

    def _lose_patience(self, loop: asyncio.AbstractEventLoop) -> None:
        self._forget_done()
        while self._patient and self._patient[0][0] <= loop.time():
            self._patient.popleft()[1].set_exception(_crowded())
            self._forget_done()
        self._watched = bool(self._patient)
        if self._watched:
            loop.call_at(self._patient[0][0], self._lose_patience, loop)

    def _forget_done(self) -> None:
        while self._patient and self._patient[0][1].done():
            self._patient.popleft()

    def foreground(self) -> "_Slot":
        return _Slot(self)

    def background(self) -> "_BackgroundSlot":
        """A slot that is waited for as long as it takes."""
        return _BackgroundSlot(self._background, self._slots)


def _crowded() -> Unavailable:
    return Unavailable(
        "As many requests as may be are already under way for this account; try again in a moment.",
        headers={"retry-after": "1"},
    )


class _Slot:
    __slots__ = ("_lane",)

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    async def __aenter__(self) -> None:
        await self._lane.acquire()

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._lane.release()


class _BackgroundSlot:
    __slots__ = ("_background", "_slots")

    def __init__(self, background: Slots, slots: Slots) -> None:
        self._background = background
        self._slots = slots

    async def __aenter__(self) -> None:
        await self._background.acquire()
        try:
            await self._slots.acquire()
        except BaseException:
            self._background.release()
            raise

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._slots.release()
        self._background.release()
