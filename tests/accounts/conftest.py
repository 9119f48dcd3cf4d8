from collections.abc import AsyncIterator

import pytest

from adapter.storage.database import Database
from tests.accounts.fakes import FakeProvider, House, Key


@pytest.fixture
def provider() -> FakeProvider:
    provider = FakeProvider()
    provider.keys = {
        "fake-ann": Key(owner="ann"),
        "fake-ann-2": Key(owner="ann"),
        "fake-bob": Key(owner="bob"),
        "fake-read": Key(owner="ann", scopes="read"),
        "fake-identity": Key(owner="ann", scopes="identity"),
        "fake-write-protected": Key(owner="ann", scopes="write-protected"),
        "fake-suspended": Key(owner="eve", error=(403, {"id": "suspended", "message": "Your account is suspended."})),
    }
    return provider


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
