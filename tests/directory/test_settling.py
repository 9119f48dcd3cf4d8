"""Lists that lag behind a write: nobody comes back by them, and they are read again until they can be relied on."""

import asyncio
from typing import Any

import msgspec
import pytest

from adapter.directory.keeping import DatabaseKeeper
from adapter.directory.settling import Settling, restored, settling_after, stored
from adapter.directory.state import State
from adapter.mapping.removals import Change, written
from adapter.storage.accounts import AccountStore
from adapter.storage.claims import OwnClaims
from adapter.storage.database import Database
from adapter.storage.units import UnitStore
from tests.directory.fakes import SHIPPED, app, collaborator, entity, team, two_teams
from tests.directory.house import House, keys
from tests.storage.samples import an_account

BOB = {"id": "c-bob", "user": {"id": "bob", "email": "bob@example.com"}, "app": {"id": "a1", "name": "name-a1"}}
CYD = {"id": "c-cyd", "user": {"id": "cyd", "email": "cyd@example.com"}, "app": {"id": "a1", "name": "name-a1"}}


async def wrote(house: House, method: str, path: str, answer: Any = None) -> None:
    async def said() -> bytes:
        return msgspec.json.encode(answer)

    await house.directory.touched("acc", house.provider, path, method=method, answer=said)


async def people(house: House, query: str = "") -> list[str]:
    return keys(await house.ask(query))


async def roles(house: House, key: str) -> list[str]:
    return sorted(role["id"] for role in (await house.get(key)).records[0].data["roles"])


async def forget(house: House) -> None:
    """What every write does with the changes before it."""
    units = await house.directory.opened("acc", house.provider)
    units.settling = units.settling.then(Settling(), house.clock())


# --- nobody comes back


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/apps/a1/collaborators/cyd@example.com", None),
        ("/apps/name-a1/collaborators/CYD%40example.com", None),
        ("/teams/apps/a1/collaborators/cyd", None),
        ("/apps/a1/collaborators/c-cyd", CYD),
        ("/apps/name-nobody-knows/collaborators/c-cyd", CYD),
    ],
)
async def test_whoever_was_taken_out_is_gone_though_the_lists_still_show_them(path: str, answer: Any) -> None:
    house = House(two_teams())
    assert "cyd" in await people(house)

    await wrote(house, "DELETE", path, answer)

    for seconds in (0, 2, 11, 1.5):
        house.clock.tick(seconds)
        assert "cyd" not in await people(house)
        assert "cyd" not in await people(house, "group_id=t1")


async def test_what_the_list_says_later_is_taken_at_its_word() -> None:
    house = House(two_teams())
    await people(house)
    await wrote(house, "DELETE", "/apps/a1/collaborators/cyd", CYD)
    await people(house)

    house.clock.tick(16)

    assert "cyd" in await people(house), "the provider still says so long after: it must be true"


async def test_a_reading_from_the_time_of_the_write_stays_without_them_however_old_it_gets() -> None:
    house = House(two_teams(), max_age=3600.0)
    await people(house)
    await wrote(house, "DELETE", "/apps/a1/collaborators/cyd", CYD)
    await people(house)
    house.provider.budget.remaining = 0
    house.clock.tick(20)

    assert "cyd" not in await people(house)


async def test_a_reading_whose_changes_are_forgotten_is_missing_rather_than_shown() -> None:
    house = House(two_teams(), max_age=3600.0)
    await people(house)
    await wrote(house, "DELETE", "/apps/a1/collaborators/cyd", CYD)
    await people(house)
    house.provider.budget.remaining = 0
    house.clock.tick(700)
    await forget(house)

    view = await house.ask("")

    assert "cyd" not in keys(view)
    assert {missing.reason for missing in view.missing} == {"budget_reserved"}


async def test_whoever_left_a_place_that_nobody_had_read_is_not_shown_there_for_long_after() -> None:
    house = House(two_teams(), max_age=3600.0)
    await wrote(house, "DELETE", "/apps/a1/collaborators/cyd", CYD)
    assert "cyd" not in await people(house)
    house.clock.tick(700)
    await forget(house)

    assert "cyd" not in await people(house)


async def test_whoever_is_put_in_again_is_there_at_once() -> None:
    house = House(two_teams())
    await people(house)
    await wrote(house, "DELETE", "/apps/a1/collaborators/cyd", CYD)
    await wrote(house, "POST", "/apps/a1/collaborators", BOB)
    assert "cyd" not in await people(house), "putting another one in brings nobody back"

    await wrote(house, "POST", "/apps/name-a1/collaborators", CYD)

    assert "cyd" in await people(house)


async def test_leaving_a_team_ends_what_its_apps_gave_and_nothing_elsewhere() -> None:
    house = House(two_teams())
    assert await roles(house, "bob") == ["app:view", "team:member", "team:viewer"]

    await wrote(house, "DELETE", "/teams/t1/members/bob@example.com")

    assert await roles(house, "bob") == ["team:viewer"]


async def test_a_gather_that_began_before_the_write_brings_nobody_back() -> None:
    house = House(two_teams())
    gate = house.provider.block("/teams/t2/members")
    early = asyncio.create_task(house.ask())
    await house.provider.begun["/teams/t2/members"].wait()
    await wrote(house, "DELETE", "/apps/a1/collaborators/cyd", CYD)
    gate.set()

    assert "cyd" not in keys(await early)


