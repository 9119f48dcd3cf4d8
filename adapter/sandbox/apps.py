"""Apps, personal and of teams: reading, making, changing, locking, handing over, deleting; config vars; transfers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from .access import GLOBAL, READ, READ_PROTECTED, WRITE, WRITE_PROTECTED
from .answers import Answer, forbidden, invalid, not_found, record
from .calls import Call
from .catalog import reference
from .events import note
from .records import Account, App, Team, Transfer
from .routes import Routes
from .world import MANAGER_DOMAIN

routes = Routes()

FIELDS = ("name", "id", "updated_at")
APP_NAME = re.compile(r"[a-z][a-z0-9-]{1,28}[a-z0-9]")


def manager_email(team: Team) -> str:
    """The address of the pseudo-user that owns a team's apps. It is not a person."""
    return f"{team.name}@{MANAGER_DOMAIN}"


def owner_json(call: Call, app: App) -> dict[str, str]:
    if app.team_id:
        team = call.world.teams[app.team_id]
        return {"email": manager_email(team), "id": team.id}
    owner = call.world.accounts[app.owner_id or ""]
    return {"email": owner.email, "id": owner.id}


def app_json(call: Call, app: App) -> dict[str, Any]:
    team = call.world.teams.get(app.team_id or "")
    space = call.world.spaces.get(app.space_id or "")
    team_shown = {"id": team.id, "name": team.name} if team else None
    return {
        "acm": False,
        "archived_at": None,
        "buildpack_provided_description": "Python",
        "build_stack": reference("stack", "heroku-24"),
        "created_at": app.created_at,
        "generation": reference("generation", "cedar"),
        "git_url": f"https://git.heroku.com/{app.name}.git",
        "id": app.id,
        "internal_routing": False if space else None,
        "maintenance": app.maintenance,
        "name": app.name,
        "owner": owner_json(call, app),
        "organization": team_shown,
        "team": team_shown,
        "region": reference("region", space.region if space else "us"),
        "released_at": app.released_at,
        "repo_size": None,
        "slug_size": None,
        "space": {"id": space.id, "name": space.name, "shield": space.shield} if space else None,
        "stack": reference("stack", "heroku-24"),
        "updated_at": app.updated_at,
        "web_url": f"https://{app.name}-{app.id[:12].replace('-', '')}.herokuapp.com/",
    }


def team_app_json(call: Call, app: App) -> dict[str, Any]:
    """A team's app as the team endpoints show it: with `joined` (has the caller access of their own) and `locked`."""
    joined = call.account.id in app.grants or app.owner_id == call.account.id
    return app_json(call, app) | {"joined": joined, "locked": app.locked}


def apps_page(call: Call, key: str, apps: Iterable[App]) -> Answer:
    return call.page(key, FIELDS, lambda: [app_json(call, app) for app in apps])


# -- reading -------------------------------------------------------------------------------------------------------


def visible_apps(call: Call) -> Iterable[App]:
    """Everything the caller can see: own apps, apps given to them, and those of their teams."""
    seen = {app.id: app for app in call.world.apps_of(call.account)}
    for team in call.world.teams_of(call.account):
        for app_id in team.apps:
            app = call.world.apps[app_id]
            if app_id not in seen and call.sees(app):
                seen[app_id] = app
    return seen.values()


@routes.get("/apps", READ)
def list_apps(call: Call) -> Answer:
    return call.page("/apps", FIELDS, lambda: [app_json(call, app) for app in visible_apps(call)])


@routes.get("/users/{account}/apps", READ)
def list_users_apps(call: Call) -> Answer:
    """Personal apps that the caller owns or collaborates on; team apps are left out."""
    account = call.found_account(call.params["account"])
    if account.id != call.account.id:
        raise forbidden()
    return apps_page(call, f"users-apps {account.id}", call.world.personal_apps_of(account))


@routes.get("/teams/{team}/apps", READ)
def list_team_apps(call: Call) -> Answer:
    team = call.team()

    def rows() -> list[dict[str, Any]]:
        apps = [call.world.apps[app_id] for app_id in team.apps]
        return [team_app_json(call, app) for app in apps if call.sees(app)]

    return call.page(f"team-apps {team.id}", FIELDS, rows)


