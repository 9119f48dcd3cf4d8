"""From what somebody holds and what is wanted to what they will hold. Pure.

`take` takes roles away, all where none is named; `set` leaves no others; `give` adds, or puts another role in the place
of the one that is held where only one can be. What is taken and given in one place is one wish, and one call.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from adapter.directory.writing.ground import Blocked, Ground, Spot
from adapter.directory.writing.model import Change, Holding, PlaceRef
from adapter.mapping.writes import Call, PlaceKind, Role

NOTHING = Holding()


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """All that is asked about one person in one place. `instead_of`: the roles that are given up for those given."""

    verb: Literal["give", "set", "take"]
    place: PlaceRef
    roles: tuple[str, ...] = ()
    instead_of: tuple[str, ...] = ()

    @property
    def taken(self) -> tuple[str, ...]:
        return self.roles if self.verb == "take" else self.instead_of


def wishes(changes: Iterable[Change], kinds: Mapping[str, PlaceKind] | None = None) -> list[Wish]:
    """The changes by place, in the order of these kinds, which is that in which access is given: whoever is to be in a
    space is first put into its team. A place's kind may be given by the contract's word.
    """
    order = {
        word: at for at, kind in reversed(list(enumerate((kinds or {}).values()))) for word in (kind.named, kind.name)
    }
    by_place: dict[PlaceRef, list[Change]] = {}
    for change in changes:
        by_place.setdefault(change.place, []).append(change)
    made = [_wish(place, together) for place, together in by_place.items()]
    return sorted(made, key=lambda wish: order.get(wish.place.kind, len(order)))


def _wish(place: PlaceRef, changes: Sequence[Change]) -> Wish:
    roles: dict[str, list[str]] = {}
    for change in changes:
        roles.setdefault(change.verb, []).extend(change.roles)
    verb = next(word for word in _VERBS if word in roles)
    taken = roles.get("take", []) if verb != "take" else []
    return Wish(verb=verb, place=place, roles=tuple(dict.fromkeys(roles[verb])), instead_of=tuple(dict.fromkeys(taken)))


_VERBS: tuple[Literal["set", "give", "take"], ...] = ("set", "give", "take")


async def roles_there(ground: Ground, spot: Spot) -> dict[str, Role]:
    """The roles that can be given in a place."""
    return {
        name: role for name, role in spot.kind.roles.items() if role.assignable and await ground.holds(role.when, spot)
    }


async def wanted(ground: Ground, spot: Spot, before: Holding, wish: Wish) -> Holding:
    """What the person is to hold; equal to `before` where it is so already. Blocked for roles that can't be given, and
    where a role is to be exchanged that is not held.
    """
    if wish.verb == "take" and not wish.roles:
        return NOTHING
    there = await roles_there(ground, spot)
    before = seen_as(spot.kind, there, before)
    if wish.verb == "take":
        return _left(spot, there, before, wish.roles)
    given = wish.roles or _default(spot, before)
    for role in given:
        _must_be_assignable(spot, there, role)
    if spot.kind.exclusive and len(given) > 1:
        raise Blocked(
            "role_not_assignable", f"{spot.label} takes one role a person, not {', '.join(given)}.", place=spot.ref
        )
    _must_be_held(spot, before, given, wish)
    kept = set() if spot.kind.exclusive or wish.verb == "set" else set(before.roles) & set(there) - set(wish.instead_of)
    return msgspec.structs.replace(before, roles=spot.kind.ordered(frozenset({*given, *kept})))


def _must_be_held(spot: Spot, before: Holding, given: Sequence[str], wish: Wish) -> None:
    """What was exchanged already is so; what was never held can't be."""
    if set(wish.instead_of) <= set(before.roles) or set(given) <= set(before.roles):
        return
    names = ", ".join(f"{spot.kind.name}:{role}" for role in wish.instead_of)
    raise Blocked("not_found", f"{names} in {spot.label} is not held, so nothing can be given for it.", place=spot.ref)


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
