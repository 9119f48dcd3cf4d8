"""Every operation on every kind of place, carried out over real sockets and compared with the world itself; and its
refusals.
"""

from typing import Any

import pytest

from adapter.directory.writing.desk import WriteSettings
from adapter.directory.writing.model import Ask, Change, GroupAsk, Obstacle, PersonRef, PlaceRef, Step
from adapter.directory.writing.planning import Planner
from adapter.errors import InvalidBody
from adapter.mapping.engine import anonymous_id
from adapter.sandbox import RunningSandbox
from tests.directory.fakes import SHIPPED
from tests.directory.writing.desks import ask, carried_out, desk_at, ref, send
from tests.directory.writing.worlds import ADA, BOB, OWNER, held, sandbox

BEFORE = {
    "inviting": {"member"}, "plain": {"member"}, "big": {"member"}, "space-1": {"create_apps"},
    "web": {"view", "deploy"}, "shop": {"collaborator"}, "mine": {"collaborator"}, "corp": {"view", "billing"},
}  # fmt: skip
"""What Bob has."""


def place(heroku: RunningSandbox, name: str) -> PlaceRef:
    world = heroku.world
    found = world.team(name) or world.app(name) or world.space(name) or world.enterprise(name)
    assert found is not None
    return ref(found)


def change(heroku: RunningSandbox, verb: Any, name: str, *roles: str) -> Change:
    return Change(verb=verb, place=place(heroku, name), roles=roles)


GRANTS = [
    ("inviting", (), {"member?"}),
    ("inviting", ("admin",), {"admin?"}),
    ("plain", (), {"member"}),
    ("plain", ("admin",), {"admin"}),
    ("big", ("viewer",), {"viewer"}),
    ("web", ("view", "operate"), {"view", "operate"}),
    ("shop", ("collaborator",), {"collaborator"}),
    ("mine", ("collaborator",), {"collaborator"}),
    ("corp", ("view",), {"view"}),
    ("corp", ("manage", "billing"), {"manage", "billing"}),
]


@pytest.mark.parametrize(
    ("name", "roles", "given"), GRANTS, ids=[f"{name}-{'+'.join(roles) or 'default'}" for name, roles, _ in GRANTS]
)
async def test_somebody_new_is_given_a_role_in_any_kind_of_place(
    name: str, roles: tuple[str, ...], given: set[str]
) -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            plan = await carried_out(desk, ask("users.create", ADA, change(heroku, "give", name, *roles)))

        assert len(plan.steps) == 1
        assert held(heroku, ADA)[name] == given


async def test_somebody_who_has_no_account_yet_is_invited_or_added() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            new = "New.Person@Example.com"
            wishes = [change(heroku, "give", name) for name in ("inviting", "plain")]
            await carried_out(desk, ask("users.create", new, *wishes))

        assert held(heroku, new) == {"inviting": {"member?"}, "plain": {"member"}}


async def test_one_ask_for_many_places_puts_people_into_a_team_before_its_space() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            wishes = [change(heroku, "give", "space-1", "create_apps"), change(heroku, "give", "web", "view")]
            plan = await carried_out(desk, ask("users.create", ADA, *wishes, change(heroku, "give", "big", "member")))

        assert held(heroku, ADA) == {"big": {"member"}, "space-1": {"create_apps"}, "web": {"view"}}
        team, *others = plan.steps
        assert team.place is not None
        assert [[place.id for place in step.waits_for] for step in others] == [[team.place.id]] * 2


CHANGES = [
    ("plain", "set", ("admin",), {"admin"}),
    ("plain", "give", ("admin",), {"admin"}),
    ("big", "set", ("viewer",), {"viewer"}),
    ("web", "give", ("manage",), {"view", "deploy", "manage"}),
    ("web", "set", ("operate",), {"operate"}),
    ("web", "take", ("deploy",), {"view"}),
    ("corp", "give", ("create",), {"view", "create", "billing"}),
    ("corp", "set", ("view",), {"view"}),
    ("corp", "take", ("view",), {"billing"}),
]


@pytest.mark.parametrize(("name", "verb", "roles", "left"), CHANGES)
async def test_what_somebody_holds_is_changed_and_nothing_else(
    name: str, verb: str, roles: tuple[str, ...], left: set[str]
) -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            bob = heroku.world.account(BOB)
            assert bob is not None
            await carried_out(desk, ask("users.update", bob, change(heroku, verb, name, *roles)))

        assert held(heroku, BOB) == {**BEFORE, name: left}


