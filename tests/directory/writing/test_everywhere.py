"""Somebody taken out of everything that the directory knows: what is taken, what stays and why, and what it costs."""

import pytest

from adapter.directory.writing.model import Ask, Obstacle, PersonRef, Step
from adapter.directory.writing.planning import Planner
from adapter.sandbox import RunningSandbox, World
from tests.directory.writing.desks import ask, carried_out, desk_at, send, take
from tests.directory.writing.worlds import ADA, BOB, OWNER, held, sandbox, world

RITA = "rita@example.com"


def offboard(who: str) -> Ask:
    return ask("users.offboard", who, everywhere=True)


async def test_somebody_is_out_of_every_place_and_a_membership_takes_what_is_in_the_team() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            plan = await carried_out(desk, offboard(BOB))

        assert held(heroku, BOB) == {}
        assert sorted(step.call for step in plan.steps) == ["app.remove", "enterprise.remove"] + ["team.remove"] * 3
        assert (plan.remains, plan.unknown) == ((), ())
        assert {where.place.name: where.by and where.by.name for where in plan.held} == {
            "corp": None, "inviting": None, "plain": None, "big": None, "mine": None,
            "web": "big", "space-1": "big", "shop": "plain",
        }  # fmt: skip


async def test_invitations_are_revoked_whatever_case_their_address_is_in() -> None:
    def invited() -> World:
        made = world()
        inviting, plain = made.team("inviting"), made.team("plain")
        assert inviting is not None
        assert plain is not None
        made.invite(inviting, "Ada@Example.com", "admin")
        made.invite(plain, ADA, "member")
        return made

    with sandbox(invited) as heroku:
        async with desk_at(heroku) as desk:
            plan = await carried_out(desk, offboard("ADA@example.com"))

        assert [step.call for step in plan.steps] == ["team.revoke_invitation"] * 2
        assert held(heroku, ADA) == {}


async def test_what_can_not_be_taken_stays_and_is_named_and_the_rest_is_taken() -> None:
    def entangled() -> World:
        made = world()
        made.add_app("bobs", owner=BOB)
        made.add_team("bobs-own", admins=[BOB])
        alone = made.add_team("alone", admins=[BOB])
        made.add_member(alone, OWNER, "member")
        return made

    with sandbox(entangled) as heroku:
        app, corp = heroku.world.app("bobs"), heroku.world.enterprise("corp")
        assert app is not None
        assert corp is not None
        heroku.world.grant(app, OWNER)
        async with desk_at(heroku) as desk:
            plan = await carried_out(desk, offboard(BOB))

        assert {(each.guard, each.place.name if each.place else None) for each in plan.remains} == {
            ("not_permitted", "alone"), ("last_admin", "alone"), ("app_owner", "bobs"),
        }  # fmt: skip
        assert "transfer" in next(each.message for each in plan.remains if each.guard == "app_owner")
        assert held(heroku, BOB) == {"bobs": {"owner"}, "bobs-own": {"admin"}, "alone": {"admin"}}


async def test_one_of_two_admins_goes_with_a_warning_where_only_sso_would_be_left() -> None:
    def federated() -> World:
        made = world()
        team = made.team("plain")
        assert team is not None
        made.add_identity_provider(team)
        made.add_member(team, OWNER, "admin", federated=True)
        return made

    with sandbox(federated) as heroku:
        async with desk_at(heroku) as desk:
            plan = await Planner().plan(desk, offboard(RITA))

        assert [each.guard for each in plan.obstacles if each.is_warning] == ["sso_only_admins"]
        assert plan.refusals == ()
        assert len([step for step in plan.steps if step.call == "team.remove"]) == 3
        assert [each["through"] for each in plan.notes["may_return"]]


async def test_whose_secrets_could_be_read_is_told_with_every_app_that_an_admin_could_open() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            admin = await Planner().plan(desk, offboard(RITA))
            member = await Planner().plan(desk, offboard(BOB))

        assert {app["name"] for app in admin.notes["rotate_secrets_of"]} == {"web", "shop"}
        assert {app["name"] for app in member.notes["rotate_secrets_of"]} == {"web", "shop", "mine"}


async def test_the_account_behind_the_connection_is_not_taken_anywhere() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            plan = await Planner().plan(desk, offboard(OWNER))

        assert plan.steps == ()
        assert [each.guard for each in plan.refusals] == ["own_account"]
        assert {each.guard for each in plan.remains} >= {"own_account", "app_owner"}


async def test_somebody_whom_nobody_knows_is_nowhere() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            plan = await Planner().plan(desk, offboard("nobody@example.com"))

        assert (plan.steps, plan.refusals, plan.held) == ((), (), ())


async def test_an_id_leads_to_the_address_and_an_address_to_what_is_known_by_the_id() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            bob = heroku.world.account(BOB)
            assert bob is not None
            wish = Ask(kind="users.delete", person=PersonRef(user_id=bob.id), everywhere=True)
            plan = await Planner().plan(desk, wish)

        assert plan.person is not None
        assert (plan.person.id, plan.person.emails, plan.person.name) == (bob.id, (BOB,), "Bob")
        assert len(plan.steps) == 5


async def test_what_the_credential_can_not_see_is_told_and_never_counts_as_absence() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku, scopes=("read", "write")) as desk:
            plan = await Planner().plan(desk, offboard(BOB))

        assert {gap.unit for gap in plan.unknown} >= {"team_members", "team_invitations"}
        assert {gap.reason for gap in plan.unknown} == {"missing_scope"}
        assert [step.call for step in plan.steps if step.call.startswith("team.")] == []


