"""Add-ons: of an app, of a team, of the caller; installing, changing, configuring and removing them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from .access import READ, READ_PROTECTED, WRITE, WRITE_PROTECTED
from .answers import Answer, forbidden, invalid, not_found, record
from .apps import visible_apps
from .calls import Call
from .catalog import PLANS, default_plan, reference
from .records import AddOn, App
from .routes import Routes
from .shapes import app_reference, one_of

routes = Routes()


ADDON_NAME = re.compile(r"[a-zA-Z][A-Za-z0-9_-]+")


class NewAddOn(Struct):
    plan: str
    name: str | None = None
    config: dict[str, str] = {}


class AddOnChange(Struct):
    plan: str
    name: str | UnsetType = UNSET


class AddOnQuery(Struct):
    addon: str
    app: str | None = None
    addon_service: str | None = None


class ConfigValue(Struct):
    name: str
    value: str | None = None


class ConfigChange(Struct):
    config: list[ConfigValue] = []


def addon_json(call: Call, app: App, addon: AddOn) -> dict[str, Any]:
    billed = call.world.teams.get(app.team_id or "")
    return {
        "actions": [],
        "addon_service": reference("addon-service", addon.service),
        "billing_entity": {
            "id": billed.id if billed else app.id,
            "name": billed.name if billed else app.name,
            "type": "team" if billed else "app",
        },
        "app": app_reference(app),
        "billed_price": PLANS[addon.plan]["price"],
        "config_vars": list(addon.config_vars),
        "created_at": addon.created_at,
        "id": addon.id,
        "name": addon.name,
        "plan": reference("plan", addon.plan),
        "provider_id": f"sandbox-{addon.id[:8]}",
        "state": addon.state,
        "updated_at": addon.updated_at,
        "web_url": None,
    }


def _addons(call: Call, key: str, apps: Iterable[App]) -> Answer:
    def rows() -> list[dict[str, Any]]:
        return [addon_json(call, app, addon) for app in apps for addon in app.addons.values()]

    return call.page(key, ("name", "id"), rows)


@routes.get("/addons", READ)
def list_addons(call: Call) -> Answer:
    return _addons(call, "/addons", visible_apps(call))


@routes.get("/users/{account}/addons", READ)
def list_users_addons(call: Call) -> Answer:
    account = call.found_account(call.params["account"])
    if account.id != call.account.id:
        raise forbidden()
    return _addons(call, f"users-addons {account.id}", call.world.personal_apps_of(account))


@routes.get("/teams/{team}/addons", READ)
def list_team_addons(call: Call) -> Answer:
    team = call.team()
    apps = [call.world.apps[app_id] for app_id in sorted(team.apps)]
    return _addons(call, f"team-addons {team.id}", [app for app in apps if call.sees(app)])


@routes.get("/apps/{app}/addons", READ)
def list_app_addons(call: Call) -> Answer:
    app = call.app()
    return _addons(call, f"app-addons {app.id}", [app])


@routes.get("/apps/{app}/addons/{addon}", READ)
def show_app_addon(call: Call) -> Answer:
    app = call.app()
    items = [addon_json(call, app, addon) for addon in app.addons.values()]
    return one_of(items, call.params["addon"], ("id", "name"), "add_on")


@routes.get("/addons/{addon}", READ)
def show_addon(call: Call) -> Answer:
    app, addon = find_addon(call)
    return record(addon_json(call, app, addon))


def find_addon(call: Call) -> tuple[App, AddOn]:
    """The add-on of the path, by id or name, among those that the caller sees."""
    for app in visible_apps(call):
        for addon in app.addons.values():
            if call.params["addon"] in (addon.id, addon.name):
                return app, addon
    raise not_found("add_on")


def found_addon_to_manage(call: Call) -> tuple[App, AddOn]:
    """The same, for whoever manages the app that it belongs to."""
    call.params["app"] = find_addon(call)[0].id
    return _addon_to_manage(call)


def _config(call: Call, addon: AddOn) -> Answer:
    made_up = dict.fromkeys(addon.config_vars, f"sandbox-{addon.id[:8]}")
    held = made_up | addon.config
    values = [{"name": name, "value": value} for name, value in held.items() if value is not None]
    return call.page(None, ("name",), lambda: values)


@routes.get("/addons/{addon}/config", READ_PROTECTED)
def list_addon_config(call: Call) -> Answer:
    return _config(call, find_addon(call)[1])


@routes.patch("/addons/{addon}/config", WRITE_PROTECTED)
def update_addon_config(call: Call) -> Answer:
    """Sets the values that are named; null takes one away, and the rest stays."""
    _, addon = found_addon_to_manage(call)
    addon.config |= {one.name: one.value for one in call.body(ConfigChange).config}
    addon.updated_at = call.world.touch()
    return _config(call, addon)


@routes.post("/addons/{addon}/actions/provision", WRITE)
def provision_addon(call: Call) -> Answer:
    app, addon = found_addon_to_manage(call)
    addon.state, addon.updated_at = "provisioned", call.world.touch()
    return record(addon_json(call, app, addon))


@routes.post("/addons/{addon}/actions/deprovision", WRITE)
def deprovision_addon(call: Call) -> Answer:
    app, addon = found_addon_to_manage(call)
    addon.state, addon.updated_at = "deprovisioned", call.world.touch()
    return record(addon_json(call, app, addon))


def _known_plan(text: str) -> tuple[str, str]:
    """`service`, `service:plan` or a plan's id as service and plan; a service that is named alone has a default."""
    for name, plan in PLANS.items():
        service, _, own_name = name.partition(":")
        if text in (name, plan["id"]) or (text == service and own_name == default_plan(service)):
            return service, own_name
    raise invalid("Couldn't find either the add-on service or the add-on plan")


