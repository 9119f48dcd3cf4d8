"""What an off-boarding from forty places costs, told beforehand and counted at the sandbox."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.directory.writing.test_verifying import BOB, forty
from tests.e2e.writing import Door, every_kind, opened


@pytest.fixture
def door(database_url: str, tmp_path: Path) -> Iterator[Door]:
    with opened(forty, tmp_path, database_url) as made:
        yield made


def off_boarded(door: Door, proof: str) -> tuple[Any, Any, list[dict[str, Any]]]:
    """What was told beforehand, the report, and the requests since the first step."""
    body = {"email": BOB, "proof": proof}
    plan = door.done("POST", "/users/offboard", body, params={"dry_run": "true"})["result"]
    door.connected.sandbox.reset_requests()
    report = door.done("POST", "/users/offboard", body)["result"]
    requests = door.connected.sandbox.requests()
    first = next(n for n, entry in enumerate(requests) if entry["method"] != "GET")
    return plan["cost"], report, requests[first:]


@pytest.mark.parametrize("proof", ["places", "full"])
def test_forty_places_cost_forty_writes_and_what_was_told_of_the_proof(door: Door, proof: str) -> None:
    cost, report, requests = off_boarded(door, proof)

    reads = [entry for entry in requests if entry["method"] == "GET"]
    assert (report["is_complete"], report["proof"]) == (True, proof)
    assert door.held(BOB) == {}
    assert cost["steps"] == len(requests) - len(reads) == 40
    told = cost["read_back"] if proof == "places" else cost["full_proof"]
    assert report["requests"] <= told
    assert len(reads) <= told
    assert cost["read_back"] <= cost["full_proof"]


def test_a_scope_that_is_not_held_is_found_before_the_first_call(database_url: str, tmp_path: Path) -> None:
    with opened(every_kind, tmp_path, database_url) as door:
        token = door.connected.sandbox.token(["read"], "owner@example.com")
        account_id = door.connected.connect(token, tenant_id="globex").json()["id"]
        body = {"email": "new@example.com", "groups": [door.place("plain").id]}

        refused = door.write("POST", "/users", body, account_id=account_id)

        assert (refused.status_code, refused.json()["code"]) == (422, "missing_scope"), refused.text
        assert "global" in refused.json()["message"]
        assert door.writes() == []
