"""How the directory of an account stands: every unit that it is made of, how old it is, and when it will be read again.

Nothing is asked of the provider for it: what hangs on what is told from the units at hand.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import msgspec

from adapter.directory.gather import Gather, Read
from adapter.directory.lists import Client
from adapter.directory.purse import Purse
from adapter.directory.state import State
from adapter.directory.units import AccountUnits
from adapter.errors import AdapterError
from adapter.mapping.model import Model, Unit

Standing = Literal["fresh", "due", "stale", "unreadable", "held", "never"]
STANDINGS: tuple[Standing, ...] = get_args(Standing)

_DAY = 86_400


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The last comparison of a unit that may be wrong with a list that is known to be right."""

    day: str
    right: bool


class UnitStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One unit. Times are in seconds since the epoch, `age` in seconds.

    fresh: answers rest on it as it is · due: the next question reads it again · stale: a write touched it, it is read
    again before it is used · unreadable: the provider refused it · held: it should be read again, and the request
    budget does not allow it before `due_at` · never: not read yet.
    """

    unit: str
    path: str
    place: Mapping[str, Mapping[str, str]]
    state: Standing
    reason: str | None = None
    message: str | None = None
    cost: int
    """Upstream requests that the last reading took; 1 where there was none."""
    age: float | None = None
    fetched_at: float | None = None
    changed_at: float | None = None
    due_at: float
    """From then on, the next question that needs the unit reads it again."""
    settles_at: float | None = None
    """Until then it is read again with each question, for it may lag behind a write."""
    proof: Proof | None = None


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """The provider account's request budget; null where no answer has told of it yet."""

    remaining: int | None
    reserve: int
    affordable: int | None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """All units together. Costs are in upstream requests: `gather_cost` of reading everything anew, `due_cost` of what
    is not fresh. Of a list that was never read they know one request, and nothing of what hangs on it.
    """

    units: int
    states: Mapping[Standing, int]
    gather_cost: int
    due_cost: int
    is_cost_known: bool
    """Whether every list that others hang on has been read: until then a gather takes more than is told here."""
    max_age: float
    """Seconds that a unit stays fresh: at least as long as the requests of a whole gather take to flow back."""
    budget: Budget
    next_due_at: float | None
    """When the first of the units that are fresh now will be due."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    at: float
    summary: Summary
    units: Sequence[UnitStatus]


class AtHand(AccountUnits):
    """The units as they are: what was never read is missing, and nothing is fetched or noted."""

    def __init__(self, units: AccountUnits) -> None:
        super().__init__(units.now)
        self.states, self.settling = units.states, units.settling

    async def read(self, unit: Unit, path: str, client: Client, max_age: float) -> State:  # noqa: ARG002  # as its base
        known = self.states.get(path)
        return known or State(path, None, fetched_at=0.0, cost=1, error=_NotRead())

    def proved(self, *_: Any) -> None:
        return


class _NotRead(AdapterError):
    """Not read yet."""


async def status_of(
    model: Model, units: AccountUnits, client: Client, purse: Purse, *, reserve: int, max_age: float
) -> Status:
    """How the account's directory stands now."""
    names = [unit.name for unit in model.units.values() if not unit.daily]
    gather = Gather(model, AtHand(units), client, names)
    await gather.run()
    now = units.now()
    found = [_unit(read, units, now, max_age) for read in gather.reads()]
    found = _held(found, units, purse, now)
    parents = {name for unit in model.units.values() for name in unit.parents}
    summary = _summary(found, client, purse, parents=parents, reserve=reserve, max_age=max_age, now=now)
    return Status(at=now, summary=summary, units=found)


