"""Least privilege, tried: a Heroku token of each scope before every list and door, and what each answer says it lacks.

The rule behind the tables: whatever a token can't see is a refusal or a gap that is named, never an absence.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapter.models import Scope
from adapter.sandbox import RunningSandbox
from tests.e2e.serving import Connected, serving

READING = ("read", "write", "read-protected", "write-protected")
SCOPES = ("identity", *READING, "global")
RESOURCES = (
    "users", "groups", "roles", "role_assignments", "workspaces", "organizations", "licenses", "me", "activities",
)  # fmt: skip

ANY_READING = {"global", *READING}
OPENED_BY = {
    "account": {"global", "identity"},
    "teams": ANY_READING,
    "apps": ANY_READING,
    "addons": ANY_READING,
    "enterprise_accounts": ANY_READING,
    "team_members": {"global"},
    "team_invitations": {"global"},
    "team_permissions": {"global"},
}
"""Heroku's scopes, any one of which opens the unit."""
OF_PEOPLE = {"team_members", "team_invitations", "team_permissions"}
CLOSED_TO_READING: dict[str, set[str]] = {
    "users": OF_PEOPLE,
    "role_assignments": OF_PEOPLE,
    "groups": {"team_members"},
    "licenses": {"team_members"},
    "workspaces": set(),
    "organizations": set(),
    "activities": set(),
    "roles": set(),
}
"""Units that an answer lacks with any of the four reading scopes; `me` is refused to them."""
CLOSED_GRAPH = {
    "identity": {"teams", "apps", "addons", "enterprise_accounts"},
    **{scope: OF_PEOPLE | {"account"} for scope in READING},
    "global": set(),
}

PATHS = {
    "/account": {"global", "identity"},
    "/teams": ANY_READING,
    "/teams/{team}/members": {"global"},
    "/apps": ANY_READING,
    "/apps/{app}/collaborators": ANY_READING,
}
"""What a raw door reads, and Heroku's scopes, any one of which opens it."""
DOORS = ("/proxy", "/custom", "")


@dataclass(kw_only=True)
class Held:
    """An adapter whose one account has a Heroku token of one scope, and what its lists said before any write."""

    scope: str
    connected: Connected
    answers: dict[str, httpx.Response]
    server: httpx.Client
    """Asks with an API token."""
    tool: httpx.Client
    """Asks with an account token."""
    team: str
    app: str

    def raw(self, method: str, door: str, path: str, **body: Any) -> httpx.Response:
        """Through a door; the root one takes an account token alone, the others are asked as by a server."""
        client = self.server if door else self.tool
        params = {"integrated_account_id": self.connected.account_id} if door else None
        headers = {"accept": "application/vnd.heroku+json; version=3"}
        target = door + path.format(team=self.team, app=self.app)
        return client.request(method, target, params=params, headers=headers, json=body or None)

    def capabilities(self) -> dict[str, Any]:
        found = self.server.get(f"/integrated-account/{self.connected.account_id}/capabilities")
        body: dict[str, Any] = found.json()
        return body


