"""What a process may do, and what becomes of it when it may not."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator

import pytest

from adapter.cli.processes import STOP_SECONDS, open_many_files, take_turns_on_one_core
from adapter.directory.writing.limits import Limits

FEW = 1_000


@pytest.fixture
def limit() -> Iterator[tuple[int, int]]:
    """That of open files, few at first; as it was before at the end."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, before[1]))
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_server_may_open_more_files_than_the_usual_limit(limit: tuple[int, int]) -> None:
    open_many_files()

    assert FEW < resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= 65_536
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] == limit[1], "what may be asked for is left as it was"


def test_a_limit_that_cannot_be_raised_is_borne(limit: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("current limit exceeds maximum limit")

    del limit
    with monkeypatch.context() as patch:
        patch.setattr(resource, "setrlimit", refuse)
        open_many_files()

    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == FEW


def test_a_process_that_stops_has_longer_than_what_it_sends_and_less_than_a_dyno() -> None:
    assert Limits().grace < STOP_SECONDS < 30


POLICIES = """
import os, threading
from adapter.cli.processes import take_turns_on_one_core
if {cores} == 1:
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
take_turns_on_one_core()
thread = threading.Thread(target=lambda: print(os.sched_getscheduler(threading.get_native_id())))
thread.start()
thread.join()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this policy")
@pytest.mark.parametrize(("cores", "policy"), [(1, "SCHED_BATCH"), (2, "SCHED_OTHER")])
def test_threads_wait_for_their_turn_on_one_core_alone(cores: int, policy: str) -> None:
    if cores > len(os.sched_getaffinity(0)):
        pytest.skip("this machine has one core")
    code = POLICIES.format(cores=cores)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert int(told) == getattr(os, policy)


def test_where_that_is_forbidden_it_goes_on_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    monkeypatch.setattr(os, "sched_setscheduler", refuse, raising=False)

    take_turns_on_one_core()
