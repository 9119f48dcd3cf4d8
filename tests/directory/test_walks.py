"""A walk over all pages of a directory that is refreshed under it: whoever stays is met, and nobody is met twice."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.directory.fakes import member, nothing, of_team, team
from tests.directory.house import House

PEOPLE = [f"p{number:02}" for number in range(12)]
TEAMS = ["t1", "t2", "t3"]
Crew = frozenset[str]
CREWS = st.fixed_dictionaries({name: st.frozensets(st.sampled_from(PEOPLE)) for name in TEAMS})


def world(crews: dict[str, Crew]) -> dict[str, Any]:
    lists = {
        path: records
        for name in TEAMS
        for path, records in of_team(name, members=[member(who) for who in sorted(crews[name])]).items()
    }
    return {**nothing(), "/teams": [team(name) for name in TEAMS], **lists}


def everybody(crews: dict[str, Crew]) -> Crew:
    """Whoever stands in any team, and the account itself, which is in none."""
    return frozenset().union(*crews.values())


@pytest.mark.parametrize("fresh", [True, False], ids=["every page is read anew", "writes are told"])
@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(CREWS, min_size=1, max_size=6),
    limit=st.integers(1, 7),
    order=st.sampled_from(["", "&sort_by=username", "&sort_by=-username"]),
)
async def test_walking_while_people_come_and_go_repeats_nobody_and_skips_nobody_who_stayed(
    fresh: bool, steps: list[dict[str, Crew]], limit: int, order: str
) -> None:
    house = House(world(steps[0]))
    met: list[str] = []
    seen_in: list[Crew] = []
    cursor = ""
    for number in range(1_000):
        crews = steps[min(number, len(steps) - 1)]
        house.provider.answers = world(crews)
        house.clock.tick(1)
        if not fresh:
            await house.touched("/teams")
        page = await house.ask(f"limit={limit}{order}&next_cursor={cursor}", max_age=0.0 if fresh else None)
        assert page.records or page.next_cursor is None
        met += [record.key for record in page.records]
        seen_in.append(everybody(crews))
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    await house.directory.close()

    stayed = frozenset.intersection(*seen_in)
    assert len(met) == len(set(met))
    assert stayed <= set(met)
    assert set(met) - {"me"} <= frozenset().union(*seen_in)
