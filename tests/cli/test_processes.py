"""What a process may do, and what becomes of it when it may not."""

import resource
from collections.abc import Iterator

import pytest

from adapter.cli.processes import STOP_SECONDS, open_many_files
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
