"""The database in trouble: what callers see, that nothing is half-written, and that it ends without a restart."""

import asyncio
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adapter.storage import database
from adapter.storage.database import Database
from tests.cli.running import until
from tests.faults.servers import Vanishing
from tests.faults.trials import a_trial, a_trial_apart, told

AWAY = (503, "storage_unavailable")


def test_a_locked_database_stops_what_has_to_be_written_down_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.3)
    with a_trial(tmp_path) as trial:
        before = trial.tokens()
        with closing(sqlite3.connect(tmp_path / "adapter.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")

            assert trial.ask("/custom/teams").status_code == 200
            assert trial.people().status_code == 200
            assert told(trial.mint()) == AWAY
            assert told(trial.grant()) == AWAY

        assert trial.granted() == 0, "sent, though it could not be written down"
        assert trial.tokens() == before
        assert trial.mint().status_code in {200, 201}
        assert trial.grant().status_code == 200


def test_a_full_disk_stops_what_has_to_be_written_down_and_nothing_else(tmp_path: Path) -> None:
    with a_trial_apart(tmp_path) as (trial, served):
        before, (_, most) = trial.tokens(), resource.getrlimit(resource.RLIMIT_FSIZE)
        # No file can be written to beyond its first bytes any more, which a database takes for a full disk.
        resource.prlimit(served.pid, resource.RLIMIT_FSIZE, (64, most))

        assert trial.ask("/custom/teams").status_code == 200
        assert trial.people().status_code == 200
        assert told(trial.mint()) == AWAY
        assert told(trial.grant()) == AWAY
        assert trial.granted() == 0, "sent, though it could not be written down"

        resource.prlimit(served.pid, resource.RLIMIT_FSIZE, (most, most))
        assert trial.tokens() == before
        assert trial.mint().status_code in {200, 201}
        assert trial.grant().status_code == 200


@pytest.fixture
def vanishing() -> Iterator[Vanishing]:
    server = Vanishing()
    yield server
    server.remove()


def test_a_database_that_is_gone_for_a_while_is_found_again(tmp_path: Path, vanishing: Vanishing) -> None:
    asyncio.run(Database(vanishing.url).migrate())
    with a_trial(tmp_path, vanishing.url) as trial:
        vanishing.go()

        assert trial.http.get("/healthz").status_code == 200
        assert trial.http.get("/readyz").status_code == 503
        assert told(trial.grant()) == AWAY
        assert told(trial.mint()) == AWAY
        until(lambda: trial.ask("/custom/teams").status_code == 503, "the end of what is remembered of callers")
        assert told(trial.ask("/custom/teams")) == AWAY
        assert told(trial.people()) == AWAY

        vanishing.come_back()
        assert trial.granted() == 0
        assert trial.grant().status_code == 200
        assert trial.granted() == 1
