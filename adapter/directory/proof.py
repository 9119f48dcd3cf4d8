"""The daily proof of a unit that may be wrong: one of its records against a list that is known to be right."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from adapter.directory.lists import lasting
from adapter.directory.state import State
from adapter.directory.units import AccountUnits
from adapter.errors import AdapterError
from adapter.mapping.expressions import ShapeError
from adapter.mapping.model import Model, Proof, Unit

_DAY = 86_400.0

Lineage = Mapping[str, Any]
Fetch = Callable[[Unit, str], Awaitable[State]]
Grants = dict[str, frozenset[str]]


async def prove(model: Model, unit: Unit, lineage: Lineage, state: State, units: AccountUnits, fetch: Fetch) -> bool:
    """Whether the unit may be trusted today. The verdict is remembered for the day, for each path apart."""
    day = int(units.now() // _DAY)
    if state.proof and state.proof[0] == day:
        return state.proof[1]
    if state.fetched_at < units.settling.until(state.path):
        # Two lists that lag behind a write each in its own time prove nothing of each other.
        return state.proof is None or state.proof[1]
    try:
        verdict = await _verdict(model, unit, lineage, state, day, fetch)
    except AdapterError:
        # Nothing was learnt this time; the next gather tries again.
        return True
    units.proved(state, day, verdict)
    return verdict


async def _verdict(model: Model, unit: Unit, lineage: Lineage, state: State, day: int, fetch: Fetch) -> bool:
    """False where the unit proved wrong; True too where there was nothing to compare it with."""
    proof = unit.proof
    assert proof is not None
    try:
        samples = proof.of(state.records or []) or []
        if not samples:
            return True
        sample = samples[day % len(samples)]
        other = model.units[proof.by]
        actual = await fetch(other, other.path({**lineage, proof.as_: sample}))
        exempt = await _exempt(model, proof, lineage, fetch)
        if actual.error is not None:
            if lasting(actual.error):
                return True
            raise actual.error.fresh()
        return _agree(_grants(proof.claimed(sample)), _grants(proof.actual(actual.records)), exempt)
    except (ShapeError, KeyError, TypeError):
        # Shaped in a way that can't be compared is as good as wrong.
        return False


async def _exempt(model: Model, proof: Proof, lineage: Lineage, fetch: Fetch) -> frozenset[str] | None:
    if proof.exempt_unit is None or proof.exempt_ids is None:
        return frozenset()
    unit = model.units[proof.exempt_unit]
    state = await fetch(unit, unit.path(lineage))
    return None if state.records is None else frozenset(proof.exempt_ids(state.records) or ())


def _agree(claimed: Grants, actual: Grants, exempt: frozenset[str] | None) -> bool:
    """Equal but for who is exempt; where it is not known who that is, nobody may at least be left out."""
    if exempt is None:
        return all(claimed.get(who) == grants for who, grants in actual.items())
    return {w: g for w, g in claimed.items() if w not in exempt} == {w: g for w, g in actual.items() if w not in exempt}


def _grants(entries: Any) -> Grants:
    return {str(entry["id"]): frozenset(entry["grants"] or ()) for entry in entries or ()}
