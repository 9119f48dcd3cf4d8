"""The audit trail walked day by day: what a page asks for, where it ends, and what it says of its end."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.directory.cursors import Cursors
from adapter.directory.query import parse_list
from adapter.directory.service import Answer, Directory
from adapter.errors import AdapterError, DirectoryGathering, InvalidCursor, NeedsReauth, RemoteError, RemoteUnauthorized
from adapter.web.query import parse_query
from tests.directory.fakes import NOON, SHIPPED, Budget, Clock, Listed, forbidden

ACTIVITIES = SHIPPED.resources["activities"]
TODAY = datetime.fromtimestamp(NOON, UTC).date()
OLD = "2010-01-01T00:00:00Z"


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def event(day: date, number: int = 0, who: str = "ada", action: str = "create") -> dict[str, Any]:
    return {
        "id": f"{day}-{number:03}",
        "type": "app",
        "action": action,
        "actor": {"id": who, "email": f"{who}@example.com"},
        "created_at": f"{day}T{number // 60:02}:{number % 60:02}:00Z",
    }


class Heroku:
    """Enterprise accounts with their days; `asked` are (account, day) in order."""

    account_key = "me"

    def __init__(self, events: Mapping[str, Iterable[dict[str, Any]]], *, since: str = OLD) -> None:
        self.accounts: Any = [{"id": name, "name": name, "created_at": since} for name in events]
        self.events: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for name, records in events.items():
            for record in records:
                self.events.setdefault((name, record["created_at"][:10]), []).append(record)
        self.errors: dict[tuple[str, str | None], AdapterError] = {}
        self.asked: list[tuple[str, str]] = []
        self.budget = Budget(4500)
        self.gate = asyncio.Event()
        self.gate.set()

    async def iterate(self, path: str, *, query: Mapping[str, str] | None = None, **_more: Any) -> Listed:
        if path == "/enterprise-accounts":
            if isinstance(self.accounts, Exception):
                raise self.accounts
            return Listed(records=self.accounts, requests=1)
        name, day = path.split("/")[2], (query or {})["day"]
        self.asked.append((name, day))
        if self.budget.remaining is not None:
            self.budget.remaining -= 1
        await self.gate.wait()
        error = self.errors.get((name, day)) or self.errors.get((name, None))
        if error is not None:
            raise error
        return Listed(records=list(self.events.get((name, day), [])), requests=1)

    async def send(self, method: str, path: str, *, query: Mapping[str, str] | None = None) -> Any:
        raise AssertionError(f"{method} {path} {query} is nobody's business here")

    def days(self) -> list[str]:
        return sorted({day for _, day in self.asked}, reverse=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def directory(clock: Clock) -> AsyncIterator[Directory]:
    made = new_directory(clock)
    yield made
    await made.close()


def new_directory(clock: Clock, **more: Any) -> Directory:
    return Directory(SHIPPED, Cursors([b"k" * 32]), clock=clock, timer=clock, **more)


async def ask(directory: Directory, heroku: Heroku, query: str = "", *, max_age: float | None = None) -> Answer:
    parsed = parse_list(ACTIVITIES, parse_query(query.encode()), max_age=max_age)
    return await directory.list_records("a", heroku, ACTIVITIES, parsed)


async def walk(directory: Directory, heroku: Heroku, query: str = "") -> tuple[list[str], list[Answer]]:
    """The ids of all records, page after page, and the pages."""
    ids: list[str] = []
    pages: list[Answer] = []
    cursor = ""
    while True:
        page = await ask(directory, heroku, f"{query}&next_cursor={cursor}")
        assert page.records or page.next_cursor is None, "an empty page carries a cursor"
        ids += [record.key for record in page.records]
        pages.append(page)
        if page.next_cursor is None:
            return ids, pages
        cursor = page.next_cursor


def reasons(answer: Answer) -> list[str]:
    return [gap.reason for gap in answer.missing]


async def test_a_page_asks_for_no_more_days_than_fill_it(directory: Directory) -> None:
    heroku = Heroku({"corp": [event(ago(day), n) for day in range(30) for n in range(5)]})
    first = await ask(directory, heroku, "limit=5")

    assert [record.key for record in first.records] == [f"{TODAY}-{n:03}" for n in (4, 3, 2, 1, 0)]
    assert heroku.days() == [str(TODAY)]

    await ask(directory, heroku, f"limit=5&next_cursor={first.next_cursor}")

    assert heroku.days() == [str(TODAY), str(ago(1))]


async def test_days_without_anything_are_passed_over_and_never_make_an_empty_page(directory: Directory) -> None:
    heroku = Heroku({"corp": [event(ago(3)), event(ago(20))]})
    ids, pages = await walk(directory, heroku, "limit=1")

    assert ids == [event(ago(3))["id"], event(ago(20))["id"]]
    assert len(pages) <= 3
    assert len(heroku.asked) == len(set(heroku.asked)) == 30


async def test_without_a_lower_bound_every_page_says_which_day_was_the_last(directory: Directory) -> None:
    heroku = Heroku({"corp": [event(ago(day)) for day in range(60)]})
    ids, pages = await walk(directory, heroku, "limit=8")

    assert len(ids) == 30
    assert heroku.days()[-1] == str(ago(29))
    for page in pages:
        assert reasons(page) == ["not_asked"]
        assert f"days before {ago(29)} were not asked for" in page.missing[0].message


@pytest.mark.parametrize(
    ("bounds", "days"),
    [
        (f"created_at[gte]={ago(40)}&created_at[lt]={ago(37)}", [40, 39, 38]),
        (f"created_at[gt]={ago(40)}T12:00:00Z&created_at[lte]={ago(39)}T12:00:00Z", [39]),
        (f"created_at[gte]={ago(1)}", [1, 0]),
        (f"created_at={ago(5)}T00:00:00Z", [5]),
        (f"created_at[in]={ago(7)}T00:00:00Z,{ago(5)}T00:00:00Z", [7, 5]),
        (f"created_at[gte]={ago(2)}&created_at[lt]={ago(5)}", []),
    ],
)
async def test_bounds_limit_what_is_asked_for_and_make_the_end_an_end(
    directory: Directory, bounds: str, days: list[int]
) -> None:
    heroku = Heroku({"corp": [event(ago(day)) for day in range(60)]})
    ids, pages = await walk(directory, heroku, bounds)

    assert ids == [event(ago(day))["id"] for day in reversed(days)]
    assert all(page.missing == () for page in pages)
    assert set(heroku.days()) <= {str(ago(day)) for day in range(min(days, default=0), max(days, default=0) + 2)}


async def test_an_upper_bound_alone_moves_the_last_day_along(directory: Directory) -> None:
    heroku = Heroku({"corp": [event(ago(day)) for day in range(90)]})
    ids, pages = await walk(directory, heroku, f"created_at[lt]={ago(29)}")

    assert ids == [event(ago(day))["id"] for day in range(30, 60)]
    assert f"days before {ago(59)} " in pages[-1].missing[0].message


async def test_days_before_a_place_began_are_not_asked_for_and_nothing_is_missing(directory: Directory) -> None:
    heroku = Heroku({"young": [event(ago(1))]}, since=f"{ago(4)}T09:00:00Z")
    ids, pages = await walk(directory, heroku)

    assert ids == [event(ago(1))["id"]]
    assert heroku.days() == [str(ago(day)) for day in range(5)]
    assert reasons(pages[-1]) == []


async def test_several_places_are_one_trail_in_the_order_of_time(directory: Directory) -> None:
    one, other = [event(ago(1), n) for n in (0, 2, 4)], [event(ago(1), n) for n in (1, 3, 5)]
    ids, _ = await walk(directory, Heroku({"one": one, "other": other}), "limit=2")

    assert ids == [f"{ago(1)}-{n:03}" for n in (5, 4, 3, 2, 1, 0)]


async def test_a_place_that_a_filter_leaves_out_is_not_asked(directory: Directory) -> None:
    heroku = Heroku({"one": [event(ago(1), 1)], "other": [event(ago(1), 2)]})
    ids, _ = await walk(directory, heroku, "organization_id=one")

    assert ids == [f"{ago(1)}-001"]
    assert {name for name, _ in heroku.asked} == {"one"}


async def test_filters_find_what_fits_however_far_it_is(directory: Directory) -> None:
    heroku = Heroku({"corp": [event(ago(day), who="bob" if day == 28 else "ada") for day in range(30)]})
    by_user, _ = await walk(directory, heroku, "user_id=bob")
    by_action, _ = await walk(directory, heroku, "action=destroy")

    assert by_user == [event(ago(28))["id"]]
    assert by_action == []


async def test_a_closed_place_is_missing_on_every_page_and_asked_once(directory: Directory) -> None:
    heroku = Heroku({"open": [event(ago(day)) for day in range(30)], "shut": []})
    heroku.errors["shut", None] = forbidden()
    ids, pages = await walk(directory, heroku, "limit=7")

    assert len(ids) == 30
    assert [name for name, _ in heroku.asked].count("shut") == 1
    for page in pages:
        gap = next(gap for gap in page.missing if gap.reason == "forbidden")
        assert gap.place == {"enterprise": {"id": "shut", "name": "shut"}}


async def test_a_day_that_is_refused_does_not_close_the_place(directory: Directory) -> None:
    heroku = Heroku({"corp": [event(ago(2))]})
    heroku.errors["corp", str(ago(1))] = RemoteError(422, "That day is gone.", remote_id="invalid_params")
    ids, pages = await walk(directory, heroku)

    assert ids == [event(ago(2))["id"]]
    assert set(reasons(pages[0])) == {"invalid_params", "not_asked"}


async def test_a_failure_of_the_moment_is_an_error_and_never_an_empty_day(directory: Directory) -> None:
    heroku = Heroku({"corp": [event(ago(2))]})
    heroku.errors["corp", str(ago(1))] = RemoteError(503, "Down for a moment.")
    with pytest.raises(RemoteError) as failed:
        await ask(directory, heroku)
    heroku.errors.clear()
    ids, _ = await walk(directory, heroku)

    assert failed.value.status == 503
    assert ids == [event(ago(2))["id"]]


async def test_a_refused_credential_asks_for_another(directory: Directory) -> None:
    heroku = Heroku({"corp": []})
    heroku.errors["corp", None] = RemoteUnauthorized(401, "Invalid credentials provided.")

    with pytest.raises(NeedsReauth):
        await ask(directory, heroku)


async def test_places_that_can_not_be_read_are_an_error_unless_a_part_will_do(directory: Directory) -> None:
    heroku = Heroku({})
    heroku.accounts = forbidden("read")
    with pytest.raises(RemoteError):
        await ask(directory, heroku)
    part = await ask(directory, heroku, "allow_partial=true")

    assert (part.records, part.next_cursor, reasons(part)) == ([], None, ["missing_scope"])


async def test_without_any_place_there_is_nothing_and_nothing_is_missing(directory: Directory) -> None:
    ids, pages = await walk(directory, Heroku({}))

    assert (ids, reasons(pages[0])) == ([], [])


async def test_days_that_are_over_are_asked_for_once_and_today_again(directory: Directory, clock: Clock) -> None:
    heroku = Heroku({"corp": [event(ago(day)) for day in range(30)]})
    await walk(directory, heroku)
    heroku.asked.clear()
    clock.tick(61)
    await walk(directory, heroku)

    assert heroku.asked == [("corp", str(TODAY))]


async def test_a_day_read_before_it_was_settled_is_read_once_more(directory: Directory, clock: Clock) -> None:
    heroku = Heroku({"corp": [event(TODAY)]})
    await walk(directory, heroku)
    late = event(TODAY, 700)
    heroku.events["corp", str(TODAY)].append(late)
    clock.tick(86_400)
    ids, _ = await walk(directory, heroku)

    assert ids == [late["id"], event(TODAY)["id"]]


async def test_whoever_wrote_sees_it_in_todays_list(directory: Directory) -> None:
    heroku = Heroku({"corp": []})
    await ask(directory, heroku)
    heroku.events["corp", str(TODAY)] = [event(TODAY)]
    await directory.touched("a", heroku, "/teams/t/members")
    heroku.asked.clear()
    answer = await ask(directory, heroku)

    assert [record.key for record in answer.records] == [event(TODAY)["id"]]
    assert heroku.asked == [("corp", str(TODAY))]


async def test_an_account_that_is_forgotten_leaves_no_day_behind(directory: Directory) -> None:
    heroku = Heroku({"corp": [event(ago(2))]})
    await ask(directory, heroku)
    directory.forget("a")
    heroku.asked.clear()
    await ask(directory, heroku)

    assert len(heroku.asked) == 30


async def test_callers_that_come_together_share_each_fetch(directory: Directory) -> None:
    heroku = Heroku({"corp": [event(ago(day)) for day in range(30)]})
    await asyncio.gather(*(ask(directory, heroku) for _ in range(5)))

    assert len(heroku.asked) == len(set(heroku.asked)) == 30


async def test_the_reserve_is_left_alone_and_what_was_not_read_is_told(clock: Clock) -> None:
    heroku = Heroku({"corp": [event(ago(20))]})
    heroku.budget.remaining = 505
    directory = new_directory(clock, reserve=500)
    answer = await ask(directory, heroku)
    await directory.close()

    assert heroku.budget.remaining is not None
    assert heroku.budget.remaining >= 500
    assert (answer.records, answer.next_cursor) == ([], None)
    assert "budget_reserved" in reasons(answer)


async def test_a_page_that_holds_something_goes_on_by_its_cursor_when_the_budget_is_back(clock: Clock) -> None:
    heroku = Heroku({"corp": [event(ago(0)), event(ago(20))]})
    heroku.budget.remaining = 505
    directory = new_directory(clock, reserve=500)
    first = await ask(directory, heroku)
    heroku.budget.remaining = 4500
    clock.tick(3600)
    rest = await ask(directory, heroku, f"next_cursor={first.next_cursor}")
    await directory.close()

    assert [record.key for record in first.records] == [event(ago(0))["id"]]
    assert "budget_reserved" not in reasons(first)
    assert [record.key for record in rest.records] == [event(ago(20))["id"]]


async def test_a_stream_short_of_budget_says_that_it_is_not_all(clock: Clock) -> None:
    heroku = Heroku({"corp": [event(ago(day)) for day in range(30)]})
    heroku.budget.remaining = 505
    directory = new_directory(clock, reserve=500)
    answer = await ask(directory, heroku, "truto_response_format=stream")
    await directory.close()

    assert answer.next_cursor is None
    assert "budget_reserved" in reasons(answer)


async def test_a_page_that_takes_too_long_is_told_to_come_again(clock: Clock) -> None:
    heroku = Heroku({"corp": [event(ago(0))]})
    heroku.gate.clear()
    directory = new_directory(clock, wait=0.01)
    with pytest.raises(DirectoryGathering):
        await ask(directory, heroku)
    part = await ask(directory, heroku, "allow_partial=true")
    heroku.gate.set()
    await directory.close()

    assert "gathering" in reasons(part)


async def test_an_answer_says_how_old_todays_list_is(directory: Directory, clock: Clock) -> None:
    heroku = Heroku({"corp": [event(TODAY)]})
    await ask(directory, heroku)
    clock.tick(30)
    answer = await ask(directory, heroku)

    assert answer.age == 30
    assert answer.last_modified == NOON
    assert answer.paths[0] == (f"/enterprise-accounts/corp/events?day={TODAY}", 200, NOON)


async def test_a_caller_who_insists_gets_today_anew_and_no_other_day(directory: Directory, clock: Clock) -> None:
    heroku = Heroku({"corp": [event(ago(day)) for day in range(30)]})
    await ask(directory, heroku)
    heroku.asked.clear()
    clock.tick(1)
    await ask(directory, heroku, max_age=0)

    assert heroku.asked == [("corp", str(TODAY))]


async def test_an_event_that_can_not_be_read_is_told(directory: Directory) -> None:
    heroku = Heroku({"corp": [event(TODAY), {**event(TODAY, 1), "type": 7}]})
    answer = await ask(directory, heroku)

    assert [record.key for record in answer.records] == [event(TODAY)["id"]]
    assert "record_unreadable" in reasons(answer)


async def test_a_cursor_of_another_shape_is_refused(directory: Directory) -> None:
    parsed = parse_list(ACTIVITIES, {})
    sealed = Cursors([b"k" * 32]).seal(f"a|activities|{parsed.fingerprint()}", {"not": "ours"})

    with pytest.raises(InvalidCursor):
        await ask(directory, Heroku({"corp": []}), f"next_cursor={sealed}")


EVENTS = st.lists(st.tuples(st.integers(0, 33), st.integers(0, 1439), st.sampled_from(["one", "two"])), max_size=60)


@settings(max_examples=60, deadline=None)
@given(events=EVENTS, limit=st.integers(1, 20), later=EVENTS)
def test_a_walk_repeats_nothing_and_skips_nothing(
    events: list[tuple[int, int, str]], limit: int, later: list[tuple[int, int, str]]
) -> None:
    """Whatever happens meanwhile happens today, after all that was."""

    async def walked() -> None:
        clock = Clock()
        directory = new_directory(clock)
        made: dict[str, dict[str, dict[str, Any]]] = {"one": {}, "two": {}}
        for day, minute, name in events:
            record = event(ago(day), minute)
            made[name][record["id"] + name] = {**record, "id": record["id"] + name}
        heroku = Heroku({name: records.values() for name, records in made.items()})
        ids: list[str] = []
        cursor = ""
        added = iter(later)
        while True:
            page = await ask(directory, heroku, f"limit={limit}&next_cursor={cursor}")
            assert page.records or page.next_cursor is None
            ids += [record.key for record in page.records]
            if page.next_cursor is None:
                break
            cursor = page.next_cursor
            if (new := next(added, None)) is not None:
                heroku.events.setdefault((new[2], str(TODAY)), []).append(
                    {**event(TODAY), "id": f"new-{len(ids)}", "created_at": f"{TODAY}T23:59:59.5Z"}
                )
                clock.tick(61)
        await directory.close()
        expected = [
            (record["created_at"], record["id"])
            for records in made.values()
            for record in records.values()
            if record["created_at"][:10] >= str(ago(29))
        ]
        newest_first = sorted(sorted(expected, key=lambda e: e[1]), key=lambda e: e[0], reverse=True)
        assert [key for key in ids if not key.startswith("new-")] == [key for _, key in newest_first]
        assert len(ids) == len(set(ids))

    asyncio.run(walked())
