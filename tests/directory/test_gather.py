"""What a gather asks the provider for: every chain from the roots down, nothing twice, nothing that isn't needed."""

import asyncio
from typing import Any

import pytest

from adapter.directory.gather import Gather, Scope
from adapter.directory.lists import Missing
from adapter.directory.units import AccountUnits
from adapter.errors import RemoteError, RemoteRateLimited, UpstreamTimeout
from tests.directory.fakes import (
    SHIPPED,
    Clock,
    Provider,
    app,
    collaborator,
    entity,
    forbidden,
    invitation,
    member,
    missing,
    nothing,
    of_team,
    team,
    two_teams,
)

USERS = SHIPPED.units_of(SHIPPED.resources["users"])
WITH_INHERITED = SHIPPED.units_of(SHIPPED.resources["role_assignments"], inherited=True)


class Desk:
    def __init__(self, answers: dict[str, Any]) -> None:
        self.clock = Clock()
        self.units = AccountUnits(self.clock)
        self.provider = Provider(answers)

    async def gather(self, names: tuple[str, ...] = USERS, **more: Any) -> Gather:
        gather = Gather(SHIPPED, self.units, self.provider, names, **more)
        await gather.run()
        return gather

    async def asked(self, names: tuple[str, ...] = USERS, **more: Any) -> list[str]:
        """The paths that a gather asks for, sorted."""
        self.provider.forget_calls()
        await self.gather(names, **more)
        return sorted(self.provider.calls)


def gaps(gather: Gather) -> list[tuple[str, str]]:
    reads = [*gather.reads_above(), *gather.reads()]
    return [(gap.unit, gap.reason) for read in reads if (gap := read.missing())]


async def test_a_personal_account_without_anything_costs_three_requests() -> None:
    assert await Desk(nothing()).asked() == ["/apps", "/enterprise-accounts", "/teams"]


async def test_every_list_is_asked_for_once() -> None:
    asked = await Desk(two_teams()).asked()

    assert asked == [
        "/apps", "/apps/a1/collaborators", "/apps/p1/collaborators", "/enterprise-accounts", "/teams",
        "/teams/t1/invitations", "/teams/t1/members", "/teams/t1/permissions",
        "/teams/t2/invitations", "/teams/t2/members", "/teams/t2/permissions",
    ]  # fmt: skip


async def test_a_second_gather_within_the_age_asks_for_nothing() -> None:
    desk = Desk(two_teams())
    await desk.gather()
    desk.clock.tick(59)

    assert await desk.asked() == []
    assert await desk.asked(WITH_INHERITED) == ["/teams/t1/apps", "/teams/t2/apps"]


async def test_a_gather_that_insists_asks_for_everything_exactly_once() -> None:
    desk = Desk(two_teams())
    everything = [path for path in await desk.asked() if path != "/apps/a1/collaborators"]
    desk.clock.tick(1)

    assert await desk.asked(max_age=0.0) == everything


async def test_only_what_a_write_touched_is_asked_for_again() -> None:
    desk = Desk(two_teams())
    await desk.gather()
    await desk.units.make_stale(lambda path: path == "/teams/t2/members")

    assert await desk.asked() == ["/teams/t2/members"]


async def test_an_enterprise_brings_its_members_teams_and_spaces() -> None:
    desk = Desk({
        **nothing(),
        "/teams": [team("t1", "enterprise", "e1")],
        "/enterprise-accounts": [{"id": "e1", "name": "corp"}],
        "/enterprise-accounts/e1/teams": [team("t1", "enterprise", "e1"), team("t9", "enterprise", "e1")],
        "/enterprise-accounts/e1/members": [],
        "/spaces": [{"id": "s1", "name": "room", "team": {"id": "t1"}}],
        "/spaces/s1/members": [],
        **of_team("t1"),
        **of_team("t9"),
    })  # fmt: skip

    assert await desk.asked() == [
        "/apps", "/enterprise-accounts", "/enterprise-accounts/e1/members", "/enterprise-accounts/e1/teams", "/spaces",
        "/spaces/s1/members", "/teams", "/teams/t1/members", "/teams/t1/permissions", "/teams/t9/members",
        "/teams/t9/permissions",
    ]  # fmt: skip


async def test_a_team_that_two_lists_name_hangs_on_the_first() -> None:
    desk = Desk({
        **nothing(),
        "/teams": [{**team("t1", "enterprise", "e1"), "note": "from /teams"}],
        "/enterprise-accounts": [{"id": "e1", "name": "corp"}],
        "/enterprise-accounts/e1/teams": [team("t1", "enterprise", "e1")],
        "/enterprise-accounts/e1/members": [],
        **of_team("t1"),
    })  # fmt: skip

    gather = await desk.gather()

    (read,) = [read for read in gather.reads() if read.unit.name == "team_members"]
    assert read.lineage["team"]["note"] == "from /teams"


