"""What callers may rely on: paging, parameters, freshness, partial answers, and errors that never look like absence."""

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from adapter.models import Scope
from adapter.sandbox import RunningSandbox
from tests.e2e.serving import Connected, serving

USERS = "/unified/user-directory/users"


@pytest.mark.parametrize("spelling", ["roles", "brackets", "indexes", "commas"])
def test_arrays_are_understood_in_all_four_spellings(connected: Connected, spelling: str) -> None:
    first, second = [user["id"] for user in connected.everything("users")][:2]
    queries = {
        "roles": f"user_id={first}&user_id={second}",
        "brackets": f"user_id[]={first}&user_id[]={second}",
        "indexes": f"user_id[0]={first}&user_id[1]={second}",
        "commas": f"user_id={first},{second}",
    }
    answer = _get(connected, f"/unified/user-directory/role_assignments?{queries[spelling]}&limit=1000")

    assert {grant["user_id"] for grant in answer["result"]} == {first, second}


def _get(connected: Connected, path: str) -> Any:
    with connected.client() as client:
        answer = client.get(f"{path}&integrated_account_id={connected.account_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_empty_next_cursor_is_the_first_page(connected: Connected) -> None:
    assert connected.users(next_cursor="", limit=3).json()["result"] == connected.users(limit=3).json()["result"]


def test_answers_say_how_old_they_are_and_what_is_left_of_the_budget(connected: Connected) -> None:
    answer = connected.users()

    assert int(answer.headers["age"]) >= 0
    assert answer.headers["last-modified"].endswith("GMT")
    assert answer.headers["ratelimit-limit"] == "4500;w=3600"
    assert int(answer.headers["ratelimit-remaining"]) <= 4500
    assert int(answer.headers["ratelimit-reset"]) >= 0
    assert "is_partial_response" not in answer.json()


@pytest.mark.parametrize("path", [f"{USERS}?grop_id=x", f"{USERS}/nobody", f"{USERS}?next_cursor=made-up"])
def test_errors_about_an_account_say_what_is_left_of_its_budget_too(connected: Connected, path: str) -> None:
    with connected.client(connected.account_token(Scope.DIRECTORY_READ)) as client:
        answer = client.get(path)

    assert answer.status_code in {400, 404}
    assert answer.headers["ratelimit-limit"] == "4500;w=3600"
    assert {"ratelimit-remaining", "ratelimit-reset"} <= set(answer.headers)


def test_basic_is_taken_on_the_raw_doors_unless_a_foreign_page_sends_it(connected: Connected) -> None:
    token = connected.account_token(Scope.RAW_READ)
    with httpx.Client(base_url=connected.url, auth=("", token), trust_env=False) as client:
        plain = client.get("/proxy/teams")
        foreign = client.get("/proxy/teams", headers={"origin": "https://evil.example"})
        unified = client.get(USERS)

    assert [answer.status_code for answer in (plain, foreign, unified)] == [200, 401, 401]
    assert {foreign.headers["www-authenticate"], unified.headers["www-authenticate"]} == {"Bearer"}


def test_a_second_page_costs_heroku_nothing(connected: Connected) -> None:
    cursor = connected.users(limit=5).json()["next_cursor"]
    connected.sandbox.reset_requests()
    connected.users(limit=5, next_cursor=cursor)

    assert connected.sandbox.request_count() == 0


def test_no_cache_asks_heroku_again(connected: Connected) -> None:
    connected.users()
    connected.sandbox.reset_requests()
    connected.get(USERS, headers={"cache-control": "no-cache"})

    requests = [request["path"] for request in connected.sandbox.requests()]
    assert requests
    assert len(requests) == len(set(requests))


def test_a_group_scoped_list_asks_for_that_teams_lists_only(tmp_path: Path) -> None:
    with RunningSandbox() as sandbox, serving(sandbox, tmp_path) as connected:
        team = sandbox.truth()["teams"][0]
        sandbox.reset_requests()
        connected.users(group_id=team["id"])
        other = [t["id"] for t in sandbox.truth()["teams"][1:]]
        paths = [request["path"] for request in sandbox.requests()]

    assert not [path for path in paths if any(f"/teams/{team_id}/" in path for team_id in other)]


@pytest.mark.parametrize(
    ("form", "check"),
    [
        ("unified", lambda body: "remote_data" in body["result"][0]),
        ("normalized", lambda body: "remote_data" not in body["result"][0]),
        (
            "raw",
            lambda body: (
                "user" in body["result"][0] or "permissions" in body["result"][0] or "users" in body["result"][0]
            ),
        ),
        ("debug", lambda body: all(entry["path"].startswith("/") for entry in body["debug"]["requests"])),
    ],
)
def test_the_response_formats_differ_in_what_they_show(connected: Connected, form: str, check: Any) -> None:
    assert check(connected.users(truto_response_format=form, limit=3).json())


def test_the_raw_format_counts_herokus_records(connected: Connected) -> None:
    body = connected.users(truto_response_format="raw", limit=3).json()

    assert body["result_count"] == len(body["result"]) > 3


def test_a_stream_ends_with_its_count(connected: Connected) -> None:
    answer = connected.users(truto_response_format="stream", limit=3)
    lines = [msgspec.json.decode(line) for line in answer.content.splitlines()]

    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert lines[-1] == {"end": True, "count": len(lines) - 1, "missing": []}
    assert [line["id"] for line in lines[:-1]] == [user["id"] for user in connected.everything("users")]


def test_fields_can_be_left_out_and_results_keyed(connected: Connected) -> None:
    body = connected.users(
        **{"truto_exclude_fields[]": "roles", "truto_ignore_remote_data": "true", "truto_key_by": "id"}
    ).json()

    for key, user in body["result"].items():
        assert user["id"] == key
        assert "roles" not in user
        assert "remote_data" not in user


def test_parameters_without_effect_are_named_in_a_warning(connected: Connected) -> None:
    assert "truto_super_query" in connected.users(truto_super_query="x").headers["warning"]


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        (USERS, {"grop_id": "x"}, 400, "unknown_parameter"),
        (USERS, {"status": "dormant"}, 400, "invalid_parameter"),
        (USERS, {"is_2fa_enabled": "maybe"}, 400, "invalid_parameter"),
        (USERS, {"created_at[gt]": "yesterday"}, 400, "invalid_parameter"),
        (USERS, {"created_at[near]": "2024-01-01"}, 400, "invalid_parameter"),
        (USERS, {"limit": "0"}, 400, "invalid_parameter"),
        (USERS, {"limit": "1001"}, 400, "invalid_parameter"),
        (USERS, {"sort_by": "shoe_size"}, 400, "invalid_parameter"),
        (USERS, {"next_cursor": "made-up"}, 400, "invalid_cursor"),
        (USERS, {"truto_response_format": "xml"}, 400, "invalid_parameter"),
        (USERS, {"remote_query[a]": "b"}, 400, "bad_request"),
        ("/unified/user-directory/gadgets", {}, 404, "not_found"),
        (f"{USERS}/00000000-0000-0000-0000-000000000000", {}, 404, "not_found"),
        ("/unified/user-directory/role_assignments/nonsense", {}, 400, "invalid_parameter"),
        ("/unified/user-directory/role_assignments/team:a:b:c", {}, 404, "not_found"),
    ],
)
def test_bad_questions_get_a_clear_answer(
    connected: Connected, path: str, query: dict[str, str], status: int, code: str
) -> None:
    answer = connected.get(path, **query)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_a_wrong_filter_is_answered_with_the_known_ones(connected: Connected) -> None:
    message = connected.users(grop_id="x").json()["message"]

    assert "group_id" in message
    assert "is_2fa_enabled" in message


