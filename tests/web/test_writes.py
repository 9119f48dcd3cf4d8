"""Who may write, what else may come with a write, and every form of its answer."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from adapter.directory.writing.model import StepState
from adapter.errors import AccountBlocked, GuardRefused, PreconditionFailed
from adapter.models import Scope
from adapter.web.writes import WRITES, parameters
from tests.web.house import API
from tests.web.writing import MODEL, PLAN, SSO, STEP, Door, Outcome, a_door, an_operation

BODIES: dict[str, Any] = {
    "users.create": {"email": "ada@example.com", "groups": ["t-1"]},
    "users.update": {"roles": [{"id": "team:admin", "group_id": "t-1"}]},
    "users.offboard": {"user_id": "u-1"},
    "role_assignments.create": {"user_id": "u-1", "role_id": "team:admin", "group_id": "t-1"},
    "role_assignments.update": {"role_id": "team:admin"},
    "groups.create": {"name": "new", "organization_id": "e-1"},
    "groups.update": {"name": "new"},
    "groups.add-user": {"user_id": "u-1", "group_id": "t-1"},
    "groups.remove-user": {"user_id": "u-1", "group_id": "t-1"},
}
IDS = {"users": "u-1", "groups": "t-1", "role_assignments": "team:t-1:u-1:member"}
EVERY = [pytest.param(write, id=f"{write.method} {write.path}") for write in WRITES]


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with a_door() as opened:
        yield opened


async def asked(door: Door, write: Any, query: str = "", **more: Any) -> Any:
    """This write with a body that it takes."""
    body = BODIES.get(write.kind)
    if write.kind.endswith(("update", "delete")) and "{id}" not in write.path:
        body = {**(body or {}), "id": IDS[write.resource]}
    return await door.directory(write.method, write.path.format(id=IDS[write.resource]) + query, body, **more)


def test_every_method_that_a_resource_declares_has_its_write() -> None:
    declared = {
        f"{name}.{method}"
        for name, resource in MODEL.resources.items()
        for method in resource.methods
        if method not in {"list", "get"}
    }

    assert {write.kind for write in WRITES if not write.is_custom} == declared


# --- who may


@pytest.mark.parametrize("write", EVERY)
async def test_a_write_needs_the_scope_for_it(door: Door, write: Any) -> None:
    refused = await asked(door, write, token="udt_directory")
    nobody = await asked(door, write, token="uda_nobody")

    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert refused.json()["details"][0]["missing_scope"] == Scope.DIRECTORY_WRITE
    assert nobody.status_code == 401
    assert door.writes.asked == []
    assert door.accounts.opened == []


@pytest.mark.parametrize("write", EVERY)
async def test_an_account_token_writes_in_its_own_account(door: Door, write: Any) -> None:
    assert (await asked(door, write, token="udt_all")).status_code == 200

    assert (door.last["account_id"], door.last["caller"].kind) == ("acc-1", "account")
    assert door.last["client"] is door.accounts.client
    assert (await asked(door, write, "?integrated_account_id=acc-2", token="udt_all")).json()["code"] == "wrong_account"


async def test_an_api_token_has_to_name_the_account(door: Door) -> None:
    answer = await door.http.delete("/unified/user-directory/users/u-1", headers={"authorization": f"Bearer {API}"})

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")
    assert door.writes.asked == []


async def test_a_blocked_account_is_not_written_to(door: Door) -> None:
    door.accounts.error = AccountBlocked()

    assert (await door.directory("DELETE", "/users/u-1")).status_code == 503
    assert door.writes.asked == []


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/users", "DELETE, GET, HEAD, PATCH, POST"),
        ("POST", "/users/u-1", "DELETE, GET, HEAD, PATCH"),
        ("GET", "/users/offboard", "POST"),
        ("DELETE", "/users/offboard", "POST"),
        ("PATCH", "/groups/add-user", "POST"),
    ],
)
async def test_a_path_names_all_methods_that_it_takes(door: Door, method: str, path: str, allowed: str) -> None:
    answer = await door.directory(method, path)

    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("resource", ["roles", "workspaces", "licenses", "nonsense"])
async def test_nothing_else_is_written_to(door: Door, resource: str) -> None:
    assert (await door.directory("POST", f"/{resource}", {})).status_code == 404


# --- what else comes with it


@pytest.mark.parametrize("write", EVERY)
async def test_a_parameter_that_is_not_known_is_refused(door: Door, write: Any) -> None:
    answer = await asked(door, write, "?grop_id=t-1")

    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_parameter")
    assert answer.json()["details"][0]["expected"] == list(parameters(write))
    assert door.writes.asked == []


@pytest.mark.parametrize("write", [write for write in WRITES if not write.scoped], ids=lambda write: write.kind)
async def test_only_a_removal_of_a_user_is_confined_by_the_query(door: Door, write: Any) -> None:
    assert (await asked(door, write, "?group_id=t-1")).json()["code"] == "unknown_parameter"


@pytest.mark.parametrize(
    "query",
    [
        "group_id=", "workspace_id=", "organization_id=", "group=", "workspace=", "organization=", "group_id[]=",
        "group_id=t-1&group_id=t-2", "group_id=t-1&group_id=t-1", "group_id=t-1&group_id=", "group_id[]=a&group_id[]=b",
        "group_id=t-1&group=t-1", "group_id=t-1&workspace_id=a-1", "group_id[eq]=t-1", "group_id=t-1,t-2",
        "group_id=%20", "group_id=t%2F1", "group_id=..",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/users/u-1", "/users"])
async def test_an_empty_or_repeated_scope_is_never_everything(door: Door, path: str, query: str) -> None:
    answer = await door.directory("DELETE", f"{path}?{query}", {"id": "u-1"})

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter"), answer.text
    assert door.writes.asked == []


async def test_what_has_no_effect_is_named(door: Door) -> None:
    body = {"email": "ada@example.com", "groups": ["t-1"], "first_name": "Ada", "name": None}

    answer = await door.directory("POST", "/users?truto_ignore_remote_data=true&truto_x=1", body)

    assert answer.headers["warning"] == '299 - "no effect here: truto_ignore_remote_data, truto_x, first_name, name"'


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b'"x"', b"\xff"])
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
async def test_a_body_is_an_object_and_only_a_delete_may_do_without(door: Door, method: str, raw: bytes) -> None:
    path = "/unified/user-directory/users" + ("" if method == "POST" else "/u-1")
    headers = {"authorization": f"Bearer {API}"}

    answer = await door.http.request(method, f"{path}?integrated_account_id=acc-1", content=raw, headers=headers)

    assert answer.status_code == (200 if method == "DELETE" and raw == b"" else 400)


async def test_a_write_is_waited_for_and_comes_with_what_makes_it_safe(door: Door) -> None:
    await door.directory("DELETE", "/users/u-1", headers={"if-match": '"p1an"', "idempotency-key": "k-1"})
    assert (door.last["call"], door.last["if_match"], door.last["key"]) == ("write", "p1an", "k-1")
    assert (door.last["address"], door.last["wait"]) == ("DELETE /unified/user-directory/users/u-1", 20)

    await door.directory("DELETE", "/users/u-1")
    assert (door.last["if_match"], door.last["key"]) == (None, None)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("idempotency-key", [""]),
        ("idempotency-key", ["a b"]),
        ("idempotency-key", ["k" * 256]),
        ("idempotency-key", ["a", "b"]),
        ("idempotency-key", [b"\xe9"]),
        ("if-match", [""]),
        ("if-match", ["*"]),
        ("if-match", ["p1an"]),
        ("if-match", ['W/"p1an"']),
        ("if-match", ['"a", "b"']),
        ("if-match", ['"a"', '"a"']),
    ],
)
async def test_a_header_that_would_not_protect_is_refused(door: Door, name: str, values: list[Any]) -> None:
    answer = await door.directory("DELETE", "/users/u-1", headers=[(name, value) for value in values])

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")
    assert door.writes.asked == []


# --- the plan


@pytest.mark.parametrize("write", EVERY)
async def test_a_dry_run_answers_the_plan_and_nothing_else_happens(door: Door, write: Any) -> None:
    answer = await asked(door, write, "?dry_run=true")

    body = answer.json()["result"] if write.is_custom else answer.json()
    assert (answer.status_code, answer.headers["etag"]) == (200, '"p1an"')
    assert set(body) == set(PLAN.__struct_fields__)
    step = body["steps"][0]
    assert (step["path"], step["scopes"], step["headers"], step["body"]) == (STEP.path, ["global"], {}, None)
    assert step["before"] == {"state": "active", "roles": ["member"], "member_id": None}
    assert step["after"] == {"state": "none", "roles": [], "member_id": None}
    assert body["cost"] == {"steps": 1, "read_back": 2, "full_proof": 9, "affordable_in": 0}
    assert [call["call"] for call in door.writes.asked] == ["plan"]


async def test_an_off_boarding_is_planned_by_its_body_too(door: Door) -> None:
    await door.directory("POST", "/users/offboard", {"user_id": "u-1", "dry_run": True})

    assert door.last["call"] == "plan"


@pytest.mark.parametrize("query", ["dry_run=", "dry_run=yes", "dry_run=true&dry_run=true", "dry_run[a]=true"])
async def test_whether_it_is_a_dry_run_is_never_guessed(door: Door, query: str) -> None:
    assert (await door.directory("DELETE", f"/users/u-1?{query}")).status_code == 400
    assert door.writes.asked == []


async def test_a_warning_of_a_guard_stands_in_the_header_whatever_it_says(door: Door) -> None:
    door.writes.plan_made = msgspec.structs.replace(PLAN, obstacles=(SSO,))

    answer = await door.directory("DELETE", "/users/u-1?dry_run=true", headers={"idempotency-key": "k"})

    assert answer.headers["warning"] == (
        '299 - "sso_only_admins: Every ?admin? of \'acme\' signs in by SSO.", 299 - "no effect here: Idempotency-Key"'
    )
    assert answer.json()["obstacles"][0]["message"] == SSO.message


# --- what came of it


@pytest.mark.parametrize("write", EVERY)
async def test_what_was_done_is_answered_in_the_form_of_its_method(door: Door, write: Any) -> None:
    answer = await asked(door, write)

    result = {"id": "u-1", "username": "ada@example.com"}
    expected = {"POST": result, "PATCH": result, "DELETE": {"id": IDS[write.resource]}}[write.method]
    assert answer.status_code == 200
    assert answer.json() == ({"result": result} if write.is_custom else expected)
    assert answer.headers["ratelimit-remaining"] == "4470"


@pytest.mark.parametrize("status", ["pending", "running", "waiting"])
async def test_what_takes_longer_goes_on_by_itself(door: Door, status: Any) -> None:
    door.writes.outcome = Outcome(operation=an_operation(status=status, result=None), finished=False)

    answer = await door.directory("DELETE", "/users/u-1")

    assert (answer.status_code, answer.headers["location"]) == (202, "/operations/op-1")
    assert (answer.json()["id"], answer.json()["status"]) == ("op-1", status)
    assert answer.json()["integrated_account_id"] == "acc-1"
    assert answer.headers["ratelimit-remaining"] == "4470"


async def test_what_waits_says_for_how_long(door: Door) -> None:
    later = datetime.now(UTC) + timedelta(seconds=90)
    waiting = an_operation(status="waiting", retry_at=later)
    door.writes.outcome = Outcome(operation=waiting, finished=False)
    accepted = await door.directory("DELETE", "/users/u-1")
    door.writes.outcome = Outcome(operation=an_operation(status="failed", steps=(a_state("failed", 429),)))
    failed = await door.directory("DELETE", "/users/u-1")

    assert (accepted.status_code, failed.status_code) == (202, 429)
    assert 80 <= int(accepted.headers["retry-after"]) <= 90
    assert int(failed.headers["retry-after"]) == 60


def a_state(status: Any, http_status: int | None = None) -> StepState:
    return StepState(step=STEP, status=status, http_status=http_status)


@pytest.mark.parametrize(
    ("first", "status"), [(500, 502), (None, 502), (404, 502), (422, 502), (401, 502), (403, 403), (429, 429)]
)
async def test_a_failure_says_how_far_it_came(door: Door, first: int | None, status: int) -> None:
    states = (a_state("done", 200), a_state("already"), a_state("failed", first), a_state("unknown"),
              a_state("skipped"), a_state("planned"))  # fmt: skip
    door.writes.outcome = Outcome(operation=an_operation(status="partial", steps=states))

    answer = await door.directory("DELETE", "/users/u-1")

    body = answer.json()
    assert (answer.status_code, body["statusCode"], body["code"]) == (status, status, "write_failed")
    assert (body["operation_id"], answer.headers["location"]) == ("op-1", "/operations/op-1")
    counts = {name: len(body[name]) for name in ("completed", "failed", "remaining", "unknown")}
    assert counts == {"completed": 2, "failed": 1, "remaining": 2, "unknown": 1}
    assert "2 of 6 steps are done" in body["message"]
    assert answer.headers["ratelimit-remaining"] == "4470"


@pytest.mark.parametrize("status", ["failed", "partial", "cancelled", "lapsed"])
async def test_nothing_but_success_is_a_success(door: Door, status: Any) -> None:
    door.writes.outcome = Outcome(operation=an_operation(status=status))

    assert (await door.directory("DELETE", "/users/u-1")).status_code == 502


@pytest.mark.parametrize("query", ["", "?dry_run=true"])
async def test_a_refusal_keeps_its_code_and_tells_of_the_budget(door: Door, query: str) -> None:
    door.writes.error = GuardRefused("Make somebody else an admin first.", guard="last_admin")

    answer = await door.directory("DELETE", f"/users/u-1{query}")

    assert (answer.status_code, answer.json()["code"]) == (422, "last_admin")
    assert answer.headers["ratelimit-remaining"] == "4470"


async def test_a_directory_that_moved_is_a_412(door: Door) -> None:
    door.writes.error = PreconditionFailed()

    assert (await door.directory("DELETE", "/users/u-1", headers={"if-match": '"p1an"'})).status_code == 412