async def test_a_place_that_is_out_of_the_credentials_hands_stays_without_a_call() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku, account=BOB) as desk:
            plan = await Planner().plan(desk, offboard(RITA))

        assert {each.guard for each in plan.remains} >= {"not_permitted"}
        assert [step.place.name for step in plan.steps if step.place and step.call.startswith("team.")] == ["big"]


# --- cost


def forty() -> World:
    made = World()
    owner = made.add_account(OWNER, "Olga")
    bob = made.add_account(BOB, "Bob")
    for n in range(40):
        team = made.add_team(f"team-{n}", admins=[owner])
        made.add_member(team, bob, "admin" if n < 3 else "member")
    return made


def asked(heroku: RunningSandbox, method: str) -> int:
    return heroku.request_count(path="/*", method=method)


async def test_forty_places_cost_forty_calls_and_the_lists_of_those_where_a_guard_looks() -> None:
    with sandbox(forty) as heroku:
        async with desk_at(heroku) as desk:
            await Planner().plan(desk, offboard(BOB))
            heroku.reset_requests()
            wish = offboard(BOB)
            plan = await Planner().plan(desk, wish)
            planned = asked(heroku, "GET")
            for step in plan.steps:
                checked = await Planner().check(desk, wish, step)
                assert isinstance(checked, Step)
                await send(desk, checked)

        assert held(heroku, BOB) == {}
        assert asked(heroku, "DELETE") == 40
        assert planned <= 3  # the apps of the teams that Bob ran
        assert asked(heroku, "GET") - planned <= 3 * 3
        assert plan.cost.steps == 40
        assert plan.cost.read_back == 80
        assert plan.cost.full_proof >= 120


async def test_a_plan_that_can_not_be_afforded_now_says_when_it_can() -> None:
    with sandbox(forty) as heroku:
        async with desk_at(heroku) as desk:
            await Planner().plan(desk, offboard(BOB))
            heroku.budget(60)
            await desk.client.send("GET", "/teams")
            plan = await Planner().plan(desk, offboard(BOB))

        (warning,) = [each for each in plan.obstacles if each.guard == "budget"]
        assert warning.is_warning
        assert 40 <= plan.cost.affordable_in <= 80
        assert plan.refusals == ()


@pytest.mark.parametrize("who", [BOB, RITA, ADA])
async def test_the_etag_stays_as_long_as_nothing_that_matters_moves(who: str) -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            first = await Planner().plan(desk, offboard(who))
            again = await Planner().plan(desk, offboard(who))
            mine, account = heroku.world.app("mine"), heroku.world.account(who)
            assert mine is not None
            assert account is not None
            if who == BOB:
                heroku.world.revoke(mine, account)
            else:
                heroku.world.grant(mine, account)
            await desk.units.make_stale(lambda _: True)
            moved = await Planner().plan(desk, offboard(who))

        assert first.etag == again.etag == Planner().fingerprint(again)
        assert moved.etag != first.etag
        (line,) = [each for each in Planner().difference(first, moved) if each["what"] == "step"]
        assert line["change"] == ("removed" if who == BOB else "added")


# --- what only shows at the second look


async def test_an_invitation_takes_nothing_of_what_its_person_has_on_the_teams_apps() -> None:
    def both() -> World:
        made = world()
        team = made.team("inviting")
        assert team is not None
        made.grant(made.add_app("tool", team=team), ADA)
        made.invite(team, ADA, "member")
        return made

    with sandbox(both) as heroku:
        async with desk_at(heroku) as desk:
            plan = await carried_out(desk, offboard(ADA))

        assert sorted(step.call for step in plan.steps) == ["app.remove", "team.revoke_invitation"]
        assert {name for name, roles in held(heroku, ADA).items() if roles != {"collaborator"}} == set()
        assert "tool" not in held(heroku, ADA)


async def test_an_admin_whom_only_the_invited_would_follow_stays() -> None:
    def waiting() -> World:
        made = world()
        team = made.add_team("waiting", admins=[BOB], features={"team-invite-acceptance"})
        made.invite(team, ADA, "admin")
        return made

    with sandbox(waiting) as heroku:
        async with desk_at(heroku, account=BOB) as desk:
            plan = await Planner().plan(desk, ask("users.delete", BOB, take(heroku.world.team("waiting"))))

        refusals = {each.guard: each for each in plan.refusals}
        assert set(refusals) == {"own_account", "last_admin"}
        assert refusals["last_admin"].details == {"pending": [ADA]}


async def test_an_admin_who_has_become_the_last_since_the_plan_is_not_taken() -> None:
    def twins() -> World:
        made = world()
        corp = made.enterprise("corp")
        made.add_team("twins", kind="enterprise", admins=[RITA, BOB], enterprise=corp)
        return made

    with sandbox(twins) as heroku:
        async with desk_at(heroku) as desk:
            wish = offboard(BOB)
            plan = await Planner().plan(desk, wish)
            (step,) = [each for each in plan.steps if each.place and each.place.name == "twins"]
            team, rita = heroku.world.team("twins"), heroku.world.account(RITA)
            assert team is not None
            assert rita is not None
            heroku.world.remove_member(team, rita)
            checked = await Planner().check(desk, wish, step)

        assert isinstance(checked, Obstacle)
        assert checked.guard == "last_admin"
