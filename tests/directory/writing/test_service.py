"""What callers ask for: once, twice, at the same time, against one another, and again later."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from adapter.directory.writing.model import Obstacle, Operation, PersonRef
from adapter.directory.writing.service import Writes
from adapter.errors import (
    AccountNotFound,
    GuardRefused,
    IdempotencyKeyReused,
    NotResumable,
    OperationNotFound,
    PreconditionFailed,
    RemoteError,
    RemovalUnderWay,
    UpstreamTimeout,
)
from adapter.models import Caller
from adapter.storage.accounts import AccountStore
from adapter.storage.database import Database
from tests.directory.writing.offices import (
    ACCOUNT,
    CALLER,
    CLIENT,
    LIMITS,
    Answer,
    Office,
    add_account,
    before,
    grant,
    offboarding,
    removal,
    writes_of,
)

OTHER = Caller(kind="api", token_id="token-2")


@asynccontextmanager
async def processes(database: Database, office: Office, count: int = 2, **limits: Any) -> AsyncIterator[list[Writes]]:
    """So many processes' write-back over one database and one provider."""
    made = [writes_of(database, office, msgspec.structs.replace(LIMITS, **limits)) for _ in range(count)]
    try:
        yield made
    finally:
        await asyncio.gather(*(one.close() for one in made))


