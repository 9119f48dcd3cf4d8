"""The control surface: the truth, the log, the clock, tokens and options."""

from typing import Any

import pytest

from adapter.sandbox import Sandbox
from tests.sandbox.conftest import Asker
from tests.sandbox.worlds import ADA, BOB, CARL, STRANGER, small_world


async def control(asker: Asker, method: str, name: str, body: Any = None) -> Any:
    return (await asker.client.request(method, f"/sandbox/{name}", json=body)).json()


async def test_the_truth_has_every_membership_invitation_and_grant(asker: Asker) -> None:
    truth = await control(asker, "GET", "world")
    emails = {account["id"]: account["email"] for account in truth["accounts"]}
    teams = {team["id"]: team["name"] for team in truth["teams"]}
    apps = {app["id"]: app["name"] for app in truth["apps"]}

    roles = {(teams[row["team_id"]], emails[row["account_id"]], row["role"]) for row in truth["memberships"]}
    grants = {(apps[row["app_id"]], emails[row["account_id"]], *row["permissions"]) for row in truth["collaborations"]}
    assert {("acme", ADA, "admin"), ("acme", BOB, "member"), ("acme", CARL, "collaborator")} <= roles
    assert {("mine", CARL), ("corp-api", CARL, "view", "deploy"), ("corp-api", BOB, "view")} <= grants
    assert STRANGER in {row["email"] for row in truth["invitations"]}
    assert [emails[row["account_id"]] for row in truth["space_access"]] == [BOB]
    assert {(emails[row["account_id"]], len(row["permissions"])) for row in truth["enterprise_members"]} == {
        (ADA, 4),
        (BOB, 1),
    }
    assert emails[truth["owner_id"]] == ADA


async def test_the_truth_follows_writes_and_holds_no_config_vars(asker: Asker) -> None:
    await asker.ask("DELETE", f"/teams/acme/members/{BOB}")
    response = await asker.client.get("/sandbox/world")
    acme = next(team["id"] for team in response.json()["teams"] if team["name"] == "acme")

    assert len([row for row in response.json()["memberships"] if row["team_id"] == acme]) == 2
    assert "sandbox-only" not in response.text


async def test_the_log_names_requests_and_never_a_token(asker: Asker) -> None:
    await asker.get("/teams/acme/members?x=1", Range="id ..; max=5")
    await asker.get("/nothing")
    await asker.get("/teams", Authorization="Bearer nope")
    response = await asker.client.get("/sandbox/requests")
    first, second, third = response.json()["requests"]

    assert (first["method"], first["path"]) == ("GET", "/teams/acme/members")
    assert (first["query"], first["status"]) == ("x=1", 200)
    assert (first["range"], first["account_id"]) == ("id ..; max=5", asker.world.owner.id)
    assert first["token_id"] in asker.sandbox.keyring.authorizations
    assert (second["status"], third["status"], third["account_id"]) == (404, 401, None)
    assert asker.sandbox.owner_token not in response.text


async def test_control_is_neither_logged_nor_counted(asker: Asker) -> None:
    for name in ("world", "requests", "clock", "options", "faults"):
        await control(asker, "GET", name)

    assert (await control(asker, "GET", "requests"))["count"] == 0
    assert asker.sandbox.budget.remaining(asker.world.owner.id) == 4500


async def test_the_log_is_narrowed_and_reset(asker: Asker) -> None:
    for path in ("/teams", "/teams/acme/members", "/teams/plain/members", "/nothing"):
        await asker.get(path)
    counts = [
        (await control(asker, "GET", f"requests?count_only=1{query}"))["count"]
        for query in ("", "&path=/teams/*/members", "&status=404", "&method=post")
    ]
    await control(asker, "DELETE", "requests")

    assert counts == [4, 2, 1, 0]
    assert await control(asker, "GET", "requests") == {"count": 0, "requests": []}


async def test_the_clock_is_moved_and_sped_up(asker: Asker) -> None:
    before = (await control(asker, "GET", "clock"))["epoch_s"]
    moved = (await control(asker, "POST", "clock", {"advance_s": 3600}))["epoch_s"]
    sped = await control(asker, "POST", "clock", {"speed": 1000})

    assert 3600 <= moved - before < 3660
    assert sped["speed"] == 1000


async def test_a_token_is_minted_for_anybody_with_any_scopes(asker: Asker) -> None:
    minted = await control(asker, "POST", "tokens", {"account": BOB, "scopes": ["read", "identity"]})
    response = await asker.get("/account", token=minted["access_token"])

    assert (response.json()["email"], response.headers["oauth-scope"]) == (BOB, "read identity")


REFUSED = [
    ("POST", "tokens", {"scopes": ["everything"]}, 422),
    ("POST", "tokens", {"account": "nobody@example.com"}, 404),
    ("POST", "tokens", {"scope": ["read"]}, 422),
    ("POST", "options", {"weather": "bad"}, 422),
    ("POST", "options", {"retry_after": "never"}, 422),
    ("POST", "clock", {"advance": 1}, 422),
    ("POST", "budget", {}, 422),
    ("GET", "events?enterprise=nope", None, 404),
    ("GET", "nope", None, 404),
    ("PUT", "world", {}, 405),
]


@pytest.mark.parametrize(("method", "name", "body", "status"), REFUSED)
async def test_what_control_does_not_understand_it_refuses(
    asker: Asker, method: str, name: str, body: object, status: int
) -> None:
    response = await asker.client.request(method, f"/sandbox/{name}", json=body)

    assert response.status_code == status
    assert response.json()["message"]


async def test_the_budget_of_an_account_is_set(asker: Asker) -> None:
    assert (await control(asker, "POST", "budget", {"account": BOB, "remaining": 2}))["remaining"] == 2
    assert [(await asker.get("/teams", who=BOB)).status_code for _ in range(3)] == [200, 200, 429]


async def test_reset_starts_afresh() -> None:
    asker = Asker(Sandbox(small_world))
    token = asker.sandbox.owner_token
    await asker.ask("DELETE", "/apps/mine")
    await control(asker, "POST", "options", {"latency_ms": 1})
    await control(asker, "POST", "faults", [{"kind": "status"}])
    answer = await control(asker, "POST", "reset")

    assert answer["owner_token"] == token
    assert (await asker.get("/apps/mine")).status_code == 200
    assert asker.sandbox.options.latency_ms == 0
    assert asker.sandbox.log.count == 1


async def test_an_oauth_client_is_registered_and_listed(asker: Asker) -> None:
    made = await control(asker, "POST", "oauth-clients", {"redirect_uri": "http://127.0.0.1:1/back"})

    assert made in await control(asker, "GET", "oauth-clients")
    assert made["redirect_uri"] == "http://127.0.0.1:1/back"


async def test_the_events_of_a_day_are_shown_without_a_credential(asker: Asker) -> None:
    await asker.ask("DELETE", f"/teams/corp-it/members/{BOB}")
    by_api = (await asker.get("/enterprise-accounts/corp/events")).json()

    assert await control(asker, "GET", "events?enterprise=corp") == by_api
