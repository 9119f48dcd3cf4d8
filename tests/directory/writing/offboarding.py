"""An off-boarding without its journal: planned, sent, proved, and what follows sent and proved again."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from adapter.directory.settling import settling_after
from adapter.directory.touch import touched_by
from adapter.directory.writing.desk import Desk
from adapter.directory.writing.faults import refusal_words, words
from adapter.directory.writing.model import Ask, Event, Operation, PersonRef, Plan, Step, StepState
from adapter.directory.writing.planning import Planner
from adapter.directory.writing.report import PlaceReport, Proved, Report
from adapter.directory.writing.verifying import Verifier
from adapter.directory.writing.watching import Patience
from adapter.errors import RemoteError
from adapter.mapping.removals import written
from adapter.sandbox import RunningSandbox
from tests.directory.writing.desks import send

QUICK = Patience(pauses=(0.1,), budget=1.0, trouble=0.5)

Meanwhile = Callable[[], None]


def everything_of(email: str, proof: Any = "places") -> Ask:
    return Ask(kind="users.offboard", person=PersonRef(email=email), everywhere=True, proof=proof)


class Offboarding:
    """One operation, carried out at a desk as the runner does it."""

    def __init__(self, desk: Desk, ask: Ask, *, patience: Patience = QUICK) -> None:
        self.desk = desk
        self.ask = ask
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self.states: dict[int, StepState] = {}
        self.rounds: list[Proved] = []
        self.halted = False
        self._planner = Planner()
        self._verifier = Verifier(self._planner, patience=patience)

    async def go(self, meanwhile: Meanwhile = lambda: None) -> Report:
        """To the end; `meanwhile` happens once the planned steps are over, before anything is read back."""
        self.plan: Plan = await self._planner.plan(self.desk, self.ask)
        assert self.plan.refusals == ()
        await self.carry_out(self.plan.steps)
        meanwhile()
        while True:
            proved = await self._verifier.prove(self.desk, self.operation(), self.tell, lambda: self.halted)
            self.rounds.append(proved)
            if not proved.follow_up:
                return proved.report
            await self.carry_out(proved.follow_up)

    async def tell(self, what: str, data: Mapping[str, Any]) -> None:
        self.events.append((what, data))

    async def carry_out(self, steps: Sequence[Step]) -> None:
        numbered = [msgspec.structs.replace(step, n=n) for n, step in enumerate(steps, len(self.states) + 1)]
        for state in await asyncio.gather(*map(self._sent, numbered)):
            self.states[state.step.n] = state

    async def _sent(self, step: Step) -> StepState:
        checked = await self._planner.check(self.desk, self.ask, step)
        if checked is None:
            return StepState(step=step, status="already", finished_at=datetime.now(UTC))
        if not isinstance(checked, Step):
            return StepState(step=step, status="failed", error=refusal_words(checked), finished_at=datetime.now(UTC))
        try:
            reply = await send(self.desk, checked)
        except RemoteError as error:
            return StepState(step=step, status="failed", error=words(error), finished_at=datetime.now(UTC))
        await touched(self.desk, checked, reply.body)
        return StepState(step=step, status="done", http_status=reply.status, finished_at=datetime.now(UTC))

    def operation(self) -> Operation:
        now = datetime.now(UTC)
        return Operation(
            id="op",
            account_id="acc",
            tenant_id="t",
            kind=self.ask.kind,
            status="running",
            caller={},
            ask=self.ask,
            plan=self.plan,
            steps=tuple(self.states[n] for n in sorted(self.states)),
            events=tuple(Event(seq=n, at=now, what=what, data=data) for n, (what, data) in enumerate(self.events)),
            created_at=now,
            updated_at=now,
        )


async def touched(desk: Desk, step: Step, answer: bytes) -> None:
    """As the directory does it after each write."""
    states = desk.units.states
    write = written(desk.model.removals, step.method, step.path, answer)
    news = settling_after(desk.model, states, write, desk.units.now()) if write else None
    await desk.units.make_stale(touched_by(desk.model, states, step.path), news)


def standing(report: Report) -> dict[str, str]:
    """How each place stands: `{"team acme": "gone"}`."""
    return {named(place): place.state for place in report.places}


def named(place: PlaceReport) -> str:
    return f"{place.place.kind} {place.place.name or place.place.id}"


def held(heroku: RunningSandbox, email: str) -> set[str]:
    """Where the world has somebody, whatever anybody's lists show: `team acme`, `app acme-web`."""
    world = heroku.world
    account = world.account(email)
    found = {
        f"team {team.name}"
        for team in world.teams.values()
        if any(one.email.lower() == email.lower() for one in team.invitations.values())
        or (account is not None and account.id in team.members and team.members[account.id].role != "collaborator")
    }
    if account is None:
        return found
    found |= {f"app {app.name}" for app in world.apps.values() if account.id in {app.owner_id, *app.grants}}
    found |= {f"space {space.name}" for space in world.spaces.values() if account.id in space.access}
    found |= {f"enterprise {one.name}" for one in world.enterprises.values() if account.id in one.members}
    return found
