"""The purse: who may spend of a budget that others spend from too."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.directory import purse as module
from adapter.directory.purse import Purse
from adapter.errors import BudgetReserved
from tests.directory.fakes import Clock

REFILL = 0.8


class Bucket:
    """A provider's budget as it is, and as the last answer that arrived told it."""

    def __init__(self, left: int, clock: Clock, *, known: bool = True) -> None:
        self.left = left
        self.told: int | None = left if known else None
        self.clock = clock
        self.lowest = left

    def spend(self) -> int:
        self.left -= 1
        self.lowest = min(self.lowest, self.left)
        return self.left

    def purse(self, reserve: int = 500, sharers: int = 1) -> Purse:
        return Purse(lambda: self.told, reserve=reserve, refill=REFILL, sharers=sharers, clock=self.clock)


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def admitted(purse: Purse, wanted: int, cost: int = 1) -> list[int]:
    """The turns of those who were let in at once."""
    tries = [asyncio.create_task(purse.admit(0.0, cost)) for _ in range(wanted)]
    await ticks()
    turns = [task.result() for task in tries if task.done() and not task.exception()]
    for task in tries:
        task.cancel()
    await asyncio.gather(*tries, return_exceptions=True)
    return turns


async def ticks() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("left", "wanted", "cost", "expected"),
    [
        (600, 200, 1, 100),
        (501, 5, 1, 1),
        (500, 5, 1, 0),
        (3, 5, 1, 0),
        (0, 1, 1, 0),
        (600, 50, 7, 14),
        (4500, 1_000, 1, module._WINDOW),
    ],
)
async def test_so_many_are_let_in_as_leave_the_reserve(
    clock: Clock, left: int, wanted: int, cost: int, expected: int
) -> None:
    assert len(await admitted(Bucket(left, clock).purse(), wanted, cost)) == expected


async def test_whoever_is_refused_is_told_when_to_come_back(clock: Clock) -> None:
    bucket = Bucket(490, clock)
    purse = bucket.purse()
    purse.settle(turn=0)

    with pytest.raises(BudgetReserved) as refused:
        await purse.admit(0.0)

    assert refused.value.headers["retry-after"] == str(round(11 * REFILL))
    assert purse.wait(requests=25) == round(35 * REFILL)
    clock.tick(11.5 * REFILL)
    bucket.told = 501
    assert len(await admitted(purse, 5)) == 1


async def test_one_request_finds_out_what_nobody_knows(clock: Clock) -> None:
    bucket = Bucket(503, clock, known=False)
    purse = bucket.purse()
    tries = [asyncio.create_task(purse.admit(0.0)) for _ in range(10)]
    await ticks()
    assert [task.done() for task in tries] == [True] + [False] * 9

    bucket.told = bucket.spend()
    purse.settle(tries[0].result())
    await ticks()

    assert all(task.done() for task in tries)
    assert [task.exception() is None for task in tries] == [True] * 3 + [False] * 7


async def test_a_provider_that_tells_nothing_of_a_budget_stops_nobody(clock: Clock) -> None:
    purse = Bucket(0, clock, known=False).purse()
    purse.settle(await purse.admit(0.0))

    assert len(await admitted(purse, 1_000)) == module._WINDOW


async def test_those_that_matter_most_go_first_whoever_asked_first(clock: Clock) -> None:
    purse = Bucket(502, clock).purse()
    order = [3.0, float("-inf"), 0.0, -5.0]
    tries = await asyncio.gather(*map(purse.admit, order), return_exceptions=True)

    assert [not isinstance(turn, BudgetReserved) for turn in tries] == [False, True, False, True]


