"""What a desk reads: anew where it must, at little cost where nothing has changed, and out of the reserve."""

import pytest

from adapter.directory.writing.desk import Desk
from adapter.directory.writing.ground import Blocked, Ground
from adapter.directory.writing.model import PersonRef, PlaceRef
from adapter.directory.writing.people import Whom, look_for
from adapter.errors import BudgetReserved, Unprocessable, UpstreamFailure
from adapter.mapping.engine import anonymous_id
from adapter.mapping.model import Model
from adapter.sandbox import RunningSandbox
from tests.directory.fakes import SHIPPED
from tests.directory.writing.desks import desk_at, ref
from tests.directory.writing.worlds import ADA, BOB, sandbox


def of_team(heroku: RunningSandbox, name: str) -> dict[str, dict[str, str]]:
    team = heroku.world.team(name)
    assert team is not None
    return {"team": {"id": team.id}}


async def test_a_list_that_has_not_changed_is_asked_for_by_its_etag() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            unit, lineage = SHIPPED.units["team_members"], of_team(heroku, "plain")
            first = await desk.fresh(unit, lineage)
            again = await desk.fresh(unit, lineage)
            statuses = [entry["status"] for entry in heroku.requests(path="/teams/*/members")]

    assert statuses == [200, 304]
    assert again.state.records == first.state.records
    assert again.state.fetched_at > first.state.fetched_at


async def test_what_was_read_since_is_not_read_again_unless_a_write_went_by() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            unit, lineage = SHIPPED.units["team_members"], of_team(heroku, "plain")
            began = desk.units.now()
            await desk.fresh(unit, lineage)
            await desk.fresh(unit, lineage, since=began)
            before = heroku.request_count(path="/teams/*/members")
            await desk.units.make_stale(lambda _: True)
            await desk.fresh(unit, lineage, since=began)

            assert (before, heroku.request_count(path="/teams/*/members")) == (1, 2)


async def test_a_write_may_read_what_a_refresh_may_not() -> None:
    with sandbox() as heroku:
        heroku.budget(100)
        async with desk_at(heroku) as desk:
            await desk.client.send("GET", "/account")
            unit, lineage = SHIPPED.units["team_members"], of_team(heroku, "plain")
            with pytest.raises(BudgetReserved):
                await desk.units.read(unit, unit.path(lineage), desk.client, 0.0)

            assert (await desk.fresh(unit, lineage)).state.records


async def test_what_is_at_hand_asks_for_nothing() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            assert await desk.at_hand(desk.writes.units()) == []
            await desk.gathered(desk.writes.units())
            asked = heroku.request_count()

            assert len(await desk.at_hand(desk.writes.units())) > 10
            assert heroku.request_count() == asked


async def test_a_directory_that_can_be_read_in_part_is_better_than_none() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            heroku.faults([{"kind": "nonsense", "match": {"path": "/spaces"}}])
            gather = await desk.gathered(desk.writes.units())
            assert {gap.unit for gap in gather.pending()} >= {"spaces"}

        heroku.faults([{"kind": "nonsense", "match": {"path": "/*"}}])
        async with desk_at(heroku) as desk:
            with pytest.raises(UpstreamFailure):
                await desk.gathered(desk.writes.units())


async def test_nothing_is_written_where_nothing_is_declared() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            only_read = Model(units=SHIPPED.units, resources=SHIPPED.resources, removals=SHIPPED.removals)
            without = Desk(account_id="a", client=desk.client, units=desk.units, model=only_read)

            with pytest.raises(Unprocessable):
                _ = without.writes


# --- people


async def test_somebody_is_found_by_address_by_id_and_by_the_id_of_an_invitation() -> None:
    with sandbox() as heroku:
        bob, team = heroku.world.account(BOB), heroku.world.team("inviting")
        assert bob is not None
        assert team is not None
        heroku.world.invite(team, "New@Example.com", "member")
        async with desk_at(heroku) as desk:
            reads = (await desk.gathered(desk.writes.units())).reads()
            users = desk.people
            assert users is not None
            refs = [
                PersonRef(email=" BOB@example.com"),
                PersonRef(user_id=bob.id),
                PersonRef(user_id=anonymous_id(users, BOB)),
                PersonRef(user_id=anonymous_id(users, "new@example.com")),
                PersonRef(user_id=anonymous_id(users, "nobody@example.com")),
                PersonRef(user_id="nobody"),
            ]
            people = []
            for named in refs:
                whom = Whom(named, users)
                found, faults = await look_for(desk, whom, reads)
                assert faults == []
                people.append((whom.id, whom.email, len({(kind.name, entry.place_id) for kind, _, entry in found})))

    assert people[:3] == [(bob.id, BOB, 8)] * 3
    assert people[3:] == [(None, "new@example.com", 1), (None, None, 0), ("nobody", None, 0)]


async def test_a_record_that_can_not_be_read_is_told_not_left_out() -> None:
    with sandbox() as heroku:
        async with desk_at(heroku) as desk:
            read = await desk.fresh(SHIPPED.units["team_members"], of_team(heroku, "plain"))
            assert read.state.records is not None
            read.state.records.append({"email": BOB, "role": "member", "user": 7, "federated": {}})
            read.state.records.append([BOB])

            found, faults = await look_for(desk, Whom(PersonRef(email=BOB), desk.people), [read])

    assert found == []
    assert [text for _, text in faults] == ["a record is list, not an object"]


# --- places


async def test_a_place_is_resolved_by_its_id_even_where_another_has_that_name() -> None:
    with sandbox() as heroku:
        plain = heroku.world.team("plain")
        assert plain is not None
        heroku.world.add_team(plain.id, admins=["rita@example.com"])
        async with desk_at(heroku) as desk:
            spot = await Ground(desk, since=desk.units.now()).spot(ref(plain))

    assert spot.ref == PlaceRef(kind="team", id=plain.id, name="plain")


async def test_a_workspace_is_an_app_or_a_space() -> None:
    with sandbox() as heroku:
        space, app = heroku.world.space("space-1"), heroku.world.app("web")
        assert space is not None
        assert app is not None
        async with desk_at(heroku) as desk:
            ground = Ground(desk, since=desk.units.now())
            kinds = [(await ground.spot(PlaceRef(kind="workspace", id=each.id))).kind.name for each in (space, app)]

    assert kinds == ["space", "app"]


async def test_invitations_out_of_sight_are_unknown_and_members_out_of_sight_stop_a_change() -> None:
    with sandbox() as heroku:
        team = heroku.world.team("inviting")
        assert team is not None
        async with desk_at(heroku) as desk:
            heroku.faults([{"kind": "status", "status": 403, "match": {"path": "/teams/*/invitations"}}])
            ground = Ground(desk, since=desk.units.now())
            spot = await ground.spot(ref(team))
            entries = await ground.entries(spot)
            heroku.faults([{"kind": "status", "status": 403, "match": {"path": "/teams/*/members"}}])
            later = Ground(desk, since=desk.units.now())
            with pytest.raises(Blocked) as blocked:
                await later.entries(spot)

    assert {entry.email for entry in entries} >= {BOB}
    assert ADA not in {entry.email for entry in entries}
    assert [gap.unit for gap in ground.unknown] == ["team_invitations"]
    assert blocked.value.obstacle.guard == "unreadable"
    assert blocked.value.obstacle.details["status"] == 403
