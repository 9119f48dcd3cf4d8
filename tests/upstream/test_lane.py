import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from adapter.errors import Unavailable
from adapter.upstream.budget import Budget
from adapter.upstream.lane import Lane
from adapter.upstream.protocol import RemainingHeader

RULE = RemainingHeader(capacity=4500, per_minute=75)


def lane(slots: int = 16, patience: float = 0.05) -> Lane:
    return Lane(Budget(RULE), slots=slots, patience=patience)


async def most_at_once(slot: Callable[[], AbstractAsyncContextManager[None]], tasks: int) -> int:
    now = most = 0

    async def one() -> None:
        nonlocal now, most
        async with slot():
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1

    await asyncio.gather(*(one() for _ in range(tasks)))
    return most


async def test_no_more_than_the_slots_are_taken_at_once() -> None:
    assert await most_at_once(lane(patience=5).foreground, 100) == 16


async def test_background_work_leaves_an_eighth_to_others_however_long_it_waits() -> None:
    assert await most_at_once(lane(patience=0.0001).background, 200) == 14


async def test_who_waits_for_an_answer_is_not_behind_the_background() -> None:
    shared = lane()
    held = [shared.background() for _ in range(50)]
    waiting = [asyncio.create_task(each.__aenter__()) for each in held]
    await asyncio.sleep(0)

    async with asyncio.timeout(1), shared.foreground():
        assert sum(task.done() for task in waiting) == 14
    for task in waiting:
        task.cancel()


async def test_patience_ends_with_word_of_when_to_come_again() -> None:
    shared = lane(slots=1)
    async with shared.foreground():
        with pytest.raises(Unavailable) as caught:
            await shared.acquire()
    await shared.acquire()

    assert caught.value.headers == {"retry-after": "1"}


async def test_each_waits_as_long_as_any_other_whoever_was_served_or_went_before() -> None:
    shared = lane(slots=1, patience=0.2)
    await shared.acquire()
    served, gone, crowded = [asyncio.create_task(shared.acquire()) for _ in range(3)]
    await asyncio.sleep(0.1)
    late = asyncio.create_task(shared.acquire())
    shared.release()
    gone.cancel()
    await asyncio.wait({crowded})

    assert (served.done(), gone.cancelled(), late.done()) == (True, True, False)
    assert isinstance(crowded.exception(), Unavailable)
    with pytest.raises(Unavailable):
        await late
    shared.release()
    assert shared.take()
    assert not shared.take()


async def test_who_is_cancelled_as_patience_ends_gives_back_no_slot_that_was_not_had() -> None:
    shared = lane(slots=1, patience=0.01)
    await shared.acquire()
    waiting = asyncio.create_task(shared.acquire())
    await asyncio.sleep(0)
    shared._patient[0][1].set_exception(Unavailable())
    waiting.cancel()
    await asyncio.wait({waiting})

    assert waiting.cancelled()
    assert not shared.take()


async def test_a_cancelled_wait_takes_no_slot_with_it() -> None:
    shared = lane(slots=8, patience=5)
    slots = [shared.background() for _ in range(8)]
    tasks = [asyncio.create_task(each.__aenter__()) for each in slots]
    await asyncio.sleep(0)
    waiting = [task for task in tasks if not task.done()]
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for each, task in zip(slots, tasks, strict=True):
        if not task.cancelled():
            await each.__aexit__(None, None, None)

    assert await most_at_once(shared.foreground, 30) == 8
    assert await most_at_once(shared.background, 30) == 7
