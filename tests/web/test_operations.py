"""The operations' door: what is listed, to whom, and how one goes on."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapter.errors import NotResumable
from tests.web.house import API
from tests.web.writing import ACCEPTED_FIELDS, Door, a_door, an_operation


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with a_door() as opened:
        opened.writes.kept = {f"op-{n}": an_operation(id=f"op-{n}") for n in range(1, 4)}
        yield opened


async def test_a_list_sums_up(door: Door) -> None:
    body = (await door.ask("GET", "/operations")).json()

    assert (body["result_count"], body["next_cursor"], body["prev_cursor"]) == (3, None, None)
    first = body["result"][0]
    assert (first["id"], first["integrated_account_id"], first["status"]) == ("op-1", "acc-1", "succeeded")
    assert first["steps"] == {"done": 1}
    assert first["person"]["emails"] == ["ada@example.com"]
    assert not {"plan", "ask", "events", "result"} & set(first)


async def test_pages_follow_each_other(door: Door) -> None:
    first = (await door.ask("GET", "/operations?limit=2")).json()
    rest = (await door.ask("GET", f"/operations?limit=2&next_cursor={first['next_cursor']}")).json()

    assert [one["id"] for one in first["result"] + rest["result"]] == ["op-1", "op-2", "op-3"]
    assert rest["next_cursor"] is None
    assert door.last["after"] == "op-2"


async def test_a_cursor_belongs_to_its_filters(door: Door) -> None:
    cursor = (await door.ask("GET", "/operations?limit=2")).json()["next_cursor"]

    answer = await door.ask("GET", f"/operations?status=failed&next_cursor={cursor}")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    ("query", "token", "account", "status"),
    [
        ("", API, None, None),
        ("?integrated_account_id=acc-9", API, "acc-9", None),
        ("?integrated_account_id=&status=", API, None, None),
        ("?status=partial", "udt_all", "acc-1", "partial"),
        ("?integrated_account_id=acc-1", "udt_all", "acc-1", None),
    ],
)
async def test_filters_and_the_token_narrow_it(door: Door, query: str, token: str, account: Any, status: Any) -> None:
    assert (await door.ask("GET", f"/operations{query}", token=token)).status_code == 200

    assert (door.last["account_id"], door.last["status"]) == (account, status)
    assert (door.last["caller"].kind, door.last["limit"]) == ("api" if token == API else "account", 101)


PATHS = [("GET", "/operations"), ("GET", "/operations/op-1"), ("POST", "/operations/op-1/resume"),
         ("POST", "/operations/op-1/cancel")]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize(
    ("token", "query", "status", "code"),
    [
        ("uda_nobody", "", 401, "unauthorized"),
        ("udt_directory", "", 403, "insufficient_scope"),
        ("udt_all", "?integrated_account_id=acc-2", 403, "wrong_account"),
        (API, "?acount=x", 400, "unknown_parameter"),
    ],
)
async def test_who_may_not_is_told_so(
    door: Door, method: str, path: str, token: str, query: str, status: int, code: str
) -> None:
    answer = await door.ask(method, path + query, token=token)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert door.writes.asked == []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "limit=1&limit=2", "status=done", "next_cursor=x"]
)
async def test_a_question_that_cant_be_used_is_refused(door: Door, query: str) -> None:
    assert (await door.ask("GET", f"/operations?{query}")).status_code == 400


async def test_one_is_shown_with_everything(door: Door) -> None:
    body = (await door.ask("GET", "/operations/op-2?integrated_account_id=acc-1")).json()

    assert set(body) == ACCEPTED_FIELDS
    assert body["steps"][0]["request_id"] == "r-1"
    assert body["plan"]["steps"][0]["before"] == {"state": "active", "roles": ["member"], "member_id": None}


@pytest.mark.parametrize(("method", "path"), PATHS[1:])
async def test_one_of_another_account_is_as_good_as_none(door: Door, method: str, path: str) -> None:
    other = await door.ask(method, f"{path}?integrated_account_id=acc-9")
    none = await door.ask(method, path.replace("op-1", "op-9"))

    assert (other.status_code, other.json()["code"]) == (404, "operation_not_found")
    assert none.json() | {"request_id": ""} == other.json() | {"request_id": ""}
    assert {call["call"] for call in door.writes.asked} == {"operation"}


@pytest.mark.parametrize(
    ("status", "answered"), [("running", 202), ("waiting", 202), ("succeeded", 200), ("partial", 200)]
)
async def test_one_that_is_resumed_goes_on_by_itself(door: Door, status: Any, answered: int) -> None:
    door.writes.after["op-1"] = an_operation(status=status)

    answer = await door.ask("POST", "/operations/op-1/resume")

    assert (answer.status_code, answer.json()["status"]) == (answered, status)
    assert answer.headers.get("location") == ("/operations/op-1" if answered == 202 else None)


async def test_one_is_cancelled(door: Door) -> None:
    door.writes.after["op-1"] = an_operation(status="cancelled")

    answer = await door.ask("POST", "/operations/op-1/cancel")

    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")


async def test_one_that_cant_go_on_says_why(door: Door) -> None:
    door.writes.error = NotResumable()

    assert (await door.ask("POST", "/operations/op-1/resume")).status_code == 409
