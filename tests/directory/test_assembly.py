"""From what was read to an answer: shaped once, what is missing told, and what the budget held back completed."""

import asyncio
import threading
from typing import Any

import pytest

from adapter.directory import assembly
from adapter.directory.assembly import compact, shaped_once
from adapter.directory.gather import Read
from adapter.directory.lists import Missing
from adapter.directory.state import State
from adapter.errors import BudgetReserved
from adapter.mapping.shaping import Shaped, shape
from tests.directory.fakes import SHIPPED, Provider, app, collaborator, member, nothing, of_team, team, two_teams
from tests.directory.house import EVERYBODY, INVITED, House, keys

USERS = SHIPPED.resources["users"]


def gaps(number: int, unit: str = "team_members", reason: str = "forbidden") -> list[Missing]:
    return [
        Missing(unit=unit, reason=reason, message="no", place={"team": {"id": f"t{n}"}}, retry_after=n)
        for n in range(number)
    ]


@pytest.mark.parametrize("number", [0, 1, 20])
def test_few_gaps_are_told_one_by_one(number: int) -> None:
    assert compact(gaps(number)) == gaps(number)


def test_many_gaps_of_one_unit_for_one_reason_are_one_with_their_number_and_the_first_places() -> None:
    told = compact([*gaps(5, reason="not_found"), *gaps(300), *gaps(20, "team_invitations")])

    assert len(told) == 26
    (many,) = (gap for gap in told if gap.count > 1)
    assert (many.unit, many.reason, many.count, many.place) == ("team_members", "forbidden", 300, {})
    assert many.places == tuple({"team": {"id": f"t{n}"}} for n in range(20))


def members_of(lineage: dict[str, Any], state: State) -> Read:
    return Read(unit=SHIPPED.units["team_members"], lineage=lineage, state=state)


def test_a_unit_is_shaped_once_for_each_version_of_it_and_of_what_it_hangs_on() -> None:
    state = State("/teams/t1/members", [member("ada")], fetched_at=1.0, cost=1)
    first = shaped_once(USERS, members_of({"team": team("t1")}, state))

    assert shaped_once(USERS, members_of({"team": team("t1")}, state)) is first

    unchanged = State("/teams/t1/members", [member("ada")], fetched_at=2.0, cost=1)
    unchanged.succeed(state)
    assert shaped_once(USERS, members_of({"team": team("t1")}, unchanged)) is first
    assert shaped_once(SHIPPED.resources["role_assignments"], members_of({"team": team("t1")}, unchanged)) is not first

    renamed = {"team": {**team("t1"), "name": "another"}}
    assert shaped_once(USERS, members_of(renamed, unchanged)) is not first

    changed = State("/teams/t1/members", [member("bob")], fetched_at=3.0, cost=1)
    changed.succeed(unchanged)
    assert shaped_once(USERS, members_of({"team": team("t1")}, changed)) is not first


# --- what the budget holds back


class Spending(Provider):
    """Each answer takes one from the budget; `lowest` is the least that ever was left."""

    lowest = 4500

    async def _answer(self, path: str) -> Any:
        if self.budget.remaining is not None:
            self.budget.remaining -= 1
            self.lowest = min(self.lowest, self.budget.remaining)
        return await super()._answer(path)


def spending(answers: dict[str, Any], left: int, **more: Any) -> tuple[House, Spending]:
    house = House(answers, reserve=500, refill=0.001, **more)
    provider = Spending(answers, remaining=left)
    house.provider = provider
    return house, provider


async def test_what_the_budget_does_not_allow_is_missing_and_follows_by_itself() -> None:
    house, provider = spending(two_teams(), 504)
    first = await house.ask()

    assert provider.lowest == 500
    assert {gap.reason for gap in first.missing} == {"budget_reserved"}
    assert all(gap.retry_after is not None and gap.retry_after >= 1 for gap in first.missing)
    assert set(keys(first)) < {*EVERYBODY, INVITED}

    provider.budget.remaining = 4500
    house.clock.tick(3600)
    await asyncio.wait_for(asyncio.gather(*house.directory._gatherings._following.values()), 10)
    provider.forget_calls()
    complete = await house.ask(max_age=7200)
    await house.directory.close()

    assert provider.calls == []
    assert complete.missing == ()
    assert {*keys(complete)} == {*EVERYBODY, INVITED}


async def test_what_is_known_is_answered_with_its_age_while_the_budget_is_low() -> None:
    house, provider = spending(two_teams(), 4500)
    first = await house.ask()
    provider.budget.remaining = 500
    house.clock.tick(100)
    provider.forget_calls()
    second = await house.ask()
    await house.directory.close()

    assert provider.calls == []
    assert (keys(second), second.missing, second.age) == (keys(first), (), 100.0)


async def test_what_a_write_touched_is_missing_rather_than_answered_as_it_was() -> None:
    house, provider = spending(two_teams(), 4500)
    await house.ask()
    await house.touched("/teams/t2/members")
    # Enough for the lists at the root, which a write touches too.
    provider.budget.remaining = 505
    second = await house.ask()
    await house.directory.close()

    assert provider.lowest >= 500
    assert {(gap.place["team"]["id"], gap.reason) for gap in second.missing} == {("t2", "budget_reserved")}


async def test_when_nothing_at_all_can_be_read_the_budget_is_the_error() -> None:
    house, provider = spending(two_teams(), 500)

    with pytest.raises(BudgetReserved) as refused:
        await house.ask()
    await house.directory.close()
    assert provider.calls == []
    assert int(refused.value.headers["retry-after"]) >= 1


async def test_many_lists_that_are_held_back_are_told_as_one() -> None:
    names = [f"t{number}" for number in range(60)]
    teams = {path: records for name in names for path, records in of_team(name, members=[member(name)]).items()}
    house, provider = spending({**nothing(), "/teams": [team(name) for name in names], **teams}, 510)
    answer = await house.ask()
    await house.directory.close()

    assert provider.lowest == 500
    assert any(gap.count > 20 and len(gap.places) == 20 for gap in answer.missing)


async def test_two_connections_to_one_provider_account_spend_from_one_purse() -> None:
    apps = [app(f"p{number}") for number in range(40)]
    people = {f"/apps/{a['id']}/collaborators": [collaborator("dan")] for a in apps}
    house, provider = spending({**nothing(), "/apps": apps, **people}, 530)

    answers = await asyncio.gather(house.ask(account="one"), house.ask(account="other"))
    await house.directory.close()

    assert provider.lowest == 500
    assert all(answer.missing for answer in answers)


@pytest.mark.parametrize(("people", "beside"), [(10, False), (1000, True)])
async def test_a_long_list_is_shaped_beside_the_loop(
    monkeypatch: pytest.MonkeyPatch, people: int, beside: bool
) -> None:
    threads = []

    def noted(*asked: Any) -> Shaped:
        threads.append(threading.current_thread())
        return shape(*asked)

    monkeypatch.setattr(assembly, "shape", noted)
    house = House({**two_teams(), "/teams/t1/members": [member(f"u{n}") for n in range(people)]})
    await house.ask("limit=1")

    assert any(thread is not threading.main_thread() for thread in threads) is beside