def test_a_cursor_belongs_to_its_list_alone(connected: Connected) -> None:
    cursor = connected.users(limit=2).json()["next_cursor"]

    assert connected.users(limit=2, next_cursor=cursor, status="active").status_code == 400
    assert connected.get("/unified/user-directory/role_assignments", next_cursor=cursor).status_code == 400
    assert connected.users(limit=9, next_cursor=cursor).status_code == 200


def test_tokens_open_what_they_are_for(connected: Connected) -> None:
    reading = connected.account_token(Scope.DIRECTORY_READ)
    raw = connected.account_token(Scope.RAW_READ)

    assert connected.get(USERS, token=reading).status_code == 200
    assert connected.get(USERS, token=raw).json()["code"] == "insufficient_scope"
    assert connected.get(USERS, token="uda_made-up").status_code == 401
    with connected.client(reading) as client:
        assert client.get(USERS, params={"integrated_account_id": "another"}).json()["code"] == "wrong_account"
    with connected.client() as client:
        assert client.get(USERS, params={"integrated_account_id": "unknown"}).json()["code"] == "account_not_found"
        assert client.get(USERS).json()["code"] == "invalid_parameter"


@pytest.mark.parametrize(
    ("faults", "status", "code"),
    [
        ([{"kind": "reset", "match": {}}], 502, "upstream_unreachable"),
        ([{"kind": "truncate", "match": {}}], 502, None),
        ([{"kind": "cut_json", "match": {}}], 502, "upstream_nonsense"),
        ([{"kind": "nonsense", "match": {}}], 502, "upstream_nonsense"),
        ([{"kind": "latency", "seconds": 5, "match": {}}], 504, "upstream_timeout"),
        ([{"kind": "status", "status": 503, "match": {"path": "/teams/*/members"}}], 503, "remote_error"),
        ([{"kind": "cut_json", "match": {"path": "/teams/*/members"}}], 502, "upstream_nonsense"),
    ],
    ids=lambda value: value[0]["kind"] if isinstance(value, list) else None,
)
def test_a_heroku_in_trouble_is_an_error_and_never_an_empty_list(
    faults: list[dict[str, Any]], status: int, code: str | None, tmp_path: Path
) -> None:
    with RunningSandbox() as sandbox, serving(sandbox, tmp_path, upstream_timeout=1.0) as connected:
        sandbox.faults(faults)
        answer = connected.users()
        sandbox.clear_faults()
        healed = connected.users()

    assert answer.status_code == status, answer.text
    assert code is None or answer.json()["code"] == code
    assert "result" not in answer.json()
    assert healed.status_code == 200
    assert healed.json()["result"]


