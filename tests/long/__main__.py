"""What takes too long for every change: `python -m tests.long kill-gather [--runs N] [--seed N]`, `… two-processes`."""

import argparse
import secrets
import sys
import tempfile
import time
from pathlib import Path

from adapter.logs import configure
from tests.long.kill_gather import Trial, kill_gather
from tests.long.two_processes import two_processes
from tests.storage.servers import PostgresServer


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.long", description=__doc__)
    parser.add_argument("trial", choices=["kill-gather", "two-processes"])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    asked = parser.parse_args()
    configure("error", "console")
    server = PostgresServer()
    try:
        return _run(asked.runs, asked.seed, server) if asked.trial == "kill-gather" else _two_processes(server)
    finally:
        server.stop()


def _run(runs: int, seed: int, server: PostgresServer) -> int:
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


def _two_processes(server: PostgresServer) -> int:
    found = two_processes(server.create())
    sys.stdout.write(
        f"two-processes: {found.requests} requests in {found.seconds:.0f} s, {len(found.twice)} lists asked for twice\n"
    )
    sys.stdout.writelines(f"  {count} x {path}\n" for path, count in found.twice.items())
    return int(bool(found.twice))


def _tell(line: str) -> None:
    """Progress: over the line before in a terminal, below it elsewhere."""
    sys.stdout.write(f"\r{line}" if sys.stdout.isatty() else f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
