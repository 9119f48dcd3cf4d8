import asyncio

import pytest

from adapter.storage.accounts import AccountStore
from adapter.storage.database import Database
from adapter.storage.renewals import Renewals
from tests.storage.samples import an_account


@pytest.fixture
async def store(database: Database) -> AccountStore:
    store = AccountStore(database)
    await store.add(an_account(id="a"), b"first")
    return store


async def test_what_is_put_is_kept_when_the_hold_ends(database: Database, store: AccountStore) -> None:
    async with Renewals(database, store).hold("a") as held:
        assert held.sealed == b"first"
        assert await held.replace(b"second")

    assert await store.credential("a") == b"second"


async def test_a_hold_that_breaks_off_changes_nothing(database: Database, store: AccountStore) -> None:
    with pytest.raises(RuntimeError):
        async with Renewals(database, store).hold("a"):
            raise RuntimeError

    assert await store.credential("a") == b"first"


async def test_there_may_be_no_credential(database: Database, store: AccountStore) -> None:
    async with Renewals(database, store).hold("b") as held:
        assert held.sealed is None
        assert not await held.replace(b"second")

    assert await store.credential("b") is None


@pytest.mark.parametrize("dialect", ["sqlite"])
async def test_on_sqlite_a_credential_that_was_replaced_meanwhile_stays(
    database: Database, store: AccountStore
) -> None:
    async with Renewals(database, store).hold("a") as held:
        await store.reseal("a", old=b"first", new=b"another's")
        assert not await held.replace(b"second")

    assert await store.credential("a") == b"another's"


async def test_on_postgresql_the_second_waits_and_finds_what_the_first_has_put(postgres_url: str) -> None:
    order: list[str] = []
    async with Database(postgres_url) as one, Database(postgres_url) as other:
        store = AccountStore(one)
        await store.add(an_account(id="a"), b"first")
        holds = asyncio.Event()

        async def first() -> None:
            async with Renewals(one, store).hold("a") as held:
                holds.set()
                await _somebody_waits_for_a_lock(one)
                await held.replace(b"second")
                order.append("first")

        async def second() -> bytes | None:
            await holds.wait()
            async with Renewals(other, AccountStore(other)).hold("a") as held:
                order.append("second")
                return held.sealed

        _, found = await asyncio.gather(first(), second())

    assert (order, found) == (["first", "second"], b"second")


async def test_on_postgresql_a_holder_that_loses_its_connection_lets_go(postgres_url: str) -> None:
    async with Database(postgres_url) as one, Database(postgres_url) as other:
        store = AccountStore(one)
        await store.add(an_account(id="a"), b"first")
        async with asyncio.timeout(20):
            holding = asyncio.create_task(_hold_for_ever(one, store))
            await asyncio.sleep(0)
            while not holding.done():
                await _cut_off_who_holds_rows(other)
            async with Renewals(other, AccountStore(other)).hold("a") as held:
                assert held.sealed == b"first"
        holding.exception()


async def _hold_for_ever(database: Database, store: AccountStore) -> None:
    async with Renewals(database, store).hold("a") as held:
        while True:
            await asyncio.sleep(0.05)
            await held.replace(b"never kept")


async def _somebody_waits_for_a_lock(database: Database) -> None:
    connection = await database.raw_connection()
    while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110  # no event tells
        await asyncio.sleep(0.01)
    await connection.close()


async def _cut_off_who_holds_rows(database: Database) -> None:
    connection = await database.raw_connection()
    query = """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
    """
    await connection.fetch(query)
    await connection.close()