async def test_the_fall_back_lists_are_without_them_too() -> None:
    house = House({**two_teams(), "/teams/t1/permissions": [entity("a1", {"bob": ["view"], "zed": ["view"]})]})
    assert "zed" not in await people(house), "the permissions proved wrong, so the apps are asked one by one"

    await wrote(house, "DELETE", "/apps/a1/collaborators/cyd", CYD)

    assert "cyd" not in await people(house)


async def test_an_answer_says_that_it_changed_when_somebody_was_taken_out() -> None:
    house = House(two_teams())
    before = await house.ask()
    house.clock.tick(5)
    await wrote(house, "DELETE", "/apps/a1/collaborators/cyd", CYD)

    assert (await house.ask()).last_modified == before.last_modified + 5


# --- reading again


async def test_a_list_that_settles_is_read_again_with_each_question_and_once_more_after() -> None:
    house = House(two_teams())
    await people(house)
    await wrote(house, "DELETE", "/apps/a1/collaborators/cyd", CYD)
    await people(house)

    asked = []
    for seconds in (2, 2, 12, 2):
        house.clock.tick(seconds)
        asked.append(await house.calls())

    assert asked == [["/teams/t1/permissions"], ["/teams/t1/permissions"], ["/teams/t1/permissions"], []]


async def test_a_write_to_a_place_that_is_not_known_leaves_no_list_to_be_read_again_and_again() -> None:
    house = House(two_teams())
    await people(house)
    await wrote(house, "DELETE", "/apps/nobody-knows-it/collaborators/x@example.com")
    await people(house)
    house.clock.tick(2)

    assert await house.calls() == []


async def test_a_proof_waits_until_both_lists_have_settled() -> None:
    answers = two_teams()
    house = House(answers)
    await people(house)
    house.clock.tick(86_400)
    await wrote(house, "DELETE", "/apps/a1/collaborators/cyd", CYD)
    house.provider.answers["/apps/a1/collaborators"] = [collaborator("bob", "view")]

    calls = await house.calls()

    assert "/teams/t1/permissions" in calls
    assert "/apps/a1/collaborators" not in calls, "one list that lags behind disproves nothing"
    house.clock.tick(20)
    house.provider.answers["/teams/t1/permissions"] = [entity("a1", {"bob": ["view"]})]
    assert "/apps/a1/collaborators" in await house.calls()


# --- what is kept


def states(*paths: str) -> dict[str, State]:
    lists = {"/apps": [app("a1", "t1")], "/teams": [team("t1"), team("t2")]}
    return {path: State(path, lists.get(path, []), fetched_at=0.0, cost=1) for path in (*lists, *paths)}


def test_the_lists_of_the_place_and_of_what_it_hangs_on_settle() -> None:
    known = states("/teams/t1/permissions", "/teams/t1/members", "/apps/a1/collaborators", "/teams/t2/permissions")
    write = written(SHIPPED.removals, "DELETE", "/apps/name-a1/collaborators/x", b"")
    assert write is not None

    settling = settling_after(SHIPPED, known, write, 100.0)

    assert settling.units == {"/teams/t1/permissions": 115.0, "/apps/a1/collaborators": 115.0}
    assert settling.latest == 115.0
    assert settling.changes[0].places == {"name-a1", "a1"}


def test_a_write_that_does_not_say_whom_it_put_in_leaves_nobody_to_hide() -> None:
    write = written(SHIPPED.removals, "POST", "/apps/a1/collaborators", b"")
    assert write is not None

    assert settling_after(SHIPPED, states(), write, 0.0).changes == ()


def test_what_is_long_over_is_forgotten() -> None:
    def of(at: float) -> Settling:
        change = Change(
            kind="app_access", places=frozenset({"a"}), names=frozenset({"x"}), gone=True, at=at, until=at + 15
        )
        return Settling(changes=(change,), units={f"/{at}": at + 15})

    day_later = of(0.0).then(of(86_400.0), 86_400.0)

    assert day_later == of(86_400.0)
    assert of(0.0).then(of(10.0), 10.0).changes == (*of(0.0).changes, *of(10.0).changes)


@pytest.mark.parametrize("kept", [None, {}, {"changes": 7}, [], {"changes": [{"kind": "x"}]}])
def test_what_another_version_kept_is_passed_over(kept: Any) -> None:
    assert restored(kept) == Settling()


def test_what_is_kept_comes_back() -> None:
    change = Change(kind="k", places=frozenset({"a"}), names=frozenset({"x", "y"}), gone=True, at=1.0, until=16.0)
    settling = Settling(changes=(change,), units={"/a": 16.0})

    assert restored(msgspec.json.decode(msgspec.json.encode(stored(settling)))) == settling


async def test_another_directory_on_the_same_database_knows_whom_a_write_took_out(database: Database) -> None:
    await AccountStore(database).add(an_account(id="acc"), b"sealed")
    store = UnitStore(database)
    houses = [
        House(two_teams(), keeper=lambda key: DatabaseKeeper(key, store, OwnClaims(), shared=True)) for _ in range(2)
    ]
    one, other = houses
    assert "cyd" in await people(one)
    assert "cyd" in await people(other)

    await wrote(one, "DELETE", "/apps/a1/collaborators/cyd", CYD)

    assert "cyd" not in await people(other)
    assert "cyd" not in await people(House(two_teams(), keeper=lambda key: DatabaseKeeper(
        key, store, OwnClaims(), shared=False
    ))), "nor after a restart"  # fmt: skip