TAKEN = [
    ("plain", (), {"plain", "shop"}),
    ("big", (), {"big", "web", "space-1"}),
    ("big", ("member",), {"big", "web", "space-1"}),
    ("web", (), {"web"}),
    ("web", ("view", "deploy"), {"web"}),
    ("shop", ("collaborator",), {"shop"}),
    ("mine", (), {"mine"}),
    ("space-1", ("create_apps",), {"space-1"}),
    ("corp", (), {"corp"}),
    ("corp", ("view", "billing"), {"corp"}),
]


@pytest.mark.parametrize(("name", "roles", "gone"), TAKEN)
async def test_access_to_any_kind_of_place_is_taken_away(name: str, roles: tuple[str, ...], gone: set[str]) -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            wish = ask("role_assignments.delete", BOB, change(heroku, "take", name, *roles))
            plan = await carried_out(desk, wish)

        assert len(plan.steps) == 1
        assert held(heroku, BOB) == {place: roles for place, roles in BEFORE.items() if place not in gone}


async def test_an_invitation_is_changed_by_inviting_again_and_revoked_by_its_id() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            heroku.world.invite(heroku.world.teams[place(heroku, "inviting").id], "new@example.com", "member")
            users = desk.people
            assert users is not None
            invited = PersonRef(user_id=anonymous_id(users, "new@example.com"))
            again = Ask(kind="users.update", person=invited, changes=(change(heroku, "set", "inviting", "admin"),))
            await carried_out(desk, again)
            assert held(heroku, "new@example.com") == {"inviting": {"admin?"}}

            gone = Ask(kind="users.delete", person=invited, changes=(change(heroku, "take", "inviting"),))
            plan = await carried_out(desk, gone)

        assert plan.person is not None
        assert plan.person.emails == ("new@example.com",)
        assert held(heroku, "new@example.com") == {}


async def test_a_collaborator_is_taken_out_of_a_team_by_what_they_have_in_it() -> None:
    with sandbox() as heroku:
        world = heroku.world
        web, shop = world.app("web"), world.app("shop")
        assert web is not None
        assert shop is not None
        world.grant(web, ADA, "view")
        world.grant(shop, ADA)
        async with desk_at(heroku) as desk:
            plan = await carried_out(desk, ask("users.delete", ADA, change(heroku, "take", "big")))

        assert [step.summary for step in plan.steps] == ["Remove ada@example.com from app web"]
        assert "web" not in held(heroku, ADA)
        assert "shop" in held(heroku, ADA)


async def test_what_is_so_already_takes_no_call() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            wishes = [change(heroku, "give", "big"), change(heroku, "give", "web", "view")]
            held_already = await Planner().plan(desk, ask("users.create", BOB, *wishes))
            never = await Planner().plan(desk, ask("users.delete", ADA, change(heroku, "take", "plain")))

        assert held_already.steps == never.steps == ()
        assert [where.kind for where in held_already.already] == ["team", "app"]
        assert [where.kind for where in never.already] == ["team"]


async def test_an_exchanged_permission_is_one_call_and_one_that_is_not_held_is_none() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            both = (change(heroku, "take", "web", "deploy"), change(heroku, "give", "web", "operate"))
            wish = ask("role_assignments.update", BOB, *both)
            await carried_out(desk, wish)
            again = await Planner().plan(desk, wish)
            other = (change(heroku, "take", "web", "deploy"), change(heroku, "give", "web", "manage"))
            absent = await Planner().plan(desk, ask("role_assignments.update", BOB, *other))

        assert held(heroku, BOB)["web"] == {"view", "operate"}
        assert [where.name for where in again.already] == ["web"]
        assert [obstacle.guard for obstacle in absent.refusals] == ["not_found"]


# --- groups


async def test_a_team_of_an_enterprise_account_is_made_renamed_and_deleted() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            corp = place(heroku, "corp").id
            await carried_out(desk, Ask(kind="groups.create", group=GroupAsk(name="fresh", organization_id=corp)))
            team = place(heroku, "fresh").id
            await carried_out(desk, Ask(kind="groups.update", group=GroupAsk(id=team, name="fresher")))
            again = await Planner().plan(desk, Ask(kind="groups.update", group=GroupAsk(id=team, name="fresher")))
            assert place(heroku, "fresher").id == team
            await carried_out(desk, Ask(kind="groups.delete", group=GroupAsk(id=team)))

        assert [where.id for where in again.already] == [team]
        assert "fresher" not in {each["name"] for each in heroku.truth()["teams"]}


