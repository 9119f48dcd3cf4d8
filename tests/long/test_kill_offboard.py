"""The short form of `python -m tests.long kill-offboard`."""

from tests.long.kill_offboard import trial


def test_an_adapter_that_is_killed_in_the_middle_of_a_write_tells_what_became_of_it(empty_database_url: str) -> None:
    with trial(empty_database_url, seed=5) as killing:
        for number in range(2):
            killing.run(number)

    assert killing.killed_midway > 0
    assert killing.operations == 3
