"""Units of accounts as they are kept: the newer one of each, stale where a write may have passed it by."""

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapter.storage.accounts import AccountStore
from adapter.storage.database import Database
from adapter.storage.tables import DIRECTORIES, UNITS
from adapter.storage.units import StoredDirectory, StoredUnit, UnitStore
from tests.storage.samples import an_account

ME = "me"


@pytest.fixture
async def store(database: Database) -> UnitStore:
    await AccountStore(database).add(an_account(id=ME), b"sealed")
    return UnitStore(database)


@pytest.fixture
async def shared(postgres_url: str) -> AsyncIterator[tuple[UnitStore, UnitStore, Database]]:
    """Two processes' stores on one PostgreSQL, and the database of the first."""
    async with Database(postgres_url) as one, Database(postgres_url) as other:
        await AccountStore(one).add(an_account(id=ME), b"sealed")
        yield UnitStore(one), UnitStore(other), one


def unit(path: str = "/teams", *, at: float = 100.0, **fields: Any) -> StoredUnit:
    defaults: dict[str, Any] = {"body": b"records", "cost": 1, "fetched_at": at, "changed_at": at}
    return StoredUnit(path=path, **(defaults | fields))


FULL = unit(
    body=None,
    refusal={"status": 403, "message": "no\u0000 \u2028", "insight": {"forbidden_error": {"missing_scopes": ["read"]}}},
    etag='W/"a"',
    cost=7,
    at=1_700_000_000.123456,
    stale=True,
    proof_day=20_000,
    proof_held=False,
)


@pytest.mark.parametrize("kept", [unit(), FULL, unit(body=b"")], ids=["bare", "full", "empty"])
async def test_a_unit_comes_back_as_it_was_kept(store: UnitStore, kept: StoredUnit) -> None:
    await store.save(ME, 0, [kept])

    assert await store.load(ME) == [kept]
    assert await store.load(ME, [kept.path]) == [kept]
    assert await store.load(ME, ["/elsewhere"]) == []
    assert await store.load(ME, []) == []


async def test_units_are_an_accounts_own(store: UnitStore, database: Database) -> None:
    await AccountStore(database).add(an_account(id="you"), b"sealed")
    await store.save(ME, 0, [unit(body=b"mine")])
    await store.save("you", 0, [unit(body=b"yours")])
    await store.mark_stale("you", lambda _: True)

    assert await store.load(ME) == [unit(body=b"mine")]
    assert await store.directory(ME) == StoredDirectory()
    assert [kept.stale for kept in await store.load("you")] == [True]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(1.0, 2.0, b"second"), (2.0, 1.0, b"first"), (1.0, 1.0, b"second")],
    ids=["newer", "older", "same time"],
)
async def test_the_newer_reading_stays(store: UnitStore, first: float, second: float, expected: bytes) -> None:
    await store.save(ME, 0, [unit(at=first, body=b"first")])
    await store.save(ME, 0, [unit(at=second, body=b"second")])

    assert [kept.body for kept in await store.load(ME)] == [expected]


async def test_a_reading_takes_the_place_of_a_refusal_and_the_other_way_round(store: UnitStore) -> None:
    refused = unit(at=2.0, body=None, refusal={"status": 403, "message": "no"})
    for kept in (unit(at=1.0), refused, unit(at=3.0)):
        await store.save(ME, 0, [kept])

        assert await store.load(ME) == [kept]


async def test_a_fresh_reading_ends_staleness(store: UnitStore) -> None:
    await store.save(ME, 0, [unit(at=1.0)])
    generation = await store.mark_stale(ME, lambda _: True)
    await store.save(ME, generation, [unit(at=2.0)])

    assert await store.load(ME) == [unit(at=2.0)]


async def test_what_was_read_before_a_write_is_kept_as_stale_even_if_it_is_kept_after_it(store: UnitStore) -> None:
    read_in = (await store.directory(ME)).generation
    await store.mark_stale(ME, lambda _: False)
    await store.save(ME, read_in, [unit()])

    assert await store.load(ME) == [unit(stale=True)]


async def test_each_write_moves_the_generation_by_one(store: UnitStore) -> None:
    assert [await store.mark_stale(ME, lambda _: False) for _ in range(3)] == [1, 2, 3]
    assert (await store.directory(ME)).generation == 3


async def test_only_touched_units_become_stale_whoever_read_them(store: UnitStore) -> None:
    await store.save(ME, 0, [unit("/teams"), unit("/apps"), unit("/teams/t1/members")])

    await store.mark_stale(ME, lambda path: path.startswith("/teams"))

    stale = {kept.path for kept in await store.load(ME) if kept.stale}
    assert stale == {"/teams", "/teams/t1/members"}


