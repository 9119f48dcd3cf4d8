"""Heroku goes on listing a removed collaborator for seconds: through the whole house, nobody comes back by it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapter.models import Scope
from adapter.sandbox import Options, RunningSandbox, World
from tests.e2e.serving import Connected, serving
from tests.e2e.test_lasting import beside
from tests.e2e.writing import Door

CARL = "carl@example.com"


def world() -> World:
    made = World()
    ada = made.add_account("ada@example.com", "Ada")
    team = made.add_team("acme", kind="enterprise", admins=[ada], features={"org-access-controls"})
    made.add_member(team, "bob@example.com", "member")
    apps = [made.add_app(name, team=team) for name in ("acme-web", "acme-api")]
    for app in apps:
        made.grant(app, "bob@example.com", "view")
    made.grant(apps[0], CARL, "view", "deploy")
    made.grant(made.add_app("mine", owner=ada), CARL)
    return made


@dataclass(kw_only=True)
class Lagging:
    connected: Connected
    token: str

    def write(self, method: str, path: str, door: str = "/custom", **body: Any) -> Any:
        with self.connected.client(self.token) as client:
            headers = {"accept": "application/vnd.heroku+json; version=3"}
            answer = client.request(method, door + path, json=body or None, headers=headers)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def roles(self, email: str, connected: Connected | None = None) -> list[str]:
        """Where somebody has which role, as all doors together say it."""
        asked = connected or self.connected
        users = [user for user in asked.everything("users") if user["username"] == email]
        grants = asked.everything("role_assignments")
        found = sorted(
            f"{role['workspace']['name']} {role['id']}" for user in users for role in user["roles"] if role["workspace"]
        )
        held = [grant for grant in grants if users and grant["user_id"] == users[0]["id"] and grant["workspace_id"]]
        assert len(held) == len(found)
        return found

    def listed(self, app: str, email: str) -> bool:
        """Whether Heroku itself still lists somebody."""
        found = self.write("GET", f"/apps/{app}/collaborators")
        return email in [item["user"]["email"] for item in found]


@pytest.fixture(params=["on", "missing"], ids=["permissions endpoint", "app by app"])
def lagging(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lagging]:
    options = Options(consistency_s=3, permissions_endpoint=request.param)
    with RunningSandbox(world, options=options) as sandbox, serving(sandbox, tmp_path) as connected:
        yield Lagging(connected=connected, token=connected.account_token(*Scope))


@pytest.mark.parametrize("door", ["/custom", "/proxy", ""])
def test_a_removed_collaborator_never_comes_back(lagging: Lagging, door: str) -> None:
    assert lagging.roles(CARL) == ["acme-web app:deploy", "acme-web app:view", "mine app:collaborator"]

    for app in ("acme-web", "mine"):
        lagging.write("DELETE", f"/apps/{app}/collaborators/{CARL}", door)
        assert lagging.listed(app, CARL), "Heroku lags behind, or this shows nothing"

    assert lagging.roles(CARL) == []
    for seconds in (1, 1, 2, 60):
        lagging.connected.sandbox.advance(seconds)
        assert lagging.roles(CARL) == []
    assert not lagging.listed("mine", CARL)


def test_whoever_is_removed_by_the_id_of_the_collaboration_is_gone_too(lagging: Lagging) -> None:
    lagging.roles(CARL)
    found = lagging.write("GET", "/apps/acme-web/collaborators")
    own = next(item["id"] for item in found if item["user"]["email"] == CARL)

    lagging.write("DELETE", f"/teams/apps/acme-web/collaborators/{own}")

    assert lagging.listed("acme-web", CARL)
    assert lagging.roles(CARL) == ["mine app:collaborator"]


def test_whoever_leaves_a_team_is_gone_from_its_apps(lagging: Lagging) -> None:
    bob = "bob@example.com"
    assert lagging.roles(bob) == ["acme-api app:view", "acme-web app:view"]

    lagging.write("DELETE", f"/teams/acme/members/{bob}")

    assert lagging.listed("acme-api", bob)
    assert lagging.roles(bob) == []


def test_whoever_is_added_again_is_back_at_once(lagging: Lagging) -> None:
    lagging.roles(CARL)
    lagging.write("DELETE", f"/apps/mine/collaborators/{CARL}")
    assert "mine app:collaborator" not in lagging.roles(CARL)
    lagging.write("POST", "/apps/mine/collaborators", user="zoe@example.com")
    assert "mine app:collaborator" not in lagging.roles(CARL), "adding another one brings nobody back"

    lagging.write("POST", "/apps/mine/collaborators", user=CARL)

    assert "mine app:collaborator" in lagging.roles(CARL)
    lagging.connected.sandbox.advance(60)
    assert "mine app:collaborator" in lagging.roles(CARL)


def test_another_process_on_the_same_postgresql_brings_nobody_back_either(postgres_url: str, tmp_path: Path) -> None:
    with (
        RunningSandbox(world, options=Options(consistency_s=3)) as sandbox,
        serving(sandbox, tmp_path, database_url=postgres_url) as connected,
    ):
        lagging = Lagging(connected=connected, token=connected.account_token(*Scope))
        thread, other = beside(connected)
        try:
            assert lagging.roles(CARL, other) == lagging.roles(CARL) != []
            lagging.write("DELETE", f"/apps/mine/collaborators/{CARL}")
            assert lagging.listed("mine", CARL)
            assert "mine app:collaborator" not in lagging.roles(CARL, other)
            assert "mine app:collaborator" not in lagging.roles(CARL)
        finally:
            thread.close()


def test_whoever_is_given_anew_is_not_called_failed_for_having_been_removed(lagging: Lagging) -> None:
    """Until the list can be relied on, who stands in it can't be told from who was removed: that is waited for."""
    door = Door(connected=lagging.connected)
    app, carl = door.place("acme-web"), door.world.account(CARL)
    assert carl is not None
    lagging.roles(CARL)
    lagging.write("DELETE", f"/apps/acme-web/collaborators/{CARL}")
    match = {"method": "POST", "path": f"*/apps/{app.id}/collaborators"}
    lagging.connected.sandbox.faults([{"kind": "reset", "carried_out": True, "match": match, "times": 1}])

    door.done("POST", "/role_assignments", {"user_id": carl.id, "role_id": "app:view", "workspace_id": app.id})

    assert door.held(CARL)["acme-web"] == {"view"}
    assert "acme-web app:view" in lagging.roles(CARL)