def _unit(read: Read, units: AccountUnits, now: float, max_age: float) -> UnitStatus:
    state, error = read.state, read.state.error
    gap = read.missing()
    place = {
        name: {w: str(record[w]) for w in ("id", "name") if record.get(w)} for name, record in read.lineage.items()
    }
    if isinstance(error, _NotRead):
        return UnitStatus(unit=read.unit.name, path=state.path, place=place, state="never", cost=1, due_at=now)
    settles_at = units.settling.until(state.path)
    lags = state.fetched_at < settles_at
    due_at = now if state.stale or lags else state.fetched_at + max_age
    return UnitStatus(
        unit=read.unit.name,
        path=state.path,
        place=place,
        state=_standing(state, due_at, now),
        reason="distrusted" if read.distrusted else gap.reason if gap else None,
        message=gap.message if gap else None,
        cost=state.cost,
        age=max(0.0, now - state.fetched_at),
        fetched_at=state.fetched_at,
        changed_at=state.changed_at,
        due_at=due_at,
        settles_at=settles_at if lags else None,
        proof=_proof(state),
    )


def _standing(state: State, due_at: float, now: float) -> Standing:
    if state.stale:
        return "stale"
    if state.error is not None:
        return "unreadable"
    return "due" if due_at <= now else "fresh"


def _proof(state: State) -> Proof | None:
    if state.proof is None:
        return None
    day, held = state.proof
    return Proof(day=datetime.fromtimestamp(day * _DAY, UTC).date().isoformat(), right=held)


def _held(found: Sequence[UnitStatus], units: AccountUnits, purse: Purse, now: float) -> list[UnitStatus]:
    """With those held that the budget has nothing left for, once those before them have been read."""
    affordable = purse.affordable()
    waiting = sorted((u for u in found if u.due_at <= now), key=lambda u: units.priority(u.path))
    if affordable is None:
        return list(found)
    held: dict[tuple[str, str], UnitStatus] = {}
    wanted, paths = 0, set[str]()
    for unit in waiting:
        # Two units may share a path, and are read once.
        wanted += 0 if unit.path in paths else unit.cost
        paths.add(unit.path)
        if wanted > affordable:
            held[unit.unit, unit.path] = _wait(unit, now + purse.wait(wanted))
    return [held.get((unit.unit, unit.path), unit) for unit in found]


def _wait(unit: UnitStatus, until: float) -> UnitStatus:
    reason = unit.reason or ("never_read" if unit.state == "never" else unit.state)
    return msgspec.structs.replace(unit, state="held", reason=reason, due_at=until)


def _summary(
    found: Sequence[UnitStatus],
    client: Client,
    purse: Purse,
    *,
    parents: Collection[str],
    reserve: int,
    max_age: float,
    now: float,
) -> Summary:
    states = [unit.state for unit in found]
    return Summary(
        units=len(found),
        states={standing: states.count(standing) for standing in STANDINGS},
        gather_cost=_cost(found),
        due_cost=_cost(unit for unit in found if unit.state == "held" or unit.due_at <= now),
        is_cost_known=not any(unit.fetched_at is None and unit.unit in parents for unit in found),
        max_age=max_age,
        budget=Budget(remaining=client.budget.remaining, reserve=reserve, affordable=purse.affordable()),
        next_due_at=min((unit.due_at for unit in found if unit.due_at > now), default=None),
    )


def _cost(units: Iterable[UnitStatus]) -> int:
    """Two units may share a path, and are read once."""
    return sum({unit.path: unit.cost for unit in units}.values())


# --- shown


def shown_unit(unit: UnitStatus) -> dict[str, Any]:
    """A unit as JSON: times in ISO 8601, ages in whole seconds."""
    times = {name: _iso(getattr(unit, name)) for name in ("fetched_at", "changed_at", "due_at", "settles_at")}
    age = None if unit.age is None else int(unit.age)
    return {**msgspec.to_builtins(unit), **times, "age": age}


def shown_summary(status: Status) -> dict[str, Any]:
    summary: dict[str, Any] = msgspec.to_builtins(status.summary)
    return {
        **summary,
        "max_age": int(status.summary.max_age),
        "next_due_at": _iso(status.summary.next_due_at),
        "at": _iso(status.at),
    }


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
