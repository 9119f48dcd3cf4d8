"""What takes too long for every change: each trial puts adapters under something, and says what it found untrue.

Its exit code is 0 where nothing was, 1 where something was. One that takes chances tells its seed, to try it again.
"""

import argparse
import asyncio
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, get_args

from adapter.logs import configure
from adapter.storage.database import Database
from tests.faults.flow import GIBIBYTE, HELD, MIB, download, upload
from tests.faults.trials import a_trial_apart
from tests.long.faults import Found, strike_again
from tests.long.kill_gather import Trial, kill_gather
from tests.long.kill_offboard import Trial as Offboarding
from tests.long.kill_offboard import kill_offboard
from tests.long.many.fleet import Layout
from tests.long.many_processes import many_processes
from tests.long.soak import soak, table
from tests.long.two_processes import two_processes
from tests.storage.servers import PostgresServer

PROCESSES = 4


class Kind(NamedTuple):
    run: Callable[..., int]
    """Takes by keyword what it heeds; answers the exit code."""
    what: str
    takes: str
    heeds: tuple[str, ...] = ()
    """Of `OPTIONS`."""


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parser().parse_args(arguments)
    configure("error", "console")
    kind = TRIALS[asked.trial]
    return kind.run(**{option: getattr(asked, option) for option in kind.heeds})


def parser() -> argparse.ArgumentParser:
    """Each trial with the options that it heeds; any other is refused."""
    formatter = argparse.RawDescriptionHelpFormatter
    made = argparse.ArgumentParser(prog="python -m tests.long", description=__doc__, formatter_class=formatter)
    trials = made.add_subparsers(dest="trial", required=True, metavar="TRIAL", title="trials")
    for name, kind in TRIALS.items():
        told = f"{kind.what}. Takes {kind.takes}."
        heeds = ", ".join(f"--{option} ({OPTIONS[option]['shown']})" for option in kind.heeds) or "no option"
        trial = trials.add_parser(name, help=f"{told} Heeds {heeds}.", description=told, allow_abbrev=False)
        for option in kind.heeds:
            trial.add_argument(f"--{option}", **{k: v for k, v in OPTIONS[option].items() if k != "shown"})
    return made


def _kill_gather(*, runs: int, seed: int) -> int:
    sys.stdout.write(f"kill-gather: {runs} runs, seed {seed}\n")
    began = time.monotonic()
    trials: dict[str, Trial] = {}
    with tempfile.TemporaryDirectory() as directory, _postgres() as server:
        try:
            for name, number, trial in kill_gather(runs, seed, Path(directory), server.create()):
                trials[name] = trial
                _tell(
                    f"{number}/{runs} {name}: {trial.killed_midway} killed midway, {trial.units_checked} units checked"
                )
        except AssertionError as fault:
            sys.stdout.write(f"\nBROKEN after {time.monotonic() - began:.0f} s, seed {seed}: {fault}\n")
            return 1
    killed = sum(trial.killed_midway for trial in trials.values())
    units = sum(trial.units_checked for trial in trials.values())
    sys.stdout.write(
        f"\nkill-gather: {runs} runs, {killed} killed midway, {units} stored units checked, none corrupt or mixed, "
        f"in {time.monotonic() - began:.0f} s\n"
    )
    return 0


def _kill_offboard(*, runs: int, seed: int) -> int:
    sys.stdout.write(f"kill-offboard: {runs} runs, seed {seed}\n")
    began = time.monotonic()
    trials: dict[str, Offboarding] = {}
    with tempfile.TemporaryDirectory() as directory, _postgres() as server:
        try:
            for name, number, trial in kill_offboard(runs, seed, Path(directory), server.create()):
                trials[name] = trial
                _tell(f"{number}/{runs} {name}: {trial.killed_midway} of {trial.kills} kills midway")
        except AssertionError as fault:
            sys.stdout.write(f"\nBROKEN after {time.monotonic() - began:.0f} s, seed {seed}: {fault}\n")
            return 1
    midway, kills = (sum(getattr(trial, what) for trial in trials.values()) for what in ("killed_midway", "kills"))
    ended = sum((trial.ended for trial in trials.values()), Counter[str]())
    sys.stdout.write(
        f"\nkill-offboard: {runs} runs, {midway} of {kills} kills midway, operations ended {dict(ended)}, none lost or "
        f"untrue, in {time.monotonic() - began:.0f} s\n"
    )
    return 0


def _two_processes() -> int:
    with _postgres() as server:
        found = two_processes(server.create())
    sys.stdout.write(
        f"two-processes: {found.requests} requests in {found.seconds:.0f} s, {len(found.twice)} lists asked for twice\n"
    )
    sys.stdout.writelines(f"  {count} x {path}\n" for path, count in found.twice.items())
    return int(bool(found.twice))


def _faults(*, runs: int, seed: int) -> int:
    sys.stdout.write(f"faults: {runs} runs, seed {seed}\n")
    began, found = time.monotonic(), Found()
    with tempfile.TemporaryDirectory() as directory:
        try:
            for number, told, found in strike_again(runs, seed, Path(directory)):
                _tell(f"{number}/{runs} {told}: {found.answers.total()} answers, {found.operations.total()} writes")
        except AssertionError as fault:
            sys.stdout.write(f"\nBROKEN after {time.monotonic() - began:.0f} s, seed {seed}: {fault}\n")
            return 1
    answers, errors = found.answers.total(), found.errors.total()
    sys.stdout.write(
        f"\nfaults: {runs} runs; {answers} answers, {errors} of them errors, all explained, "
        f"operations ended {dict(found.operations)}, all true; well again after {found.slowest_s:.1f} s at most "
        f"({found.slowest}); in {time.monotonic() - began:.0f} s\n"
    )
    sys.stdout.writelines(f"  {count:5} x {told[0]} {told[1]}\n" for told, count in found.errors.most_common())
    return 0


