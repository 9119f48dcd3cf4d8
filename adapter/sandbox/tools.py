"""What Heroku's own tools read around the directory: dynos, releases, add-ons, pipelines and the like."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from .access import ANY, READ, READ_PROTECTED, WRITE
from .answers import Answer, forbidden, invalid, not_found, record
from .apps import visible_apps
from .calls import Call
from .catalog import (
    ADDON_SERVICES,
    APP_FEATURES,
    DYNO_SIZES,
    GENERATIONS,
    REGIONS,
    STACKS,
    feature_json,
    fixed_id,
    reference,
)
from .records import AddOn, App
from .routes import Routes

routes = Routes()

CATALOGS: dict[str, list[dict[str, Any]]] = {
    "regions": REGIONS,
    "stacks": STACKS,
    "generations": GENERATIONS,
    "dyno-sizes": DYNO_SIZES,
    "addon-services": ADDON_SERVICES,
}


def _serve_catalog(path: str, items: list[dict[str, Any]]) -> None:
    """`GET /regions` and `GET /regions/{id or name}`, and so on."""

    @routes.get(f"/{path}", ANY)
    def list_all(call: Call) -> Answer:
        return call.page(f"/{path}", ("name", "id"), lambda: items)

    @routes.get(f"/{path}/{{item}}", ANY)
    def show_one(call: Call) -> Answer:
        for item in items:
            if call.params["item"] in (item["id"], item["name"]):
                return record(item)
        raise not_found(path.removesuffix("s"))


for _path, _items in CATALOGS.items():
    _serve_catalog(_path, _items)


def _app_reference(app: App) -> dict[str, str]:
    return {"name": app.name, "id": app.id}


# -- the parts of an app -------------------------------------------------------------------------------------------


def dyno_json(app: App) -> dict[str, Any]:
    return {
        "attach_url": None,
        "command": "adapter serve",
        "created_at": app.created_at,
        "id": fixed_id(app.id, "dyno web.1"),
        "name": "web.1",
        "release": {"id": fixed_id(app.id, "release 1"), "version": 1},
        "app": _app_reference(app),
        "size": "Basic",
        "state": "up",
        "type": "web",
        "updated_at": app.updated_at,
    }


def formation_json(app: App) -> dict[str, Any]:
    return {
        "app": _app_reference(app),
        "command": "adapter serve",
        "created_at": app.created_at,
        "dyno_size": reference("dyno-size", "Basic"),
        "id": fixed_id(app.id, "formation web"),
        "quantity": 1,
        "size": "Basic",
        "type": "web",
        "updated_at": app.updated_at,
    }


def release_json(call: Call, app: App) -> dict[str, Any]:
    author = call.world.accounts[app.owner_id or call.account.id]
    return {
        "addon_plan_names": [addon.plan for addon in app.addons.values()],
        "artifacts": [],
        "app": _app_reference(app),
        "created_at": app.created_at,
        "description": "Initial release",
        "id": fixed_id(app.id, "release 1"),
        "updated_at": app.created_at,
        "slug": None,
        "status": "succeeded",
        "user": {"id": author.id, "email": author.email},
        "version": 1,
        "current": True,
        "output_stream_url": None,
        "eligible_for_rollback": True,
    }


def domain_json(app: App) -> dict[str, Any]:
    return {
        "acm_status": None,
        "acm_status_reason": None,
        "app": _app_reference(app),
        "cname": None,
        "created_at": app.created_at,
        "hostname": f"{app.name}-{app.id[:8]}.herokuapp.com",
        "id": fixed_id(app.id, "domain"),
        "kind": "heroku",
        "updated_at": app.created_at,
        "status": "none",
        "sni_endpoint": None,
    }


@routes.get("/apps/{app}/dynos", READ)
def list_dynos(call: Call) -> Answer:
    app = call.app()
    return call.page(f"dynos {app.id}", ("name", "id"), lambda: [dyno_json(app)])


@routes.get("/apps/{app}/dynos/{dyno}", READ)
def show_dyno(call: Call) -> Answer:
    return _one_of([dyno_json(call.app())], call.params["dyno"], ("id", "name"), "dyno")


@routes.get("/apps/{app}/formation", READ)
def list_formation(call: Call) -> Answer:
    app = call.app()
    return call.page(f"formation {app.id}", ("type", "id"), lambda: [formation_json(app)])


@routes.get("/apps/{app}/formation/{formation}", READ)
def show_formation(call: Call) -> Answer:
    return _one_of([formation_json(call.app())], call.params["formation"], ("id", "type"), "formation")


@routes.get("/apps/{app}/releases", READ)
def list_releases(call: Call) -> Answer:
    app = call.app()
    return call.page(f"releases {app.id}", ("version", "id"), lambda: [release_json(call, app)])


@routes.get("/apps/{app}/releases/{release}", READ)
def show_release(call: Call) -> Answer:
    return _one_of([release_json(call, call.app())], call.params["release"], ("id", "version"), "release")


@routes.get("/apps/{app}/domains", READ)
def list_domains(call: Call) -> Answer:
    app = call.app()
    return call.page(f"domains {app.id}", ("hostname", "id"), lambda: [domain_json(app)])


@routes.get("/apps/{app}/domains/{domain}", READ)
def show_domain(call: Call) -> Answer:
    return _one_of([domain_json(call.app())], call.params["domain"], ("id", "hostname"), "domain")


@routes.get("/apps/{app}/features", READ)
def list_app_features(call: Call) -> Answer:
    app = call.app()
    return call.page(f"app-features {app.id}", ("name", "id"), lambda: _app_features(app))


@routes.get("/apps/{app}/features/{feature}", READ)
def show_app_feature(call: Call) -> Answer:
    return _one_of(_app_features(call.app()), call.params["feature"], ("id", "name"), "feature")


def _app_features(app: App) -> list[dict[str, Any]]:
    return [feature_json("app-feature", app.id, name, name in app.features, app.created_at) for name in APP_FEATURES]


def _one_of(items: Iterable[dict[str, Any]], wanted: str, keys: tuple[str, str], resource: str) -> Answer:
    for item in items:
        if wanted in [str(item[key]) for key in keys]:
            return record(item)
    raise not_found(resource)


@routes.get("/apps/{app}/available-stacks", READ)
def list_available_stacks(call: Call) -> Answer:
    call.app()
    return call.page("/stacks", ("name", "id"), lambda: STACKS)


@routes.get("/apps/{app}/available-dyno-sizes", READ)
def list_available_dyno_sizes(call: Call) -> Answer:
    call.app()
    return call.page("/dyno-sizes", ("name", "id"), lambda: DYNO_SIZES)


@routes.get("/apps/{app}/buildpack-installations", READ)
def list_buildpacks(call: Call) -> Answer:
    call.app()
    buildpack = {"url": "urn:buildpack:heroku/python", "name": "heroku/python"}
    return call.page("buildpacks", ("ordinal",), lambda: [{"ordinal": 0, "buildpack": buildpack}])


def _serve_empty(template: str, scopes: tuple[str, ...]) -> None:
    """A list that is always empty here, for whoever may see the place it belongs to."""

    @routes.get(template, scopes)
    def list_nothing(call: Call) -> Answer:
        if "app" in call.params:
            call.app()
        if "team" in call.params:
            call.team()
        if "space" in call.params:
            call.space()
        return call.page("nothing", ("id",), list)


for _template in (
    "/apps/{app}/builds",
    "/apps/{app}/log-drains",
    "/apps/{app}/webhooks",
    "/apps/{app}/sni-endpoints",
    "/apps/{app}/telemetry-drains",
    "/spaces/{space}/telemetry-drains",
    "/spaces/{space}/inbound-rulesets",
    "/spaces/{space}/peerings",
    "/spaces/{space}/vpn-connections",
    "/pipelines",
    "/pipeline-couplings",
    "/users/~/pipeline-couplings",
    "/teams/{team}/pipeline-couplings",
    "/teams/{team}/allowed-addon-services",
    "/teams/{team}/invoices",
    "/account/invoices",
    "/account/credits",
):
    _serve_empty(_template, READ)


@routes.get("/apps/{app}/pipeline-couplings", READ)
def show_app_pipeline(call: Call) -> Answer:
    call.app()
    raise not_found("pipeline coupling")


# -- add-ons -------------------------------------------------------------------------------------------------------


class NewAddOn(Struct):
    plan: str


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
        "app": _app_reference(app),
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
        "addon": {"id": addon.id, "name": addon.name, "app": _app_reference(app)},
        "app": _app_reference(app),
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
    return _one_of(items, call.params["addon"], ("id", "name"), "add_on")


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


@routes.post("/apps/{app}/addons", WRITE)
def create_addon(call: Call) -> Answer:
    app = call.app_to_manage()
    service, _, plan = call.body(NewAddOn).plan.partition(":")
    if service not in [known["name"] for known in ADDON_SERVICES]:
        raise invalid("Couldn't find either the add-on service or the add-on plan")
    return record(addon_json(call, app, call.world.add_addon(app, service, plan or "mini")), 201)


@routes.delete("/apps/{app}/addons/{addon}", WRITE)
def delete_addon(call: Call) -> Answer:
    app = call.app_to_manage()
    for addon in app.addons.values():
        if call.params["addon"] in (addon.id, addon.name):
            shown = addon_json(call, app, addon)
            call.world.touch()
            del app.addons[addon.id]
            return record(shown | {"state": "deprovisioned"})
    raise not_found("add_on")


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
