"""The proof of a removal from everywhere: what is gone is what was read as gone after it; the rest is told as it is.

By default every place that the removal was about is read back; a full proof reads every list that could show the
person. What still stands there once lists have caught up was given meanwhile, or was not taken: it is planned anew, for
two rounds at most.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from adapter.directory.lists import Missing
from adapter.directory.writing.atlas import Atlas, Key, Listing, key_of, listing
from adapter.directory.writing.desk import Desk
from adapter.directory.writing.model import Ask, Change, Obstacle, Operation, PersonRef, PlaceRef, Plan, Step, StepState
from adapter.directory.writing.people import Found, Whom, holding_of
from adapter.directory.writing.report import PlaceReport, Proved, Report, Secrets, gaps, returns
from adapter.directory.writing.sweeping import sweep_all
from adapter.directory.writing.targets import Target, Targets
from adapter.directory.writing.watching import Patience, Sleep, Watch
from adapter.directory.writing.work import Halted, Tell
from adapter.errors import AdapterError
from adapter.mapping.writes import Entry, PlaceKind

ROUNDS = 2
"""Times that what is found after a removal is taken away too."""

READ_BACK, VERIFIED = "read_back", "verified"
"""Events of an operation's history."""
_ANEW = frozenset({"resumed", "planned_anew"})
"""Events after which a proof begins from the start."""


class Planning(Protocol):
    async def plan(self, desk: Desk, ask: Ask) -> Plan: ...


class Verifier:
    """Proves removals; keeps nothing between two of them."""

    def __init__(self, planner: Planning, *, patience: Patience | None = None, sleep: Sleep = asyncio.sleep) -> None:
        self._planner = planner
        self._patience = patience or Patience()
        self._sleep = sleep

    async def prove(self, desk: Desk, operation: Operation, tell: Tell, halted: Halted = lambda: False) -> Proved:
        """What came of a removal whose steps are over. Where steps follow, prove again once they are over too.

        Whatever can't be read is told, not raised; `tell` may raise, and ends it.
        """
        await desk.units.open()
        atlas = await Atlas.opened(desk)
        proof = _Proof(desk, operation, atlas, patience=self._patience, sleep=self._sleep, halted=halted)
        await proof.read()
        last = proof.round > ROUNDS or halted()
        follow_up = () if last else await self._follow_up(desk, operation, proof)
        report = proof.report()
        told = {"since": proof.since, "round": proof.round, "requests": proof.requests, "follow_up": len(follow_up)}
        await tell(READ_BACK, told)
        if not follow_up:
            await tell(VERIFIED, _counts(report))
        return Proved(report=report, follow_up=follow_up)

    async def _follow_up(self, desk: Desk, operation: Operation, proof: "_Proof") -> tuple[Step, ...]:
        """The steps that take away what is left, planned place by place: what refuses one keeps no other back."""
        steps: list[Step] = []
        for place in proof.left():
            change = Change(verb="take", place=PlaceRef(kind=place.kind, id=place.id))
            try:
                plan = await self._planner.plan(desk, Ask(kind=operation.kind, person=proof.who, changes=(change,)))
            except AdapterError:
                # It can't be looked at now: what was found there is told as it is.
                continue
            if plan.refusals:
                proof.refused(place, plan.refusals[0])
            steps += plan.steps
        return tuple(steps)


