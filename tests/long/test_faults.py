"""The short form of `python -m tests.long faults`: what only an adapter under load shows, on each database."""

from pathlib import Path

import pytest

from tests.long.faults import Found, faults


@pytest.mark.parametrize(
    ("engine", "strikes"), [("sqlite", ["full", "lost_after_all"]), ("postgresql", ["disconnected", "clock"])]
)
def test_an_adapter_that_is_struck_under_load_loses_nothing(engine: str, strikes: list[str], tmp_path: Path) -> None:
    found = Found()
    with faults(tmp_path, engine, seed=3, found=found) as trial:
        for name in strikes:
            trial.run(name)

    assert found.struck.total() == len(strikes)
    assert found.operations["succeeded"] > 0
