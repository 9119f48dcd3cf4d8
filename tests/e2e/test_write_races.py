"""Writes that meet: two callers, two processes, two connections to one team, and people at Heroku itself."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from adapter.directory.writing.model import UNFINISHED
from adapter.sandbox import World
from adapter.sandbox.records import Account
from tests.cli.running import until
from tests.e2e.serving import Connected, _free_port
from tests.e2e.writing import CONTROLS, OWNER, Door, every_kind, opened
from tests.long.served import Served

ADMINS = ("zoe@example.com", "yan@example.com")


def two_admins() -> World:
    """A team that two people run, in an enterprise account that two others manage."""
    world = World()
    managers = [world.add_account(email) for email in (OWNER, "rita@example.com")]
    zoe, yan = [world.add_account(email) for email in ADMINS]
    corp = world.add_enterprise("corp")
    for manager in managers:
        world.add_enterprise_member(corp, manager, "view", "create", "manage")
    world.add_team("duo", kind="enterprise", admins=[zoe, yan], features={CONTROLS}, enterprise=corp)
    return world


@pytest.fixture
def door(database_url: str, tmp_path: Path) -> Iterator[Door]:
    with opened(two_admins, tmp_path, database_url) as made:
        yield made


def admins(door: Door) -> list[str]:
    return [email for email in ADMINS if "admin" in door.held(email).get("duo", set())]


def account_of(door: Door, email: str) -> Account:
    found = door.world.account(email)
    assert found is not None
    return found


def removal(door: Door, email: str, **more: Any) -> httpx.Response:
    return door.write(
        "DELETE", f"/users/{account_of(door, email).id}", params={"group_id": door.place("duo").id}, **more
    )


def demotion(door: Door, email: str, **more: Any) -> httpx.Response:
    roles = [{"id": "team:member", "group": {"id": door.place("duo").id}}]
    return door.write("PATCH", f"/users/{account_of(door, email).id}", {"roles": roles}, **more)


def off_boarding(door: Door, email: str, **more: Any) -> httpx.Response:
    return door.write("POST", "/users/offboard", {"email": email}, **more)


def refusals(door: Door) -> list[dict[str, Any]]:
    return [entry for entry in door.writes() if entry["status"] >= 400]


# --- the last admin


@pytest.mark.parametrize("ask", [removal, demotion, off_boarding])
@pytest.mark.parametrize("connections", [1, 2])
def test_of_two_admins_that_are_taken_at_once_one_stays(door: Door, ask: Any, connections: int) -> None:
    accounts = [door.connected.account_id]
    if connections == 2:
        accounts.append(
            door.connected.connect(door.connected.sandbox.token(["global"], "rita@example.com")).json()["id"]
        )

    with ThreadPoolExecutor(2) as pool:
        asked = [
            pool.submit(ask, door, email, account_id=accounts[n % len(accounts)]) for n, email in enumerate(ADMINS)
        ]
        answers = [one.result() for one in asked]

    (left,) = admins(door)
    assert refusals(door) == [], "Heroku need not refuse what a guard refuses"
    kept = answers[ADMINS.index(left)]
    if ask is off_boarding:
        report = kept.json().get("result") or kept.json()
        assert "last_admin" in kept.text, report
        assert kept.status_code != 200 or report["is_complete"] is False
    else:
        assert kept.status_code in {422, 502}, kept.text
        assert "last_admin" in kept.text
    assert answers[1 - ADMINS.index(left)].status_code == 200


def test_heroku_has_the_last_word_where_people_act_there_meanwhile(door: Door) -> None:
    zoe, yan = (account_of(door, email) for email in ADMINS)
    team = door.place("duo")
    slow = {"kind": "latency", "seconds": 1.0, "match": {"method": "DELETE", "path": f"/teams/{team.id}/members/*"}}
    door.connected.sandbox.faults([slow])

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(removal, door, ADMINS[0])
        until(lambda: is_sending(door), "the last look")
        door.world.remove_member(team, yan)
        answer = asked.result()

    assert admins(door) == [ADMINS[0]]
    assert (answer.status_code, answer.json()["code"]) == (502, "write_failed")
    (failed,) = answer.json()["failed"]
    assert failed["http_status"] == 422
    assert failed["request_id"] in {entry["request_id"] for entry in door.writes()}
    assert "admin" in failed["error"]["message"]
    assert zoe.id in team.members


def is_sending(door: Door) -> bool:
    """Whether the step is stored as being sent."""
    operations = door.ask("GET", "/operations").json()["result"]
    return bool(operations) and "sending" in operations[0]["steps"]


def test_a_plan_that_people_at_heroku_overtook_is_refused_with_the_difference(door: Door) -> None:
    account = account_of(door, ADMINS[0])
    path, scope = f"/users/{account.id}", {"group_id": door.place("duo").id}
    planned = door.write("DELETE", path, params={**scope, "dry_run": "true"})
    assert planned.status_code == 200
    door.world.remove_member(door.place("duo"), account)
    door.world.add_member(door.place("duo"), account, "member")

    answer = door.write("DELETE", path, params=scope, headers={"if-match": planned.headers["etag"]})

    assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
    assert "member" in str(answer.json()["details"])
    assert "admin" in str(answer.json()["details"])
    assert answer.json()["plan"]["steps"][0]["before"]["roles"] == ["member"]
    assert door.writes() == []
    again = door.write("DELETE", path, params=scope, headers={"if-match": answer.headers["etag"]})
    assert again.status_code == 200
    assert door.held(ADMINS[0]) == {}


# --- granting and removing


@pytest.mark.parametrize("round_", range(3))
def test_of_a_grant_and_a_removal_in_two_processes_the_removal_wins(
    postgres_url: str, tmp_path: Path, round_: int
) -> None:
    with opened(every_kind, tmp_path, postgres_url) as here:
        settings = msgspec.structs.replace(here.connected.settings, port=_free_port(), public_url="")
        who = here.somebody()
        here.world.add_member(here.place("plain"), who, "member")
        here.world.grant(here.place("mine"), who)
        slow = {"kind": "latency", "seconds": 0.1 * round_, "match": {"method": "PUT", "path": "/teams/*"}}
        here.connected.sandbox.faults([slow])
        grants = [{"id": "team:member", "group": {"id": here.place(name).id}} for name in ("big", "bare", "inviting")]
        with Served(settings) as other, ThreadPoolExecutor(2) as pool:
            there = Door(connected=beside(here.connected, other.url, settings))
            granting = pool.submit(here.write, "POST", "/users", {"email": who.email, "roles": grants})
            removing = pool.submit(there.write, "POST", "/users/offboard", {"email": who.email})
            granted, removed = granting.result(), removing.result()
            operations = [here.operation(one["id"]) for one in here.ask("GET", "/operations").json()["result"]]

        assert not [one for one in operations if one["status"] in UNFINISHED]
        assert removed.status_code == 200, removed.text
        if granted.status_code == 409:
            assert granted.json()["code"] == "removal_under_way"
        ended = {one["kind"]: one["finished_at"] for one in operations}
        if granted.status_code != 200 or ended["users.create"] < ended["users.offboard"]:
            assert here.held(who.email) == {}, (granted.text, removed.text)
        else:
            assert here.held(who.email) == {"big": {"member"}, "bare": {"member"}, "inviting": {"member?"}}


def beside(connected: Connected, url: str, settings: Any) -> Connected:
    """The same account at another process on the same database."""
    return Connected(
        url=url,
        sandbox=connected.sandbox,
        api_token=connected.api_token,
        account_id=connected.account_id,
        settings=settings,
    )
