"""Memberships and invitations, and how they come and go."""

from typing import Any

import pytest

from tests.sandbox.conftest import Asker
from tests.sandbox.worlds import ADA, BOB, CARL, GUEST, STRANGER


async def members(asker: Asker, team: str) -> dict[str, Any]:
    return {item["email"]: item for item in (await asker.get(f"/teams/{team}/members")).json()}


async def invitations(asker: Asker, team: str = "acme") -> dict[str, Any]:
    return {item["user"]["email"]: item for item in (await asker.get(f"/teams/{team}/invitations")).json()}


def team_of(asker: Asker, name: str = "acme") -> Any:
    return asker.world.team(name)


async def test_a_member_has_an_id_of_its_own_and_may_have_no_name(asker: Asker) -> None:
    bob = (await members(asker, "acme"))[BOB]

    assert bob["id"] != bob["user"]["id"]
    assert bob["user"]["name"] is None


async def test_two_factor_is_missing_unless_the_team_or_the_options_show_it(asker: Asker) -> None:
    missing = (await members(asker, "acme"))[ADA]
    asker.sandbox.change_options({"two_factor_shown": True})
    shown = (await members(asker, "acme"))[ADA]
    team_of(asker).two_factor_shown = False
    asker.world.touch()
    hidden = (await members(asker, "acme"))[ADA]

    assert ["two_factor_authentication" in each for each in (missing, shown, hidden)] == [False, True, False]
    assert shown["two_factor_authentication"] is True


async def test_there_is_no_get_of_one_member(asker: Asker) -> None:
    assert (await asker.get(f"/teams/acme/members/{BOB}")).status_code == 404


@pytest.mark.parametrize("spelling", ["bob@example.com", "bob%40example.com", "BOB@example.com", "{id}"])
async def test_a_member_is_removed_by_e_mail_or_member_id_and_only_once(asker: Asker, spelling: str) -> None:
    listed = (await members(asker, "acme"))[BOB]
    path = "/teams/acme/members/" + spelling.format(id=listed["id"])
    first, second = await asker.ask("DELETE", path), await asker.ask("DELETE", path)

    assert (first.status_code, first.json()) == (200, listed)
    assert (second.status_code, second.json()["id"]) == (404, "not_found")


async def test_the_id_of_the_account_is_not_the_id_of_the_member(asker: Asker) -> None:
    user_id = (await members(asker, "acme"))[BOB]["user"]["id"]

    assert (await asker.ask("DELETE", f"/teams/acme/members/{user_id}")).status_code == 404


@pytest.mark.parametrize(("status", "error"), [(422, "invalid_params"), (403, "forbidden")])
@pytest.mark.parametrize("change", ["remove", "demote"])
async def test_the_last_admin_stays(asker: Asker, status: int, error: str, change: str) -> None:
    asker.sandbox.change_options({"last_admin_status": status})
    if change == "remove":
        response = await asker.ask("DELETE", f"/teams/plain/members/{ADA}")
    else:
        response = await asker.ask("PATCH", "/teams/plain/members", {"email": ADA, "role": "member"})

    assert (response.status_code, response.json()["id"]) == (status, error)
    assert (await members(asker, "plain"))[ADA]["role"] == "admin"


async def test_the_last_but_one_admin_may_go(asker: Asker) -> None:
    await asker.ask("PUT", "/teams/acme/members", {"email": BOB, "role": "admin"})

    assert (await asker.ask("DELETE", f"/teams/acme/members/{ADA}")).status_code == 200


async def test_a_member_may_leave_but_not_remove_others(asker: Asker) -> None:
    other = await asker.ask("DELETE", f"/teams/acme/members/{ADA}", who=BOB)
    own = await asker.ask("DELETE", f"/teams/acme/members/{BOB}", who=BOB)

    assert (other.status_code, own.status_code) == (403, 200)


async def test_removing_a_member_takes_their_access_to_apps_and_spaces(asker: Asker) -> None:
    await asker.ask("DELETE", f"/teams/corp-it/members/{BOB}")
    collaborators = (await asker.get("/apps/corp-api/collaborators")).json()

    assert BOB not in [item["user"]["email"] for item in collaborators]
    assert (await asker.get("/spaces/corp-space/members")).json() == []


async def test_somebody_unknown_is_added_to_an_enterprise_team_with_a_fresh_account(asker: Asker) -> None:
    await asker.ask("PUT", "/teams/corp-it/members", {"email": "new@example.com", "role": "member"})
    added = (await members(asker, "corp-it"))["new@example.com"]

    assert (added["role"], added["user"]["name"]) == ("member", None)
    assert asker.world.account("new@example.com")


