"""The one way to the database: connections, transactions, the schema's state, and foreign errors translated.

SQLite runs in WAL mode with foreign keys on; a writer takes the write lock when it begins (`BEGIN IMMEDIATE`), since a
reader that turns writer halfway is refused at once when another wrote in between.
https://www.sqlite.org/isolation.html, https://www.sqlite.org/wal.html
"""

import asyncio
import os
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
    suppress,
)
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg
import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from adapter.errors import ConfigError, StorageUnavailable
from adapter.storage import address, schema
from adapter.storage.address import Address, Dialect
from adapter.storage.gate import Gate
from adapter.storage.schema import SchemaState

_BUSY_SECONDS = 10
_STATEMENT_SECONDS = 30.0
_CLOSING_SECONDS = 5.0
_OPENING_SECONDS = 1.0
"""How long whoever is cancelled waits for a connection that is being opened; a server may never answer."""
_FULL_SECONDS = (0.02, 0.1)
"""Between two attempts to get a connection where the server lets no more in."""
_POOLED = 5
"""Connections that stay open; README names them, and those in a rush."""
_IN_A_RUSH = 10
"""More that are opened while all of these are in use."""
# Any fixed number: what every process of this program that migrates one PostgreSQL database waits for.
_MIGRATION_LOCK = 0x75_64_61_5F_6D_69_67

_UNAVAILABLE: tuple[type[BaseException], ...] = (
    sa.exc.OperationalError,
    sa.exc.InterfaceError,
    sa.exc.InternalError,
    sa.exc.TimeoutError,
    sa.exc.DisconnectionError,
    asyncpg.PostgresError,  # bare while connecting only
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    sqlite3.OperationalError,
    OSError,  # TimeoutError and ConnectionError among them
)
_FOREIGN: tuple[type[BaseException], ...] = (*_UNAVAILABLE, sa.exc.DBAPIError)

_log = structlog.get_logger("adapter.storage")


class Database:
    """One database, named by a `DATABASE_URL`. `async with` opens and closes it.

    ConfigError at once for an address that can't be used; StorageUnavailable wherever the database doesn't answer.
    """

    def __init__(self, database_url: str) -> None:
        self._address = address.parse(database_url)
        self._engine: AsyncEngine | None = None
        self._gate = Gate(_POOLED + _IN_A_RUSH)
        self._turn = self._turns()

    def _turns(self) -> AbstractAsyncContextManager[object]:
        """One writer after another, in the order of asking. SQLite admits one at a time, and lets the others try again
        and again until one of them is lucky: under load somebody isn't for as long as anybody waits.
        """
        return asyncio.Lock() if self.dialect == "sqlite" else nullcontext()

    @property
    def dialect(self) -> Dialect:
        return self._address.dialect

    @property
    def path(self) -> Path | None:
        """The SQLite file; None on PostgreSQL."""
        return self._address.path

    @property
    def engine(self) -> AsyncEngine:
        if self._engine is None:
            raise StorageUnavailable("The database is not open.")
        return self._engine

    async def open(self) -> None:
        """Prepare the pool and see that the database answers; makes a missing SQLite file, readable by its owner."""
        if self._engine is None:
            self._engine = _engine(self._address, command_timeout=_STATEMENT_SECONDS)
            self._turn = self._turns()
        await self.ping()

    async def close(self) -> None:
        """What is being read or written is finished first, unless that takes seconds; nothing more is begun."""
        engine, self._engine = self._engine, None
        if engine is not None:
            try:
                await self._gate.emptied(_CLOSING_SECONDS)
            finally:
                await engine.dispose()

    async def __aenter__(self) -> Self:
        try:
            await self.open()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection with one consistent view; what it writes is rolled back."""
        with translated():
            async with self._connection() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: all of it is kept when the block ends, none of it when the block raises."""
        with translated():
            async with self._turn, self._connection() as plain:
                connection = await plain.execution_options(sqlite_begin="IMMEDIATE")
                async with connection.begin():
                    yield connection

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection of the pool; where the server lets no more in, one of ours is waited for, as long as for a lock:
        a small database allows fewer than several processes take in a rush.
        """
        until = time.monotonic() + _BUSY_SECONDS
        async with AsyncExitStack() as stack:
            while (connection := await self._entered(stack, until)) is None:
                await stack.aclose()
                await asyncio.sleep(random.uniform(*_FULL_SECONDS))  # noqa: S311  # spreads those who wait
            yield connection

    async def _entered(self, stack: AsyncExitStack, until: float) -> AsyncConnection | None:
        """A connection that the stack gives back; None where the server is full, and there is time left."""
        await self._gate.enter(until - time.monotonic())
        stack.callback(self._gate.leave)
        try:
            return await self._opened(stack)
        except _FOREIGN as error:
            if not _is_full(error) or time.monotonic() > until:
                raise
        if self._gate.narrow():
            _log.warning("database_full", waits_seconds=_BUSY_SECONDS)
        return None

    async def _opened(self, stack: AsyncExitStack) -> AsyncConnection:
        """A connection of the pool. Whoever is cancelled before it is open gives it back first: one broken off before
        it is the pool's is nobody's, and stays open until the collector comes across it.
        """
        opening = asyncio.create_task(self.engine.connect().start())
        try:
            connection = await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.wait({opening}, timeout=_OPENING_SECONDS)
            opening.cancel()
            with suppress(asyncio.CancelledError, *_FOREIGN):
                stack.push_async_exit(await opening)
            raise
        stack.push_async_exit(connection)
        return connection

    async def raw_connection(self) -> Any:
        """A connection of the PostgreSQL driver outside the pool, for what a session holds; the caller closes it."""
        url = self._address.url
        where = {"host": url.host, "port": url.port, "user": url.username, "database": url.database}
        options = {**where, "password": url.password, "command_timeout": _STATEMENT_SECONDS, **self._address.options}
        return await asyncpg.connect(**options)

    async def ping(self) -> None:
        """StorageUnavailable unless the database answers."""
        async with self.read() as connection:
            await connection.execute(sa.text("SELECT 1"))

    async def schema_state(self) -> SchemaState:
        """How the tables compare with those of this version: `empty`, `behind`, `current`, or `ahead`."""
        async with self.read() as connection:
            return await connection.run_sync(schema.state)

    async def schema_version(self) -> str | None:
        """The number of the last migration that was run here; None where none was."""
        async with self.read() as connection:
            return await connection.run_sync(schema.version)

    async def migrate(self) -> None:
        """Bring the tables to this version, in one transaction; two processes at once do it one after the other.

        ConfigError where a newer version has been here.
        """
        # Its own engine: a migration may take longer than any single statement is given otherwise.
        engine = _engine(self._address, command_timeout=None)
        try:
            with translated():
                async with engine.connect() as plain:
                    connection = await plain.execution_options(sqlite_begin="IMMEDIATE")
                    async with connection.begin():
                        await self._upgrade(connection)
        finally:
            await engine.dispose()

    async def _upgrade(self, connection: AsyncConnection) -> None:
        if self.dialect == "postgresql":
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
        if await connection.run_sync(schema.state) == "ahead":
            raise ConfigError(_AHEAD)
        await connection.run_sync(schema.upgrade)

    async def ensure_schema(self) -> None:
        """What serving begins with: SQLite is migrated on the spot; PostgreSQL must have been, by the release phase.

        ConfigError says `adapter migrate` where it has not.
        """
        state = await self.schema_state()
        if state == "ahead":
            raise ConfigError(_AHEAD)
        if state != "current" and self.dialect == "postgresql":
            raise ConfigError(f"The database's tables are {state}: run `adapter migrate` first.")
        if state != "current":
            await self.migrate()


_AHEAD = (
    "The database was made by a newer version of the adapter, which this one can't read: "
    "run that version, or restore a backup from before."
)


@contextmanager
def translated() -> Iterator[None]:
    """Foreign errors that mean that the database doesn't answer become StorageUnavailable; bugs stay what they are."""
    try:
        yield
    except _FOREIGN as error:
        if not _is_unavailable(error):
            raise
        raise StorageUnavailable from error