class Gate:
    """A request that has arrived and waits for its answer."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, do: Any) -> Answer | None:
        self.reached.set()
        await self.open.wait()
        do()
        return None


async def finished(writes: Writes, operation_id: str) -> Operation:
    async with asyncio.timeout(20):
        await writes._hands.ended(operation_id, 20)
    return await writes.operation(None, operation_id)


async def counted(writes: Writes, count: int) -> None:
    """Return when there are so many operations."""
    async with asyncio.timeout(20):
        while True:
            if len(await writes.operations(None)) >= count:
                return
            await asyncio.sleep(0.01)


# --- plans and guards


async def test_a_plan_that_can_not_be_drawn_in_time_leaves_nothing_behind(database: Database, office: Office) -> None:
    await add_account(database)
    writes = writes_of(database, office, limits=msgspec.structs.replace(LIMITS, planning=0.05))

    async def forever() -> None:
        await asyncio.Event().wait()

    office.on_plan = forever
    for ask in (writes.plan, writes.write):
        with pytest.raises(UpstreamTimeout, match="nothing was sent"):
            await ask(ACCOUNT, CLIENT, CALLER, grant("a"))

    assert (office.requests(), await writes.operations(None)) == ([], [])
    await writes.close()


async def test_a_guard_refuses_before_anything_is_kept_or_sent(writes: Writes, office: Office) -> None:
    for place in ("a", "b"):
        office.guards[place] = Obstacle(guard="last_admin", message=f"Make somebody else admin of {place} first.")

    with pytest.raises(GuardRefused) as refusal:
        await writes.write(ACCOUNT, CLIENT, CALLER, grant("a", "b"))

    assert (refusal.value.code, refusal.value.status) == ("last_admin", 422)
    assert refusal.value.message == "Make somebody else admin of a first."
    assert [detail["guard"] for detail in refusal.value.details] == ["last_admin", "last_admin"]
    assert (office.requests(), await writes.operations(None)) == ([], [])


async def test_a_warning_refuses_nothing(writes: Writes, office: Office) -> None:
    office.guards["a"] = Obstacle(guard="sso_only_admins", message="Keep an admin outside SSO.", is_warning=True)

    outcome = await writes.write(ACCOUNT, CLIENT, CALLER, grant("a"))

    assert (outcome.operation.status, len(outcome.operation.plan.obstacles)) == ("succeeded", 1)


async def test_a_plan_that_still_holds_is_carried_out(writes: Writes) -> None:
    plan = await writes.plan(ACCOUNT, CLIENT, CALLER, grant("a"))

    outcome = await writes.write(ACCOUNT, CLIENT, CALLER, grant("a"), if_match=plan.etag)

    assert outcome.operation.status == "succeeded"


async def test_a_directory_that_has_moved_refuses_an_older_plan(writes: Writes, office: Office) -> None:
    old = await writes.plan(ACCOUNT, CLIENT, CALLER, grant("a", "b"))
    office.give("a")

    with pytest.raises(PreconditionFailed) as refusal:
        await writes.write(ACCOUNT, CLIENT, CALLER, grant("a", "b"), if_match=old.etag)

    assert refusal.value.details == [{"old": "/a/ada,/b/ada", "new": "/b/ada"}]
    assert refusal.value.extra()["plan"]["etag"] == "/b/ada"
    assert refusal.value.headers == {"ETag": '"/b/ada"'}
    assert office.requests() == []


async def test_an_older_plan_that_nobody_remembers_is_refused_all_the_same(writes: Writes) -> None:
    with pytest.raises(PreconditionFailed) as refusal:
        await writes.write(ACCOUNT, CLIENT, CALLER, grant("a"), if_match="of another process")

    assert (refusal.value.details, refusal.value.extra()["plan"]["etag"]) == ([], "/a/ada")


async def test_an_account_that_is_gone_gets_no_operation(writes: Writes, database: Database) -> None:
    await AccountStore(database).remove(ACCOUNT)

    with pytest.raises(AccountNotFound):
        await writes.write(ACCOUNT, CLIENT, CALLER, grant("a"))


# --- once


async def test_the_same_key_is_answered_with_the_first_answer(writes: Writes, office: Office) -> None:
    first = await writes.write(ACCOUNT, CLIENT, CALLER, grant("a"), key="k")
    office.take("a")

    again = await writes.write(ACCOUNT, CLIENT, CALLER, grant("a"), key="k")

    assert (first.replayed, again.replayed) == (False, True)
    assert again.operation.id == first.operation.id
    assert again.operation.result == {"places": ["a"]}
    assert len(office.requests()) == 1


async def test_the_same_key_answers_a_failure_again(writes: Writes, office: Office) -> None:
    office.faults["a"] = [before(RemoteError(422, "No."))]
    first = await writes.write(ACCOUNT, CLIENT, CALLER, grant("a"), key="k")

    again = await writes.write(ACCOUNT, CLIENT, CALLER, grant("a"), key="k")

    assert (again.operation.status, again.operation.id) == ("failed", first.operation.id)
    assert len(office.requests()) == 1


async def test_a_key_that_comes_with_something_else_is_refused(writes: Writes, office: Office) -> None:
    await writes.write(ACCOUNT, CLIENT, CALLER, grant("a"), key="k")

    with pytest.raises(IdempotencyKeyReused):
        await writes.write(ACCOUNT, CLIENT, CALLER, grant("b"), key="k")

    assert not office.has("b")


async def test_a_key_is_the_callers_own_and_one_addresss(writes: Writes, database: Database, office: Office) -> None:
    await add_account(database, "account-2")
    await writes.write(ACCOUNT, CLIENT, CALLER, grant("a"), key="k", address="/users")

    for account, caller, ask, address in [
        (ACCOUNT, OTHER, grant("b"), "/users"),
        ("account-2", CALLER, grant("c"), "/users"),
        (ACCOUNT, CALLER, grant("d"), "/users/1"),
        (ACCOUNT, CALLER, removal("a"), "/users"),
    ]:
        assert not (await writes.write(account, CLIENT, caller, ask, key="k", address=address)).replayed

    assert office.places_of() == ["b", "c", "d"]


async def test_a_refused_write_leaves_its_key_free(writes: Writes, office: Office) -> None:
    office.guards["a"] = Obstacle(guard="last_admin", message="No.")
    with pytest.raises(GuardRefused):
        await writes.write(ACCOUNT, CLIENT, CALLER, grant("a"), key="k")
    office.guards.clear()

    assert (await writes.write(ACCOUNT, CLIENT, CALLER, grant("a"), key="k")).operation.status == "succeeded"


async def test_of_many_at_once_with_one_key_one_is_carried_out(database: Database, office: Office) -> None:
    await add_account(database)
    async with processes(database, office, 3) as made:
        outcomes = await asyncio.gather(
            *(one.write(ACCOUNT, CLIENT, CALLER, grant("a", kind="app"), key="k") for one in made for _ in range(3))
        )

    assert len({outcome.operation.id for outcome in outcomes}) == 1
    assert sum(not outcome.replayed for outcome in outcomes) == 1
    assert {outcome.operation.status for outcome in outcomes} == {"succeeded"}
    assert office.requests() == ["POST /a/ada"]


async def test_whoever_asks_the_same_again_joins(database: Database, office: Office) -> None:
    await add_account(database)
    gate = Gate()
    office.faults["a"] = [gate]
    async with processes(database, office) as (one, other):
        slow = await one.write(ACCOUNT, CLIENT, CALLER, grant("a"), wait=0.05)
        same = await other.write(ACCOUNT, CLIENT, CALLER, grant("a"), wait=0.05)
        keyed = await other.write(ACCOUNT, CLIENT, CALLER, grant("a"), wait=0.05, key="k")
        gate.open.set()
        last = await other.write(ACCOUNT, CLIENT, CALLER, grant("a"), key="k")

    assert (slow.finished, slow.operation.status, slow.replayed) == (False, "running", False)
    assert {slow.operation.id, same.operation.id, keyed.operation.id, last.operation.id} == {slow.operation.id}
    assert same.replayed
    assert (last.finished, last.operation.status) == (True, "succeeded")
    assert len(office.requests()) == 1


async def test_another_caller_who_asks_the_same_has_an_operation_of_his_own(database: Database, office: Office) -> None:
    await add_account(database)
    gate = Gate()
    office.faults["a"] = [gate]
    async with processes(database, office) as (one, other):
        first = asyncio.create_task(one.write(ACCOUNT, CLIENT, CALLER, grant("a")))
        await gate.reached.wait()
        second = asyncio.create_task(other.write(ACCOUNT, CLIENT, OTHER, grant("a")))
        await counted(one, 2)
        gate.open.set()
        outcomes = [await first, await second]

    assert [outcome.operation.steps[0].status for outcome in outcomes] == ["done", "already"]
    assert len(office.requests()) == 1


async def test_a_caller_who_leaves_stops_nothing(writes: Writes, office: Office) -> None:
    gate = Gate()
    office.faults["a"] = [gate]
    asking = asyncio.create_task(writes.write(ACCOUNT, CLIENT, CALLER, grant("a")))
    await gate.reached.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    gate.open.set()

    (operation,) = await writes.operations(None)
    assert (await finished(writes, operation.id)).status == "succeeded"


# --- against one another


async def test_a_removal_under_way_refuses_a_grant(database: Database, office: Office) -> None:
    await add_account(database)
    office.give("a")
    gate = Gate()
    office.faults["a"] = [gate]
    async with processes(database, office) as (one, other):
        removing = await one.write(ACCOUNT, CLIENT, CALLER, offboarding(), wait=0.05)
        await gate.reached.wait()
        by_mail_only = PersonRef(email="ADA@example.com", user_id="invitation:1")
        for ask in (grant("a"), grant("elsewhere"), grant("a", person=by_mail_only)):
            with pytest.raises(RemovalUnderWay) as refusal:
                await other.write(ACCOUNT, CLIENT, OTHER, ask)
            assert refusal.value.details == [{"operation_id": removing.operation.id}]
        bea = PersonRef(user_id="bea", email="bea@example.com")
        gate.open.set()
        assert (await other.write(ACCOUNT, CLIENT, OTHER, grant("b", person=bea))).operation.status == "succeeded"
        assert (await finished(other, removing.operation.id)).status == "succeeded"
        assert (await other.write(ACCOUNT, CLIENT, OTHER, grant("a"))).operation.status == "succeeded"


async def test_a_removal_stops_a_grant_and_takes_away_what_it_gave(database: Database, office: Office) -> None:
    await add_account(database)
    gate = Gate()
    office.faults["a"] = [gate]
    async with processes(database, office, at_once=1) as (one, other):
        granting = asyncio.create_task(one.write(ACCOUNT, CLIENT, CALLER, grant("a", "b")))
        await gate.reached.wait()
        removing = asyncio.create_task(other.write(ACCOUNT, CLIENT, OTHER, offboarding()))
        await counted(one, 2)
        gate.open.set()
        granted, removed = (await granting).operation, (await removing).operation

    assert office.places_of() == []
    assert (granted.status, [state.status for state in granted.steps]) == ("cancelled", ["done", "skipped"])
    assert removed.id in (granted.steps[1].note or "")
    assert (removed.status, [state.step.path for state in removed.steps]) == ("succeeded", ["/a/ada"])
    told = [event.what for event in (await other.operation(None, removed.id)).events]
    assert "planned_anew" in told


async def test_what_is_given_and_over_while_a_removal_is_planned_is_taken_too(
    database: Database, office: Office
) -> None:
    await add_account(database)
    async with processes(database, office) as (one, other):

        async def meanwhile() -> None:
            office.on_plan = None
            await other.write(ACCOUNT, CLIENT, OTHER, grant("c"))

        office.on_plan = meanwhile
        removed = (await one.write(ACCOUNT, CLIENT, CALLER, offboarding())).operation

    assert (removed.status, office.places_of()) == ("succeeded", [])
    assert [state.step.path for state in removed.steps] == ["/c/ada"]


async def test_two_write_to_one_place_one_after_the_other(database: Database, office: Office) -> None:
    await add_account(database)
    await add_account(database, "account-2")
    inside, overlaps = 0, 0

    async def alone(do: Any) -> Answer | None:
        nonlocal inside, overlaps
        inside += 1
        overlaps += inside > 1
        await asyncio.sleep(0.02)
        inside -= 1
        do()
        return None

    office.faults["a"] = [alone] * 8
    people = [PersonRef(user_id=f"p{n}", email=f"p{n}@example.com") for n in range(8)]
    async with processes(database, office) as (one, other):
        outcomes = await asyncio.gather(
            *(
                (one if n % 2 else other).write(f"account-{n % 2 + 1}", CLIENT, CALLER, grant("a", person=person))
                for n, person in enumerate(people)
            )
        )

    assert {outcome.operation.status for outcome in outcomes} == {"succeeded"}
    assert overlaps == 0


# --- later


async def test_a_cancelled_operation_finishes_what_it_is_sending(database: Database, office: Office) -> None:
    await add_account(database)
    gate = Gate()
    office.give("a")
    office.give("b")
    office.faults["a"] = [gate]
    async with processes(database, office, at_once=1) as (one, other):
        begun = await one.write(ACCOUNT, CLIENT, CALLER, removal("a", "b"), wait=0.05)
        await gate.reached.wait()
        cancelling = asyncio.create_task(other.cancel(OTHER, begun.operation.id))
        assert await one._hands._runs[begun.operation.id][0].halt.within(10)
        gate.open.set()
        cancelled = await cancelling
        with pytest.raises(NotResumable):
            await other.cancel(OTHER, begun.operation.id)
        with pytest.raises(NotResumable):
            await other.resume(OTHER, begun.operation.id)

    assert cancelled.status == "cancelled"
    assert [state.status for state in cancelled.steps] == ["done", "skipped"]
    assert office.places_of() == ["b"]


async def test_an_operation_that_failed_is_resumed_by_a_new_plan(writes: Writes, office: Office) -> None:
    for place in ("a", "b", "c"):
        office.give(place)
    office.faults["b"] = [before(RemoteError(422, "Not now."))]
    begun = await writes.write(ACCOUNT, CLIENT, CALLER, removal("a", "b", "c"))
    assert begun.operation.status == "partial"
    office.give("a")

    await writes.resume(OTHER, begun.operation.id)
    operation = await finished(writes, begun.operation.id)

    assert operation.status == "succeeded"
    assert [(state.step.n, state.step.path, state.status) for state in operation.steps] == [
        (1, "/a/ada", "done"), (2, "/b/ada", "failed"), (3, "/c/ada", "done"), (4, "/a/ada", "done"),
        (5, "/b/ada", "done"),
    ]  # fmt: skip
    told = {event.what: event.data for event in operation.events}
    assert told["resumed"]["caller"]["token_id"] == "token-2"
    assert [step["path"] for step in told["planned_anew"]["plan"]["steps"]] == ["/a/ada", "/b/ada"]
    with pytest.raises(NotResumable):
        await writes.resume(OTHER, begun.operation.id)


async def test_a_resumed_operation_is_guarded_again(writes: Writes, office: Office) -> None:
    office.give("a")
    office.faults["a"] = [before(RemoteError(422, "Not now."))]
    begun = await writes.write(ACCOUNT, CLIENT, CALLER, removal("a"))
    office.guards["a"] = Obstacle(guard="last_admin", message="Make somebody else admin first.")

    await writes.resume(CALLER, begun.operation.id)
    operation = await finished(writes, begun.operation.id)

    assert (operation.status, (operation.error or {})["code"]) == ("failed", "last_admin")
    assert len(office.requests()) == 1


async def test_callers_see_their_own_operations_only(writes: Writes, database: Database) -> None:
    await add_account(database, "account-2")
    mine = (await writes.write(ACCOUNT, CLIENT, CALLER, grant("a"))).operation
    other = (await writes.write("account-2", CLIENT, CALLER, grant("b"))).operation
    strangers = Caller(kind="api", token_id="t", tenant_id="another")
    bound = Caller(kind="account", token_id="t", account_id=ACCOUNT)

    assert [one.id for one in await writes.operations(CALLER)] == [other.id, mine.id]
    assert [one.id for one in await writes.operations(CALLER, after=other.id)] == [mine.id]
    assert [one.id for one in await writes.operations(CALLER, limit=1)] == [other.id]
    assert [one.id for one in await writes.operations(bound)] == [mine.id]
    assert await writes.operations(bound, account_id="account-2") == []
    assert await writes.operations(strangers) == []
    assert await writes.operations(CALLER, status="failed") == []
    assert (await writes.operation(bound, mine.id)).id == mine.id
    for caller, wanted in [(strangers, mine.id), (bound, other.id), (CALLER, "nothing"), (CALLER, "a\0b")]:
        with pytest.raises(OperationNotFound):
            await writes.operation(caller, wanted)
