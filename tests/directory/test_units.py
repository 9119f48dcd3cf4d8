"""One unit: fetched by whoever asks first, kept as long as it may be, and what its errors mean."""

import asyncio
from typing import Any

import pytest

from adapter.directory.lists import lasting
from adapter.directory.units import AccountUnits
from adapter.errors import (
    AdapterError,
    NeedsReauth,
    RemoteError,
    RemoteRateLimited,
    RemoteUnauthorized,
    UpstreamNonsense,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from tests.directory.fakes import SHIPPED, Clock, Provider, forbidden, missing

TEAMS = SHIPPED.units["teams"]
ACCOUNT = SHIPPED.units["account"]


class Desk:
    """One account's units with a provider that knows `/teams`."""

    def __init__(self, answer: Any) -> None:
        self.clock = Clock()
        self.units = AccountUnits(self.clock)
        self.provider = Provider({"/teams": answer, "/account": {"id": "me"}})

    async def read(self, max_age: float = 60.0) -> Any:
        return await self.units.read(TEAMS, "/teams", self.provider, max_age)


async def test_many_who_ask_at_once_cause_one_request() -> None:
    desk = Desk([{"id": "t1"}])
    gate = desk.provider.block("/teams")
    asking = [asyncio.create_task(desk.read()) for _ in range(20)]
    await desk.provider.begun["/teams"].wait()
    gate.set()

    states = await asyncio.gather(*asking)

    assert desk.provider.calls == ["/teams"]
    assert {id(state) for state in states} == {id(states[0])}


async def test_a_unit_is_read_again_only_once_it_is_older_than_it_may_be() -> None:
    desk = Desk([])
    first = await desk.read()

    desk.clock.tick(60)
    assert await desk.read() is first
    desk.clock.tick(0.1)
    assert await desk.read() is not first
    desk.clock.tick(1)
    await desk.read(max_age=0)
    assert len(desk.provider.calls) == 3


async def test_whoever_leaves_does_not_take_the_request_along() -> None:
    desk = Desk([{"id": "t1"}])
    gate = desk.provider.block("/teams")
    leaving, staying = asyncio.create_task(desk.read()), asyncio.create_task(desk.read())
    await desk.provider.begun["/teams"].wait()

    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    gate.set()

    assert (await staying).records == [{"id": "t1"}]
    assert desk.provider.calls == ["/teams"]


async def test_equal_records_keep_their_version_and_the_time_of_their_last_change() -> None:
    desk = Desk([{"id": "t1"}])
    first = await desk.read()
    desk.clock.tick(100)
    second = await desk.read()
    desk.provider.answers["/teams"] = [{"id": "t1"}, {"id": "t2"}]
    desk.clock.tick(100)
    third = await desk.read()

    assert (second.version, second.changed_at) == (first.version, first.changed_at)
    assert second.records is first.records
    assert second.fetched_at == first.fetched_at + 100
    assert third.version != first.version
    assert third.changed_at == third.fetched_at


async def test_a_unit_that_a_write_touched_is_read_again_however_young() -> None:
    desk = Desk([])
    first = await desk.read()
    generation = desk.units.generation

    assert await desk.units.make_stale(lambda path: path == "/teams") == 1
    assert desk.units.generation != generation
    assert first.stale
    assert (await desk.read()).stale is False
    assert len(desk.provider.calls) == 2


async def test_a_write_elsewhere_leaves_a_unit_as_it_is() -> None:
    desk = Desk([])
    first = await desk.read()

    assert await desk.units.make_stale(lambda path: path == "/apps") == 0
    assert await desk.read() is first


async def test_a_fetch_under_way_during_a_write_is_stale_when_it_lands() -> None:
    desk = Desk([])
    gate = desk.provider.block("/teams")
    asking = asyncio.create_task(desk.read())
    await desk.provider.begun["/teams"].wait()
    await desk.units.make_stale(lambda _: False)
    gate.set()

    assert (await asking).stale
    await desk.read()
    assert len(desk.provider.calls) == 2


async def test_whoever_asks_after_a_write_in_the_moment_in_which_a_fetch_from_before_it_ends_is_answered() -> None:
    desk = Desk([{"id": "t1"}])
    gate = desk.provider.block("/teams")
    before = asyncio.create_task(desk.read())
    await desk.provider.begun["/teams"].wait()
    await desk.units.make_stale("/teams".__eq__)
    gate.set()
    # The fetch ends in the next turn of the loop, in which this asks too: before anybody hears of that end.
    after = asyncio.create_task(desk.read())

    assert not (await after).stale
    assert (await before).stale
    assert desk.provider.calls == ["/teams"] * 2


async def test_whoever_asks_after_a_write_is_not_answered_by_a_fetch_from_before_it() -> None:
    desk = Desk([{"id": "before"}])
    gate = desk.provider.block("/teams")
    early = asyncio.create_task(desk.read())
    await desk.provider.begun["/teams"].wait()
    await desk.units.make_stale(lambda _: True)
    late = asyncio.create_task(desk.read())
    await asyncio.sleep(0)
    gate.set()
    await early
    desk.provider.answers["/teams"] = [{"id": "after"}]

    assert not (await late).stale
    assert len(desk.provider.calls) == 2


async def test_generations_do_not_come_again_when_an_account_is_read_anew() -> None:
    assert AccountUnits().generation != AccountUnits().generation


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (forbidden(), True),
        (missing(), True),
        (RemoteError(402, remote_id="delinquent"), True),
        (RemoteError(410, remote_id="gone"), True),
        (RemoteError(422, remote_id="verification_needed"), True),
        (RemoteRateLimited(429), False),
        (RemoteError(500), False),
        (RemoteError(503), False),
        (UpstreamUnreachable(), False),
        (UpstreamTimeout(), False),
        (UpstreamNonsense(), False),
    ],
)
async def test_what_tells_of_the_place_is_kept_and_what_tells_of_the_moment_is_raised(
    error: AdapterError, expected: bool
) -> None:
    desk = Desk(error)

    assert lasting(error) is expected
    if expected:
        state = await desk.read()
        assert (state.records, state.error, state.cost) == (None, error, 1)
        assert await desk.read() is state
        return
    with pytest.raises(type(error)):
        await desk.read()
    desk.provider.answers["/teams"] = [{"id": "t1"}]
    assert (await desk.read()).records == [{"id": "t1"}]


