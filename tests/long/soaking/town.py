"""The world of a soak, and what it says itself that people hold in it."""

from collections.abc import Mapping

import msgspec

from adapter.sandbox import World
from adapter.sandbox.records import Account, App, Team

CONTROLS, INVITES = "org-access-controls", "team-invite-acceptance"
OWNER, RITA, SPARE = "owner@example.com", "rita@example.com", "spare@example.com"
PASSING = "soak-"
"""How teams are called that come and go."""
RESIDENTS = 240
HANDS = 16
"""People to whom nobody but the adapter's writes gives or takes anything."""
RAW_HANDS = 4
"""Likewise by the raw doors."""

Place = tuple[str, str]
"""A kind of place, and the provider's id."""
Held = Mapping[Place, frozenset[str]]
"""What somebody has where; the role of an invitation ends in `?`."""


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """Where somebody can be given a role, and which: `word` is what a body calls the place."""

    kind: str
    word: str
    id: str
    roles: tuple[str, ...]

    @property
    def place(self) -> Place:
        return self.kind, self.id


class Town:
    """Teams of each sort with apps, a space, an enterprise account, a personal app; run by the owner and by Rita."""

    def __init__(self) -> None:
        self.world = World()
        add = self.world.add_account
        self.owner, self.rita = add(OWNER, "Olga Owner"), add(RITA, "Rita Runner")
        self.admins = [self.owner, self.rita]
        self.corp = self.world.add_enterprise("corp")
        for manager in self.admins:
            self.world.add_enterprise_member(self.corp, manager, "view", "create", "manage")
        self.inviting = [self.world.add_team(f"open-{n}", admins=self.admins, features={INVITES}) for n in range(2)]
        self.plain = [self.world.add_team(f"plain-{n}", admins=self.admins) for n in range(2)]
        self.works = [self._work(n) for n in range(2)]
        self.cores = [self._app(f"core-{n}-{m}", team) for n, team in enumerate(self.works) for m in range(3)]
        self.simple = [self._app(f"simple-{n}-{m}", team) for n, team in enumerate(self.plain) for m in range(3)]
        self.mine = self.world.add_app("mine", owner=self.owner)
        self.world.grant(self.mine, self.rita)
        self.big = self._app("big", self.plain[0])
        """Whose config vars are large."""
        self.vault = self.world.add_space("vault", self.works[0])
        self.residents = [self._resident(n) for n in range(RESIDENTS)]
        self.hands = [add(f"hand-{n}@example.com", f"Hand {n}") for n in range(HANDS)]
        self.raw_hands = [add(f"raw-{n}@example.com", f"Raw {n}") for n in range(RAW_HANDS)]
        self._spare = self.world.add_team("spare-team", admins=[*self.admins, add(SPARE, "Sam Spare")])

    def _work(self, n: int) -> Team:
        return self.world.add_team(
            f"works-{n}", kind="enterprise", admins=self.admins, features={CONTROLS}, enterprise=self.corp
        )

    def _app(self, name: str, team: Team) -> App:
        return self.world.add_app(name, team=team)

    def _resident(self, n: int) -> Account:
        who = self.world.add_account(f"resident-{n}@example.com", f"Resident {n}")
        teams = [*self.plain, *self.works]
        self.world.add_member(teams[n % len(teams)], who, "member")
        if n % 5 == 0:
            self.world.grant(self.cores[n % len(self.cores)], who, "view", "deploy")
        return who

    def spots(self, who: str) -> list[Spot]:
        """Every place where this administrator can give somebody something without a condition."""
        teams = [Spot(kind="team", word="group", id=team.id, roles=("member",)) for team in self.teams]
        apps = [
            Spot(kind="app", word="workspace", id=app.id, roles=("view", "deploy", "operate")) for app in self.cores
        ]
        simple = [
            Spot(kind="app", word="workspace", id=app.id, roles=("collaborator",))
            for app in (*self.simple, *([self.mine] if who == OWNER else []))
        ]
        return [
            *teams, *apps, *simple, Spot(kind="enterprise", word="organization", id=self.corp.id, roles=("view",)),
        ]  # fmt: skip

    @property
    def teams(self) -> list[Team]:
        return [*self.inviting, *self.plain, *self.works]

    def in_team(self, team_id: str) -> set[Place]:
        """What goes with a membership of the team."""
        apps = {("app", app.id) for app in self.world.apps.values() if app.team_id == team_id}
        return apps | {("space", space.id) for space in self.world.spaces.values() if space.team_id == team_id}

    def held_by(self, who: Account) -> Held:
        """Without what is shown of a team to which somebody belongs by its apps alone."""
        found: dict[Place, frozenset[str]] = {}
        for team in list(self.world.teams.values()):
            member = team.members.get(who.id)
            if member is not None and member.role and member.role != "collaborator":
                found["team", team.id] = frozenset({member.role})
            for invitation in list(team.invitations.values()):
                if invitation.email.lower() == who.email.lower():
                    found["team", team.id] = frozenset({f"{invitation.role}?"})
        for app in list(self.world.apps.values()):
            if grant := app.grants.get(who.id):
                found["app", app.id] = frozenset(grant.permissions or ["collaborator"])
        for corp in self.world.enterprises.values():
            if manager := corp.members.get(who.id):
                found["enterprise", corp.id] = frozenset(manager.permissions)
        return found

    def has_team(self, name: str) -> bool:
        return any(team.name == name for team in list(self.world.teams.values()))

    def passing_teams(self) -> list[Team]:
        """Those that were made by the adapter."""
        return [team for team in list(self.world.teams.values()) if team.name.startswith(PASSING)]
