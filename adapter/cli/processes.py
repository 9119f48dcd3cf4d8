"""Processes that end together, and ports that are free."""

import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from adapter.errors import ConfigError

STOP_SECONDS = 25
"""How long a process that is asked to stop may take: Heroku kills a dyno 30 s after asking it."""
_FILES = 65_536


def follow_parent() -> None:
    """Have this child process stop when its parent is gone, even if that was killed without a chance to say so."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_outlive, args=(parent,), name="parent watch", daemon=True).start()


def _outlive(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(STOP_SECONDS)
    os._exit(1)


def open_many_files() -> None:
    """Let this process open many files, as far as it may: each connection is one, and the usual limit is low."""
    if sys.platform != "win32":
        import resource

        now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _FILES if most == resource.RLIM_INFINITY else min(_FILES, most)
        if resource.RLIM_INFINITY != now < wanted:
            with suppress(ValueError, OSError):  # macOS has a limit of its own below the one that it tells
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def take_turns_on_one_core() -> None:
    """Where there is one core for all, have the threads that start from here on wait for their turn.

    The server's own thread would interrupt Python after every single answer to send it, and be woken again for the
    next; so it sends what has come together. It costs nothing where there is a core to spare, and is left alone there.
    """
    if sys.platform == "linux" and len(os.sched_getaffinity(0)) == 1:
        with suppress(OSError):  # a sandbox may forbid it, and it is only faster
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def exit_on_signals() -> None:
    """Have SIGTERM and SIGINT end this process in good order: every `with` and `finally` is gone through."""

    def leave(_signal: int, _frame: FrameType | None) -> None:
        sys.exit(0)

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, leave)


@contextmanager
def interrupts_ignored() -> Iterator[None]:
    """A child that is started here does not see a terminal's Ctrl-C until it has put up a handler of its own."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def usable_port(host: str, port: int, flag: str) -> int:
    """`port`, or a free one for 0. ConfigError names the flag to choose another where it can't be had.

    The server itself would share a taken port in silence, each getting some of the connections.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no such port"
            raise ConfigError(
                f"Can't listen on {host}:{port} ({reason}); choose another port with {flag} (0: any that is free)."
            ) from None
        return int(probe.getsockname()[1])


def url_of(host: str, port: int) -> str:
    """Where a server that listens there is reached from this machine."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104  # compared, not listened on
    return f"http://{reachable}:{port}"
