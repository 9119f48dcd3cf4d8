from collections.abc import Iterator

import pytest

from adapter.sandbox import RunningSandbox
from tests.e2e.serving import Connected, serving


@pytest.fixture(scope="module")
def connected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connected]:
    """The adapter before the seeded default world, shared by a module's tests: they only read."""
    with RunningSandbox() as sandbox, serving(sandbox, tmp_path_factory.mktemp("adapter")) as running:
        yield running
