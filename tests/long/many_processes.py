"""Several processes on one PostgreSQL, asked in the same moment and under load: whether they behave as one.

Each point says what it measured, or raises AssertionError. What is counted is what one Heroku account was asked for;
the load speaks for another one.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from adapter.sandbox import SeedOptions
from tests.long.many import sharing, writing
from tests.long.many.fleet import Layout
from tests.long.many.load import Load
from tests.long.many.trial import SEED, Trial, trial

CALLERS = 24
POINTS: Mapping[str, Callable[[Trial], str]] = {
    "single flight": sharing.asks_once,
    "budget": sharing.keeps_the_reserve,
    "refresh": sharing.refreshes_once,
    "revocation": sharing.forgets_in_time,
    "idempotency": writing.writes_once,
    "own writes": writing.reads_what_was_written,
    "conflicts": writing.refuses_what_conflicts,
    "resuming": writing.resumes_elsewhere,
    "kill -9": writing.takes_over,
}


def many_processes(
    layout: Layout,
    count: int,
    database_url: str,
    seed: int,
    directory: Path,
    *,
    seconds: float,
    world: SeedOptions = SEED,
) -> Iterator[tuple[str, str]]:
    """Every point under load, again and again for so long; after each its name and what it measured."""
    until = time.monotonic() + seconds
    with trial(layout, count, database_url, seed, directory, world=world) as made:
        load = Load(made.fleet, made.token, made.load_account_id, [team["id"] for team in made.load_teams], made.random)
        with load:
            load.begin(CALLERS)
            while True:
                for name, point in POINTS.items():
                    began = time.monotonic()
                    measured = point(made)
                    yield name, f"{measured} ({time.monotonic() - began:.0f} s)"
                    assert not load.wrong, f"the load was answered wrong: {load.wrong[:3]}"
                if time.monotonic() > until:
                    break
        yield "load", _told(made, load)
        yield "in the end", _agree_with_the_world(made)


def _told(made: Trial, load: Load) -> str:
    assert len(load.answered) >= made.fleet.count, f"not all were reached: {load.answered}"
    for operation_id in load.later:
        operation = writing.ended(made, operation_id)
        assert operation["status"] == "succeeded", writing.told(operation)
    shares = sorted(load.answered.values())
    return (
        f"{sum(shares)} answers, {shares[0]} to {shares[-1]} of them from a process, none wrong; the slowest after "
        f"{load.slowest:.1f} s, {load.lost} cut off by kills, {len(load.later)} writes answered by 202 and done"
    )


def _agree_with_the_world(made: Trial) -> str:
    """Without load, every process tells the same directory, and that is the world; nobody logged an error."""
    time.sleep(made.old_s)
    answers = made.fleet.at_once(1, lambda line: made.users(line, max_age=1))
    people = made.truth().people
    for pid, answer in answers:
        assert {user["id"] for user in answer.json()["result"]} == people, f"process {pid} tells of others"
    assert len({answer.body for _, answer in answers}) == 1, "they tell differently"
    errors = [line for line in made.fleet.log() if not _of_a_kill(line)]
    assert not errors, f"logged: {errors[:3]}"
    return f"{len(people)} people, byte for byte the same from each process; no error logged"


def _of_a_kill(line: Mapping[str, object]) -> bool:
    """How a server says that one of its workers was killed; what it says of its own end is another thing."""
    return str(line["event"]).startswith("Unexpected exit from worker-")
