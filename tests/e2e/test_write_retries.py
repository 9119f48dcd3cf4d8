"""Callers who ask the same again, as clients of the compatible API do: one write, and one answer."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapter.directory.writing.model import UNFINISHED
from adapter.web import writes
from tests.cli.running import until
from tests.e2e.serving import Connected, _free_port
from tests.e2e.writing import Door, every_kind, opened
from tests.long.served import Served

SOON = 0.05
TIMEOUT_S = 2.0


@pytest.fixture
def door(database_url: str, tmp_path: Path) -> Iterator[Door]:
    with opened(every_kind, tmp_path, database_url, upstream_timeout=TIMEOUT_S) as made:
        yield made


def until_over(door: Door, operation_id: str) -> Any:
    until(lambda: door.operation(operation_id)["status"] not in UNFINISHED, "its end")
    return door.operation(operation_id)


# What one grant is made of, for each way that Heroku has: one call that may be repeated, and two that may not.
GRANTS = [("group", "inviting", "team:member", "/teams/*/invitations", {"member?"}),
          ("workspace", "mine", "app:collaborator", "/apps/*/collaborators", {"collaborator"}),
          ("organization", "corp", "enterprise:view", "/enterprise-accounts/*/members", {"view"})]  # fmt: skip
grants = pytest.mark.parametrize(("word", "place", "role", "path", "held"), GRANTS, ids=[one[1] for one in GRANTS])


@grants
def test_after_a_202_the_same_three_times_is_one_grant(
    door: Door, monkeypatch: pytest.MonkeyPatch, word: str, place: str, role: str, path: str, held: set[str]
) -> None:
    monkeypatch.setattr(writes, "WAIT", SOON)
    slow = {"kind": "latency", "seconds": 0.9 * TIMEOUT_S}
    body = {"email": door.somebody().email, "roles": [{"id": role, word: {"id": door.place(place).id}}]}
    door.connected.sandbox.faults([{**slow, "match": {"method": method, "path": path}} for method in ("PUT", "POST")])

    answers = [door.write("POST", "/users", body) for _ in range(3)]
    monkeypatch.undo()
    operation = until_over(door, answers[0].headers["location"].rpartition("/")[2])
    after = door.done("POST", "/users", body)

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert operation["status"] == "succeeded"
    assert door.held(body["email"]) == {place: held}
    assert len(door.writes()) == 1
    assert {entry["id"] for entry in after["roles"]} == {role}


@grants
def test_after_a_502_the_same_again_is_one_grant(
    door: Door, word: str, place: str, role: str, path: str, held: set[str]
) -> None:
    body = {"email": door.somebody().email, "roles": [{"id": role, word: {"id": door.place(place).id}}]}
    late = {"kind": "latency", "seconds": 2 * TIMEOUT_S, "carried_out": True, "times": 1}
    door.connected.sandbox.faults([{**late, "match": {"method": method, "path": path}} for method in ("PUT", "POST")])

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(door.write, "POST", "/users", body)
        until(lambda: bool(door.held(body["email"])), "the grant")
        # Nobody can look any more whether it was done.
        door.connected.sandbox.faults([{"kind": "status", "status": 500, "match": {"method": "GET", "path": path}}])
        first = asked.result()
    door.connected.sandbox.clear_faults()
    again = [door.write("POST", "/users", body) for _ in range(2)]

    assert (first.status_code, first.json()["code"]) == (502, "write_failed"), first.text
    assert [len(first.json()[name]) for name in ("completed", "failed", "remaining", "unknown")] == [0, 0, 0, 1]
    assert [answer.status_code for answer in again] == [200, 200]
    assert len({answer.text for answer in again}) == 1
    assert door.held(body["email"]) == {place: held}
    assert len(door.writes()) == 1


@pytest.mark.parametrize("together", [False, True])
def test_a_key_is_one_write_over_two_processes(postgres_url: str, tmp_path: Path, together: bool) -> None:
    with opened(every_kind, tmp_path, postgres_url) as here:
        settings = msgspec.structs.replace(here.connected.settings, port=_free_port(), public_url="")
        with Served(settings) as other:
            there = Door(
                connected=Connected(
                    url=other.url,
                    sandbox=here.connected.sandbox,
                    api_token=here.connected.api_token,
                    account_id=here.connected.account_id,
                    settings=settings,
                )
            )
            email = here.somebody().email
            body = {"email": email, "roles": [{"id": "app:collaborator", "workspace": {"id": here.place("mine").id}}]}
            key = {"idempotency-key": "sign-up-1"}
            with ThreadPoolExecutor(4 if together else 1) as pool:
                doors = (here, there, here, there)
                answers = list(pool.map(lambda door: door.write("POST", "/users", body, headers=key), doors))
            reused = there.write("POST", "/users", {**body, "email": "other@example.com"}, headers=key)

            assert {answer.status_code for answer in answers} == {200}
            assert len({answer.text for answer in answers}) == 1
            assert here.held(email) == {"mine": {"collaborator"}}
            assert len(here.writes()) == 1
            assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
