"""Many questions in one tick are one question."""

import asyncio
from collections.abc import Mapping

import pytest

from adapter.directory.batches import Batch


class Oracle:
    """Doubles numbers; fails for those in `bad`; leaves out those in `unknown`; waits while `gate` is shut."""

    def __init__(self) -> None:
        self.rounds: list[list[int]] = []
        self.bad: set[int] = set()
        self.unknown: set[int] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self.batch: Batch[int, int] = Batch(self.answer)

    async def answer(self, numbers: list[int]) -> Mapping[int, int]:
        self.rounds.append(numbers)
        await self.gate.wait()
        if self.bad & set(numbers):
            raise ValueError(numbers)
        return {number: 2 * number for number in numbers if number not in self.unknown}


async def begun(oracle: Oracle, rounds: int) -> None:
    while len(oracle.rounds) < rounds:  # noqa: ASYNC110  # turns of the loop are what is waited for, not time
        await asyncio.sleep(0)


async def test_questions_of_one_tick_are_one_round_with_each_key_once() -> None:
    oracle = Oracle()

    answers = await asyncio.gather(*(oracle.batch.ask(number % 10) for number in range(100)))

    assert answers == [2 * (number % 10) for number in range(100)]
    assert oracle.rounds == [list(range(10))]


async def test_what_is_asked_meanwhile_is_the_next_round() -> None:
    oracle = Oracle()
    oracle.gate.clear()
    first = asyncio.create_task(oracle.batch.ask(1))
    await begun(oracle, 1)
    others = [asyncio.create_task(oracle.batch.ask(number)) for number in (1, 2, 3)]
    await asyncio.sleep(0)
    assert oracle.rounds == [[1]]

    oracle.gate.set()

    assert await asyncio.gather(first, *others) == [2, 2, 4, 6]
    assert oracle.rounds == [[1], [1, 2, 3]]


async def test_an_answer_is_not_kept() -> None:
    oracle = Oracle()
    await oracle.batch.ask(1)
    await oracle.batch.ask(1)

    assert oracle.rounds == [[1], [1]]


async def test_an_error_reaches_everybody_of_its_round_and_nobody_else() -> None:
    oracle = Oracle()
    oracle.bad = {2}
    oracle.gate.clear()
    failing = [asyncio.create_task(oracle.batch.ask(number)) for number in (1, 2)]
    await begun(oracle, 1)
    later = asyncio.create_task(oracle.batch.ask(3))
    await asyncio.sleep(0)
    oracle.gate.set()

    assert [str(error) for error in await asyncio.gather(*failing, return_exceptions=True)] == ["[1, 2]"] * 2
    assert await later == 6


async def test_an_answer_that_lacks_a_key_fails_rather_than_hangs() -> None:
    oracle = Oracle()
    oracle.unknown = {2}

    answers = await asyncio.wait_for(
        asyncio.gather(*(oracle.batch.ask(number) for number in (1, 2)), return_exceptions=True), 5
    )

    assert answers[0] == 2
    assert isinstance(answers[1], KeyError)
    assert await oracle.batch.ask(3) == 6


async def test_whoever_leaves_takes_nobody_along() -> None:
    oracle = Oracle()
    oracle.gate.clear()
    leaving, staying = (asyncio.create_task(oracle.batch.ask(1)) for _ in range(2))
    await begun(oracle, 1)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    oracle.gate.set()

    assert await staying == 2
    assert oracle.rounds == [[1]]


async def test_an_error_that_nobody_waits_for_any_more_is_nobodys() -> None:
    oracle = Oracle()
    oracle.bad = {1}
    asking = asyncio.create_task(oracle.batch.ask(1))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await oracle.batch.idle()

    assert oracle.rounds == [[1]]


async def test_idle_waits_for_all_rounds() -> None:
    oracle = Oracle()
    await oracle.batch.idle()
    asking = [asyncio.create_task(oracle.batch.ask(number)) for number in range(3)]
    await asyncio.sleep(0)

    await oracle.batch.idle()

    assert all(task.done() for task in await settled(asking))


async def settled(tasks: list[asyncio.Task[int]]) -> list[asyncio.Task[int]]:
    await asyncio.gather(*tasks)
    return tasks


async def test_a_round_that_is_cut_off_cancels_who_waits_for_it() -> None:
    oracle = Oracle()
    oracle.gate.clear()
    asking = asyncio.create_task(oracle.batch.ask(1))
    await begun(oracle, 1)
    assert oracle.batch._worker is not None
    oracle.batch._worker.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asking