async def test_units_can_be_dropped_of_one_account_alone(store: UnitStore, database: Database) -> None:
    await AccountStore(database).add(an_account(id="other"), b"sealed")
    many = [unit(f"/teams/{n}/members") for n in range(450)]
    for account_id in (ME, "other"):
        await store.save(account_id, 0, [unit("/teams"), *many])

    await store.drop(ME, {each.path for each in many} | {"/never-kept"})

    assert [kept.path for kept in await store.load(ME)] == ["/teams"]
    assert len(await store.load("other")) == 451


async def test_times_tell_of_each_unit_without_its_records(store: UnitStore) -> None:
    assert await store.times(ME) == []
    await store.save(ME, 0, [unit("/old", at=1.5), unit("/stale", at=3.0, stale=True)])

    assert sorted(await store.times(ME)) == [("/old", 1.5, False), ("/stale", 3.0, True)]


async def test_a_gathers_cost_is_kept_beside_the_generation(store: UnitStore) -> None:
    await store.save_cost(ME, 1700)
    await store.mark_stale(ME, lambda _: True)

    assert await store.directory(ME) == StoredDirectory(generation=1, gather_cost=1700)


async def test_a_proof_outlives_the_next_reading_and_gives_way_to_the_next_proof(store: UnitStore) -> None:
    await store.save(ME, 0, [unit(at=1.0), unit("/other")])
    await store.save_proofs(ME, {"/teams": (20_000, True), "/gone": (20_000, True)})
    await store.save(ME, 0, [unit(at=2.0)])

    assert await store.load(ME, ["/teams"]) == [unit(at=2.0, proof_day=20_000, proof_held=True)]
    assert await store.load(ME, ["/other"]) == [unit("/other")]

    await store.save(ME, 0, [unit(at=3.0, proof_day=20_001, proof_held=False)])
    assert await store.load(ME, ["/teams"]) == [unit(at=3.0, proof_day=20_001, proof_held=False)]


async def test_units_go_with_the_account_and_nothing_brings_them_back(store: UnitStore, database: Database) -> None:
    await store.save(ME, 0, [unit()])
    await store.save_cost(ME, 9)

    await AccountStore(database).remove(ME)

    assert await rows(database) == (0, 0)
    await store.save(ME, 0, [unit()])
    await store.save_cost(ME, 9)
    await store.save_proofs(ME, {"/teams": (1, True)})
    assert await store.mark_stale(ME, lambda _: True) == 0
    assert await rows(database) == (0, 0)
    assert await AccountStore(database).get(ME) is None


async def rows(database: Database) -> tuple[int, int]:
    async with database.read() as connection:
        units = (await connection.execute(sa.select(sa.func.count()).select_from(UNITS))).scalar_one()
        directories = (await connection.execute(sa.select(sa.func.count()).select_from(DIRECTORIES))).scalar_one()
        return int(units), int(directories)


async def test_a_body_may_be_big(store: UnitStore) -> None:
    big = unit(body=os.urandom(8_000_000))
    await store.save(ME, 0, [big])

    assert await store.load(ME) == [big]


@pytest.mark.parametrize(
    "path",
    ["/teams/zo%C3%AB/members", "/teams/zoë/members", "/", "", "/teams/'; DROP TABLE units; --/members", "/a" * 512],
    ids=["quoted", "unicode", "root", "empty", "hostile", "longest"],
)
async def test_paths_may_be_odd(store: UnitStore, path: str) -> None:
    await store.save(ME, 0, [unit(path)])
    await store.mark_stale(ME, lambda known: known == path)

    assert await store.load(ME, [path]) == [unit(path, stale=True)]


async def test_a_path_too_long_to_keep_does_not_keep_others_out(store: UnitStore) -> None:
    await store.save(ME, 0, [unit("/a" * 512 + "a"), unit("/teams")])

    assert await store.load(ME) == [unit("/teams")]


async def test_two_thousand_units_are_kept_at_once(store: UnitStore) -> None:
    many = [unit(f"/teams/{number}/members", at=float(number)) for number in range(2_000)]
    await store.save(ME, 0, many)

    assert sorted(await store.load(ME), key=lambda kept: kept.fetched_at) == many
    assert len(await store.load(ME, [kept.path for kept in many[:450]])) == 450
    await store.mark_stale(ME, lambda path: path.endswith("0/members"))
    assert sum(kept.stale for kept in await store.load(ME)) == 200


_RUNS = itertools.count()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=12))
async def test_whatever_the_order_of_readings_and_writes_the_newest_reading_is_what_is_kept(
    store: UnitStore, steps: list[tuple[int, int]]
) -> None:
    path = f"/teams/{next(_RUNS)}"
    generation = first = (await store.directory(ME)).generation
    newest: StoredUnit | None = None
    for number, (behind, at) in enumerate(steps):
        if at == 9:
            generation = await store.mark_stale(ME, lambda _: True)
            newest = msgspec.structs.replace(newest, stale=True) if newest else None
            continue
        reading = unit(path, at=float(at), body=str(number).encode())
        read_in = max(first, generation - behind)
        await store.save(ME, read_in, [reading])
        if newest is None or at >= newest.fetched_at:
            newest = msgspec.structs.replace(reading, stale=read_in < generation)

    assert await store.load(ME, [path]) == ([newest] if newest else [])


