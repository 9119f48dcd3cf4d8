"""Who has access to an app, and what the lists say of it."""

from typing import Any

import pytest

from adapter.sandbox.records import APP_PERMISSIONS
from tests.sandbox.conftest import Asker
from tests.sandbox.worlds import ADA, BOB, CARL, MALLORY, VERA


async def collaborators(asker: Asker, app: str) -> dict[str, Any]:
    return {item["user"]["email"]: item for item in (await asker.get(f"/apps/{app}/collaborators")).json()}


def permissions(item: dict[str, Any]) -> list[str]:
    return [permission["name"] for permission in item["permissions"]]


async def test_a_personal_app_belongs_to_a_person_and_to_no_team(asker: Asker) -> None:
    app = (await asker.get("/apps/mine")).json()
    listed = await collaborators(asker, "mine")

    assert (app["team"], app["owner"]["email"]) == (None, ADA)
    assert {email: item["role"] for email, item in listed.items()} == {ADA: "owner", CARL: "collaborator"}


async def test_a_team_app_belongs_to_a_pseudo_user_with_the_teams_id(asker: Asker) -> None:
    app, team = (await asker.get("/apps/acme-web")).json(), (await asker.get("/teams/acme")).json()
    owner = (await collaborators(asker, "acme-web"))["acme@herokumanager.com"]

    assert app["owner"] == {"email": "acme@herokumanager.com", "id": team["id"]}
    assert (owner["role"], owner["user"]["id"]) == ("owner", team["id"])


async def test_permissions_are_listed_where_the_team_has_access_controls(asker: Asker) -> None:
    controlled, plain = await collaborators(asker, "corp-api"), await collaborators(asker, "acme-web")

    assert (permissions(controlled[CARL]), permissions(plain[CARL])) == (["view", "deploy"], [])
    assert (controlled[CARL]["role"], controlled[BOB]["role"]) == ("collaborator", "member")


@pytest.mark.parametrize(("how", "listed"), [("all", True), ("none", False)])
async def test_whether_admins_are_listed_is_an_option(asker: Asker, how: str, listed: bool) -> None:
    asker.sandbox.change_options({"admins_in_collaborators": how})
    found = await collaborators(asker, "corp-api")

    assert (ADA in found) == listed
    if listed:
        assert (found[ADA]["role"], permissions(found[ADA])) == ("admin", list(APP_PERMISSIONS))


async def test_plain_apps_permissions_are_an_option(asker: Asker) -> None:
    asker.sandbox.change_options({"plain_app_permissions": ["view", "deploy", "operate"]})

    assert permissions((await collaborators(asker, "acme-web"))[CARL]) == ["view", "deploy", "operate"]


async def test_somebody_twice_is_refused_with_herokus_words(asker: Asker) -> None:
    response = await asker.ask("POST", "/apps/mine/collaborators", {"user": CARL})

    assert response.json()["message"] == f"User {CARL} is already a collaborator on app mine."


async def test_permissions_are_changed_and_kept_in_herokus_order(asker: Asker) -> None:
    path = f"/teams/apps/corp-api/collaborators/{CARL}"
    changed = await asker.ask("PATCH", path, {"permissions": ["manage", "view"]})

    assert permissions(changed.json()) == ["view", "manage"]
    assert permissions((await collaborators(asker, "corp-api"))[CARL]) == ["view", "manage"]


async def test_manage_lets_somebody_manage(asker: Asker) -> None:
    before = await asker.ask("POST", "/apps/corp-api/collaborators", {"user": MALLORY}, who=CARL)
    await asker.ask("PATCH", f"/teams/apps/corp-api/collaborators/{CARL}", {"permissions": ["manage"]})
    after = await asker.ask("POST", "/apps/corp-api/collaborators", {"user": MALLORY}, who=CARL)

    assert (before.status_code, after.status_code) == (403, 201)


async def test_a_collaborator_may_leave(asker: Asker) -> None:
    assert (await asker.ask("DELETE", f"/apps/mine/collaborators/{CARL}", who=CARL)).status_code == 200


async def test_a_second_delete_is_404(asker: Asker) -> None:
    path = f"/apps/mine/collaborators/{CARL}"

    assert [(await asker.ask("DELETE", path)).status_code for _ in range(2)] == [200, 404]


