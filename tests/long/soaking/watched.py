"""The adapter in a process of its own that can be looked into: what it holds of memory, connections and tasks."""

import asyncio
import ctypes
import gc
import multiprocessing
import os
import threading
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import msgspec
from cachetools import LRUCache
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server

from adapter.app import create_app
from adapter.config import Settings
from adapter.directory.pages import MAX_BYTES
from adapter.logs import configure

PATIENCE_S = 60
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Inside(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes resident, as they are and once the collector has run and what was freed is given back; and what lives."""

    resident: int
    resident_trimmed: int
    kept_pages: int
    """Bytes of answers that are kept to be given again, of which there may be 64 MB."""
    objects: int
    tasks: dict[str, int]
    threads: int


class Outside(msgspec.Struct, frozen=True, kw_only=True):
    """Open files of the process, by whom they lead to."""

    heroku: int
    callers: int
    unix: int
    files: int
    others: int

    @property
    def all(self) -> int:
        return self.heroku + self.callers + self.unix + self.files + self.others


class Watched:
    """An adapter that answers once the constructor returns; killed at the end of the `with`.

    It starts from nothing, sharing no page of memory with another process.
    """

    def __init__(self, settings: Settings) -> None:
        self.url = f"http://{settings.host}:{settings.port}"
        self._port = settings.port
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(settings, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self._until_ready()

    def _until_ready(self) -> None:
        over = time.monotonic() + PATIENCE_S
        with httpx.Client(base_url=self.url, trust_env=False) as http:
            while not _answers(http):
                assert self._process.is_alive(), "the adapter ended by itself"
                assert time.monotonic() < over, "the adapter did not start"
                time.sleep(0.02)

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    def inside(self) -> Inside:
        self._pipe.send("look")
        assert self._pipe.poll(PATIENCE_S), "the adapter does not answer"
        return msgspec.json.decode(self._pipe.recv_bytes(), type=Inside)

    def outside(self, heroku_port: int) -> Outside:
        """Who is at the other end of what it has open."""
        links = [_target(link) for link in Path(f"/proc/{self._process.pid}/fd").iterdir()]
        inodes = {link[8:-1] for link in links if link.startswith("socket:")}
        found = Counter(self._peer(line, heroku_port) for line in _tcp() if line[9] in inodes)
        files = sum(link.startswith("/") for link in links)
        unix = len(inodes & {line.split()[6] for line in _lines("/proc/net/unix")})
        return Outside(
            heroku=found["heroku"],
            callers=found["callers"],
            unix=unix,
            files=files,
            others=len(links) - files - unix - found["heroku"] - found["callers"],
        )

    def _peer(self, line: list[str], heroku_port: int) -> str:
        if int(line[2].rpartition(":")[2], 16) == heroku_port:
            return "heroku"
        is_caller = int(line[1].rpartition(":")[2], 16) == self._port and line[3] != "0A"
        return "callers" if is_caller else "listening"

    def kill(self) -> None:
        self._process.kill()
        self._process.join(PATIENCE_S)
        self._pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""  # closed since it was listed


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="ascii").splitlines()[1:]


def _tcp() -> list[list[str]]:
    return [line.split() for line in _lines("/proc/net/tcp")]


# --- in the process


def _serve(settings: Settings, pipe: Connection) -> None:
    configure("error", "json")
    asyncio.run(_until_killed(settings, pipe))


async def _until_killed(settings: Settings, pipe: Connection) -> None:
    server = Server(
        create_app(settings),
        settings.host,
        settings.port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        log_enabled=False,
    )
    asyncio.get_running_loop().add_reader(pipe.fileno(), _look, pipe)
    await server.serve()


def _look(pipe: Connection) -> None:
    try:
        pipe.recv()
    except EOFError:
        os._exit(0)  # whoever watched has ended
    resident = _resident()
    gc.collect()
    gc.collect()
    # Freed memory that the allocator keeps for the next time is no growth, and hides what is.
    ctypes.CDLL(None).malloc_trim(0)
    objects = gc.get_objects()
    tasks = Counter(task.get_coro().__qualname__ for task in asyncio.all_tasks())  # type: ignore[union-attr]  # coroutines have names
    seen = Inside(
        resident=resident,
        resident_trimmed=_resident(),
        kept_pages=sum(
            int(each.currsize) for each in objects if isinstance(each, LRUCache) and each.maxsize == MAX_BYTES
        ),
        objects=len(objects),
        tasks=dict(tasks),
        threads=threading.active_count(),
    )
    pipe.send_bytes(msgspec.json.encode(seen))


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE
