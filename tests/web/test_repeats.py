"""Asking again: the bytes of the last time, as long as they are what would be answered now, and for whoever may ask."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from starlette.routing import Router

from adapter.directory.cursors import Cursors
from adapter.directory.pages import Page, Pages
from adapter.directory.query import Query
from adapter.directory.service import Directory
from adapter.errors import AccountBlocked, AccountNotFound, WrongAccount
from adapter.models import Caller, Scope
from adapter.web import unified
from adapter.web.edge import edged
from adapter.web.metrics import Metrics
from adapter.web.repeats import Repeating
from tests.directory.fakes import SHIPPED, Clock, Provider, forbidden, member, nothing, of_team, team, two_teams

CALLERS = {
    "api": Caller(kind="api", token_id="1", scopes=frozenset(Scope)),
    "acme": Caller(kind="api", token_id="2", tenant_id="acme", scopes=frozenset(Scope)),
    "globex": Caller(kind="api", token_id="3", tenant_id="globex", scopes=frozenset(Scope)),
    "own": Caller(kind="account", token_id="4", account_id="one", scopes=frozenset({Scope.DIRECTORY_READ})),
    "other": Caller(kind="account", token_id="5", account_id="two", scopes=frozenset({Scope.DIRECTORY_READ})),
    "raw": Caller(kind="account", token_id="6", account_id="one", scopes=frozenset({Scope.RAW_READ})),
}
USERS = "/unified/user-directory/users"


class Tokens:
    async def authenticate(self, plaintext: str) -> Caller | None:
        return CALLERS.get(plaintext)


class Budget:
    """A budget that shows in the headers."""

    remaining = 4000

    def headers(self) -> list[tuple[str, str]]:
        return [("ratelimit-remaining", str(self.remaining))]

    def raw_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        return ((b"ratelimit-remaining", b"%d" % self.remaining),)


class Accounts:
    """Two accounts of one tenant: `one` sees two teams, `two` a third."""

    def __init__(self) -> None:
        self.providers = {
            "one": Provider(two_teams()),
            "two": Provider({**nothing(), "/teams": [team("t9")], **of_team("t9", members=[member("zoe")])}),
        }
        for name, provider in self.providers.items():
            provider.account_key = name
            provider.budget = Budget()  # type: ignore[assignment]  # all that is asked of one
        self.blocked = False
        self.override: Mapping[str, Any] | None = None

    async def open(self, account_id: str, caller: Caller | None = None) -> Provider:
        assert caller is not None
        if caller.account_id not in {None, account_id}:
            raise WrongAccount
        if caller.tenant_id == "globex":
            raise AccountNotFound
        if self.blocked:
            raise AccountBlocked
        return self.providers[account_id]

    async def override_of(self, account_id: str) -> Mapping[str, Any] | None:
        return self.override if account_id == "one" else None


class Counting(Directory):
    """A directory that tells how often it was asked for a page."""

    pages_made = 0

    async def list_records(self, *args: Any) -> Any:
        self.pages_made += 1
        return await super().list_records(*args)


class House:
    def __init__(self, **more: Any) -> None:
        self.clock = Clock()
        self.accounts = Accounts()
        self.one = self.accounts.providers["one"]
        self.directory = Counting(
            SHIPPED, Cursors([b"k" * 32]), clock=self.clock, override=self.accounts.override_of, **more
        )
        router = Router(unified.routes(directory=self.directory, accounts=self.accounts), redirect_slashes=False)
        repeating = Repeating(router, self.directory, self.accounts, prefix=unified.PREFIX)
        self.metrics = Metrics()
        self._app = edged(repeating, tokens=Tokens(), metrics=self.metrics, remote_ids=lambda _: None)

    async def ask(self, query: str = "", token: str = "own", path: str = USERS, **headers: str) -> httpx.Response:
        given = {"authorization": f"Bearer {token}", **{name.replace("_", "-"): text for name, text in headers.items()}}
        transport = httpx.ASGITransport(app=self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://adapter.example") as client:
            return await client.get(f"{path}?{query}", headers=given)

    async def made(self, query: str = "", token: str = "own", **more: Any) -> tuple[int, Any]:
        """How many pages were made for a question that must succeed, and its answer."""
        before = self.directory.pages_made
        answer = await self.ask(query, token, **more)
        assert answer.status_code == 200, answer.text
        return self.directory.pages_made - before, answer.json()


def ids(body: Any) -> list[str]:
    return [user["id"] for user in body["result"] if not user["id"].startswith("invitation:")]


FIRST = ["ada", "bob", "cyd", "dan", "me"]


@pytest.fixture
def house() -> House:
    return House()


# --- the same again


@pytest.mark.parametrize(
    "query",
    [
        "", "limit=2", "q=ada", "sort_by=-username", "group_id=t1", "truto_key_by=id", "truto_response_format=raw",
        "truto_response_format=debug", "truto_exclude_fields[]=name", "truto_no_such_thing=1",
    ],
)  # fmt: skip
async def test_the_same_question_has_the_same_answer_without_being_put_together_again(house: House, query: str) -> None:
    first = await house.ask(query)
    again = await house.ask(query)

    assert first.status_code == 200
    assert house.directory.pages_made == 1
    assert again.content == first.content
    apart = {"x-request-id"}
    assert {n: v for n, v in again.headers.items() if n not in apart} == {
        n: v for n, v in first.headers.items() if n not in apart
    }


async def test_age_and_budget_are_those_of_the_moment(house: House) -> None:
    await house.ask()
    house.clock.tick(7)
    Budget.remaining, before = 1234, Budget.remaining
    again = await house.ask()
    Budget.remaining = before

    assert house.directory.pages_made == 1
    assert (again.headers["age"], again.headers["ratelimit-remaining"]) == ("7", "1234")


async def test_walkers_that_follow_each_other_are_answered_from_the_first_ones_pages(house: House) -> None:
    async def walk() -> list[str]:
        met: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            _, body = await house.made(f"limit=2&next_cursor={cursor}")
            met += [user["id"] for user in body["result"]]
            cursor = body["next_cursor"]
        return met

    first, made = await walk(), house.directory.pages_made

    assert await walk() == first
    assert made == 3
    assert house.directory.pages_made == made


@pytest.mark.parametrize("other", ["limit=1", "limit=100", "truto_ignore_remote_data=true", "status=invited", "q=bob"])
async def test_another_question_is_another_answer(house: House, other: str) -> None:
    plain = await house.ask()

    made, body = await house.made(other)

    assert made == 1
    assert body == plain.json() if other == "limit=100" else body != plain.json()


async def test_repeated_answers_are_counted_as_the_others_of_their_route(house: House) -> None:
    for _ in range(3):
        await house.ask()

    assert b'route="/unified/user-directory/{resource}",status="2xx"} 3.0' in house.metrics.page()


# --- never stale


async def test_nothing_is_repeated_that_is_older_than_answers_may_be(house: House) -> None:
    await house.ask()
    house.one.answers["/teams/t2/members"] = [member("eve")]
    house.clock.tick(59)
    assert await house.made() == (0, (await house.ask()).json())
    house.clock.tick(2)

    made, body = await house.made()

    assert made == 1
    assert ids(body) == [*FIRST[:4], "eve", "me"]


async def test_a_write_is_seen_by_the_next_question(house: House) -> None:
    await house.ask()
    house.one.answers["/teams/t2/members"] = [member("eve")]
    await house.directory.touched("one", house.one, "/teams/t2/members")

    assert "eve" in ids((await house.made())[1])


@pytest.mark.parametrize("asked", ["no-cache", "max-age=0", "max-age=3"])
async def test_whoever_insists_on_freshness_gets_it_and_so_do_those_after_them(house: House, asked: str) -> None:
    await house.ask()
    house.one.answers["/teams/t2/members"] = [member("eve")]
    house.clock.tick(5)

    _, fresh = await house.made(cache_control=asked)

    assert "eve" in ids(fresh)
    assert ids((await house.made())[1]) == ids(fresh)


async def test_whoever_puts_up_with_old_answers_does_not_make_others_do_so(house: House) -> None:
    await house.made(cache_control="max-age=3600")
    house.clock.tick(100)
    assert await house.made(cache_control="max-age=3600")
    house.one.answers["/teams/t2/members"] = [member("eve")]

    assert "eve" in ids((await house.made())[1])


async def test_another_override_is_another_answer(house: House) -> None:
    plain = (await house.made())[1]
    house.accounts.override = {"users": {"fields": {"username": "'somebody'"}}}
    overridden = (await house.made())[1]
    house.accounts.override = None

    assert {user["username"] for user in overridden["result"]} == {"somebody"}
    assert (await house.made())[1] == plain


async def test_what_is_missing_is_told_as_soon_as_it_is(house: House) -> None:
    await house.ask()
    house.one.answers["/teams/t2/members"] = forbidden()
    await house.directory.touched("one", house.one, "/teams/t2/members")

    _, partial = await house.made()
    assert [gap["unit"] for gap in partial["missing"]] == ["team_members"]

    house.one.answers["/teams/t2/members"] = [member("bob")]
    await house.directory.touched("one", house.one, "/teams/t2/members")
    assert "missing" not in (await house.made())[1]


async def test_an_answer_in_the_middle_of_a_gather_is_not_given_after_it() -> None:
    house = House(wait=0.01)
    gate = house.one.block("/teams/t2/members")
    _, partial = await house.made("allow_partial=true")
    assert partial["is_partial_response"] is True
    gate.set()
    while (await house.ask()).status_code == 503:
        pass

    made, body = await house.made("allow_partial=true")

    assert made == 1
    assert "missing" not in body


async def test_what_is_asked_in_herokus_words_is_asked_each_time(house: House) -> None:
    for _ in range(2):
        answer = await house.ask("remote_query[a]=b", path="/unified/user-directory/organizations")
        assert answer.status_code == 200, answer.text

    assert house.one.calls.count("/enterprise-accounts") == 2
    assert house.directory.pages.bytes == 0


async def test_a_stream_is_made_each_time(house: House) -> None:
    first, again = [await house.ask("truto_response_format=stream") for _ in range(2)]

    assert first.content == again.content
    assert house.directory.pages_made == 2


@pytest.mark.parametrize("query", ["grop_id=x", "limit=0", "next_cursor=made-up"])
async def test_a_refusal_is_not_kept(house: House, query: str) -> None:
    assert [(await house.ask(query)).status_code for _ in range(2)] == [400, 400]
    assert house.directory.pages.bytes == 0


# --- never to anybody else


async def test_two_accounts_that_ask_the_same_are_told_of_their_own(house: House) -> None:
    _, mine = await house.made(token="own")
    _, theirs = await house.made(token="other")

    assert ids(mine) == FIRST
    assert "zoe" in ids(theirs)
    assert await house.made(token="own") == (0, mine)


@pytest.mark.parametrize(
    ("token", "query", "status"),
    [
        ("raw", "", 403),
        ("nobody", "", 401),
        ("other", "integrated_account_id=one", 403),
        ("globex", "integrated_account_id=one", 404),
        ("api", "", 400),
    ],
)
async def test_the_right_to_ask_is_judged_each_time(house: House, token: str, query: str, status: int) -> None:
    """Whoever may ask has asked before, in the same words."""
    await house.made(query, token="own")
    await house.made("integrated_account_id=one", token="api")

    assert (await house.ask(query, token)).status_code == status


async def test_api_tokens_share_what_they_may_both_ask(house: House) -> None:
    _, mine = await house.made("integrated_account_id=one", token="api")

    assert await house.made("integrated_account_id=one", token="acme") == (0, mine)


async def test_a_blocked_account_answers_nothing_any_more(house: House) -> None:
    await house.made()
    house.accounts.blocked = True

    assert (await house.ask()).status_code == 503


async def test_what_is_known_of_an_account_goes_with_it(house: House) -> None:
    await house.made(token="own")
    await house.made(token="other")
    both = house.directory.pages.bytes
    house.directory.forget("one")

    assert 0 < house.directory.pages.bytes < both
    assert (await house.made(token="own"))[0] == 1


# --- room


def page(size: int) -> Page:
    resource = SHIPPED.resources["users"]
    return Page(account_id="one", resource=resource, query=Query(), version=1, body=b"x" * size, headers=())


def test_the_room_is_bounded_and_what_was_asked_for_last_stays() -> None:
    pages = Pages(100_000)
    for number in range(50):
        pages.keep(("one", b"/users", b"%d" % number), page(4_000))
        assert pages.get(("one", b"/users", b"0")) is not None
    assert pages.bytes <= 100_000

    assert pages.get(("one", b"/users", b"49")) is not None
    assert pages.get(("one", b"/users", b"1")) is None


def test_an_answer_that_would_put_out_many_others_is_not_kept() -> None:
    pages = Pages(100_000)
    pages.keep(("one", b"/users", b""), page(30_000))

    assert (pages.get(("one", b"/users", b"")), pages.bytes) == (None, 0)
