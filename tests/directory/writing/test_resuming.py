"""What a process leaves behind when it dies, and who goes on with it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from adapter.directory.writing.model import Operation
from adapter.directory.writing.service import Writes
from adapter.errors import AccountBlocked, NotResumable, StorageUnavailable, UpstreamTimeout
from adapter.storage.database import Database
from adapter.storage.dbclock import database_now
from adapter.storage.operation_rows import Note, Standing
from adapter.storage.operations import OperationStore
from adapter.storage.tables import OPERATIONS
from tests.directory.writing.offices import (
    ACCOUNT,
    CALLER,
    CLIENT,
    LIMITS,
    Office,
    add_account,
    after,
    grant,
    offboarding,
    removal,
    writes_of,
)
from tests.directory.writing.test_service import Gate, finished, processes

ROOT = Path(__file__).parents[3]


async def aged(database: Database, seconds: float) -> None:
    """Nobody has given a sign of life for so long."""
    async with database.write() as connection:
        past = database_now(database.dialect) - seconds
        await connection.execute(OPERATIONS.update().values(lease_until=past, owner="dead"))


async def abandoned(writes: Writes) -> None:
    """The process is gone, as far as its operations go: nothing of it is written down any more."""
    await writes._hands.watcher.close()
    tasks = [task for _, task in writes._hands._runs.values()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def left_in_the_middle(database: Database, office: Office, places: int = 4) -> str:
    """The id of an off-boarding that a process left while one step was under way; the step was done."""
    await add_account(database)
    for n in range(places):
        office.give(f"p{n}")
    gate = Gate()

    async def done_and_silent(do: Any) -> Any:
        do()
        return await gate(do)

    office.faults["p1"] = [done_and_silent]
    dead = writes_of(database, office, msgspec.structs.replace(LIMITS, at_once=1))
    begun = await dead.write(ACCOUNT, CLIENT, CALLER, offboarding(), wait=0.01)
    await gate.reached.wait()
    await abandoned(dead)
    return begun.operation.id


async def test_another_process_goes_on_where_one_died(database: Database, office: Office) -> None:
    operation_id = await left_in_the_middle(database, office)
    await aged(database, 1)
    async with processes(database, office, 2) as made:
        for one in made:
            one.start()
        operation = await finished(made[0], operation_id)

    assert (operation.status, office.places_of()) == ("succeeded", [])
    assert sorted(office.requests()) == [f"DELETE /p{n}/ada" for n in range(4)]
    assert "look" in (operation.steps[1].note or "")
    assert [event.what for event in operation.events].count("picked_up") == 1
    assert office.plans == 1


async def test_nobody_goes_on_while_a_lease_runs(database: Database, office: Office) -> None:
    operation_id = await left_in_the_middle(database, office)
    await aged(database, -60)
    async with processes(database, office, 1) as (one,):
        await one._hands.watcher.look()

        assert one._hands._runs == {}
        assert (await one.operation(None, operation_id)).status == "running"


async def test_what_was_left_long_ago_waits_to_be_resumed(database: Database, office: Office) -> None:
    operation_id = await left_in_the_middle(database, office)
    await aged(database, LIMITS.patience + 1)
    async with processes(database, office, 1) as (one,):
        await one._hands.watcher.look()
        lapsed = await one.operation(None, operation_id)
        before = office.places_of()
        # The person was hired again meanwhile, and now leaves another place too.
        office.give("p0")
        office.give("p9")
        await one.resume(CALLER, operation_id)
        operation = await finished(one, operation_id)

    assert (lapsed.status, before) == ("lapsed", ["p2", "p3"])
    assert (operation.status, office.places_of()) == ("succeeded", [])
    told = {event.what: event.data for event in operation.events}
    assert [step["path"] for step in told["planned_anew"]["plan"]["steps"]] == [
        "/p0/ada", "/p2/ada", "/p3/ada", "/p9/ada"
    ]  # fmt: skip
    assert [state.status for state in operation.steps] == ["done", "done", "skipped", "skipped", *["done"] * 4]


async def test_what_lapsed_is_not_in_anybodys_way(database: Database, office: Office) -> None:
    await left_in_the_middle(database, office)
    await aged(database, LIMITS.patience + 1)
    async with processes(database, office, 1) as (one,):
        await one._hands.watcher.look()
        granted = await one.write(ACCOUNT, CLIENT, CALLER, grant("p0"))

    assert (granted.operation.status, office.has("p0")) == ("succeeded", True)


async def test_what_lapsed_can_be_cancelled(database: Database, office: Office) -> None:
    operation_id = await left_in_the_middle(database, office)
    await aged(database, LIMITS.patience + 1)
    async with processes(database, office, 1) as (one,):
        await one._hands.watcher.look()
        cancelled = await one.cancel(CALLER, operation_id)
        with pytest.raises(NotResumable):
            await one.resume(CALLER, operation_id)

    assert cancelled.status == "cancelled"
    # What had left is known; what had not stays unsent.
    assert [state.status for state in cancelled.steps] == ["done", "done", "skipped", "skipped"]
    assert office.places_of() == ["p2", "p3"]


async def test_a_removal_waits_for_a_grant_whose_process_died(database: Database, office: Office) -> None:
    await add_account(database)
    gate = Gate()
    office.faults["a"] = [gate]
    dead = writes_of(database, office, msgspec.structs.replace(LIMITS, at_once=1))
    granting = await dead.write(ACCOUNT, CLIENT, CALLER, grant("a", "b"), wait=0.01)
    await gate.reached.wait()
    await abandoned(dead)
    office.give("a")  # the request arrived all the same
    await aged(database, 1)
    async with processes(database, office, 1) as (one,):
        removing = await one.write(ACCOUNT, CLIENT, CALLER, offboarding())
        granted = await finished(one, granting.operation.id)

    assert (removing.operation.status, office.places_of()) == ("succeeded", [])
    assert (granted.status, [state.status for state in granted.steps]) == ("cancelled", ["done", "skipped"])


async def test_a_process_that_ends_finishes_what_it_is_sending(database: Database, office: Office) -> None:
    await add_account(database)
    for place in ("a", "b"):
        office.give(place)
    gate = Gate()
    office.faults["a"] = [gate]
    async with processes(database, office, 2, at_once=1) as (one, other):
        begun = await one.write(ACCOUNT, CLIENT, CALLER, removal("a", "b"), wait=0.01)
        await gate.reached.wait()
        closing = asyncio.create_task(one.close())
        assert await one._hands._runs[begun.operation.id][0].halt.within(10)
        gate.open.set()
        await closing
        left = await other.operation(None, begun.operation.id)
        other.start()
        operation = await finished(other, begun.operation.id)

    assert (left.status, [state.status for state in left.steps]) == ("running", ["done", "planned"])
    assert (operation.status, office.requests()) == ("succeeded", ["DELETE /a/ada", "DELETE /b/ada"])


async def test_an_account_that_cant_be_used_now_is_tried_again(database: Database, office: Office) -> None:
    operation_id = await left_in_the_middle(database, office)
    await aged(database, 1)
    async with processes(database, office, 1, lease=1.0) as (one,):
        usual = one._hands._work
        refusals = [AccountBlocked(), AccountBlocked()]

        async def sometimes(account_id: str, client: Any = None) -> Any:
            if refusals:
                raise refusals.pop()
            return await usual(account_id, client)

        one._hands._work = sometimes
        one.start()

        assert (await finished(one, operation_id)).status == "succeeded"


async def test_an_account_that_stays_shut_leaves_its_operation_to_resume(database: Database, office: Office) -> None:
    operation_id = await left_in_the_middle(database, office)
    await aged(database, 1)
    async with database.write() as connection:
        await connection.execute(OPERATIONS.update().values(deadline=database_now(database.dialect) - 1))

    async def shut(account_id: str, client: Any = None) -> Any:
        del account_id, client
        raise AccountBlocked

    async with processes(database, office, 1) as (one,):
        one._hands._work = shut
        await one._hands.watcher.look()
        operation = await one.operation(None, operation_id)

    assert (operation.status, (operation.error or {})["code"]) == ("lapsed", "account_blocked")


# --- a database that fails


class Failing(OperationStore):
    """A store whose database is away for some notes."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.fails: list[str] = []
        """Words of the events whose next note fails."""

    async def notes(
        self, operation_id: str, notes: Sequence[Note], *, owner: str, lease: float
    ) -> list[Standing | None]:
        told = {what for note in notes for what, _ in note.events}
        for word in list(self.fails):
            if word in told:
                self.fails.remove(word)
                raise StorageUnavailable
        return await super().notes(operation_id, notes, owner=owner, lease=lease)