Shared = tuple[UnitStore, UnitStore, Database]


async def test_a_write_waits_for_readings_that_are_being_kept_and_marks_them(shared: Shared) -> None:
    mine, theirs, database = shared
    await mine.save(ME, 0, [])
    async with database.write() as connection:
        # What `save` holds while it is under way.
        await connection.execute(sa.select(DIRECTORIES).with_for_update(read=True))
        marking = asyncio.create_task(theirs.mark_stale(ME, lambda _: True))
        await waiting_for_a_lock(mine)
        await connection.execute(
            UNITS.insert().values(**msgspec.structs.asdict(unit(refusal=None)), account_id=ME),
        )

    assert await marking == 1
    assert await mine.load(ME) == [unit(stale=True)]


async def test_a_reading_waits_for_a_write_that_is_being_noted_and_is_stale(shared: Shared) -> None:
    mine, theirs, database = shared
    await mine.save(ME, 0, [])
    async with database.write() as connection:
        await connection.execute(DIRECTORIES.update().values(generation=1))
        saving = asyncio.create_task(theirs.save(ME, 0, [unit()]))
        await waiting_for_a_lock(mine)

    await saving
    assert await mine.load(ME) == [unit(stale=True)]


async def waiting_for_a_lock(store: UnitStore) -> None:
    """Return once another connection to the same database waits for a lock."""
    query = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    async with asyncio.timeout(10):
        while True:
            async with store._database.read() as connection:
                if (await connection.execute(query)).scalar_one():
                    return
            await asyncio.sleep(0.01)


async def test_many_processes_keep_the_same_units_in_different_orders_at_once(shared: Shared) -> None:
    mine, theirs, _ = shared
    many = [unit(f"/teams/{number}/members") for number in range(100)]

    await asyncio.gather(
        *(
            store.save(
                ME, 0, [msgspec.structs.replace(u, fetched_at=float(turn)) for u in many[:: 1 if turn % 2 else -1]]
            )
            for turn in range(8)
            for store in (mine, theirs)
        )
    )

    assert {kept.fetched_at for kept in await mine.load(ME)} == {7.0}


async def test_readings_and_writes_on_many_connections_leave_no_old_unit_fresh(shared: Shared) -> None:
    mine, theirs, _ = shared

    async def read(store: UnitStore, number: int) -> None:
        generation = (await store.directory(ME)).generation
        await asyncio.sleep(0.001 * (number % 5))
        # The body tells in which generation it was read.
        await store.save(ME, generation, [unit(f"/{number % 7}", at=float(number), body=str(generation).encode())])

    async def write(store: UnitStore, number: int) -> None:
        await asyncio.sleep(0.002 * number)
        await store.mark_stale(ME, lambda _: True)

    jobs = [read(store, number) for number in range(40) for store in (mine, theirs)]
    await asyncio.gather(*jobs, *(write(mine, number) for number in range(5)), *(write(theirs, n) for n in range(5)))

    now = (await mine.directory(ME)).generation
    assert now == 10
    assert [kept for kept in await mine.load(ME) if not kept.stale and kept.body != str(now).encode()] == []


async def test_what_is_dropped_and_kept_at_once_in_many_processes_stands_in_nobody_s_way(shared: Shared) -> None:
    one, other, _ = shared
    many = [unit(f"/teams/{n}/members", at=float(n)) for n in range(60)]
    paths = [each.path for each in many]

    async def keep(store: UnitStore, turn: int) -> None:
        await store.save(ME, 0, many[turn:] + many[:turn])

    async def drop(store: UnitStore, turn: int) -> None:
        await store.drop(ME, paths[turn:] + paths[:turn])

    async with asyncio.timeout(30):
        await asyncio.gather(*(act(store, turn) for turn in range(12) for act, store in ((keep, one), (drop, other))))
        await one.drop(ME, paths)

    assert await other.load(ME) == []


async def test_an_account_that_is_removed_while_its_units_are_kept_stays_removed(shared: Shared) -> None:
    mine, theirs, database = shared
    for number in range(10):
        await asyncio.gather(
            *(mine.save(ME, 0, [unit(f"/{step}", at=float(number))]) for step in range(5)),
            AccountStore(theirs._database).remove(ME),
        )

        assert await rows(database) == (0, 0)
        await AccountStore(database).add(an_account(id=ME), b"sealed")


async def test_what_was_read_before_a_clock_was_set_back_gives_way_to_what_was_read_since(store: UnitStore) -> None:
    now = time.time()
    await store.save(ME, 0, [unit("/teams", at=now + 3600, etag="old"), unit("/apps", at=now + 5, etag="ahead")])

    await store.save(ME, 0, [unit("/teams", at=now, etag="new"), unit("/apps", at=now, etag="late")])

    assert {row.path: row.etag for row in await store.load(ME)} == {"/teams": "new", "/apps": "ahead"}
