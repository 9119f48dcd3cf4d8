"""Who fetches: one process at a time, and nobody for longer than it lives."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
import sqlalchemy as sa

from adapter.storage.claims import CHANNEL, OwnClaims, PostgresClaims, claims_for
from adapter.storage.database import Database

KEYS = ["me /teams", "me /apps"]


@asynccontextmanager
async def process(url: str) -> AsyncIterator[PostgresClaims]:
    """What one process has: a database and its claims."""
    async with Database(url) as database:
        claims = PostgresClaims(database)
        yield claims
        await claims.close()


@pytest.fixture
async def one(postgres_url: str) -> AsyncIterator[PostgresClaims]:
    async with process(postgres_url) as claims:
        yield claims


@pytest.fixture
async def other(postgres_url: str) -> AsyncIterator[PostgresClaims]:
    async with process(postgres_url) as claims:
        yield claims


async def test_one_process_alone_is_granted_whatever_it_asks_for(database: Database) -> None:
    claims = OwnClaims()

    assert await claims.acquire(KEYS) == frozenset(KEYS)
    assert await claims.acquire(KEYS) == frozenset(KEYS)
    await claims.release(KEYS, "me")
    await asyncio.wait_for(claims.news("me", 0.01), 5)
    await claims.close()
    assert isinstance(claims_for(database), OwnClaims if database.dialect == "sqlite" else PostgresClaims)


async def test_what_one_process_has_another_does_not_get(one: PostgresClaims, other: PostgresClaims) -> None:
    assert await one.acquire(KEYS[:1]) == {KEYS[0]}
    assert await other.acquire(KEYS) == {KEYS[1]}
    assert await one.acquire(KEYS) == frozenset()

    await one.release(KEYS, "me")

    assert await other.acquire(KEYS) == {KEYS[0]}
    assert await one.acquire(KEYS) == frozenset()


async def test_an_account_does_not_stand_in_anothers_way(one: PostgresClaims, other: PostgresClaims) -> None:
    await one.acquire([f"me /teams/{number}" for number in range(500)])

    assert await other.acquire(["you /teams/1"]) == {"you /teams/1"}


async def test_within_a_process_a_key_is_granted_once_at_a_time(one: PostgresClaims, other: PostgresClaims) -> None:
    granted = await asyncio.gather(*(one.acquire([KEYS[0], KEYS[0]]) for _ in range(5)))

    assert sum(map(len, granted)) == 1
    await one.release([KEYS[0]], "me")
    assert await other.acquire([KEYS[0]]) == {KEYS[0]}


async def test_what_nobody_has_can_be_given_back(one: PostgresClaims, other: PostgresClaims) -> None:
    await one.acquire(KEYS)
    await other.release(KEYS, "me")

    assert await other.acquire(KEYS) == frozenset()


async def test_keys_that_share_a_lock_are_free_when_the_last_of_them_is(
    one: PostgresClaims, other: PostgresClaims
) -> None:
    many = [f"me /teams/{number}/members" for number in range(1_000)]
    assert await one.acquire(many[:500]) == frozenset(many[:500])
    assert await one.acquire(many[500:]) == frozenset(many[500:])

    await one.release(many[:999], "me")
    left = await other.acquire(many)
    assert many[999] not in left
    assert 900 < len(left) < 1_000
    await one.release(many[999:], "me")
    assert await other.acquire(many) == frozenset(many) - left


async def test_a_large_account_takes_few_of_the_servers_locks(one: PostgresClaims, postgres_url: str) -> None:
    many = [f"me /apps/{number}/collaborators" for number in range(20_000)]
    assert await one.acquire(many) == frozenset(many)

    async with Database(postgres_url) as database:
        assert await locks(database) <= 128
        await one.release(many, "me")
        assert await locks(database) == 0


async def locks(database: Database) -> int:
    query = (
        "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database"
        " WHERE locktype = 'advisory' AND datname = current_database()"
    )
    async with database.read() as connection:
        return int((await connection.execute(sa.text(query))).scalar_one())


async def test_whoever_waits_hears_of_a_release_at_once(one: PostgresClaims, other: PostgresClaims) -> None:
    await one.acquire(KEYS)
    await other.acquire(KEYS)
    waiting = [asyncio.create_task(claims.news("me", 30)) for claims in (one, other, other)]
    elsewhere = asyncio.create_task(other.news("you", 30))
    await asyncio.sleep(0)

    await one.release(KEYS, "me")

    await asyncio.wait_for(asyncio.gather(*waiting), 1)
    assert not elsewhere.done()
    elsewhere.cancel()
    await asyncio.gather(elsewhere, return_exceptions=True)
    assert other._waiting == {}


async def test_waiting_for_news_ends_without_any(one: PostgresClaims) -> None:
    await asyncio.wait_for(one.news("me", 0.01), 5)

    assert one._waiting == {}


HOLDER = """
import asyncio, sys
from adapter.storage.claims import PostgresClaims
from adapter.storage.database import Database

