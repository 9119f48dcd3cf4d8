"""A provider that records, and a house before it, both on real sockets."""

from collections.abc import AsyncIterator

import pytest

from tests.upstream.recording import Recorder
from tests.web.house import House


@pytest.fixture
async def provider() -> AsyncIterator[Recorder]:
    async with Recorder().running() as recorder:
        yield recorder


@pytest.fixture
async def house(provider: Recorder) -> AsyncIterator[House]:
    async with House(provider.url, timeout=2).served() as served:
        yield served
