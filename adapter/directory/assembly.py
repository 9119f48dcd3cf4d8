"""From what a gather read to a view: trusted units shaped, merged, and what is missing told."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from adapter.directory.gather import Gather, Read
from adapter.directory.lists import Client, Missing, fetch
from adapter.directory.query import Query
from adapter.directory.state import VERSIONS
from adapter.directory.views import Collection, View
from adapter.errors import AdapterError, BadRequest, BudgetReserved
from adapter.mapping import engine
from adapter.mapping.engine import Record
from adapter.mapping.model import Model, Resource
from adapter.mapping.shaping import Fault, Instance, Shaped, shape

_TOLD_APART = 20
"""Gaps of one unit for one reason that are named one by one; more are counted, or they would outweigh the page."""

_MANY = 300
"""Records of one list that are shaped beside the loop: some 10 ms."""


async def assemble(
    model: Model,
    resource: Resource,
    gather: Gather,
    query: Query,
    *,
    complete: bool,
    known: Mapping[str, str] | None = None,
) -> View:
    """The view of what was read; raises where nothing could be, for that would look like an empty directory.

    `known` tells whose an e-mail address is, where the units that were read don't.
    """
    reads = [*gather.reads_above(), *gather.reads()]
    missing = [gap for read in reads if (gap := read.missing())] + ([] if complete else gather.pending())
    _refuse_blindness(reads, complete=complete, allow_partial=query.allow_partial)
    records, faults = await _records(model, resource, gather.reads(), known or {}, inherited=query.include_inherited)
    times = [read.state.fetched_at for read in reads] or [gather.begun_at]
    changed = [read.state.changed_at for read in reads] or [gather.begun_at]
    changed += [change.at for read in reads for change in read.changes]
    return View(
        collection=Collection(resource, records),
        oldest=min(times),
        changed=max(changed),
        version=next(VERSIONS) if complete else 0,
        missing=(*compact(missing), *compact(map(unreadable, faults))),
        paths=tuple((read.state.path, _status(read.state.error), read.state.fetched_at) for read in reads),
        held=gather.held,
        settles=any(read.settles for read in reads),
    )


async def passed_through(
    model: Model, client: Client, resource: Resource, query: Query, *, now: Callable[[], float]
) -> View:
    """A list asked of the provider in the caller's words: never stored, and only where one unit serves it.

    BadRequest where more do; what the upstream client raises.
    """
    unit = model.sole_unit(resource)
    if unit is None:
        raise BadRequest(f"`remote_query` can't reach {resource.name}: more than one upstream list serves it.")
    answer = await fetch(unit, unit.path({}), client, query.remote_query)
    instance = Instance(unit=unit.name, path=unit.path({}), lineage={}, records=answer.records)
    merged, faults = engine.assemble(model, resource, [shape(resource, instance)])
    read_at = now()
    return View(
        collection=Collection(resource, merged),
        oldest=read_at,
        changed=read_at,
        missing=tuple(map(unreadable, faults)),
        paths=((instance.path, 200, read_at),),
    )


async def _records(
    model: Model, resource: Resource, reads: Sequence[Read], known: Mapping[str, str], *, inherited: bool
) -> tuple[list[Record], list[Fault]]:
    base = model.resources[resource.derived.resource] if resource.derived else resource
    trusted = [read for read in reads if readable(read)]
    shaped = []
    for read in trusted:
        if base.overridden or len(read.state.records or ()) > _MANY:
            # It is work, and a caller's own expressions may be dear, though they are bounded for each record.
            shaped.append(await asyncio.to_thread(shaped_once, base, read))
        else:
            shaped.append(shaped_once(base, read))
            await asyncio.sleep(0)
    records, faults = await _in_turns(engine.assembling(model, resource, shaped, known))
    if inherited and resource.inherited:
        above = [read.instance() for read in trusted if read.unit.name == resource.inherited.unit]
        records, unreadable_above = await _in_turns(engine.inheriting(resource, records, above))
        faults += unreadable_above
    return records, faults


async def _in_turns(steps: engine.Steps[engine.Assembled]) -> engine.Assembled:
    """All steps, one after the other; a large account is work, and others get their turn in between."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: engine.Assembled = end.value
            return result
        await asyncio.sleep(0)


def shaped_once(resource: Resource, read: Read) -> Shaped:
    """The read's fragments: shaped once for each version of the unit, of what it hangs on, and of the resource."""
    key = (resource.name, read.unit.name, resource.overridden)
    kept = read.state.shaped.get(key)
    if kept is None or kept[0] is not resource or kept[1:3] != (read.lineage, read.changes):
        made = shape(resource, read.instance())
        kept = read.state.shaped[key] = (resource, read.lineage, read.changes, made)
    return kept[3]


def readable(read: Read) -> bool:
    return read.state.error is None and not read.distrusted


def unreadable(fault: Fault) -> Missing:
    return Missing(unit=fault.unit, reason="record_unreadable", message=fault.reason)


def compact(missing: Iterable[Missing]) -> list[Missing]:
    """Many gaps of one unit for one reason as one, with their number and the first places."""
    alike: dict[tuple[str, str], list[Missing]] = {}
    for gap in missing:
        alike.setdefault((gap.unit, gap.reason), []).append(gap)
    told: list[Missing] = []
    for gaps in alike.values():
        if len(gaps) <= _TOLD_APART:
            told += gaps
        else:
            places = tuple(gap.place for gap in gaps[:_TOLD_APART] if gap.place)
            told.append(msgspec.structs.replace(gaps[0], place={}, count=len(gaps), places=places))
    return told


def _refuse_blindness(reads: Sequence[Read], *, complete: bool, allow_partial: bool) -> None:
    errors = [read.state.error for read in reads if read.state.error is not None and not read.distrusted]
    if complete and errors and not any(map(readable, reads)) and not allow_partial:
        # What the provider said tells more than that the rest was then not asked for.
        raise next((error for error in errors if not isinstance(error, BudgetReserved)), errors[0]).fresh()


def _status(error: AdapterError | None) -> int:
    return error.status if error else 200