class _Proof:
    """One round of proof."""

    def __init__(
        self, desk: Desk, operation: Operation, atlas: Atlas, *, patience: Patience, sleep: Sleep, halted: Halted
    ) -> None:
        rounds = _rounds(operation)
        # What was read in an earlier round counts still, except for what was written since, which is stale.
        self.since: float = rounds[0]["since"] if rounds else desk.units.now()
        self.round = len(rounds) + 1
        self._desk = desk
        self._operation = operation
        self._atlas = atlas
        self._patience, self._sleep, self._halted = patience, sleep, halted
        self._targets = Targets(operation, self._says_gone)
        self.who = _who(operation)
        self._whom = _whom(desk, operation, self.who)
        self._watch = Watch(desk, self._whom, since=self.since, patience=patience, sleep=sleep, halted=halted)
        self._lists: dict[Key, list[Listing]] = {}
        self._found: dict[Key, list[Found]] = {}
        self._missing: list[Missing] = []
        self._swept = 0
        self._requests_before = sum(data["requests"] for data in rounds)
        self._is_full = operation.ask.proof == "full"

    @property
    def requests(self) -> int:
        """What this round has taken so far."""
        return self._swept + self._watch.requests

    # --- reading

    async def read(self) -> None:
        """Read back every place that the removal was about; all that could show the person, where that is asked."""
        wanted = [target for target in self._targets if self._targets.stays(target) is None]
        self._lists = self._atlas.proving((target.place, target.by) for target in wanted)
        lists = [one for found in self._lists.values() for one in found]
        # Whatever the sweep has read need not be read again, unless it shows the person still.
        swept = await self._sweep() if self._is_full else []
        await self._watch.settle([*lists, *swept], self._is_awaited)
        for found in await self._watch.found():
            self._found.setdefault((found[0].name, found[2].place_id), []).append(found)

    async def _sweep(self) -> list[Listing]:
        swept = await sweep_all(
            self._desk, since=self.since, patience=self._patience, sleep=self._sleep, halted=self._halted
        )
        self._missing += swept.missing
        self._swept += swept.requests
        return [listing(self._desk, read.unit, read.lineage) for read in swept.reads]

    def _is_awaited(self, kind: PlaceKind, entry: Entry) -> bool:
        """Where the removal was about the place or one that it is in, what a list shows may be what was before it."""
        key = (kind.name, entry.place_id)
        places = self._desk.writes.places.values()
        above = [(place.name, entry.within or "") for place in places if kind.name in place.covers]
        return any(map(self._targets.knows, [key, *above])) and not self._targets.keeps(key)

    def _says_gone(self, state: StepState) -> bool:
        status, message = (state.error or {}).get("status"), (state.error or {}).get("message")
        return self._desk.writes.call(state.step.call).says_already(status or 0, message or "")

    # --- what is left

    def left(self) -> list[PlaceRef]:
        """Where the person still is though nothing that is known keeps them there."""
        return [self._ref(key) for key in self._found if not self._targets.keeps(key)]

    def refused(self, place: PlaceRef, obstacle: Obstacle) -> None:
        """What is left in a place can't be taken."""
        self._targets.of(place).stays = obstacle

    def _ref(self, key: Key) -> PlaceRef:
        entry = self._found[key][0][2]
        return PlaceRef(kind=key[0], id=key[1], name=entry.place_name)

    # --- the report

    def report(self) -> Report:
        for key in self._found:
            self._targets.of(self._ref(key))
        unknown = () if self._is_full else self._operation.plan.unknown
        missing = gaps(unknown, self._missing, self._watch.missing())
        places = tuple(self._place(target) for target in self._targets)
        return Report(
            account_id=self._operation.account_id,
            person=self._whom.person(),
            is_complete=not missing and all(place.state == "gone" for place in places),
            proof=self._operation.ask.proof,
            proved_at=_moment(self._desk.units.now()),
            requests=self._requests_before + self.requests,
            places=places,
            missing=missing,
            may_return=returns(self._operation.plan),
            rotate_secrets_of=self._secrets(),
        )

    def _secrets(self) -> tuple[Secrets, ...]:
        """Whose secrets the person could read: as the plan told, and by what was given since."""
        told = msgspec.convert(self._operation.plan.notes.get("rotate_secrets_of", ()), tuple[PlaceRef, ...])
        places = {key_of(place): place for place in told}
        for target in self._targets:
            if self._opening(target.key) and not self._desk.writes.places[target.place.kind].covers:
                places.setdefault(target.key, target.place)
        return tuple(Secrets(place=place, roles=self._reading(place)) for place in places.values())

    def _reading(self, place: PlaceRef) -> tuple[str, ...]:
        return tuple(role for key in (key_of(place), *self._atlas.above(place)) for role in self._opening(key))

    def _opening(self, key: Key) -> list[str]:
        """The roles held in a place that let somebody read secrets."""
        kind = self._desk.writes.places[key[0]]
        held = self._targets.held_in(key).roles
        return [f"{kind.name}:{name}" for name, role in kind.roles.items() if name in held and role.reads_secrets]

    def _place(self, target: Target) -> PlaceReport:
        since = _moment(self.since)
        found = self._found.get(target.key)
        if found:
            kind = self._desk.writes.places[target.place.kind]
            return self._targets.listed(target, holding_of(kind, [entry for _, _, entry in found]), since)
        if self._targets.stays(target) is not None:
            return self._targets.kept(target)
        lists = self._lists.get(target.key, [])
        paths = [one.path for one in lists]
        gap, read_at = self._watch.gap(paths), self._watch.read_at(paths)
        if gap is not None:
            return self._targets.unread(target, gap.reason, gap.message, since)
        if read_at is None or not all(self._tells_of(one, target) for one in lists):
            return self._targets.unread(
                target, "not_read", "Nothing that was read after the removal tells of it.", since
            )
        return self._targets.gone(target, _moment(read_at))

    def _tells_of(self, one: Listing, target: Target) -> bool:
        """What an overview leaves out, it tells nothing of."""
        is_own = one.unit.parent == self._desk.writes.places[target.place.kind].as_
        return is_own or self._watch.names(one.path, target.place.id)


def _rounds(operation: Operation) -> list[Mapping[str, Any]]:
    """What was told of the rounds before this one. Those before a new plan are of another day."""
    told = operation.events
    begun = max((n for n, event in enumerate(told, 1) if event.what in _ANEW), default=0)
    return [event.data for event in told[begun:] if event.what == READ_BACK]


def _who(operation: Operation) -> PersonRef:
    """The person by all that is known of them."""
    person, named = operation.plan.person, operation.ask.person
    if person is None:
        return named or PersonRef()
    return PersonRef(user_id=person.id, email=next(iter(person.emails), named.email if named else None))


def _whom(desk: Desk, operation: Operation, who: PersonRef) -> Whom:
    whom = Whom(who, desk.people)
    known = operation.plan.person.emails if operation.plan.person is not None else ()
    whom.emails += [email for email in known if email not in whom.emails]
    return whom


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _counts(report: Report) -> dict[str, Any]:
    counts = {state: len(report.in_state(state)) for state in ("gone", "unverified", "remains")}
    return {"is_complete": report.is_complete, "missing": len(report.missing), **counts}