@pytest.fixture(scope="module", params=SCOPES)
def held(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    with holding(request.param, tmp_path_factory.mktemp("adapter")) as made:
        yield made


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Resource -> its records by id, as they are seen with every scope."""
    with holding("global", tmp_path_factory.mktemp("whole")) as made:
        return {resource: by_id(made.answers[resource]) for resource in RESOURCES}


@contextmanager
def holding(scope: str, directory: Path) -> Iterator[Held]:
    # The seeded world is the same each time: what differs between two of these is what the scopes open.
    with RunningSandbox() as sandbox:
        truth = sandbox.truth()
        with (
            serving(sandbox, directory, api_key=sandbox.token([scope]), log_level="error") as connected,
            connected.client() as server,
            connected.client(connected.account_token(Scope.RAW_READ, Scope.RAW_WRITE)) as tool,
        ):
            lists = {name: f"/unified/user-directory/{name}?limit=1000" for name in RESOURCES} | {"graph": "/graph?"}
            yield Held(
                scope=scope,
                connected=connected,
                answers={
                    name: server.get(f"{path}&integrated_account_id={connected.account_id}")
                    for name, path in lists.items()
                },
                server=server,
                tool=tool,
                # One that takes members at once, without inviting them.
                team=next(team["id"] for team in truth["teams"] if not team["features"]),
                app=truth["apps"][0]["id"],
            )


def by_id(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    assert answer.json()["next_cursor"] is None
    return {record["id"]: record for record in answer.json()["result"]}


def closed(answer: httpx.Response) -> list[dict[str, Any]]:
    """The gaps of an answer, but for days that nobody asked for."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    gaps: list[dict[str, Any]] = body.get("missing", [])
    assert body.get("is_partial_response", False) == bool(gaps)
    return [gap for gap in gaps if gap["reason"] != "not_asked"]


def check_gaps(gaps: list[dict[str, Any]], units: set[str]) -> None:
    assert {gap["unit"] for gap in gaps} == units
    for gap in gaps:
        assert gap["reason"] == "missing_scope"
        assert set(gap["scopes"]) == OPENED_BY[gap["unit"]]


def check_refused(answer: httpx.Response, opened_by: set[str], scope: str) -> None:
    body = answer.json()
    assert (answer.status_code, body["code"], body["truto_is_remote_error"]) == (403, "remote_forbidden", True)
    assert body["raw_response"]["id"] == "forbidden"
    insight = body["truto_error_insight"]["forbidden_error"]
    assert (set(insight["missing_scopes"]), insight["held_scopes"]) == (opened_by, [scope])


def expected_gaps(scope: str, resource: str) -> set[str] | None:
    """The units that the answer has to name; None where it has to be a refusal."""
    if scope == "global" or resource == "roles":
        return set()
    if scope == "identity":
        return set() if resource == "me" else None
    return CLOSED_TO_READING.get(resource)


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_list_names_just_what_the_token_s_scope_closes(held: Held, resource: str) -> None:
    answer = held.answers[resource]
    gaps = expected_gaps(held.scope, resource)

    if gaps is None:
        check_refused(answer, OPENED_BY["account" if resource == "me" else "teams"], held.scope)
    else:
        check_gaps(closed(answer), gaps)


@pytest.mark.parametrize("resource", RESOURCES)
def test_what_is_not_said_to_lack_anything_is_all_there_is(
    held: Held, whole: dict[str, dict[str, Any]], resource: str
) -> None:
    answer = held.answers[resource]
    if answer.status_code == 403:
        # A refusal looks like no list, however empty.
        assert "result" not in answer.json()
    elif closed(answer):
        assert set(by_id(answer)) <= set(whole[resource])
    else:
        assert by_id(answer) == whole[resource]


def test_every_team_whose_people_are_unseen_is_named(held: Held) -> None:
    if held.scope == "identity":
        # Not even the teams are seen, so there is none to name.
        assert held.answers["users"].status_code == 403
        return
    teams = {team["id"] for team in held.connected.sandbox.truth()["teams"]}
    told = [gap["place"]["team"]["id"] for gap in closed(held.answers["users"]) if gap["unit"] == "team_members"]

    assert sorted(told) == ([] if held.scope == "global" else sorted(teams))


@pytest.mark.parametrize(("resource", "field"), [("groups", "member_count"), ("licenses", "assigned_quantity")])
def test_a_count_of_people_who_are_unseen_is_unknown_and_not_nought(held: Held, resource: str, field: str) -> None:
    if held.scope == "identity":
        assert held.answers[resource].status_code == 403
        return
    counts = [record[field] for record in by_id(held.answers[resource]).values()]

    assert counts
    assert all(count > 0 if held.scope == "global" else count is None for count in counts)


def test_the_graph_names_what_the_token_s_scope_closes(held: Held) -> None:
    check_gaps(closed(held.answers["graph"]), CLOSED_GRAPH[held.scope])


def test_what_will_be_missing_was_told_beforehand(held: Held) -> None:
    told = held.capabilities()

    assert told["account"]["scopes"] == [held.scope]
    for shown in told["resources"]:
        if (answer := held.answers.get(shown["name"])) is None:
            continue
        if answer.status_code == 200:
            assert set(shown["missing_units"]) == {gap["unit"] for gap in closed(answer)}, shown["name"]
        else:
            assert shown["missing_units"], shown["name"]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("path", PATHS)
def test_a_raw_door_reads_what_heroku_lets_the_token_read(held: Held, door: str, path: str) -> None:
    answer = held.raw("GET", door, path)

    if held.scope in PATHS[path]:
        assert answer.status_code == 200
        found = answer.json()
        assert found["id"] if path == "/account" else (found["result"] if door == "/proxy" else found)
    else:
        check_raw_refusal(answer, PATHS[path], held.scope)


@pytest.mark.parametrize("door", DOORS)
def test_a_raw_door_writes_what_heroku_lets_the_token_write(held: Held, door: str) -> None:
    sandbox = held.connected.sandbox
    before = sandbox.truth()["memberships"]
    email = f"new{DOORS.index(door)}@example.com"

    answer = held.raw("PUT", door, "/teams/{team}/members", email=email, role="member")

    if held.scope == "global":
        assert answer.status_code in {200, 201}, answer.text
        assert sandbox.truth()["memberships"] != before
    else:
        check_raw_refusal(answer, {"global"}, held.scope)
        assert sandbox.truth()["memberships"] == before


def check_raw_refusal(answer: httpx.Response, opened_by: set[str], scope: str) -> None:
    """Heroku's own refusal, as it came: no door puts a list around it."""
    assert (answer.status_code, answer.json()["id"]) == (403, "forbidden")
    assert set(answer.headers["oauth-scope-accepted"].replace(",", " ").split()) == opened_by
    assert answer.headers["oauth-scope"] == scope
