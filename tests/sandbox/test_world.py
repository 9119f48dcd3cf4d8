"""A world by hand: what building and changing it promises."""

from adapter.sandbox import World
from adapter.sandbox.records import Team


def acme(world: World) -> Team:
    return world.add_team("acme", admins=["ada@example.com"])


def test_a_thousand_members_are_a_few_lines() -> None:
    world = World()
    team = acme(world)
    for number in range(999):
        world.add_member(team, f"m{number}@example.com")

    assert len(team.members) == 1000


def test_an_unknown_address_makes_an_account_and_a_known_one_does_not() -> None:
    world = World()
    team = acme(world)
    world.add_member(team, "Ada@Example.com", "member")

    assert (len(world.accounts), len(team.members)) == (1, 1)


def test_the_first_account_is_the_owner_unless_another_is_named() -> None:
    world = World()
    ada, bob = world.add_account("ada@example.com"), world.add_account("bob@example.com")
    first = world.owner
    world.owner_id = bob.id

    assert (first, world.owner) == (ada, bob)


def test_every_change_raises_the_revision() -> None:
    world = World()
    team, seen = acme(world), [world.revision]
    app = world.add_app("app", team=team)
    changes = (
        lambda: world.grant(app, "c@example.com"),
        lambda: world.revoke(app, world.person("c@example.com")),
        lambda: world.invite(team, "d@example.com"),
        lambda: world.withdraw(team, "d@example.com"),
        lambda: world.rename("team", team, "other"),
        lambda: world.add_member(team, "e@example.com"),
        lambda: world.remove_member(team, world.person("e@example.com")),
        lambda: world.remove_app(app),
        lambda: world.remove_team(team),
    )
    for change in changes:
        change()
        seen.append(world.revision)

    assert seen == sorted(set(seen))


def test_only_the_one_admin_is_the_last() -> None:
    world = World()
    team = acme(world)
    ada, bob = world.person("ada@example.com"), world.person("bob@example.com")
    alone = world.is_last_admin(team, ada), world.is_last_admin(team, bob)
    world.add_member(team, bob, "admin")

    assert alone == (True, False)
    assert not world.is_last_admin(team, ada)


def test_the_last_grant_in_a_team_ends_the_collaboration() -> None:
    world = World()
    team = acme(world)
    one, two = world.add_app("one", team=team), world.add_app("two", team=team)
    carl = world.person("carl@example.com")
    for app in (one, two):
        world.grant(app, carl)
    world.revoke(one, carl)
    still = carl.id in team.members
    world.revoke(two, carl)

    assert (still, carl.id in team.members) == (True, False)
