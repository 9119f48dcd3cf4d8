"""How many connections to the database are asked for at a time: as many as the pool has, or as the server lets in.

A server that is full refuses each attempt at some cost, and whoever keeps attempting takes the place of others. So
after a refusal no more are asked for than were there then: callers wait for one of these in the order of asking, and
only after a while it is found out whether there is room again.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

_NARROW_SECONDS = 30.0
"""How long no more are asked for than a full server let in."""


class Gate:
    """`most` pass at a time; whoever has passed calls `leave` in the end, and `narrow` where the server refused."""

    def __init__(self, most: int, *, timer: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._timer = timer
        self._inside = 0
        self._allowed = most
        self._narrow_until = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._empty: asyncio.Event | None = None

    async def enter(self, seconds: float) -> None:
        """Pass when it is our turn; TimeoutError when it is not for so long."""
        if self._inside < self._now_allowed() and not self._waiting:
            self._inside += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(seconds):
                await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.leave()  # it came in the same moment
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def leave(self) -> None:
        self._inside -= 1
        self._let_in()
        if self._empty is not None and not self._inside:
            self._empty.set()

    async def emptied(self, seconds: float) -> None:
        """Return when nobody is inside, at the latest after so many seconds."""
        self._empty = asyncio.Event()  # of the loop that runs now
        if self._inside:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), seconds)

    def narrow(self) -> bool:
        """The server let one who is inside have none: no more than the others, but always one; whether that is news."""
        was_narrow = self._timer() < self._narrow_until
        self._allowed = max(1, self._inside - 1)
        self._narrow_until = self._timer() + _NARROW_SECONDS
        return not was_narrow

    def _now_allowed(self) -> int:
        if self._timer() >= self._narrow_until:
            self._allowed = self._most
        return self._allowed

    def _let_in(self) -> None:
        while self._waiting and self._inside < self._now_allowed():
            turn = self._waiting.popleft()
            if not turn.cancelled():
                self._inside += 1
                turn.set_result(None)
