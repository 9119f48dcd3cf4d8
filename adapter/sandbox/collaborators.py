"""Who has access to an app: the collaborator endpoints of every app, and those of team apps with their permissions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from .access import READ, WRITE
from .answers import Answer, forbidden, invalid, not_found, record
from .apps import manager_email
from .calls import Call
from .catalog import fixed_id
from .events import note
from .records import ACCESS_CONTROLS, APP_PERMISSIONS, Account, App, Grant, Member, Team
from .routes import Routes

routes = Routes()


class NewCollaborator(Struct):
    user: str
    silent: bool = False


class NewTeamAppCollaborator(Struct):
    user: str
    permissions: list[str] = []
    silent: bool = False


class CollaboratorChange(Struct):
    permissions: list[str]


# -- who -----------------------------------------------------------------------------------------------------------


def live_grants(call: Call, app: App) -> list[Grant]:
    """The grants of an app, and those that are gone but still readable."""
    if app.fading:
        now = call.sandbox.clock.seconds()
        for account_id in [key for key, fading in app.fading.items() if fading.until <= now]:
            del app.fading[account_id]
    return [*app.grants.values(), *(fading.grant for fading in app.fading.values())]


def listed_admins(call: Call, app: App) -> list[Member]:
    """Those of the team's admins who stand in the app's list without a grant of their own, as the options say."""
    team = call.world.teams.get(app.team_id or "")
    how = call.options.admins_in_collaborators
    if team is None or how == "none" or (how == "some" and int(app.id[0], 16) % 2):
        return []
    return [
        member
        for member in team.members.values()
        if member.role == "admin" and member.account_id not in app.grants and member.account_id not in app.fading
    ]


def shown_permissions(call: Call, app: App, grant: Grant) -> tuple[str, ...]:
    team = call.world.teams.get(app.team_id or "")
    if team is None:
        return ()
    return grant.permissions if ACCESS_CONTROLS in team.features else call.options.plain_app_permissions


def entitled_in_app(call: Call, app: App) -> list[tuple[str, tuple[str, ...]]]:
    """Account ids with their permissions, as `/teams/:t/permissions` and the collaborator list agree on them."""
    granted = [(grant.account_id, shown_permissions(call, app, grant)) for grant in live_grants(call, app)]
    return granted + [(admin.account_id, APP_PERMISSIONS) for admin in listed_admins(call, app)]


# -- shapes --------------------------------------------------------------------------------------------------------


def _json(
    app: App, account: Account, role: str, permissions: tuple[str, ...], source: Grant | Member
) -> dict[str, Any]:
    return {
        "app": {"name": app.name, "id": app.id},
        "created_at": source.created_at,
        "id": source.id if isinstance(source, Grant) else fixed_id(app.id, account.id),
        "permissions": [{"name": name, "description": f"Can {name} the app"} for name in permissions],
        "role": role,
        "updated_at": source.updated_at,
        "user": {"email": account.email, "federated": account.federated, "id": account.id},
    }


def _role(call: Call, app: App, account: Account) -> str:
    """What a list item says of somebody: their place in the team, or that they are a mere collaborator."""
    team = call.world.teams.get(app.team_id or "")
    member = team.members.get(account.id) if team else None
    return member.role if member and member.role in ("admin", "member") else "collaborator"


def grant_json(call: Call, app: App, grant: Grant) -> dict[str, Any]:
    account = call.world.accounts[grant.account_id]
    return _json(app, account, _role(call, app, account), shown_permissions(call, app, grant), grant)


def owner_item(call: Call, app: App) -> dict[str, Any]:
    """The owner as a collaborator: a person, or the pseudo-user of a team."""
    team = call.world.teams.get(app.team_id or "")
    if team:
        user = {"email": manager_email(team), "federated": False, "id": team.id}
    else:
        owner = call.world.accounts[app.owner_id or ""]
        user = {"email": owner.email, "federated": owner.federated, "id": owner.id}
    return {
        "app": {"name": app.name, "id": app.id},
        "created_at": app.created_at,
        "id": fixed_id(app.id, "owner"),
        "permissions": [],
        "role": "owner",
        "updated_at": app.created_at,
        "user": user,
    }


def collaborators(call: Call, app: App) -> Iterator[dict[str, Any]]:
    yield owner_item(call, app)
    for grant in live_grants(call, app):
        yield grant_json(call, app, grant)
    for admin in listed_admins(call, app):
        yield _json(app, call.world.accounts[admin.account_id], "admin", APP_PERMISSIONS, admin)


def _find(call: Call, app: App) -> dict[str, Any]:
    """By e-mail, by the person's id, or by the id of the collaboration."""
    wanted = call.params["collaborator"]
    for item in collaborators(call, app):
        if wanted in (item["id"], item["user"]["id"]) or wanted.lower() == item["user"]["email"].lower():
            return item
    raise not_found("collaborator")