async def test_spaces_are_asked_for_only_where_a_team_can_have_one() -> None:
    desk = Desk({**nothing(), "/teams": [team("t1")], **of_team("t1")})

    assert "/spaces" not in await desk.asked()


async def test_an_app_of_a_team_that_is_known_is_left_to_the_team() -> None:
    answers = {**nothing(), "/teams": [team("t1")], **of_team("t1"), "/apps": [app("a1", "t1"), app("a2", "t9"),
    app("p1")],
               "/apps/a2/collaborators": [], "/apps/p1/collaborators": []}  # fmt: skip

    asked = await Desk(answers).asked()

    assert [path for path in asked if path.startswith("/apps/")] == ["/apps/a2/collaborators", "/apps/p1/collaborators"]


async def test_records_that_can_not_be_addressed_hang_nothing() -> None:
    answers = {
        **nothing(),
        "/teams": ["nonsense", {"name": "x"}, {"id": ""}, {"id": None}, team("t1")],
        **of_team("t1"),
    }

    asked = await Desk(answers).asked()

    assert [path for path in asked if path.startswith("/teams/")] == [
        "/teams/t1/invitations", "/teams/t1/members", "/teams/t1/permissions",
    ]  # fmt: skip


# --- scope


async def test_a_gather_for_one_team_asks_only_for_that_team() -> None:
    desk = Desk({**two_teams(), "/apps": [app("a1", "t1"), app("a9", "t9"), app("p1")]})

    asked = await desk.asked(scope=Scope(place="group", ids=frozenset({"t2"})))

    assert asked == [
        "/apps", "/enterprise-accounts", "/teams", "/teams/t2/invitations", "/teams/t2/members",
        "/teams/t2/permissions",
    ]  # fmt: skip


async def test_a_gather_for_a_team_known_by_its_app_alone_asks_for_that_app() -> None:
    desk = Desk({**nothing(), "/apps": [app("a9", "t9"), app("p1")], "/apps/a9/collaborators": []})

    asked = await desk.asked(scope=Scope(place="group", ids=frozenset({"t9"})))

    assert [path for path in asked if path.startswith("/apps/")] == ["/apps/a9/collaborators"]


async def test_a_gather_for_nobodys_team_asks_for_the_roots_alone() -> None:
    asked = await Desk(two_teams()).asked(scope=Scope(place="group", ids=frozenset({"t7"})))

    assert asked == ["/apps", "/enterprise-accounts", "/teams"]


# --- what can't be read


async def test_a_closed_list_is_missing_with_its_place_and_the_scopes_that_open_it() -> None:
    desk = Desk({**two_teams(), "/teams/t1/members": forbidden("global")})

    gather = await desk.gather()

    reads = [gap for read in gather.reads() if (gap := read.missing())]
    assert reads == [
        Missing(
            unit="team_members",
            reason="missing_scope",
            message="You do not have access.",
            place={"team": {"id": "t1", "name": "name-t1"}},
            scopes=("global",),
        )
    ]


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/teams", "teams"),
        ("/enterprise-accounts", "enterprise_accounts"),
        ("/apps", "apps"),
        ("/teams/t1/invitations", "team_invitations"),
        ("/teams/t1/permissions", "team_permissions"),
        ("/apps/p1/collaborators", "app_collaborators"),
    ],
)
async def test_whatever_is_closed_is_told_also_where_it_only_leads_to_others(path: str, unit: str) -> None:
    gather = await Desk({**two_teams(), path: forbidden()}).gather()

    assert gaps(gather) == [(unit, "forbidden")]


async def test_a_closed_permissions_list_is_missing_and_not_replaced() -> None:
    desk = Desk({**two_teams(), "/teams/t1/permissions": forbidden()})

    assert "/teams/t1/apps" not in await desk.asked()


async def test_a_gone_list_is_missing() -> None:
    assert gaps(await Desk({**two_teams(), "/teams/t1/members": missing()}).gather()) == [("team_members", "not_found")]


@pytest.mark.parametrize("error", [UpstreamTimeout(), RemoteError(500)])
async def test_a_failure_of_the_moment_ends_the_gather_and_keeps_what_was_read(error: Exception) -> None:
    desk = Desk({**two_teams(), "/teams/t1/members": error})

    with pytest.raises(type(error)):
        await desk.gather()
    desk.provider.answers["/teams/t1/members"] = []
    again = await desk.asked()

    assert "/teams/t1/members" in again
    assert not {"/teams", "/apps", "/enterprise-accounts"} & set(again)


