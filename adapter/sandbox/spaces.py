"""Private spaces and who may create apps in them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from .access import READ, WRITE
from .answers import Answer, forbidden, invalid, not_found, record
from .calls import Call
from .catalog import REGIONS, reference
from .records import SPACE_PERMISSIONS, Account, Grant, Space
from .routes import Routes

routes = Routes()

FIELDS = ("name", "id", "updated_at")
SPACE_NAME = re.compile(r"[a-z0-9](?:[a-z0-9]|-(?!-))+[a-z0-9]")


class NewSpace(Struct):
    name: str
    team: str
    shield: bool = False
    region: str = "virginia"


class SpaceChange(Struct):
    name: str | UnsetType = UNSET


class SpacePermission(Struct):
    name: str


class SpaceAccessChange(Struct):
    permissions: list[SpacePermission]


def space_json(call: Call, space: Space) -> dict[str, Any]:
    team = call.world.teams[space.team_id]
    return {
        "created_at": space.created_at,
        "id": space.id,
        "name": space.name,
        "organization": {"name": team.name},
        "team": {"id": team.id, "name": team.name},
        "region": reference("region", space.region),
        "shield": space.shield,
        "state": "allocated",
        "updated_at": space.updated_at,
        "cidr": "10.0.0.0/16",
        "data_cidr": "10.1.0.0/16",
        "generation": reference("generation", "cedar"),
    }


def access_json(space: Space, account: Account, grant: Grant) -> dict[str, Any]:
    return {
        "space": {"name": space.name, "id": space.id},
        "created_at": grant.created_at,
        "id": grant.id,
        "permissions": [{"description": "Can create apps in the space", "name": name} for name in grant.permissions],
        "updated_at": grant.updated_at,
        "user": {"email": account.email, "id": account.id},
    }


def _page(call: Call, key: str, spaces: Iterable[Space]) -> Answer:
    return call.page(key, FIELDS, lambda: [space_json(call, space) for space in spaces])


@routes.get("/spaces", READ)
def list_spaces(call: Call) -> Answer:
    teams = [team for team in call.world.teams_of(call.account) if call.role_in(team) != "collaborator"]
    return _page(call, "/spaces", [call.world.spaces[space_id] for team in teams for space_id in team.spaces])


@routes.get("/teams/{team}/spaces", READ)
def list_team_spaces(call: Call) -> Answer:
    team = call.team_as_member()
    return _page(call, f"spaces {team.id}", [call.world.spaces[space_id] for space_id in team.spaces])


def _free_name(call: Call, name: str) -> str:
    if not SPACE_NAME.fullmatch(name):
        raise invalid("Name is invalid")
    if call.world.name_taken("space", name):
        raise invalid("Name is already taken")
    return name


@routes.post("/spaces", WRITE)
def create_space(call: Call) -> Answer:
    new = call.body(NewSpace)
    call.params["team"] = new.team
    team = call.team_as_admin()
    if team.type != "enterprise":
        raise forbidden("Private Spaces are available to enterprise teams only.")
    region = _private_region(new.region)
    space = call.world.add_space(_free_name(call, new.name), team, shield=new.shield)
    space.region = region
    return record(space_json(call, space), 201)


def _private_region(wanted: str) -> str:
    """The name of a region (name or id) that has private spaces."""
    for region in REGIONS:
        if region["private_capable"] and wanted in (region["id"], region["name"]):
            return str(region["name"])
    raise invalid("Region is invalid")


def space_as_admin(call: Call) -> Space:
    """The space of the path, for its team's admins."""
    space = call.space()
    if not call.administers(call.world.teams[space.team_id]):
        raise forbidden(f"You must be an admin of the space {space.name} to do that.")
    return space


@routes.get("/spaces/{space}", READ)
def show_space(call: Call) -> Answer:
    return record(space_json(call, call.space()))


@routes.patch("/spaces/{space}", WRITE)
def update_space(call: Call) -> Answer:
    space, change = space_as_admin(call), call.body(SpaceChange)
    if change.name is not UNSET and change.name != space.name:
        call.world.rename("space", space, _free_name(call, change.name))
    return record(space_json(call, space))


@routes.delete("/spaces/{space}", WRITE)
def delete_space(call: Call) -> Answer:
    space = space_as_admin(call)
    if any(app.space_id == space.id for app in call.world.apps.values()):
        raise invalid("A space that still has apps can't be deleted")
    shown = space_json(call, space)
    call.world.remove_space(space)
    return record(shown | {"state": "deleting"})


# -- members -------------------------------------------------------------------------------------------------------


@routes.get("/spaces/{space}/members", READ)
def list_space_members(call: Call) -> Answer:
    space = call.space()

    def rows() -> list[dict[str, Any]]:
        return [access_json(space, call.world.accounts[key], grant) for key, grant in space.access.items()]

    return call.page(f"space-members {space.id}", ("id", "updated_at"), rows)


@routes.get("/spaces/{space}/members/{account}", READ)
def show_space_member(call: Call) -> Answer:
    space, account = call.space(), call.found_account(call.params["account"])
    grant = space.access.get(account.id)
    if grant is None:
        raise not_found("member")
    return record(access_json(space, account, grant))


@routes.patch("/spaces/{space}/members/{account}", WRITE)
def update_space_member(call: Call) -> Answer:
    """Sets the permissions of somebody in the space's team; an empty list takes the access away."""
    space, account = space_as_admin(call), call.found_account(call.params["account"])
    wanted = [permission.name for permission in call.body(SpaceAccessChange).permissions]
    if unknown := sorted(set(wanted) - set(SPACE_PERMISSIONS)):
        raise invalid(f"Permissions are invalid: {', '.join(unknown)}")
    if account.id not in call.world.teams[space.team_id].members:
        raise not_found("member")
    return record(access_json(space, account, call.world.allow_in_space(space, account, *dict.fromkeys(wanted))))
