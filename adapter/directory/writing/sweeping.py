"""The full proof: every list that could show the person, read anew, within what the request budget allows."""

import msgspec

from adapter.directory.gather import Gather, Read, missing_of
from adapter.directory.lists import Missing
from adapter.directory.writing.desk import Desk
from adapter.directory.writing.watching import Patience, Sleep
from adapter.directory.writing.work import Halted
from adapter.errors import AdapterError, BudgetReserved


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """What was read, as the provider shows it, and what could not be."""

    reads: tuple[Read, ...]
    missing: tuple[Missing, ...]
    requests: int


async def sweep_all(desk: Desk, *, since: float, patience: Patience, sleep: Sleep, halted: Halted) -> Swept:
    """Read everything that shows who holds what anywhere, none of it older than `since`.

    It leaves the reserve to others, waits a while for the budget to flow back, and tells what it did not get to.
    """
    begun, turn, requests = desk.units.now(), 0, 0
    while True:
        gather = Gather(
            desk.model, desk.units, desk.client, desk.writes.units(), max_age=max(0.0, desk.units.now() - since)
        )
        error = await _run(gather)
        requests += gather.cost
        pause = _pause(desk, gather, error, turn, patience)
        waited = desk.units.now() - begun
        if pause is None or waited + pause > (patience.budget if gather.held else patience.trouble) or halted():
            return _swept(gather, since, requests)
        await sleep(pause)
        turn += 1


async def _run(gather: Gather) -> AdapterError | None:
    try:
        await gather.run()
    except AdapterError as error:
        return error
    return None


def _pause(desk: Desk, gather: Gather, error: AdapterError | None, turn: int, patience: Patience) -> float | None:
    """Seconds until it pays to go on; None where there is nothing more to read."""
    if gather.held and desk.units.purse is not None:
        return float(desk.units.purse.wait(gather.held))
    return patience.pause(turn) if error is not None or gather.held else None


def _swept(gather: Gather, since: float, requests: int) -> Swept:
    reads = [read for read in gather.reads() if not read.distrusted]
    old = [read for read in reads if read.state.error is None and read.state.fetched_at < since]
    gaps = [gap for read in (*gather.reads_above(), *reads) if (gap := read.missing()) is not None]
    gaps += [missing_of(read.unit, read.lineage, BudgetReserved()) for read in old]
    fresh = [read for read in reads if read.state.error is None and read.state.fetched_at >= since]
    return Swept(
        reads=tuple(msgspec.structs.replace(read, changes=()) for read in fresh),
        missing=(*gaps, *gather.pending()),
        requests=requests,
    )