async def test_somebody_unknown_is_refused_where_the_options_say_so(asker: Asker) -> None:
    asker.sandbox.change_options({"unknown_people": "refused"})
    response = await asker.ask("PUT", "/teams/corp-it/members", {"email": "new@example.com", "role": "member"})

    assert (response.status_code, response.json()["resource"]) == (404, "user")


# -- collaborators are members by their apps -----------------------------------------------------------------------


async def test_a_collaborator_is_in_the_team_as_long_as_an_app_is_open_to_them(asker: Asker) -> None:
    await asker.ask("POST", "/apps/acme-locked/collaborators", {"user": CARL})
    roles = [(await members(asker, "acme"))[CARL]["role"]]
    await asker.ask("DELETE", f"/apps/acme-web/collaborators/{CARL}")
    roles.append((await members(asker, "acme"))[CARL]["role"])
    await asker.ask("DELETE", f"/apps/acme-locked/collaborators/{CARL}")

    assert roles == ["collaborator", "collaborator"]
    assert CARL not in await members(asker, "acme")


async def test_a_member_who_loses_an_app_stays_a_member(asker: Asker) -> None:
    await asker.ask("DELETE", f"/apps/corp-api/collaborators/{BOB}")

    assert (await members(asker, "corp-it"))[BOB]["role"] == "member"


async def test_deleting_the_app_ends_the_collaboration(asker: Asker) -> None:
    await asker.ask("DELETE", "/apps/acme-web")

    assert CARL not in await members(asker, "acme")


async def test_handing_an_app_over_moves_its_collaborators(asker: Asker) -> None:
    await asker.ask("PATCH", "/teams/apps/acme-web", {"owner": "plain"})

    assert CARL not in await members(asker, "acme")
    assert (await members(asker, "plain"))[CARL]["role"] == "collaborator"


# -- invitations ---------------------------------------------------------------------------------------------------


async def test_the_invited_without_account_has_no_id(asker: Asker) -> None:
    pending = await invitations(asker)

    assert pending[STRANGER]["user"] == {"email": STRANGER, "name": None}
    assert pending[GUEST]["user"] == {"email": GUEST, "name": "Guest", "id": asker.world.account(GUEST).id}  # type: ignore[union-attr]  # small_world has a guest


@pytest.mark.parametrize(("how", "guest", "stranger"), [("omitted", False, False), ("null", True, True)])
async def test_whether_the_invited_carry_an_id_is_an_option(
    asker: Asker, how: str, guest: bool, stranger: bool
) -> None:
    asker.sandbox.change_options({"invitee_id": how})
    pending = await invitations(asker)

    assert ["id" in pending[email]["user"] for email in (GUEST, STRANGER)] == [guest, stranger]
    assert pending[STRANGER]["user"].get("id") is None


async def test_accepting_makes_a_member_and_ends_the_invitation(asker: Asker) -> None:
    token = next(one.token for one in team_of(asker).invitations.values() if one.email == GUEST)
    shown = await asker.get(f"/teams/invitations/{token}", who=GUEST)
    accepted = await asker.ask("POST", f"/teams/invitations/{token}/accept", who=GUEST)
    again = await asker.ask("POST", f"/teams/invitations/{token}/accept", who=GUEST)

    assert shown.json()["user"]["email"] == GUEST
    assert (accepted.status_code, accepted.json()["role"], again.status_code) == (201, "member", 404)
    assert GUEST not in await invitations(asker)
    assert GUEST in await members(asker, "acme")


async def test_inviting_again_changes_the_role_and_makes_no_second_one(asker: Asker) -> None:
    before = (await invitations(asker))[STRANGER]
    again = await asker.ask("PUT", "/teams/acme/invitations", {"email": STRANGER.upper(), "role": "member"})

    assert (again.status_code, again.json()["id"], again.json()["role"]) == (200, before["id"], "member")
    assert len(await invitations(asker)) == 2


async def test_a_revoked_invitation_is_gone(asker: Asker) -> None:
    first = await asker.ask("DELETE", f"/teams/acme/invitations/{STRANGER}")
    second = await asker.ask("DELETE", f"/teams/acme/invitations/{STRANGER}")

    assert (first.status_code, second.status_code) == (200, 404)


async def test_access_to_an_app_does_not_answer_an_invitation(asker: Asker) -> None:
    await asker.ask("POST", "/apps/acme-web/collaborators", {"user": GUEST})

    assert GUEST in await invitations(asker)
    assert (await members(asker, "acme"))[GUEST]["role"] == "collaborator"


async def test_a_collaborator_can_be_invited_and_a_member_cannot(asker: Asker) -> None:
    collaborator = await asker.ask("PUT", "/teams/acme/invitations", {"email": CARL, "role": "member"})
    member = await asker.ask("PUT", "/teams/acme/invitations", {"email": BOB, "role": "member"})

    assert (collaborator.status_code, member.status_code) == (201, 422)
