"""People whom a directory gets wrong easily, each in a world made for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from adapter.sandbox import Options, RunningSandbox, World
from tests.e2e.serving import Connected, serving
from tests.e2e.worlds import Truth, invited_id


@contextmanager
def before(world: World, directory: Path, **options: Any) -> Iterator[Connected]:
    with RunningSandbox(world, options=Options(**options)) as sandbox, serving(sandbox, directory) as connected:
        yield connected


def by_email(users: list[dict[str, Any]], email: str) -> dict[str, Any]:
    found = [user for user in users if any(entry["email"] == email for entry in user["emails"])]
    assert len(found) == 1, found
    return found[0]


def test_a_thousand_members_without_names_are_all_there(tmp_path: Path) -> None:
    world = World()
    owner = world.add_account("owner@example.com", "Owner")
    team = world.add_team("crowd", kind="enterprise", admins=[owner], enterprise=world.add_enterprise("corp"))
    for number in range(999):
        world.add_member(team, world.add_account(f"m{number:04}@example.com", None), "member")
    with before(world, tmp_path) as connected:
        users = connected.everything("users", group_id=team.id, limit=300)
        group = connected.get(f"/unified/user-directory/groups/{team.id}").json()

    assert len(users) == 1000
    assert sum(user["name"] is None and user["first_name"] is None for user in users) == 999
    assert group["member_count"] == 1000


@pytest.mark.parametrize("email", ["paula+work@example.com", "zoë.müller@example.com", "o'hara_%41@example.com"])
def test_odd_addresses_come_through_and_can_be_filtered_by(email: str, tmp_path: Path) -> None:
    world = World()
    owner = world.add_account("owner@example.com", "Owner")
    team = world.add_team("acme", admins=[owner])
    world.add_member(team, email, "member")
    with before(world, tmp_path) as connected:
        users = connected.everything("users", emails=email.upper())

    assert [user["emails"][0]["email"] for user in users] == [email]
    assert users[0]["username"] == email


def test_a_member_with_role_null_is_in_the_team_and_holds_nothing(tmp_path: Path) -> None:
    world = World()
    team = world.add_team("acme", admins=[world.add_account("owner@example.com", "Owner")])
    world.add_member(team, "roleless@example.com", None)
    with before(world, tmp_path) as connected:
        user = by_email(connected.everything("users"), "roleless@example.com")
        grants = connected.everything("role_assignments", user_id=user["id"])

    assert user["groups"] == [{"id": team.id, "name": "acme"}]
    assert user["roles"] == []
    assert user["status"] == "active"
    assert grants == []


@pytest.mark.parametrize("invitee_id", ["known", "omitted", "null"])
def test_somebody_invited_who_collaborates_elsewhere_is_one_person(invitee_id: str, tmp_path: Path) -> None:
    world = World()
    owner = world.add_account("owner@example.com", "Owner")
    features = {"team-invite-acceptance"}
    first, second = (world.add_team(name, admins=[owner], features=features) for name in ("first", "second"))
    world.grant(world.add_app("first-web", team=first), "carl@example.com", "deploy")
    world.invite(second, "Carl@Example.com", "member")
    with before(world, tmp_path, invitee_id=invitee_id) as connected:
        user = by_email(connected.everything("users"), "carl@example.com")
        by_old_id = connected.get(f"/unified/user-directory/users/{invited_id('carl@example.com')}").json()
        grants = connected.everything("role_assignments", user_id=user["id"])

    assert user["id"] == next(a.id for a in world.accounts.values() if a.email == "carl@example.com")
    assert user["status"] == "active"
    assert by_old_id["id"] == user["id"]
    assert {grant["status"] for grant in grants if grant["group_id"] == second.id} == {"pending"}


@pytest.mark.parametrize("invitee_id", ["omitted", "null"])
def test_somebody_invited_without_an_account_has_an_id_that_survives_acceptance(
    invitee_id: str, tmp_path: Path
) -> None:
    world = World()
    owner = world.add_account("owner@example.com", "Owner")
    team = world.add_team("acme", admins=[owner], features={"team-invite-acceptance"})
    world.invite(team, "New@Example.com", "admin")
    with before(world, tmp_path, invitee_id=invitee_id) as connected:
        invited = by_email(connected.everything("users"), "New@Example.com")
        world.withdraw(team, "New@Example.com")
        account = world.add_account("new@example.com", "Newton")
        world.add_member(team, account, "admin")
        later = connected.get(f"/unified/user-directory/users/{invited['id']}", headers={"cache-control": "no-cache"})

    assert invited["id"] == invited_id("new@example.com")
    assert invited["status"] == "invited"
    assert invited["user_type"] == "user"
    assert later.json()["id"] == account.id
    assert later.json()["user_type"] == "admin"


def test_a_team_named_like_another_teams_id_is_not_taken_for_it(tmp_path: Path) -> None:
    world = World()
    owner = world.add_account("owner@example.com", "Owner")
    first = world.add_team("first", admins=[owner])
    second = world.add_team(first.id, admins=[owner])
    world.add_member(first, "one@example.com", "member")
    world.add_member(second, "two@example.com", "member")
    with before(world, tmp_path) as connected:
        of_first = {user["username"] for user in connected.everything("users", group_id=first.id)}
        of_second = {user["username"] for user in connected.everything("users", group_id=second.id)}

    assert of_first == {"owner@example.com", "one@example.com"}
    assert of_second == {"owner@example.com", "two@example.com"}


@pytest.mark.parametrize("endpoint", ["missing", "partial"])
def test_a_permissions_call_that_fails_its_proof_loses_nobody(endpoint: str, tmp_path: Path) -> None:
    world = World()
    owner = world.add_account("owner@example.com", "Owner")
    team = world.add_team("acme", kind="enterprise", admins=[owner], features={"org-access-controls"})
    team.permissions_endpoint = endpoint  # type: ignore[assignment]  # the parameters are its words
    for number in range(6):
        app = world.add_app(f"acme-{number}", team=team)
        for person in range(3):
            world.grant(app, f"p{person}@example.com", "view", "deploy")
    with before(world, tmp_path) as connected:
        grants = {grant["id"] for grant in connected.everything("role_assignments")}
        truth = Truth(connected.sandbox.truth())

    assert grants == truth.grants


def test_second_factors_are_known_only_where_heroku_tells(tmp_path: Path) -> None:
    world = World()
    owner = world.add_account("owner@example.com", "Owner", two_factor=True)
    shown, hidden = world.add_team("shown", admins=[owner]), world.add_team("hidden", admins=[owner])
    shown.two_factor_shown, hidden.two_factor_shown = True, False
    world.add_member(shown, world.add_account("off@example.com", "Off", two_factor=False), "member")
    world.add_member(hidden, world.add_account("dark@example.com", "Dark", two_factor=True), "member")
    with before(world, tmp_path) as connected:
        known = {user["username"]: user["is_2fa_enabled"] for user in connected.everything("users")}
        without = [user["username"] for user in connected.everything("users", is_2fa_enabled="false")]
        unknown = [user["username"] for user in connected.everything("users", is_2fa_enabled="null")]

    assert known == {"owner@example.com": True, "off@example.com": False, "dark@example.com": None}
    assert without == ["off@example.com"]
    assert unknown == ["dark@example.com"]


def test_what_a_team_role_implies_is_computed_when_asked_for(tmp_path: Path) -> None:
    world = World()
    owner = world.add_account("owner@example.com", "Owner")
    team = world.add_team("acme", kind="enterprise", admins=[owner], features={"org-access-controls"})
    member = world.add_account("member@example.com", "Member")
    world.add_member(team, member, "member")
    open_app, locked = world.add_app("open-app", team=team), world.add_app("locked-app", team=team, locked=True)
    with before(world, tmp_path) as connected:
        plain = connected.everything("role_assignments")
        implied = connected.everything("role_assignments", include_inherited="true")

    assert {grant["id"] for grant in plain} == {
        f"team:{team.id}:{owner.id}:admin",
        f"team:{team.id}:{member.id}:member",
    }
    found = {grant["id"] for grant in implied if grant["is_inherited"]}
    expected = {
        f"app:{app.id}:{owner.id}:{permission}"
        for app in (open_app, locked)
        for permission in ("view", "deploy", "operate", "manage")
    }
    assert found == expected | {f"app:{open_app.id}:{member.id}:view"}


def test_somebody_known_elsewhere_has_one_id_in_every_list(tmp_path: Path) -> None:
    world = World()
    owner = world.add_account("owner@example.com", "Owner")
    features = {"team-invite-acceptance"}
    first, second = (world.add_team(name, admins=[owner], features=features) for name in ("first", "second"))
    carl = world.add_account("carl@example.com", "Carl")
    world.add_member(first, carl, "member")
    world.invite(second, "carl@example.com", "member")
    with before(world, tmp_path, invitee_id="omitted") as connected:
        everybody = {user["id"] for user in connected.everything("users")}
        invited = {user["id"] for user in connected.everything("users", group_id=second.id)}
        grants = {grant["user_id"] for grant in connected.everything("role_assignments", group_id=second.id)}

    assert everybody == invited == grants == {owner.id, carl.id}