async def test_a_team_that_was_renamed_after_the_plan_is_left_alone() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            big = heroku.world.team("big")
            assert big is not None
            wish = Ask(kind="groups.update", group=GroupAsk(id=big.id, name="bigger"))
            plan = await Planner().plan(desk, wish)
            heroku.world.rename("team", big, "somebody-elses")
            checked = await Planner().check(desk, wish, plan.steps[0])

        assert isinstance(checked, Obstacle)
        assert checked.guard == "place_mismatch"


# --- refusals


REFUSALS = [
    (ADA, "give", "plain", ("viewer",), "role_not_assignable"),
    (ADA, "give", "plain", ("collaborator",), "role_not_assignable"),
    (ADA, "give", "plain", ("nonsense",), "role_not_assignable"),
    (ADA, "give", "plain", ("admin", "member"), "role_not_assignable"),
    (ADA, "give", "shop", ("deploy",), "role_not_assignable"),
    (ADA, "give", "web", ("collaborator",), "role_not_assignable"),
    (ADA, "give", "mine", ("owner",), "role_not_assignable"),
    (ADA, "give", "web", (), "role_not_assignable"),
    (ADA, "give", "space-1", ("create_apps",), "not_in_place"),
    (ADA, "give", "plain", ("admin",), "admin_grants_off"),
    (BOB, "set", "plain", ("admin",), "admin_grants_off"),
    (ADA, "give", "corp", ("billing",), "admin_grants_off"),
    (OWNER, "take", "plain", (), "own_account"),
    (OWNER, "set", "plain", ("member",), "own_account"),
    (OWNER, "take", "mine", (), "own_account"),
    ("rita@example.com", "take", "web", ("deploy",), "inherited"),
    ("rita@example.com", "take", "web", (), "inherited"),
]


@pytest.mark.parametrize(("who", "verb", "name", "roles", "guard"), REFUSALS)
async def test_a_change_is_refused_before_any_call(
    who: str, verb: str, name: str, roles: tuple[str, ...], guard: str
) -> None:
    with sandbox() as heroku:
        before = heroku.truth()
        async with desk_at(heroku, settings=WriteSettings()) as desk:
            plan = await Planner().plan(desk, ask("users.update", who, change(heroku, verb, name, *roles)))

        assert [obstacle.guard for obstacle in plan.refusals][:1] == [guard]
        assert plan.refusals[0].place is not None
        assert plan.refusals[0].message
        assert plan.steps == ()
        assert heroku.truth() == before


async def test_a_place_that_is_not_there_and_one_that_is_called_otherwise_are_refused() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            big = place(heroku, "big")
            refs = [
                PlaceRef(kind="team", id="nowhere"),
                PlaceRef(kind="team", id="big"),
                PlaceRef(kind="team", id=big.id, name="small"),
                PlaceRef(kind="planet", id=big.id),
                PlaceRef(kind="workspace", id=big.id),
            ]
            guards = []
            for where in refs:
                plan = await Planner().plan(desk, ask("users.create", ADA, Change(verb="give", place=where)))
                guards += [obstacle.guard for obstacle in plan.refusals]

        assert guards == ["not_found", "not_found", "place_mismatch", "not_found", "not_found"]


async def test_a_missing_scope_is_told_where_not_even_the_place_can_be_read() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku, scopes=("read",)) as desk:
            plan = await Planner().plan(desk, ask("users.create", ADA, change(heroku, "give", "plain", "member")))

        (refusal,) = plan.refusals
        assert refusal.guard == "missing_scope"
        assert refusal.details == {"scopes": ["global"], "held": ["read"]}


async def test_a_missing_scope_is_found_before_the_first_call() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku, scopes=("read",)) as desk:
            plan = await Planner().plan(desk, ask("users.create", ADA, change(heroku, "give", "mine", "collaborator")))

        (refusal,) = plan.refusals
        assert refusal.guard == "missing_scope"
        assert refusal.details == {"scopes": ["global", "write", "write-protected"], "held": ["read"]}


async def test_lists_that_can_not_be_read_are_told_and_nothing_is_changed_unseen() -> None:
    with sandbox() as heroku:
        hidden = {"method": "GET", "path": "/teams/*/members"}
        heroku.faults([{"kind": "status", "status": 403, "match": hidden}])
        async with desk_at(heroku) as desk:
            plan = await Planner().plan(desk, ask("users.create", ADA, change(heroku, "give", "plain")))

        (refusal,) = plan.refusals
        assert refusal.guard == "unreadable"
        assert refusal.details["missing"]["reason"] == "forbidden"


