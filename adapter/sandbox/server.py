"""Serving the sandbox: in the foreground for the command line, or behind the scenes for tests and the demo."""

from __future__ import annotations

import asyncio
import atexit
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server

from .app import SandboxApp, create_app
from .options import Options
from .seed import SeedOptions, generate
from .state import Sandbox
from .wire import own_sockets

READY_TIMEOUT_S = 30
LARGE_TEAMS = 100


NATIVE_THREADS_END_S = 0.25

_stopped_at = [-math.inf]


@atexit.register
def _let_native_threads_end() -> None:
    """Keep the interpreter up for a moment after a server has stopped.

    granian's own threads still need it when `serve` has returned, nothing tells when they are done, and they panic on
    standard error when it goes first.
    """
    time.sleep(max(0.0, _stopped_at[0] + NATIVE_THREADS_END_S - time.monotonic()))


def claim(host: str, port: int) -> socket.socket:
    """A socket that holds `port` (0: any free one) for granian, which binds it once more by `SO_REUSEPORT`.

    Raises `OSError` when somebody listens there already, which that option alone would not notice.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind((host, port))
    return held


class EmbeddedServer(Server):
    """granian in this process, without the socket that it forgets.

    On Linux (as of 2.8) it binds one socket only to see whether that can be done, lets each worker bind its own, and
    never closes the first. At this moment nothing else of ours is bound there but the one that holds the port.
    """

    def __init__(self, held: socket.socket, app: SandboxApp) -> None:
        self._held = held
        host, port = held.getsockname()[:2]
        super().__init__(
            app,
            host,
            port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            websockets=False,
            log_enabled=False,
        )

    def _init_shared_socket(self) -> None:
        super()._init_shared_socket()  # type: ignore[no-untyped-call]  # granian annotates only some of itself
        for descriptor, bound in own_sockets() if sys.platform == "linux" else ():
            if descriptor != self._held.fileno() and is_bound_like(bound, self._held):
                os.close(descriptor)


def is_bound_like(one: socket.socket, other: socket.socket) -> bool:
    return one.family == other.family and one.getsockname() == other.getsockname()


class SandboxServer:
    """The sandbox on a socket. `serve` runs until `stop`, which may be called from any thread.

    One process, because the world is in its memory. granian is embedded: it starts and stops in about 20 ms.
    Raises `OSError` when the port is not to be had.
    """

    def __init__(self, sandbox: Sandbox, host: str, port: int) -> None:
        self._held = claim(host, port)
        self.host, self.port = self._held.getsockname()[:2]
        self._sandbox = sandbox
        self._server: EmbeddedServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def serve(self, ready: Callable[[], None]) -> None:
        """Serve until stopped; `ready` is called when connections are taken."""
        self._loop = asyncio.get_running_loop()
        self._server = EmbeddedServer(self._held, create_app(self._sandbox))
        serving = asyncio.create_task(self._server.serve())
        try:
            await self._until_connected(serving)
            self._held.close()
            ready()
            await serving
        finally:
            self._held.close()
            _stopped_at[0] = time.monotonic()

    async def _until_connected(self, serving: asyncio.Task[None]) -> None:
        async with asyncio.timeout(READY_TIMEOUT_S):
            while not serving.done():
                try:
                    _, writer = await asyncio.open_connection(self.host, self.port)
                except OSError:
                    await asyncio.sleep(0.005)
                else:
                    writer.close()
                    await writer.wait_closed()
                    return

    def stop(self) -> None:
        if self._loop is not None and self._server is not None:
            self._loop.call_soon_threadsafe(self._server.stop)


Announce = Callable[[str, str], None]
"""Called with the sandbox's URL and the owner's token once it answers."""


def run_sandbox(
    host: str = "127.0.0.1",
    port: int = 5100,
    seed: int = 1,
    teams: int = 5,
    members: int = 40,
    apps: int = 20,
    latency_ms: float = 0,
    announce: Announce | None = None,
) -> None:
    """Run a seeded sandbox until SIGINT or SIGTERM; `port` 0 takes any free one.

    Raises `OSError` when the port is taken. Only the main thread can run it, because it handles signals.
    """
    enterprises, spaces = (1, 2) if teams < LARGE_TEAMS else (3, 20)
    size = SeedOptions(
        seed=seed, teams=teams, members=members, apps=apps, enterprise_accounts=enterprises, spaces=spaces
    )
    run_until_signalled(Sandbox(lambda: generate(size), Options(latency_ms=latency_ms)), host, port, announce)


def run_until_signalled(sandbox: Sandbox, host: str, port: int, announce: Announce | None = None) -> None:
    server = SandboxServer(sandbox, host, port)

    def ready() -> None:
        if announce:
            announce(server.url, sandbox.owner_token)

    asyncio.run(_run_until_signalled(server, ready))


async def _run_until_signalled(server: SandboxServer, ready: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, server.stop)
    await server.serve(ready)


class ServerThread:
    """A sandbox server in a thread of its own, serving when the constructor returns."""

    def __init__(self, sandbox: Sandbox, host: str = "127.0.0.1", port: int = 0) -> None:
        self.server = SandboxServer(sandbox, host, port)
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)
        self._thread.start()
        self._ready.wait(READY_TIMEOUT_S)
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self.server.serve(self._ready.set))
        except BaseException as failure:  # noqa: BLE001 (handed to whoever waits in the constructor)
            self._failure = failure
            self._ready.set()

    def close(self) -> None:
        self.server.stop()
        self._thread.join(READY_TIMEOUT_S)
