"""`adapter serve` itself: how many it lets in, and that it ends what is under way before it stops."""

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from adapter.cli.processes import open_many_files
from adapter.config import Settings
from tests.cli.running import until
from tests.e2e.serving import KEY, AdapterThread, Connected, _connected, _free_port
from tests.faults.line import Asked
from tests.faults.servers import Real, real
from tests.faults.trials import Trial, a_line
from tests.faults.troubles import only

CALLERS = 2_000
HEALTHZ = b"GET /healthz HTTP/1.1\r\nhost: adapter\r\n\r\n"
PIECE, PIECES, PAUSE_S = b"x" * 1000, 30, 0.1
LENGTH = len(PIECE) * PIECES


@pytest.fixture
def before(tmp_path: Path) -> Iterator[Trial]:
    """A trial whose adapter is yet to be started."""
    with a_line() as (sandbox, line, ids):
        settings = Settings(
            database_url=f"sqlite:///{tmp_path / 'adapter.db'}",
            adapter_secret_keys=KEY,
            heroku_api_url=line.url,
            port=_free_port(),
        )
        token, account = asyncio.run(_connected(settings, sandbox.owner_token))
        url = f"http://{settings.host}:{settings.port}"
        connected = Connected(url=url, sandbox=sandbox, api_token=token, account_id=account, settings=settings)
        with connected.client() as http:
            yield Trial(connected=connected, line=line, http=http, ids=ids)


@contextmanager
def started(trial: Trial, tmp_path: Path) -> Iterator[Real]:
    with real(trial.connected.settings, tmp_path) as served:
        trial.is_well()
        yield served


def test_idle_connections_keep_nobody_from_being_answered(before: Trial, tmp_path: Path) -> None:
    open_many_files()
    where = before.connected.settings.host, before.connected.settings.port
    with started(before, tmp_path), ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection(where, timeout=10)) for _ in range(CALLERS)]
        for one in idle:
            one.sendall(HEALTHZ)
        assert all(one.recv(1024).startswith(b"HTTP/1.1 200") for one in idle)

        before.is_well()
        idle[0].sendall(HEALTHZ)
        assert idle[0].recv(1024).startswith(b"HTTP/1.1 200")


async def takes_its_time(asked: Asked) -> None:
    """A body of three seconds."""
    await asked.write(f"HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n".encode())
    for _ in range(PIECES):
        await asked.write(PIECE)
        await asyncio.sleep(PAUSE_S)


def test_a_server_that_is_asked_to_stop_ends_what_is_under_way(before: Trial, tmp_path: Path) -> None:
    slow = {"kind": "latency", "seconds": 2.0, "match": {"method": "POST", "path": "/teams/apps/*"}}
    with started(before, tmp_path) as served, ThreadPoolExecutor(2) as pool:
        before.sandbox.faults([slow])
        with before.line.bad(only(takes_its_time, path="/apps/big")):
            download = pool.submit(before.ask, "/custom/apps/big")
            grant = pool.submit(before.grant)
            until(lambda: is_asked(before, "GET /apps/big") and is_asked(before, "POST /teams/apps/"), "both")
            served.terminate()

            assert len(download.result().content) == LENGTH
            assert grant.result().status_code == 200
            assert served.ended() == 0
        with pytest.raises(httpx.ConnectError):
            before.ask("/custom/teams")
    assert before.granted() == 1
    again = AdapterThread(before.connected.settings)
    try:
        before.is_well()
        (operation,) = before.ask("/operations").json()["result"]
        assert operation["status"] == "succeeded"
    finally:
        again.close()


def is_asked(trial: Trial, beginning: str) -> bool:
    return any(asked.startswith(beginning) for asked in list(trial.line.asked))