def failing(database: Database, office: Office, *fails: str) -> Writes:
    made = writes_of(database, office)
    store = Failing(database)
    store.fails = list(fails)
    made._store = made._journal.store = store
    return made


async def test_what_cant_be_written_down_is_not_sent(database: Database, office: Office) -> None:
    await add_account(database)
    writes = failing(database, office, "step_sending")
    begun = await writes.write(ACCOUNT, CLIENT, CALLER, grant("a"), wait=0.3)
    requests = office.requests()
    await aged(database, 1)
    operation = await finished(writes, begun.operation.id)
    await writes.close()

    assert (begun.operation.status, requests) == ("running", [])
    assert (operation.status, office.requests()) == ("succeeded", ["PUT /a/ada"])


class Counting(OperationStore):
    """A store that tells how many notes each of its transactions wrote."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.written: list[int] = []

    async def notes(
        self, operation_id: str, notes: Sequence[Note], *, owner: str, lease: float
    ) -> list[Standing | None]:
        self.written.append(len(notes))
        return await super().notes(operation_id, notes, owner=owner, lease=lease)


async def test_steps_that_leave_together_are_written_down_together(database: Database, office: Office) -> None:
    await add_account(database)
    writes = writes_of(database, office)
    store = Counting(database)
    writes._store = writes._journal.store = store
    places = [f"p{n}" for n in range(LIMITS.at_once)]
    outcome = await writes.write(ACCOUNT, CLIENT, CALLER, grant(*places))
    await writes.close()

    assert (outcome.operation.status, sorted(office.places_of())) == ("succeeded", places)
    assert max(store.written) == LIMITS.at_once
    told = [event.what for event in outcome.operation.events]
    assert (told.count("step_sending"), told.count("step_done")) == (LIMITS.at_once, LIMITS.at_once)


async def test_where_what_leaves_together_cant_be_written_down_nothing_is_sent(
    database: Database, office: Office
) -> None:
    await add_account(database)
    writes = failing(database, office, "step_sending")
    begun = await writes.write(ACCOUNT, CLIENT, CALLER, grant("a", "b", "c"), wait=0.3)
    requests = office.requests()
    await aged(database, 1)
    operation = await finished(writes, begun.operation.id)
    await writes.close()

    assert requests == []
    assert (operation.status, sorted(office.requests())) == ("succeeded", ["PUT /a/ada", "PUT /b/ada", "PUT /c/ada"])


async def test_an_answer_is_written_down_with_patience(database: Database, office: Office) -> None:
    await add_account(database)
    writes = failing(database, office, "step_done", "step_done")
    outcome = await writes.write(ACCOUNT, CLIENT, CALLER, grant("a"))
    await writes.close()

    assert (outcome.operation.status, outcome.operation.steps[0].note) == ("succeeded", None)


async def test_an_answer_that_cant_be_written_down_is_looked_up_later(database: Database, office: Office) -> None:
    await add_account(database)
    writes = failing(database, office, *["step_done"] * 3)
    begun = await writes.write(ACCOUNT, CLIENT, CALLER, grant("a", kind="app"), wait=0.5)
    await aged(database, 1)
    operation = await finished(writes, begun.operation.id)
    await writes.close()

    assert begun.operation.steps[0].status == "sending"
    assert (operation.status, len(office.requests())) == ("succeeded", 1)
    assert "look" in (operation.steps[0].note or "")


async def test_a_process_that_lost_its_lease_sends_nothing_more(database: Database, office: Office) -> None:
    await add_account(database)
    for place in ("a", "b"):
        office.give(place)
    gate = Gate()
    office.faults["a"] = [gate]
    async with processes(database, office, 1, at_once=1) as (one,):
        await one.write(ACCOUNT, CLIENT, CALLER, removal("a", "b"), wait=0.01)
        await gate.reached.wait()
        await one._hands.watcher.close()
        async with database.write() as connection:
            await connection.execute(OPERATIONS.update().values(owner="another", lease_until=sa.literal(4e9)))
        gate.open.set()
        await asyncio.wait([task for _, task in one._hands._runs.values()])

    assert office.requests() == ["DELETE /a/ada"]


async def test_a_fault_of_ours_ends_the_operation_and_says_so(writes: Writes, office: Office) -> None:
    async def broken(_: Any) -> Any:
        raise ZeroDivisionError

    office.faults["a"] = [broken]

    operation = (await writes.write(ACCOUNT, CLIENT, CALLER, grant("a"))).operation

    assert (operation.status, (operation.error or {})["code"]) == ("partial", "internal_error")


# --- a process that is killed


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", [1, 5])
async def test_a_killed_process_leaves_nothing_half_done(
    database: Database, database_url: str, office: Office, at: int, when: str
) -> None:
    await add_account(database)
    places = [f"p{n:02}" for n in range(12)]
    for place in places:
        office.give(place)
    await asyncio.to_thread(kill_in_the_middle, database_url, office, at, when)
    async with processes(database, office, 2) as (one, other):
        one.start()
        other.start()
        (left,) = await one.operations(None)
        operation = await finished(other, left.id)

    assert (operation.status, office.places_of()) == ("succeeded", [])
    assert {state.status for state in operation.steps} <= {"done", "already"}
    assert set(office.requests()) == {f"DELETE /{place}/ada" for place in places}
    # Only what had not been done when it was looked up was sent again: at most what was under way.
    again = len(office.requests()) - len(places)
    assert again <= (LIMITS.at_once if when == "before" else LIMITS.at_once - 1)
    assert sum("look" in (state.note or "") for state in operation.steps) >= (1 if when == "after" else 0)


def kill_in_the_middle(url: str, office: Office, at: int, when: str) -> None:
    command = [sys.executable, "-m", "tests.directory.writing.office_worker", url, str(office.folder), str(at), when]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=dict(os.environ)) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"now\n"
        worker.kill()


async def test_a_timeout_is_never_called_success_without_a_look(writes: Writes, office: Office) -> None:
    office.faults["a"] = [after(UpstreamTimeout())]
    office.looks["a"] = ["not_done", "not_done"]

    operation: Operation = (await writes.write(ACCOUNT, CLIENT, CALLER, grant("a", kind="app"))).operation

    assert (operation.status, operation.steps[0].status) == ("partial", "unknown")
