"""The graph's door: who may ask, what they may say, and in which form they are answered."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from starlette.routing import Router

from adapter.directory.cursors import Cursors
from adapter.directory.service import Directory
from adapter.web.edge import edged
from adapter.web.graph import routes
from adapter.web.metrics import Metrics
from tests.directory.dot import read_dot
from tests.directory.fakes import SHIPPED, Clock, Provider
from tests.directory.test_graph import world
from tests.web.house import API, PROVIDER, Tokens


class Accounts:
    def __init__(self) -> None:
        self.provider = Provider(world())

    async def open(self, account_id: str, caller: Any = None) -> Any:
        assert account_id == "acc-1"
        assert caller is not None
        return self.provider


@pytest.fixture
def accounts() -> Accounts:
    return Accounts()


@pytest.fixture
async def http(accounts: Accounts) -> AsyncIterator[httpx.AsyncClient]:
    directory = Directory(SHIPPED, Cursors([b"k" * 32]), clock=Clock())
    app = edged(
        Router(routes(directory=directory, accounts=accounts), redirect_slashes=False),
        tokens=Tokens(),
        metrics=Metrics(),
        remote_ids=PROVIDER.errors.id_of,
        own_origins=[],
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://adapter.example") as client:
        yield client
    await directory.close()


async def get(
    http: httpx.AsyncClient, query: str = "", *, token: str = API, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    account = "integrated_account_id=acc-1&" if token == API else ""
    given = {"authorization": f"Bearer {token}", **(headers or {})}
    return await http.get(f"/graph?{account}{query}", headers=given)


@pytest.mark.parametrize(
    ("query", "accept", "media_type"),
    [
        ("", "*/*", "application/json"),
        ("", "application/json", "application/json"),
        ("", "text/vnd.graphviz", "text/vnd.graphviz; charset=utf-8"),
        ("format=dot", "application/json", "text/vnd.graphviz; charset=utf-8"),
        ("format=json", "text/vnd.graphviz", "application/json"),
    ],
)
async def test_the_form_is_what_is_asked_for_by_name_or_else_by_header(
    http: httpx.AsyncClient, query: str, accept: str, media_type: str
) -> None:
    answer = await get(http, query, headers={"accept": accept})

    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    assert answer.headers["vary"] == "Accept"
    if media_type == "application/json":
        assert answer.json()["root"] == "account:me"
    else:
        assert "account:me" in read_dot(answer.text)[0]


async def test_an_account_token_that_may_read_the_directory_opens_it(http: httpx.AsyncClient) -> None:
    assert (await get(http, token="udt_directory")).status_code == 200
    assert (await get(http, token="udt_reader")).json()["code"] == "insufficient_scope"
    assert (await get(http, token="made-up")).status_code == 401


async def test_add_ons_can_be_left_out(http: httpx.AsyncClient, accounts: Accounts) -> None:
    body = (await get(http, "addons=false")).json()

    assert not [node for node in body["nodes"] if node["type"] == "heroku_addon"]
    assert not [path for path in accounts.provider.calls if "addons" in path]


async def test_inherited_access_is_there_when_asked_for(http: httpx.AsyncClient) -> None:
    plain, more = (await get(http)).json(), (await get(http, "include_inherited=true")).json()

    assert not [edge for edge in plain["edges"] if edge.get("is_inherited")]
    assert [edge for edge in more["edges"] if edge.get("is_inherited")]


async def test_answers_say_how_old_they_are_and_a_caller_may_insist(
    http: httpx.AsyncClient, accounts: Accounts
) -> None:
    answer = await get(http)
    assert answer.headers["age"] == "0"
    assert answer.headers["last-modified"].endswith("GMT")

    accounts.provider.forget_calls()
    await get(http)
    assert accounts.provider.calls == []


@pytest.mark.parametrize(
    ("query", "code", "named"),
    [
        ("adons=true", "unknown_parameter", "include_inherited"),
        ("limit=5", "unknown_parameter", "addons"),
        ("format=svg", "invalid_parameter", "json, dot"),
        ("addons=maybe", "invalid_parameter", "true"),
        ("addons=true&addons=false", "invalid_parameter", "several values"),
        ("addons[a]=true", "invalid_parameter", "several values"),
    ],
)
async def test_bad_questions_are_answered_with_what_is_known(
    http: httpx.AsyncClient, query: str, code: str, named: str
) -> None:
    answer = await get(http, query)

    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert named in answer.json()["message"]
    assert answer.json()["details"][0]["expected"]


async def test_an_api_token_names_the_account(http: httpx.AsyncClient) -> None:
    answer = await http.get("/graph", headers={"authorization": f"Bearer {API}"})

    assert answer.status_code == 400
    assert "integrated_account_id" in answer.json()["message"]
