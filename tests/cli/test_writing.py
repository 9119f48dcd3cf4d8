"""Inviting, granting, revoking and off-boarding in the terminal, held against the sandbox's world."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from adapter.sandbox import Options, RunningSandbox, World
from tests.cli.conftest import Ended, Terminal

CONTROLS, INVITES = "org-access-controls", "team-invite-acceptance"


def a_world() -> World:
    """Ada is in charge of two teams, Eve of a third one and of nothing else."""
    world = World()
    ada, bob, eve = [world.add_account(f"{name}@example.com", name.title()) for name in ("ada", "bob", "eve")]
    acme = world.add_team("acme", kind="team", admins=[ada], features={INVITES})
    works = world.add_team("works", kind="enterprise", admins=[ada, bob], features={CONTROLS})
    moon = world.add_team("moon", kind="team", admins=[eve])
    for team in (acme, works, moon):
        world.add_member(team, "carl@example.com", "member")
    world.grant(world.add_app("core", team=works), "carl@example.com", "deploy")
    return world


@dataclass
class Desk:
    """A terminal before a world of its own."""

    run: Terminal
    sandbox: RunningSandbox

    def __call__(self, *arguments: str, **env: str) -> Ended:
        return self.run(*arguments, HEROKU_API_URL=self.sandbox.url, **env)

    def connect(self, person: str, tenant: str = "acme", *, expires_in: int | None = None) -> str:
        token = self.sandbox.token(["global"], f"{person}@example.com", expires_in=expires_in)
        added = self.run("account", "add", "--tenant", tenant, "--json", stdin=token, HEROKU_API_URL=self.sandbox.url)
        assert added.code == 0, added.err
        return str(added.json["id"])

    def teams_of(self, person: str) -> dict[str, str]:
        """Team -> role, in the world."""
        truth = self.sandbox.truth()
        (who,) = [one["id"] for one in truth["accounts"] if one["email"] == f"{person}@example.com"]
        names = {team["id"]: team["name"] for team in truth["teams"]}
        return {names[row["team_id"]]: row["role"] for row in truth["memberships"] if row["account_id"] == who}


@pytest.fixture
def desk(terminal: Terminal) -> Iterator[Desk]:
    with RunningSandbox(a_world(), options=Options(consistency_s=0)) as sandbox:
        made = Desk(terminal, sandbox)
        made.connect("ada")
        yield made


# --- one role


def test_somebody_is_invited_and_the_invitation_taken_back(desk: Desk) -> None:
    invited = desk("invite", "new@example.com", "acme")
    assert (invited.code, invited.err) == (0, "")
    assert "Invite new@example.com to team acme as member" in invited.out
    assert "1 of 1 steps are done" in invited.out
    assert [one["email"] for one in desk.sandbox.truth()["invitations"]] == ["new@example.com"]

    revoked = desk("revoke", "new@example.com", "team:member", "acme", "--yes")
    assert revoked.code == 0, revoked.err
    assert desk.sandbox.truth()["invitations"] == []


def test_a_role_is_granted_where_it_is_said_by_name(desk: Desk) -> None:
    granted = desk("grant", "carl@example.com", "app:view", "core", "--json")

    assert granted.code == 0, granted.err
    assert granted.json["operation"]["status"] == "succeeded"
    assert granted.json["operation"]["caller"]["token_id"] == "cli"
    (grant,) = desk.sandbox.truth()["collaborations"]
    assert sorted(grant["permissions"]) == ["deploy", "view"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("grant", "carl@example.com", "team:boss", "acme"), 2, "team:admin"),
        (("grant", "carl@example.com", "team:member", "nowhere"), 1, "groups"),
        (("grant", "carl@example.com", "team:viewer", "acme"), 1, "enterprise"),
        (("grant", "carl@example.com", "team:admin", "acme"), 1, "admin"),
        (("revoke", "carl@example.com", "team:member", "acme"), 2, "--yes"),
    ],
)
def test_what_cant_be_done_is_said_and_not_done(desk: Desk, arguments: tuple[str, ...], code: int, told: str) -> None:
    before = desk.sandbox.truth()

    ended = desk(*arguments)

    assert ended.code == code, ended.err
    assert told in ended.err
    assert desk.sandbox.truth() == before


# --- everything


def test_an_off_boarding_is_shown_before_it_is_done(desk: Desk) -> None:
    before = desk.sandbox.truth()

    planned = desk("offboard", "carl@example.com", "--dry-run")
    unasked = desk("offboard", "carl@example.com")

    assert (planned.code, unasked.code) == (0, 2)
    for team in ("team acme", "team works"):
        assert team in planned.out
    assert "Requests: " in planned.out
    assert "--yes" in unasked.err
    assert desk.sandbox.truth() == before


def test_whoever_the_connection_belongs_to_is_not_off_boarded(desk: Desk) -> None:
    before = desk.sandbox.truth()

    planned = desk("offboard", "ada@example.com", "--dry-run")
    refused = desk("offboard", "ada@example.com", "--yes", "--json")

    assert (planned.code, refused.code) == (1, 1)
    assert "refused by own_account" in planned.out
    assert "stays: team acme" in planned.out
    assert [part["error"]["code"] for part in refused.json["result"]] == ["own_account"]
    assert desk.sandbox.truth() == before


def test_whoever_is_off_boarded_is_out_and_the_report_says_what_was_read(desk: Desk) -> None:
    ended = desk("offboard", "carl@example.com", "--yes")

    assert (ended.code, ended.err) == (0, "")
    assert set(desk.teams_of("carl")) == {"moon"}, "this account can't see that one"
    assert "gone" in ended.out
    assert "These are all places that the directory knew of" in ended.out
    assert "Rotate the secrets of app core" in ended.out


def test_all_accounts_of_a_tenant_are_gone_through(desk: Desk) -> None:
    eve, other = desk.connect("eve"), desk.connect("bob", tenant="globex")

    ended = desk("offboard", "carl@example.com", "--tenant", "acme", "--yes", "--json")

    assert ended.code == 0, ended.err
    accounts = [part["integrated_account_id"] for part in ended.json["result"]]
    assert eve in accounts
    assert other not in accounts
    assert ended.json["report"]["is_complete"] is True
    assert {place["place"]["name"] for place in ended.json["report"]["places"]} == {"acme", "works", "moon", "core"}
    assert {part["operation"]["status"] for part in ended.json["result"]} == {"succeeded"}
    assert desk.teams_of("carl") == {}


def test_an_account_that_cant_be_asked_is_no_success(desk: Desk) -> None:
    dead = desk.connect("eve", expires_in=60)
    desk.sandbox.advance(61)

    ended = desk("offboard", "carl@example.com", "--tenant", "acme", "--yes", "--json")

    parts = {part["integrated_account_id"]: part for part in ended.json["result"]}
    assert ended.code == 1
    assert parts.pop(dead)["error"]["code"] == "needs_reauth"
    assert {part["operation"]["status"] for part in parts.values()} == {"succeeded"}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("offboard", "carl@example.com", "--account", "a", "--tenant", "t"), 2, "exclude"),
        (("offboard", "carl@example.com", "--tenant", "nobody"), 1, "adapter account list"),
    ],
)
def test_it_is_clear_whom_it_is_about(desk: Desk, arguments: tuple[str, ...], code: int, told: str) -> None:
    ended = desk(*arguments)

    assert (ended.code, ended.out) == (code, "")
    assert told in ended.err


# --- operations


def test_what_was_asked_for_is_listed_and_shown(desk: Desk) -> None:
    desk("invite", "new@example.com", "acme")
    (listed,) = desk("operations", "list", "--json").json["result"]

    shown = desk("operations", "show", listed["id"])
    record: Any = desk("operations", "show", listed["id"], "--json").json

    assert listed["status"] == "succeeded"
    assert listed["id"] in desk("operations", "list").out
    assert desk("operations", "list", "--status", "failed", "--json").json["result"] == []
    assert (shown.code, record["id"]) == (0, listed["id"])
    assert "Invite new@example.com to team acme as member" in shown.out
    assert record["steps"][0]["request_id"] in shown.out
    assert record["events"][0]["what"] in shown.out


def test_what_failed_is_resumed_once_it_can_be(desk: Desk) -> None:
    desk.sandbox.faults([{"kind": "status", "status": 422, "match": {"method": "PUT", "path": "/teams/*/invitations"}}])
    failed = desk("invite", "new@example.com", "acme", "--json")
    assert failed.code == 1
    id_ = failed.json["operation"]["id"]

    desk.sandbox.clear_faults()
    resumed = desk("operations", "resume", id_)

    assert resumed.code == 0, resumed.out
    assert "succeeded" in resumed.out
    assert [one["email"] for one in desk.sandbox.truth()["invitations"]] == ["new@example.com"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("list", "--status", "done"), 2, "succeeded"),
        (("show", "nothing"), 1, "operation"),
        (("cancel", "nothing"), 1, "operation"),
        (("resume", "nothing"), 1, "operation"),
    ],
)
def test_an_operation_that_isnt_there_is_said(desk: Desk, arguments: tuple[str, ...], code: int, told: str) -> None:
    ended = desk("operations", *arguments)

    assert (ended.code, ended.out) == (code, "")
    assert told in ended.err
