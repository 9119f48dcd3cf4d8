"""What a removal was about, and how each place stands, told from plans and steps alone."""

from datetime import UTC, datetime
from typing import Any

import pytest

from adapter.directory.writing.model import (
    Ask,
    Cost,
    Held,
    Holding,
    Obstacle,
    Operation,
    PlaceRef,
    Plan,
    Step,
    StepState,
    StepStatus,
)
from adapter.directory.writing.targets import Targets, before_it_began

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
LATER = datetime(2026, 1, 2, 13, tzinfo=UTC)
ACME = PlaceRef(kind="team", id="acme", name="acme")
WEB = PlaceRef(kind="app", id="web", name="web")
MEMBER = Holding(state="active", roles=("member",))
DEPLOYER = Holding(state="active", roles=("deploy",))
LAST = Obstacle(guard="last_admin", message="Make somebody else admin first.", place=ACME)
REFUSED = {"code": "remote_error", "remote_id": "invalid_params", "message": "The last admin stays.", "status": 422}


def step(n: int, place: PlaceRef, before: Holding = MEMBER) -> Step:
    return Step(
        n=n, call="x.remove", method="DELETE", path="/x", place=place, summary="", before=before, after=Holding()
    )


def state(n: int, place: PlaceRef, status: StepStatus = "done", **more: Any) -> StepState:
    return StepState(step=step(n, place), status=status, finished_at=NOON if status == "done" else None, **more)


def plan(**more: Any) -> Plan:
    return Plan(kind="users.offboard", cost=Cost(steps=0), etag="", **more)


def targets(*states: StepState, says_gone: bool = False, **more: Any) -> Targets:
    operation = Operation(
        id="op",
        account_id="a",
        tenant_id="t",
        kind="users.offboard",
        status="running",
        caller={},
        ask=Ask(kind="users.offboard", everywhere=True),
        plan=plan(**more),
        steps=states,
        created_at=NOON,
        updated_at=NOON,
    )
    return Targets(operation, lambda _: says_gone)


COVERED = (Held(place=ACME, holding=MEMBER), Held(place=WEB, holding=DEPLOYER, by=ACME))


def test_every_place_is_there_once_with_what_was_held() -> None:
    found = targets(state(1, ACME), state(2, ACME), held=COVERED, already=(PlaceRef(kind="space", id="s"),))

    assert [(one.place.id, one.before) for one in found] == [("acme", MEMBER), ("web", DEPLOYER), ("s", None)]


def test_a_grant_is_none_of_its_business() -> None:
    given = StepState(step=Step(n=1, call="x.add", method="PUT", path="/x", place=ACME, summary="", after=MEMBER))

    assert list(targets(given)) == []


@pytest.mark.parametrize(
    ("status", "error", "found"),
    [
        ("done", None, ("unverified", "still_listed")),
        ("already", None, ("unverified", "still_listed")),
        ("unknown", None, ("unverified", "still_listed")),
        ("failed", REFUSED, ("remains", "invalid_params")),
        ("failed", {"code": "last_admin", "message": "no"}, ("remains", "last_admin")),
        ("skipped", None, ("remains", "not_sent")),
    ],
)
def test_how_a_place_stands_that_still_lists_the_person(status: StepStatus, error: Any, found: tuple[str, str]) -> None:
    known = targets(state(1, ACME, status, error=error))
    told = known.listed(known.of(ACME), MEMBER, LATER)

    assert (told.state, told.why) == found
    assert told.found == MEMBER
    assert told.message


def test_what_the_provider_denies_to_be_there_and_lists_is_a_doubt() -> None:
    known = targets(state(1, ACME, "failed", error={"status": 404, "message": "no"}), says_gone=True)

    assert known.listed(known.of(ACME), MEMBER, LATER).state == "unverified"
    assert not known.keeps(("team", "acme"))


def test_a_place_is_unverified_since_it_was_removed_and_not_since_it_was_looked_at() -> None:
    known = targets(state(1, ACME), held=COVERED)

    assert known.unread(known.of(ACME), "forbidden", "no", LATER).unverified_since == NOON
    assert known.unread(known.of(WEB), "forbidden", "no", LATER).unverified_since == NOON
    assert known.unread(known.of(PlaceRef(kind="app", id="other")), "x", "no", LATER).unverified_since == LATER


def test_what_goes_with_a_place_stays_with_it() -> None:
    known = targets(held=COVERED, remains=(LAST,))

    assert known.keeps(("team", "acme"))
    assert known.keeps(("app", "web"))
    told = known.kept(known.of(WEB))
    assert (told.state, told.why, told.found) == ("remains", "last_admin", DEPLOYER)


def test_what_goes_with_a_place_that_could_not_be_left_stays_for_the_same_reason() -> None:
    known = targets(state(1, ACME, "failed", error=REFUSED), held=COVERED)

    assert known.keeps(("app", "web"))
    assert known.listed(known.of(WEB), DEPLOYER, LATER).why == "invalid_params"


def test_a_step_that_was_never_sent_takes_nothing_from_what_one_before_it_came_to() -> None:
    known = targets(state(1, ACME, "failed", error=REFUSED), state(2, ACME, "skipped"))

    assert known.listed(known.of(ACME), MEMBER, LATER).why == "invalid_params"


def test_what_was_done_last_counts() -> None:
    known = targets(state(1, ACME, "failed", error=REFUSED), state(2, ACME))

    assert not known.keeps(("team", "acme"))


def test_an_invitation_gave_nothing_yet() -> None:
    invited = Held(place=ACME, holding=Holding(state="pending", roles=("admin",)))

    assert targets(held=(invited,)).held_in(("team", "acme")) == Holding()
    assert targets(held=COVERED).held_in(("team", "acme")) == MEMBER


def test_a_plan_made_in_its_midst_knows_what_was_held_before() -> None:
    older = plan(held=COVERED, notes={"may_return": [1], "rotate_secrets_of": [2]})
    newer = plan(held=(Held(place=ACME, holding=Holding()),), notes={"rotate_secrets_of": [2, 3], "other": "x"})
    told = before_it_began(older, newer)

    assert told.held == COVERED
    assert told.notes == {"may_return": [1], "rotate_secrets_of": [2, 3], "other": "x"}
