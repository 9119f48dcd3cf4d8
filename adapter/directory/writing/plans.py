"""Plans put together: drafts into steps, what they cost, what they rest on."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from adapter.directory.gather import Read
from adapter.directory.writing.conditions import Wish, wishes
from adapter.directory.writing.desk import Desk
from adapter.directory.writing.drafting import Draft, step_of
from adapter.directory.writing.ground import Blocked
from adapter.directory.writing.model import Ask, Cost, Obstacle, PlaceRef, Plan, RestsOn, Step
from adapter.directory.writing.people import Whom
from adapter.directory.writing.prints import fingerprint, said


def wish_of(ask: Ask, step: Step) -> Wish:
    """What was asked of a step's place; what nobody named is taken from."""
    assert step.place is not None
    named = (wish for wish in wishes(ask.changes) if wish.place.id == step.place.id)
    asked = next(named, Wish(verb="take", place=step.place))
    return msgspec.structs.replace(asked, place=step.place)


def steps_of(drafts: Iterable[Draft], whom: Whom, ask: Ask, blocked: list[Obstacle]) -> list[Step]:
    """The calls in order; what can't be sent joins what is blocked."""
    steps: list[Step] = []
    for made in drafts:
        if made.call is None or made.refused:
            continue
        try:
            step = step_of(len(steps) + 1, made, whom, ask.remote_data)
            steps.append(msgspec.structs.replace(step, waits_for=_above(made, steps)))
        except Blocked as fault:
            blocked.append(fault.obstacle)
    return steps


def _above(made: Draft, steps: Iterable[Step]) -> tuple[PlaceRef, ...]:
    """What the draft's place is in, where other steps give access to that."""
    above = {str(record.get("id")) for record in made.spot.lineage.values()} - {made.spot.ref.id}
    return tuple(step.place for step in steps if step.place is not None and step.place.id in above)


def obstacles_of(drafts: Iterable[Draft]) -> list[Obstacle]:
    found: list[Obstacle] = []
    for made in drafts:
        found += [obstacle for obstacle in made.obstacles if obstacle not in found]
    return found


def mismatch(whom: Whom) -> list[Obstacle]:
    """An id and an address that are two people's."""
    if whom.other_id is None:
        return []
    message = f"{whom.email} is the address of {whom.other_id}, not of {whom.id}; name the one who is meant."
    return [Obstacle(guard="person_mismatch", message=message)]


def rests_on(desk: Desk, reads: Iterable[Read], whom: Whom) -> tuple[RestsOn, ...]:
    """Each reading once, with a print of what it says about the person, or of all of it where it tells of no people."""
    now, made = desk.units.now(), {}
    for read in reads:
        made[read.unit.name, read.state.path] = RestsOn(
            unit=read.unit.name,
            path=read.state.path,
            age=max(0.0, round(now - read.state.fetched_at, 3)),
            fingerprint=said(_about(desk, read, whom)),
        )
    return tuple(made[key] for key in sorted(made))


def _about(desk: Desk, read: Read, whom: Whom) -> list[Any]:
    mentions = whom.mentions() if read.unit.name in desk.writes.units() else None
    return [record for record in read.state.records or () if mentions is None or mentions.within(record)]


def read_back(desk: Desk, steps: Iterable[Step]) -> int:
    """Requests that reading the places of these steps takes, once each."""
    places = {step.place for step in steps if step.place is not None}
    return sum(1 for place in places for people in desk.writes.places[place.kind].people if not people.only_known)


def finished(desk: Desk, plan: Plan) -> Plan:
    """With what the request budget says to it, and its etag."""
    needed, left = plan.cost.steps + plan.cost.read_back, desk.client.budget.remaining
    wait = 0 if left is None or left >= needed else math.ceil((needed - left) * desk.refill)
    warning = Obstacle(
        guard="budget",
        message=f"This takes {needed} requests, and the account's budget has {left} left; it has enough in {wait} s.",
        is_warning=True,
        details={"affordable_in": wait},
    )
    cost: Cost = msgspec.structs.replace(plan.cost, affordable_in=wait)
    plan = msgspec.structs.replace(plan, cost=cost, etag=fingerprint(plan))
    return msgspec.structs.replace(plan, obstacles=(*plan.obstacles, warning)) if wait else plan


def notes(may_return: Sequence[Mapping[str, Any]], secrets: Sequence[PlaceRef]) -> dict[str, Any]:
    found = {"may_return": list(may_return), "rotate_secrets_of": [msgspec.to_builtins(ref) for ref in secrets]}
    return {name: value for name, value in found.items() if value}
