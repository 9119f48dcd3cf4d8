"""What a gather may spend of a provider account's request budget: never the last requests, which are others'.

Keyed by the provider's own account, so that two connections to it share one purse.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable

from adapter.errors import BudgetReserved

_WINDOW = 128
"""Requests that are under way at most: more than a provider is asked at a time, and few enough that what others spend
meanwhile is seen before the rest goes."""
SHARERS = 4
"""Processes that are expected to spend from one budget, where several may: each for itself, and seen by the others in
what answers tell."""
_JUMP = 100
"""A budget seen this much higher than thought was filled meanwhile; less is not worth telling from the refill."""


class Purse:
    """Admits fetches while more than the reserve would be left, those first that matter most.

    `remaining` tells what is left as far as answers tell; None before any answer, when one request may find out.
    """

    def __init__(
        self,
        remaining: Callable[[], int | None],
        *,
        reserve: int,
        refill: float,
        sharers: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`refill` is the time in seconds in which one request flows back; `sharers` processes may spend at a time."""
        self._remaining = remaining
        self._reserve = reserve
        self._refill = refill
        self._sharers = sharers
        self._clock = clock
        self._under_way = 0
        self._lowest: float | None = None
        self._lowest_at = 0.0
        self._lowest_turn = 0
        self._waiting: list[tuple[float, int, int, asyncio.Future[int | None]]] = []
        self._turns = itertools.count(1)
        """Puts what happens in order: answers may overtake one another."""
        self._draining = False
        self._told = False
        """Whether a fetch has come back, after which nothing more is to be found out."""
        self._closed_until = 0.0
        self._refused = False
        """Whether nothing has been sent since the provider refused; one fetch then finds out whether it is over."""
        self._finding_out = False

    async def admit(self, priority: float, cost: int = 1) -> int:
        """Return when a fetch of `cost` requests may go; BudgetReserved where that would go below the reserve.

        Of those that wait, the ones with the lower `priority` go first. Answers the turn of admission, for `settle`.
        """
        future: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._turns), cost, future))
        self._drain_soon()
        try:
            turn = await future
        except asyncio.CancelledError:
            turn = future.result() if not future.cancelled() else None
            if turn is not None:
                self.settle(turn, cost)
            raise
        if turn is None:
            raise BudgetReserved(headers={"retry-after": str(self.wait())})
        return turn

    def settle(self, turn: int, cost: int = 1) -> None:
        """A fetch that was admitted in a turn is over; take note of what is left now.

        More than was thought is believed only of what set out after that was: an older answer is merely late.
        """
        self._under_way = max(0, self._under_way - cost)
        self._told = True
        self._finding_out = False
        seen, known = self._remaining(), self._estimate()
        filled = known is not None and seen is not None and seen > known + _JUMP and turn > self._lowest_turn
        if seen is not None and (known is None or seen < known or filled):
            self._note(seen)
        if self._waiting:
            self._drain_soon()

    def back_off(self, seconds: float) -> None:
        """The provider refused for want of budget: nobody asks again before this is over."""
        self._closed_until = max(self._closed_until, self._clock() + seconds)
        self._refused = True
        self._note(0)

    def _note(self, left: float) -> None:
        self._lowest, self._lowest_at, self._lowest_turn = left, self._clock(), next(self._turns)

    def affordable(self) -> int | None:
        """Requests that may be made now; None where nothing is known of the budget."""
        if self._clock() < self._closed_until:
            return 0
        known = self._estimate()
        seen = self._remaining()
        if known is None and seen is None:
            return None
        left = min(value for value in (known, seen) if value is not None)
        return max(0, int(left) - self._under_way - self._reserve)

    def wait(self, requests: int = 1) -> int:
        """Seconds until so many requests may have flowed back above the reserve."""
        known = self._estimate()
        lacking = 0.0 if known is None else self._reserve + self._under_way + requests - known
        return max(1, round(max(lacking * self._refill, self._closed_until - self._clock())))

    def _estimate(self) -> float | None:
        if self._lowest is None:
            return None
        return self._lowest + (self._clock() - self._lowest_at) / self._refill

    def _has_room(self) -> bool:
        """Of what is left, our share alone is on its way at a time: what others take is seen before it runs out."""
        affordable = self.affordable()
        if affordable is None and not self._told:
            return not self._under_way
        share = max(1, (affordable + self._under_way) // self._sharers) if affordable else _WINDOW
        return self._under_way < min(share, _WINDOW) and not self._finding_out

    def _may_find_out(self) -> bool:
        """Once after a refusal, when its time is over: the budget may have been filled, or the refusal not meant us."""
        over = self._refused and self._clock() >= self._closed_until
        if over:
            self._refused, self._finding_out = False, True
        return over

    def _drain_soon(self) -> None:
        """Not at once: others are about to ask in the same tick, and may matter more."""
        if not self._draining:
            self._draining = True
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._drain)

    def _drain(self) -> None:
        self._draining = False
        while self._waiting and self._has_room():
            _, _, cost, future = heapq.heappop(self._waiting)
            if future.done():
                continue
            affordable = self.affordable()
            admitted = affordable is None or affordable >= cost or self._may_find_out()
            self._under_way += cost if admitted else 0
            future.set_result(next(self._turns) if admitted else None)
