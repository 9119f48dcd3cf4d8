"""Enterprise accounts, their members, their teams and their audit trail. Nothing here has an ETag."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from .access import READ, WRITE
from .answers import Answer, forbidden, invalid, not_found, plain_list, record
from .calls import Call
from .events import event_json, events_of
from .records import ENTERPRISE_PERMISSIONS, Enterprise, EnterpriseMember
from .routes import Routes
from .teams import free_name, provider_reference, shown_role, team_json

routes = Routes()

Permission = Literal["view", "create", "manage", "billing"]


class EnterpriseChange(Struct):
    name: str | UnsetType = UNSET


class NewEnterpriseMember(Struct):
    user: str
    permissions: list[Permission]
    federated: bool = False


class EnterpriseMemberChange(Struct):
    permissions: list[Permission]


class NewEnterpriseTeam(Struct):
    name: str


def enterprise_json(call: Call, enterprise: Enterprise) -> dict[str, Any]:
    """`permissions` are the caller's own."""
    provider, own = enterprise.identity_provider, enterprise.members.get(call.account.id)
    return {
        "id": enterprise.id,
        "created_at": enterprise.created_at,
        "name": enterprise.name,
        "updated_at": enterprise.updated_at,
        "permissions": list(own.permissions) if own else [],
        "trial": False,
        "partner_benefits": False,
        "identity_provider": provider and provider_reference(provider, enterprise),
    }


def member_json(call: Call, enterprise: Enterprise, member: EnterpriseMember) -> dict[str, Any]:
    """A member; there is no name in it, and no time."""
    account, provider = call.world.accounts[member.account_id], enterprise.identity_provider
    federated = provider and member.federated
    return {
        "enterprise_account": {"id": enterprise.id, "name": enterprise.name},
        "id": member.id,
        "permissions": [{"description": f"Can {name}", "name": name} for name in member.permissions],
        "user": {"email": account.email, "id": account.id},
        "two_factor_authentication": account.two_factor,
        "identity_provider": provider_reference(provider, enterprise) | {"redacted": False}
        if provider and federated
        else None,
    }


def _without_etag(answer: Answer) -> Answer:
    hidden = ("etag", "last-modified")
    return Answer(answer.status, answer.body, {k: v for k, v in answer.headers.items() if k not in hidden})


@routes.get("/enterprise-accounts", READ)
def list_enterprises(call: Call) -> Answer:
    mine = [one for one in call.world.enterprises.values() if call.account.id in one.members]
    fields = ("name", "id", "updated_at")
    return _without_etag(
        call.page("/enterprise-accounts", fields, lambda: [enterprise_json(call, one) for one in mine])
    )


@routes.get("/enterprise-accounts/{enterprise}", READ)
def show_enterprise(call: Call) -> Answer:
    return record(enterprise_json(call, call.enterprise()), cacheable=False)


@routes.patch("/enterprise-accounts/{enterprise}", WRITE)
def update_enterprise(call: Call) -> Answer:
    enterprise, change = call.enterprise("manage"), call.body(EnterpriseChange)
    if change.name is not UNSET and change.name != enterprise.name:
        if not change.name.strip() or call.world.name_taken("enterprise", change.name):
            raise invalid("Name is already taken")
        call.world.rename("enterprise", enterprise, change.name)
    return record(enterprise_json(call, enterprise), cacheable=False)


def _list(call: Call, key: str, fields: tuple[str, ...], rows: list[dict[str, Any]]) -> Answer:
    """A list below an enterprise account, which may come whole and without any range header."""
    if call.options.enterprise_ranges:
        return _without_etag(call.page(key, fields, lambda: rows))
    return plain_list(rows, cacheable=False)


# -- members -------------------------------------------------------------------------------------------------------


@routes.get("/enterprise-accounts/{enterprise}/members", READ)
def list_enterprise_members(call: Call) -> Answer:
    enterprise = call.enterprise()
    rows = [member_json(call, enterprise, member) for member in enterprise.members.values()]
    return _list(call, f"enterprise-members {enterprise.id}", ("id",), rows)


def _ordered(permissions: list[Permission]) -> list[str]:
    if not permissions:
        raise invalid("Permissions can't be blank")
    return [name for name in ENTERPRISE_PERMISSIONS if name in permissions]


