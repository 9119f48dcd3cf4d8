"""Tests that run on asyncio's own loop and on uvloop, and must leave nothing behind on either."""

import asyncio
import functools
import gc
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from adapter.upstream.connection import Connection
from adapter.upstream.reply import StreamedReply

_LOOPS = [asyncio.SelectorEventLoop, uvloop.new_event_loop]


def on_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """No connection and no task may outlive the test, and the loop may have nothing to complain of."""

    @functools.wraps(test)
    def run(*, loop_factory: Callable[[], asyncio.AbstractEventLoop], **given: Any) -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(_leaving_nothing(test(**given)))

    of_loops = inspect.Parameter("loop_factory", inspect.Parameter.KEYWORD_ONLY)
    signature = inspect.signature(test)
    vars(run)["__signature__"] = signature.replace(parameters=[*signature.parameters.values(), of_loops])
    both: Callable[..., None] = pytest.mark.parametrize("loop_factory", _LOOPS, ids=["asyncio", "uvloop"])(run)
    return both


async def _leaving_nothing(test: Coroutine[Any, Any, None]) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    gc.freeze()  # what ran before, in the same process, may hold what it likes
    try:
        await test
        for _ in range(8):
            await asyncio.sleep(0)
        assert _held() == []
    finally:
        gc.unfreeze()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert complaints == []


def _held() -> list[Connection | StreamedReply]:
    gc.collect()
    return [held for held in gc.get_objects() if isinstance(held, Connection | StreamedReply)]
