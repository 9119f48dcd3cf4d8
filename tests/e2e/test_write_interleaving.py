"""Two houses on one database, people made admins and taken from one team at once: no lost update, always an admin."""

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapter.app import House, open_house
from adapter.config import Settings
from adapter.directory.writing.model import UNFINISHED, Ask, Change, Operation, PersonRef, PlaceRef
from adapter.errors import GuardRefused, RemovalUnderWay
from adapter.models import Caller, Secret
from adapter.sandbox import Options, RunningSandbox, World
from adapter.sandbox.records import Team
from tests.e2e.serving import KEY

PEOPLE = ("zoe", "yan", "xia")
VERBS = ("admin", "member", "remove", "off-board")

asks = st.tuples(st.sampled_from(VERBS), st.sampled_from(PEOPLE), st.integers(0, 1), st.integers(0, 60))


def a_world() -> World:
    """Zoe and Yan run a team, Xia is in it; the connection's account is in charge of it from outside."""
    world = World()
    owner = world.add_account("owner@example.com")
    corp = world.add_enterprise("corp")
    world.add_enterprise_member(corp, owner, "view", "create", "manage")
    zoe, yan, xia = [world.add_account(f"{name}@example.com") for name in PEOPLE]
    team = world.add_team("trio", kind="enterprise", admins=[zoe, yan], enterprise=corp)
    world.add_member(team, xia, "member")
    return world


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schedule=st.lists(asks, min_size=3, max_size=7))
def test_whoever_changes_a_team_at_once_it_keeps_an_admin_and_every_update(
    migrated_sqlite: Path, schedule: list[tuple[str, str, int, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder, RunningSandbox(a_world, options=AT_ONCE) as heroku:
        shutil.copy(migrated_sqlite, Path(folder) / "adapter.db")
        operations = asyncio.run(_interleaved(f"sqlite:///{folder}/adapter.db", heroku, schedule))
        (team,) = heroku.world.teams.values()
        roles = _roles(heroku.world, team)
        refused = [one for one in heroku.requests() if one["method"] != "GET" and one["status"] >= 400]

    assert "admin" in roles.values()
    assert not [one for one in refused if one["status"] != 404], "the guards refuse before Heroku has to"
    assert not [one for one in operations if one.status in UNFINISHED]
    assert roles == _told(operations, team.id)


AT_ONCE = Options(consistency_s=0, latency_ms=5)


async def _interleaved(
    database_url: str, heroku: RunningSandbox, schedule: Sequence[tuple[str, str, int, int]]
) -> list[Operation]:
    config = Settings(database_url=database_url, adapter_secret_keys=KEY, heroku_api_url=heroku.url)
    async with AsyncExitStack() as stack:
        houses = [await stack.enter_async_context(open_house(config)) for _ in range(2)]
        account = await houses[0].accounts.connect_api_key(tenant_id="acme", api_key=Secret(heroku.owner_token))
        await houses[0].accounts.patch(account.id, allow_admin_grants=True)
        (team,) = heroku.world.teams.values()
        made = [(houses[which], _ask(verb, who, team), pause) for verb, who, which, pause in schedule]
        await asyncio.gather(*(_asked(house, account.id, ask, pause) for house, ask, pause in made))
        listed = await houses[0].writes.operations(None)
        return [await houses[0].writes.operation(None, one.id) for one in listed]


def _ask(verb: str, who: str, team: Team) -> Ask:
    person, place = PersonRef(email=f"{who}@example.com"), PlaceRef(kind="team", id=team.id)
    if verb == "off-board":
        return Ask(kind="users.offboard", person=person, everywhere=True)
    if verb == "remove":
        return Ask(kind="groups.remove-user", person=person, changes=(Change(verb="take", place=place),))
    given = Change(verb="give", place=place, roles=(verb,))
    return Ask(kind="groups.add-user", person=person, changes=(given,))


async def _asked(house: House, account_id: str, ask: Ask, pause: int) -> None:
    """What is refused before it begins changes nothing, and is told to whoever asked."""
    await asyncio.sleep(pause / 1000)
    client = await house.accounts.open(account_id)
    try:
        await house.writes.write(account_id, client, Caller(kind="api", token_id=ask.kind), ask, wait=60)
    except (GuardRefused, RemovalUnderWay):
        return


def _roles(world: World, team: Team) -> dict[str, str | None]:
    names = {account.id: account.email.partition("@")[0] for account in world.accounts.values()}
    return {names[member.account_id]: member.role for member in team.members.values()}


def _told(operations: Sequence[Operation], team_id: str) -> dict[str, str | None]:
    """Who is in the team by what the journals say was done there, in the order in which it was done."""
    roles: dict[str, str | None] = {"zoe": "admin", "yan": "admin", "xia": "member"}
    done = [
        (state.finished_at, (one.ask.person.email or "").partition("@")[0], state.step.after)
        for one in operations
        for state in one.steps
        if one.ask.person and state.status == "done" and state.step.place and state.step.place.id == team_id
    ]
    for _, who, after in sorted(done, key=lambda entry: str(entry[0])):
        roles.pop(who, None)
        if after is not None and after.state != "none":
            roles[who] = after.roles[0]
    return roles