def _member(call: Call, enterprise: Enterprise) -> EnterpriseMember:
    """By the person's e-mail or id, or by the membership's id."""
    wanted = call.params["member"]
    account = call.world.account(wanted)
    for member in enterprise.members.values():
        if wanted == member.id or (account and account.id == member.account_id):
            return member
    raise not_found("member")


def _check_last_manager(enterprise: Enterprise, member: EnterpriseMember, permissions: list[str]) -> None:
    others = [one for one in enterprise.members.values() if one is not member and "manage" in one.permissions]
    if "manage" in member.permissions and "manage" not in permissions and not others:
        raise forbidden("The last manager can't leave the enterprise account.")


@routes.post("/enterprise-accounts/{enterprise}/members", WRITE)
def create_enterprise_member(call: Call) -> Answer:
    enterprise, new = call.enterprise("manage"), call.body(NewEnterpriseMember)
    permissions = _ordered(new.permissions)
    account = call.person_to_add(new.user)
    if account.id in enterprise.members:
        raise invalid(f"User {account.email} is already a member of {enterprise.name}")
    member = call.world.add_enterprise_member(enterprise, account, *permissions)
    member.federated = new.federated
    return record(member_json(call, enterprise, member), 201)


@routes.patch("/enterprise-accounts/{enterprise}/members/{member}", WRITE)
def update_enterprise_member(call: Call) -> Answer:
    enterprise, change = call.enterprise("manage"), call.body(EnterpriseMemberChange)
    member, permissions = _member(call, enterprise), _ordered(change.permissions)
    _check_last_manager(enterprise, member, permissions)
    call.world.add_enterprise_member(enterprise, call.world.accounts[member.account_id], *permissions)
    return record(member_json(call, enterprise, member), cacheable=False)


@routes.delete("/enterprise-accounts/{enterprise}/members/{member}", WRITE)
def delete_enterprise_member(call: Call) -> Answer:
    enterprise = call.enterprise("manage")
    member = _member(call, enterprise)
    _check_last_manager(enterprise, member, [])
    shown = member_json(call, enterprise, member)
    call.world.remove_enterprise_member(enterprise, call.world.accounts[member.account_id])
    return record(shown, cacheable=False)


# -- teams and events ----------------------------------------------------------------------------------------------


@routes.get("/enterprise-accounts/{enterprise}/teams", READ)
def list_enterprise_teams(call: Call) -> Answer:
    enterprise = call.enterprise()
    teams = sorted((call.world.teams[team_id] for team_id in enterprise.teams), key=lambda team: team.name)
    rows = [team_json(call.world, team, shown_role(call, team)) for team in teams]
    return _list(call, f"enterprise-teams {enterprise.id}", ("name", "id", "updated_at"), rows)


@routes.post("/enterprise-accounts/{enterprise}/teams", WRITE)
def create_enterprise_team(call: Call) -> Answer:
    enterprise, new = call.enterprise("create"), call.body(NewEnterpriseTeam)
    name = free_name(call, new.name)
    team = call.world.add_team(name, "enterprise", admins=[call.account], enterprise=enterprise)
    return record(team_json(call.world, team, "admin"), 201)


@routes.get("/enterprise-accounts/{enterprise}/events", READ)
def list_events(call: Call) -> Answer:
    """The events of one day (`day=YYYY-MM-DD`, default today), narrowed by `actor`, `action`, `type`; `order=desc`."""
    enterprise, now = call.enterprise("manage"), call.sandbox.clock.now()
    try:
        day = date.fromisoformat(call.query.get("day") or now.date().isoformat())
    except ValueError:
        raise invalid("Day must be YYYY-MM-DD") from None
    rows = [event_json(call.world, enterprise, event) for event in events_of(call.world, enterprise, day, now)]
    for name in ("action", "type"):
        rows = [row for row in rows if call.query.get(name, row[name]) == row[name]]
    if actor := call.query.get("actor"):
        rows = [row for row in rows if actor in row.get("actor", {}).values()]
    return plain_list(rows[::-1] if call.query.get("order") == "desc" else rows, cacheable=False)
