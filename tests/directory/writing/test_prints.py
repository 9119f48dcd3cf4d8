"""When two plans are the same, and how they differ."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.directory.lists import Missing
from adapter.directory.writing.model import Cost, Holding, Obstacle, Person, PlaceRef, Plan, RestsOn, Step
from adapter.directory.writing.prints import difference, fingerprint, said

TEAMS = [PlaceRef(kind="team", id=f"t{n}", name=f"team-{n}") for n in range(4)]
STEPS = [
    Step(
        n=n,
        call="team.remove",
        method="DELETE",
        path=f"/t/{team.id}",
        place=team,
        summary=f"Remove from {team.name}",
        before=Holding(state="active", roles=("member",)),
        after=Holding(),
    )
    for n, team in enumerate(TEAMS, 1)
]
OBSTACLES = [Obstacle(guard="last_admin", message="m", place=team) for team in TEAMS[:3]]
PLAN = Plan(
    kind="users.offboard",
    person=Person(id="bob", emails=("bob@example.com",)),
    steps=tuple(STEPS[:3]),
    obstacles=(OBSTACLES[0],),
    remains=tuple(OBSTACLES[1:]),
    already=(TEAMS[3],),
    rests_on=(RestsOn(unit="team_members", path="/t", age=1.0, fingerprint="x"),),
    cost=Cost(steps=3),
    etag="",
)


@given(order=st.permutations(range(3)), kept=st.permutations(range(2)), age=st.floats(0, 1e6), wait=st.integers(0, 100))
def test_order_age_and_cost_are_no_part_of_a_plan(order: list[int], kept: list[int], age: float, wait: int) -> None:
    steps = tuple(msgspec.structs.replace(STEPS[at], n=n) for n, at in enumerate(order, 1))
    other = msgspec.structs.replace(
        PLAN,
        steps=steps,
        remains=tuple(PLAN.remains[at] for at in kept),
        rests_on=(msgspec.structs.replace(PLAN.rests_on[0], age=age),),
        cost=Cost(steps=3, affordable_in=wait),
        etag="other",
    )

    assert fingerprint(other) == fingerprint(PLAN)
    assert difference(PLAN, other) == []


@pytest.mark.parametrize(
    "other",
    [
        msgspec.structs.replace(PLAN, steps=PLAN.steps[:2]),
        msgspec.structs.replace(PLAN, steps=(*PLAN.steps[:2], msgspec.structs.replace(STEPS[2], body={"a": 1}))),
        msgspec.structs.replace(PLAN, steps=(*PLAN.steps[:2], msgspec.structs.replace(STEPS[2], before=Holding()))),
        msgspec.structs.replace(PLAN, obstacles=()),
        msgspec.structs.replace(PLAN, obstacles=(msgspec.structs.replace(OBSTACLES[0], is_warning=True),)),
        msgspec.structs.replace(PLAN, remains=PLAN.remains[:1]),
        msgspec.structs.replace(PLAN, already=()),
        msgspec.structs.replace(PLAN, unknown=(Missing(unit="teams", reason="forbidden", message="m"),)),
        msgspec.structs.replace(PLAN, person=Person(id="ada")),
        msgspec.structs.replace(PLAN, kind="users.delete"),
    ],
)
def test_whatever_else_is_other_makes_another_plan(other: Plan) -> None:
    assert fingerprint(other) != fingerprint(PLAN)


def test_a_difference_says_what_came_what_went_and_what_changed() -> None:
    changed = msgspec.structs.replace(STEPS[1], before=Holding(state="active", roles=("admin",)))
    new = msgspec.structs.replace(PLAN, steps=(STEPS[0], changed, STEPS[3]), obstacles=(), remains=PLAN.remains)

    lines = {(line["what"], line["change"]): line for line in difference(PLAN, new)}

    assert set(lines) == {("step", "changed"), ("step", "added"), ("step", "removed"), ("obstacle", "removed")}
    assert lines["step", "changed"]["after"]["before"]["roles"] == ("admin",)
    assert lines["step", "added"]["after"]["path"] == "/t/t3"
    assert "after" not in lines["step", "removed"]


def test_a_print_of_data_is_the_same_whatever_the_order_of_its_words() -> None:
    assert said({"a": 1, "b": [2]}) == said({"b": [2], "a": 1}) != said({"a": 1, "b": [3]})
