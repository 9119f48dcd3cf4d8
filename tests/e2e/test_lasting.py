"""Units that last: over restarts, among processes on one database, and within the budget."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import sqlalchemy as sa

from adapter.sandbox import Options, RunningSandbox, SeedOptions
from adapter.storage.database import Database
from adapter.storage.tables import UNITS
from tests.e2e.serving import AdapterThread, Connected, _free_port, serving
from tests.e2e.worlds import Truth

USERS = "/unified/user-directory/users"


def beside(connected: Connected) -> tuple[AdapterThread, Connected]:
    """Another adapter on the same database."""
    settings = msgspec.structs.replace(connected.settings, port=_free_port(), public_url="")
    url = f"http://{settings.host}:{settings.port}"
    other = Connected(
        url=url,
        sandbox=connected.sandbox,
        api_token=connected.api_token,
        account_id=connected.account_id,
        settings=settings,
    )
    return AdapterThread(settings), other


def test_a_restarted_adapter_answers_without_asking_heroku(database_url: str, tmp_path: Path) -> None:
    with RunningSandbox() as sandbox, serving(sandbox, tmp_path, database_url=database_url) as connected:
        before = connected.everything("users")
        thread, again = beside(connected)
        try:
            sandbox.reset_requests()
            after = again.everything("users")
            asked = sandbox.request_count()
        finally:
            thread.close()

    assert after == before
    assert asked == 0


def test_two_adapters_on_one_postgresql_fetch_no_unit_twice(postgres_url: str, tmp_path: Path) -> None:
    seed = SeedOptions(teams=20, members=300, apps=60)
    with RunningSandbox(seed=seed, options=Options(latency_ms=20)) as sandbox:
        with serving(sandbox, tmp_path, database_url=postgres_url) as connected:
            thread, other = beside(connected)
            try:
                sandbox.reset_requests()
                answers = together(lambda: connected.users(limit=1000), lambda: other.users(limit=1000))
                paths = [request["path"] for request in sandbox.requests()]
            finally:
                thread.close()
        truth = Truth(sandbox.truth())

    assert all({user["id"] for user in answer.json()["result"]} == truth.people for answer in answers)
    assert len(paths) == len(set(paths))


def together(*asks: Callable[[], httpx.Response]) -> list[httpx.Response]:
    answers: dict[int, httpx.Response] = {}
    threads = [
        threading.Thread(target=lambda number=number, ask=ask: answers.update({number: ask()}))
        for number, ask in enumerate(asks)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [answers[number] for number in range(len(asks))]


def test_a_caller_reads_its_own_writes_on_another_adapter(postgres_url: str, tmp_path: Path) -> None:
    with (
        RunningSandbox(options=Options(consistency_s=0)) as sandbox,
        serving(sandbox, tmp_path, database_url=postgres_url) as connected,
    ):
        thread, other = beside(connected)
        try:
            team = next(t for t in sandbox.truth()["teams"] if t["type"] == "enterprise")
            for number in range(5):
                other.users(group_id=team["id"])
                email = f"fresh{number}@example.com"
                put_member(connected, team["id"], email)
                seen = other.users(group_id=team["id"], limit=1000).json()["result"]
                assert email in {user["username"] for user in seen}
        finally:
            thread.close()


def put_member(connected: Connected, team: str, email: str) -> None:
    with connected.client() as client:
        done = client.put(
            f"/custom/teams/{team}/members?integrated_account_id={connected.account_id}",
            json={"email": email, "role": "member"},
            headers={"accept": "application/vnd.heroku+json; version=3"},
        )
    assert done.status_code in {200, 201}, done.text


def test_units_go_with_the_account(database_url: str, tmp_path: Path) -> None:
    with RunningSandbox() as sandbox, serving(sandbox, tmp_path, database_url=database_url) as connected:
        connected.users()
        with connected.client() as client:
            client.delete(f"/integrated-account/{connected.account_id}")
        left = asyncio.run(count_units(database_url))

    assert left == 0


async def count_units(database_url: str) -> Any:
    async with Database(database_url) as database, database.read() as connection:
        return (await connection.execute(sa.select(sa.func.count()).select_from(UNITS))).scalar_one()


def test_an_unchanged_unit_is_not_sent_again(tmp_path: Path) -> None:
    with RunningSandbox() as sandbox, serving(sandbox, tmp_path) as connected:
        first = connected.users(limit=1000).json()["result"]
        sandbox.reset_requests()
        second = connected.get(USERS, headers={"cache-control": "no-cache"}, limit=1000).json()["result"]
        statuses = {request["path"]: request["status"] for request in sandbox.requests()}

    assert first == second
    assert statuses["/teams"] == 304
    assert list(statuses.values()).count(304) > len(statuses) / 2


@pytest.mark.parametrize("left", [600, 540])
def test_a_gather_leaves_the_reserve_and_completes_as_the_budget_flows_back(left: int, tmp_path: Path) -> None:
    # So many that they can't all be read out of what flows back during a slow run.
    seed = SeedOptions(teams=150, members=300, apps=60)
    fast = tmp_path / "mappings" / "heroku"
    fast.mkdir(parents=True)
    (fast / "provider.yaml").write_text("budget: {per_minute: 6000}\n")
    options = Options(budget_per_minute=6000)
    with RunningSandbox(seed=seed, options=options) as sandbox:
        with serving(sandbox, tmp_path, mappings_dir=str(tmp_path / "mappings")) as connected:
            sandbox.budget(left)
            connected.get("/custom/account", headers={"accept": "application/vnd.heroku+json; version=3"})
            sandbox.reset_requests()
            first = connected.users(limit=1000)
            remaining = [request["remaining"] for request in sandbox.requests() if request["remaining"] is not None]
            complete = until_complete(connected)
        truth = Truth(sandbox.truth())

    assert first.status_code == 200, first.text
    body = first.json()
    assert body["is_partial_response"] is True
    assert {gap["reason"] for gap in body["missing"]} == {"budget_reserved"}
    assert min(remaining) >= 500
    assert {user["id"] for user in complete["result"]} == truth.people


def until_complete(connected: Connected) -> Any:
    for _ in range(200):
        answer = connected.users(limit=1000)
        assert answer.status_code == 200, answer.text
        if "is_partial_response" not in answer.json():
            return answer.json()
        threading.Event().wait(0.1)
    raise AssertionError("the directory did not complete")