async def hold():
    async with Database(sys.argv[1]) as database:
        print(len(await PostgresClaims(database).acquire(sys.argv[2:])), flush=True)
        await asyncio.sleep(60)

asyncio.run(hold())
"""


async def test_a_killed_holders_claims_are_free_at_once(one: PostgresClaims, postgres_url: str) -> None:
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, postgres_url, *KEYS, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert await asyncio.wait_for(holder.stdout.readline(), 30) == b"2\n"
    assert await one.acquire(KEYS) == frozenset()

    os.kill(holder.pid, signal.SIGKILL)
    await holder.wait()

    await granted(one)


async def granted(claims: PostgresClaims) -> None:
    """Return once the keys are granted, as they have to be within a second."""
    async with asyncio.timeout(1):
        while await claims.acquire(KEYS) != frozenset(KEYS):
            await claims.news("me", 0.01)


async def test_a_lost_connection_costs_exclusion_but_no_grant_and_comes_back(
    one: PostgresClaims, other: PostgresClaims, postgres_url: str
) -> None:
    await one.acquire(KEYS)
    async with Database(postgres_url) as database:
        await cut(database)
        assert await one.acquire(["me /spaces"]) == {"me /spaces"}

    assert await other.acquire(KEYS) == frozenset(KEYS)
    assert await one.acquire(KEYS) == frozenset()
    waiting = asyncio.create_task(one.news("me", 30))
    await asyncio.sleep(0)
    await other.release(KEYS, "me")
    await asyncio.wait_for(waiting, 1)
    assert await one.acquire(KEYS) == frozenset(KEYS)


async def cut(database: Database) -> None:
    """End every connection that listens, as a restart of the server would."""
    query = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    async with database.read() as connection:
        await connection.execute(sa.text(query))


async def test_a_server_that_says_goodbye_while_it_is_asked_costs_no_grant_either(
    one: PostgresClaims, other: PostgresClaims, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ending(*_: object) -> None:
        raise asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")

    await one.acquire(KEYS)
    with monkeypatch.context() as now:
        now.setattr(asyncpg.Connection, "fetch", ending)
        assert await one.acquire(["me /spaces"]) == {"me /spaces"}

    await granted(other)


async def test_a_connection_that_failed_keeps_no_lock(one: PostgresClaims, other: PostgresClaims) -> None:
    await one.acquire(KEYS)
    async with one._using:
        assert await one._run("fetch", "SELECT 1 / 0") is None

    await granted(other)


async def test_without_a_server_everything_is_granted() -> None:
    claims = PostgresClaims(Database("postgresql://nobody@127.0.0.1:1/nothing"))

    assert await claims.acquire(KEYS) == frozenset(KEYS)
    await claims.release(KEYS, "me")
    assert await claims.acquire(KEYS) == frozenset(KEYS)
    await claims.close()


async def test_nothing_is_connected_any_more_once_it_is_closed(one: PostgresClaims, postgres_url: str) -> None:
    await one.acquire(KEYS)
    await one.close()
    await one.release(KEYS, "me")

    assert await one.acquire(KEYS) == frozenset(KEYS)
    assert one._connection is None
    async with Database(postgres_url) as database:
        assert await locks(database) == 0


async def test_news_of_a_long_name_is_told_too(one: PostgresClaims, other: PostgresClaims) -> None:
    await other.acquire(KEYS)
    heard = asyncio.Event()
    await other._connection.add_listener(CHANNEL, lambda *_: heard.set())

    await one.release([], "x" * 20_000)

    await asyncio.wait_for(heard.wait(), 1)
