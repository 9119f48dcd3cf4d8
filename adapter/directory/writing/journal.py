"""An operation's journal: each step is written down before it is sent and after it was answered.

Nothing is sent that was not written down first. Lines that are to be written in the same moment share a transaction:
steps that leave, or are answered, together. What was answered is written with patience; where even that fails, the
step stays `sending`, and whoever picks the operation up looks at the provider for what became of it.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from adapter.directory.batches import Batch
from adapter.directory.writing.limits import Limits
from adapter.directory.writing.model import Operation, Plan, Step, StepState
from adapter.errors import OperationNotFound, StorageUnavailable
from adapter.storage.operation_rows import Note, Standing, StoredEvent, StoredOperation, StoredStep
from adapter.storage.operations import OperationStore

Events = Sequence[tuple[str, Mapping[str, Any]]]

_ROW_FIELDS = frozenset({"status", "sent_at", "finished_at"})


class Lost(Exception):
    """The operation, or the place, is another process's by now; or it went with its account."""


class Stopped(Exception):
    """The operation is to send nothing more."""


class _Line:
    """A note on its way into the journal."""

    __slots__ = ("note",)

    def __init__(self, note: Note) -> None:
        self.note = note


class Journal:
    """Writes under the leases of one process, which `owner` names."""

    def __init__(self, store: OperationStore, owner: str, limits: Limits) -> None:
        self.store = store
        self.owner = owner
        self.lease = limits.lease
        self._pauses = limits.journal_pauses
        self._writing: WeakValueDictionary[str, Batch[_Line, Standing | None]] = WeakValueDictionary()

    async def read(self, operation_id: str) -> Operation:
        """OperationNotFound."""
        found = await self.store.get(operation_id)
        if found is None:
            raise OperationNotFound
        return operation_of(found)

    async def note(self, operation_id: str, note: Note) -> Standing:
        """Write something down and renew the lease; return once it is written. Lost; StorageUnavailable."""
        if note.fields:
            standing = await self.store.note(operation_id, note, owner=self.owner, lease=self.lease)
        else:
            writing = self._writing.setdefault(operation_id, Batch(partial(self._write, operation_id)))
            standing = await writing.ask(_Line(note))
        if standing is None:
            raise Lost
        return standing

    async def _write(self, operation_id: str, lines: list[_Line]) -> Mapping[_Line, Standing | None]:
        notes = [line.note for line in lines]
        standings = await self.store.notes(operation_id, notes, owner=self.owner, lease=self.lease)
        return dict(zip(lines, standings, strict=True))

    async def sending(self, operation_id: str, state: StepState, holding: str | None) -> None:
        """The step is about to leave. Lost and Stopped: it must not."""
        began = time.monotonic()
        events = [("step_sending", {"n": state.step.n, "call": state.step.call})]
        note = Note(steps=[row_of(state)], sent=True, events=events, holding=holding, unless_stopped=True)
        standing = await self.note(operation_id, note)
        if standing.stop is not None:
            raise Stopped
        if time.monotonic() - began > self.lease / 2:
            # What the database just granted may have run out on the way here.
            raise Lost

    async def settled(self, operation_id: str, state: StepState) -> None:
        """What became of a step."""
        data = {"n": state.step.n, "call": state.step.call, "http_status": state.http_status}
        data |= {"request_id": state.request_id, "note": state.note}
        known = {name: value for name, value in data.items() if value is not None}
        await self.firmly(
            operation_id, Note(steps=[row_of(state)], settled=True, events=[(f"step_{state.status}", known)])
        )

    async def firmly(self, operation_id: str, note: Note) -> None:
        """Write down what has happened: again and again where the database doesn't answer. Lost; StorageUnavailable."""
        for pause in self._pauses:
            try:
                await self.note(operation_id, note)
            except StorageUnavailable:
                await asyncio.sleep(pause)
            else:
                return
        await self.note(operation_id, note)


def operation_of(row: StoredOperation) -> Operation:
    """An operation in this room's words."""
    fields = {name: getattr(row, name) for name in ("id", "account_id", "tenant_id", "kind", "status", "caller")}
    fields |= {name: getattr(row, name) for name in ("ask", "plan", "result", "error")}
    moments = {name: moment(getattr(row, name)) for name in ("retry_at", "created_at", "updated_at", "finished_at")}
    steps = [_state(step) for step in row.steps]
    events = [_event(event) for event in row.events]
    return msgspec.convert({**fields, **moments, "steps": steps, "events": events}, Operation)


def row_of(state: StepState) -> StoredStep:
    said = msgspec.to_builtins(state)
    kept = {name: value for name, value in said.items() if name not in _ROW_FIELDS}
    return StoredStep(n=state.step.n, status=state.status, state=kept)


def new_states(plan: Plan, after: int = 0) -> tuple[StepState, ...]:
    """A plan's steps as they begin, numbered on from those that the operation has already."""
    return tuple(
        StepState(step=msgspec.structs.replace(step, n=n)) for n, step in enumerate(_in_order(plan.steps), after + 1)
    )


def moment(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None


def _in_order(steps: Sequence[Step]) -> list[Step]:
    return sorted(steps, key=lambda step: step.n)


def _state(row: StoredStep) -> dict[str, Any]:
    return {
        **row.state, "status": row.status, "sent_at": moment(row.sent_at), "finished_at": moment(row.finished_at)
    }  # fmt: skip


def _event(row: StoredEvent) -> dict[str, Any]:
    return {"seq": row.seq, "at": moment(row.at), "what": row.what, "data": row.data}