def _free_name(call: Call, name: str) -> str:
    if not ADDON_NAME.fullmatch(name):
        raise invalid("Name is invalid")
    if any(addon.name == name for app in call.world.apps.values() for addon in app.addons.values()):
        raise invalid("Name is already taken")
    return name


@routes.post("/actions/addons/resolve", READ)
def resolve_addons(call: Call) -> Answer:
    """All add-ons that the caller sees under an id or name, of one app or service where that is named."""
    query = call.body(AddOnQuery)
    found = [
        addon_json(call, app, addon)
        for app in visible_apps(call)
        for addon in app.addons.values()
        if query.addon in (addon.id, addon.name) and query.app in (None, app.id, app.name)
        if query.addon_service in (None, addon.service)
    ]
    if not found:
        raise not_found("add_on")
    return call.page(None, ("id",), lambda: found)


@routes.post("/apps/{app}/addons", WRITE)
def create_addon(call: Call) -> Answer:
    app = call.app_to_manage()
    new = call.body(NewAddOn)
    service, plan = _known_plan(new.plan)
    addon = call.world.add_addon(app, service, plan, name=None if new.name is None else _free_name(call, new.name))
    addon.config |= new.config
    return record(addon_json(call, app, addon), 201)


def _addon_to_manage(call: Call) -> tuple[App, AddOn]:
    app = call.app_to_manage()
    for addon in app.addons.values():
        if call.params["addon"] in (addon.id, addon.name):
            return app, addon
    raise not_found("add_on")


@routes.patch("/apps/{app}/addons/{addon}", WRITE)
def update_addon(call: Call) -> Answer:
    app, addon = _addon_to_manage(call)
    change = call.body(AddOnChange)
    service, plan = _known_plan(change.plan)
    if service != addon.service:
        raise invalid("An add-on can't change its service")
    if change.name is not UNSET and change.name != addon.name:
        addon.name = _free_name(call, change.name)
    addon.plan, addon.updated_at = f"{service}:{plan}", call.world.touch()
    return record(addon_json(call, app, addon))


@routes.delete("/apps/{app}/addons/{addon}", WRITE)
def delete_addon(call: Call) -> Answer:
    app, addon = _addon_to_manage(call)
    shown = addon_json(call, app, addon)
    call.world.remove_addon(app, addon)
    return record(shown | {"state": "deprovisioned"})