async def test_what_the_budget_does_not_allow_is_held_back_and_what_was_known_stands() -> None:
    desk = Desk(two_teams())
    await desk.gather()
    desk.provider.answers["/teams/t1/members"] = RemoteRateLimited(429)
    desk.clock.tick(100)
    gather = await desk.gather()

    assert gather.held == 1
    assert gaps(gather) == []
    (read,) = [read for read in gather.reads() if read.state.path == "/teams/t1/members"]
    assert [record["id"] for record in read.state.records or ()] == ["m-ada", "m-bob"]


# --- the proof


async def test_a_permissions_list_that_does_not_exist_is_replaced_app_by_app() -> None:
    desk = Desk({**two_teams(), "/teams/t1/permissions": missing()})

    asked = await desk.asked()
    gather = await desk.gather()

    assert {"/teams/t1/apps", "/apps/a1/collaborators"} <= set(asked)
    assert "/teams/t2/apps" not in asked
    assert gaps(gather) == []
    (fallen,) = [read for read in gather.reads() if read.unit.name == "team_app_collaborators"]
    assert fallen.lineage["team"]["id"] == "t1"


async def test_the_apps_of_a_fallen_team_are_read_once_though_two_need_them() -> None:
    desk = Desk({**two_teams(), "/teams/t1/permissions": missing()})

    asked = await desk.asked(WITH_INHERITED)
    gather = await desk.gather(WITH_INHERITED)

    assert asked == sorted(set(asked))
    assert len([read for read in gather.reads() if read.state.path == "/teams/t1/apps"]) == 1


async def test_a_closed_list_of_a_fallen_teams_apps_is_told() -> None:
    desk = Desk({**two_teams(), "/teams/t1/permissions": missing(), "/teams/t1/apps": forbidden()})

    assert gaps(await desk.gather()) == [("team_apps", "forbidden")]


async def test_a_permissions_list_that_agrees_is_trusted_and_compared_once_a_day() -> None:
    desk = Desk(two_teams())
    first = await desk.asked()
    desk.clock.tick(3600)
    later = await desk.asked()
    desk.clock.tick(86_400)
    tomorrow = await desk.asked()

    assert [paths.count("/apps/a1/collaborators") for paths in (first, later, tomorrow)] == [1, 0, 1]
    assert all("/teams/t1/apps" not in paths for paths in (first, later, tomorrow))


@pytest.mark.parametrize(
    "actual",
    [
        pytest.param([collaborator("bob", "view"), collaborator("cyd", "view")], id="a permission too many"),
        pytest.param([collaborator("bob", "view"), collaborator("cyd", "view", "deploy", "manage")], id="one too few"),
        pytest.param([collaborator("bob", "view")], id="somebody too many"),
        pytest.param(
            [collaborator("bob", "view"), collaborator("cyd", "view", "deploy"), collaborator("eve", "view")],
            id="somebody left out",
        ),
        pytest.param([], id="everybody too many"),
        pytest.param([{"user": {"id": "bob", "email": None}}], id="nothing to compare by"),
    ],
)
async def test_a_permissions_list_that_differs_is_replaced_for_the_day(actual: list[Any]) -> None:
    desk = Desk({**two_teams(), "/apps/a1/collaborators": actual})
    first = await desk.asked()
    desk.clock.tick(3600)
    later = await desk.asked()
    desk.provider.answers["/apps/a1/collaborators"] = two_teams()["/apps/a1/collaborators"]
    desk.clock.tick(86_400)
    tomorrow = await desk.asked()

    assert ["/teams/t1/apps" in paths for paths in (first, later, tomorrow)] == [True, True, False]
    assert gaps(await desk.gather()) == []


async def test_admins_are_exempt_from_the_comparison_on_either_side() -> None:
    with_admin = [*two_teams()["/apps/a1/collaborators"], collaborator("ada", "manage")]
    claimed = {"bob": ["view"], "cyd": ["view", "deploy"], "ada": ["view"]}

    for answers in ({"/apps/a1/collaborators": with_admin}, {"/teams/t1/permissions": [entity("a1", claimed)]}):
        assert "/teams/t1/apps" not in await Desk({**two_teams(), **answers}).asked()


async def test_where_admins_are_unknown_nobody_may_at_least_be_left_out() -> None:
    claimed = {"bob": ["view"], "cyd": ["view", "deploy"], "ada": ["view"]}
    closed = {**two_teams(), "/teams/t1/members": forbidden()}

    more = await Desk({**closed, "/teams/t1/permissions": [entity("a1", claimed)]}).asked()
    fewer = await Desk({**closed, "/teams/t1/permissions": [entity("a1", {"bob": ["view"]})]}).asked()

    assert "/teams/t1/apps" not in more
    assert "/teams/t1/apps" in fewer


@pytest.mark.parametrize("error", [forbidden(), missing()])
async def test_a_team_that_can_not_be_compared_is_trusted_and_not_asked_again_that_day(error: Exception) -> None:
    desk = Desk({**two_teams(), "/apps/a1/collaborators": error})
    first = await desk.asked()
    desk.clock.tick(3600)
    later = await desk.asked()

    assert [paths.count("/apps/a1/collaborators") for paths in (first, later)] == [1, 0]
    assert "/teams/t1/apps" not in first + later


