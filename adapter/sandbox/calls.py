"""One authenticated request, with the ways to find what it names as its caller may see it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from .access import Authorization
from .answers import ENCODER, Answer, Refusal, forbidden, invalid, not_found
from .options import Options
from .paging import Listing
from .records import Account, App, Enterprise, Space, Team
from .state import Sandbox
from .world import World

T = TypeVar("T")

ORDERED_BY = {"domain": "hostname"}
"""Fields to order by whose property has another name; `domain` is what heroku3 sends."""


class Call(msgspec.Struct, kw_only=True):
    """One authenticated request: what was asked and by whom. Its methods find places as this caller may see them."""

    sandbox: Sandbox
    method: str
    path: str
    params: dict[str, str]
    query: dict[str, str]
    headers: dict[str, str]
    raw_body: bytes
    account: Account
    authorization: Authorization

    @property
    def world(self) -> World:
        return self.sandbox.world

    @property
    def options(self) -> Options:
        return self.sandbox.options

    def body(self, shape: type[T]) -> T:
        """The request's JSON as `shape`; anything else is 400 (not JSON) or 422 (JSON of another shape)."""
        try:
            return msgspec.json.decode(self.raw_body or b"{}", type=shape)
        except msgspec.ValidationError as error:
            raise invalid(str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Refusal(400, "bad_request", "Request body is not valid JSON.") from None

    def page(
        self,
        key: str | None,
        fields: Sequence[str],
        rows: Callable[[], Iterable[dict[str, Any]]],
    ) -> Answer:
        """A paged list. `rows` are made only when the list is not held under `key`; None never holds it."""
        names = tuple(fields)

        def make() -> Listing:
            return listing_of(names, rows())

        listing = make() if key is None else self.sandbox.listing((key, self.account.id), make)
        return listing.page(self.headers.get("range"))

    def hidden(self, resource: str) -> Refusal:
        """What is said about a place that the caller has nothing to do with."""
        return not_found(resource) if self.options.hidden_status == 404 else forbidden()

    def found_account(self, identity: str) -> Account:
        if identity == "~":
            return self.account
        account = self.world.account(identity)
        if account is None:
            raise not_found("user")
        return account

    def person_to_add(self, identity: str) -> Account:
        """Somebody to be given access; an unknown address gets an account or is refused, as the options say."""
        account = self.account if identity == "~" else self.world.account(identity)
        if account:
            return account
        if "@" not in identity or self.options.unknown_people == "refused":
            raise not_found("user")
        return self.world.add_account(identity, verified=False)

    def fading_until(self) -> float:
        """Until when access that is taken away now stays readable (epoch seconds); 0 for not at all."""
        seconds = self.options.consistency_s
        return self.sandbox.clock.seconds() + seconds if seconds else 0

    # -- teams -----------------------------------------------------------------------------------------------------

    def role_in(self, team: Team) -> str | None:
        member = team.members.get(self.account.id)
        return member.role if member else None

    def team(self) -> Team:
        """The team of the path, for anybody who is in it or in charge of its enterprise account."""
        team = self.world.team(self.params["team"])
        if team is None:
            raise not_found("team")
        if self.account.id not in team.members and not self.manages_enterprise_of(team):
            raise self.hidden("team")
        return team

    def team_as_member(self) -> Team:
        team = self.team()
        if self.role_in(team) == "collaborator":
            raise forbidden("You do not have access to the team " + team.name + ".")
        return team

    def team_as_admin(self) -> Team:
        team = self.team()
        if not self.administers(team):
            raise forbidden("You must be an admin of the team " + team.name + " to do that.")
        return team

    def administers(self, team: Team) -> bool:
        return self.role_in(team) == "admin" or self.manages_enterprise_of(team)

    def manages_enterprise_of(self, team: Team) -> bool:
        enterprise = self.world.enterprises.get(team.enterprise_id or "")
        return enterprise is not None and self.holds(enterprise, "manage")

    # -- apps and spaces -------------------------------------------------------------------------------------------

    def app(self) -> App:
        app = self.world.app(self.params["app"])
        if app is None:
            raise not_found("app")
        if not self.sees(app):
            raise self.hidden("app")
        return app

    def sees(self, app: App) -> bool:
        if app.owner_id == self.account.id or self.account.id in app.grants:
            return True
        if app.team_id is None:
            return False
        team = self.world.teams[app.team_id]
        role = self.role_in(team)
        return self.administers(team) or (role in ("member", "viewer") and not app.locked)

    def app_to_manage(self) -> App:
        """The app of the path, for its owner, its team's admins, and whoever has `manage` on it."""
        app = self.app()
        grant = app.grants.get(self.account.id)
        in_charge = app.owner_id == self.account.id or (grant and "manage" in grant.permissions)
        if not in_charge and not (app.team_id and self.administers(self.world.teams[app.team_id])):
            raise forbidden(f"You do not have permission to manage {app.name}.")
        return app

    def team_app(self, app: App) -> App:
        """`app`, provided that it is a team's; else the `/teams/apps` endpoints don't know it."""
        if app.team_id is None:
            raise not_found("app")
        return app

    def space(self) -> Space:
        space = self.world.space(self.params["space"])
        if space is None:
            raise not_found("space")
        team = self.world.teams[space.team_id]
        if self.role_in(team) in (None, "collaborator") and not self.administers(team):
            raise self.hidden("space")
        return space

    # -- enterprise accounts ---------------------------------------------------------------------------------------

    def holds(self, enterprise: Enterprise, permission: str) -> bool:
        member = enterprise.members.get(self.account.id)
        return member is not None and permission in member.permissions

    def enterprise(self, permission: str | None = None) -> Enterprise:
        """The enterprise account of the path, for its members, or those of them who hold `permission`."""
        enterprise = self.world.enterprise(self.params["enterprise"])
        if enterprise is None:
            raise not_found("enterprise_account")
        if self.account.id not in enterprise.members:
            raise self.hidden("enterprise_account")
        if permission and not self.holds(enterprise, permission):
            raise forbidden(f"You need the permission {permission} on {enterprise.name} to do that.")
        return enterprise


def listing_of(fields: tuple[str, ...], rows: Iterable[dict[str, Any]]) -> Listing:
    records = sorted(rows, key=lambda row: str(row[fields[0]]))
    return Listing(
        fields=fields,
        keys={name: [str(row[ORDERED_BY.get(name, name)]) for row in records] for name in fields},
        rows=[ENCODER.encode(row) for row in records],
        changed=max((row["updated_at"] for row in records if "updated_at" in row), default=None),
    )