def _flow() -> int:
    with tempfile.TemporaryDirectory() as directory, a_trial_apart(Path(directory), upstream_timeout=60.0) as each:
        trial, served = each
        growths = {way.__name__: way(trial, served.pid, GIBIBYTE) for way in (download, upload)}
    for name, growth in growths.items():
        sys.stdout.write(f"flow: {name} of 1 GiB to or from whoever is slow: {growth / MIB:.1f} MiB more memory\n")
    return int(max(growths.values()) >= HELD)


def _many_processes(*, seconds: float, seed: int) -> int:
    sys.stdout.write(f"many-processes: {PROCESSES} of them, {seconds:.0f} s for each layout, seed {seed}\n")
    with _postgres() as server:
        try:
            for layout in get_args(Layout):
                _one_layout(layout, seconds, seed, server.create())
        except AssertionError as fault:
            sys.stdout.write(f"\nBROKEN, seed {seed}: {fault}\n")
            return 1
    return 0


def _one_layout(layout: Layout, seconds: float, seed: int, url: str) -> None:
    sys.stdout.write(f"{layout}\n")
    asyncio.run(Database(url).migrate())
    with tempfile.TemporaryDirectory() as directory:
        for name, measured in many_processes(layout, PROCESSES, url, seed, Path(directory), seconds=seconds):
            sys.stdout.write(f"  {name:<14}{measured}\n")
            sys.stdout.flush()


def _soak(*, minutes: float, seed: int, sqlite: bool) -> int:
    sys.stdout.write(f"soak: {minutes:g} minutes, seed {seed}\n")
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        url = f"sqlite:///{directory}/adapter.db" if sqlite else stack.enter_context(_postgres()).create()
        found = soak(60 * minutes, seed, url, Path(directory), _tell)
    sys.stdout.writelines(f"{line}\n" for line in ["", *table(found)])
    sys.stdout.writelines(f"BROKEN, seed {seed}: {fault}\n" for fault in found.broken)
    return int(bool(found.broken))


@contextmanager
def _postgres() -> Iterator[PostgresServer]:
    """A server of the trial's own, gone with it."""
    server = PostgresServer()
    try:
        yield server
    finally:
        server.stop()


def _tell(line: str) -> None:
    """Progress: over the line before in a terminal, below it elsewhere."""
    sys.stdout.write(f"\r{line}" if sys.stdout.isatty() else f"{line}\n")
    sys.stdout.flush()


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    def number(text: str) -> float:
        if not kind(text) > 0:
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return kind(text)

    return number


OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "runs": {
        "type": _positive(int),
        "default": 200,
        "metavar": "N",
        "help": "how often, on SQLite and PostgreSQL in turn (default %(default)s)",
        "shown": "200",
    },
    "seed": {
        "type": int,
        "default": secrets.randbelow(2**32),
        "metavar": "N",
        "help": "what all chances come from (default: drawn, and told)",
        "shown": "drawn",
    },
    "seconds": {
        "type": _positive(float),
        "default": 60.0,
        "metavar": "N",
        "help": "how long for each layout, what was begun then ended (default %(default)g)",
        "shown": "60",
    },
    "minutes": {
        "type": _positive(float),
        "default": 5.0,
        "metavar": "N",
        "help": "how long it is under everything (default %(default)g)",
        "shown": "5",
    },
    "sqlite": {"action": "store_true", "help": "on SQLite rather than PostgreSQL", "shown": "else PostgreSQL"},
}
"""What argparse is told of each; `shown` is its default in the list of the trials."""
TRIALS: Mapping[str, Kind] = {
    "kill-gather": Kind(
        _kill_gather,
        "Kills adapters in the middle of gathers, and looks whether any stored unit is torn or mixed",
        "about 5 s a run",
        ("runs", "seed"),
    ),
    "kill-offboard": Kind(
        _kill_offboard,
        "Kills adapters in the middle of off-boardings, and looks whether what their operations say is true",
        "about 10 s a run",
        ("runs", "seed"),
    ),
    "two-processes": Kind(
        _two_processes,
        "Asks two adapters at once for the same large directory, and counts the lists that were asked for twice",
        "half a minute",
    ),
    "faults": Kind(
        _faults,
        "Strikes an adapter with every fault there is while it is read from and written through",
        "about 5 s a run, half a minute where the database goes away",
        ("runs", "seed"),
    ),
    "flow": Kind(
        _flow,
        "Sends a gibibyte each way, by whoever is slow, and measures what the adapter holds of it",
        "half a minute",
    ),
    "many-processes": Kind(
        _many_processes,
        "Asks four adapters, as workers of one server and as four servers, what should not depend on which is asked",
        "twice its seconds or more, for what was begun is ended",
        ("seconds", "seed"),
    ),
    "soak": Kind(
        _soak,
        "Puts an adapter under everything at once, and looks at what it holds and has lost",
        "its minutes, and a rest after each of five rounds",
        ("minutes", "seed", "sqlite"),
    ),
}

if __name__ == "__main__":
    # A trial that is asked to stop takes down what it has started, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    raise SystemExit(main())