async def test_a_comparison_that_fails_for_the_moment_is_made_by_the_next_gather() -> None:
    desk = Desk({**two_teams(), "/apps/a1/collaborators": UpstreamTimeout()})
    await desk.gather()
    desk.clock.tick(3600)

    assert "/apps/a1/collaborators" in await desk.asked()


@pytest.mark.parametrize(
    "entry",
    [{"id": "bob"}, {"id": "bob", "email": "bob@example.com", "permissions": [{"name": "view"}]},
     {"id": "bob", "email": "bob@example.com", "permissions": 7}, "nonsense", None],
)  # fmt: skip
async def test_a_permissions_list_in_another_shape_is_replaced(entry: Any) -> None:
    answers = {**two_teams(), "/teams/t1/permissions": [{**entity("a1", {}), "users": [entry]}]}

    assert "/teams/t1/apps" in await Desk(answers).asked()


async def test_an_app_without_an_id_can_not_be_compared_and_is_not_trusted() -> None:
    answers = {**two_teams(), "/teams/t1/permissions": [{"type": "app", "users": []}]}

    assert "/teams/t1/apps" in await Desk(answers).asked()


async def test_each_day_compares_another_app() -> None:
    entities = [entity(f"a{n}", {}) for n in range(3)]
    desk = Desk({**nothing(), "/teams": [team("t1")], **of_team("t1", entities=entities),
                 **{f"/apps/a{n}/collaborators": [] for n in range(3)}})  # fmt: skip
    compared = set()
    for _ in range(3):
        compared |= {path for path in await desk.asked() if path.startswith("/apps/")}
        desk.clock.tick(86_400)

    assert len(compared) == 3


# --- what it costs, in which order, and what is still to come


async def test_a_gather_knows_what_it_cost_and_not_what_others_paid() -> None:
    desk = Desk(two_teams())
    desk.provider.pages = 3
    first = await desk.gather()
    desk.clock.tick(30)
    second = await desk.gather()

    assert first.cost == 3 * 11
    assert second.cost == 0


async def test_reads_come_in_a_settled_order_whatever_arrived_first() -> None:
    desk = Desk(two_teams())
    gate, other = desk.provider.block("/teams/t1/members"), desk.provider.block("/teams/t2/permissions")
    gather = Gather(SHIPPED, desk.units, desk.provider, USERS)
    running = asyncio.create_task(gather.run())
    await desk.provider.begun["/teams/t2/permissions"].wait()
    other.set()
    gate.set()
    await running

    assert [read.state.path for read in gather.reads()] == [
        read.state.path for read in (await Desk(two_teams()).gather()).reads()
    ]
    assert [read.unit.name for read in gather.reads()] == sorted(
        (read.unit.name for read in gather.reads()), key=USERS.index
    )


async def test_what_is_still_under_way_is_named_with_its_place() -> None:
    desk = Desk(two_teams())
    gate = desk.provider.block("/teams/t1/members")
    gather = Gather(SHIPPED, desk.units, desk.provider, USERS)

    assert {gap.unit for gap in gather.pending()} == set(USERS)
    running = asyncio.create_task(gather.run())
    for _ in range(200):
        await asyncio.sleep(0)
    pending = gather.pending()
    gate.set()
    await running

    # The proof of the team's permissions waits for its admins.
    assert {(gap.unit, gap.reason, gap.place["team"]["id"]) for gap in pending if gap.place} == {
        ("team_members", "gathering", "t1"), ("team_permissions", "gathering", "t1"),
    }  # fmt: skip
    assert gather.pending() == []


async def test_what_failed_for_the_moment_says_so_among_what_is_still_to_come() -> None:
    desk = Desk({**two_teams(), "/teams/t2/members": UpstreamTimeout()})
    gather = Gather(SHIPPED, desk.units, desk.provider, USERS)
    with pytest.raises(UpstreamTimeout):
        await gather.run()

    assert ("team_members", "upstream_timeout", "t2") in {
        (gap.unit, gap.reason, gap.place.get("team", {}).get("id")) for gap in gather.pending()
    }


async def test_a_gather_that_is_given_up_leaves_nothing_running() -> None:
    desk = Desk({**two_teams(), "/teams/t1/invitations": [invitation("x@example.com")],
                 "/teams/t1/members": [member("ada")]})  # fmt: skip
    desk.provider.block("/teams")
    running = asyncio.create_task(Gather(SHIPPED, desk.units, desk.provider, USERS).run())
    await desk.provider.begun["/teams"].wait()

    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await desk.units.close()

    assert asyncio.all_tasks() == {asyncio.current_task()}
