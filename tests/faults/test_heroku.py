"""Heroku in trouble: what callers see of it at every door, that it ends when it is over, and what became of writes."""

import time
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from tests.faults.line import Trouble
from tests.faults.trials import Trial, told
from tests.faults.troubles import BROKEN_OFF, NONSENSE, OK, TROUBLES, UNREACHABLE, only, says


@pytest.mark.parametrize("name", TROUBLES)
def test_every_door_tells_what_is_wrong_with_heroku(trial: Trial, name: str) -> None:
    trouble, expected = TROUBLES[name]
    with trial.line.bad(trouble):
        assert told(trial.ask("/custom/teams")) == expected
        assert told(trial.ask("/proxy/teams")) == expected
        assert told(trial.people()) == expected
        assert told(trial.grant()) == expected
    assert trial.granted() == 0


def test_a_header_value_beyond_ascii_hurts_nobody(trial: Trial) -> None:
    with trial.line.bad(says(f"{OK}\nx-name: Zo\xeb\ncontent-length: 2", b"[]")):
        assert trial.ask("/custom/teams").headers.raw.count((b"x-name", b"Zo\xeb")) == 1
        assert trial.ask("/proxy/teams").json()["result"] == []


CLOSES = "connection: close"  # a connection that ends unannounced may be asked on in the same moment
REFUSALS: Mapping[str, tuple[Trouble, int, str | None]] = {
    "500": (
        says(f"HTTP/1.1 500 X\n{CLOSES}\ncontent-type: application/json\ncontent-length: 2", b"{}"),
        500,
        None,
    ),
    "503_with_a_page": (
        says(f"HTTP/1.1 503 X\n{CLOSES}\ncontent-type: text/html\ncontent-length: 6", b"<html>"),
        503,
        None,
    ),
    "429": (says(f"HTTP/1.1 429 X\n{CLOSES}\nretry-after: 7\ncontent-length: 2", b"{}"), 429, "7"),
    "429_without_a_time": (says(f"HTTP/1.1 429 X\n{CLOSES}\ncontent-length: 2", b"{}"), 429, "30"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_of_herokus_keeps_its_status_and_says_when_to_come_back(trial: Trial, name: str) -> None:
    trouble, status, retry_after = REFUSALS[name]
    with trial.line.bad(trouble):
        raw = trial.ask("/custom/teams")
        proxied = trial.ask("/proxy/teams")
        write = trial.grant()

    for answer in (raw, proxied, write):
        assert (answer.status_code, answer.headers.get("retry-after")) == (status, retry_after)
    assert write.json()["truto_is_remote_error"] is True
    assert trial.granted() == 0


def test_the_directory_goes_on_being_answered_through_a_storm_of_429(trial: Trial) -> None:
    before = trial.people().json()
    with trial.line.bad(says(f"HTTP/1.1 429 X\n{CLOSES}\nretry-after: 1\ncontent-length: 2", b"{}")):
        trial.people()
        asked = len(trial.line.asked)
        storm = [trial.people() for _ in range(20)]
        more = len(trial.line.asked) - asked

    assert [answer.status_code for answer in storm] == [200] * 20
    assert all(answer.json()["result"] == before["result"] for answer in storm)
    assert more == 0, "what the whole account is refused needs no finding out by every caller"


@pytest.mark.parametrize("name", BROKEN_OFF)
def test_an_answer_that_breaks_off_breaks_off_for_the_caller_too(trial: Trial, name: str) -> None:
    with trial.line.bad(BROKEN_OFF[name]):
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            trial.ask("/custom/teams")
        assert trial.people().status_code in {502, 504}


def test_bytes_behind_the_end_of_a_body_are_nobodys(trial: Trial) -> None:
    with trial.line.bad(says(f"{OK}\ncontent-length: 1", b"[1,2]")):
        assert trial.ask("/custom/teams").text == "["
        assert told(trial.people()) == NONSENSE


@pytest.mark.parametrize("name", ["resets", "hangs", "control_character"])
def test_a_list_that_cant_be_read_is_missing_by_name_and_nobody_in_it_is_gone(trial: Trial, name: str) -> None:
    trouble, (_, code) = TROUBLES[name]
    before = {user["id"] for user in trial.people().json()["result"]}

    with trial.line.bad(only(trouble, path=f"/teams/{trial.ids['acme']}/members")):
        whole = trial.people()
        answer = trial.people(allow_partial="true").json()

    assert whole.json()["code"] == code
    assert answer["is_partial_response"] is True
    assert {missing["reason"] for missing in answer["missing"]} == {code}
    assert trial.ids["lone"] in before
    assert {user["id"] for user in answer["result"]} == before - {trial.ids["lone"]}, "the others have other places"


@pytest.mark.parametrize("kind", ["latency", "slow_body"])
def test_a_slow_answer_is_an_answer(trial: Trial, kind: str) -> None:
    before = trial.people().json()["result"]
    trial.sandbox.faults([{"kind": kind, "seconds": 0.4, "match": {"path": "/teams"}}])
    began = time.monotonic()

    assert trial.ask("/custom/teams").status_code == 200
    assert time.monotonic() - began > 0.3, "it was not slow"
    assert trial.ask("/proxy/teams").json()["result_count"] > 0
    assert trial.people().json()["result"] == before


def test_bursts_of_5xx_are_ridden_out_by_asking_again(trial: Trial) -> None:
    trial.sandbox.reset_requests()
    trial.sandbox.faults([{"kind": "status", "status": 503, "match": {"method": "GET"}, "times": 2}])

    assert trial.people().status_code == 200
    asked = trial.sandbox.requests()
    struck = [entry["path"] for entry in asked if entry["status"] == 503]
    assert len(struck) == 2
    assert {*struck} <= {entry["path"] for entry in asked if entry["status"] < 400}


# --- writes whose own request runs into it


LOST: Mapping[str, tuple[dict[str, Any], str]] = {
    "never_done": ({"kind": "reset"}, "failed"),
    "done_and_the_answer_lost": ({"kind": "reset", "carried_out": True}, "completed"),
    "done_and_answered_with_nonsense": ({"kind": "nonsense", "carried_out": True}, "completed"),
    "refused_in_a_burst": ({"kind": "status", "status": 503}, "failed"),
}
"""What becomes of the one request of a write, and where the write lists it."""


@pytest.mark.parametrize("name", LOST)
def test_a_write_says_what_became_of_it_and_can_be_taken_up_again(trial: Trial, name: str) -> None:
    fault, listed = LOST[name]
    trial.sandbox.faults([{**fault, "match": {"method": "POST", "path": "/teams/apps/*/collaborators"}}])
    who = f"new-{sorted(LOST).index(name)}"
    answer = trial.grant(who)
    trial.sandbox.clear_faults()

    carried_out = bool(fault.get("carried_out"))
    assert trial.granted(who) == carried_out
    assert (answer.status_code == 200) == carried_out
    if not carried_out:
        body = answer.json()
        assert [len(body[part]) for part in (listed, "completed")] == [1, 0], body
        resumed = trial.ask(f"/operations/{body['operation_id']}/resume", "POST")
        assert resumed.status_code in {200, 202}, resumed.text
        assert trial.grant(who).status_code == 200
    assert trial.granted(who) == 1


def test_a_write_waits_out_a_429(trial: Trial) -> None:
    fault = {"kind": "rate_limit", "retry_after": "1", "times": 2, "match": {"method": "POST", "path": "/teams/apps/*"}}
    trial.sandbox.faults([fault])

    assert trial.grant("new-11").status_code == 200
    assert trial.granted("new-11") == 1


def test_a_line_that_was_cut_is_found_again(trial: Trial) -> None:
    trial.line.cut()
    try:
        assert told(trial.ask("/custom/teams")) == UNREACHABLE
        assert told(trial.people()) == UNREACHABLE
        assert told(trial.grant()) == UNREACHABLE
    finally:
        trial.line.mend()
