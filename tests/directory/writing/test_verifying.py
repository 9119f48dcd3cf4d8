"""Off-boardings proved against the sandbox's world: what the report calls gone is gone there, the rest is named."""

import dataclasses
from typing import Any

import msgspec
import pytest

from adapter.directory.writing.report import Report
from adapter.directory.writing.watching import Patience
from adapter.sandbox import Options, RunningSandbox, World
from tests.directory.writing.desks import desk_at
from tests.directory.writing.offboarding import QUICK, Offboarding, everything_of, held, named, standing

BOB = "bob@example.com"
AT_ONCE = Options(consistency_s=0)


def world() -> World:
    """Bob is in a team and in an app and a space of it, in another team's app, invited, in an enterprise account."""
    made = World()
    ada = made.add_account("ada@example.com", "Ada")
    corp = made.add_enterprise("corp")
    made.add_enterprise_member(corp, ada, "view", "manage")
    made.add_enterprise_member(corp, BOB, "view")
    acme = made.add_team("acme", kind="enterprise", admins=[ada], features={"org-access-controls"}, enterprise=corp)
    made.add_member(acme, BOB, "member")
    made.grant(made.add_app("acme-web", team=acme), BOB, "view", "deploy")
    made.allow_in_space(made.add_space("acme-space", acme), BOB, "create_apps")
    open_team = made.add_team("open", admins=[ada], features={"team-invite-acceptance"})
    made.invite(open_team, BOB, "member", by=ada)
    made.grant(made.add_app("open-api", team=open_team), BOB)
    made.grant(made.add_app("mine", owner=ada), BOB)
    return made


def team(heroku: RunningSandbox, name: str) -> Any:
    return next(team for team in heroku.world.teams.values() if team.name == name)


def app(heroku: RunningSandbox, name: str) -> Any:
    return next(app for app in heroku.world.apps.values() if app.name == name)


def given(heroku: RunningSandbox, app: Any) -> None:
    """Somebody at the provider gives Bob access to an app."""
    heroku.world.grant(app, BOB)


def reasons(report: Report) -> dict[str, str | None]:
    return {named(place): place.why for place in report.places if place.state != "gone"}


@pytest.mark.parametrize("endpoint", ["on", "missing"])
@pytest.mark.parametrize("proof", ["places", "full"])
async def test_what_is_called_gone_is_gone_from_the_world(endpoint: Any, proof: str) -> None:
    options = Options(consistency_s=0, permissions_endpoint=endpoint)
    with RunningSandbox(world, options=options) as heroku:
        before = held(heroku, BOB)
        async with desk_at(heroku) as desk:
            offboarding = Offboarding(desk, everything_of(BOB, proof))
            report = await offboarding.go()

        assert held(heroku, BOB) == set()
        cost = offboarding.plan.cost
        assert report.requests <= cost.read_back + (cost.full_proof if proof == "full" else 0)
        assert report.requests >= cost.read_back
        assert set(standing(report)) >= before
        assert set(standing(report).values()) == {"gone"}
        assert report.is_complete
        assert report.proof == proof
        assert report.missing == ()
        assert all(place.verified_at is not None for place in report.places)
        went = {named(place): place.went_with.name for place in report.places if place.went_with}
        assert went == {"app acme-web": "acme", "space acme-space": "acme"}


async def test_lists_that_lag_behind_are_waited_for() -> None:
    with RunningSandbox(world, options=Options(consistency_s=1)) as heroku:
        async with desk_at(heroku) as desk:
            offboarding = Offboarding(desk, everything_of(BOB))
            report = await offboarding.go()

        asked = heroku.requests(path=f"/apps/{app(heroku, 'mine').id}/collaborators", method="GET")
        assert len(asked) > 2
        assert set(standing(report).values()) == {"gone"}
        assert len(offboarding.rounds) == 1


async def test_a_list_that_never_catches_up_is_taken_anew_and_then_told_as_unverified() -> None:
    with RunningSandbox(world, options=Options(consistency_s=3600)) as heroku:
        async with desk_at(heroku) as desk:
            report = await Offboarding(with_lags(desk, 0.2), everything_of(BOB)).go()

        assert standing(report)["app mine"] == "unverified"
        assert reasons(report)["app mine"] == "still_listed"
        mine = next(place for place in report.places if named(place) == "app mine")
        assert mine.unverified_since is not None
        assert mine.verified_at is None
        assert mine.found is not None
        assert not report.is_complete


def with_lags(desk: Any, seconds: float) -> Any:
    """The desk with another lag than is declared."""
    removals = {name: msgspec.structs.replace(one, seconds=seconds) for name, one in desk.model.removals.items()}
    return dataclasses.replace(desk, model=msgspec.structs.replace(desk.model, removals=removals))


