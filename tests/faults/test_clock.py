"""A clock that jumps: nothing is taken for fresh that is not, and nobody waits for the clock to catch up."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from adapter.app import House, open_house
from adapter.config import Settings
from adapter.directory.query import MAX_LIMIT, Query
from adapter.models import Secret
from adapter.sandbox import Options, RunningSandbox
from tests.directory.fakes import Clock
from tests.e2e.serving import KEY
from tests.faults.trials import a_town

HOUR, DAY = 3600.0, 86_400.0


@dataclass
class Jumping:
    house: House
    sandbox: RunningSandbox
    account_id: str
    clock: Clock

    async def people(self) -> set[str]:
        client = await self.house.accounts.open(self.account_id)
        answer = await self.house.directory.list_records(
            self.account_id, client, self.house.directory.resource("users"), Query(limit=MAX_LIMIT)
        )
        assert not answer.missing
        assert answer.age >= 0
        return {record.key for record in answer.records}


@pytest.fixture
async def jumping(database_url: str) -> AsyncIterator[Jumping]:
    world, _ = a_town()
    with RunningSandbox(world, options=Options(consistency_s=0)) as sandbox:
        settings = Settings(database_url=database_url, adapter_secret_keys=KEY, heroku_api_url=sandbox.url)
        async with open_house(settings) as house:
            account = await house.accounts.connect_api_key(tenant_id="acme", api_key=Secret(sandbox.owner_token))
            clock = Clock()
            house.directory._clock = clock
            yield Jumping(house, sandbox, account.id, clock)


@pytest.mark.parametrize("seconds", [HOUR, DAY, -HOUR, -DAY])
async def test_what_changed_is_seen_after_a_jump(jumping: Jumping, seconds: float) -> None:
    before = await jumping.people()
    world = jumping.sandbox.world
    newcomer = world.add_account("late@example.com", "Late")
    world.add_member(next(iter(world.teams.values())), newcomer, "member")

    jumping.clock.tick(seconds)

    assert await jumping.people() == before | {newcomer.id}


@pytest.mark.parametrize("seconds", [-HOUR, HOUR])
async def test_a_jump_costs_one_gather_and_no_more(jumping: Jumping, seconds: float) -> None:
    await jumping.people()
    jumping.clock.tick(seconds)
    await jumping.people()
    asked = jumping.sandbox.request_count()

    await jumping.people()

    assert jumping.sandbox.request_count() == asked


async def test_a_clock_that_goes_back_and_forth_makes_no_gather_after_gather(jumping: Jumping) -> None:
    await jumping.people()
    asked = jumping.sandbox.request_count()
    for seconds in (-2, 1, -3, 2, 2):
        jumping.clock.tick(seconds)
        await jumping.people()

    assert jumping.sandbox.request_count() == asked
