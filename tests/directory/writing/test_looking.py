"""What became of a call whose answer was lost, and of one that was refused as needless."""

from typing import Any

import pytest

from adapter.directory.writing.looking import amounts_to, lag
from adapter.directory.writing.model import Ask, GroupAsk, Holding, Step
from adapter.directory.writing.planning import Planner
from adapter.errors import RemoteError, RemoteNotFound, RemoteRateLimited
from adapter.sandbox import Options, RunningSandbox
from tests.directory.fakes import SHIPPED
from tests.directory.writing.desks import ask, desk_at, give, put, send, take
from tests.directory.writing.worlds import ADA, BOB, sandbox

CALLS = [
    ("inviting", ADA, "give", ()),
    ("plain", ADA, "give", ("member",)),
    ("plain", BOB, "set", ("admin",)),
    ("plain", BOB, "take", ()),
    ("web", ADA, "give", ("view",)),
    ("web", BOB, "give", ("manage",)),
    ("shop", ADA, "give", ("collaborator",)),
    ("mine", BOB, "take", ()),
    ("space-1", BOB, "take", ()),
    ("corp", ADA, "give", ("view",)),
    ("corp", BOB, "take", ("billing",)),
]


def wished(heroku: RunningSandbox, name: str, who: str, verb: str, roles: tuple[str, ...]) -> Ask:
    world = heroku.world
    place = world.team(name) or world.app(name) or world.space(name) or world.enterprise(name)
    make: Any = {"give": give, "set": put, "take": take}[verb]
    return ask("users.update", who, make(place, *roles))


@pytest.mark.parametrize(("name", "who", "verb", "roles"), CALLS)
async def test_a_lost_answer_is_told_from_what_is_there(name: str, who: str, verb: str, roles: tuple[str, ...]) -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            wish = wished(heroku, name, who, verb, roles)
            (step,) = (await Planner().plan(desk, wish)).steps
            before = await Planner().look_up(desk, wish, step)
            await send(desk, step)
            after = await Planner().look_up(desk, wish, step)

    assert (before, after) == ("not_done", "done")


async def test_an_invitation_that_was_accepted_is_as_good_as_one_that_waits() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            wish = wished(heroku, "inviting", ADA, "give", ())
            (step,) = (await Planner().plan(desk, wish)).steps
            team = heroku.world.team("inviting")
            assert team is not None
            heroku.world.add_member(team, ADA, "member")

            assert await Planner().look_up(desk, wish, step) == "done"


async def test_what_can_not_be_read_is_unknown_and_an_empty_budget_is_told() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            wish = wished(heroku, "plain", BOB, "take", ())
            (step,) = (await Planner().plan(desk, wish)).steps
            heroku.faults([{"kind": "status", "status": 403, "match": {"path": "/teams/*/members"}, "times": 1}])
            refused = await Planner().look_up(desk, wish, step)
            heroku.faults([{"kind": "nonsense", "match": {"path": "/teams/*/members"}}])
            nonsense = await Planner().look_up(desk, wish, step)
            heroku.clear_faults()
            heroku.faults([{"kind": "status", "status": 403, "match": {"path": "/teams/*/invitations"}, "times": 9}])
            hidden = await Planner().look_up(desk, wish, step)
            heroku.clear_faults()
            heroku.budget(0)
            with pytest.raises(RemoteRateLimited):
                await Planner().look_up(desk, wish, step)

    assert (refused, nonsense, hidden) == ("unknown", "unknown", "unknown")


async def test_what_is_gone_and_still_listed_is_looked_at_until_the_list_is_past_it() -> None:
    naps: list[float] = []
    with sandbox(options=Options(consistency_s=60)) as heroku:

        async def nap(seconds: float) -> None:
            naps.append(seconds)
            heroku.advance(30)

        async with desk_at(heroku) as desk:
            wish = wished(heroku, "mine", BOB, "take", ())
            (step,) = (await Planner().plan(desk, wish)).steps
            await send(desk, step)
            with pytest.raises(RemoteNotFound) as refused:
                await send(desk, step)
            planner = Planner(sleep=nap)
            assert planner.says_already(desk, step, refused.value.status, refused.value.message)
            hasty = await planner.look_up(desk, wish, step)
            patient = await planner.look_up(desk, wish, step, patient=True)

    assert (hasty, patient) == ("not_done", "done")
    assert naps == [1.0, 2.0]


async def test_a_second_grant_reads_as_so_already_and_any_other_refusal_does_not() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            wish = wished(heroku, "mine", ADA, "give", ("collaborator",))
            (step,) = (await Planner().plan(desk, wish)).steps
            await send(desk, step)
            with pytest.raises(RemoteError) as refused:
                await send(desk, step)

            assert Planner().says_already(desk, step, refused.value.status, refused.value.message)
            assert not Planner().says_already(desk, step, 422, "Name is invalid")
            assert not Planner().says_already(desk, step, 403, refused.value.message)


async def test_groups_are_looked_up_by_their_names() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            corp, big = heroku.world.enterprise("corp"), heroku.world.team("big")
            assert corp is not None
            assert big is not None
            made = Ask(kind="groups.create", group=GroupAsk(name="fresh", organization_id=corp.id))
            renamed = Ask(kind="groups.update", group=GroupAsk(id=big.id, name="bigger"))
            gone = Ask(kind="groups.delete", group=GroupAsk(id=big.id))
            step = Step(n=1, call="groups.update", method="PATCH", path="/x", summary="")

            assert [await Planner().look_up(desk, each, step) for each in (made, renamed, gone)] == ["not_done"] * 3
            heroku.world.add_team("fresh", kind="enterprise", enterprise=corp)
            heroku.world.rename("team", big, "bigger")
            assert [await Planner().look_up(desk, each, step) for each in (made, renamed)] == ["done"] * 2
            missing = Ask(kind="groups.delete", group=GroupAsk(id="gone"))
            assert await Planner().look_up(desk, missing, step) == "done"
            assert (
                await Planner().look_up(desk, Ask(kind="groups.update", group=GroupAsk(id="gone")), step) == "unknown"
            )


@pytest.mark.parametrize(
    ("kind", "held", "after", "same"),
    [
        ("team", Holding(), Holding(), True),
        ("team", Holding(state="active", roles=("member",)), Holding(), False),
        ("team", Holding(state="pending", roles=("member",)), Holding(state="active", roles=("member",)), False),
        ("team", Holding(state="active", roles=("member",)), Holding(state="pending", roles=("member",)), True),
        ("team", Holding(state="active", roles=("admin",)), Holding(state="pending", roles=("member",)), False),
        (
            "app",
            Holding(state="active", roles=("view", "deploy")),
            Holding(state="active", roles=("collaborator",)),
            True,
        ),
        ("app", Holding(state="active", roles=("owner",)), Holding(state="active", roles=("collaborator",)), False),
        ("app", Holding(state="active", roles=("view",)), Holding(state="active", roles=("view", "deploy")), False),
    ],
)
def test_what_is_held_amounts_to_what_was_wanted(kind: str, held: Holding, after: Holding, same: bool) -> None:
    assert SHIPPED.writes is not None
    assert amounts_to(SHIPPED.writes.places[kind], held, after) is same


async def test_how_long_lists_lag_is_what_the_mapping_files_say() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            (step,) = (await Planner().plan(desk, wished(heroku, "mine", BOB, "take", ()))).steps

            assert lag(desk, step) == 15.0
