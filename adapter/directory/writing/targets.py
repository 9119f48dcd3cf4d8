"""What a removal was about, place by place: told from the plan, and from what became of its steps. Pure."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from adapter.directory.writing.atlas import Key, key_of
from adapter.directory.writing.model import Holding, Obstacle, Operation, PlaceRef, Plan, StepState
from adapter.directory.writing.report import Doubt, PlaceReport
from adapter.models import Moment

_UNSENT = frozenset({"planned", "skipped"})


class Target(msgspec.Struct, kw_only=True):
    """A place that the person is to be out of. `deed` is the last step about it, `by` the place that it goes with."""

    place: PlaceRef
    before: Holding | None = None
    deed: StepState | None = None
    by: PlaceRef | None = None
    stays: Obstacle | None = None
    """Why it was not to be taken."""

    @property
    def key(self) -> Key:
        return key_of(self.place)


class Targets:
    """The places of an operation, each once, in the order of its plan."""

    def __init__(self, operation: Operation, says_gone: Callable[[StepState], bool]) -> None:
        """`says_gone` tells of a step that failed whether the provider refused it because nobody was there."""
        self._says_gone = says_gone
        self._targets: dict[Key, Target] = {}
        for held in operation.plan.held:
            target = self._of(held.place)
            target.before, target.by = held.holding, held.by
        for state in sorted(operation.steps, key=lambda state: state.step.n):
            self._took(state)
        for place in operation.plan.already:
            self._of(place)
        for obstacle in operation.plan.remains:
            if obstacle.place is not None:
                self._of(obstacle.place).stays = obstacle

    def __iter__(self) -> Iterator[Target]:
        return iter(self._targets.values())

    def _of(self, place: PlaceRef) -> Target:
        target = self._targets.setdefault(key_of(place), Target(place=place))
        if target.place.name is None and place.name is not None:
            target.place = place
        return target

    def _took(self, state: StepState) -> None:
        step = state.step
        if step.place is None or step.after is None or step.after.state != "none":
            return
        target = self._of(step.place)
        target.before = target.before or step.before
        if target.deed is None or state.status not in _UNSENT:
            target.deed = state

    def of(self, place: PlaceRef) -> Target:
        """The place's target; a new one where the operation was not about it."""
        return self._of(place)

    def knows(self, key: Key) -> bool:
        """Whether the removal was about the place."""
        return key in self._targets

    def keeps(self, key: Key) -> bool:
        """Whether the person was not to be taken out of the place, or could not be."""
        target = self._targets.get(key)
        return target is not None and (self.stays(target) is not None or self._failed(self._deed(target)))

    def stays(self, target: Target) -> Obstacle | None:
        """Why the person was not to be taken out of a place, or out of the one that it goes with."""
        above = self._above(target)
        return target.stays or (above.stays if above is not None else None)

    def _deed(self, target: Target) -> StepState | None:
        """The step that was to take the person out: the place's own, or that of the place that it goes with."""
        above = self._above(target)
        return target.deed or (above.deed if above is not None else None)

    def _failed(self, deed: StepState | None) -> bool:
        return deed is not None and deed.status == "failed" and not self._says_gone(deed)

    def _above(self, target: Target) -> Target | None:
        return self._targets.get(key_of(target.by)) if target.by is not None else None

    def held_in(self, key: Key) -> Holding:
        """What the person had in a place that counted already: an invitation does not."""
        target = self._targets.get(key)
        before = target.before if target is not None else None
        return before if before is not None and before.state == "active" else Holding()

    # --- how a place stands

    def gone(self, target: Target, at: Moment) -> PlaceReport:
        return PlaceReport(place=target.place, state="gone", before=target.before, went_with=target.by, verified_at=at)

    def unread(self, target: Target, why: str, message: str, since: Moment) -> PlaceReport:
        return self._doubted(target, None, why, message, since)

    def listed(self, target: Target, found: Holding, since: Moment) -> PlaceReport:
        """The person is still shown there: for a reason that is known, or for none."""
        deed = self._deed(target)
        if self.stays(target) is None and not self._failed(deed) and (deed is None or deed.status not in _UNSENT):
            message = "Its lists go on showing the person, for longer than they are known to lag behind."
            doubt: Doubt = "still_listed"
            return self._doubted(target, found, doubt, message, since)
        return self.kept(target, found)

    def kept(self, target: Target, found: Holding | None = None) -> PlaceReport:
        why, message = _reason(self.stays(target), self._deed(target))
        return PlaceReport(
            place=target.place,
            state="remains",
            before=target.before,
            found=found or target.before,
            why=why,
            message=message,
        )

    def _doubted(self, target: Target, found: Holding | None, why: str, message: str, since: Moment) -> PlaceReport:
        deed = self._deed(target)
        return PlaceReport(
            place=target.place,
            state="unverified",
            before=target.before,
            found=found,
            went_with=target.by,
            unverified_since=deed.finished_at if deed is not None and deed.finished_at is not None else since,
            why=why,
            message=message,
        )


def _reason(stays: Obstacle | None, deed: StepState | None) -> tuple[str, str]:
    if stays is not None:
        return stays.guard, stays.message
    error: Mapping[str, Any] = (deed.error if deed is not None else None) or {}
    why = error.get("remote_id") or error.get("code") or "not_sent"
    message = error.get("message") or (deed.note if deed is not None else None) or "It was not sent."
    return str(why), str(message)


def before_it_began(older: Plan, newer: Plan) -> Plan:
    """A plan made in the midst of a removal, with what was held before it began, and what follows from that."""
    held = {key_of(one.place): one for one in (*newer.held, *older.held)}
    notes = {name: _together(older.notes.get(name), newer.notes.get(name)) for name in {*older.notes, *newer.notes}}
    return msgspec.structs.replace(newer, held=tuple(held.values()), notes=notes)


def _together(older: Any, newer: Any) -> Any:
    if not isinstance(older, list) or not isinstance(newer, list):
        return older if newer is None else newer
    return [*older, *(one for one in newer if one not in older)]
