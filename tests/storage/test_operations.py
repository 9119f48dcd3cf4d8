"""What is kept of writes: who holds them, what is written down under a lease, and what goes with an account."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from adapter.errors import AccountNotFound, RemovalUnderWay
from adapter.storage.accounts import AccountStore
from adapter.storage.database import Database
from adapter.storage.dbclock import In, database_now
from adapter.storage.operation_rows import Key, NewOperation, Note, Standing, StoredOperation, StoredStep, Verdict
from adapter.storage.operations import OperationStore
from adapter.storage.place_locks import PlaceLocks
from adapter.storage.tables import IDEMPOTENCY_KEYS, OPERATIONS
from tests.storage.samples import an_account

ME, OTHER = "process-1", "process-2"


@pytest.fixture
async def store(database: Database) -> OperationStore:
    await AccountStore(database).add(an_account(id="a1"), b"sealed")
    return OperationStore(database)


def planned(steps: int) -> list[StoredStep]:
    return [StoredStep(n=n, status="planned", state={"step": {"n": n}}) for n in range(1, steps + 1)]


def an_operation(key: str = "o1", **fields: Any) -> NewOperation:
    defaults: dict[str, Any] = {
        "id": key,
        "account_id": "a1",
        "tenant_id": "acme",
        "kind": "users.create",
        "caller": {"kind": "api"},
        "sameness": f"same-{key}",
        "ask": {"kind": "users.create"},
        "plan": {"etag": "e"},
        "steps": planned(2),
        "events": [("asked", {"by": "ada"})],
        "patience": 900.0,
    }
    return NewOperation(**(defaults | fields))


def go(_: object) -> Verdict:
    return Verdict()


async def begin(store: OperationStore, key: str = "o1", *, lease: float = 30.0, **fields: Any) -> None:
    await store.begin(an_operation(key, **fields), owner=ME, lease=lease, key=None, judge=go)


async def read(store: OperationStore, key: str = "o1") -> StoredOperation:
    found = await store.get(key)
    assert found is not None
    return found


async def test_an_operation_is_kept_whole(store: OperationStore) -> None:
    await begin(store)

    found = await read(store)

    assert (found.status, found.owner, found.plan, found.result) == ("running", ME, {"etag": "e"}, None)
    assert [(step.n, step.status) for step in found.steps] == [(1, "planned"), (2, "planned")]
    assert [(event.seq, event.what, event.data) for event in found.events] == [(1, "asked", {"by": "ada"})]
    assert found.deadline - found.created_at == pytest.approx(900)


async def test_there_is_no_operation_without_an_account(store: OperationStore) -> None:
    with pytest.raises(AccountNotFound):
        await begin(store, account_id="nobody")


async def test_a_note_writes_steps_and_history_and_renews_the_lease(store: OperationStore) -> None:
    await begin(store, lease=1.0)
    note = Note(
        fields={"status": "waiting", "retry_at": In(60)},
        steps=[StoredStep(n=2, status="sending", state={"x": 1})],
        sent=True,
        new_steps=[StoredStep(n=3, status="planned", state={})],
        events=[("one", {}), ("two", {"n": 2})],
    )

    standing = await store.note("o1", note, owner=ME, lease=30.0)
    found = await read(store)

    assert standing is not None
    assert (standing.stop, round(standing.left)) == (None, 900)
    assert (found.status, round((found.retry_at or 0) - found.updated_at)) == ("waiting", 60)
    assert found.lease_until - found.updated_at == pytest.approx(30)
    assert [(step.n, step.status, step.sent_at is not None) for step in found.steps] == [
        (1, "planned", False), (2, "sending", True), (3, "planned", False)
    ]  # fmt: skip
    assert [(event.seq, event.what) for event in found.events] == [(1, "asked"), (2, "one"), (3, "two")]


async def test_many_notes_at_once_make_one_history(store: OperationStore) -> None:
    await begin(store)

    await asyncio.gather(*(store.note("o1", Note(events=[(f"e{n}", {})]), owner=ME, lease=30.0) for n in range(10)))

    assert [event.seq for event in (await read(store)).events] == list(range(1, 12))


async def test_nothing_is_written_down_by_who_does_not_hold_it(store: OperationStore) -> None:
    await begin(store)

    assert await store.note("o1", Note(events=[("x", {})]), owner=OTHER, lease=30.0) is None
    assert await store.note("nothing", Note(), owner=ME, lease=30.0) is None
    assert len((await read(store)).events) == 1


async def test_a_lease_that_runs_is_not_taken(store: OperationStore) -> None:
    await begin(store)

    assert not await store.take("o1", owner=OTHER, lease=30.0)
    assert await store.late() == []


async def test_a_lapsed_lease_is_taken_by_one(store: OperationStore) -> None:
    await begin(store, lease=-5.0)

    (late,) = await store.late()
    taken = await asyncio.gather(*(store.take("o1", owner=f"p{n}", lease=30.0) for n in range(5)))

    assert (late.id, late.account_id, round(late.by)) == ("o1", "a1", 5)
    assert sorted(taken) == [False] * 4 + [True]
    assert await store.note("o1", Note(), owner=ME, lease=30.0) is None


async def test_an_operation_that_was_let_go_is_free_at_once(store: OperationStore) -> None:
    await begin(store)
    await store.let_go("o1", owner=OTHER)
    assert not await store.take("o1", owner=OTHER, lease=30.0)

    await store.let_go("o1", owner=ME)

    assert await store.take("o1", owner=OTHER, lease=30.0)


async def test_what_has_ended_is_not_taken(store: OperationStore) -> None:
    await begin(store)
    await store.note("o1", Note(fields={"status": "failed", "lease_until": In(-1)}), owner=ME, lease=30.0)

    assert not await store.take("o1", owner=OTHER, lease=30.0)
    assert await store.late() == []
    assert await store.take("o1", owner=OTHER, lease=30.0, statuses=("failed",))


async def test_a_stopped_operation_writes_no_step_that_is_about_to_leave(store: OperationStore) -> None:
    await begin(store)
    assert await store.stop("o1", {"why": "cancel"})
    note = Note(steps=[StoredStep(n=1, status="sending", state={})], events=[("sending", {})], unless_stopped=True)

    standing = await store.note("o1", note, owner=ME, lease=30.0)
    found = await read(store)

    assert isinstance(standing, Standing)
    assert standing.stop == {"why": "cancel"}
    assert found.steps[0].status == "planned"
    assert [event.what for event in found.events] == ["asked", "stop_asked"]


async def test_what_has_ended_is_not_stopped(store: OperationStore) -> None:
    await begin(store)
    await store.note("o1", Note(fields={"status": "succeeded"}), owner=ME, lease=30.0)

    assert not await store.stop("o1", {"why": "cancel"})


async def test_a_place_that_was_lost_undoes_the_note(store: OperationStore, database: Database) -> None:
    locks = PlaceLocks(database)
    await begin(store)
    assert await locks.acquire(["place:team:t"], holder=ME, seconds=-1)
    held = Note(events=[("x", {})], holding="place:team:t")
    assert await store.note("o1", held, owner=ME, lease=30.0) is not None
    await locks.release(["place:team:t"], holder=ME)
    assert await locks.acquire(["place:team:t"], holder=OTHER, seconds=30)

    assert await store.note("o1", held, owner=ME, lease=30.0) is None
    assert [event.what for event in (await read(store)).events] == ["asked", "x"]


async def test_of_notes_that_are_written_together_each_stands_for_itself(
    store: OperationStore, database: Database
) -> None:
    locks = PlaceLocks(database)
    await begin(store, steps=planned(3))
    await locks.acquire(["mine"], holder=ME, seconds=30)
    await locks.acquire(["theirs"], holder=OTHER, seconds=30)

    def leaving(n: int, place: str) -> Note:
        step = StoredStep(n=n, status="sending", state={"n": n})
        return Note(steps=[step], sent=True, events=[(f"sending-{n}", {})], holding=place, unless_stopped=True)

    done = Note(steps=[StoredStep(n=3, status="done", state={})], settled=True, events=[("done-3", {})])
    standings = await store.notes("o1", [leaving(1, "mine"), leaving(2, "theirs"), done, Note()], owner=ME, lease=30.0)
    found = await read(store)

    assert [standing is not None for standing in standings] == [True, False, True, True]
    assert [(step.status, step.sent_at is not None, step.finished_at is not None) for step in found.steps] == [
        ("sending", True, False), ("planned", False, False), ("done", False, True)
    ]  # fmt: skip
    assert [(event.seq, event.what) for event in found.events] == [(1, "asked"), (2, "sending-1"), (3, "done-3")]


async def test_a_wish_to_stop_keeps_back_what_is_about_to_leave_and_not_what_was_answered(
    store: OperationStore,
) -> None:
    await begin(store, steps=planned(2))
    await store.stop("o1", {"why": "cancel"})
    leaving = Note(steps=[StoredStep(n=1, status="sending", state={})], unless_stopped=True)
    done = Note(steps=[StoredStep(n=2, status="done", state={})], settled=True)

    standings = await store.notes("o1", [leaving, done], owner=ME, lease=30.0)

    assert [standing and standing.stop for standing in standings] == [{"why": "cancel"}] * 2
    assert [step.status for step in (await read(store)).steps] == ["planned", "done"]


async def test_of_notes_together_none_is_written_by_who_does_not_hold_the_operation(store: OperationStore) -> None:
    await begin(store)

    assert await store.notes("o1", [Note(events=[("x", {})]), Note()], owner=OTHER, lease=30.0) == [None, None]
    assert len((await read(store)).events) == 1


# --- beginning


async def test_a_verdict_joins_stops_and_refuses(store: OperationStore) -> None:
    await begin(store, "o1")

    joined = await store.begin(
        an_operation("o2"), owner=ME, lease=30.0, key=None, judge=lambda going: Verdict(join=going[0].id)
    )
    stopping = await store.begin(
        an_operation("o3"), owner=ME, lease=30.0, key=None, judge=lambda _: Verdict(stop={"o1": {"why": "removal"}})
    )

    def refuse(_: object) -> Verdict:
        raise RemovalUnderWay

    with pytest.raises(RemovalUnderWay):
        await store.begin(an_operation("o4"), owner=ME, lease=30.0, key=None, judge=refuse)
    assert (joined.id, joined.joined, stopping.id) == ("o1", True, "o3")
    assert [await store.get("o2"), await store.get("o4")] == [None, None]
    assert (await read(store, "o1")).stop == {"why": "removal"}
    assert (await read(store, "o3")).waits_for == ["o1"]
    assert sorted(await store.going(["o1", "o3", "o4"])) == ["o1", "o3"]


async def test_of_many_with_one_key_one_begins(store: OperationStore) -> None:
    key = Key(id="k", body="b")

    begun = await asyncio.gather(
        *(store.begin(an_operation(f"o{n}"), owner=ME, lease=30.0, key=key, judge=go) for n in range(6))
    )

    assert len({one.id for one in begun}) == 1
    assert sum(one.keyed is None for one in begun) == 1
    assert len(await store.newest()) == 1


async def test_a_key_is_forgotten_after_a_day(store: OperationStore, database: Database) -> None:
    key = Key(id="k", body="b")
    await store.begin(an_operation("o1"), owner=ME, lease=30.0, key=key, judge=go)
    assert (await store.keyed("k")) is not None
    async with database.write() as connection:
        aged = database_now(database.dialect) - 24 * 3600 - 1
        await connection.execute(IDEMPOTENCY_KEYS.update().values(created_at=aged))

    assert await store.keyed("k") is None
    begun = await store.begin(an_operation("o2"), owner=ME, lease=30.0, key=key, judge=go)
    assert (begun.id, begun.keyed) == ("o2", None)
    await store.sweep()
    assert await store.keyed("k") is not None


async def test_only_what_goes_on_is_the_same(store: OperationStore) -> None:
    await begin(store, "o1", sameness="s")
    assert await store.same("s") == "o1"
    await store.stop("o1", {"why": "cancel"})

    assert await store.same("s") is None


# --- lists


async def test_the_newest_come_first_with_their_steps(store: OperationStore, database: Database) -> None:
    await AccountStore(database).add(an_account(id="a2", tenant_id="other"), b"sealed")
    for key in ("o1", "o2", "o3"):
        await begin(store, key)
    await begin(store, "o4", account_id="a2", tenant_id="other")

    async def ids(**given: Any) -> list[str]:
        return [one.id for one in await store.newest(**given)]

    assert await ids() == ["o4", "o3", "o2", "o1"]
    assert await ids(limit=2) == ["o4", "o3"]
    assert await ids(after="o3") == ["o2", "o1"]
    assert await ids(tenant_id="acme") == ["o3", "o2", "o1"]
    assert await ids(account_id="a2") == ["o4"]
    assert await ids(status="failed") == []
    assert [len(one.steps) for one in await store.newest()] == [2, 2, 2, 2]


async def test_an_accounts_history_goes_with_it(store: OperationStore, database: Database) -> None:
    await store.begin(an_operation(), owner=ME, lease=30.0, key=Key(id="k", body="b"), judge=go)

    counts = await AccountStore(database).remove("a1")

    assert counts is not None
    names = ("operations", "operation_steps", "operation_events", "idempotency_keys")
    assert [counts[name] for name in names] == [1, 2, 1, 1]
    async with database.read() as connection:
        assert (await connection.execute(sa.select(OPERATIONS))).all() == []
