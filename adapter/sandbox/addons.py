"""Add-ons and their attachments: of an app, of a team, of the caller."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from .access import READ, READ_PROTECTED, WRITE
from .answers import Answer, forbidden, invalid, not_found, record
from .apps import visible_apps
from .calls import Call
from .catalog import ADDON_SERVICES, fixed_id, reference
from .records import AddOn, App
from .routes import Routes
from .shapes import app_reference, one_of

routes = Routes()


class PlanChoice(Struct):
    plan: str


class AddOnQuery(Struct):
    addon: str
    app: str | None = None


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
        "billed_price": {"cents": 500, "contract": False, "unit": "month"},
        "config_vars": list(addon.config_vars),
        "created_at": addon.created_at,
        "id": addon.id,
        "name": addon.name,
        "plan": reference("plan", addon.plan),
        "provider_id": f"sandbox-{addon.id[:8]}",
        "state": "provisioned",
        "updated_at": addon.updated_at,
        "web_url": None,
    }


def attachment_json(app: App, addon: AddOn) -> dict[str, Any]:
    return {
        "addon": {"id": addon.id, "name": addon.name, "app": app_reference(app)},
        "app": app_reference(app),
        "created_at": addon.created_at,
        "id": fixed_id(addon.id, "attachment"),
        "name": (addon.config_vars or (addon.service.upper().replace("-", "_"),))[0].removesuffix("_URL"),
        "namespace": None,
        "updated_at": addon.updated_at,
        "web_url": None,
        "log_input_url": None,
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
    app, addon = _find_addon(call)
    return record(addon_json(call, app, addon))


def _find_addon(call: Call) -> tuple[App, AddOn]:
    for app in visible_apps(call):
        for addon in app.addons.values():
            if call.params["addon"] in (addon.id, addon.name):
                return app, addon
    raise not_found("add_on")


@routes.get("/addons/{addon}/config", READ_PROTECTED)
def list_addon_config(call: Call) -> Answer:
    _, addon = _find_addon(call)
    values = [{"name": name, "value": f"sandbox-{addon.id[:8]}"} for name in addon.config_vars]
    return call.page(f"addon-config {addon.id}", ("name",), lambda: values)


def _known_plan(text: str) -> tuple[str, str]:
    """`service` or `service:plan` as both; `mini` is the plan of a service that is named alone."""
    service, _, plan = text.partition(":")
    if service not in [known["name"] for known in ADDON_SERVICES]:
        raise invalid("Couldn't find either the add-on service or the add-on plan")
    return service, plan or "mini"


@routes.post("/actions/addons/resolve", READ)
def resolve_addons(call: Call) -> Answer:
    """All add-ons that the caller sees under an id or name, of one app where that is named."""
    query = call.body(AddOnQuery)
    found = [
        addon_json(call, app, addon)
        for app in visible_apps(call)
        for addon in app.addons.values()
        if query.addon in (addon.id, addon.name) and query.app in (None, app.id, app.name)
    ]
    if not found:
        raise not_found("add_on")
    return call.page(None, ("id",), lambda: found)


@routes.post("/apps/{app}/addons", WRITE)
def create_addon(call: Call) -> Answer:
    app = call.app_to_manage()
    service, plan = _known_plan(call.body(PlanChoice).plan)
    return record(addon_json(call, app, call.world.add_addon(app, service, plan)), 201)


def _addon_to_manage(call: Call) -> tuple[App, AddOn]:
    app = call.app_to_manage()
    for addon in app.addons.values():
        if call.params["addon"] in (addon.id, addon.name):
            return app, addon
    raise not_found("add_on")


@routes.patch("/apps/{app}/addons/{addon}", WRITE)
def update_addon(call: Call) -> Answer:
    app, addon = _addon_to_manage(call)
    service, plan = _known_plan(call.body(PlanChoice).plan)
    if service != addon.service:
        raise invalid("An add-on can't change its service")
    addon.plan, addon.updated_at = f"{service}:{plan}", call.world.touch()
    return record(addon_json(call, app, addon))


@routes.delete("/apps/{app}/addons/{addon}", WRITE)
def delete_addon(call: Call) -> Answer:
    app, addon = _addon_to_manage(call)
    shown = addon_json(call, app, addon)
    call.world.touch()
    del app.addons[addon.id]
    return record(shown | {"state": "deprovisioned"})


def _attachments(call: Call, key: str, apps: Iterable[App]) -> Answer:
    def rows() -> list[dict[str, Any]]:
        return [attachment_json(app, addon) for app in apps for addon in app.addons.values()]

    return call.page(key, ("name", "id"), rows)


@routes.get("/addon-attachments", READ)
def list_attachments(call: Call) -> Answer:
    return _attachments(call, "/addon-attachments", visible_apps(call))


@routes.get("/apps/{app}/addon-attachments", READ)
def list_app_attachments(call: Call) -> Answer:
    app = call.app()
    return _attachments(call, f"app-attachments {app.id}", [app])


@routes.get("/addons/{addon}/addon-attachments", READ)
def list_addon_attachments(call: Call) -> Answer:
    app, addon = _find_addon(call)
    return call.page(f"addon-attachments {addon.id}", ("name", "id"), lambda: [attachment_json(app, addon)])


@routes.get("/addon-attachments/{attachment}", READ)
def show_attachment(call: Call) -> Answer:
    items = [attachment_json(app, addon) for app in visible_apps(call) for addon in app.addons.values()]
    return one_of(items, call.params["attachment"], ("id", "name"), "resource")
