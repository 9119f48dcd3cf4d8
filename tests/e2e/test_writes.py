"""Writes through the doors, on real sockets, held against the sandbox's world: what is answered is what is so."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapter.app import open_house
from adapter.directory.writing.model import Ask, Change, PersonRef, PlaceRef
from adapter.models import Scope
from adapter.sandbox import Options, RunningSandbox, World
from tests.e2e.serving import Connected, serving

CONTROLS, INVITES = "org-access-controls", "team-invite-acceptance"
DIRECTORY = "/unified/user-directory"


@dataclass(kw_only=True)
class Town:
    """A team that invites, one of an enterprise account with access controls, and who is in them."""

    connected: Connected
    ids: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None, **more: Any) -> httpx.Response:
        params = {"integrated_account_id": self.connected.account_id, **more.pop("params", {})}
        with self.connected.client(token) as client:
            return client.request(method, path, json=body, params=params, **more)

    def write(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.ask(method, DIRECTORY + path, body, **more)

    def done(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        answer = self.write(method, path, body, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def truth(self) -> dict[str, Any]:
        return self.connected.sandbox.truth()

    def held(self, person: str) -> set[tuple[str, str, tuple[str, ...]]]:
        """What somebody has in the world: (kind, place, roles)."""
        truth, who, names = self.truth(), self.ids[person], {id_: name for name, id_ in self.ids.items()}
        tables = (("memberships", "team_id"), ("collaborations", "app_id"), ("space_access", "space_id"),
                  ("enterprise_members", "enterprise_account_id"))  # fmt: skip
        return {
            (table, names[row[place]], (row["role"],) if "role" in row else tuple(sorted(row["permissions"] or ())))
            for table, place in tables
            for row in truth[table]
            if row["account_id"] == who
        }

    def invited(self) -> set[tuple[str, str]]:
        return {(row["email"], row["role"]) for row in self.truth()["invitations"]}


def a_world() -> tuple[World, dict[str, str]]:
    world = World()
    ada, bob, carl = [world.add_account(f"{name}@example.com", name.title()) for name in ("ada", "bob", "carl")]
    corp = world.add_enterprise("corp")
    world.add_enterprise_member(corp, ada, "view", "create", "manage")
    world.add_enterprise_member(corp, bob, "view")
    acme = world.add_team("acme", kind="team", admins=[ada], features={INVITES})
    works = world.add_team("works", kind="enterprise", admins=[ada], features={CONTROLS}, enterprise=corp)
    for team in (acme, works):
        world.add_member(team, bob, "member")
        world.add_member(team, carl, "member")
    space = world.add_space("vault", works)
    world.allow_in_space(space, bob, "create_apps")
    plain, core, moon = [
        world.add_app(name, team=team) for name, team in (("plain", acme), ("core", works), ("moon", works))
    ]
    world.grant(plain, bob)
    world.grant(core, bob, "view", "deploy")
    things: dict[str, Any] = {
        "ada": ada, "bob": bob, "carl": carl, "corp": corp, "acme": acme, "works": works, "vault": space,
        "plain": plain, "core": core, "moon": moon,
    }  # fmt: skip
    return world, {name: thing.id for name, thing in things.items()}


@pytest.fixture
def town(tmp_path: Path, database_url: str) -> Iterator[Town]:
    world, ids = a_world()
    with (
        RunningSandbox(world, options=Options(consistency_s=0)) as sandbox,
        serving(sandbox, tmp_path, database_url=database_url) as connected,
    ):
        yield Town(connected=connected, ids=ids)


def grant(town: Town, role: str, word: str, place: str) -> dict[str, Any]:
    return {"id": role, word: {"id": town.ids[place]}}


# --- inviting and adding


def test_somebody_new_is_invited_and_shown_as_invited(town: Town) -> None:
    body = {"emails": [{"email": "new@example.com"}], "groups": [{"id": town.ids["acme"]}]}

    user = town.done("POST", "/users", body)

    assert (user["username"], user["status"]) == ("new@example.com", "invited")
    assert [role["id"] for role in user["roles"]] == ["team:member"]
    assert town.invited() == {("new@example.com", "member")}
    listed = town.connected.everything("users", status="invited")
    assert [one["id"] for one in listed] == [user["id"]]


def test_somebody_is_added_wherever_roles_are_named(town: Town) -> None:
    roles = [grant(town, "team:viewer", "group", "works"), grant(town, "app:view", "workspace", "moon"),
             grant(town, "enterprise:billing", "organization", "corp"),
             grant(town, "space:create_apps", "workspace", "vault")]  # fmt: skip
    with town.connected.client() as client:
        path = f"/integrated-account/{town.connected.account_id}"
        assert client.patch(path, json={"allow_admin_grants": True}).status_code == 200

    user = town.done("POST", "/users", {"email": "dora@example.com", "roles": roles})

    town.ids["dora"] = user["id"]
    assert town.held("dora") == {("memberships", "works", ("viewer",)), ("collaborations", "moon", ("view",)),
                                 ("enterprise_members", "corp", ("billing",)),
                                 ("space_access", "vault", ("create_apps",))}  # fmt: skip
    assert {role["id"] for role in user["roles"]} == {role["id"] for role in roles}


def test_an_invitation_is_taken_back(town: Town) -> None:
    user = town.done("POST", "/users", {"email": "new@example.com", "groups": [town.ids["acme"]]})

    assert town.done("DELETE", f"/users/{user['id']}") == {"id": user["id"]}

    assert town.invited() == set()
    assert town.write("GET", f"/users/{user['id']}").status_code == 404


# --- changing


def test_a_role_is_changed_in_the_place_named_and_nowhere_else(town: Town) -> None:
    before = town.held("bob")

    user = town.done("PATCH", f"/users/{town.ids['bob']}", {"roles": [grant(town, "team:viewer", "group", "works")]})

    changed = {("memberships", "works", ("member",)), ("memberships", "works", ("viewer",))}
    assert town.held("bob") ^ before == changed
    assert "team:viewer" in {role["id"] for role in user["roles"]}


def test_one_grant_is_given_changed_and_taken(town: Town) -> None:
    key = f"app:{town.ids['core']}:{town.ids['bob']}"
    body = {"user_id": town.ids["bob"], "role_id": "app:operate", "workspace_id": town.ids["core"]}

    assert town.done("POST", "/role_assignments", body)["id"] == f"{key}:operate"
    assert ("collaborations", "core", ("deploy", "operate", "view")) in town.held("bob")

    changed = town.done("PATCH", f"/role_assignments/{key}:operate", {"role_id": "app:manage"})
    assert changed["id"] == f"{key}:manage"
    assert ("collaborations", "core", ("deploy", "manage", "view")) in town.held("bob")
    assert town.write("GET", f"/role_assignments/{key}:operate").status_code == 404

    assert town.done("DELETE", f"/role_assignments/{key}:manage") == {"id": f"{key}:manage"}
    assert ("collaborations", "core", ("deploy", "view")) in town.held("bob")
    assert town.done("DELETE", f"/role_assignments/{key}:manage") == {"id": f"{key}:manage"}, "gone is gone"


def test_a_team_takes_somebody_in_and_lets_them_go(town: Town) -> None:
    member = {"group_id": town.ids["works"], "email": "dora@example.com"}

    town.ids["dora"] = town.done("POST", "/groups/add-user", member)["result"]["id"]
    assert town.held("dora") == {("memberships", "works", ("member",))}

    town.done("POST", "/groups/remove-user", member)
    assert town.held("dora") == set()


def test_groups_come_and_go_in_an_enterprise_account(town: Town) -> None:
    made = town.done("POST", "/groups", {"name": "launch", "organization_id": town.ids["corp"]})
    assert (made["name"], made["organization"]["id"]) == ("launch", town.ids["corp"])

    assert town.done("PATCH", f"/groups/{made['id']}", {"name": "launched"})["name"] == "launched"
    assert {team["name"] for team in town.truth()["teams"]} == {"acme", "works", "launched"}

    assert town.done("DELETE", f"/groups/{made['id']}") == {"id": made["id"]}
    assert {team["name"] for team in town.truth()["teams"]} == {"acme", "works"}


# --- taking away


def test_a_removal_from_one_team_leaves_the_rest(town: Town) -> None:
    town.done("DELETE", f"/users/{town.ids['bob']}", params={"group_id": town.ids["acme"]})

    assert {place for _, place, _ in town.held("bob")} == {"works", "core", "vault", "corp"}


@pytest.mark.parametrize("ask", ["offboard", "delete"])
def test_whoever_is_off_boarded_is_out_of_everything(town: Town, ask: str) -> None:
    if ask == "delete":
        assert town.done("DELETE", f"/users/{town.ids['bob']}") == {"id": town.ids["bob"]}
    else:
        report = town.done("POST", "/users/offboard", {"email": "bob@example.com"})["result"]
        assert report["is_complete"] is True
        assert {place["state"] for place in report["places"]} == {"gone"}
        assert {place["place"]["name"] for place in report["places"]} >= {"acme", "works", "corp"}

    assert town.held("bob") == set()
    assert town.write("GET", f"/users/{town.ids['bob']}").status_code == 404
    assert town.held("carl") == {("memberships", "acme", ("member",)), ("memberships", "works", ("member",))}


# --- what makes it safe


def test_a_plan_changes_nothing_and_a_directory_that_moved_is_refused(town: Town) -> None:
    before, path = town.truth(), f"/users/{town.ids['bob']}"

    plan = town.write("DELETE", path, params={"dry_run": "true"})
    assert plan.status_code == 200
    assert town.truth() == before
    assert {step["place"]["name"] for step in plan.json()["steps"]} >= {"acme", "works", "corp"}
    assert len(plan.json()["steps"]) == plan.json()["cost"]["steps"]

    town.done("DELETE", path, params={"group_id": town.ids["acme"]})
    moved = town.write("DELETE", path, headers={"if-match": plan.headers["etag"]})
    assert (moved.status_code, moved.json()["code"]) == (412, "precondition_failed")

    again = town.write("DELETE", path, params={"dry_run": "true"}).headers["etag"]
    assert town.done("DELETE", path, headers={"if-match": again}) == {"id": town.ids["bob"]}


def someone_new(role: str, word: str, place: str) -> Callable[[Town], Any]:
    return lambda town: ("POST", "/users", {"email": "x@example.com", "roles": [grant(town, role, word, place)]})


@pytest.mark.parametrize(
    ("asked", "guards"),
    [
        (lambda town: ("DELETE", f"/role_assignments/team:{town.ids['acme']}:{town.ids['ada']}:admin", None),
         {"last_admin", "own_account"}),
        (lambda town: ("PATCH", f"/users/{town.ids['bob']}", {"roles": [grant(town, "team:admin", "group", "acme")]}),
         {"admin_grants_off"}),
        (someone_new("team:viewer", "group", "acme"), {"role_not_assignable"}),
        (someone_new("team:collaborator", "group", "acme"), {"role_not_assignable"}),
        (someone_new("app:view", "workspace", "plain"), {"role_not_assignable"}),
        (someone_new("app:collaborator", "workspace", "core"), {"role_not_assignable"}),
        (someone_new("enterprise:manage", "organization", "corp"), {"admin_grants_off"}),
    ],
)  # fmt: skip
def test_a_guard_refuses_before_anything_is_sent(town: Town, asked: Callable[[Town], Any], guards: set[str]) -> None:
    before = town.truth()

    answer = town.write(*asked(town))

    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] in guards
    assert answer.json()["details"][0]["message"]
    assert town.truth() == before


def test_the_same_key_writes_once_and_answers_the_same(town: Town) -> None:
    body = {"email": "new@example.com", "groups": [town.ids["acme"]]}
    headers = {"idempotency-key": "sign-up-1"}

    answers = [town.write("POST", "/users", body, headers=headers) for _ in range(3)]
    other = town.write("POST", "/users", {**body, "email": "other@example.com"}, headers=headers)

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert town.invited() == {("new@example.com", "member")}
    assert town.connected.sandbox.request_count(method="PUT", path="/teams/*/invitations") == 1
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_a_failure_says_how_far_it_came_and_is_found_again(town: Town) -> None:
    broken = {"method": "DELETE", "path": f"/enterprise-accounts/{town.ids['corp']}/members/*"}
    town.connected.sandbox.faults([{"kind": "status", "status": 403, "match": broken}])

    answer = town.write("DELETE", f"/users/{town.ids['bob']}")

    assert (answer.status_code, answer.json()["code"]) == (403, "write_failed"), answer.text
    (failed,) = answer.json()["failed"]
    assert failed["step"]["place"]["name"] == "corp"
    assert town.held("bob") == {("enterprise_members", "corp", ("view",))}

    town.connected.sandbox.clear_faults()
    path = answer.headers["location"]
    assert town.ask("GET", path).json()["status"] == "partial"
    resumed = town.ask("POST", f"{path}/resume")
    assert resumed.status_code in {200, 202}, resumed.text


# --- the operations


async def bound_token(town: Town, tenant: str) -> str:
    async with open_house(town.connected.settings) as house:
        return (await house.tokens.create_api(tenant_id=tenant))[1].reveal()


def test_every_write_is_found_again_by_those_who_may(town: Town) -> None:
    other = town.connected.connect(town.connected.sandbox.token(["global"], "carl@example.com"), tenant_id="globex")
    town.done("POST", "/groups/add-user", {"group_id": town.ids["works"], "email": "dora@example.com"})
    mine = town.connected.account_token(Scope.DIRECTORY_WRITE)
    theirs = town.connected.account_token(Scope.DIRECTORY_WRITE, account_id=other.json()["id"])
    reader = town.connected.account_token(Scope.DIRECTORY_READ)

    with town.connected.client(mine) as client:
        (listed,) = client.get("/operations").json()["result"]
        shown = client.get(f"/operations/{listed['id']}").json()
    with town.connected.client(theirs) as client:
        assert client.get("/operations").json()["result"] == []
        assert client.get(f"/operations/{listed['id']}").status_code == 404
        assert client.post(f"/operations/{listed['id']}/resume").status_code == 404
    with town.connected.client(reader) as client:
        assert client.get("/operations").status_code == 403
    for tenant, count in (("acme", 1), ("globex", 0)):
        with town.connected.client(asyncio.run(bound_token(town, tenant))) as client:
            assert len(client.get("/operations").json()["result"]) == count
            assert client.get(f"/operations/{listed['id']}").status_code == (200 if count else 404)

    assert (listed["kind"], listed["status"]) == ("groups.add-user", "succeeded")
    assert shown["caller"]["kind"] == "api"
    assert shown["steps"][0]["request_id"]
    assert [event["what"] for event in shown["events"]]


def test_the_terminal_and_the_server_keep_one_journal(town: Town) -> None:
    person, place = PersonRef(email="dora@example.com"), PlaceRef(kind="team", id=town.ids["works"])
    change = Change(verb="give", place=place, roles=("member",))
    ask = Ask(kind="role_assignments.create", person=person, changes=(change,))

    async def in_the_terminal() -> list[str]:
        async with open_house(town.connected.settings) as house:
            client = await house.accounts.open(town.connected.account_id)
            await house.writes.write(town.connected.account_id, client, None, ask)
            return [operation.id for operation in await house.writes.operations(None)]

    town.done("POST", "/groups/add-user", {"group_id": town.ids["acme"], "user_id": town.ids["carl"]})
    seen = asyncio.run(in_the_terminal())
    listed = [one["id"] for one in town.ask("GET", "/operations").json()["result"]]

    assert len(seen) == 2
    assert seen == listed