# -- eventual consistency ------------------------------------------------------------------------------------------


async def test_a_removed_collaborator_stays_readable_for_a_while(asker: Asker) -> None:
    asker.sandbox.change_options({"consistency_s": 60})
    path = f"/apps/corp-api/collaborators/{CARL}"
    removed = [(await asker.ask("DELETE", path)).status_code for _ in range(2)]
    lingering = (await asker.get(path)).status_code, CARL in await collaborators(asker, "corp-api")
    also = CARL in [user["email"] for user in await entitled(asker, "corp-it", "corp-api")]
    asker.sandbox.clock.advance(61)

    assert removed == [200, 404]
    assert lingering == (200, True)
    assert also
    assert CARL not in await collaborators(asker, "corp-api")
    assert (await asker.get(path)).status_code == 404


async def test_somebody_added_again_while_lingering_is_there_once_and_stays(asker: Asker) -> None:
    asker.sandbox.change_options({"consistency_s": 60})
    await asker.ask("DELETE", f"/apps/mine/collaborators/{CARL}")
    again = await asker.ask("POST", "/apps/mine/collaborators", {"user": CARL})
    listed = [item["user"]["email"] for item in (await asker.get("/apps/mine/collaborators")).json()]
    asker.sandbox.clock.advance(61)

    assert (again.status_code, listed.count(CARL)) == (201, 1)
    assert CARL in await collaborators(asker, "mine")


# -- all of a team in one call -------------------------------------------------------------------------------------


async def entitled(asker: Asker, team: str, place: str) -> list[dict[str, Any]]:
    entities = (await asker.get(f"/teams/{team}/permissions")).json()
    users: list[dict[str, Any]] = next(entity["users"] for entity in entities if entity["name"] == place)
    return users


async def test_the_permissions_of_a_team_agree_with_the_lists_of_its_apps(asker: Asker) -> None:
    for how in ("all", "some", "none"):
        asker.sandbox.change_options({"admins_in_collaborators": how})
        listed = await collaborators(asker, "corp-api")
        people = {email: permissions(item) for email, item in listed.items() if item["role"] != "owner"}

        assert {user["email"]: user["permissions"] for user in await entitled(asker, "corp-it", "corp-api")} == people


async def test_the_permissions_of_a_team_name_its_spaces_too(asker: Asker) -> None:
    users = await entitled(asker, "corp-it", "corp-space")

    assert [(user["email"], user["permissions"]) for user in users] == [(BOB, ["create_apps"])]


async def test_the_permissions_of_a_team_may_be_missing_or_leave_somebody_out(asker: Asker) -> None:
    team = asker.world.team("corp-it")
    assert team
    asker.sandbox.change_options({"admins_in_collaborators": "none"})
    whole = await entitled(asker, "corp-it", "corp-api")
    team.permissions_endpoint = "partial"
    asker.world.touch()
    partial = await entitled(asker, "corp-it", "corp-api")
    team.permissions_endpoint = "missing"

    assert (len(whole), len(partial)) == (2, 1)
    assert (await asker.get("/teams/corp-it/permissions")).status_code == 404
    assert (await asker.get("/teams/acme/permissions")).status_code == 200


# -- what a caller sees --------------------------------------------------------------------------------------------

SEEN = {
    ADA: {"mine", "acme-web", "acme-locked", "corp-api", "plain-app"},
    BOB: {"bobs", "acme-web", "corp-api"},
    CARL: {"mine", "acme-web", "corp-api"},
    VERA: {"corp-api"},
    MALLORY: set(),
}


@pytest.mark.parametrize("who", SEEN)
async def test_apps_lists_what_the_caller_can_see(asker: Asker, who: str) -> None:
    assert {app["name"] for app in (await asker.get("/apps", who=who)).json()} == SEEN[who]


async def test_the_apps_of_a_user_leave_team_apps_out(asker: Asker) -> None:
    assert {app["name"] for app in (await asker.get("/users/~/apps", who=CARL)).json()} == {"mine"}


async def test_joined_is_about_the_caller(asker: Asker) -> None:
    by_ada, by_carl = [(await asker.get("/teams/apps/acme-web", who=who)).json() for who in (ADA, CARL)]

    assert (by_ada["joined"], by_carl["joined"]) == (False, True)
