"""An operation carried out: its steps sent, those of one place in order, those of different places at once.

What holds all along: a step is checked against the provider under its place's lock, written down, sent, and its outcome
written down, before the place is free again. The lease is renewed with every line of the journal and by a pulse between
them; where it is lost, nothing more is sent from here.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from adapter.directory.writing.ending import Ending, ending_of, skipped
from adapter.directory.writing.faults import refusal_words, refused, words
from adapter.directory.writing.journal import Journal, Lost, Stopped, new_states, row_of
from adapter.directory.writing.limits import Halt, Limits
from adapter.directory.writing.model import Event, Obstacle, Operation, Plan, Step, StepState
from adapter.directory.writing.pausing import OutOfTime, Pauses
from adapter.directory.writing.places import Busy, Places
from adapter.directory.writing.report import Report
from adapter.directory.writing.sending import Pause, Result, Sender, paused
from adapter.directory.writing.targets import before_it_began
from adapter.directory.writing.work import Work
from adapter.errors import AdapterError, BudgetReserved, RemoteRateLimited, StorageUnavailable, UpstreamFailure
from adapter.storage.dbclock import In
from adapter.storage.operation_rows import Note

_OPEN = frozenset({"planned", "sending"})
_DONE = frozenset({"done", "already"})
_GLANCE = 0.2

_log = structlog.get_logger("adapter.writing")


class Run:
    """One operation in the hands of this process."""

    def __init__(
        self,
        operation: Operation,
        work: Work,
        journal: Journal,
        places: Places,
        limits: Limits,
        *,
        left_behind: bool = False,
    ) -> None:
        """`left_behind`: another process had it before, and what its plan rests on has aged."""
        self.operation = operation
        self._left_behind = left_behind
        self.halt = Halt()
        self._work = work
        self._journal = journal
        self._places = places
        self._limits = limits
        self._states = {state.step.n: state for state in operation.steps}
        self._current = {step.n for step in operation.plan.steps}
        """The steps of the plan that is carried out; others are of plans before it."""
        self._sender = Sender(work, operation.ask, limits)
        self._pauses = Pauses(journal, operation.id, self.halt)
        self._reasons: dict[int, str] = {}
        """Why a step was not sent."""
        self._refusal: AdapterError | None = None
        self._report: Report | None = None
        """What a removal from everywhere came to, as far as it was proved."""
        self._unproved = False
        self._over = asyncio.Event()

    async def go(self, *, anew: bool = False, waits_for: Sequence[str] = ()) -> None:
        """Carry it out until it has ended, has to wait for `resume`, or the process ends.

        `anew`: its plan is an old one. Lost and StorageUnavailable: somebody else goes on, later.
        """
        async with self._alive():
            try:
                await self._others_ended(waits_for)
                if anew or waits_for:
                    await self._places_in_turn([n for n, state in self._states.items() if state.status == "sending"])
                    await self._plan_anew()
                await self._places_in_turn(sorted(self._current))
                await self._prove()
            except OutOfTime as late:
                await self._lapse(late)
                return
            if self.halt.closing and self.halt.stop is None and (self._is_open() or self._unproved):
                await self._journal.store.let_go(self.operation.id, owner=self._journal.owner)
                return
            await self._end()

    def _is_open(self) -> bool:
        return any(self._states[n].status in _OPEN for n in self._current if n not in self._reasons)

    @asynccontextmanager
    async def _alive(self) -> AsyncIterator[None]:
        """Signs of life, until the block ends."""
        standing = await self._journal.note(self.operation.id, Note(fields={"status": "running"}))
        self.halt.by(stop=standing.stop)
        pulse = asyncio.create_task(self._pulse())
        try:
            yield
        finally:
            self._over.set()
            await pulse

    async def _pulse(self) -> None:
        """Not a word once the operation has ended: it is not ours any more then."""
        while not self.halt.lost and not await _set_within(self._over, min(self._limits.pulse, self._limits.lease / 3)):
            try:
                standing = await self._journal.note(self.operation.id, Note())
                self.halt.by(stop=standing.stop)
                await self._places.extend()
            except Lost:
                self.halt.by(lost=not self._over.is_set())
            except StorageUnavailable:
                continue

    # --- plans

    async def _others_ended(self, ids: Sequence[str]) -> None:
        """Wait for operations that were told to stop: what they still do has to be seen by this one's plan."""
        while ids and await self._journal.store.going(ids):
            if await self.halt.within(_GLANCE):
                return

    async def _plan_anew(self) -> None:
        """Another plan from what the provider shows now, in the place of what was not sent of the old one."""
        plan = await self._planned()
        if plan is None:
            return
        states = new_states(plan, after=max(self._states, default=0))
        plan = before_it_began(self.operation.plan, plan)
        plan = msgspec.structs.replace(plan, steps=tuple(state.step for state in states))
        old = [skipped(state, "It was planned anew.") for state in self._states.values() if state.status == "planned"]
        told = {"etag": plan.etag, "etag_before": self.operation.plan.etag, "plan": msgspec.to_builtins(plan)}
        note = Note(
            fields={"plan": told["plan"], "waits_for": []},
            steps=[row_of(state) for state in old],
            settled=True,
            new_steps=[row_of(state) for state in states],
            events=[("planned_anew", told)],
        )
        await self._journal.note(self.operation.id, note)
        self._states |= {state.step.n: state for state in (*old, *states)}
        self._current = {state.step.n for state in states}
        self.operation = msgspec.structs.replace(self.operation, plan=plan)

    async def _planned(self) -> Plan | None:
        """None where nothing is to be done any more, or a guard or the provider refuses."""
        while not self.halt.now:
            try:
                plan = await self._work.plan(self.operation.ask)
                if plan.refusals:
                    raise refused(plan.refusals)
            except (RemoteRateLimited, BudgetReserved) as error:
                await self._pauses.wait(paused(error, undone=True).seconds)
            except StorageUnavailable:
                raise
            except AdapterError as error:
                self._refusal = error
                self.halt.by(refused="The operation could not be planned anew.")
            else:
                return plan
        return None

    # --- proof

    async def _prove(self) -> None:
        """Have a removal from everywhere proved; what is found to be left is taken too, and proved again."""

        def halted() -> bool:
            return self.halt.now

        self._unproved = True
        while not halted():
            proved = await self._work.prove(self._as_it_stands(), self._tell, halted)
            self._report = proved.report if proved is not None else None
            if proved is None or not proved.follow_up:
                self._unproved = halted()
                return
            await self._follow_up(proved.follow_up)

    def _as_it_stands(self) -> Operation:
        return msgspec.structs.replace(self.operation, steps=tuple(self._states[n] for n in sorted(self._states)))

    async def _tell(self, what: str, data: Mapping[str, Any]) -> None:
        await self._journal.note(self.operation.id, Note(events=[(what, data)]))
        event = Event(seq=len(self.operation.events) + 1, at=datetime.now(UTC), what=what, data=data)
        self.operation = msgspec.structs.replace(self.operation, events=(*self.operation.events, event))

    async def _follow_up(self, steps: Sequence[Step]) -> None:
        """Steps that come after all others, in the stead of those about the same places."""
        plan = msgspec.structs.replace(self.operation.plan, steps=tuple(steps))
        states = new_states(plan, after=max(self._states, default=0))
        places = {_place_of(state.step) for state in states}
        current = [self._states[n].step for n in sorted(self._current)]
        kept = [step for step in current if _place_of(step) not in places]
        plan = msgspec.structs.replace(plan, steps=(*kept, *(state.step for state in states)))
        note = Note(
            fields={"plan": msgspec.to_builtins(plan)},
            new_steps=[row_of(state) for state in states],
            events=[("followed_up", {"steps": [state.step.n for state in states]})],
        )
        await self._journal.note(self.operation.id, note)
        self._states |= {state.step.n: state for state in states}
        self._current = {step.n for step in plan.steps}
        self.operation = msgspec.structs.replace(self.operation, plan=plan)
        await self._places_in_turn([state.step.n for state in states])

    # --- steps

    async def _places_in_turn(self, numbers: Sequence[int]) -> None:
        """The steps of these numbers: places at once, the steps of each, and those that wait for others, in order."""
        groups: dict[Any, list[int]] = {}
        for n in numbers:
            step = self._states[n].step
            keys = [(place.kind, place.id) for place in (*step.waits_for, *([step.place] if step.place else ()))]
            first = next((key for key in keys if key in groups), keys[-1] if keys else None)
            groups.setdefault(first, []).append(n)
        slots = asyncio.Semaphore(self._limits.at_once)
        ended = await asyncio.gather(
            *(self._in_order(group, slots) for group in groups.values()), return_exceptions=True
        )
        for error in sorted(filter(None, ended), key=lambda error: isinstance(error, OutOfTime)):
            raise error

    async def _in_order(self, numbers: Sequence[int], slots: asyncio.Semaphore) -> None:
        async with slots:
            for position, n in enumerate(numbers):
                if not await self._step(n):
                    late = numbers[position + 1 :] if not self.halt.now else ()
                    self._reasons |= dict.fromkeys(late, "An earlier step in the same place was not done.")
                    return

    async def _step(self, n: int) -> bool:
        """Whether the step is done by now. One that was left `sending` is looked up even where nothing may be sent."""
        while self._states[n].status in _OPEN:
            if self.halt.lost or (self.halt.now and self._states[n].status == "planned"):
                return False
            try:
                await self._pauses.until_open()
                async with self._places.hold(self._states[n].step.place, lambda: not self.halt.lost) as key:
                    await self._attempt(n, key)
            except Pause as pause:
                await self._paused(n, pause)
            except Stopped:
                await self._put_back(n)
            except (Busy, Lost):
                self.halt.by(lost=True)
                raise Lost from None
            except StorageUnavailable:
                # Nothing more is sent that can't be written down; whoever takes over looks at what was left.
                self.halt.by(lost=True)
                raise
        return self._states[n].status in _DONE

    async def _paused(self, n: int, pause: Pause) -> None:
        if pause.undone:
            await self._put_back(n)
        elif self.halt.now:
            # Nothing more is to be sent, but what became of this has still to be looked up.
            await asyncio.sleep(min(pause.seconds, self._limits.pulse))
        await self._pauses.wait(pause.seconds)

    async def _put_back(self, n: int) -> None:
        """A step that is known not to have been done is planned again."""
        state = self._states[n]
        if state.status == "sending":
            self._states[n] = msgspec.structs.replace(state, status="planned")
            await self._journal.firmly(
                self.operation.id, Note(steps=[row_of(self._states[n])], events=[("step_put_back", {"n": n})])
            )

    async def _attempt(self, n: int, key: str | None, *, anew: bool = False) -> None:
        """Check the step, send it, and settle it; `anew`: nothing counts that was known of the place before."""
        state = self._states[n]
        if state.status == "sending":
            looked = await self._sender.look(state.step, hoped_for="done")
            if looked != "not_done":
                return await self._settle(state, self._sender.after_look(looked))
            await self._put_back(n)
        if self.halt.now:
            raise Stopped
        checked = await self._checked(state.step, anew=anew or self._left_behind)
        if isinstance(checked, Result):
            return await self._settle(state, checked)
        sending = msgspec.structs.replace(state, step=checked, status="sending")

        async def leave() -> None:
            if self.halt.now:
                raise Stopped
            await self._journal.sending(self.operation.id, sending, key)
            self._states[n] = sending

        result = await self._sender.send(checked, leave)
        if result.contradicted and not anew:
            # An invitation that is gone, say, because it was accepted: what is there now has to be taken otherwise.
            self._states[n] = msgspec.structs.replace(sending, status="planned")
            return await self._attempt(n, key, anew=True)
        return await self._settle(sending, result)

    async def _checked(self, step: Step, *, anew: bool) -> Step | Result:
        """The step as it is to be sent, or why it is not."""
        try:
            checked = await self._patiently(step, anew=anew)
        except (RemoteRateLimited, BudgetReserved) as error:
            raise paused(error, undone=True) from None
        except StorageUnavailable:
            raise
        except AdapterError as error:
            return Result(status="failed", error=words(error), note="It could not be checked, so nothing was sent.")
        if checked is None:
            return Result(status="already")
        if isinstance(checked, Obstacle):
            return Result(status="failed", error=refusal_words(checked), note="Nothing was sent.")
        return msgspec.structs.replace(checked, n=step.n, waits_for=step.waits_for)

    async def _patiently(self, step: Step, *, anew: bool) -> Step | Obstacle | None:
        for pause in self._limits.retry_pauses:
            try:
                return await self._work.check(self.operation.ask, step, anew=anew)
            except UpstreamFailure:
                await asyncio.sleep(pause)
        return await self._work.check(self.operation.ask, step, anew=anew)

    async def _settle(self, state: StepState, result: Result) -> None:
        """Have what was touched read again, and write down what became of the step; in this order, so that a step that
        is seen as done is seen in the directory.
        """
        if state.status == "sending":
            try:
                await self._work.touched(state.step, result.raw, done=result.status in _DONE)
            except AdapterError as error:
                _log.warning("touch_failed", operation_id=self.operation.id, code=error.code)
        n = state.step.n
        self._states[n] = msgspec.structs.replace(
            state,
            status=result.status,
            http_status=result.http_status,
            request_id=result.request_id,
            error=result.error,
            note=result.note,
            answer=result.answer,
        )
        await self._journal.settled(self.operation.id, self._states[n])
        if result.hopeless:
            self.halt.by(refused="The account was refused at a step before.")

    # --- ends

    async def _lapse(self, late: OutOfTime) -> None:
        """Left for `resume`: the budget comes back later than an operation goes on by itself."""
        fields = {"status": "lapsed", "retry_at": In(late.seconds), "owner": None, "lease_until": In(0)}
        error = {"code": RemoteRateLimited.code, "message": str(late), "status": RemoteRateLimited.status}
        note = Note(fields=fields | {"error": error}, events=[("lapsed", {"why": "budget"})])
        await self._journal.firmly(self.operation.id, note)

    async def _end(self) -> None:
        ending = ending_of(self._states, self._current, self._reasons, self.halt)
        result = msgspec.to_builtins(self._report)
        if self._report is None and ending.status == "succeeded":
            result = await self._read_back(ending)
        error = words(self._refusal) if self._refusal and ending.status != "succeeded" else ending.error
        fields = {"status": ending.status, "error": error, "result": result, "retry_at": None, "finished_at": In(0)}
        note = Note(
            fields={**fields, "owner": None, "lease_until": In(0)},
            steps=[row_of(state) for state in ending.left],
            settled=True,
            events=[("finished", {"status": ending.status})],
        )
        await self._journal.firmly(self.operation.id, note)

    async def _read_back(self, ending: Ending) -> Any:
        """What the provider shows now; None where it can't be read, which undoes nothing."""
        steps = tuple(ending.steps)
        operation = msgspec.structs.replace(self.operation, steps=steps, status=ending.status)
        for pause in (*self._limits.retry_pauses, 0.0):
            try:
                return msgspec.to_builtins(await self._work.result(operation))
            except StorageUnavailable:
                raise
            except AdapterError as error:
                _log.warning("read_back_failed", operation_id=operation.id, code=error.code)
            await asyncio.sleep(pause)
        return None


def _place_of(step: Step) -> Any:
    return (step.place.kind, step.place.id) if step.place is not None else None


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
