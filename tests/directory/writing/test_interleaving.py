"""Callers who give and take at the same time, in any order and with any fault: the journal says what the world is."""

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapter.directory.writing.model import UNFINISHED, Ask, Operation
from adapter.directory.writing.service import Writes
from adapter.errors import RemoteRateLimited, RemovalUnderWay, UpstreamTimeout
from adapter.models import Caller
from adapter.storage.database import Database
from tests.directory.writing.offices import (
    ACCOUNT,
    CLIENT,
    Fault,
    Office,
    add_account,
    after,
    before,
    grant,
    offboarding,
    removal,
    writes_of,
)

PLACES = ("a", "b", "c")
ASKS: Sequence[Ask] = (
    grant("a"),
    grant("a", "b"),
    grant("c", kind="app"),
    removal("a"),
    removal("b", "c"),
    offboarding(),
)
FAULTS: dict[str, Fault | None] = {
    "none": None,
    "lost": after(UpstreamTimeout()),
    "undone": before(UpstreamTimeout()),
    "busy": before(RemoteRateLimited(429, headers={"retry-after": "0"})),
}

calls = st.tuples(st.sampled_from(range(len(ASKS))), st.integers(0, 1), st.integers(0, 20))
schedules = st.lists(calls, min_size=2, max_size=6)
faults = st.fixed_dictionaries({place: st.lists(st.sampled_from(sorted(FAULTS)), max_size=3) for place in PLACES})


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schedule=schedules, trouble=faults, held=st.sets(st.sampled_from(PLACES)))
def test_whoever_gives_and_takes_at_once_the_journal_tells_what_is_so(
    migrated_sqlite: Path, schedule: list[tuple[int, int, int]], trouble: dict[str, list[str]], held: set[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(migrated_sqlite, Path(folder) / "adapter.db")
        asyncio.run(_interleaved(Path(folder), schedule, trouble, held))


async def _interleaved(
    folder: Path, schedule: list[tuple[int, int, int]], trouble: dict[str, list[str]], held: set[str]
) -> None:
    office = Office(folder / "office")
    for place in held:
        office.give(place)
    for place, names in trouble.items():
        office.faults[place] = [fault for name in names if (fault := FAULTS[name]) is not None]
    async with Database(f"sqlite:///{folder / 'adapter.db'}") as database:
        await add_account(database)
        made = [writes_of(database, office), writes_of(database, office)]
        told = await asyncio.gather(*(_asked(made[who], n, ask, pause) for n, (ask, who, pause) in enumerate(schedule)))
        operations = [await made[0].operation(None, key) for key in told if key is not None]
        await asyncio.gather(*(one.close() for one in made))
    assert not [one.id for one in operations if one.status in UNFINISHED]
    for place in PLACES:
        assert office.has(place) is _said(operations, place, was=place in held), place
    _nothing_survives_a_last_removal(operations, office)


async def _asked(writes: Writes, n: int, ask: int, pause: int) -> str | None:
    """The operation; None where a removal was under way."""
    await asyncio.sleep(pause / 1000)
    caller = Caller(kind="api", token_id=f"token-{n}")
    try:
        return (await writes.write(ACCOUNT, CLIENT, caller, ASKS[ask], wait=60)).operation.id
    except RemovalUnderWay:
        return None


def _said(operations: Sequence[Operation], place: str, *, was: bool) -> bool:
    """Whether the person is in the place by what the journals say was done there last."""
    steps = [state for one in operations for state in one.steps if state.step.place and state.step.place.id == place]
    done: list[Any] = sorted((state.finished_at, state.step.method) for state in steps if state.status == "done")
    return bool(done[-1][1] != "DELETE") if done else was


def _nothing_survives_a_last_removal(operations: Sequence[Operation], office: Office) -> None:
    """Somebody who was off-boarded is out, unless somebody gave something after that was asked for."""
    removals = [one for one in operations if one.kind == "users.offboard" and one.status == "succeeded"]
    if removals:
        ended = max(one.finished_at for one in removals if one.finished_at)
        later = [one for one in operations if one.kind == "users.create" and (one.finished_at or ended) > ended]
        assert later or office.places_of() == []
