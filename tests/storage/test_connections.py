"""What becomes of a connection whose caller is cancelled: it is the pool's again before the caller ends."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.util import await_only

from adapter.errors import StorageUnavailable
from adapter.storage import database as database_module
from adapter.storage.database import Database
from adapter.storage.gate import Gate
from adapter.storage.tables import TOKENS

_TOKEN = {"id": "t", "hash": b"", "kind": "api", "scopes": [], "created_at": datetime.now(UTC)}


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
    """A new connection whose caller is cancelled at that moment; those there are must be in use."""
    doorway = Doorway(database, moment)
    reading = asyncio.create_task(_read(database))
    await doorway.reached.wait()
    reading.cancel()
    return doorway, reading


@pytest.mark.parametrize("moment", ["connect", "reset"])
async def test_a_caller_who_is_cancelled_leaves_no_connection_behind(database: Database, moment: str) -> None:
    async with database.read():
        doorway, reading = await _left(database, moment)
        assert not (await asyncio.wait({reading}, timeout=0.1))[0]
        doorway.on.set()
        await asyncio.wait({reading})

        assert reading.cancelled()
        assert doorway.back.is_set()
    await database.close()

    (opened,) = doorway.opened
    assert opened in doorway.closed


async def test_a_connection_whose_caller_has_gone_serves_the_next(database: Database) -> None:
    async with database.read():
        doorway, reading = await _left(database, "connect")
        doorway.on.set()
        await asyncio.wait({reading})

        await _read(database)

    assert len(doorway.opened) == 1


async def test_what_is_being_written_is_kept_though_the_database_is_closed(database: Database) -> None:
    writing, on = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        async with database.write() as connection:
            await connection.execute(TOKENS.insert().values(_TOKEN))
            writing.set()
            await on.wait()

    written = asyncio.create_task(write())
    await writing.wait()
    closing = asyncio.create_task(database.close())
    assert not (await asyncio.wait({closing}, timeout=0.1))[0]
    with pytest.raises(StorageUnavailable):
        await _read(database)
    on.set()
    await asyncio.gather(written, closing)

    async with database, database.read() as connection:
        assert (await connection.execute(sa.select(TOKENS.c.id))).scalars().all() == [_TOKEN["id"]]


async def test_a_closing_that_is_cancelled_leaves_no_idle_connection_open(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cancelled(*_: object) -> None:
        raise asyncio.CancelledError

    doorway = Doorway(database, "checkin")
    doorway.on.set()
    await asyncio.gather(*(_read(database) for _ in range(3)))
    monkeypatch.setattr(Gate, "emptied", cancelled)

    with pytest.raises(asyncio.CancelledError):
        await database.close()

    assert doorway.opened
    assert {*map(id, doorway.opened)} <= {*map(id, doorway.closed)}


async def test_whoever_is_cancelled_does_not_wait_for_a_server_that_never_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database_module, "_OPENING_SECONDS", 0.1)
    called, over = asyncio.Event(), asyncio.Event()

    async def silence(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.set()
        await over.wait()
        writer.close()

    async with await asyncio.start_server(silence, "127.0.0.1") as server:
        host, port = server.sockets[0].getsockname()
        database = Database(f"postgresql://u@{host}:{port}/d?sslmode=disable")
        opening = asyncio.create_task(database.open())
        await called.wait()
        opening.cancel()

        await asyncio.wait({opening}, timeout=10)
        await database.close()
        over.set()

    assert opening.cancelled()
