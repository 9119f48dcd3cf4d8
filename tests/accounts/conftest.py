from collections.abc import AsyncIterator

import pytest

from adapter.storage.database import Database
from tests.accounts.fakes import FakeProvider, House, a_provider


@pytest.fixture
def provider() -> FakeProvider:
    return a_provider()


@pytest.fixture
async def house(database: Database, provider: FakeProvider) -> AsyncIterator[House]:
    house = House(database, provider)
    yield house
    await house.close()


@pytest.fixture
async def second_house(database: Database, provider: FakeProvider) -> AsyncIterator[House]:
    """Another process on the same database."""
    house = House(database, provider)
    yield house
    await house.close()
