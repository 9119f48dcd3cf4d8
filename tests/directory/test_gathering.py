"""Callers who come together share a gather, and none waits for longer than they were told."""

import asyncio

import pytest

from adapter.errors import DirectoryGathering
from tests.directory.fakes import two_teams
from tests.directory.house import EVERYBODY, INVITED, House, gaps, keys


async def test_callers_that_come_together_share_one_gather() -> None:
    house = House(two_teams())
    answers = await asyncio.gather(*(house.ask("limit=1") for _ in range(10)))

    assert len(house.provider.calls) == 11
    assert len({answer.next_cursor for answer in answers}) == 1


async def test_whoever_has_waited_long_enough_is_told_to_come_again() -> None:
    house = House(two_teams(), wait=0.01)
    gate = house.provider.block("/teams/t1/members")

    with pytest.raises(DirectoryGathering) as told:
        await house.ask()
    assert told.value.status == 503
    assert 1 <= int(told.value.headers["Retry-After"]) <= 60
    assert house.directory.gathering("acc") is not None

    gate.set()
    house.directory._wait = 5.0
    assert keys(await house.ask()) == sorted([*EVERYBODY, INVITED])
    assert house.provider.calls.count("/teams/t1/members") == 1
    assert house.directory.gathering("acc") is None


async def test_whoever_takes_part_of_an_answer_gets_what_is_there_and_is_told_what_is_not() -> None:
    house = House(two_teams())
    gate = house.provider.block("/teams/t1/members")
    waiting = asyncio.create_task(house.ask())
    await house.provider.begun["/teams/t1/members"].wait()
    for _ in range(200):
        await asyncio.sleep(0)
    house.directory._wait = 0.01

    part = await house.ask("allow_partial=true")

    assert "ada" not in keys(part)
    assert {"bob", "dan", "me"} <= set(keys(part))
    assert ("team_members", "gathering") in gaps(part)
    gate.set()
    assert keys(await waiting) == sorted([*EVERYBODY, INVITED])
    whole = await house.ask("allow_partial=true")
    assert keys(whole) == sorted([*EVERYBODY, INVITED])
    assert whole.missing == ()


async def test_an_answer_before_anything_was_read_is_partial_too() -> None:
    house = House(two_teams(), wait=0.01)
    house.provider.block("/teams")
    house.provider.block("/apps")
    house.provider.block("/enterprise-accounts")

    part = await house.ask("allow_partial=true")

    assert keys(part) == []
    assert {"team_members", "apps"} <= {unit for unit, _ in gaps(part)}
    await house.directory.close()


async def test_a_gather_begun_when_an_account_is_connected_is_the_one_that_a_list_waits_for() -> None:
    house = House(two_teams())
    gate = house.provider.block("/teams")
    await house.directory.begin("acc", house.provider)
    await house.provider.begun["/teams"].wait()
    asking = asyncio.create_task(house.ask())
    gate.set()

    assert len((await asking).records) == 6
    assert len(house.provider.calls) == 11


async def test_closing_leaves_nothing_running() -> None:
    house = House(two_teams())
    house.provider.block("/teams/t1/members")
    await house.directory.begin("acc", house.provider)
    asking = asyncio.create_task(house.ask())
    await house.provider.begun["/teams/t1/members"].wait()
    await house.touched("/teams/t1/members/x")
    other = asyncio.create_task(house.ask())
    await asyncio.sleep(0)

    await house.directory.close()
    await asyncio.gather(asking, other, return_exceptions=True)

    assert asyncio.all_tasks() == {asyncio.current_task()}
