"""From what somebody holds and what is wanted to what they will hold. Pure.

`take` takes roles away, all where none is named; `set` leaves no others; `give` adds, or puts another role in the place
of the one that is held where only one can be.
"""

from collections.abc import Sequence

import msgspec

from adapter.directory.writing.ground import Blocked, Ground, Spot
from adapter.directory.writing.model import Change, Holding
from adapter.mapping.writes import Call, PlaceKind, Role

NOTHING = Holding()


async def roles_there(ground: Ground, spot: Spot) -> dict[str, Role]:
    """The roles that can be given in a place."""
    return {
        name: role for name, role in spot.kind.roles.items() if role.assignable and await ground.holds(role.when, spot)
    }


async def wanted(ground: Ground, spot: Spot, before: Holding, change: Change) -> Holding:
    """What the person is to hold; equal to `before` where it is so already. Blocked for roles that can't be given."""
    if change.verb == "take" and not change.roles:
        return NOTHING
    there = await roles_there(ground, spot)
    before = seen_as(spot.kind, there, before)
    if change.verb == "take":
        return _left(spot, there, before, change.roles)
    given = change.roles or _default(spot, before)
    for role in given:
        _must_be_assignable(spot, there, role)
    if spot.kind.exclusive and len(given) > 1:
        raise Blocked(
            "role_not_assignable", f"{spot.label} takes one role a person, not {', '.join(given)}.", place=spot.ref
        )
    kept = () if spot.kind.exclusive or change.verb == "set" else tuple(set(before.roles) & set(there))
    return msgspec.structs.replace(before, roles=spot.kind.ordered(frozenset({*given, *kept})))


def seen_as(kind: PlaceKind, there: dict[str, Role], before: Holding) -> Holding:
    """What is held, in the words of what can be given: where access is all or nothing, any is all of it."""
    whole = next((name for name, role in there.items() if role.stands_for_all), None)
    fixed = any(role in kind.roles and not kind.roles[role].assignable for role in before.roles)
    if whole is None or before.state == "none" or fixed:
        return before
    return msgspec.structs.replace(before, roles=(whole,))


def _default(spot: Spot, before: Holding) -> tuple[str, ...]:
    """Whoever is there keeps the role they have, where none is named."""
    given = before.roles or ((spot.kind.default,) if spot.kind.default else ())
    if not given:
        known = ", ".join(spot.kind.roles)
        raise Blocked("role_not_assignable", f"Name the role to give in {spot.label}: {known}.", place=spot.ref)
    return given


def _must_be_assignable(spot: Spot, there: dict[str, Role], name: str) -> None:
    if name in there:
        return
    role = spot.kind.roles.get(name)
    reason = (role.way_out if role else None) or f"Those that can are: {', '.join(there) or 'none'}."
    raise Blocked(
        "role_not_assignable",
        f"{spot.kind.name}:{name} can't be given in {spot.label}. {reason}",
        place=spot.ref,
        details={"role": f"{spot.kind.name}:{name}", "assignable": [f"{spot.kind.name}:{word}" for word in there]},
    )


def _left(spot: Spot, there: dict[str, Role], before: Holding, taken: Sequence[str]) -> Holding:
    """What remains once roles are taken away; somebody without any is not there any more."""
    if not set(taken) & set(before.roles):
        unknown = [role for role in taken if role not in spot.kind.roles]
        if unknown or (before.state != "none" and any(role.stands_for_all for role in there.values())):
            for role in taken:
                _must_be_assignable(spot, there, role)
        return before
    left = frozenset(before.roles) - frozenset(taken)
    return msgspec.structs.replace(before, roles=spot.kind.ordered(left)) if left else NOTHING


async def call_for(ground: Ground, spot: Spot, before: Holding, after: Holding) -> Call:
    """The declared call that leads from one to the other."""
    for call in spot.kind.calls:
        leads = before.state in call.from_ and (call.to == "none") == (after.state == "none" and not after.roles)
        if leads and await ground.holds(call.when, spot):
            return call
    raise Blocked("no_way", f"No call leads from {before.state} to {after.roles} in {spot.label}.", place=spot.ref)


def same(before: Holding, after: Holding) -> bool:
    if before.state == "none":
        return after.state == "none" and not after.roles
    return bool(after.roles) and set(before.roles) == set(after.roles)
