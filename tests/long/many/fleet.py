"""Several processes that serve as one, and ways to ask a certain one of them, or all of them in the same moment."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from secrets import choice
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, TypeVar
from urllib.parse import urlencode

import msgspec

from tests.cli.running import Running, alive
from tests.e2e.serving import _free_port

T = TypeVar("T")
U = TypeVar("U")
Layout = Literal["workers", "machines"]
"""`workers`: one `adapter serve --workers N`, on one port; `machines`: N times `adapter serve`, each on its own."""

HOST = "127.0.0.1"
PATIENCE_S = 60.0
_BATCH = 8
_MOST_CONNECTIONS = 600


class LineLostError(Exception):
    """The process at the other end is gone, or has hung up."""


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str | None:
        """That of an error."""
        return self.json().get("code") if self.status >= 400 else None


class Line:
    """One connection, and so one process: it is never opened anew by itself."""

    def __init__(self, port: int) -> None:
        self._http = HTTPConnection(HOST, port, timeout=PATIENCE_S)
        self._http.connect()
        self._http.auto_open = 0
        self.ports: tuple[int, int] = (port, self._http.sock.getsockname()[1])
        """The server's, and ours."""
        self.pid = 0

    def ask(
        self, method: str, path: str, token: str = "", *, json: Any = None, headers: Any = None, **query: Any
    ) -> Answer:
        sent = {**({"authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
        if json is not None:
            sent["content-type"] = "application/json"
        target = path + (f"?{urlencode(query)}" if query else "")
        body = None if json is None else msgspec.json.encode(json)
        try:
            self._http.request(method, target, body=body, headers=sent)
            reply = self._http.getresponse()
            return Answer(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
        except (HTTPException, OSError) as error:
            raise LineLostError(f"{method} {path} at process {self.pid}: {error!r}") from None

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Fleet:
    """`count` processes of one deployment, all answering when the `with` begins, killed at its end."""

    def __init__(self, layout: Layout, count: int, environment: Mapping[str, str], log: Path) -> None:
        self.layout = layout
        self.count = count
        self._environment = environment
        self._log = log
        self._stack = ExitStack()
        self._servers: dict[int, Running] = {}
        """By the port that they listen on."""
        self.kills = 0

    def __enter__(self) -> Self:
        with self._stack:
            self._errors = self._stack.enter_context(self._log.open("a"))
            for _ in range(1 if self.layout == "workers" else self.count):
                self.start(_free_port())
            self._until_all_answer()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start(self, port: int) -> None:
        """A server at a port; another one's where that has ended."""
        workers = str(self.count if self.layout == "workers" else 1)
        asked = ("serve", "--port", str(port), "--workers", workers)
        running = Running(*asked, env=self._environment, stdout=self._errors, stderr=self._errors)
        self._servers[port] = self._stack.enter_context(running)

    def restart(self) -> int:
        """Start again what has ended; how many servers. Returns when all processes answer."""
        return self._until_all_answer()

    def _until_all_answer(self) -> int:
        over = time.monotonic() + PATIENCE_S
        restarted = 0
        while len(self.pids()) < self.count or not self._reached():
            ended = [port for port, server in self._servers.items() if server.process.poll() is not None]
            assert self.kills or not ended, f"it does not start: {self.log()[-3:]}"
            assert time.monotonic() < over, f"not all processes answer: {self.log()[-3:]}"
            for port in ended:
                self.start(port)
            restarted += len(ended)
            time.sleep(0.05)
        return restarted

    def _reached(self) -> bool:
        try:
            for line in self.lines(1):
                line.close()
        except (LineLostError, OSError):
            return False
        return True

    def pids(self) -> list[int]:
        """The processes that listen, or are about to."""
        return sorted(pid for server in self._servers.values() for pid in _serving(server.process.pid))

    def kill(self, pid: int) -> None:
        """SIGKILL, to a worker alone or to all of its machine; returns once it is dead."""
        self.kills += 1
        if self.layout == "machines":
            (server,) = (one.process for one in self._servers.values() if pid in _serving(one.process.pid))
            os.killpg(server.pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
        over = time.monotonic() + PATIENCE_S
        while alive({pid}):
            assert time.monotonic() < over
            time.sleep(0.005)

    def lines(self, each: int, only: int | None = None) -> list[Line]:
        """So many new connections to each process, or to one of them; AssertionError where one can't be reached."""
        wanted = {pid: each for pid in self.pids() if only in {None, pid}}
        found: list[Line] = []
        opened = 0
        try:
            while any(wanted.values()):
                assert opened < _MOST_CONNECTIONS, f"{opened} connections, and never enough to {wanted}"
                batch = [self._open(port) for port in self._ports(only) for _ in range(_BATCH)]
                opened += len(batch)
                for line, pid in zip(batch, _answering(batch, self.pids()), strict=True):
                    if wanted.get(pid, 0):
                        wanted[pid] -= 1
                        line.pid = pid
                        found.append(line)
                    else:
                        line.close()
        except BaseException:
            for line in found:
                line.close()
            raise
        return found

    def line(self, pid: int) -> Line:
        """A new connection to a certain process."""
        (line,) = self.lines(1, only=pid)
        return line

    def _ports(self, only: int | None) -> list[int]:
        """Where to knock for a process, or for all."""
        owners = {port: _serving(server.process.pid) for port, server in self._servers.items()}
        return [port for port, pids in owners.items() if only is None or only in pids]

    def any_line(self) -> Line:
        """A new connection to whichever process takes it."""
        line = self._open(choice(list(self._servers)))
        (line.pid,) = _answering([line], self.pids())
        return line

    def _open(self, port: int) -> Line:
        line = Line(port)
        # The connection is a process's own only once that has taken it up.
        line.ask("GET", "/healthz")
        return line

    def ask(self, pid: int, method: str, path: str, token: str = "", **more: Any) -> Answer:
        """One request to a certain process."""
        with self.line(pid) as line:
            return line.ask(method, path, token, **more)

    def at_once(self, each: int, ask: Callable[[Line], T]) -> list[tuple[int, T]]:
        """What `ask` comes to on so many connections to each process, all in the same moment; with whose it was."""
        with ExitStack() as stack:
            lines = [stack.enter_context(line) for line in self.lines(each)]
            return [(line.pid, answer) for line, answer in zip(lines, together(lines, ask), strict=True)]

    def log(self) -> list[dict[str, Any]]:
        """What the processes have logged so far."""
        lines = self._log.read_text().splitlines()
        return [msgspec.json.decode(line) if line.startswith("{") else {"event": line, "level": "?"} for line in lines]


def together(those: Sequence[U], ask: Callable[[U], T]) -> list[T]:
    """What comes of asking each of those, when all begin in the same moment."""
    barrier = threading.Barrier(len(those))

    def begin(one: U) -> T:
        barrier.wait(PATIENCE_S)
        return ask(one)

    with ThreadPoolExecutor(len(those)) as pool:
        return list(pool.map(begin, those))


def _serving(pid: int) -> list[int]:
    """The workers of a server: its children, but for what Python keeps beside them."""
    children = {int(child) for task in Path("/proc").glob(f"{pid}/task/*/children") for child in _text(task).split()}
    return [child for child in children if "adapter serve" in _command(child)]


def _command(pid: int) -> str:
    return _text(Path(f"/proc/{pid}/cmdline")).replace("\0", " ")


def _text(path: Path) -> str:
    """A file of a process; nothing where that has ended."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _answering(lines: Sequence[Line], pids: Sequence[int]) -> list[int]:
    """Whose process each connection leads to; 0 where it is none of these."""
    sockets = _sockets()
    owners = {inode: pid for pid in pids for inode in _open_sockets(pid)}
    return [owners.get(sockets.get(line.ports, ""), 0) for line in lines]


def _sockets() -> dict[tuple[int, int], str]:
    """The kernel's table of TCP connections: the two ports -> the socket at the first one's side."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {(_port(row[1]), _port(row[2])): row[9] for row in rows}


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def _open_sockets(pid: int) -> set[str]:
    found = set()
    with suppress(FileNotFoundError):  # it has ended
        for opened in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # it was closed
                found |= set(re.findall(r"^socket:\[(\d+)\]$", str(opened.readlink())))
    return found
