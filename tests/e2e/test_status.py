"""`GET /integrated-account/{id}/directory`, and the command that shows the same."""

import itertools
from typing import Any

import httpx
import pytest

from adapter.models import Scope
from tests.e2e.serving import Connected


def asked(connected: Connected, token: str | None = None, account_id: str = "", **params: Any) -> httpx.Response:
    with connected.client(token) as client:
        return client.get(f"/integrated-account/{account_id or connected.account_id}/directory", params=params)


@pytest.fixture(scope="module")
def gathered(connected: Connected) -> Connected:
    assert connected.users().status_code == 200
    return connected


def test_every_unit_is_shown_without_asking_heroku(gathered: Connected) -> None:
    gathered.sandbox.reset_requests()
    body = asked(gathered, limit=1000).json()

    assert gathered.sandbox.request_count() == 0
    assert body["result_count"] == len(body["result"]) == body["summary"]["units"]
    teams = len(gathered.sandbox.truth()["teams"])
    assert sum(unit["unit"] == "team_members" for unit in body["result"]) == teams
    assert body["summary"]["budget"]["reserve"] == 500
    assert body["summary"]["states"]["fresh"] > 0


def test_a_walk_through_the_pages_shows_each_unit_once(gathered: Connected) -> None:
    whole = [(unit["unit"], unit["path"]) for unit in asked(gathered, limit=1000).json()["result"]]
    met: list[tuple[str, str]] = []
    cursor = ""
    for _ in itertools.count():
        body = asked(gathered, limit=7, next_cursor=cursor).json()
        met += [(unit["unit"], unit["path"]) for unit in body["result"]]
        cursor = body["next_cursor"]
        if not cursor:
            break

    assert met == whole == sorted(set(whole))


def test_one_state_can_be_asked_for(gathered: Connected) -> None:
    found = asked(gathered, state="never", limit=1000).json()["result"]

    assert {unit["state"] for unit in found} == {"never"}


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"state": "rotten"}, "invalid_parameter"),
        ({"limit": "0"}, "invalid_parameter"),
        ({"limit": "x"}, "invalid_parameter"),
        ({"next_cursor": "made-up"}, "invalid_cursor"),
        ({"states": "fresh"}, "unknown_parameter"),
        ({"state": ["fresh", "due"]}, "invalid_parameter"),
    ],
)
def test_what_can_not_be_understood_is_refused(gathered: Connected, params: dict[str, Any], code: str) -> None:
    answer = asked(gathered, **params)

    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_a_cursor_is_good_for_its_own_state_alone(gathered: Connected) -> None:
    cursor = asked(gathered, limit=1, state="fresh").json()["next_cursor"]

    assert asked(gathered, limit=1, state="fresh", next_cursor=cursor).status_code == 200
    assert asked(gathered, limit=1, next_cursor=cursor).status_code == 400


def test_an_account_token_sees_its_own_directory_within_its_scopes(gathered: Connected) -> None:
    reading, raw = gathered.account_token(Scope.DIRECTORY_READ), gathered.account_token(Scope.RAW_READ)

    assert asked(gathered, reading).status_code == 200
    assert asked(gathered, raw).json()["code"] == "insufficient_scope"
    assert asked(gathered, reading, "another").json()["code"] == "wrong_account"
    assert asked(gathered, account_id="unknown").json()["code"] == "account_not_found"
    assert asked(gathered, "uda_made-up").status_code == 401
