"""How an operation ends, told from what became of its steps."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from adapter.directory.writing.limits import Halt
from adapter.directory.writing.model import OperationStatus, StepState

_OVER = frozenset({"done", "already"})
_NOT_SENT = "It was not sent."


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """`left`: the steps that were never sent, now skipped; `steps`: all of them, as they stand at the end."""

    status: OperationStatus
    error: Mapping[str, Any] | None
    left: tuple[StepState, ...]
    steps: tuple[StepState, ...]


def skipped(state: StepState, why: str) -> StepState:
    return msgspec.structs.replace(state, status="skipped", note=why)


def ending_of(
    states: Mapping[int, StepState],
    current: AbstractSet[int],
    reasons: Mapping[int, str],
    halt: Halt,
) -> Ending:
    """`current` are the steps of the plan that was carried out: steps of older plans decide nothing any more."""
    why = _stopped(halt.stop) or halt.refused or _NOT_SENT
    left = {n: skipped(state, reasons.get(n, why)) for n, state in states.items() if state.status == "planned"}
    ended = {n: left.get(n, states[n]) for n in sorted(states)}
    counted = [state for n, state in ended.items() if n in current]
    status = _status(counted, stopped=halt.stop is not None, refused=halt.refused is not None)
    error = next((state.error for state in counted if state.error), None) if status != "succeeded" else None
    return Ending(status=status, error=error, left=tuple(left.values()), steps=tuple(ended.values()))


def _status(states: list[StepState], *, stopped: bool, refused: bool) -> OperationStatus:
    open_ = [state for state in states if state.status not in _OVER]
    if not open_ and (states or not (refused or stopped)):
        return "succeeded"
    if stopped and all(state.status == "skipped" for state in open_):
        return "cancelled"
    told = {state.status for state in states}
    return "partial" if told & {"done", "already", "unknown"} else "failed"


def _stopped(stop: Any) -> str | None:
    if stop is None:
        return None
    if stop.get("why") == "removal":
        return f"A removal of this person came first: operation {stop.get('operation_id')}."
    return "The operation was cancelled."
