"""The directory against the sandbox's own world, which is read as it is and not through its API."""

import math
from pathlib import Path

import pytest

from adapter.sandbox import RunningSandbox, SeedOptions
from tests.e2e.serving import Connected, serving
from tests.e2e.worlds import Truth


def test_users_are_everybody_with_access_or_an_invitation_exactly_once(connected: Connected) -> None:
    users = connected.everything("users", limit=7)

    ids = [user["id"] for user in users]
    assert ids == sorted(set(ids))
    assert set(ids) == Truth(connected.sandbox.truth()).people


def test_role_assignments_are_every_grant_that_anybody_holds(connected: Connected) -> None:
    truth = Truth(connected.sandbox.truth())
    grants = connected.everything("role_assignments", limit=50)

    assert {grant["id"] for grant in grants} == truth.grants
    assert {grant["id"] for grant in grants if grant["status"] == "pending"} == truth.pending


def test_groups_are_the_teams_with_their_people_counted(connected: Connected) -> None:
    world = connected.sandbox.truth()
    groups = {group["id"]: group for group in connected.everything("groups")}

    assert set(groups) == {team["id"] for team in world["teams"]}
    for team in world["teams"]:
        members = [member for member in world["memberships"] if member["team_id"] == team["id"]]
        assert groups[team["id"]]["member_count"] == len(members)
        assert groups[team["id"]]["heroku_type"] == team["type"]


def test_workspaces_are_the_apps_and_spaces(connected: Connected) -> None:
    world = connected.sandbox.truth()
    mine = {app["id"] for app in world["apps"] if app["team_id"] or app["owner_id"] == world["owner_id"]}
    shared = {grant["app_id"] for grant in world["collaborations"] if grant["account_id"] == world["owner_id"]}
    workspaces = {workspace["id"]: workspace for workspace in connected.everything("workspaces")}

    assert set(workspaces) == mine | shared | {space["id"] for space in world["spaces"]}
    for app in world["apps"]:
        if app["team_id"]:
            assert workspaces[app["id"]]["is_locked"] is app["locked"]


def test_what_is_known_of_each_person_is_what_the_world_says(connected: Connected) -> None:
    world = connected.sandbox.truth()
    accounts = {account["id"]: account for account in world["accounts"]}
    for user in connected.everything("users"):
        account = accounts.get(user["id"])
        if account is None:
            assert user["id"].startswith("invitation:")
            assert user["status"] == "invited"
        else:
            assert {email["email"].lower() for email in user["emails"]} == {account["email"].lower()}
            assert user["name"] in {None, account["name"]}
            assert user["is_2fa_enabled"] in {None, account["two_factor"]}
            assert user["remote_data"]


@pytest.mark.parametrize(
    ("teams", "members", "apps"), [(3, 30, 15), (12, 200, 60), (40, 600, 150)], ids=["small", "middle", "large"]
)
def test_complete_users_and_grants_cost_no_more_requests_than_there_are_lists(
    teams: int, members: int, apps: int, tmp_path: Path
) -> None:
    seed = SeedOptions(seed=teams, teams=teams, members=members, apps=apps)
    with RunningSandbox(seed=seed) as sandbox, serving(sandbox, tmp_path) as connected:
        world = sandbox.truth()
        sandbox.reset_requests()
        users = connected.everything("users", limit=1000)
        grants = connected.everything("role_assignments", limit=1000)
        spent = sandbox.request_count()

    personal = sum(1 for app in world["apps"] if not app["team_id"])
    lists = (len(world["teams"]), len(world["apps"]), len(world["enterprise_accounts"]))
    roots = sum(max(1, math.ceil(length / 1000)) for length in lists)
    teams_now, enterprises, spaces = len(world["teams"]), len(world["enterprise_accounts"]), len(world["spaces"])
    assert spent <= 3 * teams_now + personal + 2 * enterprises + spaces + roots + teams_now
    truth = Truth(world)
    assert {user["id"] for user in users} == truth.people
    assert {grant["id"] for grant in grants} == truth.grants
