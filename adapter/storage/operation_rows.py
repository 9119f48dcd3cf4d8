"""Writes as rows: what the store of operations takes and gives. What is asked and answered is opaque JSON here."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec


class StoredStep(msgspec.Struct, frozen=True, kw_only=True):
    n: int
    status: str
    state: Any
    sent_at: float | None = None
    finished_at: float | None = None


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    seq: int
    at: float
    what: str
    data: Any


class StoredOperation(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    account_id: str
    tenant_id: str
    kind: str
    status: str
    caller: Any
    sameness: str
    ask: Any
    plan: Any
    result: Any = None
    error: Any = None
    stop: Any = None
    waits_for: Sequence[str] = ()
    retry_at: float | None = None
    created_at: float
    updated_at: float
    finished_at: float | None = None
    deadline: float
    owner: str | None = None
    lease_until: float
    steps: tuple[StoredStep, ...] = ()
    events: tuple[StoredEvent, ...] = ()


class NewOperation(msgspec.Struct, frozen=True, kw_only=True):
    """An operation to begin, leased to who begins it; `patience` is for how many seconds it goes on by itself."""

    id: str
    account_id: str
    tenant_id: str
    kind: str
    caller: Any
    sameness: str
    ask: Any
    plan: Any
    steps: Sequence[StoredStep]
    events: Sequence[tuple[str, Any]]
    patience: float
    plan_age: float = 0.0
    """Seconds since its plan was begun: what ended meanwhile, the plan may not have seen."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """An idempotency key with its scope, and what was asked with it, both as hashes."""

    id: str
    body: str


class Keyed(msgspec.Struct, frozen=True):
    operation_id: str
    body: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with a new operation in view of those under way: join one, or begin, after some were stopped."""

    join: str | None = None
    stop: Mapping[str, Any] = {}
    """Operation id -> why it is stopped."""
    unseen: tuple[str, ...] = ()
    """Operations that ended while the plan was made, and that it may have to be made anew for."""


Judge = Callable[[Sequence[StoredOperation]], Verdict]
"""Is told the operations under way or just ended, of all accounts; raises what refuses the new one."""


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """`keyed`: the key was used before; `joined`: another operation stands for this one; neither: it began."""

    id: str
    keyed: Keyed | None = None
    joined: bool = False


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What is written down in one transaction, by who holds the lease. `In` stands for a moment from now."""

    fields: Mapping[str, Any] = {}
    """Columns of the operation."""
    steps: Sequence[StoredStep] = ()
    """Each takes the place of the step of its number."""
    sent: bool = False
    settled: bool = False
    """Whether these are being sent, and whether they are over, now."""
    new_steps: Sequence[StoredStep] = ()
    events: Sequence[tuple[str, Any]] = ()
    holding: str | None = None
    """A place whose lock has to be held still, and is held anew; where it is not, nothing of the note is written. Goes
    without `fields`.
    """
    unless_stopped: bool = False
    """Nothing is written where the operation is to stop."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How an operation stood when its note was written: why it is to stop, and for how many seconds it may go on."""

    stop: Any
    left: float


class Late(msgspec.Struct, frozen=True, kw_only=True):
    """An operation whose lease lapsed, so many seconds ago."""

    id: str
    account_id: str
    by: float
