"""The truth behind the sandbox: everybody, every place, and who has what where; with the ways to change it.

Tests build worlds by hand with the same methods that the API uses:

    world = World()
    ada = world.add_account("ada@example.com", name="Ada")
    team = world.add_team("acme", admins=[ada])
    world.add_member(team, "bob@example.com", role="member")
    app = world.add_app("acme-web", team=team)
    world.grant(app, "carl@example.com", "view", "deploy")
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .installed import Installed
from .people import Who
from .records import (
    Account,
    App,
    Enterprise,
    EnterpriseMember,
    Fading,
    Grant,
    IdentityProvider,
    Invitation,
    Member,
    Role,
    Space,
    Team,
    TeamType,
)

MANAGER_DOMAIN = "herokumanager.com"


class World(Installed):
    """Everything of one Heroku. `revision`, `now` and `seed` are explained by `People`."""

    # -- teams -----------------------------------------------------------------------------------------------------

    def add_team(
        self,
        name: str,
        kind: TeamType = "team",
        *,
        admins: Sequence[Who] = (),
        features: Iterable[str] = (),
        enterprise: Enterprise | None = None,
        membership_limit: int | None = None,
    ) -> Team:
        now = self.touch()
        team = Team(
            id=self.new_id(),
            name=name,
            type=kind,
            created_at=now,
            updated_at=now,
            features=set(features),
            enterprise_id=enterprise.id if enterprise else None,
            membership_limit=membership_limit,
        )
        self.teams[team.id] = team
        self._names["team"][name] = team.id
        if enterprise:
            enterprise.teams.add(team.id)
        for admin in admins:
            self.add_member(team, admin, "admin")
        return team

    def remove_team(self, team: Team) -> None:
        self.touch()
        for account_id in team.members:
            self._teams_of[account_id].discard(team.id)
        if team.enterprise_id:
            self.enterprises[team.enterprise_id].teams.discard(team.id)
        del self._names["team"][team.name], self.teams[team.id]

    def rename(self, kind: str, place: Team | App | Space | Enterprise, name: str) -> None:
        place.updated_at = self.touch()
        del self._names[kind][place.name]
        self._names[kind][name] = place.id
        place.name = name

    def add_member(self, team: Team, who: Who, role: Role | None = "member", *, federated: bool = False) -> Member:
        """Add somebody or set their role. Their open invitation is thereby answered, if they join."""
        now, account = self.touch(), self.person(who)
        member = team.members.get(account.id)
        if member is None:
            member = Member(id=self.new_id(), account_id=account.id, role=role, created_at=now, updated_at=now)
            team.members[account.id] = member
            self._teams_of[account.id].add(team.id)
        member.role, member.federated, member.updated_at = role, federated or member.federated, now
        if role != "collaborator":
            self.withdraw(team, account.email)
        return member

    def remove_member(self, team: Team, account: Account, fading_until: float = 0) -> Member:
        """End a membership and with it the person's access to the team's apps and spaces."""
        self.touch()
        member = team.members[account.id]
        for app_id in team.apps & self._apps_of[account.id]:
            self.revoke(self.apps[app_id], account, fading_until)
        for space_id in team.spaces:
            self.spaces[space_id].access.pop(account.id, None)
        self._drop_membership(team, account.id)
        return member

    def _drop_membership(self, team: Team, account_id: str) -> None:
        team.members.pop(account_id, None)
        self._teams_of[account_id].discard(team.id)

    def is_last_admin(self, team: Team, account: Account) -> bool:
        member = team.members.get(account.id)
        if member is None or member.role != "admin":
            return False
        return sum(other.role == "admin" for other in team.members.values()) == 1

    def invite(self, team: Team, email: str, role: Role = "member", by: Who | None = None) -> Invitation:
        """Invite an address, or change the role of its pending invitation."""
        now = self.touch()
        for pending in team.invitations.values():
            if pending.email.lower() == email.lower():
                pending.role, pending.updated_at = role, now
                return pending
        inviter = self.person(by) if by else self.owner
        invitation = Invitation(
            id=self.new_id(),
            token=self.new_secret(),
            email=email,
            role=role,
            invited_by=inviter.id,
            created_at=now,
            updated_at=now,
        )
        team.invitations[invitation.id] = invitation
        return invitation

    def withdraw(self, team: Team, email: str) -> None:
        """Drop the pending invitation of an address, if there is one."""
        for pending in [held for held in team.invitations.values() if held.email.lower() == email.lower()]:
            self.touch()
            del team.invitations[pending.id]

    def add_identity_provider(self, place: Team | Enterprise, **urls: str) -> IdentityProvider:
        now = self.touch()
        provider = IdentityProvider(
            id=self.new_id(),
            name=f"{place.name}-sso",
            certificate=urls.get("certificate", "-----BEGIN CERTIFICATE-----\nSANDBOX\n-----END CERTIFICATE-----"),
            entity_id=urls.get("entity_id", f"https://idp.example.com/{place.name}"),
            sso_target_url=urls.get("sso_target_url", f"https://idp.example.com/{place.name}/login"),
            slo_target_url=urls.get("slo_target_url", f"https://idp.example.com/{place.name}/logout"),
            created_at=now,
            updated_at=now,
        )
        if isinstance(place, Team):
            place.identity_providers[provider.id] = provider
        else:
            place.identity_provider = provider
        return provider

    # -- apps ------------------------------------------------------------------------------------------------------

    def add_app(
        self,
        name: str,
        *,
        team: Team | None = None,
        owner: Who | None = None,
        space: Space | None = None,
        locked: bool = False,
    ) -> App:
        """A team's app, or without `team` the personal app of `owner` (default: the world's owner)."""
        now = self.touch()
        app = App(id=self.new_id(), name=name, team_id=None, owner_id=None, created_at=now, updated_at=now)
        app.space_id, app.locked = space.id if space else None, locked
        self.apps[app.id] = app
        self._names["app"][name] = app.id
        self._hand_over(app, team, None if team else self.person(owner or self.owner))
        return app

    def _hand_over(self, app: App, team: Team | None, owner: Account | None) -> None:
        app.team_id, app.owner_id = team.id if team else None, owner.id if owner else None
        if team:
            team.apps.add(app.id)
        if owner:
            app.grants.pop(owner.id, None)
            self._apps_of[owner.id].add(app.id)

    def transfer_app(self, app: App, *, team: Team | None = None, owner: Account | None = None) -> None:
        """Give an app to a team or a person. Whoever owned it personally keeps no access; collaborators keep theirs."""
        app.updated_at = self.touch()
        holders = [self.accounts[account_id] for account_id in app.grants]
        if app.team_id:
            old = self.teams[app.team_id]
            old.apps.discard(app.id)
            for account in holders:
                self._end_collaboration(old, account.id)
        if app.owner_id:
            self._apps_of[app.owner_id].discard(app.id)
        self._hand_over(app, team, owner)
        for account in holders if team else []:
            self._begin_collaboration(self.teams[app.team_id or ""], account)

    def remove_app(self, app: App) -> None:
        self.touch()
        for account_id in [*app.grants]:
            self.revoke(app, self.accounts[account_id])
        for addon in [*app.addons.values()]:
            self.remove_addon(app, addon)
        if app.owner_id:
            self._apps_of[app.owner_id].discard(app.id)
        if app.team_id:
            self.teams[app.team_id].apps.discard(app.id)
        del self._names["app"][app.name], self.apps[app.id]

    def grant(self, app: App, who: Who, *permissions: str) -> Grant:
        """Give access to an app or change it. On a team's app a stranger thereby becomes its `collaborator`."""
        now, account = self.touch(), self.person(who)
        app.fading.pop(account.id, None)
        grant = app.grants.get(account.id)
        if grant is None:
            grant = Grant(id=self.new_id(), account_id=account.id, permissions=(), created_at=now, updated_at=now)
            app.grants[account.id] = grant
            self._apps_of[account.id].add(app.id)
        grant.permissions, grant.updated_at = tuple(permissions), now
        if app.team_id:
            self._begin_collaboration(self.teams[app.team_id], account)
        return grant

    def revoke(self, app: App, account: Account, fading_until: float = 0) -> Grant:
        """Take access away; it stays readable until `fading_until`. The last one in a team ends the collaboration."""
        self.touch()
        grant = app.grants.pop(account.id)
        self._apps_of[account.id].discard(app.id)
        if fading_until:
            app.fading[account.id] = Fading(grant=grant, until=fading_until)
        if app.team_id:
            self._end_collaboration(self.teams[app.team_id], account.id)
        return grant

    def _begin_collaboration(self, team: Team, account: Account) -> None:
        if account.id not in team.members:
            self.add_member(team, account, "collaborator")

    def _end_collaboration(self, team: Team, account_id: str) -> None:
        member = team.members.get(account_id)
        if member and member.role == "collaborator" and not team.apps & self._apps_of[account_id]:
            self._drop_membership(team, account_id)

    # -- spaces and enterprise accounts ----------------------------------------------------------------------------

    def add_space(self, name: str, team: Team, *, shield: bool = False) -> Space:
        now = self.touch()
        space = Space(id=self.new_id(), name=name, team_id=team.id, created_at=now, updated_at=now, shield=shield)
        self.spaces[space.id] = space
        self._names["space"][name] = space.id
        team.spaces.add(space.id)
        return space

    def remove_space(self, space: Space) -> None:
        self.touch()
        self.teams[space.team_id].spaces.discard(space.id)
        del self._names["space"][space.name], self.spaces[space.id]

    def transfer_space(self, space: Space, team: Team) -> None:
        """Give a space to another team; who is not in that one loses access to it."""
        space.updated_at = self.touch()
        self.teams[space.team_id].spaces.discard(space.id)
        team.spaces.add(space.id)
        space.team_id = team.id
        for account_id in [key for key in space.access if key not in team.members]:
            del space.access[account_id]

    def allow_in_space(self, space: Space, who: Who, *permissions: str) -> Grant:
        """Set somebody's permissions in a space; none at all takes the access away."""
        now, account = self.touch(), self.person(who)
        grant = space.access.get(account.id) or Grant(
            id=self.new_id(), account_id=account.id, permissions=(), created_at=now, updated_at=now
        )
        grant.permissions, grant.updated_at = tuple(permissions), now
        if permissions:
            space.access[account.id] = grant
        else:
            space.access.pop(account.id, None)
        return grant

    def add_enterprise(self, name: str) -> Enterprise:
        now = self.touch()
        enterprise = Enterprise(id=self.new_id(), name=name, created_at=now, updated_at=now)
        self.enterprises[enterprise.id] = enterprise
        self._names["enterprise"][name] = enterprise.id
        return enterprise

    def add_enterprise_member(self, enterprise: Enterprise, who: Who, *permissions: str) -> EnterpriseMember:
        """Add somebody to an enterprise account or change what they may."""
        self.touch()
        account = self.person(who)
        member = enterprise.members.get(account.id) or EnterpriseMember(
            id=self.new_id(), account_id=account.id, permissions=()
        )
        member.permissions = tuple(permissions)
        enterprise.members[account.id] = member
        return member

    def remove_enterprise_member(self, enterprise: Enterprise, account: Account) -> EnterpriseMember:
        self.touch()
        return enterprise.members.pop(account.id)

    # -- the end of an account -------------------------------------------------------------------------------------

    def remove_account(self, account: Account) -> None:
        """Delete somebody who owns no app, with every membership, access, invitation, transfer and key of theirs."""
        for team in self.teams_of(account):
            self.remove_member(team, account)
        for app in self.apps_of(account):
            self.revoke(app, account)
        for enterprise in self.enterprises.values():
            enterprise.members.pop(account.id, None)
        for app in self.apps.values():
            app.fading.pop(account.id, None)
        self._drop_offers(account)
        self.forget(account)

    def _drop_offers(self, account: Account) -> None:
        for team in self.teams.values():
            made = [one for one in team.invitations.values() if account.id == one.invited_by]
            for invitation in made:
                self.withdraw(team, invitation.email)
        for transfer in [*self.transfers.values()]:
            if account.id in (transfer.owner_id, transfer.recipient_id):
                del self.transfers[transfer.id]
