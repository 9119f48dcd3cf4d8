import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from adapter.errors import StorageUnavailable
from adapter.storage import database
from adapter.storage.database import Database
from adapter.storage.gate import Gate
from tests.storage.servers import PostgresServer


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def entered(gate: Gate) -> bool:
    """Whether somebody passes at once."""
    try:
        await gate.enter(0)
    except TimeoutError:
        return False
    return True


async def test_as_many_pass_as_there_is_room_for_and_the_others_in_the_order_of_asking() -> None:
    gate, passed = Gate(2), []

    async def ask(number: int) -> None:
        await gate.enter(10)
        passed.append(number)

    asked = [asyncio.create_task(ask(number)) for number in range(5)]
    await asyncio.sleep(0)
    before = [*passed]
    gate.leave()
    gate.leave()
    await asyncio.sleep(0)

    assert (before, passed) == ([0, 1], [0, 1, 2, 3])
    gate.leave()
    await asyncio.gather(*asked)


async def test_it_is_empty_when_the_last_has_left_and_nobody_waits_any_more() -> None:
    gate = Gate(1)
    await gate.enter(1)
    late = asyncio.create_task(gate.enter(10))
    await asyncio.sleep(0)
    emptied = asyncio.create_task(gate.emptied(10))

    gate.leave()
    await late
    assert not emptied.done()
    gate.leave()
    await asyncio.wait_for(emptied, 1)


async def test_nobody_waits_longer_than_they_want_for_it_to_be_empty() -> None:
    gate = Gate(1)
    await gate.enter(1)

    await asyncio.wait_for(gate.emptied(0.01), 1)


async def test_after_a_refusal_as_many_pass_as_were_let_in_and_after_a_while_more_again() -> None:
    clock = Clock()
    gate = Gate(5, timer=clock)
    for _ in range(3):
        await gate.enter(1)

    assert gate.narrow() is True
    gate.leave()
    assert not await entered(gate)
    assert gate.narrow() is False, "told already"
    gate.leave()
    clock.now = 31
    assert [await entered(gate) for _ in range(5)] == [True, True, True, True, False]


async def test_one_passes_however_full_the_server_is() -> None:
    gate = Gate(5)
    await gate.enter(1)
    gate.narrow()
    gate.leave()

    assert [await entered(gate), await entered(gate)] == [True, False]


@pytest.mark.parametrize("late", [False, True], ids=["while it waits", "in the moment of its turn"])
async def test_who_goes_away_takes_no_place(late: bool) -> None:
    gate = Gate(1)
    await gate.enter(1)
    waiting = asyncio.create_task(gate.enter(10))
    await asyncio.sleep(0)
    if late:
        gate.leave()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if not late:
        gate.leave()

    assert await entered(gate)


# --- before a server that is full


@pytest.fixture
def narrow_url(postgres: PostgresServer, postgres_url: str) -> Iterator[str]:
    """A database that lets three connections in."""
    role = f"narrow_{uuid4().hex}"
    postgres.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 3;")
    yield postgres_url.replace("://postgres:@", f"://{role}:@")
    postgres.execute(f"DROP ROLE {role};")


async def test_where_the_server_lets_no_more_in_callers_share_what_there_is(narrow_url: str) -> None:
    async def ask(opened: Database) -> object:
        async with opened.read() as connection:
            return await connection.scalar(sa.text("SELECT 1 FROM pg_sleep(0.05)"))

    async with Database(narrow_url) as one, Database(narrow_url) as other:
        with capture_logs() as logs:
            answers = await asyncio.gather(*(ask(each) for each in (one, other) for _ in range(10)))

    assert answers == [1] * 20
    assert Counter(line["event"] for line in logs) == {"database_full": 2}, "each tells it once"


async def test_a_server_that_lets_nobody_in_for_long_is_unavailable(
    narrow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.2)
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(Database(narrow_url))

        with pytest.raises(StorageUnavailable):
            await Database(narrow_url).open()
