"""Many small questions asked in one tick of the loop, answered by one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Batch(Generic[Key, Value]):
    """`ask` waits for the next round; `answer` gets all its keys at once, and while it works the next round gathers."""

    def __init__(self, answer: Callable[[list[Key]], Awaitable[Mapping[Key, Value]]]) -> None:
        self._answer = answer
        self._asked: dict[Key, asyncio.Future[Value]] = {}
        self._worker: asyncio.Task[None] | None = None

    async def ask(self, key: Key) -> Value:
        """The answer for one key; the error of its whole round where that failed."""
        future = self._asked.get(key)
        if future is None:
            future = self._asked[key] = asyncio.get_running_loop().create_future()
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await asyncio.shield(future)

    async def idle(self) -> None:
        """Return when every round that has begun is over."""
        while self._worker is not None and not self._worker.done():
            await asyncio.wait({self._worker})

    async def _work(self) -> None:
        while self._asked:
            # Whoever else is about to ask in this tick comes along.
            await asyncio.sleep(0)
            asked, self._asked = self._asked, {}
            try:
                answers = await self._answer(list(asked))
                for key, future in asked.items():
                    if not future.done():
                        future.set_result(answers[key])
            except BaseException as error:
                _fail(asked, error)
                if not isinstance(error, Exception):
                    raise


def _fail(asked: Mapping[Key, asyncio.Future[Value]], error: BaseException) -> None:
    for future in asked.values():
        if not future.done():
            if isinstance(error, Exception):
                future.set_exception(error)
                future.exception()  # whoever asked may have left
            else:
                future.cancel()
