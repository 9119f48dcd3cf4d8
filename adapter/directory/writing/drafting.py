"""One change in one place, drafted: what is held, what will be, the call between, and what stands in its way."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from adapter.directory.writing.conditions import NOTHING, Wish, call_for, roles_there, same, seen_as, wanted
from adapter.directory.writing.ground import Blocked, Ground, Spot
from adapter.directory.writing.guards import Case, guarded, missing_scope
from adapter.directory.writing.model import Ask, Holding, Obstacle, PlaceRef, Step
from adapter.directory.writing.people import Whom, holding_of, known
from adapter.mapping.compiled import false
from adapter.mapping.units import HOLE
from adapter.mapping.writes import Call, Entry


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is to be made, or (`call` None) a place where what is asked is so already."""

    spot: Spot
    call: Call | None
    before: Holding
    after: Holding
    obstacles: tuple[Obstacle, ...] = ()
    email: str | None = None
    """As the place's own lists write it."""

    @property
    def refused(self) -> bool:
        return any(not obstacle.is_warning for obstacle in self.obstacles)


async def draft(ground: Ground, ask: Ask, whom: Whom, wish: Wish) -> Draft:
    """The change as it would be made now, from what the provider says now. Blocked where it can't be drafted."""
    spot = await ground.spot(wish.place)
    try:
        mine = await ground.of(whom, spot)
    except Blocked as blocked:
        raise _for_want_of_a_scope(ground, spot) or blocked from None
    implied = await _implied(ground, whom, wish, spot, mine) if wish.taken or wish.verb == "take" else []
    made = await drafted(ground, ask, whom, wish, spot, mine)
    return msgspec.structs.replace(made, obstacles=(*made.obstacles, *implied))


async def drafted(ground: Ground, ask: Ask, whom: Whom, wish: Wish, spot: Spot, mine: Sequence[Entry]) -> Draft:
    """The same, from what is known of the person there."""
    before = holding_of(spot.kind, mine)
    after = await wanted(ground, spot, before, wish)
    email = next((entry.email for entry in mine if entry.email), None)
    before = await _seen(ground, spot, before, wish)
    if same(before, after):
        return Draft(spot=spot, call=None, before=before, after=before, email=email)
    if whom.email is None and after.state == "none" and after.roles:
        await _must_be_known(ground, whom, spot)
    call = await call_for(ground, spot, before, after)
    after = NOTHING if call.to == "none" else Holding(state=call.to, roles=after.roles, member_id=before.member_id)
    case = Case(ground=ground, ask=ask, whom=whom, spot=spot, call=call, before=before, after=after)
    obstacles = tuple(await guarded(case))
    return Draft(spot=spot, call=call, before=before, after=after, obstacles=obstacles, email=email)


def _for_want_of_a_scope(ground: Ground, spot: Spot) -> Blocked | None:
    """Where no call could be made there anyway, that is what to tell: what can't be read is a matter of it too."""
    lacking = [missing_scope(ground, call, spot.ref) for call in spot.kind.calls]
    if not all(lacking):
        return None
    (first,) = lacking[0]
    return Blocked(first.guard, first.message, place=spot.ref, details=first.details)


async def _seen(ground: Ground, spot: Spot, before: Holding, wish: Wish) -> Holding:
    if wish.verb == "take" and not wish.roles:
        return before
    return seen_as(spot.kind, await roles_there(ground, spot), before)


async def _must_be_known(ground: Ground, whom: Whom, spot: Spot) -> None:
    await known(ground.desk, whom)
    if whom.email is None:
        raise Blocked(
            "person_unknown",
            f"Nobody with the id {whom.person().id} is in this directory; name them by their e-mail address.",
            place=spot.ref,
        )


# --- what a membership implies


async def _implied(ground: Ground, whom: Whom, wish: Wish, spot: Spot, mine: Sequence[Entry]) -> list[Obstacle]:
    """Access that follows from a role in what the place is in can't be taken here: Blocked, or a warning where some of
    what is taken is the place's own.
    """
    before = holding_of(spot.kind, mine)
    role, gives, always = await _implying(ground, whom, spot)
    if not gives:
        return []
    taken = set(wish.taken) or set(before.roles) or gives
    message = f"{whom.email or whom.id} has {', '.join(sorted(gives))} in {spot.label} as {role}; change that role."
    if taken <= gives and (always or before.state == "none"):
        raise Blocked("inherited", message, place=spot.ref, details={"through": role})
    return [Obstacle(guard="inherited", message=message, place=spot.ref, is_warning=True, details={"through": role})]


async def _implying(ground: Ground, whom: Whom, spot: Spot) -> tuple[str, set[str], bool]:
    """The role in the place above, what it gives here, and whether it does so in every such place."""
    for parent in ground.writes.places.values():
        record = spot.lineage.get(parent.as_)
        if spot.kind.name not in parent.covers or not isinstance(record, Mapping) or not record.get("id"):
            continue
        above = Spot(kind=parent, ref=PlaceRef(kind=parent.name, id=str(record["id"])), record=record)
        try:
            held = holding_of(parent, await ground.of(whom, above))
        except Blocked:
            # Whoever may not see who is in the team can't be told what follows from it.
            return "", set(), False
        for name in held.roles if held.state == "active" else ():
            gives, always = _rule(ground, f"{parent.name}:{name}", spot)
            if gives:
                return f"{parent.name}:{name}", gives, always
    return "", set(), False


def _rule(ground: Ground, role_id: str, spot: Spot) -> tuple[set[str], bool]:
    for resource in ground.desk.model.resources.values():
        inherited = resource.inherited
        if inherited is None or inherited.item != spot.kind.as_:
            continue
        for rule in inherited.rules:
            if rule.role_id == role_id and (rule.where is None or not false(rule.where(spot.record))):
                return set(rule.gives), rule.where is None
    return set(), False


# --- steps


def step_of(n: int, made: Draft, whom: Whom, remote_data: Mapping[str, Any]) -> Step:
    """The draft as the call that will be sent; Blocked where the person's address is needed and not known."""
    call, spot = made.call, made.spot
    assert call is not None
    context = {
        **spot.lineage,
        "person": _person(whom, made.email),
        "roles": list(made.after.roles),
        "role": next(iter(made.after.roles), None),
    }
    body = call.body_for(context)
    lacking = [field for name, field in HOLE.findall(call.path) if context[name].get(field) is None]
    if lacking or any(value is None for value in (body or {}).values()):
        raise Blocked("person_unknown", f"The address of {whom.person().id} is not known; name it.", place=spot.ref)
    return Step(
        n=n,
        call=f"{spot.kind.name}.{call.name}",
        method=call.method,
        path=call.path_for(context),
        headers={"accept": call.accept} if call.accept else {},
        body={**remote_data, **body} if body is not None else None,
        place=spot.ref,
        summary=_summary(made, whom),
        before=made.before,
        after=made.after,
        scopes=call.scopes,
    )


def _person(whom: Whom, shown: str | None) -> dict[str, str | None]:
    email = shown or whom.email
    return {"id": whom.id, "email": email, "key": whom.id or email}


def _summary(made: Draft, whom: Whom) -> str:
    assert made.call is not None
    roles = " and ".join(made.after.roles)
    return made.call.says.format(
        person=made.email or whom.email or whom.id,
        place=f"{made.spot.kind.name} {made.spot.label}",
        roles=roles,
        name="",
    )
