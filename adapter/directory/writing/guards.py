"""What stands in the way of a change that could be made: each guard by the name under which calls declare it.

A guard answers with obstacles: refusals that name the way out, or warnings. Three hold for every call.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from adapter.directory.writing.desk import Desk
from adapter.directory.writing.ground import Ground, Spot
from adapter.directory.writing.model import Ask, Holding, Obstacle, PlaceRef
from adapter.directory.writing.people import Whom
from adapter.mapping.compiled import false
from adapter.mapping.write_schema import Guard
from adapter.mapping.writes import Call, Entry


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A change about to be made: by which call, to whom, from what to what."""

    ground: Ground
    ask: Ask
    whom: Whom
    spot: Spot
    call: Call
    before: Holding
    after: Holding

    @property
    def lost(self) -> frozenset[str]:
        """The roles that the person will not hold any more."""
        return frozenset(self.before.roles) - frozenset(self.after.roles)

    @property
    def who(self) -> str:
        return self.whom.email or self.whom.id or "somebody"

    def obstacle(self, guard: str, message: str, *, is_warning: bool = False, **details: Any) -> Obstacle:
        return Obstacle(guard=guard, message=message, place=self.spot.ref, is_warning=is_warning, details=details)


Check = Callable[[Case], Awaitable[list[Obstacle]]]


async def guarded(case: Case) -> list[Obstacle]:
    """Everything that stands in the way, refusals first."""
    found = [*_scope(case), *_admin_grants(case), *_powerless(case), *await guarded_by_name(case)]
    return sorted(found, key=lambda obstacle: obstacle.is_warning)


async def guarded_by_name(case: Case) -> list[Obstacle]:
    """What the guards say that the call itself declares."""
    return [obstacle for name in case.call.guards for obstacle in await GUARDS[name](case)]


# --- for every call


def _scope(case: Case) -> list[Obstacle]:
    return missing_scope(case.ground, case.call, case.spot.ref)


def missing_scope(ground: Ground, call: Call, place: PlaceRef | None) -> list[Obstacle]:
    """Answers tell which scopes a credential holds; where none ever did, nothing is said."""
    held = ground.desk.held_scopes
    if not held or not call.scopes or set(held) & set(call.scopes):
        return []
    return [
        Obstacle(
            guard="missing_scope",
            message=f"This needs the scope {' or '.join(call.scopes)}, and the connection holds {', '.join(held)}; "
            "connect the account again with it.",
            place=place,
            details={"scopes": list(call.scopes), "held": list(held)},
        )
    ]


def _admin_grants(case: Case) -> list[Obstacle]:
    gained = frozenset(case.after.roles) - (frozenset(case.before.roles) if case.before.state == "active" else set())
    roles = [role for role in case.spot.kind.ordered(gained) if role in _admin_roles(case)]
    if not roles or case.ground.desk.settings.allow_admin_grants:
        return []
    named = ", ".join(f"{case.spot.kind.name}:{role}" for role in roles)
    return [
        case.obstacle(
            "admin_grants_off",
            f"This account's settings do not allow {named} to be given; set `allow_admin_grants`, or give less.",
            roles=roles,
        )
    ]


def _admin_roles(case: Case) -> set[str]:
    return {name for name, role in case.spot.kind.roles.items() if role.admin}


def _powerless(case: Case) -> list[Obstacle]:
    expression = case.spot.kind.powerless
    if expression is None or false(expression(case.spot.record)):
        return []
    message = f"The connected account is not in charge of {case.spot.label}; connect one that is."
    return [case.obstacle("not_permitted", message)]


# --- by name


async def own_account(case: Case) -> list[Obstacle]:
    """Whoever takes their own access away may lock the connection out."""
    own = case.ground.desk.identity
    if own is None or not case.lost or not is_own(case.ground.desk, case.whom):
        return []
    message = (
        f"{case.who} is the account behind this connection; act with another connection, or at the provider itself."
    )
    return [case.obstacle("own_account", message)]


def is_own(desk: Desk, whom: Whom) -> bool:
    """Whether somebody is the person behind the connection."""
    own = desk.identity
    return own is not None and (own.id == whom.id or (own.email or "").strip().lower() in whom.emails)


