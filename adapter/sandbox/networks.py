"""A private space's network: its way out, its layout, who may come in, and whose it is."""

from __future__ import annotations

import re
from typing import Any, Literal

from msgspec import Struct

from .access import READ, WRITE
from .answers import Answer, forbidden, invalid, record
from .calls import Call
from .catalog import REGIONS, fixed_id
from .records import Ruleset, Space
from .routes import Routes
from .shapes import one_of
from .spaces import space_as_admin, space_json

routes = Routes()

ANYWHERE = {"action": "allow", "source": "0.0.0.0/0"}
OCTET = r"(?:\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])"
SOURCE = re.compile(rf"{OCTET}(?:\.{OCTET}){{3}}/(?:\d|[12]\d|3[0-2])")


class Rule(Struct):
    action: Literal["allow", "deny"]
    source: str


class NewRuleset(Struct):
    rules: list[Rule] = []


class SpaceTransfer(Struct):
    new_owner: str


@routes.post("/spaces/{space}/transfer", WRITE)
def transfer_space(call: Call) -> Answer:
    """To another enterprise team (name or id) that the caller administers; the space has to be empty."""
    space, new = space_as_admin(call), call.body(SpaceTransfer)
    call.params["team"] = new.new_owner
    team = call.team_as_admin()
    if team.type != "enterprise":
        raise forbidden("Private Spaces are available to enterprise teams only.")
    if any(app.space_id == space.id for app in call.world.apps.values()):
        raise invalid("A space that still has apps can't be transferred")
    call.world.transfer_space(space, team)
    return record(space_json(call, space))


@routes.get("/spaces/{space}/nat", READ)
def show_nat(call: Call) -> Answer:
    space = call.space()
    sources = [f"192.0.2.{number}" for number in range(1, 5)]
    return record(
        {"created_at": space.created_at, "sources": sources, "state": "enabled", "updated_at": space.created_at}
    )


@routes.get("/spaces/{space}/topology", READ)
def show_topology(call: Call) -> Answer:
    """Every app of the space with its one dyno."""
    space = call.space()
    apps = sorted((app for app in call.world.apps.values() if app.space_id == space.id), key=lambda app: app.name)
    rows = [
        {"id": app.id, "domains": [f"{app.name}.herokuapp.com"], "formation": [_process(app.id, number)]}
        for number, app in enumerate(apps, 4)
    ]
    return record({"version": 1, "apps": rows})


def _process(app_id: str, number: int) -> dict[str, Any]:
    host = f"1.web.{app_id[:8]}.app.localspace"
    dyno = {
        "id": fixed_id(app_id, "dyno web.1"),
        "number": 1,
        "private_ip": f"10.0.{number // 256}.{number % 256}",
        "hostname": host,
    }
    return {"id": fixed_id(app_id, "formation web"), "process_type": "web", "dynos": [dyno]}


@routes.get("/spaces/{space}/peering-info", READ)
def show_peering_info(call: Call) -> Answer:
    space = call.space()
    region = next(region for region in REGIONS if region["name"] == space.region)
    return record(
        {
            "aws_account_id": "123456789012",
            "aws_region": region["provider"]["region"],
            "vpc_id": f"vpc-{space.id[:8]}",
            "vpc_cidr": "10.0.0.0/16",
            "dyno_cidr_blocks": ["10.0.128.0/20"],
            "unavailable_cidr_blocks": ["192.168.1.2/30"],
            "space_cidr_blocks": ["10.0.0.0/20"],
        }
    )


# -- who may come in -----------------------------------------------------------------------------------------------


def ruleset_json(call: Call, space: Space, held: Ruleset | None) -> dict[str, Any]:
    """A ruleset; the one that a space begins with lets everybody in."""
    giver = call.world.accounts.get(held.created_by if held else "", call.account)
    return {
        "id": held.id if held else fixed_id(space.id, "inbound ruleset"),
        "space": {"id": space.id, "name": space.name},
        "created_at": held.created_at if held else space.created_at,
        "rules": [{"action": action, "source": source} for action, source in held.rules] if held else [ANYWHERE],
        "created_by": giver.email,
    }


def _rulesets(call: Call) -> list[dict[str, Any]]:
    """All rulesets, the current one first."""
    space = call.space()
    return [ruleset_json(call, space, held) for held in [*reversed(space.rulesets), None]]


@routes.get("/spaces/{space}/inbound-ruleset", READ)
def show_current_ruleset(call: Call) -> Answer:
    return record(_rulesets(call)[0])


@routes.put("/spaces/{space}/inbound-ruleset", WRITE)
def put_ruleset(call: Call) -> Answer:
    space, rules = space_as_admin(call), call.body(NewRuleset).rules
    if bad := [rule.source for rule in rules if not SOURCE.fullmatch(rule.source)]:
        raise invalid(f"Source is invalid: {', '.join(bad)}")
    held = Ruleset(
        id=call.world.new_id(),
        rules=tuple((rule.action, rule.source) for rule in rules),
        created_by=call.account.id,
        created_at=call.world.touch(),
    )
    space.rulesets.append(held)
    return record(ruleset_json(call, space, held), 201)


@routes.get("/spaces/{space}/inbound-rulesets", READ)
def list_rulesets(call: Call) -> Answer:
    rulesets = _rulesets(call)
    return call.page(None, ("created_at", "id"), lambda: rulesets)


@routes.get("/spaces/{space}/inbound-rulesets/{ruleset}", READ)
def show_ruleset(call: Call) -> Answer:
    return one_of(_rulesets(call), call.params["ruleset"], ("id", "id"), "inbound_ruleset")
