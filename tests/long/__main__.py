"""What takes too long for every change: `python -m tests.long TRIAL [--runs N] [--seconds N] [--minutes N] [--seed N]`.

`kill-gather` and `kill-offboard` kill adapters at work; `two-processes` counts what two of them ask for twice; `faults`
strikes one with every fault there is while it is read from and written through; `flow` sends a gigabyte each way;
`many-processes` asks four, as workers of one server and as four servers, whatever should not depend on which is asked;
`soak` puts one under everything at once for minutes (`--sqlite`: on SQLite), and looks at what it holds and has lost.
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import get_args

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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.long", description=__doc__)
    parser.add_argument("trial", choices=[*TRIALS, "many-processes", "soak"])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0, help="for each layout of many-processes")
    parser.add_argument("--minutes", type=float, default=5.0, help="of the soak")
    parser.add_argument("--sqlite", action="store_true", help="soak on SQLite")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    asked = parser.parse_args()
    configure("error", "console")
    server = PostgresServer()
    try:
        if asked.trial == "many-processes":
            return _many_processes(asked.seconds, asked.seed, server)
        if asked.trial == "soak":
            return _soak(asked.minutes, asked.seed, None if asked.sqlite else server.create())
        return TRIALS[asked.trial](asked.runs, asked.seed, server)
    finally:
        server.stop()


def _kill_gather(runs: int, seed: int, server: PostgresServer) -> int:
    sys.stdout.write(f"kill-gather: {runs} runs, seed {seed}\n")
    began = time.monotonic()
    trials: dict[str, Trial] = {}
    with tempfile.TemporaryDirectory() as directory:
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


def _kill_offboard(runs: int, seed: int, server: PostgresServer) -> int:
    sys.stdout.write(f"kill-offboard: {runs} runs, seed {seed}\n")
    began = time.monotonic()
    trials: dict[str, Offboarding] = {}
    with tempfile.TemporaryDirectory() as directory:
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


def _two_processes(runs: int, seed: int, server: PostgresServer) -> int:
    del runs, seed
    found = two_processes(server.create())
    sys.stdout.write(
        f"two-processes: {found.requests} requests in {found.seconds:.0f} s, {len(found.twice)} lists asked for twice\n"
    )
    sys.stdout.writelines(f"  {count} x {path}\n" for path, count in found.twice.items())
    return int(bool(found.twice))


def _faults(runs: int, seed: int, server: PostgresServer) -> int:
    del server  # one is made that may go away
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


def _flow(runs: int, seed: int, server: PostgresServer) -> int:
    del runs, seed, server
    with tempfile.TemporaryDirectory() as directory, a_trial_apart(Path(directory), upstream_timeout=60.0) as each:
        trial, served = each
        growths = {way.__name__: way(trial, served.pid, GIBIBYTE) for way in (download, upload)}
    for name, growth in growths.items():
        sys.stdout.write(f"flow: {name} of 1 GiB to or from whoever is slow: {growth / MIB:.1f} MiB more memory\n")
    return int(max(growths.values()) >= HELD)


def _many_processes(seconds: float, seed: int, server: PostgresServer) -> int:
    sys.stdout.write(f"many-processes: 4 of them, {seconds:.0f} s for each layout, seed {seed}\n")
    for layout in get_args(Layout):
        sys.stdout.write(f"{layout}\n")
        url = server.create()
        asyncio.run(Database(url).migrate())
        with tempfile.TemporaryDirectory() as directory:
            try:
                for name, measured in many_processes(layout, 4, url, seed, Path(directory), seconds=seconds):
                    sys.stdout.write(f"  {name:<14}{measured}\n")
                    sys.stdout.flush()
            except AssertionError as fault:
                sys.stdout.write(f"\nBROKEN, seed {seed}: {fault}\n")
                return 1
    return 0


def _soak(minutes: float, seed: int, postgres_url: str | None) -> int:
    sys.stdout.write(f"soak: {minutes:g} minutes, seed {seed}\n")
    with tempfile.TemporaryDirectory() as directory:
        url = postgres_url or f"sqlite:///{directory}/adapter.db"
        found = soak(60 * minutes, seed, url, Path(directory), _tell)
    sys.stdout.writelines(f"{line}\n" for line in ["", *table(found)])
    sys.stdout.writelines(f"BROKEN, seed {seed}: {fault}\n" for fault in found.broken)
    return int(bool(found.broken))


def _tell(line: str) -> None:
    """Progress: over the line before in a terminal, below it elsewhere."""
    sys.stdout.write(f"\r{line}" if sys.stdout.isatty() else f"{line}\n")
    sys.stdout.flush()


TRIALS: dict[str, Callable[[int, int, PostgresServer], int]] = {
    "kill-gather": _kill_gather,
    "kill-offboard": _kill_offboard,
    "two-processes": _two_processes,
    "faults": _faults,
    "flow": _flow,
}

if __name__ == "__main__":
    raise SystemExit(main())
