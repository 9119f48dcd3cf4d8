"""Backpressure and bulkheads: nobody's slowness is held in memory, or borne by others."""

import asyncio
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.cli.running import until
from tests.faults.flow import BLOCK, HELD, MIB, connection, download, head, stalled, upload
from tests.faults.line import Asked
from tests.faults.trials import HEROKU, Trial, a_trial_apart
from tests.faults.troubles import hangs, only
from tests.long.served import Served

pytestmark = pytest.mark.xdist_group("flow")  # one process of the adapter's does for all of them
SIZE = 64 * MIB
HANGING = 24
POOL_S, SLOT_S = 30.0, 10.0
"""After so many seconds the pool ends a request by itself, or whoever waits for a slot is refused."""


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Trial, Served]]:
    with a_trial_apart(tmp_path_factory.mktemp("apart"), upstream_timeout=POOL_S) as (trial, served):
        yield trial, served


@pytest.mark.skipif(sys.platform != "linux", reason="a process's memory is read from /proc")
@pytest.mark.parametrize("way", [download, upload])
def test_whoever_is_slow_holds_no_memory(apart: tuple[Trial, Served], way: object) -> None:
    assert callable(way)
    trial, served = apart

    assert way(trial, served.pid, SIZE) < HELD


def test_an_account_that_hangs_slows_no_other(trial: Trial) -> None:
    other_token = trial.sandbox.token(["global"], account="bob@example.com")
    other = trial.connected.connect(other_token).json()["id"]
    with (
        trial.line.bad(only(hangs, token=trial.sandbox.owner_token)),
        ThreadPoolExecutor(HANGING) as pool,
        trial.connected.client() as http,
    ):
        before = len(trial.line.asked)
        hanging = [pool.submit(trial.ask, "/custom/apps") for _ in range(HANGING)]
        until(lambda: len(trial.line.asked) - before >= 8, "every slot of the account taken")
        took = []
        for _ in range(10):
            began = time.monotonic()
            answer = http.get("/custom/teams", params={"integrated_account_id": other}, headers=HEROKU)
            took.append(time.monotonic() - began)
            assert answer.status_code == 200

        assert sorted(took)[5] < trial.connected.settings.upstream_timeout / 2
        assert {call.result().status_code for call in hanging} <= {503, 504}
    assert trial.http.delete(f"/integrated-account/{other}").status_code == 200


def leaves(caller: socket.socket) -> None:
    caller.shutdown(socket.SHUT_RDWR)
    caller.close()


def test_a_caller_who_leaves_ends_the_answer_that_was_on_its_way(apart: tuple[Trial, Served]) -> None:
    trial, _ = apart
    ended: list[str] = []

    async def endless(asked: Asked) -> None:
        await asked.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1000000\r\n\r\nbegun")
        await asked.gone()
        ended.append(asked.path)

    with trial.line.bad(only(endless, path="/apps/big")):
        caller = connection(trial)
        caller.sendall(head(trial, "GET"))
        heard = b""
        while b"begun" not in heard:
            heard += caller.recv(1024)
        began = time.monotonic()
        leaves(caller)
        until(lambda: bool(ended), "the end of the upstream request")

    assert time.monotonic() - began < POOL_S / 2


def test_callers_who_leave_before_an_answer_has_begun_take_no_slots_with_them(apart: tuple[Trial, Served]) -> None:
    trial, _ = apart
    slots, ended = trial.connected.settings.upstream_concurrency, []
    before = len(trial.line.asked)

    async def silent(asked: Asked) -> None:
        await asked.gone()
        ended.append(asked.path)

    with trial.line.bad(only(silent, path="/apps/big")):
        callers = [connection(trial) for _ in range(slots)]
        for caller in callers:
            caller.sendall(head(trial, "GET"))
        until(lambda: len(trial.line.asked) - before == slots, "every slot of the account taken")
        began = time.monotonic()
        for caller in callers:
            leaves(caller)

        assert trial.ask("/custom/teams").status_code == 200
        until(lambda: len(ended) == slots, "the end of the upstream requests")
        assert time.monotonic() - began < SLOT_S / 2


def test_a_caller_who_takes_their_time_is_no_slow_provider(trial: Trial) -> None:
    pieces, pause = 8, trial.connected.settings.upstream_timeout / 4
    with trial.line.bad(only(swallows, path="/apps/big")), connection(trial) as caller:
        caller.sendall(head(trial, "PUT", pieces * MIB))
        for _ in range(pieces):
            caller.sendall(b"x" * MIB)
            time.sleep(pause)

        assert caller.recv(1024).startswith(b"HTTP/1.1 200")


async def swallows(asked: Asked) -> None:
    await asked.body()
    await asked.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


def test_an_answer_that_breaks_off_before_a_slow_caller_has_read_it_ends_for_them_too(
    apart: tuple[Trial, Served],
) -> None:
    trial, _ = apart
    sent, gives_up = [0], asyncio.Event()

    async def floods(asked: Asked) -> None:
        await asked.write(f"HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n".encode())
        flood = asyncio.create_task(flooding(asked))
        await gives_up.wait()
        flood.cancel()
        asked.writer.transport.abort()

    async def flooding(asked: Asked) -> None:
        while True:
            await asked.write(BLOCK)
            sent[0] += len(BLOCK)

    with trial.line.bad(only(floods, path="/apps/big")), connection(trial) as caller:
        caller.sendall(head(trial, "GET"))
        stalled(sent)
        trial.line.call(gives_up.set)
        got = len(b"".join(iter(lambda: caller.recv(MIB), b"")))

    assert 0 < got < SIZE
    trial.is_well()


def test_a_caller_who_leaves_does_not_end_a_write(trial: Trial) -> None:
    trial.sandbox.faults([{"kind": "latency", "seconds": 0.5, "match": {"method": "POST", "path": "/teams/apps/*"}}])
    with pytest.raises(httpx.ReadTimeout):
        trial.grant("new-10", timeout=0.2)

    until(lambda: trial.granted("new-10") == 1, "the write")
    operation = trial.ask("/operations").json()["result"][0]["id"]
    until(lambda: trial.ask(f"/operations/{operation}").json()["status"] == "succeeded", "its end")
