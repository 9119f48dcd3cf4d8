"""Seeded worlds: the same from the same seed, of any size, with people and places that are odd on purpose."""

import subprocess
import sys

import msgspec
import pytest

from adapter.sandbox import Sandbox, SeedOptions, World, generate
from adapter.sandbox.control import truth
from adapter.sandbox.seed import (
    COLLABORATOR_EMAIL,
    INVITED_COLLABORATOR_EMAIL,
    LONER_EMAIL,
    OWNER_EMAIL,
    PLAIN_MEMBER_EMAIL,
    PLUS_EMAIL,
    ROLELESS_EMAIL,
    STRANGER_EMAIL,
    UNICODE_EMAIL,
)
from tests.sandbox.conftest import Asker


@pytest.fixture(scope="module")
def world() -> World:
    return generate()


def everything(world: World) -> bytes:
    return msgspec.json.encode(truth(world))


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert everything(generate(SeedOptions(seed=3))) == everything(generate(SeedOptions(seed=3)))


def test_another_seed_gives_another_world() -> None:
    assert everything(generate(SeedOptions(seed=3))) != everything(generate(SeedOptions(seed=4)))


def test_another_process_gives_the_same_world_and_token() -> None:
    program = (
        "import hashlib, msgspec\n"
        "from adapter.sandbox import Sandbox, generate\n"
        "from adapter.sandbox.control import truth\n"
        "sandbox = Sandbox(generate)\n"
        "print(hashlib.sha256(msgspec.json.encode(truth(sandbox.world))).hexdigest(), sandbox.owner_token)\n"
    )
    run = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env).stdout
        for env in ({"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2"})
    ]

    assert run[0] == run[1]
    assert Sandbox(generate).owner_token in run[0]


async def test_the_same_seed_gives_the_same_answers() -> None:
    first, second = Asker(Sandbox(generate)), Asker(Sandbox(generate))
    for path in ("/teams", "/apps", "/teams/acme/members", "/teams/acme/permissions", "/spaces", "/addons"):
        one, two = await first.get(path), await second.get(path)

        assert (one.content, one.headers.get("etag")) == (two.content, two.headers.get("etag"))


@pytest.mark.parametrize(
    "size",
    [
        SeedOptions(),
        SeedOptions(teams=1, members=8, apps=0, enterprise_accounts=0, spaces=0),
        SeedOptions(teams=0, members=8, apps=3),
        SeedOptions(teams=12, members=300, apps=90, enterprise_accounts=2, spaces=5),
        SeedOptions(teams=500, members=20_000, apps=3_000, enterprise_accounts=3, spaces=20),
    ],
    ids=str,
)
def test_a_world_has_the_size_that_was_asked_for(size: SeedOptions) -> None:
    world = generate(size)

    assert (len(world.teams), len(world.accounts), len(world.apps)) == (size.teams, size.members, size.apps)
    assert len(world.enterprises) == size.enterprise_accounts
    homes = [team for team in world.teams.values() if team.type == "enterprise"]
    assert len(world.spaces) == (size.spaces if homes else 0)


def test_the_owner_administers_every_team_and_has_apps_of_their_own(world: World) -> None:
    assert world.owner.email == OWNER_EMAIL
    assert {team.members[world.owner.id].role for team in world.teams.values()} == {"admin"}
    assert len([app for app in world.apps.values() if app.owner_id == world.owner.id]) >= 2


def roles(world: World, email: str) -> list[str | None]:
    account = world.account(email)
    assert account
    return [team.members[account.id].role for team in world.teams_of(account)]


def test_there_are_people_of_every_kind(world: World) -> None:
    assert roles(world, PLAIN_MEMBER_EMAIL)[0] in ("member", "collaborator")
    assert "member" in roles(world, PLAIN_MEMBER_EMAIL)
    assert set(roles(world, COLLABORATOR_EMAIL)) == {"collaborator"}
    assert roles(world, LONER_EMAIL) == []
    assert None in roles(world, ROLELESS_EMAIL)
    assert roles(world, PLUS_EMAIL)
    assert roles(world, UNICODE_EMAIL)
    assert any(account.name is None for account in world.accounts.values())


def test_there_are_invitations_for_a_collaborator_and_for_a_stranger(world: World) -> None:
    invited = {one.email for team in world.teams.values() for one in team.invitations.values()}

    assert {INVITED_COLLABORATOR_EMAIL, STRANGER_EMAIL} <= invited
    assert world.account(STRANGER_EMAIL) is None
    assert set(roles(world, INVITED_COLLABORATOR_EMAIL)) == {"collaborator"}


def test_a_team_is_named_like_anothers_id(world: World) -> None:
    assert any(team.name in world.teams and team.name != team.id for team in world.teams.values())


def test_there_are_teams_of_both_types_with_and_without_features(world: World) -> None:
    assert {team.type for team in world.teams.values()} == {"team", "enterprise"}
    assert {feature for team in world.teams.values() for feature in team.features} >= {
        "team-invite-acceptance",
        "org-access-controls",
    }
    assert any(not team.features for team in world.teams.values())
