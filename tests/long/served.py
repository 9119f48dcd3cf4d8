"""The adapter in a process of its own that starts in a moment, to be killed."""

import importlib
import multiprocessing
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Self

import httpx
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server

from adapter.app import create_app
from adapter.config import Settings
from adapter.logs import configure

PATIENCE_S = 60

_PROCESSES = multiprocessing.get_context("forkserver")
# What takes long is imported once, in the process that the others are forked from.
_PROCESSES.set_forkserver_preload([__name__])


class Apart:
    """An adapter in the process that a subclass makes, which answers once `start` returns; killed at the end of the
    `with` if it still lives.
    """

    def __init__(self, settings: Settings, process: BaseProcess) -> None:
        self.url = f"http://{settings.host}:{settings.port}"
        self._process = process

    def start(self) -> None:
        self._process.start()
        over = time.monotonic() + PATIENCE_S
        with httpx.Client(base_url=self.url, trust_env=False) as http:
            while not _answers(http):
                assert self._process.is_alive(), "the adapter ended by itself"
                assert time.monotonic() < over, "the adapter did not start"
                time.sleep(0.01)

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL; returns once it is dead."""
        self._process.kill()
        self._process.join(PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


class Served(Apart):
    """One that is forked, with everything imported already; it answers once the constructor returns."""

    def __init__(self, settings: Settings, first: Callable[[], object] | None = None) -> None:
        """`first` is done in the process before anything is served."""
        super().__init__(settings, _PROCESSES.Process(target=_serve, args=(settings, first), daemon=True))
        self.start()


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _serve(settings: Settings, first: Callable[[], object] | None) -> None:
    if first is not None:
        first()
    serve_until_killed(settings, lambda: None)


def serve_until_killed(settings: Settings, begun: Callable[[], object]) -> None:
    """As `adapter serve` does, in this process; `begun` is called when its loop runs."""
    configure("error", "json")
    loops = importlib.import_module("asyncio" if sys.platform == "win32" else "uvloop")
    loops.run(_until_killed(settings, begun))


async def _until_killed(settings: Settings, begun: Callable[[], object]) -> None:
    server = Server(
        create_app(settings),
        settings.host,
        settings.port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        log_enabled=False,
        backpressure=8192,
    )
    begun()
    await server.serve()
