"""What is in the world, found by id, by name, by e-mail, and by who is in it."""

from __future__ import annotations

from collections import defaultdict

from .records import Account, App, Enterprise, Event, Key, Space, Team, Transfer


class Lookup:
    """All records with their indexes. Only `World`, which changes them, writes here."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.teams: dict[str, Team] = {}
        self.apps: dict[str, App] = {}
        self.spaces: dict[str, Space] = {}
        self.enterprises: dict[str, Enterprise] = {}
        self.transfers: dict[str, Transfer] = {}
        self.keys: dict[str, Key] = {}
        self.events: list[Event] = []
        self.owner_id: str | None = None
        self._accounts_by_email: dict[str, Account] = {}
        self._names: dict[str, dict[str, str]] = {"team": {}, "app": {}, "space": {}, "enterprise": {}}
        self._teams_of: defaultdict[str, set[str]] = defaultdict(set)
        self._apps_of: defaultdict[str, set[str]] = defaultdict(set)

    @property
    def owner(self) -> Account:
        """The person whose token a test or the demo connects with: the seeded one, else the first account."""
        return self.accounts[self.owner_id or next(iter(self.accounts))]

    def account(self, identity: str) -> Account | None:
        return self.accounts.get(identity) or self._accounts_by_email.get(identity.lower())

    def team(self, identity: str) -> Team | None:
        """By id or name. An id wins over a team that is named like it."""
        return self.teams.get(identity) or self.teams.get(self._names["team"].get(identity, ""))

    def app(self, identity: str) -> App | None:
        return self.apps.get(identity) or self.apps.get(self._names["app"].get(identity, ""))

    def space(self, identity: str) -> Space | None:
        return self.spaces.get(identity) or self.spaces.get(self._names["space"].get(identity, ""))

    def enterprise(self, identity: str) -> Enterprise | None:
        return self.enterprises.get(identity) or self.enterprises.get(self._names["enterprise"].get(identity, ""))

    def name_taken(self, kind: str, name: str) -> bool:
        return name in self._names[kind]

    def teams_of(self, account: Account) -> list[Team]:
        return [self.teams[team_id] for team_id in self._teams_of.get(account.id, ())]

    def personal_apps_of(self, account: Account) -> list[App]:
        return [app for app in self.apps_of(account) if app.team_id is None]

    def apps_of(self, account: Account) -> list[App]:
        """Apps that the account owns or was given access to, app by app."""
        return [self.apps[app_id] for app_id in self._apps_of.get(account.id, ())]