@routes.get("/apps/{app}", READ)
def show_app(call: Call) -> Answer:
    return record(app_json(call, call.app()))


@routes.get("/teams/apps/{app}", READ)
def show_team_app(call: Call) -> Answer:
    return record(team_app_json(call, call.team_app(call.app())))


class FilteredApps(Struct, frozen=True):
    id: tuple[str, ...] = ()


class AppFilter(Struct, rename={"ids": "in"}):
    ids: FilteredApps = FilteredApps()


@routes.post("/filters/apps", READ)
def filter_apps(call: Call) -> Answer:
    wanted = [call.world.apps.get(app_id) for app_id in call.body(AppFilter).ids.id]
    shown = [app for app in wanted if app and call.sees(app)]
    return call.page(None, FIELDS, lambda: [team_app_json(call, app) for app in shown])


# -- writing -------------------------------------------------------------------------------------------------------


class NewApp(Struct):
    name: str | UnsetType = UNSET


class NewTeamApp(Struct):
    name: str | UnsetType = UNSET
    team: str | None = None
    personal: bool = False
    space: str | None = None
    locked: bool = False


class AppChange(Struct):
    name: str | UnsetType = UNSET
    maintenance: bool | UnsetType = UNSET


class TeamAppChange(Struct):
    locked: bool | UnsetType = UNSET
    owner: str | UnsetType = UNSET


def free_name(call: Call, name: str | UnsetType) -> str:
    if name is UNSET:
        return f"sandbox-{call.world.new_id()[:8]}"
    if not APP_NAME.fullmatch(name):
        raise invalid(
            "Name must start with a letter, end with a letter or digit and can only contain lowercase letters, "
            "digits, and dashes"
        )
    if call.world.name_taken("app", name):
        raise invalid("Name is already taken")
    return name


@routes.post("/apps", WRITE)
def create_app(call: Call) -> Answer:
    app = call.world.add_app(free_name(call, call.body(NewApp).name), owner=call.account)
    return record(app_json(call, app), 201)


@routes.post("/teams/apps", WRITE)
def create_team_app(call: Call) -> Answer:
    new = call.body(NewTeamApp)
    if new.personal or not new.team:
        app = call.world.add_app(free_name(call, new.name), owner=call.account)
        return record(team_app_json(call, app), 201)
    call.params["team"] = new.team
    team = call.team_as_member()
    space = call.world.space(new.space) if new.space else None
    if new.space and (space is None or space.team_id != team.id):
        raise not_found("space")
    app = call.world.add_app(free_name(call, new.name), team=team, space=space, locked=new.locked)
    if not call.administers(team):
        call.world.grant(app, call.account, "view", "deploy", "operate", "manage")
    note(call, team, "app", "create", {"name": app.name}, app)
    return record(team_app_json(call, app), 201)


@routes.patch("/apps/{app}", WRITE)
def update_app(call: Call) -> Answer:
    app, change = call.app_to_manage(), call.body(AppChange)
    if change.name is not UNSET and change.name != app.name:
        call.world.rename("app", app, free_name(call, change.name))
    if change.maintenance is not UNSET:
        app.maintenance, app.updated_at = change.maintenance, call.world.touch()
    return record(app_json(call, app))


@routes.patch("/teams/apps/{app}", WRITE)
def update_team_app(call: Call) -> Answer:
    """`locked` locks or unlocks; `owner` hands the app to a team (name or id) or to a person (e-mail, id or `~`)."""
    app, change = call.app_to_manage(), call.body(TeamAppChange)
    if change.locked is not UNSET:
        call.team_app(app)
        app.locked, app.updated_at = change.locked, call.world.touch()
    if change.owner is not UNSET:
        _hand_over(call, app, change.owner)
    return record(team_app_json(call, app))


def _hand_over(call: Call, app: App, owner: str) -> None:
    team = call.world.team(owner)
    if team is None:
        call.world.transfer_app(app, owner=call.found_account(owner))
        return
    call.params["team"] = team.id
    call.world.transfer_app(app, team=call.team_as_member())


@routes.delete("/apps/{app}", WRITE)
def delete_app(call: Call) -> Answer:
    app = call.app_to_manage()
    shown = app_json(call, app)
    if app.team_id:
        note(call, call.world.teams[app.team_id], "app", "destroy", {"name": app.name}, app)
    call.world.remove_app(app)
    return record(shown)


