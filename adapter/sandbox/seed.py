"""A made-up Heroku from a seed: the same options give the same world, to the byte, at any size."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count

from msgspec import Struct

from .clock import stamp
from .people import EPOCH
from .records import (
    ACCESS_CONTROLS,
    APP_PERMISSIONS,
    ENTERPRISE_PERMISSIONS,
    INVITE_ACCEPTANCE,
    Account,
    App,
    Enterprise,
    Role,
    Team,
    repeatable,
)
from .world import World

OWNER_EMAIL = "owner@example.com"
PLAIN_MEMBER_EMAIL = "member@example.com"
COLLABORATOR_EMAIL = "collaborator@example.com"
LONER_EMAIL = "loner@example.com"
PLUS_EMAIL = "paula+work@example.com"
UNICODE_EMAIL = "zoë.müller@example.com"
ROLELESS_EMAIL = "roleless@example.com"
INVITED_COLLABORATOR_EMAIL = "invited.collaborator@example.com"
STRANGER_EMAIL = "stranger@example.org"
"""Invited, and without a Heroku account."""

FEWEST_PEOPLE = 8

FIRST_NAMES = re.findall(
    r"\w+",
    "Ada Alan Barbara Bob Carla Dennis Edith Frances Grace Hedy Ivan Jean Katherine Ken Lin Margaret Niklaus Olga "
    "Peter Quinn Radia Sophie Tim Ursula Vera Wendy Xavier Yukihiro Zora",
)
LAST_NAMES = re.findall(
    r"\w+",
    "Allen Backus Cerf Dijkstra Engelbart Floyd Goldberg Hamilton Iverson Johnson Knuth Lovelace McCarthy Naur "
    "Oikarinen Perlman Quine Ritchie Shannon Thompson Ulam Vaughan Wirth Xu Yao Zuse",
)
TEAM_WORDS = ("acme", "globex", "initech", "umbrella", "hooli", "stark", "wayne", "tyrell", "wonka", "soylent")
APP_WORDS = ("api", "web", "worker", "billing", "search", "mail", "admin", "reports", "ingest", "auth", "cache")


class SeedOptions(Struct, frozen=True, kw_only=True):
    """How big a world. `members` counts all people, the curious ones and those without a team included."""

    seed: int = 1
    teams: int = 5
    members: int = 40
    apps: int = 20
    enterprise_accounts: int = 1
    spaces: int = 2


def generate(size: SeedOptions | None = None) -> World:
    """A world of this size. Its owner administers every team and enterprise account."""
    return Generator(size or SeedOptions()).world_of_all()


class Generator:
    def __init__(self, size: SeedOptions) -> None:
        self.size = size
        self.rng = repeatable(f"seed {size.seed}")
        self._times = _times()
        self.world = World(size.seed, now=lambda: next(self._times))

    def world_of_all(self) -> World:
        world = self.world
        self.people = list(self._people())
        world.owner_id = self.people[0].id
        self.enterprises = [self._enterprise(n) for n in range(self.size.enterprise_accounts)]
        self.teams = [self._team(n) for n in range(self.size.teams)]
        self._name_a_team_like_an_id()
        if self.teams:
            self._memberships()
            self._spaces()
        self.apps = list(self._apps())
        self._curiosities()
        world.now = lambda: EPOCH
        return world

    # -- people ----------------------------------------------------------------------------------------------------

    def _people(self) -> Iterator[Account]:
        """The owner, the plain member, the collaborator, the loner, the curious ones, and then everybody else."""
        add = self.world.add_account
        yield add(OWNER_EMAIL, "Olivia Owner", two_factor=True)
        yield add(PLAIN_MEMBER_EMAIL, "Mia Member")
        yield add(COLLABORATOR_EMAIL, "Colin Collaborator")
        yield add(LONER_EMAIL, "Lono Loner")
        yield add(PLUS_EMAIL, "Paula Plus")
        yield add(UNICODE_EMAIL, "Zoë Müller")
        yield add(ROLELESS_EMAIL, None)
        yield add(INVITED_COLLABORATOR_EMAIL, "Ines Invited")
        for number in range(FEWEST_PEOPLE, self.size.members):
            yield self._person(number)

    def _person(self, number: int) -> Account:
        first, last = self.rng.choice(FIRST_NAMES), self.rng.choice(LAST_NAMES)
        return self.world.add_account(
            f"{first}.{last}.{number}@example.com".lower(),
            None if number % 11 == 0 else f"{first} {last}",
            two_factor=number % 3 != 0,
            federated=number % 13 == 0,
        )

    # -- places ----------------------------------------------------------------------------------------------------

    def _enterprise(self, number: int) -> Enterprise:
        enterprise = self.world.add_enterprise(f"{TEAM_WORDS[number % len(TEAM_WORDS)]}-corp-{number + 1}")
        self.world.add_enterprise_member(enterprise, self.people[0], *ENTERPRISE_PERMISSIONS)
        for account in self.rng.sample(self.people[1:], min(3, len(self.people) - 1)):
            wanted = self.rng.randint(1, len(ENTERPRISE_PERMISSIONS))
            self.world.add_enterprise_member(enterprise, account, *ENTERPRISE_PERMISSIONS[:wanted])
        if number % 2 == 0:
            self.world.add_identity_provider(enterprise)
        return enterprise

    def _team(self, number: int) -> Team:
        """Every third team belongs to an enterprise account; the others take turns with invitations."""
        word = TEAM_WORDS[number % len(TEAM_WORDS)]
        name = word if number < len(TEAM_WORDS) else f"{word}-{number // len(TEAM_WORDS) + 1}"
        owner = self.people[0]
        if self.enterprises and number % 3 == 1:
            enterprise = self.enterprises[number % len(self.enterprises)]
            features = {ACCESS_CONTROLS, "spaces", "dynosaurs"}
            return self.world.add_team(name, "enterprise", admins=[owner], features=features, enterprise=enterprise)
        features = {INVITE_ACCEPTANCE} if number % 3 == 0 else set()
        if number % 5 == 3:
            features.add(ACCESS_CONTROLS)
        limit = None if number % 2 else max(25, self.size.members // max(1, self.size.teams) * 2)
        return self.world.add_team(name, "team", admins=[owner], features=features, membership_limit=limit)

    def _name_a_team_like_an_id(self) -> None:
        if len(self.teams) > 2:
            self.world.rename("team", self.teams[-1], self.teams[0].id)

    def _memberships(self) -> None:
        """Everybody but the collaborators and the loner is in a team, one in four of them in a second one."""
        outside = {COLLABORATOR_EMAIL, LONER_EMAIL, INVITED_COLLABORATOR_EMAIL, OWNER_EMAIL}
        for number, account in enumerate(person for person in self.people if person.email not in outside):
            team = self.teams[number % len(self.teams)]
            self.world.add_member(team, account, self._role(team, account), federated=account.federated)
            if number % 4 == 3:
                other = self.rng.choice(self.teams)
                if account.id not in other.members:
                    self.world.add_member(other, account, self._role(other, account))

    def _role(self, team: Team, account: Account) -> Role | None:
        if account.email == ROLELESS_EMAIL:
            return None
        if account.email == PLAIN_MEMBER_EMAIL:
            return "member"
        dice = self.rng.random()
        if dice < 0.08:
            return "admin"
        return "viewer" if team.type == "enterprise" and dice < 0.3 else "member"

    def _spaces(self) -> None:
        homes = [team for team in self.teams if team.type == "enterprise"]
        for number in range(self.size.spaces if homes else 0):
            team = homes[number % len(homes)]
            space = self.world.add_space(f"{team.name}-space-{number + 1}", team, shield=number % 2 == 1)
            for account_id in self.rng.sample(sorted(team.members), min(3, len(team.members))):
                self.world.allow_in_space(space, self.world.accounts[account_id], "create_apps")

    # -- apps ------------------------------------------------------------------------------------------------------

    def _apps(self) -> Iterator[App]:
        personal = min(4, max(1, self.size.apps // 5)) if self.teams else self.size.apps
        for number in range(self.size.apps):
            app = self._personal_app(number) if number < personal else self._team_app(number)
            app.config_vars = {"SECRET_KEY_BASE": f"sandbox-secret-{number}", "LOG_LEVEL": "info"}
            if number % 4 == 1:
                self.world.add_addon(app, "heroku-postgresql")
                app.config_vars["DATABASE_URL"] = f"postgres://sandbox:not-a-password-{number}@db.example.com/app"
            yield app

    def _personal_app(self, number: int) -> App:
        """The owner's own, every third somebody else's with the owner as a collaborator."""
        foreign = number % 3 == 2
        owner = self.people[1] if foreign else self.people[0]
        app = self.world.add_app(f"personal-{APP_WORDS[number % len(APP_WORDS)]}-{number + 1}", owner=owner)
        self.world.grant(app, self.people[0] if foreign else self.people[2])
        return app

    def _team_app(self, number: int) -> App:
        team = self.teams[number % len(self.teams)]
        spaces = sorted(team.spaces)
        app = self.world.add_app(
            f"{TEAM_WORDS[number % len(TEAM_WORDS)]}-{APP_WORDS[number % len(APP_WORDS)]}-{number + 1}",
            team=team,
            space=self.world.spaces[self.rng.choice(spaces)] if spaces and number % 2 else None,
            locked=number % 6 == 0,
        )
        for _ in range(self.rng.randint(0, 4)):
            account = self.rng.choice(self.people[1:])
            if account.email != LONER_EMAIL:
                self.world.grant(app, account, *self._permissions(team))
        return app

    def _permissions(self, team: Team) -> tuple[str, ...]:
        """`view` and some more where the team has access controls, nothing elsewhere: all or nothing."""
        if ACCESS_CONTROLS not in team.features:
            return ()
        return APP_PERMISSIONS[: self.rng.randint(1, len(APP_PERMISSIONS))]

    # -- curiosities -----------------------------------------------------------------------------------------------

    def _curiosities(self) -> None:
        self.world.add_key(self.people[0])
        self._invitations()
        team_apps = [app for app in self.apps if app.team_id]
        if team_apps:
            for email in (COLLABORATOR_EMAIL, INVITED_COLLABORATOR_EMAIL):
                team = self.world.teams[team_apps[-1].team_id or ""]
                self.world.grant(team_apps[-1], email, *self._permissions(team))

    def _invitations(self) -> None:
        """Two to each team that takes them; one is for somebody who collaborates elsewhere, one for a stranger."""
        inviting = [team for team in self.teams if team.type == "team" and INVITE_ACCEPTANCE in team.features]
        for number, team in enumerate(inviting):
            self.world.invite(team, f"invited.{number}@example.org", "member", self.people[0])
        if inviting:
            self.world.invite(inviting[0], INVITED_COLLABORATOR_EMAIL, "member", self.people[0])
            self.world.invite(inviting[0], STRANGER_EMAIL, "admin", self.people[0])


def _times() -> Iterator[str]:
    """One moment after another, a minute apart, wrapping before the sandbox's present."""
    epoch = datetime.fromisoformat(EPOCH)
    for number in count():
        yield stamp(epoch + timedelta(minutes=number % 400_000))
