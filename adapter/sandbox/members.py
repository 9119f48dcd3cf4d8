"""A team's members and its invitations."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from .access import GLOBAL
from .answers import Answer, Refusal, forbidden, invalid, not_found, record
from .apps import team_app_json
from .calls import Call
from .events import note
from .records import INVITE_ACCEPTANCE, Account, Invitation, Member, Role, Team
from .routes import Routes
from .teams import provider_reference

routes = Routes()


class MemberBody(Struct):
    email: str
    role: Literal["admin", "member", "viewer"]
    federated: bool = False


class InvitationBody(Struct):
    email: str
    role: Role


def member_json(call: Call, team: Team, member: Member) -> dict[str, Any]:
    account = call.world.accounts[member.account_id]
    provider = next(iter(team.identity_providers.values()), None) if member.federated else None
    shown = {
        "created_at": member.created_at,
        "email": account.email,
        "federated": member.federated,
        "id": member.id,
        "identity_provider": provider and provider_reference(provider, team) | {"redacted": False},
        "role": member.role,
        "updated_at": member.updated_at,
        "user": {"email": account.email, "id": account.id, "name": account.name},
    }
    two_factor_shown = call.options.two_factor_shown if team.two_factor_shown is None else team.two_factor_shown
    return shown | {"two_factor_authentication": account.two_factor} if two_factor_shown else shown


def find_member(call: Call, team: Team, identity: str) -> Member | None:
    """By e-mail or by the membership's id, which is not the account's."""
    account = call.world.account(identity) if "@" in identity else None
    if account:
        return team.members.get(account.id)
    return next((member for member in team.members.values() if member.id == identity), None)


@routes.get("/teams/{team}/members", GLOBAL)
def list_members(call: Call) -> Answer:
    team = call.team_as_member()
    return call.page(
        f"members {team.id}",
        ("email", "id"),
        lambda: [member_json(call, team, member) for member in team.members.values()],
    )


def _check_role(team: Team, role: str) -> None:
    if role == "viewer" and team.type != "enterprise":
        raise invalid("Role viewer is available in enterprise teams only")


def _check_last_admin(call: Call, team: Team, account: Account, role: str | None) -> None:
    if role != "admin" and call.world.is_last_admin(team, account):
        status = call.options.last_admin_status
        raise Refusal(status, "invalid_params" if status == 422 else "forbidden", "The last admin can't leave the team")


def _write(call: Call, team: Team, body: MemberBody) -> Member:
    _check_role(team, body.role)
    account = call.person_to_add(body.email)
    _check_last_admin(call, team, account, body.role)
    existing = team.members.get(account.id)
    member = call.world.add_member(team, account, body.role, federated=body.federated)
    note(call, team, "team-member", "update" if existing else "create", {"email": account.email, "role": body.role})
    return member


def _is_member(call: Call, team: Team, email: str) -> bool:
    account = call.world.account(email)
    return account is not None and account.id in team.members


def _may_add_at_once(team: Team) -> None:
    if team.type == "team" and INVITE_ACCEPTANCE in team.features:
        raise invalid("Members of this team have to be invited")


@routes.put("/teams/{team}/members", GLOBAL)
def put_member(call: Call) -> Answer:
    team, body = call.team_as_admin(), call.body(MemberBody)
    existed = _is_member(call, team, body.email)
    if not existed:
        _may_add_at_once(team)
    return record(member_json(call, team, _write(call, team, body)), 200 if existed else 201)


@routes.post("/teams/{team}/members", GLOBAL)
def create_member(call: Call) -> Answer:
    team, body = call.team_as_admin(), call.body(MemberBody)
    if _is_member(call, team, body.email):
        raise invalid(f"User {body.email} is already a member of {team.name}")
    _may_add_at_once(team)
    return record(member_json(call, team, _write(call, team, body)), 201)


@routes.patch("/teams/{team}/members", GLOBAL)
def update_member(call: Call) -> Answer:
    team, body = call.team_as_admin(), call.body(MemberBody)
    if not _is_member(call, team, body.email):
        raise not_found("member")
    return record(member_json(call, team, _write(call, team, body)))


@routes.delete("/teams/{team}/members/{member}", GLOBAL)
def delete_member(call: Call) -> Answer:
    team = call.team()
    member = find_member(call, team, call.params["member"])
    if not call.administers(team) and (member is None or member.account_id != call.account.id):
        raise forbidden(f"You must be an admin of the team {team.name} to do that.")
    if member is None:
        raise not_found("member")
    account = call.world.accounts[member.account_id]
    _check_last_admin(call, team, account, None)
    shown = member_json(call, team, member)
    call.world.remove_member(team, account, call.fading_until())
    note(call, team, "team-member", "destroy", {"email": account.email})
    return record(shown)


@routes.get("/teams/{team}/members/{member}/apps", GLOBAL)
def list_member_apps(call: Call) -> Answer:
    team = call.team_as_member()
    member = find_member(call, team, call.params["member"])
    if member is None:
        raise not_found("member")
    apps = [app for app in call.world.apps_of(call.world.accounts[member.account_id]) if app.team_id == team.id]
    key = f"member-apps {team.id} {member.id}"
    return call.page(key, ("name", "id", "updated_at"), lambda: [team_app_json(call, app) for app in apps])


# -- invitations ---------------------------------------------------------------------------------------------------


def invitation_json(call: Call, team: Team, invitation: Invitation) -> dict[str, Any]:
    inviter = call.world.accounts[invitation.invited_by]
    return {
        "created_at": invitation.created_at,
        "id": invitation.id,
        "invited_by": {"email": inviter.email, "id": inviter.id, "name": inviter.name},
        "role": invitation.role,
        "team": {"id": team.id, "name": team.name},
        "updated_at": invitation.updated_at,
        "user": _invitee_json(call, invitation),
    }


def _invitee_json(call: Call, invitation: Invitation) -> dict[str, Any]:
    account = call.world.account(invitation.email)
    shown: dict[str, Any] = {"email": invitation.email, "name": account.name if account else None}
    match call.options.invitee_id:
        case "known" if account:
            shown["id"] = account.id
        case "null":
            shown["id"] = account.id if account else None
    return shown


@routes.get("/teams/{team}/invitations", GLOBAL)
def list_invitations(call: Call) -> Answer:
    team = call.team_as_member()
    return call.page(
        f"invitations {team.id}",
        ("id", "updated_at"),
        lambda: [invitation_json(call, team, invitation) for invitation in team.invitations.values()],
    )


@routes.put("/teams/{team}/invitations", GLOBAL)
def put_invitation(call: Call) -> Answer:
    team, body = call.team_as_admin(), call.body(InvitationBody)
    if team.type != "team" or INVITE_ACCEPTANCE not in team.features:
        raise invalid("This team does not take invitations; add the member instead")
    if "@" not in body.email:
        raise invalid("Email is invalid")
    account = call.world.account(body.email)
    held = team.members.get(account.id) if account else None
    if held and held.role != "collaborator":
        raise invalid(f"User {body.email} is already a member of {team.name}")
    if body.role not in ("admin", "member"):
        raise invalid("Role must be admin or member")
    existed = len(team.invitations)
    invitation = call.world.invite(team, body.email, body.role, call.account)
    note(call, team, "team-invitation", "create", {"email": body.email, "role": body.role})
    return record(invitation_json(call, team, invitation), 200 if len(team.invitations) == existed else 201)


@routes.delete("/teams/{team}/invitations/{invitation}", GLOBAL)
def delete_invitation(call: Call) -> Answer:
    """By id, or by e-mail as the official CLI does it."""
    team, wanted = call.team_as_admin(), call.params["invitation"]
    for invitation in team.invitations.values():
        if wanted == invitation.id or wanted.lower() == invitation.email.lower():
            shown = invitation_json(call, team, invitation)
            call.world.withdraw(team, invitation.email)
            note(call, team, "team-invitation", "destroy", {"email": invitation.email})
            return record(shown)
    raise not_found("invitation")


def _by_token(call: Call) -> tuple[Team, Invitation]:
    for team in call.world.teams.values():
        for invitation in team.invitations.values():
            if invitation.token == call.params["token"]:
                return team, invitation
    raise not_found("invitation")


@routes.get("/teams/invitations/{token}", GLOBAL)
def show_invitation(call: Call) -> Answer:
    return record(invitation_json(call, *_by_token(call)))


@routes.post("/teams/invitations/{token}/accept", GLOBAL)
def accept_invitation(call: Call) -> Answer:
    """Only the invited person can accept, with their own account."""
    team, invitation = _by_token(call)
    if invitation.email.lower() != call.account.email.lower():
        raise forbidden("This invitation was sent to somebody else.")
    member = call.world.add_member(team, call.account, invitation.role)
    note(call, team, "team-member", "create", {"email": call.account.email, "role": member.role})
    return record(member_json(call, team, member), 201)
