"""What can be bought: plans of add-on services, where they can be had, and which ones a team allows its members."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from .access import ANY, READ, WRITE
from .answers import Answer, invalid, not_found, record
from .calls import Call
from .catalog import ADDON_SERVICES, PLANS, REGION_CAPABILITIES, REGIONS
from .records import AllowedService, Team
from .routes import Routes
from .shapes import one_of

routes = Routes()


class ServiceChoice(Struct):
    addon_service: str


def _named(items: list[dict[str, Any]], wanted: str, resource: str) -> dict[str, Any]:
    for item in items:
        if wanted in (item["id"], item["name"]):
            return item
    raise not_found(resource)


def _plans(call: Call) -> list[dict[str, Any]]:
    service = _named(ADDON_SERVICES, call.params["service"], "add_on_service")
    return [plan for plan in PLANS.values() if plan["addon_service"]["id"] == service["id"]]


@routes.get("/plans/{plan}", ANY)
def show_plan(call: Call) -> Answer:
    return one_of(PLANS.values(), call.params["plan"], ("id", "name"), "plan")


@routes.get("/addon-services/{service}/plans", ANY)
def list_service_plans(call: Call) -> Answer:
    plans = _plans(call)
    return call.page(None, ("name", "id"), lambda: plans)


@routes.get("/addon-services/{service}/plans/{plan}", ANY)
def show_service_plan(call: Call) -> Answer:
    return one_of(_plans(call), call.params["plan"], ("id", "name"), "plan")


@routes.get("/addon-region-capabilities", ANY)
def list_capabilities(call: Call) -> Answer:
    return call.page("/addon-region-capabilities", ("id",), lambda: REGION_CAPABILITIES)


@routes.get("/addon-services/{service}/region-capabilities", ANY)
def list_service_capabilities(call: Call) -> Answer:
    service = _named(ADDON_SERVICES, call.params["service"], "add_on_service")
    rows = [row for row in REGION_CAPABILITIES if row["addon_service"] is service]
    return call.page(None, ("id",), lambda: rows)


@routes.get("/regions/{region}/addon-region-capabilities", ANY)
def list_region_capabilities(call: Call) -> Answer:
    region = _named(REGIONS, call.params["region"], "region")
    rows = [row for row in REGION_CAPABILITIES if row["region"] is region]
    return call.page(None, ("id",), lambda: rows)


# -- what a team allows --------------------------------------------------------------------------------------------


def allowed_json(call: Call, allowed: AllowedService) -> dict[str, Any]:
    service = _named(ADDON_SERVICES, allowed.service, "add_on_service")
    giver = call.world.accounts.get(allowed.added_by, call.account)
    return {
        "added_at": allowed.added_at,
        "added_by": {"email": giver.email, "id": giver.id},
        "addon_service": {name: service[name] for name in ("id", "name", "human_name")},
        "id": allowed.id,
    }


def _allowed(call: Call, team: Team) -> Answer:
    rows = [allowed_json(call, allowed) for allowed in team.allowed_services.values()]
    return call.page(None, ("id",), lambda: rows)


@routes.get("/teams/{team}/allowed-addon-services", READ)
def list_allowed_services(call: Call) -> Answer:
    return _allowed(call, call.team_as_member())


@routes.post("/teams/{team}/allowed-addon-services", WRITE)
def allow_service(call: Call) -> Answer:
    """Allow a service (id or name). As the schema has it, the answer is a list: of what was added."""
    team, wanted = call.team_as_admin(), call.body(ServiceChoice).addon_service
    service = _named(ADDON_SERVICES, wanted, "add_on_service")["name"]
    if any(held.service == service for held in team.allowed_services.values()):
        raise invalid("Add-on service is already allowed")
    allowed = AllowedService(
        id=call.world.new_id(), service=service, added_by=call.account.id, added_at=call.world.touch()
    )
    team.allowed_services[allowed.id] = allowed
    answer = call.page(None, ("id",), lambda: [allowed_json(call, allowed)])
    return Answer(201, answer.body)


@routes.delete("/teams/{team}/allowed-addon-services/{allowed}", WRITE)
def forbid_service(call: Call) -> Answer:
    """By the id of the permission or the name of the service."""
    team, wanted = call.team_as_admin(), call.params["allowed"]
    for allowed in team.allowed_services.values():
        if wanted in (allowed.id, allowed.service):
            shown = allowed_json(call, allowed)
            call.world.touch()
            del team.allowed_services[allowed.id]
            return record(shown)
    raise not_found("allowed_add_on_service")
