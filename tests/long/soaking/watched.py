"""The adapter in a process of its own that can be looked into: what it holds of memory, connections and tasks."""

import asyncio
import ctypes
import gc
import multiprocessing
import os
import threading
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
from cachetools import LRUCache

from adapter.config import Settings
from adapter.directory.pages import MAX_BYTES
from tests.long.served import PATIENCE_S, Apart, serve_until_killed

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


class Watched(Apart):
    """An adapter that answers once the constructor returns; it starts from nothing, sharing no page of memory with
    another process.
    """

    def __init__(self, settings: Settings) -> None:
        self._port = settings.port
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        super().__init__(settings, context.Process(target=_serve, args=(settings, theirs), daemon=True))
        self.start()
        theirs.close()

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    def inside(self) -> Inside:
        self._pipe.send("look")
        assert self._pipe.poll(PATIENCE_S), "the adapter does not answer"
        return msgspec.json.decode(self._pipe.recv_bytes(), type=Inside)

    def outside(self, heroku_port: int) -> Outside:
        """Who is at the other end of what it has open."""
        links = [_target(link) for link in Path(f"/proc/{self.pid}/fd").iterdir()]
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
        super().kill()
        self._pipe.close()


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
    serve_until_killed(settings, lambda: asyncio.get_running_loop().add_reader(pipe.fileno(), _look, pipe))


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
