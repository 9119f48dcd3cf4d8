"""Much data through `/custom`, and how much of it the adapter's process holds meanwhile."""

import asyncio
import os
import socket
from contextlib import closing
from pathlib import Path

from tests.cli.running import until
from tests.faults.line import Asked
from tests.faults.trials import Trial
from tests.faults.troubles import only

MIB = 1024 * 1024
GIBIBYTE = 1024 * MIB
HELD = 32 * MIB
"""What may be held of as much as one likes."""
BLOCK = b"x" * 65_536
SLOW_S = 0.5


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Peak:
    """The most that a process has grown since the beginning."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before = resident(pid)
        self.growth = 0

    def look(self) -> None:
        self.growth = max(self.growth, resident(self._pid) - self._before)


def head(trial: Trial, method: str, length: int = 0) -> bytes:
    lines = [
        f"{method} /custom/apps/big?integrated_account_id={trial.connected.account_id} HTTP/1.1",
        "host: adapter",
        f"authorization: Bearer {trial.connected.api_token}",
        f"content-length: {length}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def connection(trial: Trial) -> socket.socket:
    return socket.create_connection((trial.connected.settings.host, trial.connected.settings.port), timeout=60)


def download(trial: Trial, pid: int, size: int) -> int:
    """A caller who reads nothing at first, and then all of `size` bytes: by how much the process grew."""
    sent = [0]

    async def floods(asked: Asked) -> None:
        await asked.write(f"HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n".encode())
        while sent[0] < size:
            await asked.write(BLOCK)
            sent[0] += len(BLOCK)

    peak = Peak(pid)
    with trial.line.bad(only(floods, path="/apps/big")), closing(connection(trial)) as caller:
        caller.sendall(head(trial, "GET"))
        stalled(sent)
        assert sent[0] < size, "everything was taken from the provider, and nobody has read it"
        got = 0
        while got < size:
            got += len(caller.recv(MIB))
            peak.look()
    return peak.growth


def upload(trial: Trial, pid: int, size: int) -> int:
    """Likewise a provider who reads nothing at first: by how much the process grew."""
    goes, got = asyncio.Event(), [0]

    async def swallows(asked: Asked) -> None:
        await goes.wait()
        async for part in asked.parts():
            got[0] += len(part)
        await asked.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    peak, sent = Peak(pid), [0]
    with trial.line.bad(only(swallows, path="/apps/big")), closing(connection(trial)) as caller:
        caller.sendall(head(trial, "PUT", size))
        caller.settimeout(SLOW_S)
        try:
            while sent[0] < size:
                sent[0] += caller.send(BLOCK)
        except TimeoutError:
            caller.settimeout(60)
        assert sent[0] < size, "everything was taken from the caller, and nobody has read it"
        peak.look()
        trial.line.call(goes.set)
        while sent[0] < size:
            sent[0] += caller.send(BLOCK[: size - sent[0]])
            peak.look()
        assert caller.recv(MIB).startswith(b"HTTP/1.1 200")
    assert got[0] == size
    return peak.growth


def stalled(count: list[int]) -> None:
    """Return when a count has begun, and has stood still since the last look."""
    before = [-1]

    def stands() -> bool:
        now, before[0] = before[0], count[0]
        return 0 < now == count[0]

    until(stands, "the provider being held up")