async def last_admin(case: Case) -> list[Obstacle]:
    """A place keeps somebody who runs it; an invitation that nobody has accepted runs nothing."""
    if not await _steps_down(case) or await _others(case):
        return []
    roles = " or ".join(role for role in case.spot.kind.roles if role in case.spot.kind.keepers)
    return [
        case.obstacle(
            "last_admin",
            f"{case.who} is the last {roles} of {case.spot.label}; make somebody else {roles} first.",
            pending=[entry.email for entry in await _keepers(case) if entry.pending],
        )
    ]


async def sso_only_admins(case: Case) -> list[Obstacle]:
    """Heroku advises to keep an admin outside SSO, for the day on which the identity provider is down:
    https://devcenter.heroku.com/articles/sso#admins
    """
    if not await _steps_down(case):
        return []
    others, mine = await _others(case), [entry for entry in await _keepers(case) if case.whom.is_(entry)]
    if not others or not all(entry.by_sso for entry in others) or any(entry.by_sso for entry in mine):
        return []
    message = (
        f"After {case.who} everybody who runs {case.spot.label} signs in by SSO; "
        "keep one who does not, for the day on which the identity provider fails."
    )
    return [case.obstacle("sso_only_admins", message, is_warning=True)]


async def _steps_down(case: Case) -> bool:
    """Whether somebody who keeps the place running will not any more."""
    keepers = case.spot.kind.keepers
    return bool(keepers & set(case.before.roles)) and not keepers & set(case.after.roles)


async def _keepers(case: Case) -> list[Entry]:
    return [entry for entry in await case.ground.entries(case.spot) if case.spot.kind.keepers & set(entry.roles)]


async def _others(case: Case) -> list[Entry]:
    return [entry for entry in await _keepers(case) if not entry.pending and not case.whom.is_(entry)]


async def stays(case: Case) -> list[Obstacle]:
    """A role that can't be assigned can't be taken either: an app stays its owner's until it is handed over."""
    fixed = [role for role in case.spot.kind.roles.values() if role.name in case.before.roles and not role.assignable]
    return [
        case.obstacle(
            f"{case.spot.kind.name}_{role.name}",
            f"{case.who} stays {role.name} of {case.spot.label}. {role.way_out or ''}".strip(),
            role=f"{case.spot.kind.name}:{role.name}",
        )
        for role in fixed
    ]


async def in_place_first(case: Case) -> list[Obstacle]:
    """Access inside a place may be for its members only."""
    if case.before.state != "none":
        return []
    for kind in case.ground.writes.places.values():
        record = case.spot.lineage.get(kind.as_)
        if case.spot.kind.name not in kind.covers or not isinstance(record, Mapping) or not record.get("id"):
            continue
        ref = PlaceRef(kind=kind.name, id=str(record["id"]))
        if _given_first(case.ask, ref) or await case.ground.of(case.whom, await case.ground.spot(ref)):
            return []
        message = (
            f"{case.who} is not in the {kind.name} of {case.spot.label}, {record.get('name')}; add them there first."
        )
        return [case.obstacle("not_in_place", message, place_needed=msgspec.to_builtins(ref))]
    return []


def _given_first(ask: Ask, ref: PlaceRef) -> bool:
    return any(change.verb != "take" and change.place.id == ref.id for change in ask.changes)


async def empty_group(case: Case) -> list[Obstacle]:
    """A group is deleted with nothing in it, so that nobody loses by a slip what can't be brought back."""
    groups, ground = case.ground.writes.groups, case.ground
    held: list[str] = []
    for name in groups.emptied_of if groups else ():
        read = await ground.read(ground.desk.model.units[name], case.spot.lineage)
        held += _names(read.state.records or ())
    if not held:
        return []
    message = f"{case.spot.label} still has {', '.join(held[:5])}; move or delete what is in it first."
    return [case.obstacle("group_not_empty", message, count=len(held))]


def _names(records: Sequence[Any]) -> list[str]:
    return [str(record.get("name")) for record in records if isinstance(record, Mapping)]


GUARDS: Mapping[Guard, Check] = {
    "own_account": own_account,
    "last_admin": last_admin,
    "sso_only_admins": sso_only_admins,
    "stays": stays,
    "in_place_first": in_place_first,
    "empty_group": empty_group,
}