def _is_full(error: BaseException) -> bool:
    """Whether the server lets no more connections in, of this role or of anybody."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    return bool(getattr(cause, "sqlstate", None) == asyncpg.TooManyConnectionsError.sqlstate)


def _is_unavailable(error: BaseException) -> bool:
    if isinstance(error, _UNAVAILABLE) or not isinstance(error, sa.exc.DBAPIError):
        return True
    # The plain classes are what the drivers have no finer word for: a file that is no database, a wrong password, a
    # server that shuts down, a deadlock; and, with SQLSTATE class 22, a value that doesn't fit, which is our fault.
    # https://www.postgresql.org/docs/current/errcodes-appendix.html
    plain = type(error) in {sa.exc.DBAPIError, sa.exc.DatabaseError}
    return plain and not str(getattr(error.orig, "sqlstate", None)).startswith("22")


def _make_file(path: Path) -> None:
    """An empty file with mode 0600: SQLite would make it readable by whoever the umask lets in."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise ConfigError(f"DATABASE_URL names a file that can't be opened: {path} ({error.strerror}).") from None


def _engine(where: Address, *, command_timeout: float | None) -> AsyncEngine:
    if where.path is not None:
        _make_file(where.path)
    options: dict[str, Any] = {"timeout": _BUSY_SECONDS}
    if where.dialect == "postgresql":
        options = where.options | {"command_timeout": command_timeout}
    engine = create_async_engine(
        where.url,
        connect_args=options,
        pool_pre_ping=where.dialect == "postgresql",
        pool_size=_POOLED,
        max_overflow=_IN_A_RUSH,
        pool_timeout=_BUSY_SECONDS,
        hide_parameters=True,  # parameters are token hashes and sealed credentials
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=msgspec.json.decode,
    )
    if where.dialect == "sqlite":
        sa.event.listen(engine.sync_engine, "connect", _on_sqlite_connect)
        sa.event.listen(engine.sync_engine, "begin", _on_sqlite_begin)
    return engine


def _on_sqlite_connect(connection: Any, _record: object) -> None:
    # The driver would begin transactions late and not for DDL; with None it leaves that to `_on_sqlite_begin`.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000}")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()


def _on_sqlite_begin(connection: sa.Connection) -> None:
    kind = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {kind}")
