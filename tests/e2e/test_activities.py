"""The audit trail against the sandbox's own, which is read as it is and not through its API."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from adapter.sandbox import RunningSandbox, SeedOptions
from tests.e2e.serving import Connected, serving

ACTIVITIES = "/unified/user-directory/activities"


def today() -> Any:
    return datetime.now(UTC).date()


def trail(sandbox: RunningSandbox, days: int, *, only: str | None = None) -> list[str]:
    """The ids of what the last days hold, newest first."""
    events = [
        event
        for enterprise in sandbox.truth()["enterprise_accounts"]
        if only in {None, enterprise["id"]}
        for n in range(days)
        for event in sandbox.control("GET", "events", enterprise=enterprise["id"], day=str(today() - timedelta(n)))
    ]
    events.sort(key=lambda event: event["id"])
    events.sort(key=lambda event: event["created_at"], reverse=True)
    return [event["id"] for event in events]


def ids(records: list[dict[str, Any]]) -> list[str]:
    return [record["id"] for record in records]


def test_the_trail_is_every_event_of_the_last_thirty_days_newest_first(connected: Connected) -> None:
    records = connected.everything("activities", limit=7)

    assert ids(records) == trail(connected.sandbox, 30)
    for record in records:
        assert record["actor"]["type"] == "user"
        assert record["organization"]["name"]
        assert record["action"]
        assert record["remote_data"]["enterprise_events"][0]["id"] == record["id"]


def test_the_end_of_the_trail_says_that_it_is_none(connected: Connected) -> None:
    body = connected.get(ACTIVITIES, limit=1000).json()
    bounded = connected.get(ACTIVITIES, limit=1000, **{"created_at[gte]": str(today() - timedelta(3))}).json()

    assert body["next_cursor"] is None
    assert body["is_partial_response"] is True
    assert [gap["reason"] for gap in body["missing"]] == ["not_asked"]
    assert str(today() - timedelta(29)) in body["missing"][0]["message"]
    assert "is_partial_response" not in bounded
    assert ids(bounded["result"]) == trail(connected.sandbox, 4)


def test_a_stream_of_the_trail_closes_with_what_was_not_asked(connected: Connected) -> None:
    answer = connected.get(ACTIVITIES, truto_response_format="stream")
    lines = answer.text.splitlines()

    assert len(lines) - 1 == len(trail(connected.sandbox, 30))
    assert '"end":true' in lines[-1]
    assert '"reason":"not_asked"' in lines[-1]


def test_filters_choose_by_person_and_action(connected: Connected) -> None:
    everything = connected.everything("activities", limit=1000)
    person = everything[0]["actor"]["user"]["id"]

    by_person = connected.everything("activities", user_id=person, limit=3)
    assert ids(by_person) == [r["id"] for r in everything if r["actor"]["user"]["id"] == person]
    by_action = connected.everything("activities", action="create", limit=3)
    assert ids(by_action) == [r["id"] for r in everything if r["action"] == "create"]
    assert connected.get(ACTIVITIES, actor="x").status_code == 400
    assert connected.get(f"{ACTIVITIES}/{everything[0]['id']}").status_code == 404
    assert connected.get(ACTIVITIES, **{"remote_query[day]": "2026-01-01"}).status_code == 400


def test_a_page_costs_a_request_a_day_and_place_and_the_past_is_asked_for_once(tmp_path: Path) -> None:
    seed = SeedOptions(enterprise_accounts=3)
    with RunningSandbox(seed=seed) as sandbox, serving(sandbox, tmp_path) as connected:
        sandbox.reset_requests()
        connected.get(ACTIVITIES, limit=2)
        first = sandbox.request_count(path="/enterprise-accounts/*/events")
        walked = connected.everything("activities", limit=50)
        whole = sandbox.request_count(path="/enterprise-accounts/*/events")
        again = connected.everything("activities", limit=9)
        after = sandbox.request_count(path="/enterprise-accounts/*/events")
        expected = trail(sandbox, 30)
        needed = next(n for n in range(1, 31) if len(trail(sandbox, n)) > 2)

    # How many days hold two events depends on the date and the hour; a page asks for twice as many days each time.
    assert first <= 3 * 2 * needed < 3 * 30
    assert whole == 3 * 30
    assert after == whole
    assert ids(walked) == ids(again) == expected


def test_an_enterprise_account_that_is_closed_is_missing_and_the_others_go_on(tmp_path: Path) -> None:
    seed = SeedOptions(enterprise_accounts=2)
    with RunningSandbox(seed=seed) as sandbox, serving(sandbox, tmp_path) as connected:
        shut, other = [enterprise["id"] for enterprise in sandbox.truth()["enterprise_accounts"]]
        path = f"/enterprise-accounts/{shut}/events"
        sandbox.faults([{"kind": "status", "status": 403, "match": {"method": "GET", "path": path}}])
        body = connected.get(ACTIVITIES, limit=1000).json()
        expected = trail(sandbox, 30, only=other)

    assert ids(body["result"]) == expected
    gap = next(gap for gap in body["missing"] if gap["reason"] == "forbidden")
    assert gap["place"]["enterprise"]["id"] == shut


def test_whoever_may_not_manage_is_told_so(tmp_path: Path) -> None:
    with RunningSandbox() as sandbox:
        enterprise = next(iter(sandbox.world.enterprises.values()))
        viewer = sandbox.world.add_account("viewer@example.com", "Viewer")
        sandbox.world.add_enterprise_member(enterprise, viewer, "view")
        token = sandbox.token(["global"], account="viewer@example.com")
        with serving(sandbox, tmp_path, api_key=token) as connected:
            body = connected.get(ACTIVITIES).json()

    assert body["result"] == []
    assert body["next_cursor"] is None
    assert "forbidden" in [gap["reason"] for gap in body["missing"]]


def test_what_a_caller_did_stands_in_their_next_look_at_the_trail(tmp_path: Path) -> None:
    with RunningSandbox() as sandbox, serving(sandbox, tmp_path) as connected:
        before = connected.everything("activities", limit=1000)
        team = next(team for team in sandbox.world.teams.values() if team.enterprise_id)
        with connected.client() as client:
            answer = client.put(
                f"/custom/teams/{team.id}/members",
                params={"integrated_account_id": connected.account_id},
                json={"email": "member@example.com", "role": "admin"},
                headers={"accept": "application/vnd.heroku+json; version=3"},
            )
        after = connected.everything("activities", limit=1000)

    assert answer.status_code in {200, 201}, answer.text
    assert len(after) == len(before) + 1
    assert after[0]["group"]["id"] == team.id
