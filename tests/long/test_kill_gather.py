"""The short form of `python -m tests.long kill-gather`."""

from tests.long.kill_gather import trial


def test_an_adapter_that_is_killed_in_the_middle_of_a_gather_leaves_whole_units(empty_database_url: str) -> None:
    with trial(empty_database_url, seed=7) as killing:
        for _ in range(2):
            killing.run()

    assert killing.units_checked > 100
