"""Operations carried out, and what becomes of each fault on the way."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from adapter.directory.writing.model import Ask, Change, Obstacle, Operation, PlaceRef, StepState
from adapter.directory.writing.service import Writes
from adapter.errors import (
    AccountBlocked,
    RemoteError,
    RemoteForbidden,
    RemoteNotFound,
    RemoteRateLimited,
    RemoteUnauthorized,
    UpstreamNonsense,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from tests.directory.writing.offices import (
    ACCOUNT,
    CALLER,
    CLIENT,
    Answer,
    Office,
    after,
    before,
    grant,
    offboarding,
    removal,
    saying,
)


async def carried_out(writes: Writes, ask: Any) -> Operation:
    return (await writes.write(ACCOUNT, CLIENT, CALLER, ask)).operation


def statuses(operation: Operation) -> list[str]:
    return [state.status for state in operation.steps]


def only(operation: Operation) -> StepState:
    (state,) = operation.steps
    return state


def never_sent() -> UpstreamUnreachable:
    error = UpstreamUnreachable()
    error.was_sent = False
    return error


async def test_every_step_is_done_and_the_answer_read_back(writes: Writes, office: Office) -> None:
    outcome = await writes.write(ACCOUNT, CLIENT, CALLER, grant("a", "b"))

    assert outcome.finished
    assert not outcome.replayed
    operation = outcome.operation
    assert (operation.status, statuses(operation)) == ("succeeded", ["done", "done"])
    assert operation.result == {"places": ["a", "b"]}
    assert operation.steps[0].request_id == "request-1"
    assert operation.steps[0].answer == {"id": "made"}
    assert sorted(office.requests()) == ["PUT /a/ada", "PUT /b/ada"]
    assert sorted(office.touched) == ["/a/ada", "/b/ada"]


async def test_the_history_tells_who_asked_and_what_was_done_when(writes: Writes) -> None:
    operation = await writes.operation(CALLER, (await carried_out(writes, grant("a"))).id)

    assert [event.what for event in operation.events] == ["asked", "step_sending", "step_done", "finished"]
    assert operation.events[0].data["caller"] == {"kind": "api", "token_id": "token-1"}
    assert operation.events[2].data["request_id"] == "request-1"
    assert [event.at for event in operation.events] == sorted(event.at for event in operation.events)
    assert operation.created_at <= (only(operation).sent_at or operation.created_at)
    assert operation.finished_at is not None


async def test_what_is_so_already_costs_no_call(writes: Writes, office: Office) -> None:
    office.give("a")

    assert (await carried_out(writes, grant("a"))).status == "succeeded"
    assert office.requests() == []


async def test_what_became_so_after_the_plan_is_not_sent(writes: Writes, office: Office) -> None:
    async def meanwhile() -> None:
        office.give("a")

    office.on_plan = meanwhile

    assert statuses(await carried_out(writes, grant("a"))) == ["already"]
    assert office.requests() == []


async def test_a_guard_that_refuses_at_the_last_moment_stops_its_step_only(writes: Writes, office: Office) -> None:
    office.late_guards["a"] = Obstacle(guard="last_admin", message="Make somebody else admin first.")
    office.give("a")
    office.give("b")

    operation = await carried_out(writes, removal("a", "b"))

    assert (operation.status, statuses(operation)) == ("partial", ["failed", "done"])
    assert (operation.steps[0].error or {})["code"] == "last_admin"
    assert office.places_of() == ["a"]
    assert office.requests() == ["DELETE /b/ada"]


LOST = [UpstreamTimeout(), UpstreamUnreachable(), RemoteError(500), RemoteError(503), UpstreamNonsense()]


@pytest.mark.parametrize("error", LOST, ids=lambda error: f"{error.code}-{error.status}")
@pytest.mark.parametrize("kind", ["team", "app"])
async def test_a_lost_answer_to_what_was_done_is_looked_up(
    writes: Writes, office: Office, error: Any, kind: str
) -> None:
    office.faults["a"] = [after(error)]

    operation = await carried_out(writes, grant("a", kind=kind))

    assert (operation.status, only(operation).status) == ("succeeded", "done")
    assert len(office.requests()) == 1
    assert "look" in (only(operation).note or "")


@pytest.mark.parametrize("error", LOST, ids=lambda error: f"{error.code}-{error.status}")
async def test_what_was_not_done_is_sent_once_more_where_it_may_be(writes: Writes, office: Office, error: Any) -> None:
    office.faults["a"] = [before(error)]

    assert (await carried_out(writes, grant("a"))).status == "succeeded"
    assert office.requests() == ["PUT /a/ada", "PUT /a/ada"]


@pytest.mark.parametrize("error", LOST[1:], ids=lambda error: f"{error.code}-{error.status}")
async def test_what_was_not_done_is_not_repeated_where_twice_would_be_more(
    writes: Writes, office: Office, error: Any
) -> None:
    office.faults["a"] = [before(error)]

    operation = await carried_out(writes, grant("a", kind="app"))

    assert (operation.status, only(operation).status) == ("failed", "failed")
    assert (only(operation).error or {})["code"] == error.code
    assert office.requests() == ["POST /a/ada"]


async def test_what_fails_twice_is_given_up_in_the_providers_words(writes: Writes, office: Office) -> None:
    office.faults["a"] = [before(RemoteError(500, "Oops."))] * 2

    operation = await carried_out(writes, grant("a"))

    assert (operation.status, len(office.requests())) == ("failed", 2)
    assert only(operation).http_status == 500
    assert (only(operation).error or {})["message"] == "Oops."


@pytest.mark.parametrize(("kind", "sent"), [("team", 2), ("app", 1)])
async def test_what_got_no_answer_in_time_may_still_be_done(
    writes: Writes, office: Office, kind: str, sent: int
) -> None:
    office.faults["a"] = [before(UpstreamTimeout())] * 2

    operation = await carried_out(writes, grant("a", kind=kind))

    assert (operation.status, only(operation).status) == ("partial", "unknown")
    assert (only(operation).error or {})["code"] == "upstream_timeout"
    assert len(office.requests()) == sent


async def test_an_answer_that_no_look_explains_is_unknown(writes: Writes, office: Office) -> None:
    office.faults["a"] = [after(UpstreamTimeout())]
    office.looks["a"] = [UpstreamUnreachable(), "unknown"]

    operation = await carried_out(writes, grant("a", "b"))

    assert (operation.status, statuses(operation)) == ("partial", ["unknown", "done"])
    assert office.touched.count("/a/ada") == 1


async def test_an_answer_that_is_no_json_is_looked_up(writes: Writes, office: Office) -> None:
    office.faults["a"] = [saying(Answer(status=201, body=b"<html>"))]

    operation = await carried_out(writes, grant("a"))

    assert (operation.status, only(operation).status, only(operation).http_status) == ("succeeded", "done", 201)
    assert only(operation).request_id == "request-1"


REFUSALS: Mapping[str, RemoteError] = {
    "forbidden": RemoteForbidden(403, "Not yours.", remote_id="forbidden", request_id="r-403"),
    "not_found": RemoteNotFound(404, "No such team.", remote_id="not_found", request_id="r-404"),
    "conflict": RemoteError(409, "Conflict.", remote_id="conflict", request_id="r-409"),
    "invalid": RemoteError(422, "Last admin.", remote_id="invalid_params", request_id="r-422"),
}


@pytest.mark.parametrize("error", REFUSALS.values(), ids=REFUSALS)
async def test_a_refusal_is_final_and_kept_in_the_providers_words(
    writes: Writes, office: Office, error: RemoteError
) -> None:
    office.faults["a"] = [before(error)]

    operation = await carried_out(writes, grant("a", "b"))

    assert (operation.status, statuses(operation)) == ("partial", ["failed", "done"])
    failed = operation.steps[0]
    assert (failed.http_status, failed.request_id) == (error.status, error.request_id)
    assert (failed.error or {})["message"] == error.message
    assert (failed.error or {})["remote_id"] == error.remote_id
    assert operation.error == failed.error
    assert len(office.requests()) == 2


async def test_removing_what_is_gone_is_success(writes: Writes, office: Office) -> None:
    office.give("a")

    async def gone_meanwhile(do: Any) -> Answer | None:
        do()
        raise REFUSALS["not_found"].fresh()

    office.faults["a"] = [gone_meanwhile]

    operation = await carried_out(writes, removal("a"))

    assert (operation.status, only(operation).status) == ("succeeded", "already")
    assert only(operation).http_status == 404


@pytest.mark.parametrize(("told", "expected"), [("not_done", "failed"), ("unknown", "unknown")])
async def test_a_place_that_hides_itself_is_not_taken_for_gone(
    writes: Writes, office: Office, told: Any, expected: str
) -> None:
    office.give("a")
    office.faults["a"] = [before(REFUSALS["not_found"])] * 2
    office.looks["a"] = [told] * 2

    operation = await carried_out(writes, removal("a"))

    assert (only(operation).status, operation.status) == (expected, "failed" if expected == "failed" else "partial")
    assert office.has("a")


async def test_what_is_called_gone_but_is_there_is_taken_otherwise(writes: Writes, office: Office) -> None:
    office.give("a")
    office.faults["a"] = [before(REFUSALS["not_found"])]

    operation = await carried_out(writes, removal("a"))

    assert (operation.status, only(operation).status, office.has("a")) == ("succeeded", "done", False)
    assert len(office.requests()) == 2


async def test_what_never_left_is_sent_again(writes: Writes, office: Office) -> None:
    office.faults["a"] = [before(never_sent())] * 2

    operation = await carried_out(writes, grant("a", kind="app"))

    assert (operation.status, len(office.requests())) == ("succeeded", 3)


async def test_a_provider_that_cant_be_reached_was_sent_nothing(writes: Writes, office: Office) -> None:
    office.faults["a"] = [before(never_sent())] * 9

    operation = await carried_out(writes, grant("a"))

    assert operation.status == "failed"
    assert "nothing was sent" in (only(operation).note or "")


async def test_an_empty_budget_is_waited_for(writes: Writes, office: Office) -> None:
    office.faults["a"] = [before(RemoteRateLimited(429, headers={"retry-after": "1"}))]

    operation = await writes.operation(CALLER, (await carried_out(writes, grant("a"))).id)

    assert operation.status == "succeeded"
    told = [event.what for event in operation.events]
    assert told == [
        "asked", "step_sending", "step_put_back", "waiting", "going_on", "step_sending", "step_done", "finished"
    ]  # fmt: skip


async def test_a_budget_that_comes_back_too_late_leaves_the_rest_to_resume(writes: Writes, office: Office) -> None:
    office.faults["a"] = [before(RemoteRateLimited(429, headers={"retry-after": "3600"}))]

    outcome = await writes.write(ACCOUNT, CLIENT, CALLER, grant("a"))

    assert (outcome.operation.status, outcome.finished) == ("lapsed", False)
    assert outcome.operation.retry_at is not None
    assert (outcome.operation.error or {})["status"] == 429
    resumed = await writes.resume(CALLER, outcome.operation.id)
    await writes._hands.ended(resumed.id, 5)
    operation = await writes.operation(CALLER, resumed.id)
    assert (operation.status, statuses(operation)) == ("succeeded", ["skipped", "done"])


@pytest.mark.parametrize("error", [RemoteUnauthorized(401), AccountBlocked()], ids=["unauthorized", "blocked"])
async def test_a_refused_account_is_not_tried_again_and_again(writes: Writes, office: Office, error: Any) -> None:
    places = [f"p{n:02}" for n in range(20)]
    for place in places:
        office.give(place)
        office.faults[place] = [before(error)]

    operation = await carried_out(writes, offboarding())

    assert operation.status == "failed"
    assert len(office.requests()) <= 8
    assert set(statuses(operation)) == {"failed", "skipped"}


async def test_after_a_failure_nothing_more_is_done_in_the_same_place(writes: Writes, office: Office) -> None:
    place = PlaceRef(kind="app", id="a")
    twice = Ask(
        kind="users.create",
        person=grant("a").person,
        changes=(Change(verb="give", place=place), Change(verb="give", place=place)),
    )
    office.faults["a"] = [before(REFUSALS["forbidden"])]

    operation = await carried_out(writes, twice)

    assert statuses(operation) == ["failed", "skipped"]
    assert "same place" in (operation.steps[1].note or "")


async def test_places_are_written_to_at_once_but_not_all(writes: Writes, office: Office) -> None:
    under_way, most, all_in = 0, 0, asyncio.Barrier(8)

    async def fault(do: Any) -> Answer | None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await all_in.wait()
        under_way -= 1
        do()
        return None

    for n in range(40):
        office.give(f"p{n:02}")
        office.faults[f"p{n:02}"] = [fault]

    async with asyncio.timeout(30):
        operation = await carried_out(writes, offboarding())

    assert (operation.status, len(office.requests()), office.places_of()) == ("succeeded", 40, [])
    assert most == 8


async def test_a_result_that_cant_be_read_undoes_nothing(writes: Writes, office: Office) -> None:
    office.on_result = UpstreamTimeout()

    operation = await carried_out(writes, grant("a"))

    assert (operation.status, operation.result) == ("succeeded", None)
