"""The control surface under `/sandbox/…`: truth, log, clock, faults, tokens. No credential needed, never logged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from .access import SCOPES
from .answers import ENCODER, Answer, Refusal, invalid, not_found
from .events import event_json, events_of
from .faults import Fault
from .records import App
from .state import LoggedRequest, Sandbox
from .world import World


class Asked(msgspec.Struct):
    """A call to a control endpoint."""

    sandbox: Sandbox
    query: Mapping[str, str]
    body: bytes


Handler = Callable[[Asked], Any]


class TokenRequest(msgspec.Struct, forbid_unknown_fields=True):
    account: str | None = None
    scopes: tuple[str, ...] = ("global",)
    expires_in: float | None = None


class ClockChange(msgspec.Struct, forbid_unknown_fields=True):
    advance_s: float | None = None
    speed: float | None = None


class BudgetChange(msgspec.Struct, forbid_unknown_fields=True):
    remaining: float
    account: str | None = None


class ClientRequest(msgspec.Struct, forbid_unknown_fields=True):
    redirect_uri: str
    name: str = "Unified directory"


# -- the truth -----------------------------------------------------------------------------------------------------


def truth(world: World) -> dict[str, Any]:
    """Everybody and everything as flat tables, which tests compare with what the adapter makes of the API."""
    return {
        "owner_id": world.owner.id,
        "accounts": [_without(account, "invoice_address") for account in world.accounts.values()],
        "teams": [_team(world, team_id) for team_id in world.teams],
        "memberships": [
            msgspec.structs.asdict(member) | {"team_id": team.id}
            for team in world.teams.values()
            for member in team.members.values()
        ],
        "invitations": [
            msgspec.structs.asdict(invitation) | {"team_id": team.id}
            for team in world.teams.values()
            for invitation in team.invitations.values()
        ],
        "apps": [_app(app) for app in world.apps.values()],
        "collaborations": [
            msgspec.structs.asdict(grant) | {"app_id": app.id}
            for app in world.apps.values()
            for grant in app.grants.values()
        ],
        "addons": [
            _without(addon, "config", "webhooks") | {"app_id": app.id}
            for app in world.apps.values()
            for addon in app.addons.values()
        ],
        "attachments": [
            msgspec.structs.asdict(attachment) | {"app_id": app.id}
            for app in world.apps.values()
            for attachment in app.attachments.values()
        ],
        "allowed_addon_services": [
            msgspec.structs.asdict(allowed) | {"team_id": team.id}
            for team in world.teams.values()
            for allowed in team.allowed_services.values()
        ],
        "spaces": [_without(space, "access", "rulesets") for space in world.spaces.values()],
        "space_access": [
            msgspec.structs.asdict(grant) | {"space_id": space.id}
            for space in world.spaces.values()
            for grant in space.access.values()
        ],
        "enterprise_accounts": [
            _without(enterprise, "members") | {"teams": sorted(enterprise.teams)}
            for enterprise in world.enterprises.values()
        ],
        "enterprise_members": [
            msgspec.structs.asdict(member) | {"enterprise_account_id": enterprise.id}
            for enterprise in world.enterprises.values()
            for member in enterprise.members.values()
        ],
    }


def _without(value: msgspec.Struct, *names: str) -> dict[str, Any]:
    return {name: held for name, held in msgspec.structs.asdict(value).items() if name not in names}


def _team(world: World, team_id: str) -> dict[str, Any]:
    team = world.teams[team_id]
    shown = _without(team, "members", "invitations", "identity_providers", "allowed_services")
    return shown | {name: sorted(shown[name]) for name in ("apps", "spaces", "features")}


def _app(app: App) -> dict[str, Any]:
    return _without(app, "grants", "fading", "config_vars", "addons", "attachments", "features")


def show_world(asked: Asked) -> Any:
    return truth(asked.sandbox.world)


def show_events(asked: Asked) -> Any:
    """`enterprise` (id or name) and `day`: what the audit trail of that day holds."""
    enterprise = asked.sandbox.world.enterprise(asked.query.get("enterprise", ""))
    if enterprise is None:
        raise not_found("enterprise_account")
    now = asked.sandbox.clock.now()
    day = date.fromisoformat(asked.query.get("day") or now.date().isoformat())
    return [
        event_json(asked.sandbox.world, enterprise, event)
        for event in events_of(asked.sandbox.world, enterprise, day, now)
    ]


# -- the log -------------------------------------------------------------------------------------------------------


def show_requests(asked: Asked) -> Any:
    """All requests, or those with `method`, `path` (a glob), `status`; `count_only=1` leaves the list out."""
    kept = [entry for entry in asked.sandbox.log.entries if _wanted(entry, asked.query)]
    narrowed = any(name in asked.query for name in ("method", "path", "status"))
    count = len(kept) if narrowed else asked.sandbox.log.count
    return {"count": count} if asked.query.get("count_only") else {"count": count, "requests": kept}


def _wanted(entry: LoggedRequest, query: Mapping[str, str]) -> bool:
    return (
        query.get("method", entry.method).upper() == entry.method
        and fnmatchcase(entry.path, query.get("path", "*"))
        and query.get("status", str(entry.status)) == str(entry.status)
    )


def reset_requests(asked: Asked) -> Any:
    asked.sandbox.log.reset()
    return {"count": 0}


# -- faults, clock, options ----------------------------------------------------------------------------------------


def show_faults(asked: Asked) -> Any:
    return asked.sandbox.faults.faults


def add_faults(asked: Asked) -> Any:
    asked.sandbox.faults.faults += msgspec.json.decode(asked.body, type=list[Fault])
    return asked.sandbox.faults.faults


def remove_faults(asked: Asked) -> Any:
    asked.sandbox.faults.faults = []
    return []


def show_clock(asked: Asked) -> Any:
    return {
        "now": asked.sandbox.clock.stamp(),
        "epoch_s": asked.sandbox.clock.seconds(),
        "speed": asked.sandbox.clock.speed,
    }


def change_clock(asked: Asked) -> Any:
    change = msgspec.json.decode(asked.body, type=ClockChange)
    if change.speed is not None:
        asked.sandbox.clock.run_at(change.speed)
    if change.advance_s is not None:
        asked.sandbox.clock.advance(change.advance_s)
    return show_clock(asked)


def show_options(asked: Asked) -> Any:
    return asked.sandbox.options


def change_options(asked: Asked) -> Any:
    return asked.sandbox.change_options(msgspec.json.decode(asked.body, type=dict[str, Any]))


def change_budget(asked: Asked) -> Any:
    change = msgspec.json.decode(asked.body, type=BudgetChange)
    account_id = _account_id(asked.sandbox, change.account)
    asked.sandbox.budget.put(account_id, change.remaining)
    return {"account": account_id, "remaining": asked.sandbox.budget.remaining(account_id)}


def reset(asked: Asked) -> Any:
    asked.sandbox.reset()
    return {"owner_id": asked.sandbox.world.owner.id, "owner_token": asked.sandbox.owner_token}


# -- credentials ---------------------------------------------------------------------------------------------------


def _account_id(sandbox: Sandbox, identity: str | None) -> str:
    account = sandbox.world.owner if identity is None else sandbox.world.account(identity)
    if account is None:
        raise not_found("account")
    return account.id


def mint_token(asked: Asked) -> Any:
    """A token for an account (id or e-mail, default the owner). `expires_in` in sandbox seconds, default never."""
    wanted = msgspec.json.decode(asked.body or b"{}", type=TokenRequest)
    if unknown := sorted(set(wanted.scopes) - set(SCOPES)):
        raise invalid(f"Unknown scopes {unknown}; known: {', '.join(SCOPES)}")
    return asked.sandbox.mint(_account_id(asked.sandbox, wanted.account), tuple(wanted.scopes), wanted.expires_in)


def show_clients(asked: Asked) -> Any:
    return list(asked.sandbox.keyring.clients.values())


def add_client(asked: Asked) -> Any:
    wanted = msgspec.json.decode(asked.body, type=ClientRequest)
    return asked.sandbox.keyring.add_client(asked.sandbox.world.owner.id, wanted.name, wanted.redirect_uri)


CONTROLS: dict[str, dict[str, Handler]] = {
    "/sandbox/world": {"GET": show_world},
    "/sandbox/events": {"GET": show_events},
    "/sandbox/requests": {"GET": show_requests, "DELETE": reset_requests},
    "/sandbox/faults": {"GET": show_faults, "POST": add_faults, "DELETE": remove_faults},
    "/sandbox/clock": {"GET": show_clock, "POST": change_clock},
    "/sandbox/options": {"GET": show_options, "POST": change_options},
    "/sandbox/budget": {"POST": change_budget},
    "/sandbox/tokens": {"POST": mint_token},
    "/sandbox/oauth-clients": {"GET": show_clients, "POST": add_client},
    "/sandbox/reset": {"POST": reset},
}


def control(sandbox: Sandbox, method: str, path: str, query: Mapping[str, str], body: bytes) -> Answer:
    """The answer of a control endpoint. What it doesn't understand is a 422 that says why."""
    handlers = CONTROLS.get(path)
    if handlers is None:
        return _error(404, f"There is no {path}; there are: {', '.join(CONTROLS)}")
    if method not in handlers:
        return _error(405, f"{path} takes {', '.join(handlers)}")
    try:
        return Answer(200, ENCODER.encode(handlers[method](Asked(sandbox, query, body))))
    except Refusal as refusal:
        return refusal.answer()
    except (msgspec.DecodeError, ValueError) as error:
        return _error(422, str(error))


def _error(status: int, message: str) -> Answer:
    return Answer(status, ENCODER.encode({"id": "sandbox_control", "message": message}))
