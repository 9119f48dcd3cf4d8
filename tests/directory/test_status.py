"""How each unit of a directory stands, told without asking the provider for anything."""

from typing import Any

import pytest

from adapter.directory.status import Status, UnitStatus, shown_summary, shown_unit
from tests.directory.fakes import NOON, entity, forbidden, nothing, of_team, team, two_teams
from tests.directory.house import House
from tests.directory.test_settling import CYD, wrote


async def stands(house: House) -> Status:
    house.provider.forget_calls()
    found = await house.directory.status("acc", house.provider)
    assert house.provider.calls == [], "it is told from what is at hand"
    return found


def by_path(status: Status) -> dict[tuple[str, str], UnitStatus]:
    return {(unit.unit, unit.path): unit for unit in status.units}


MEMBERS = ("team_members", "/teams/t1/members")


async def test_before_any_question_only_the_roots_are_known_and_none_was_read() -> None:
    status = await stands(House(two_teams()))

    assert {unit.path for unit in status.units} == {"/account", "/teams", "/enterprise-accounts", "/apps", "/addons"}
    assert {unit.state for unit in status.units} == {"never"}
    assert status.summary.budget.remaining == 4500
    assert status.summary.next_due_at is None


async def test_what_a_gather_takes_is_known_once_the_lists_are_read_that_others_hang_on() -> None:
    house = House(two_teams())
    first = (await stands(house)).summary
    assert (first.gather_cost, first.due_cost, first.is_cost_known) == (5, 5, False)

    await house.ask(name="groups")
    await house.ask(name="organizations")
    await house.ask("workspace_type=app", "workspaces")
    before = (await stands(house)).summary
    house.provider.forget_calls()
    for name in house.directory.model.resources:
        if name not in {"activities", "roles"}:
            await house.ask(name=name)

    # The proof of a team's permissions reads one app's own list too, which belongs to none of the units.
    took = len(house.provider.calls) - house.provider.calls.count("/apps/a1/collaborators")
    assert before.is_cost_known
    assert 0 < before.due_cost == took < before.gather_cost
    after = (await stands(house)).summary
    assert (after.gather_cost, after.due_cost, after.is_cost_known) == (before.gather_cost, 0, True)


async def test_what_was_read_is_fresh_with_its_age_cost_and_place() -> None:
    house = House(two_teams())
    house.provider.pages = 3
    await house.ask()
    house.clock.tick(20)

    unit = by_path(await stands(house))[MEMBERS]

    assert (unit.state, unit.age, unit.cost) == ("fresh", 20.0, 3)
    assert unit.place == {"team": {"id": "t1", "name": "name-t1"}}
    assert (unit.fetched_at, unit.changed_at) == (NOON, NOON)
    assert unit.due_at == NOON + 60


async def test_a_unit_is_due_when_it_is_older_than_units_may_be() -> None:
    house = House(two_teams())
    await house.ask()
    house.clock.tick(61)

    status = await stands(house)

    assert by_path(status)[MEMBERS].state == "due"
    assert status.summary.states["fresh"] == 0


async def test_units_stay_fresh_until_a_gathers_requests_have_flowed_back() -> None:
    house = House(two_teams())
    house.provider.pages = 40
    await house.ask()
    house.clock.tick(61)

    status = await stands(house)

    assert status.summary.max_age > 60
    assert by_path(status)[MEMBERS].state == "fresh"
    assert status.summary.next_due_at == NOON + status.summary.max_age


async def test_a_write_makes_what_it_touched_stale_and_settles_what_lags() -> None:
    house = House(two_teams())
    await house.ask()
    await wrote(house, "DELETE", "/apps/a1/collaborators/cyd", CYD)

    stale = by_path(await stands(house))[MEMBERS]
    await house.ask()
    settling = by_path(await stands(house))["team_permissions", "/teams/t1/permissions"]

    assert stale.state == "stale"
    assert (settling.state, settling.settles_at) == ("due", NOON + 15)


async def test_what_the_provider_refused_is_unreadable_with_the_reason() -> None:
    house = House({**two_teams(), "/teams/t2/members": forbidden("global")})
    await house.ask()

    unit = by_path(await stands(house))["team_members", "/teams/t2/members"]

    assert (unit.state, unit.reason) == ("unreadable", "missing_scope")
    assert unit.message == "You do not have access."


async def test_a_proof_is_told_and_so_is_what_is_read_instead() -> None:
    wrong = [entity("a1", {"zed": ["view"]})]
    house = House({**two_teams(), "/teams/t1/permissions": wrong})
    await house.ask()

    units = by_path(await stands(house))

    unit = units["team_permissions", "/teams/t1/permissions"]
    assert unit.proof is not None
    assert (unit.proof.right, unit.proof.day) == (False, "2023-11-14")
    assert unit.reason == "distrusted"
    assert units["team_app_collaborators", "/apps/a1/collaborators"].state == "fresh"


async def test_what_the_budget_does_not_allow_is_held_the_most_wanted_last() -> None:
    house = House(two_teams(), reserve=100, refill=2.0)
    await house.ask()
    house.clock.tick(61)
    house.provider.budget.remaining = 103

    status = await stands(house)

    due = [unit for unit in status.units if unit.state == "due"]
    held = [unit for unit in status.units if unit.state == "held"]
    assert sum(unit.cost for unit in due) <= 3
    assert {unit.reason for unit in held} == {"due", "never_read"}
    assert all(unit.due_at > status.at for unit in held)
    assert status.summary.budget.affordable == 3


async def test_the_summary_counts_every_unit_once_by_state() -> None:
    house = House({**nothing(), "/teams": [team("t1")], **of_team("t1")})
    await house.ask()

    status = await stands(house)

    assert sum(status.summary.states.values()) == status.summary.units == len(status.units)
    assert status.summary.gather_cost == len({unit.path for unit in status.units})


@pytest.mark.parametrize("name", ["fetched_at", "changed_at", "due_at"])
async def test_moments_are_shown_in_iso_8601(name: str) -> None:
    house = House(two_teams())
    await house.ask()
    status = await stands(house)

    shown: dict[str, Any] = shown_unit(by_path(status)[MEMBERS])

    assert shown[name].startswith("2023-11-14T12:0")
    assert shown[name].endswith("Z")
    assert shown_summary(status)["at"] == "2023-11-14T12:00:00Z"
