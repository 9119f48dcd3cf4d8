"""From what is asked to the calls that would do it: plans, and the last look right before each call.

A plan for named places reads them first; one for everywhere rests on the directory. Either is checked again under the
place's lock, right before each call.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from adapter.directory.writing import prints
from adapter.directory.writing.atlas import reading_back
from adapter.directory.writing.conditions import Wish, wishes
from adapter.directory.writing.desk import Desk
from adapter.directory.writing.drafting import Draft, draft, step_of
from adapter.directory.writing.everywhere import Sweep, inside, sweep
from adapter.directory.writing.ground import Blocked, Ground
from adapter.directory.writing.grouping import check_group, plan_group
from adapter.directory.writing.guards import is_own
from adapter.directory.writing.looking import Looked, look_up
from adapter.directory.writing.model import Ask, Cost, Obstacle, Operation, Plan, Step
from adapter.directory.writing.people import Whom
from adapter.directory.writing.plans import (
    finished,
    mismatch,
    notes,
    obstacles_of,
    read_back,
    rests_on,
    steps_of,
    wish_of,
)
from adapter.directory.writing.results import result_of
from adapter.errors import InvalidBody

KIND_AGE = 300.0
"""Seconds for which a place is taken to be of the same kind, and of the same name, between plan and call."""
_LIKELY = 10.0
"""Seconds that what a guard looks at may be old in a plan for everywhere: it is looked at again before the call."""

Sleep = Callable[[float], Awaitable[None]]


class Planner:
    """Plans writes; keeps nothing between two of them."""

    def __init__(self, sleep: Sleep = asyncio.sleep) -> None:
        self._sleep = sleep

    async def plan(self, desk: Desk, ask: Ask) -> Plan:
        """What would be done, what stands in the way, what it costs. Nothing is written.

        InvalidBody for an ask that names nobody; what the client raises where the provider can't be asked at all.
        """
        await desk.units.open()
        if ask.group is not None and ask.person is None:
            return finished(desk, await plan_group(Ground(desk, since=desk.units.now()), ask))
        if ask.person is None:
            raise InvalidBody("Name the person by `user_id` or `email`.")
        whom = Whom(ask.person, desk.people)
        return await (self._everywhere if ask.everywhere else self._named)(desk, ask, whom)

    async def check(self, desk: Desk, ask: Ask, step: Step, *, anew: bool = False) -> Step | Obstacle | None:
        """Right before the call, under the place's lock: the step as it is to be sent, a refusal, or None where it is
        so already.

        A removal from everywhere is looked at again only where a guard asks for it, or with `anew`.
        """
        await desk.units.open()
        now = desk.units.now()
        try:
            if ask.group is not None and ask.person is None:
                return await check_group(Ground(desk, since=now), ask, step)
            ground = Ground(desk, since=now, kinds_since=now - KIND_AGE)
            return await self._checked(ground, ask, step, anew=anew)
        except Blocked as blocked:
            return blocked.obstacle

    async def look_up(self, desk: Desk, ask: Ask, step: Step, *, patient: bool = False) -> Looked:
        """What became of a call whose answer was lost, or reads as if it had been needless: read from the provider.

        `patient`: lists that may go on showing what is gone are read again until that is over, some seconds. It is for
        a refusal that says so, and for what was given; whether a lost removal was done is told sooner by sending it
        again. RemoteRateLimited.
        """
        await desk.units.open()
        return await look_up(desk, ask, step, self._sleep if patient else None)

    async def result(self, desk: Desk, operation: Operation) -> Any:
        """The body of the answer: what was written, as the provider shows it now."""
        await desk.units.open()
        return await result_of(desk, operation)

    def says_already(self, desk: Desk, step: Step, status: int, message: str) -> bool:
        """Whether a refusal reads as if what was asked for were so already; `look_up` tells whether it is."""
        return desk.writes.call(step.call).says_already(status, message)

    def fingerprint(self, plan: Plan) -> str:
        """The plan's `etag`: the same for the same calls, obstacles and holdings, whatever their order and age."""
        return prints.fingerprint(plan)

    def difference(self, old: Plan, new: Plan) -> list[dict[str, Any]]:
        """What the newer plan has more, less or otherwise, a line each."""
        return prints.difference(old, new)

    # --- named places

    async def _named(self, desk: Desk, ask: Ask, whom: Whom) -> Plan:
        ground = Ground(desk, since=desk.units.now())
        drafts: list[Draft] = []
        blocked: list[Obstacle] = []
        for wish in wishes(ask.changes, desk.writes.places):
            for each in await self._wishes(ground, whom, wish, blocked):
                try:
                    drafts.append(await draft(ground, ask, whom, each))
                except Blocked as fault:
                    blocked.append(fault.obstacle)
        steps = steps_of(drafts, whom, ask, blocked)
        return finished(
            desk,
            Plan(
                kind=ask.kind,
                person=whom.person(),
                steps=tuple(steps),
                obstacles=(*blocked, *mismatch(whom), *obstacles_of(drafts)),
                already=tuple(made.spot.ref for made in drafts if made.call is None),
                unknown=tuple(ground.unknown),
                rests_on=rests_on(desk, ground.reads.values(), whom),
                cost=Cost(steps=len(steps), read_back=read_back(desk, steps)),
                etag="",
            ),
        )

    async def _wishes(self, ground: Ground, whom: Whom, wish: Wish, blocked: list[Obstacle]) -> list[Wish]:
        """A removal from a place that somebody is no member of is one from what they have inside it."""
        if wish.verb != "take" or wish.roles:
            return [wish]
        try:
            spot = await ground.spot(wish.place)
            if not spot.kind.covers:
                return [wish]
            mine = await ground.of(whom, spot)
            if any(not entry.pending for entry in mine):
                return [wish]
            below = [Wish(verb="take", place=ref) for ref in await inside(ground, whom, spot)]
        except Blocked as fault:
            blocked.append(fault.obstacle)
            return []
        return [*([wish] if mine or not below else []), *below]

    # --- everywhere

    async def _everywhere(self, desk: Desk, ask: Ask, whom: Whom) -> Plan:
        now = desk.units.now()
        ground = Ground(desk, since=now - _LIKELY, kinds_since=now - KIND_AGE)
        swept = await sweep(ground, ask, whom)
        remains = list(swept.remains)
        steps = steps_of(swept.drafts, whom, ask, remains)
        back = await reading_back(desk, steps, swept.held)
        return finished(
            desk,
            Plan(
                kind=ask.kind,
                person=whom.person(),
                steps=tuple(steps),
                obstacles=(*_refused(desk, whom, swept), *mismatch(whom), *obstacles_of(swept.drafts)),
                remains=tuple(remains),
                held=swept.held,
                unknown=swept.unknown,
                rests_on=rests_on(desk, [*swept.reads, *ground.reads.values()], whom),
                cost=Cost(steps=len(steps), read_back=back, full_proof=swept.full_proof),
                etag="",
                notes=notes(swept.may_return, swept.secrets),
            ),
        )

    async def _checked(self, ground: Ground, ask: Ask, step: Step, *, anew: bool) -> Step | Obstacle | None:
        assert ask.person is not None
        assert step.place is not None
        if ask.everywhere and not anew and not _guarded(ground, step):
            return step
        whom = Whom(ask.person, ground.desk.people)
        made = await draft(ground, ask, whom, wish_of(ask, step))
        refusal = next((obstacle for obstacle in made.obstacles if not obstacle.is_warning), None)
        if refusal is not None:
            return refusal
        return step_of(step.n, made, whom, ask.remote_data) if made.call is not None else None


def _guarded(ground: Ground, step: Step) -> bool:
    """Whether somebody is taken who keeps a place running, which another may have stopped doing meanwhile."""
    assert step.place is not None
    kind = ground.writes.places[step.place.kind]
    return step.before is None or bool(kind.keepers & set(step.before.roles))


def _refused(desk: Desk, whom: Whom, swept: Sweep) -> list[Obstacle]:
    """A removal from everywhere is refused only where it would take the connection's own access."""
    if not is_own(desk, whom):
        return []
    own = next((obstacle for obstacle in swept.remains if obstacle.guard == "own_account"), None)
    return [msgspec.structs.replace(own, place=None)] if own is not None and not swept.drafts else []