# -- config vars: what the protected scopes protect ----------------------------------------------------------------


@routes.get("/apps/{app}/config-vars", READ_PROTECTED)
def show_config_vars(call: Call) -> Answer:
    return record(dict(call.app().config_vars))


@routes.get("/apps/{app}/releases/{release}/config-vars", READ_PROTECTED)
def show_release_config_vars(call: Call) -> Answer:
    return record(dict(call.app().config_vars))


@routes.patch("/apps/{app}/config-vars", WRITE_PROTECTED)
def update_config_vars(call: Call) -> Answer:
    """Sets what is a string and removes what is null."""
    app = call.app_to_manage()
    for name, value in call.body(dict[str, str | None]).items():
        if value is None:
            app.config_vars.pop(name, None)
        else:
            app.config_vars[name] = value
    call.world.touch()
    return record(dict(app.config_vars))


# -- transfers between people --------------------------------------------------------------------------------------


class NewTransfer(Struct):
    app: str
    recipient: str


class TransferChange(Struct):
    state: Literal["pending", "accepted", "declined"]


def transfer_json(call: Call, transfer: Transfer) -> dict[str, Any]:
    app = call.world.apps[transfer.app_id]
    owner, recipient = call.world.accounts[transfer.owner_id], call.world.accounts[transfer.recipient_id]
    return {
        "app": {"name": app.name, "id": app.id},
        "created_at": transfer.created_at,
        "id": transfer.id,
        "owner": {"email": owner.email, "id": owner.id},
        "recipient": {"email": recipient.email, "id": recipient.id},
        "state": transfer.state,
        "updated_at": transfer.updated_at,
    }


def _concerns(transfer: Transfer, account: Account) -> bool:
    return account.id in (transfer.owner_id, transfer.recipient_id)


def _transfer(call: Call) -> Transfer:
    """By id, or by the name of its app."""
    wanted = call.params["transfer"]
    for transfer in call.world.transfers.values():
        app = call.world.apps.get(transfer.app_id)
        if app and _concerns(transfer, call.account) and wanted in (transfer.id, app.name):
            return transfer
    raise not_found("app_transfer")


@routes.get("/account/app-transfers", GLOBAL)
def list_transfers(call: Call) -> Answer:
    mine = [
        transfer
        for transfer in call.world.transfers.values()
        if _concerns(transfer, call.account) and transfer.app_id in call.world.apps
    ]
    return call.page("transfers", ("id", "updated_at"), lambda: [transfer_json(call, one) for one in mine])


@routes.post("/account/app-transfers", GLOBAL)
def create_transfer(call: Call) -> Answer:
    new = call.body(NewTransfer)
    call.params["app"] = new.app
    app, recipient = call.app_to_manage(), call.found_account(new.recipient)
    now = call.world.touch()
    transfer = Transfer(
        id=call.world.new_id(),
        app_id=app.id,
        owner_id=app.owner_id or call.account.id,
        recipient_id=recipient.id,
        state="pending",
        created_at=now,
        updated_at=now,
    )
    call.world.transfers[transfer.id] = transfer
    return record(transfer_json(call, transfer), 201)


@routes.get("/account/app-transfers/{transfer}", GLOBAL)
def show_transfer(call: Call) -> Answer:
    return record(transfer_json(call, _transfer(call)))


@routes.patch("/account/app-transfers/{transfer}", GLOBAL)
def update_transfer(call: Call) -> Answer:
    transfer, change = _transfer(call), call.body(TransferChange)
    if transfer.recipient_id != call.account.id:
        raise forbidden("Only the recipient can accept or decline a transfer.")
    transfer.state, transfer.updated_at = change.state, call.world.touch()
    if change.state == "accepted":
        call.world.transfer_app(call.world.apps[transfer.app_id], owner=call.account)
    return record(transfer_json(call, transfer))


@routes.delete("/account/app-transfers/{transfer}", GLOBAL)
def delete_transfer(call: Call) -> Answer:
    transfer = _transfer(call)
    shown = transfer_json(call, transfer)
    call.world.touch()
    del call.world.transfers[transfer.id]
    return record(shown)
