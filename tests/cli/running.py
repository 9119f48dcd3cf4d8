"""`adapter` as a process of its own, as people run it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from adapter.config import SETTINGS

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0


def clean_environment(**settings: str) -> dict[str, str]:
    """The environment without anything of the adapter's, but for `settings`."""
    ours = {name for name in os.environ if name in SETTINGS or name.startswith("ADAPTER_") or name == "DYNO"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    # A worker that imports the package must find it wherever the tests were started.
    return {**kept, "PYTHONPATH": str(ROOT), **settings}


class Running:
    """A command under way; whatever is left of it is killed at the end of the `with`."""

    def __init__(
        self, *arguments: str, env: Mapping[str, str], stdin: int | IO[Any] = subprocess.DEVNULL, **options: Any
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "adapter", *arguments],
            env=dict(env),
            stdin=stdin,
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=options.pop("stderr", subprocess.PIPE),
            text=True,
            start_new_session=True,
            **options,
        )

    def line(self) -> str:
        """The next line of its output; an end of output is a failure that shows its errors."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"ended with {self.process.wait(PATIENCE)}: {self.errors()}")
        return str(line)

    def errors(self) -> str:
        assert self.process.stderr is not None
        return str(self.process.stderr.read())

    def stop(self, by: signal.Signals) -> tuple[int, str, str]:
        """Its exit code and what else it wrote."""
        self.process.send_signal(by)
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def descendants(pid: int) -> set[int]:
    """The processes below this one."""
    parents = {child: parent for child, parent, _ in _processes()}
    below: set[int] = set()
    while found := {child for child, parent in parents.items() if parent in below | {pid}} - below:
        below |= found
    return below


def alive(pids: Sequence[int] | set[int]) -> set[int]:
    return {pid for pid, _, state in _processes() if pid in set(pids) and not state.startswith("Z")}


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that comes about on its own."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.02)


def _processes() -> list[tuple[int, int, str]]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True).stdout
    return [(int(pid), int(parent), state) for pid, parent, state in (line.split() for line in listed.splitlines())]