@pytest.mark.parametrize(("status", "why"), [(403, "forbidden"), (500, "internal_server_error")])
async def test_what_can_not_be_read_back_is_unverified(status: int, why: str) -> None:
    with RunningSandbox(world, options=AT_ONCE) as heroku:
        async with desk_at(heroku) as desk:
            path = f"/apps/{app(heroku, 'mine').id}/collaborators"
            fault = {"kind": "status", "status": status, "match": {"method": "GET", "path": path}}
            report = await Offboarding(desk, everything_of(BOB)).go(lambda: heroku.faults([fault]))

        assert reasons(report) == {"app mine": why}
        assert standing(report)["app mine"] == "unverified"
        assert [gap.reason for gap in report.missing] == [why]
        assert not report.is_complete


async def test_a_passing_fault_is_waited_for() -> None:
    with RunningSandbox(world, options=AT_ONCE) as heroku:
        async with desk_at(heroku) as desk:
            path = f"/apps/{app(heroku, 'mine').id}/collaborators"
            fault = {"kind": "status", "status": 500, "match": {"method": "GET", "path": path}, "times": 4}
            report = await Offboarding(desk, everything_of(BOB)).go(lambda: heroku.faults([fault]))

        assert report.is_complete


async def test_an_empty_budget_leaves_what_was_not_read_unverified() -> None:
    with RunningSandbox(world, options=Options(consistency_s=0, budget_per_minute=1)) as heroku:
        async with desk_at(heroku) as desk:
            report = await Offboarding(desk, everything_of(BOB)).go(lambda: heroku.budget(2))

        states = standing(report)
        assert sorted(set(states.values())) == ["gone", "unverified"]
        assert set(reasons(report).values()) == {"rate_limit"}
        assert held(heroku, BOB) == set()


@pytest.mark.parametrize("proof", ["places", "full"])
async def test_a_grant_given_meanwhile_in_a_place_that_was_left_is_taken_too(proof: str) -> None:
    with RunningSandbox(world, options=AT_ONCE) as heroku:
        async with desk_at(heroku) as desk:
            quick = with_lags(desk, 0.2)
            offboarding = Offboarding(quick, everything_of(BOB, proof))
            report = await offboarding.go(lambda: given(heroku, app(heroku, "mine")))

        assert held(heroku, BOB) == set()
        assert report.is_complete
        assert [len(each.follow_up) for each in offboarding.rounds] == [1, 0]


@pytest.mark.parametrize(("proof", "left"), [("places", {"app other"}), ("full", set())])
async def test_only_the_full_proof_finds_a_grant_given_meanwhile_elsewhere(proof: str, left: set[str]) -> None:
    with RunningSandbox(world, options=AT_ONCE) as heroku:
        other = heroku.world.add_app("other", owner=heroku.world.account("ada@example.com"))
        async with desk_at(heroku) as desk:
            quick = with_lags(desk, 0.2)
            report = await Offboarding(quick, everything_of(BOB, proof)).go(lambda: given(heroku, other))

        assert held(heroku, BOB) == left
        assert ("app other" in standing(report)) is (proof == "full")
        assert set(standing(report).values()) == {"gone"}


async def test_what_remains_is_named_with_its_reason() -> None:
    def owning() -> World:
        made = world()
        bob = made.account(BOB)
        assert bob is not None
        made.grant(made.add_app("bobs", owner=bob), "ada@example.com")
        made.add_team("sole", admins=[bob])
        made.add_member(made.teams[next(t.id for t in made.teams.values() if t.name == "sole")], "ada@example.com")
        return made

    with RunningSandbox(owning, options=AT_ONCE) as heroku:
        async with desk_at(heroku) as desk:
            report = await Offboarding(desk, everything_of(BOB)).go()

        remaining = {named(place) for place in report.places if place.state != "gone"}
        assert remaining == held(heroku, BOB) == {"app bobs", "team sole"}
        assert reasons(report)["app bobs"] == "app_owner"
        assert all(place.state == "remains" and place.message for place in report.in_state("remains"))
        assert not report.is_complete


async def test_what_is_found_and_can_not_be_taken_remains_with_the_reason() -> None:
    with RunningSandbox(world, options=AT_ONCE) as heroku:
        own = heroku.world.add_app("bobs", owner=heroku.world.account(BOB))
        async with desk_at(heroku) as desk:
            offboarding = Offboarding(desk, everything_of(BOB, "full"))
            report = await offboarding.go(lambda: given_to_ada(heroku, own))

        assert [len(each.follow_up) for each in offboarding.rounds] == [0]
        assert reasons(report) == {"app bobs": "app_owner"}
        assert held(heroku, BOB) == {"app bobs"}
        assert not report.is_complete