async def test_a_failure_of_the_moment_leaves_what_was_known() -> None:
    desk = Desk([{"id": "t1"}])
    first = await desk.read()
    desk.provider.answers["/teams"] = UpstreamTimeout()
    desk.clock.tick(100)

    with pytest.raises(UpstreamTimeout):
        await desk.read()
    assert await desk.read(max_age=200) is first


async def test_a_credential_that_is_refused_asks_for_a_new_connection() -> None:
    desk = Desk(RemoteUnauthorized(401))

    with pytest.raises(NeedsReauth):
        await desk.read()


async def test_a_single_object_is_a_list_of_one() -> None:
    desk = Desk([])

    state = await desk.units.read(ACCOUNT, "/account", desk.provider, 60.0)

    assert (state.records, state.cost) == ([{"id": "me"}], 1)


@pytest.mark.parametrize("body", [b"[]", b"{", b"", b"null", b'"me"'])
async def test_a_single_object_that_is_none_is_nonsense(body: bytes) -> None:
    desk = Desk([])
    desk.provider.answers["/account"] = body

    with pytest.raises(UpstreamNonsense):
        await desk.units.read(ACCOUNT, "/account", desk.provider, 60.0)


async def test_a_unit_is_asked_for_in_its_order_and_with_its_accept() -> None:
    desk = Desk([])
    desk.provider.answers["/teams/t1/invitations"] = []
    await desk.read()
    await desk.units.read(SHIPPED.units["team_invitations"], "/teams/t1/invitations", desk.provider, 60.0)

    accept = SHIPPED.units["team_invitations"].accept
    assert desk.provider.asked == [
        ("/teams", None, None, "id"),
        ("/teams/t1/invitations", None, {"Accept": accept}, "id"),
    ]


async def test_closing_ends_what_is_under_way() -> None:
    desk = Desk([])
    desk.provider.block("/teams")
    asking = asyncio.create_task(desk.read())
    await desk.provider.begun["/teams"].wait()

    await desk.units.close()

    with pytest.raises(asyncio.CancelledError):
        await asking


@pytest.mark.parametrize("seconds", [-3600, -30, 3600])
async def test_a_clock_that_jumps_has_the_unit_read_again(seconds: float) -> None:
    desk = Desk([])
    first = await desk.read()

    desk.clock.tick(seconds)
    again = await desk.read()

    assert again is not first
    assert await desk.read() is again


async def test_a_write_does_not_rest_on_what_was_read_before_the_clock_was_set_back() -> None:
    desk = Desk([])
    first = await desk.read()

    desk.clock.tick(-5)
    since = desk.units.now()

    assert await desk.units.reread(TEAMS, "/teams", desk.provider, since) is not first
    assert len(desk.provider.calls) == 2
