"""One adapter behind a bad line for each module's tests: well before each of them, and after it."""

from collections.abc import Iterator

import pytest

from tests.faults.trials import Trial, a_trial


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    with a_trial(tmp_path_factory.mktemp("adapter")) as trial:
        yield trial


@pytest.fixture
def trial(shared: Trial) -> Iterator[Trial]:
    """The adapter when it is well, and that it is well again afterwards."""
    yield shared
    shared.line.trouble = None
    shared.sandbox.clear_faults()
    shared.is_well()