def given_to_ada(heroku: RunningSandbox, app: Any) -> None:
    """From now on this account sees the app too."""
    heroku.world.grant(app, "ada@example.com")


async def test_whoever_an_identity_provider_lets_in_may_return() -> None:
    def signing_in() -> World:
        made = world()
        made.add_identity_provider(next(team for team in made.teams.values() if team.name == "acme"))
        return made

    with RunningSandbox(signing_in, options=AT_ONCE) as heroku:
        async with desk_at(heroku) as desk:
            report = await Offboarding(desk, everything_of(BOB)).go()

        assert [(back.how, back.place.name) for back in report.may_return] == [("sso_jit", "acme")]
        assert report.may_return[0].through


async def test_the_secrets_to_rotate_are_those_of_apps_that_the_person_could_read() -> None:
    def running_it() -> World:
        made = world()
        acme = next(team for team in made.teams.values() if team.name == "open")
        made.add_member(acme, BOB, "admin")
        made.grant(made.add_app("seen", team=next(t for t in made.teams.values() if t.name == "acme")), BOB, "view")
        made.add_app("open-worker", team=acme)
        return made

    with RunningSandbox(running_it, options=AT_ONCE) as heroku:
        async with desk_at(heroku) as desk:
            report = await Offboarding(desk, everything_of(BOB)).go()

        told = {secrets.place.name: secrets.roles for secrets in report.rotate_secrets_of}
        assert told == {
            "acme-web": ("app:deploy",),
            "mine": ("app:collaborator",),
            "open-api": ("app:collaborator", "team:admin"),
            "open-worker": ("team:admin",),
        }


def forty() -> World:
    """Bob in 40 places, none of which goes with another."""
    made = World()
    ada = made.add_account("ada@example.com", "Ada")
    for n in range(10):
        team = made.add_team(f"team-{n}", admins=[ada])
        made.add_member(team, BOB, "member")
        open_team = made.add_team(f"open-{n}", admins=[ada], features={"team-invite-acceptance"})
        made.invite(open_team, BOB, "member", by=ada)
        made.grant(made.add_app(f"mine-{n}", owner=ada), BOB)
        corp = made.add_enterprise(f"corp-{n}")
        made.add_enterprise_member(corp, ada, "view", "manage")
        made.add_enterprise_member(corp, BOB, "view")
    return made


async def test_forty_places_cost_forty_writes_and_their_own_lists() -> None:
    with RunningSandbox(forty, options=Options(consistency_s=0, latency_ms=20)) as heroku:
        async with desk_at(heroku) as desk:
            offboarding = Offboarding(desk, everything_of(BOB))
            sent: list[Any] = []

            def written() -> None:
                sent.extend(heroku.requests())
                heroku.reset_requests()

            report = await offboarding.go(written)
            read_back = heroku.requests()

        assert len([one for one in sent if one["method"] != "GET"]) == 40
        assert held(heroku, BOB) == set()
        assert len(report.places) == 40
        assert report.is_complete
        # A team has two lists, of members and of invitations; anything else has one.
        assert len(read_back) == 10 * 2 + 10 * 2 + 10 + 10 == report.requests
        assert offboarding.plan.cost.read_back == len(read_back)
        assert {one["method"] for one in read_back} == {"GET"}


async def test_the_full_proof_costs_what_the_plan_told() -> None:
    with RunningSandbox(forty, options=AT_ONCE) as heroku:
        async with desk_at(heroku) as desk:
            offboarding = Offboarding(desk, everything_of(BOB, "full"))
            report = await offboarding.go(heroku.reset_requests)

            assert report.is_complete
            assert heroku.request_count() == report.requests
            assert report.requests <= offboarding.plan.cost.full_proof


async def test_the_full_proof_leaves_the_reserve_to_others_and_says_so() -> None:
    with RunningSandbox(forty, options=Options(consistency_s=0, budget_per_minute=1)) as heroku:
        async with desk_at(heroku) as desk:
            report = await Offboarding(desk, everything_of(BOB, "full"), patience=QUICK).go(lambda: heroku.budget(560))

        assert not report.is_complete
        assert report.missing
        assert held(heroku, BOB) == set()


async def test_nothing_is_read_again_once_nobody_wants_it() -> None:
    with RunningSandbox(world, options=Options(consistency_s=3600)) as heroku:
        async with desk_at(heroku) as desk:
            offboarding = Offboarding(desk, everything_of(BOB), patience=Patience(pauses=(0.0,)))
            offboarding.halted = True
            report = await offboarding.go(heroku.reset_requests)

        assert standing(report)["app mine"] == "unverified"
        assert heroku.request_count(path=f"/apps/{app(heroku, 'mine').id}/collaborators") == 1
        assert len(offboarding.rounds) == 1