async def test_an_id_and_an_address_of_two_people_are_refused() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            ada = heroku.world.account(ADA)
            assert ada is not None
            both = PersonRef(user_id=ada.id, email=BOB)
            wish = Ask(kind="users.delete", person=both, changes=(change(heroku, "take", "plain"),))
            plan = await Planner().plan(desk, wish)

        assert [obstacle.guard for obstacle in plan.refusals] == ["person_mismatch"]


async def test_an_id_that_nobody_knows_can_not_be_given_anything() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            wish = Ask(
                kind="groups.add-user", person=PersonRef(user_id="nobody"), changes=(change(heroku, "give", "plain"),)
            )
            plan = await Planner().plan(desk, wish)
            nobody = await Planner().plan(desk, ask("users.create", ADA, change(heroku, "give", "plain")))
            with pytest.raises(InvalidBody):
                await Planner().plan(desk, Ask(kind="users.create"))

        assert [obstacle.guard for obstacle in plan.refusals] == ["person_unknown"]
        assert nobody.refusals == ()


async def test_somebody_known_elsewhere_is_given_access_by_their_id_alone() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            rita = heroku.world.account("rita@example.com")
            assert rita is not None
            await carried_out(desk, ask("groups.add-user", rita, change(heroku, "give", "mine", "collaborator")))

        assert held(heroku, "rita@example.com")["mine"] == {"collaborator"}


async def test_what_a_caller_sends_along_goes_with_the_call_and_changes_nothing_that_was_checked() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            along = {"federated": True, "role": "admin", "email": "other@example.com"}
            wish = ask("users.create", ADA, change(heroku, "give", "plain"), remote_data=along)
            (step,) = (await Planner().plan(desk, wish)).steps

        assert step.body == {"federated": True, "role": "member", "email": ADA}


# --- right before the call


async def test_a_grant_that_others_added_to_meanwhile_keeps_what_they_gave() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            wish = ask("role_assignments.create", BOB, change(heroku, "give", "web", "operate"))
            plan = await Planner().plan(desk, wish)
            web = heroku.world.app("web")
            assert web is not None
            heroku.world.grant(web, BOB, "view", "deploy", "manage")
            checked = await Planner().check(desk, wish, plan.steps[0])
            assert isinstance(checked, Step)
            await send(desk, checked)

        assert held(heroku, BOB)["web"] == {"view", "deploy", "operate", "manage"}


async def test_an_invitation_that_was_accepted_meanwhile_is_removed_as_a_membership() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            team = heroku.world.team("inviting")
            assert team is not None
            heroku.world.invite(team, ADA, "member")
            wish = ask("groups.remove-user", ADA, change(heroku, "take", "inviting"))
            plan = await Planner().plan(desk, wish)
            assert plan.steps[0].call == "team.revoke_invitation"
            heroku.world.add_member(team, ADA, "member")
            checked = await Planner().check(desk, wish, plan.steps[0])
            assert isinstance(checked, Step)
            await send(desk, checked)

        assert checked.call == "team.remove"
        assert held(heroku, ADA) == {}


async def test_the_last_admin_of_two_that_are_removed_at_once_stays() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            world = heroku.world
            team = world.add_team("twins", admins=["rita@example.com", BOB])
            corp = world.enterprise("corp")
            assert corp is not None
            team.enterprise_id, team.type = corp.id, "enterprise"
            world.touch()
            wishes = [ask("users.delete", who, change(heroku, "take", "twins")) for who in (BOB, "rita@example.com")]
            first, second = [await Planner().plan(desk, wish) for wish in wishes]
            assert first.refusals == second.refusals == ()
            checked = await Planner().check(desk, wishes[0], first.steps[0])
            assert isinstance(checked, Step)
            await send(desk, checked)
            late = await Planner().check(desk, wishes[1], second.steps[0])

        assert isinstance(late, Obstacle)
        assert late.guard == "last_admin"
        assert held(heroku, "rita@example.com")["twins"] == {"admin"}


async def test_what_was_done_by_somebody_else_meanwhile_is_not_done_again() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            wish = ask("users.delete", BOB, change(heroku, "take", "plain"))
            plan = await Planner().plan(desk, wish)
            await send(desk, plan.steps[0])

            assert await Planner().check(desk, wish, plan.steps[0]) is None


def test_people_hold_roles_in_four_kinds_of_places() -> None:
    assert SHIPPED.writes is not None
    assert set(SHIPPED.writes.places) == {"team", "app", "space", "enterprise"}