def test_an_account_out_of_budget_is_429_and_left_alone(tmp_path: Path) -> None:
    with RunningSandbox() as sandbox, serving(sandbox, tmp_path) as connected:
        sandbox.faults([{"kind": "rate_limit", "match": {}}])
        refused = connected.users()
        sandbox.clear_faults()
        sandbox.reset_requests()
        again = connected.users()
        asked = sandbox.request_count()

    assert (refused.status_code, refused.json()["code"]) == (429, "remote_rate_limited")
    assert int(refused.headers["retry-after"]) >= 1
    assert again.status_code == 429
    assert asked == 0


def test_a_heroku_that_is_gone_is_502(tmp_path: Path) -> None:
    with RunningSandbox() as sandbox, serving(sandbox, tmp_path) as connected:
        sandbox.close()
        answer = connected.users()

    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_unreachable")


@pytest.mark.parametrize(
    ("scopes", "missing_units"),
    [
        (["read"], {"team_members", "team_invitations", "team_permissions"}),
        (["write-protected"], {"team_members", "team_invitations", "team_permissions"}),
        (["global"], set()),
    ],
)
def test_what_a_lesser_token_can_not_read_is_named(scopes: list[str], missing_units: set[str], tmp_path: Path) -> None:
    with RunningSandbox() as sandbox:
        key = sandbox.token([*scopes, "identity"])
        with serving(sandbox, tmp_path, api_key=key) as connected:
            body = connected.users().json()

    assert {gap["unit"] for gap in body.get("missing", [])} == missing_units
    assert body.get("is_partial_response", False) is bool(missing_units)
    assert all(gap["reason"] == "missing_scope" for gap in body.get("missing", []))
    assert body["result"]


def test_a_write_through_a_raw_door_shows_at_once(tmp_path: Path) -> None:
    with RunningSandbox() as sandbox, serving(sandbox, tmp_path) as connected:
        sandbox.options(consistency_s=0)
        team = next(t for t in sandbox.truth()["teams"] if t["type"] == "enterprise")
        before = {user["username"] for user in connected.everything("users", group_id=team["id"])}
        with connected.client() as client:
            done = client.put(
                f"/custom/teams/{team['name']}/members?integrated_account_id={connected.account_id}",
                json={"email": "fresh@example.com", "role": "member"},
                headers={"accept": "application/vnd.heroku+json; version=3"},
            )
        after = {user["username"] for user in connected.everything("users", group_id=team["id"])}

    assert done.status_code in {200, 201}, done.text
    assert after - before == {"fresh@example.com"}


def test_get_answers_the_bare_object_that_the_list_holds(connected: Connected) -> None:
    for resource in ("users", "groups", "roles", "role_assignments", "workspaces", "organizations", "licenses"):
        record = connected.get(f"/unified/user-directory/{resource}", limit=1).json()["result"][0]

        assert connected.get(f"/unified/user-directory/{resource}/{record['id']}").json() == record, resource


def test_me_is_the_person_behind_the_credential(connected: Connected) -> None:
    me = connected.get("/unified/user-directory/me").json()["result"]

    assert [person["id"] for person in me] == [connected.sandbox.truth()["owner_id"]]


def test_connecting_an_account_begins_its_first_gather(tmp_path: Path) -> None:
    with RunningSandbox() as sandbox, serving(sandbox, tmp_path) as connected:
        other = connected.connect(sandbox.owner_token, tenant_id="another").json()["id"]
        with connected.client() as client:
            first = client.get(USERS, params={"integrated_account_id": other})
            sandbox.reset_requests()
            second = client.get(USERS, params={"integrated_account_id": other})
            spent = sandbox.request_count()
            gone = client.delete(f"/integrated-account/{other}")
            after = client.get(USERS, params={"integrated_account_id": other})

    assert first.json()["result"] == second.json()["result"]
    assert spent == 0
    assert gone.json()["id"] == other
    assert gone.json()["deleted"]["units"] > 0
    assert after.json()["code"] == "account_not_found"
