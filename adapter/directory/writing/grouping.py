"""Groups made, renamed and deleted in an organization: planned, looked at before the call, looked up after it."""

from typing import Literal

from adapter.directory.writing.conditions import NOTHING
from adapter.directory.writing.ground import Blocked, Ground, Spot
from adapter.directory.writing.guards import Case, guarded_by_name, missing_scope
from adapter.directory.writing.model import Ask, Cost, GroupAsk, Obstacle, PersonRef, PlaceRef, Plan, Step
from adapter.directory.writing.people import Whom
from adapter.errors import InvalidBody, RemoteNotFound, Unprocessable
from adapter.mapping.writes import GROUPS, Call, GroupWrites


async def plan_group(ground: Ground, ask: Ask) -> Plan:
    """The plan; its `etag` is still to be made. InvalidBody where the ask lacks what the operation needs."""
    try:
        call, spot = await _drafted(ground, ask)
    except Blocked as blocked:
        return Plan(kind=ask.kind, obstacles=(blocked.obstacle,), cost=Cost(steps=0), etag="")
    if _is_so(ask, spot):
        return Plan(kind=ask.kind, already=(spot.ref,), cost=Cost(steps=0), etag="")
    obstacles = tuple(await _obstacles(ground, ask, call, spot))
    steps = (_step(ask, call, spot),) if all(obstacle.is_warning for obstacle in obstacles) else ()
    cost = Cost(steps=len(steps), read_back=len(steps))
    return Plan(kind=ask.kind, steps=steps, obstacles=obstacles, cost=cost, etag="")


async def check_group(ground: Ground, ask: Ask, step: Step) -> Step | Obstacle | None:
    """Blocked where the group goes by another name than when it was planned: it may be another one that is meant.
    Whether one that can't be seen any more is deleted, the call itself tells.
    """
    assert step.place is not None
    try:
        call, spot = await _drafted(ground, ask)
    except Blocked as blocked:
        if _verb(ask) == "delete" and blocked.obstacle.guard == "not_found":
            return step
        raise
    if _is_so(ask, spot):
        return None
    if spot.ref.name != step.place.name:
        raise Blocked("place_mismatch", f"{step.place.name} is called {spot.label} by now; ask again.", place=spot.ref)
    refusals = [each for each in await _obstacles(ground, ask, call, spot) if not each.is_warning]
    return refusals[0] if refusals else step


async def look_at_group(ground: Ground, ask: Ask) -> Literal["done", "not_done", "unknown"]:
    """Whether the group is there, goes by the new name, or is gone."""
    groups, group = _groups(ground), _asked(ask)
    if _verb(ask) == "create":
        return "done" if await found_group(ground, ask) is not None else "not_done"
    kind = ground.writes.places[groups.group]
    read = await ground.read(kind.read, {kind.as_: {"id": group.id}})
    if read.state.error is not None:
        gone = _verb(ask) == "delete" and isinstance(read.state.error, RemoteNotFound)
        return "done" if gone else "unknown"
    name = (read.state.records or [{}])[0].get("name")
    return "done" if _verb(ask) == "update" and name == group.name else "not_done"


async def found_group(ground: Ground, ask: Ask) -> dict[str, object] | None:
    """The group that was asked for among those of its organization; Blocked where these can't be read."""
    groups, group = _groups(ground), _asked(ask)
    spot = await ground.spot(PlaceRef(kind=groups.organization, id=group.organization_id or ""))
    read = await ground.read(ground.desk.model.units[groups.listed_by], spot.lineage)
    if read.state.error is not None:
        raise Blocked("unreadable", read.state.error.message, place=spot.ref)
    return next((record for record in read.state.records or () if record.get("name") == group.name), None)


# --- parts


def _groups(ground: Ground) -> GroupWrites:
    if ground.writes.groups is None:
        raise Unprocessable("Groups can't be written here.")
    return ground.writes.groups


def _asked(ask: Ask) -> GroupAsk:
    assert ask.group is not None
    return ask.group


def _verb(ask: Ask) -> str:
    return ask.kind.partition(".")[2]


async def _drafted(ground: Ground, ask: Ask) -> tuple[Call, Spot]:
    groups, group, verb = _groups(ground), _asked(ask), _verb(ask)
    kind, place_id = (groups.organization, group.organization_id) if verb == "create" else (groups.group, group.id)
    if not place_id or (verb != "delete" and not group.name):
        raise InvalidBody(f"To {verb} a group takes {_needs(verb)}.")
    spot = await ground.spot(PlaceRef(kind=kind, id=place_id))
    call = groups.calls[verb]
    if not await ground.holds(call.when, spot):
        raise Blocked("not_in_organization", f"{spot.label}: {call.way_out}", place=spot.ref)
    return call, spot


def _needs(verb: str) -> str:
    return {"create": "`name` and `organization`", "update": "`id` and `name`"}.get(verb, "`id`")


def _is_so(ask: Ask, spot: Spot) -> bool:
    return _verb(ask) == "update" and spot.record.get("name") == _asked(ask).name


async def _obstacles(ground: Ground, ask: Ask, call: Call, spot: Spot) -> list[Obstacle]:
    nobody = Whom(PersonRef(), None)
    case = Case(ground=ground, ask=ask, whom=nobody, spot=spot, call=call, before=NOTHING, after=NOTHING)
    return [*missing_scope(ground, call, spot.ref), *await guarded_by_name(case)]


def _step(ask: Ask, call: Call, spot: Spot) -> Step:
    context = {**spot.lineage, "name": _asked(ask).name}
    body = call.body_for(context)
    return Step(
        n=1,
        call=f"{GROUPS}.{call.name}",
        method=call.method,
        path=call.path_for(context),
        body={**ask.remote_data, **body} if body is not None else None,
        place=spot.ref,
        summary=call.says.format(name=_asked(ask).name, place=f"{spot.kind.name} {spot.label}", person="", roles=""),
        scopes=call.scopes,
    )
