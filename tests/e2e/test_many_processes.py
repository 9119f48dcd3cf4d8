"""The workers of one server behave as one: the short form of `python -m tests.long many-processes`."""

from collections.abc import Iterator

import pytest

from adapter.sandbox import SeedOptions
from tests.long.many import sharing, writing
from tests.long.many.load import HEROKU
from tests.long.many.trial import Trial, trial
from tests.storage.servers import PostgresServer

# One server for all of them.
pytestmark = pytest.mark.xdist_group("many_processes")

WORLD = SeedOptions(teams=12, members=40, apps=12)


@pytest.fixture(scope="module")
def workers(
    postgres: PostgresServer, migrated_postgres: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Trial]:
    url = postgres.create(template=migrated_postgres)
    directory = tmp_path_factory.mktemp("workers")
    with trial("workers", 2, url, 1, directory, world=WORLD, old_s=1) as made:
        yield made
        assert made.fleet.log() == [], "an error was logged"
    postgres.drop(url)


def test_connections_reach_every_worker(workers: Trial) -> None:
    answers = workers.fleet.at_once(2, lambda line: workers.get(line, "/custom/account", headers=HEROKU).status)

    assert len({pid for pid, _ in answers}) == 2
    assert {status for _, status in answers} == {200}


def test_they_leave_the_reserve_of_one_budget_to_others(workers: Trial) -> None:
    assert sharing.keeps_the_reserve(workers)


def test_each_stops_letting_in_whoever_was_shut_out_through_another(workers: Trial) -> None:
    assert sharing.forgets_in_time(workers)


def test_one_key_sent_to_all_at_once_is_one_write_and_one_answer(workers: Trial) -> None:
    assert writing.writes_once(workers)


def test_each_shows_at_once_what_was_written_through_another(workers: Trial) -> None:
    assert writing.reads_what_was_written(workers)


def test_of_several_who_resume_an_operation_one_does(workers: Trial) -> None:
    assert writing.resumes_elsewhere(workers)
