"""The sandbox on a socket: in a thread, in a process, and in the foreground."""

import os
import signal
import socket
import subprocess
import sys
import threading

import httpx
import pytest

from adapter.sandbox import Options, RunningSandbox, SeedOptions
from adapter.sandbox.wire import own_sockets
from tests.sandbox.conftest import ACCEPT
from tests.sandbox.worlds import small_world


def headers(token: str) -> dict[str, str]:
    return {"Accept": ACCEPT, "Authorization": f"Bearer {token}"}


def test_a_thread_serves_and_stops_and_the_port_is_free_again() -> None:
    others = set(threading.enumerate())
    with RunningSandbox(small_world) as running:
        response = httpx.get(f"{running.url}/teams", headers=headers(running.owner_token))
        port = httpx.URL(running.url).port or 0

    assert response.status_code == 200
    assert not [thread for thread in threading.enumerate() if thread.name == "sandbox" and thread not in others]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_two_sandboxes_are_worlds_apart() -> None:
    with RunningSandbox(small_world) as one, RunningSandbox(small_world) as other:
        httpx.delete(f"{one.url}/apps/mine", headers=headers(one.owner_token))
        response = httpx.get(f"{other.url}/apps/mine", headers=headers(other.owner_token))

    assert response.status_code == 200


def test_a_port_that_is_taken_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            RunningSandbox(small_world, port=taken.getsockname()[1])


def test_the_live_world_can_be_changed_under_a_running_sandbox() -> None:
    with RunningSandbox(small_world) as running:
        running.world.add_app("added-later")
        response = httpx.get(f"{running.url}/apps/added-later", headers=headers(running.owner_token))

    assert response.status_code == 200


def test_the_helpers_say_what_control_says() -> None:
    with RunningSandbox(small_world, options=Options(consistency_s=0)) as running:
        token = running.token(["read"], account="bob@example.com")
        status = httpx.get(f"{running.url}/teams/acme/members", headers=headers(token)).status_code
        counted = running.request_count(path="/teams/*"), len(running.requests(status="403"))
        running.reset_requests()
        running.options(latency_ms=1)
        running.budget(0)
        limited = httpx.get(f"{running.url}/teams", headers=headers(running.owner_token)).status_code
        running.advance(60)
        served = httpx.get(f"{running.url}/teams", headers=headers(running.owner_token)).status_code
        running.reset()

        assert (status, counted, limited, served) == (403, (1, 1), 429, 200)
        assert running.request_count() == 0
        assert httpx.get(f"{running.url}/teams", headers=headers(running.owner_token)).status_code == 200
        assert len(running.truth()["teams"]) == 3


def test_a_sandbox_in_a_process_is_steered_over_http() -> None:
    with RunningSandbox(seed=SeedOptions(teams=2), options=Options(budget_capacity=9), thread=False) as running:
        response = httpx.get(f"{running.url}/teams", headers=headers(running.owner_token))
        truth = running.truth()

    assert (len(response.json()), response.headers["ratelimit-remaining"]) == (2, "8")
    assert len(truth["teams"]) == 2


def test_a_process_takes_no_world_by_hand() -> None:
    with pytest.raises(ValueError, match="seeded"):
        RunningSandbox(small_world, thread=False)


FOREGROUND = """
from adapter.sandbox import run_sandbox
run_sandbox(port=0, teams=2, members=10, apps=2, announce=lambda url, token: print(url, token, flush=True))
print("stopped")
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_the_foreground_stops_cleanly_on_a_signal(sent: signal.Signals) -> None:
    command = [sys.executable, "-W", "error", "-c", FOREGROUND]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url, token = process.stdout.readline().split()
        response = httpx.get(f"{url}/teams", headers=headers(token))
        os.kill(process.pid, sent)
        output, errors = process.communicate(timeout=10)

    assert (response.status_code, len(response.json())) == (200, 2)
    assert (process.returncode, output, errors) == (0, "stopped\n", "")


def test_a_stopped_sandbox_leaves_no_socket_behind() -> None:
    with RunningSandbox(small_world):
        pass
    before = len(list(own_sockets()))
    for _ in range(5):
        with RunningSandbox(small_world) as running:
            httpx.get(f"{running.url}/teams", headers=headers(running.owner_token))

    assert len(list(own_sockets())) <= before
