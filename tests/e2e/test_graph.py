"""The graph against the sandbox's own world: everything exactly once, however little of it a credential may see."""

from collections import Counter
from pathlib import Path
from typing import Any

from adapter.models import Scope
from adapter.sandbox import RunningSandbox, SeedOptions, World
from tests.directory.dot import read_dot
from tests.e2e.serving import Connected, serving
from tests.e2e.worlds import Truth, invited_id

# One edge stands for all roles of a person in a place, so a grant is looked for by its ends.
End = tuple[str, str, str]


def graph(connected: Connected, **query: Any) -> dict[str, Any]:
    answer = connected.get("/graph", **query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    ids = [node["id"] for node in body["nodes"]]
    assert len(ids) == len(set(ids)) == body["node_count"]
    edges = [edge["id"] for edge in body["edges"]]
    assert len(edges) == len(set(edges)) == body["edge_count"]
    assert {end for edge in body["edges"] for end in (edge["from"], edge["to"])} <= set(ids)
    return body


def ends(body: dict[str, Any]) -> set[End]:
    return {(edge["from"], edge["relationship"], edge["to"]) for edge in body["edges"]}


def of_type(body: dict[str, Any], word: str) -> set[str]:
    return {node["id"].partition(":")[2] for node in body["nodes"] if node["id"].startswith(f"{word}:")}


def grants(body: dict[str, Any]) -> tuple[set[str], set[str]]:
    """The grants that the edges stand for, all of them and the pending ones, with the ids of the contract."""
    every, pending = set(), set()
    for edge in body["edges"]:
        for role in edge["roles"]:
            person, place = edge["to"], edge["from"]
            if edge["from"].startswith("user:"):
                person, place = place, person
            made = f"{place}:{person.removeprefix('user:')}:{role.partition(':')[2]}"
            every.add(made)
            if edge["relationship"] == "INVITED":
                pending.add(made)
    return every, pending


def expected(connected: Connected) -> set[End]:
    """What the world says is connected without any role."""
    world = connected.sandbox.world
    found: set[End] = set()
    enterprise_of = {team: one.id for one in world.enterprises.values() for team in one.teams}
    root = f"account:{world.owner_id}"
    for team in world.teams.values():
        above = f"enterprise:{enterprise_of[team.id]}" if team.id in enterprise_of else root
        found.add((above, "HAS", f"team:{team.id}"))
        found |= {(f"team:{team.id}", "OWNS", f"app:{app}") for app in team.apps}
        found |= {(f"team:{team.id}", "OWNS", f"space:{space}") for space in team.spaces}
        found |= {(f"team:{team.id}", "HAS", f"user:{member}") for member in team.members}
    for app in world.apps.values():
        found |= {(f"app:{app.id}", "HAS", f"addon:{addon}") for addon in app.addons}
        if app.space_id:
            found.add((f"space:{app.space_id}", "HAS", f"app:{app.id}"))
    return found


def test_everything_of_the_world_is_there_exactly_once_and_rightly_connected(connected: Connected) -> None:
    world, truth = connected.sandbox.world, Truth(connected.sandbox.truth())
    body = graph(connected)

    assert "missing" not in body
    assert of_type(body, "user") == truth.people
    assert of_type(body, "team") == set(world.teams)
    assert of_type(body, "enterprise") == set(world.enterprises)
    assert of_type(body, "space") == set(world.spaces)
    assert of_type(body, "addon") == {addon for app in world.apps.values() for addon in app.addons}
    assert of_type(body, "account") == {world.owner_id}
    assert grants(body) == (truth.grants, truth.pending)
    assert expected(connected) <= ends(body)
    assert not [node for node in body["nodes"] if node.get("is_reference")]


def test_everybody_belongs_to_an_account_exactly_once_unless_only_invited(connected: Connected) -> None:
    body = graph(connected)
    world = connected.sandbox.truth()
    of_enterprise = Counter(member["account_id"] for member in world["enterprise_members"])
    held = Counter(
        edge["to"].removeprefix("user:")
        for edge in body["edges"]
        if edge["relationship"] == "HAS" and edge["from"].startswith(("account:", "enterprise:"))
        if edge["to"].startswith("user:")
    )
    invited = {node["id"].removeprefix("user:") for node in body["nodes"] if node.get("status") == "invited"}

    assert held == {person: of_enterprise.get(person, 1) for person in of_type(body, "user") - invited}


def test_types_and_relationships_are_those_that_security_teams_know(connected: Connected) -> None:
    body = graph(connected)
    type_of = {node["id"]: node["type"] for node in body["nodes"]}
    found = {(type_of[edge["from"]], edge["relationship"], type_of[edge["to"]]) for edge in body["edges"]}

    assert {
        ("heroku_account", "HAS", "heroku_account_member"),
        ("heroku_account", "HAS", "heroku_team"),
        ("heroku_team", "HAS", "heroku_account_member"),
        ("heroku_team", "OWNS", "heroku_application"),
        ("heroku_application", "HAS", "heroku_addon"),
        ("heroku_account_member", "ACCESSES", "heroku_application"),
        ("heroku_team", "INVITED", "heroku_account_member"),
    } <= found


def test_graphviz_shows_the_same_graph(connected: Connected) -> None:
    body = graph(connected)
    answer = connected.get("/graph", headers={"accept": "text/vnd.graphviz"})
    nodes, edges, _ = read_dot(answer.text)

    assert answer.headers["content-type"].startswith("text/vnd.graphviz")
    assert set(nodes) == {node["id"] for node in body["nodes"]}
    assert [(start, end) for start, end, _ in edges] == [(edge["from"], edge["to"]) for edge in body["edges"]]


def test_inherited_edges_are_the_inherited_grants(connected: Connected) -> None:
    implied = {
        grant["id"]
        for grant in connected.everything("role_assignments", include_inherited="true", limit=1000)
        if grant["is_inherited"]
    }
    body = graph(connected, include_inherited="true")
    marked = {"edges": [edge for edge in body["edges"] if edge.get("is_inherited")]}

    assert implied
    assert grants(marked)[0] == implied


def test_two_answers_are_the_same_to_the_byte(connected: Connected) -> None:
    assert connected.get("/graph").content == connected.get("/graph").content


def test_the_scope_of_an_account_token_decides(connected: Connected) -> None:
    assert connected.get("/graph", token=connected.account_token(Scope.DIRECTORY_READ)).status_code == 200
    assert connected.get("/graph", token=connected.account_token(Scope.RAW_READ)).status_code == 403


def test_add_ons_cost_a_request_a_team_and_only_when_asked_for(tmp_path: Path) -> None:
    with RunningSandbox() as sandbox, serving(sandbox, tmp_path) as connected:
        graph(connected, addons="false")
        without = sandbox.request_count(path="*addons*")
        sandbox.reset_requests()
        graph(connected)
        paths = [request["path"] for request in sandbox.requests()]

    assert without == 0
    assert sorted(paths) == sorted([*(f"/teams/{team}/addons" for team in sandbox.world.teams), "/addons"])


def test_no_certificate_is_ever_asked_for_or_shown(tmp_path: Path) -> None:
    world = World()
    owner = world.add_account("owner@example.com", "Owner")
    corp = world.add_enterprise("corp")
    world.add_enterprise_member(corp, owner, "view", "manage")
    team = world.add_team("acme", kind="enterprise", admins=[owner], enterprise=corp)
    provider = world.add_identity_provider(team)
    with RunningSandbox(world) as sandbox, serving(sandbox, tmp_path) as connected:
        body = connected.get("/graph").text
        asked = sandbox.request_count(path="*identity-providers*")
        shown = graph(connected)

    assert provider.certificate not in body
    assert "CERTIFICATE" not in body
    assert asked == 0
    assert of_type(shown, "identity_provider") == {provider.id}
    assert (f"team:{team.id}", "USES", f"identity_provider:{provider.id}") in ends(shown)


def test_a_team_member_who_is_no_enterprise_member_hides_nobody(tmp_path: Path) -> None:
    world = World()
    owner = world.add_account("owner@example.com", "Owner")
    corp = world.add_enterprise("corp")
    world.add_enterprise_member(corp, owner, "view", "manage")
    team = world.add_team("acme", kind="enterprise", admins=[owner], enterprise=corp)
    people = [world.add_account(f"p{n}@example.com", None) for n in range(4)]
    for number, person in enumerate(people):
        world.add_member(team, person, "member")
        if number % 2:
            world.add_enterprise_member(corp, person, "view")
    with RunningSandbox(world) as sandbox, serving(sandbox, tmp_path) as connected:
        found = ends(graph(connected))

    assert {(f"team:{team.id}", "HAS", f"user:{person.id}") for person in people} <= found
    assert {start for start, _, end in found if end == f"user:{people[0].id}"} == {
        f"team:{team.id}",
        f"account:{owner.id}",
    }
    assert (f"enterprise:{corp.id}", "HAS", f"user:{people[1].id}") in found


def test_without_an_enterprise_account_the_connected_account_is_the_account(tmp_path: Path) -> None:
    world = World()
    owner = world.add_account("owner@example.com", "Owner")
    team = world.add_team('a "quoted" \\ team', admins=[owner], features={"team-invite-acceptance"})
    world.invite(team, "new@example.com", "member")
    world.add_member(team, "roleless@example.com", None)
    mine = world.add_app("mine", owner=owner)
    addon = world.add_addon(mine, "heroku-redis")
    with RunningSandbox(world) as sandbox, serving(sandbox, tmp_path) as connected:
        body = graph(connected)
        dot = read_dot(connected.get("/graph", format="dot").text)
        roleless = next(account.id for account in world.accounts.values() if account.email.startswith("roleless"))

    assert "missing" not in body
    assert ends(body) == {
        (f"account:{owner.id}", "HAS", f"team:{team.id}"),
        (f"account:{owner.id}", "HAS", f"user:{owner.id}"),
        (f"account:{owner.id}", "HAS", f"user:{roleless}"),
        (f"team:{team.id}", "HAS", f"user:{owner.id}"),
        (f"team:{team.id}", "HAS", f"user:{roleless}"),
        (f"team:{team.id}", "INVITED", f"user:{invited_id('new@example.com')}"),
        (f"user:{owner.id}", "OWNS", f"app:{mine.id}"),
        (f"app:{mine.id}", "HAS", f"addon:{addon.id}"),
    }
    assert dot[0][f"team:{team.id}"]["label"] == 'a "quoted" \\ team'


def test_a_team_that_is_closed_is_told_and_ends_nothing(tmp_path: Path) -> None:
    with RunningSandbox() as sandbox, serving(sandbox, tmp_path) as connected:
        shut = sandbox.truth()["teams"][0]["id"]
        sandbox.faults([{"kind": "status", "status": 403, "match": {"method": "GET", "path": f"/teams/{shut}/*"}}])
        body = graph(connected)
        comments = read_dot(connected.get("/graph", format="dot").text)[2]
        others = {
            (f"team:{team.id}", "HAS", f"user:{member}")
            for team in sandbox.world.teams.values()
            if team.id != shut
            for member in team.members
        }

    assert others <= ends(body)
    assert shut in of_type(body, "team")
    assert body["is_partial_response"] is True
    assert {gap["place"]["team"]["id"] for gap in body["missing"]} == {shut}
    assert {"team_members", "team_apps", "team_addons"} <= {gap["unit"] for gap in body["missing"]}
    assert any(comment.startswith("missing: team_members of team ") for comment in comments)


def test_a_plain_member_sees_what_a_member_may_and_is_told_the_rest(tmp_path: Path) -> None:
    with RunningSandbox() as sandbox:
        token = sandbox.token(["global"], account="member@example.com")
        with serving(sandbox, tmp_path, api_key=token) as connected:
            body = graph(connected)
            world = sandbox.world
            me = next(account.id for account in world.accounts.values() if account.email == "member@example.com")
            mine = [team for team in world.teams.values() if me in team.members]
            seen = [team for team in mine if team.members[me].role != "collaborator"]

    assert seen
    assert body["root"] == f"account:{me}"
    assert {team.id for team in mine} <= of_type(body, "team")
    assert {(f"team:{team.id}", "HAS", f"user:{person}") for team in seen for person in team.members} <= ends(body)
    shut = {gap["place"]["team"]["id"] for gap in body.get("missing", []) if gap["unit"] == "team_members"}
    assert shut == {team.id for team in mine} - {team.id for team in seen}


def test_a_graph_of_many_people_is_whole(tmp_path: Path) -> None:
    seed = SeedOptions(seed=7, teams=30, members=1500, apps=200, enterprise_accounts=2)
    with RunningSandbox(seed=seed) as sandbox, serving(sandbox, tmp_path) as connected:
        body = graph(connected)
        truth = Truth(sandbox.truth())

    assert of_type(body, "user") == truth.people
    assert grants(body) == (truth.grants, truth.pending)
