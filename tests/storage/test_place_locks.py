"""One holder a place, for as long as its time runs."""

import asyncio

import pytest

from adapter.storage.database import Database
from adapter.storage.place_locks import PlaceLocks


@pytest.fixture
def locks(database: Database) -> PlaceLocks:
    return PlaceLocks(database)


async def test_a_place_has_one_holder_at_a_time(locks: PlaceLocks) -> None:
    held = await asyncio.gather(*(locks.acquire(["place:team:t"], holder=f"p{n}", seconds=30) for n in range(6)))

    assert sorted(map(len, held)) == [0] * 5 + [1]


async def test_another_place_is_free(locks: PlaceLocks) -> None:
    assert await locks.acquire(["place:team:t"], holder="one", seconds=30)

    assert await locks.acquire(["place:app:t"], holder="other", seconds=30)


async def test_a_released_place_is_free_and_nobody_elses_is_released(locks: PlaceLocks) -> None:
    assert await locks.acquire(["p"], holder="one", seconds=30)
    await locks.release(["p"], holder="other")
    assert not await locks.acquire(["p"], holder="other", seconds=30)

    await locks.release(["p"], holder="one")

    assert await locks.acquire(["p"], holder="other", seconds=30)


async def test_of_several_places_those_that_are_free_are_granted(locks: PlaceLocks) -> None:
    await locks.acquire(["b"], holder="other", seconds=30)
    await locks.acquire(["d"], holder="killed", seconds=-1)

    assert await locks.acquire(["d", "c", "b", "a"], holder="one", seconds=30) == {"a", "c", "d"}

    await locks.release(["a", "b", "c"], holder="one")
    assert await locks.acquire(["a", "b", "c", "d"], holder="third", seconds=30) == {"a", "c"}


async def test_those_who_ask_for_the_same_places_in_another_order_do_not_wait_for_each_other(locks: PlaceLocks) -> None:
    places = [f"p{n}" for n in range(20)]

    async def ask(holder: str, wanted: list[str]) -> int:
        return len(await locks.acquire(wanted, holder=holder, seconds=30))

    asked = (ask(f"h{n}", places if n % 2 else places[::-1]) for n in range(10))

    assert sorted(await asyncio.gather(*asked)) == [0] * 9 + [20]


async def test_what_a_killed_process_held_is_free_when_its_time_is_over(locks: PlaceLocks) -> None:
    assert await locks.acquire(["p"], holder="killed", seconds=-1)

    assert await locks.acquire(["p"], holder="other", seconds=30)


async def test_a_holder_holds_on_and_what_was_lost_is_not_extended(locks: PlaceLocks) -> None:
    assert await locks.acquire(["p"], holder="one", seconds=1)
    assert await locks.acquire(["lost"], holder="one", seconds=-1)
    await locks.extend(holder="one", seconds=30)

    assert await locks.acquire(["p"], holder="one", seconds=30)
    assert not await locks.acquire(["p"], holder="other", seconds=30)
    assert await locks.acquire(["lost"], holder="other", seconds=30)


async def test_a_name_of_any_length_is_a_place(locks: PlaceLocks) -> None:
    assert await locks.acquire(["p" * 9000], holder="one", seconds=30)
    assert not await locks.acquire(["p" * 9000], holder="other", seconds=30)
    await locks.release(["p" * 9000], holder="one")
    assert await locks.acquire(["p" * 9000], holder="other", seconds=30)
