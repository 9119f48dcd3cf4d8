"""What Heroku's own tools read around the directory: dynos, releases, add-ons, pipelines and the like."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from .access import ANY, READ, WRITE
from .answers import Answer, not_found, record
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
from .records import App
from .routes import Routes
from .shapes import app_reference, one_of

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


# -- the parts of an app -------------------------------------------------------------------------------------------


def dyno_json(app: App) -> dict[str, Any]:
    return {
        "attach_url": None,
        "command": "adapter serve",
        "created_at": app.created_at,
        "id": fixed_id(app.id, "dyno web.1"),
        "name": "web.1",
        "release": {"id": fixed_id(app.id, "release 1"), "version": 1},
        "app": app_reference(app),
        "size": "Basic",
        "state": "up",
        "type": "web",
        "updated_at": app.updated_at,
    }


def formation_json(app: App) -> dict[str, Any]:
    return {
        "app": app_reference(app),
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
        "app": app_reference(app),
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
        "app": app_reference(app),
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
    return one_of([dyno_json(call.app())], call.params["dyno"], ("id", "name"), "dyno")


@routes.get("/apps/{app}/formation", READ)
def list_formation(call: Call) -> Answer:
    app = call.app()
    return call.page(f"formation {app.id}", ("type", "id"), lambda: [formation_json(app)])


@routes.get("/apps/{app}/formation/{formation}", READ)
def show_formation(call: Call) -> Answer:
    return one_of([formation_json(call.app())], call.params["formation"], ("id", "type"), "formation")


@routes.get("/apps/{app}/releases", READ)
def list_releases(call: Call) -> Answer:
    app = call.app()
    return call.page(f"releases {app.id}", ("version", "id"), lambda: [release_json(call, app)])


@routes.get("/apps/{app}/releases/{release}", READ)
def show_release(call: Call) -> Answer:
    return one_of([release_json(call, call.app())], call.params["release"], ("id", "version"), "release")


@routes.get("/apps/{app}/domains", READ)
def list_domains(call: Call) -> Answer:
    app = call.app()
    return call.page(f"domains {app.id}", ("hostname", "domain", "id"), lambda: [domain_json(app)])


@routes.get("/apps/{app}/domains/{domain}", READ)
def show_domain(call: Call) -> Answer:
    return one_of([domain_json(call.app())], call.params["domain"], ("id", "hostname"), "domain")


@routes.get("/apps/{app}/features", READ)
def list_app_features(call: Call) -> Answer:
    app = call.app()
    return call.page(f"app-features {app.id}", ("name", "id"), lambda: _app_features(app))


@routes.get("/apps/{app}/features/{feature}", READ)
def show_app_feature(call: Call) -> Answer:
    return one_of(_app_features(call.app()), call.params["feature"], ("id", "name"), "feature")


class FeatureChange(Struct):
    enabled: bool


@routes.patch("/apps/{app}/features/{feature}", WRITE)
def update_app_feature(call: Call) -> Answer:
    app, change = call.app_to_manage(), call.body(FeatureChange)
    for feature in _app_features(app):
        if call.params["feature"] in (feature["id"], feature["name"]):
            (app.features.add if change.enabled else app.features.discard)(feature["name"])
            app.updated_at = call.world.touch()
            return record(feature | {"enabled": change.enabled, "updated_at": app.updated_at})
    raise not_found("feature")


def _app_features(app: App) -> list[dict[str, Any]]:
    return [feature_json("app-feature", app.id, name, name in app.features, app.created_at) for name in APP_FEATURES]


@routes.get("/apps/{app}/available-stacks", READ)
def list_available_stacks(call: Call) -> Answer:
    call.app()
    return call.page("/stacks", ("name", "id"), lambda: STACKS)


@routes.get("/apps/{app}/available-dyno-sizes", READ)
def list_available_dyno_sizes(call: Call) -> Answer:
    call.app()
    return call.page("/dyno-sizes", ("name", "id"), lambda: DYNO_SIZES)


@routes.get("/teams/{team}/available-generations", READ)
def list_available_generations(call: Call) -> Answer:
    call.team()
    return call.page("/generations", ("name", "id"), lambda: GENERATIONS)


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
    "/spaces/{space}/peerings",
    "/spaces/{space}/vpn-connections",
    "/pipelines",
    "/pipeline-couplings",
    "/users/~/pipeline-couplings",
    "/teams/{team}/pipeline-couplings",
    "/account/credits",
):
    _serve_empty(_template, READ)


@routes.get("/apps/{app}/pipeline-couplings", READ)
def show_app_pipeline(call: Call) -> Answer:
    call.app()
    raise not_found("pipeline coupling")
