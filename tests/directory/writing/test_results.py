"""The bodies of writes' answers: what was written, as the provider shows it."""

from typing import Any

from adapter.directory.gather import Gather
from adapter.directory.writing.desk import Desk
from adapter.directory.writing.model import Ask, GroupAsk
from adapter.directory.writing.planning import Planner
from adapter.mapping.engine import anonymous_id
from tests.directory.writing.desks import ask, carried_out, desk_at, give, operation_of, put, take
from tests.directory.writing.worlds import ADA, BOB, sandbox


async def answered(desk: Desk, wish: Ask) -> Any:
    """What a carried out write is answered with, once the directory has been told of it."""
    plan = await carried_out(desk, wish)
    await desk.units.make_stale(lambda _: True)
    return await Planner().result(desk, operation_of(wish, plan))


def roles(user: Any) -> set[tuple[str, str]]:
    return {
        (role["id"], (role["group"] or role["workspace"] or role["organization"])["name"]) for role in user["roles"]
    }


async def test_somebody_who_was_added_is_answered_as_the_provider_shows_them() -> None:
    with sandbox() as heroku:
        team, app = heroku.world.team("plain"), heroku.world.app("mine")
        ada = heroku.world.account(ADA)
        assert ada is not None
        async with desk_at(heroku) as desk:
            user = await answered(desk, ask("users.create", ADA, give(team), give(app, "collaborator")))

    assert (user["id"], user["status"], user["name"]) == (ada.id, "active", "Ada Lovelace")
    assert roles(user) == {("team:member", "plain"), ("app:collaborator", "mine")}
    assert user["remote_data"]["team_members"][0]["email"] == ADA


async def test_somebody_without_an_account_has_the_id_of_an_invitation() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            user = await answered(desk, ask("users.create", "new@example.com", give(heroku.world.team("inviting"))))
            assert desk.people is not None
            expected = anonymous_id(desk.people, "new@example.com")

    assert (user["id"], user["status"]) == (expected, "invited")
    assert roles(user) == {("team:member", "inviting")}


async def test_what_the_directory_knew_besides_is_in_the_answer_too() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            await Gather(desk.model, desk.units, desk.client, desk.writes.units()).run()
            user = await answered(desk, ask("users.update", BOB, put(heroku.world.team("plain"), "admin")))

    assert roles(user) >= {("team:admin", "plain"), ("team:member", "big"), ("app:view", "web")}
    assert ("team:member", "plain") not in roles(user)
    assert user["user_type"] == "admin"


async def test_a_grant_is_answered_as_an_assignment() -> None:
    with sandbox() as heroku:
        web, bob = heroku.world.app("web"), heroku.world.account(BOB)
        assert web is not None
        assert bob is not None
        async with desk_at(heroku) as desk:
            made = await answered(desk, ask("role_assignments.create", BOB, give(web, "manage")))
            swapped = await answered(
                desk, ask("role_assignments.update", BOB, take(web, "manage"), give(web, "operate"))
            )
            gone = await answered(desk, ask("role_assignments.delete", BOB, take(web, "view")))

    assert made["id"] == f"app:{web.id}:{bob.id}:manage"
    assert (made["workspace_id"], made["status"], made["is_inherited"]) == (web.id, "active", False)
    assert swapped["id"] == f"app:{web.id}:{bob.id}:operate"
    assert gone == {"id": f"app:{web.id}:{bob.id}:view"}


async def test_groups_are_answered_as_groups() -> None:
    with sandbox() as heroku:
        corp = heroku.world.enterprise("corp")
        assert corp is not None
        async with desk_at(heroku) as desk:
            made = await answered(
                desk, Ask(kind="groups.create", group=GroupAsk(name="fresh", organization_id=corp.id))
            )
            renamed = await answered(desk, Ask(kind="groups.update", group=GroupAsk(id=made["id"], name="fresher")))
            gone = await answered(desk, Ask(kind="groups.delete", group=GroupAsk(id=made["id"])))

    assert (made["name"], made["organization"]) == ("fresh", {"id": corp.id, "name": "corp"})
    assert (renamed["id"], renamed["name"]) == (made["id"], "fresher")
    assert gone == {"id": made["id"]}


async def test_whoever_was_taken_out_is_answered_by_their_id() -> None:
    with sandbox() as heroku:
        bob = heroku.world.account(BOB)
        assert bob is not None
        async with desk_at(heroku) as desk:
            gone = await answered(desk, ask("groups.remove-user", BOB, take(heroku.world.team("plain"))))

    assert gone == {"id": bob.id}
