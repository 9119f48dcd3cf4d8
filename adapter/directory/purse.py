"""What a gather may spend of a provider account's request budget: never the last requests, which are others'.

Keyed by the provider's own account, so that two connections to it share one purse.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable

from adapter.errors import BudgetReserved

_JUMP = 100
"""A budget seen this much higher than thought was filled meanwhile; less is answers overtaking one another."""


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
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`refill` is the time in seconds in which one request flows back."""
        self._remaining = remaining
        self._reserve = reserve
        self._refill = refill
        self._clock = clock
        self._under_way = 0
        self._lowest: float | None = None
        self._lowest_at = 0.0
        self._waiting: list[tuple[float, int, int, asyncio.Future[bool]]] = []
        self._order = itertools.count()
        self._draining = False
        self._closed_until = 0.0

    async def admit(self, priority: float, cost: int = 1) -> None:
        """Return when a fetch of `cost` requests may go; BudgetReserved where that would go below the reserve.

        Of fetches that ask in the same tick, those with the lower `priority` go first.
        """
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._order), cost, future))
        if not self._draining:
            self._draining = True
            asyncio.get_running_loop().call_soon(self._soon)
        if not await future:
            raise BudgetReserved(headers={"retry-after": str(self.wait())})

    def settle(self, cost: int = 1) -> None:
        """A fetch that was admitted is over; take note of what is left now."""
        self._under_way = max(0, self._under_way - cost)
        seen = self._remaining()
        if seen is None:
            return
        known = self._estimate()
        if known is None or seen < known or seen > known + _JUMP:
            self._lowest, self._lowest_at = float(seen), self._clock()

    def back_off(self, seconds: float) -> None:
        """The provider refused for want of budget: nobody asks again before this is over."""
        self._closed_until = max(self._closed_until, self._clock() + seconds)
        self._lowest, self._lowest_at = 0.0, self._clock()

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

    def _soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._drain)

    def _drain(self) -> None:
        self._draining = False
        while self._waiting:
            _, _, cost, future = heapq.heappop(self._waiting)
            if future.done():
                continue
            affordable = self.affordable()
            admitted = affordable is None or affordable >= cost
            self._under_way += cost if admitted else 0
            future.set_result(admitted)
