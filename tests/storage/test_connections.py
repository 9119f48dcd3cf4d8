"""What becomes of a connection whose caller has gone: each that was opened is closed when the database is."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.util import await_only

from adapter.storage.database import Database


class Doorway:
    """Sees a database's connections come and go; the first is held at `moment` until `on` is set."""

    def __init__(self, database: Database, moment: str) -> None:
        self.reached = asyncio.Event()
        self.on = asyncio.Event()
        self.back = asyncio.Event()
        self.opened: list[Any] = []
        self.closed: list[Any] = []
        engine = database.engine.sync_engine
        sa.event.listen(engine, "connect", lambda connection, _: self.opened.append(connection), insert=True)
        sa.event.listen(engine, "close", lambda connection, _: self.closed.append(connection))
        sa.event.listen(engine, "checkin", lambda *_: self.back.set())
        sa.event.listen(engine, moment, self._hold)

    def _hold(self, *_: object) -> None:
        if self.reached.is_set():
            return
        self.reached.set()
        await_only(self.on.wait())


async def _read(database: Database) -> None:
    async with database.read() as connection:
        await connection.execute(sa.text("SELECT 1"))


async def _left(database: Database, moment: str) -> tuple[Doorway, asyncio.Task[None]]:
    """A new connection whose caller goes at that moment; those there are must be in use."""
    doorway = Doorway(database, moment)
    reading = asyncio.create_task(_read(database))
    await doorway.reached.wait()
    reading.cancel()
    return doorway, reading


@pytest.mark.parametrize("moment", ["connect", "reset"])
async def test_closing_waits_for_connections_whose_callers_have_gone(database: Database, moment: str) -> None:
    async with database.read():
        doorway, reading = await _left(database, moment)
    with pytest.raises(asyncio.CancelledError):
        await reading
    closing = asyncio.create_task(database.close())

    assert not (await asyncio.wait({closing}, timeout=0.1))[0]
    doorway.on.set()
    await closing
    (opened,) = doorway.opened
    assert opened in doorway.closed


async def test_a_connection_whose_caller_has_gone_serves_the_next(database: Database) -> None:
    async with database.read():
        doorway, reading = await _left(database, "connect")
        doorway.on.set()
        await doorway.back.wait()

        await _read(database)

    assert reading.cancelled()
    assert len(doorway.opened) == 1