async def test_whoever_waits_for_room_goes_by_importance_too(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WINDOW", 1)
    bucket = Bucket(4500, clock)
    purse = bucket.purse()
    turn = await purse.admit(0.0)
    late, later, latest = (asyncio.create_task(purse.admit(priority)) for priority in (1.0, 0.0, -1.0))
    await ticks()

    purse.settle(turn)
    await ticks()

    assert [task.done() for task in (late, later, latest)] == [False, False, True]
    purse.settle(await latest)
    purse.settle(await later)
    purse.settle(await late)


async def test_whoever_leaves_takes_nothing_out_of_the_purse(clock: Clock) -> None:
    purse = Bucket(501, clock).purse()
    waiting, leaving = (asyncio.create_task(purse.admit(priority)) for priority in (1.0, 0.0))
    await asyncio.sleep(0)
    leaving.cancel()
    await ticks()
    assert (await waiting) > 0

    purse = Bucket(501, clock).purse()
    admitted_and_gone = asyncio.create_task(purse.admit(0.0))
    await asyncio.sleep(0)
    purse._drain()
    assert purse._under_way == 1
    admitted_and_gone.cancel()
    await asyncio.gather(admitted_and_gone, return_exceptions=True)
    assert admitted_and_gone.cancelled()
    assert purse._under_way == 0


async def test_after_a_refusal_for_want_of_budget_nobody_asks_before_it_is_over(clock: Clock) -> None:
    bucket = Bucket(4500, clock)
    purse = bucket.purse()
    turn = await purse.admit(0.0)
    purse.back_off(30)
    bucket.told = 0
    purse.settle(turn)

    assert purse.affordable() == 0
    assert purse.wait() == round(501 * REFILL)
    clock.tick(29)
    bucket.told = 4500
    assert await admitted(purse, 3) == []
    clock.tick(501 * REFILL)
    purse.settle(await purse.admit(0.0))
    assert len(await admitted(purse, 3)) == 3


async def test_once_a_refusal_is_over_one_request_finds_out_whether_the_budget_is_back(clock: Clock) -> None:
    bucket = Bucket(4500, clock)
    purse = bucket.purse()
    turn = await purse.admit(0.0)
    bucket.told = 0
    purse.back_off(30)
    purse.settle(turn)
    clock.tick(30)

    tries = [asyncio.create_task(purse.admit(0.0)) for _ in range(3)]
    await ticks()
    assert [task.done() for task in tries] == [True, False, False]
    bucket.told = 4499
    purse.settle(tries[0].result())
    await ticks()

    assert all(task.done() and not task.exception() for task in tries)


async def test_a_budget_that_is_not_back_costs_one_request_to_find_out(clock: Clock) -> None:
    bucket = Bucket(4500, clock)
    purse = bucket.purse()
    purse.back_off(30)
    bucket.told = 0
    clock.tick(30)

    probe = await purse.admit(0.0)
    purse.settle(probe)

    assert await admitted(purse, 3) == []


@pytest.mark.parametrize(("left", "at_once"), [(4500, 128), (900, 100), (520, 5), (502, 1), (500, 0)])
async def test_of_what_several_processes_share_each_spends_its_part_at_a_time(
    clock: Clock, left: int, at_once: int
) -> None:
    assert len(await admitted(Bucket(left, clock).purse(sharers=4), 500)) == at_once


async def test_a_shorter_refusal_does_not_end_a_longer_one(clock: Clock) -> None:
    purse = Bucket(4500, clock).purse(reserve=0)
    purse.back_off(100)
    purse.back_off(1)

    clock.tick(50)
    assert purse.affordable() == 0


async def test_a_budget_that_was_filled_up_is_believed_of_a_request_that_set_out_since(clock: Clock) -> None:
    bucket = Bucket(600, clock)
    purse = bucket.purse()
    early, turn = await purse.admit(0.0), await purse.admit(0.0)
    bucket.told = 510
    purse.settle(turn)
    bucket.told = 4000
    purse.settle(early)
    assert purse.affordable() == 10

    purse.settle(await purse.admit(0.0))
    assert purse.affordable() == 3500


async def test_what_others_spend_is_noticed_before_the_rest_goes(clock: Clock) -> None:
    bucket = Bucket(4500, clock)
    purse = bucket.purse()
    tries = [asyncio.create_task(purse.admit(0.0)) for _ in range(1_000)]
    await ticks()
    bucket.told = 505
    under_way = [task for task in tries if task.done()]
    for task in under_way:
        purse.settle(task.result())
    await ticks()

    assert len(under_way) == module._WINDOW
    assert sum(task.done() and not task.exception() for task in tries) == module._WINDOW + 5
    assert all(task.done() for task in tries)
    await asyncio.gather(*tries, return_exceptions=True)


@settings(max_examples=60, deadline=None)
@given(
    left=st.integers(0, 900),
    wanted=st.integers(1, 700),
    reserve=st.integers(0, 600),
    known=st.booleans(),
    seed=st.integers(0, 2**32),
)
async def test_the_reserve_is_never_touched_whatever_the_order_of_answers(
    left: int, wanted: int, reserve: int, known: bool, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311  # an order of events, not a secret
    bucket = Bucket(left, Clock(), known=known)
    purse = bucket.purse(reserve)

    async def fetch() -> None:
        turn = await purse.admit(chance.random())
        await pause(chance)
        answer = bucket.spend()
        # Its answer takes a way of its own, and may be overtaken.
        await pause(chance)
        bucket.told = answer
        purse.settle(turn)

    outcomes = await asyncio.gather(*(fetch() for _ in range(wanted)), return_exceptions=True)

    spent = sum(outcome is None for outcome in outcomes)
    assert all(outcome is None or isinstance(outcome, BudgetReserved) for outcome in outcomes)
    probe = 0 if known else 1
    assert bucket.lowest >= min(left - probe, reserve)
    if known and wanted <= min(left - reserve, module._WINDOW):
        assert spent == wanted
    assert purse._under_way == 0


async def pause(chance: random.Random) -> None:
    for _ in range(chance.choice((0, 1, 2, 30))):
        await asyncio.sleep(0)
