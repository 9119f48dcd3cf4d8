from collections.abc import Iterator

import pytest

from adapter.sandbox import RunningSandbox
from tests.contract.asking import Asked
from tests.e2e.serving import serving


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """The adapter before the seeded default world, with an account to read and one to change."""
    with RunningSandbox() as sandbox, serving(sandbox, tmp_path_factory.mktemp("adapter")) as running:
        yield Asked.of(running)
