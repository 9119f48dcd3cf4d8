"""What became of a call whose answer was lost: told from what the provider shows, never guessed."""

from collections.abc import Awaitable, Callable
from typing import Literal

from adapter.directory.writing.conditions import seen_as
from adapter.directory.writing.desk import Desk
from adapter.directory.writing.ground import Blocked, Ground
from adapter.directory.writing.grouping import look_at_group
from adapter.directory.writing.model import Ask, Holding, PlaceRef, Step
from adapter.directory.writing.people import Whom, holding_of
from adapter.errors import RemoteError, RemoteRateLimited, UpstreamFailure
from adapter.mapping.writes import PlaceKind

Looked = Literal["done", "not_done", "unknown"]
Sleep = Callable[[float], Awaitable[None]]

_KIND_AGE = 300.0


async def look_up(desk: Desk, ask: Ask, step: Step, sleep: Sleep | None) -> Looked:
    """Whether what the step was to bring about is so. With `sleep`, a lagging list is read again for a while."""
    end, pause = desk.units.now() + lag(desk, step), 1.0
    while True:
        looked, settles = await _look(desk, ask, step)
        if looked != "not_done" or not settles or sleep is None or desk.units.now() >= end:
            return looked
        await sleep(pause)
        pause = min(pause * 2, 5.0)


def lag(desk: Desk, step: Step) -> float:
    """Seconds for which the lists of a step's place may go on showing what is gone."""
    kind = desk.writes.places.get(step.place.kind) if step.place else None
    units = [desk.model.units[name] for people in kind.people for name in people.units] if kind else []
    return max((desk.model.removals[name].seconds for unit in units for name in unit.without), default=0.0)


async def _look(desk: Desk, ask: Ask, step: Step) -> tuple[Looked, bool]:
    """What the lists show now, and whether they may not be past the write yet."""
    now = desk.units.now()
    ground = Ground(desk, since=now, kinds_since=now - _KIND_AGE)
    try:
        if ask.person is None:
            return await look_at_group(Ground(desk, since=now), ask), False
        done = await _reached(ground, Whom(ask.person, desk.people), step)
    except RemoteRateLimited:
        raise
    except (Blocked, RemoteError, UpstreamFailure):
        return "unknown", False
    if ground.unknown and not done:
        return "unknown", False
    return "done" if done else "not_done", step.takes or any(read.hides for read in ground.reads.values())


async def _reached(ground: Ground, whom: Whom, step: Step) -> bool:
    assert step.place is not None
    spot = await ground.spot(PlaceRef(kind=step.place.kind, id=step.place.id))
    held = holding_of(spot.kind, await ground.of(whom, spot))
    if ground.unknown and held.state == "none":
        return False
    return amounts_to(spot.kind, held, step.after or Holding())


def amounts_to(kind: PlaceKind, held: Holding, after: Holding) -> bool:
    """Whether what is held is what was to be; an invitation that was accepted meanwhile is no worse."""
    if after.state == "none" or held.state == "none":
        return after.state == held.state
    there = {name: role for name, role in kind.roles.items() if name in after.roles}
    return set(seen_as(kind, there, held).roles) == set(after.roles) and after.state in {held.state, "pending"}