def _page(call: Call, app: App) -> Answer:
    key = None if app.fading else f"collaborators {app.id}"
    return call.page(key, ("id", "updated_at"), lambda: collaborators(call, app))


# -- every app -----------------------------------------------------------------------------------------------------


@routes.get("/apps/{app}/collaborators", READ)
def list_collaborators(call: Call) -> Answer:
    return _page(call, call.app())


@routes.get("/apps/{app}/collaborators/{collaborator}", READ)
def show_collaborator(call: Call) -> Answer:
    return record(_find(call, call.app()))


@routes.post("/apps/{app}/collaborators", WRITE)
def create_collaborator(call: Call) -> Answer:
    app, new = call.app_to_manage(), call.body(NewCollaborator)
    team = call.world.teams.get(app.team_id or "")
    controlled = team is not None and ACCESS_CONTROLS in team.features
    return _add(call, app, new.user, ("view", "deploy", "operate") if controlled else ())


@routes.delete("/apps/{app}/collaborators/{collaborator}", WRITE)
def delete_collaborator(call: Call) -> Answer:
    return _delete(call, call.app())


def _add(call: Call, app: App, user: str, permissions: tuple[str, ...]) -> Answer:
    account = call.person_to_add(user)
    if account.id in app.grants or account.id == app.owner_id:
        raise invalid(f"User {account.email} is already a collaborator on app {app.name}.")
    grant = call.world.grant(app, account, *permissions)
    _note(call, app, "create", account)
    return record(grant_json(call, app, grant), 201)


def _note(call: Call, app: App, action: str, account: Account) -> None:
    if app.team_id:
        note(call, call.world.teams[app.team_id], "collaborator", action, {"email": account.email}, app)


def _grant(call: Call, app: App) -> Grant:
    """A live grant of the path; one that only lingers in lists is gone for writes."""
    wanted = call.params["collaborator"]
    for grant in app.grants.values():
        email = call.world.accounts[grant.account_id].email
        if wanted in (grant.id, grant.account_id) or wanted.lower() == email.lower():
            return grant
    raise not_found("collaborator")


def _delete(call: Call, app: App) -> Answer:
    """For whoever manages the app, and for people who leave it themselves."""
    grant = app.grants.get(call.account.id)
    leaves = grant is not None and call.params["collaborator"] in (grant.id, grant.account_id, call.account.email)
    if not leaves:
        app = call.app_to_manage()
        grant = _grant(call, app)
    if grant is None:
        raise not_found("collaborator")
    shown, account = grant_json(call, app, grant), call.world.accounts[grant.account_id]
    call.world.revoke(app, account, call.fading_until())
    _note(call, app, "destroy", account)
    return record(shown)


# -- team apps -----------------------------------------------------------------------------------------------------


def _controlled(call: Call, app: App) -> Team:
    team = call.world.teams[call.team_app(app).team_id or ""]
    if ACCESS_CONTROLS not in team.features:
        raise forbidden(f"Permissions are not available on the team {team.name}.")
    return team


def _check_permissions(permissions: list[str]) -> tuple[str, ...]:
    unknown = sorted(set(permissions) - set(APP_PERMISSIONS))
    if unknown:
        raise invalid(f"Permissions are invalid: {', '.join(unknown)}")
    return tuple(name for name in APP_PERMISSIONS if name in permissions)


@routes.get("/teams/apps/{app}/collaborators", READ)
def list_team_app_collaborators(call: Call) -> Answer:
    return _page(call, call.team_app(call.app()))


@routes.get("/teams/apps/{app}/collaborators/{collaborator}", READ)
def show_team_app_collaborator(call: Call) -> Answer:
    return record(_find(call, call.team_app(call.app())))


@routes.post("/teams/apps/{app}/collaborators", WRITE)
def create_team_app_collaborator(call: Call) -> Answer:
    """With permissions where the team has access controls; elsewhere access is all or nothing."""
    app, new = call.team_app(call.app_to_manage()), call.body(NewTeamAppCollaborator)
    permissions = _check_permissions(new.permissions)
    if permissions:
        _controlled(call, app)
    return _add(call, app, new.user, permissions)


@routes.patch("/teams/apps/{app}/collaborators/{collaborator}", WRITE)
def update_team_app_collaborator(call: Call) -> Answer:
    app, change = call.app_to_manage(), call.body(CollaboratorChange)
    _controlled(call, app)
    grant = _grant(call, app)
    account = call.world.accounts[grant.account_id]
    call.world.grant(app, account, *_check_permissions(change.permissions))
    _note(call, app, "update", account)
    return record(grant_json(call, app, grant))


@routes.delete("/teams/apps/{app}/collaborators/{collaborator}", WRITE)
def delete_team_app_collaborator(call: Call) -> Answer:
    return _delete(call, call.team_app(call.app()))
