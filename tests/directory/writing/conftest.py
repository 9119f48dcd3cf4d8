from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapter.directory.writing.service import Writes
from adapter.storage.database import Database
from tests.directory.writing.offices import Office, add_account, writes_of


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path / "office")


@pytest.fixture
async def writes(database: Database, office: Office) -> AsyncIterator[Writes]:
    await add_account(database)
    made = writes_of(database, office)
    yield made
    await made.close()
