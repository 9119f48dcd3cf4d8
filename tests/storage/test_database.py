import asyncio
import sqlite3
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from adapter.errors import ConfigError, StorageUnavailable
from adapter.storage import database as database_module
from adapter.storage import schema
from adapter.storage.database import _MIGRATION_LOCK, Database, translated
from adapter.storage.tables import METADATA, TOKENS
from tests.storage.servers import PostgresServer

_MIGRATE = (
    "import asyncio, sys; from adapter.storage.database import Database as D; asyncio.run(D(sys.argv[1]).migrate())"
)


async def test_a_new_database_is_empty_and_then_current(empty_database_url: str) -> None:
    async with Database(empty_database_url) as database:
        before = await database.schema_state()
        await database.migrate()

        assert (before, await database.schema_state()) == ("empty", "current")


async def test_migrating_twice_changes_nothing(database: Database) -> None:
    await database.migrate()

    assert await database.schema_state() == "current"


async def test_the_migrations_lead_to_the_tables_that_the_code_reads(database: Database) -> None:
    def difference(connection: sa.Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), METADATA))

    async with database.read() as connection:
        assert await connection.run_sync(difference) == []


async def test_processes_that_migrate_at_once_do_it_one_after_the_other(empty_database_url: str) -> None:
    runs = [await asyncio.create_subprocess_exec(sys.executable, "-c", _MIGRATE, empty_database_url) for _ in range(3)]

    assert [await run.wait() for run in runs] == [0, 0, 0]
    async with Database(empty_database_url) as database:
        assert await database.schema_state() == "current"


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)  # SQLite's own write lock does it there
async def test_a_migration_waits_for_one_that_is_under_way(database: Database) -> None:
    waiting = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    async with database.write() as other:
        await other.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
        migration = asyncio.create_task(database.migrate())
        async with asyncio.timeout(20):
            while not (await other.execute(waiting)).scalar_one():
                assert not migration.done()

    await migration
    assert await database.schema_state() == "current"


async def test_a_migration_that_fails_leaves_nothing_behind(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = schema.upgrade

    def upgrade_and_crash(connection: sa.Connection) -> None:
        upgrade(connection)
        raise RuntimeError("the power went")

    monkeypatch.setattr(schema, "upgrade", upgrade_and_crash)
    async with Database(empty_database_url) as database:
        with pytest.raises(RuntimeError, match="the power went"):
            await database.migrate()

        assert await database.schema_state() == "empty"
        async with database.read() as connection:
            assert await connection.run_sync(lambda plain: sa.inspect(plain).get_table_names()) == []


@pytest.fixture
async def newer(database: Database) -> Database:
    async with database.write() as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    return database


async def test_a_database_of_a_newer_version_is_refused(newer: Database) -> None:
    assert await newer.schema_state() == "ahead"
    for refused in (newer.migrate, newer.ensure_schema):
        with pytest.raises(ConfigError, match="newer version"):
            await refused()


async def test_serving_migrates_sqlite_and_sends_postgresql_to_the_release_phase(empty_database_url: str) -> None:
    async with Database(empty_database_url) as database:
        if database.dialect == "postgresql":
            with pytest.raises(ConfigError, match="empty: run `adapter migrate`"):
                await database.ensure_schema()
        else:
            await database.ensure_schema()

            assert await database.schema_state() == "current"


async def test_serving_finds_nothing_to_do_on_a_current_database(database: Database) -> None:
    await database.ensure_schema()

    assert await database.schema_state() == "current"


async def test_a_transaction_that_raises_leaves_nothing_behind(database: Database) -> None:
    async def crash() -> None:
        async with database.write() as connection:
            await connection.execute(sa.text("INSERT INTO alembic_version (version_num) VALUES ('half')"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await crash()

    assert await database.schema_state() == "current"


async def test_what_a_reader_writes_is_rolled_back(database: Database) -> None:
    async with database.read() as connection:
        await connection.execute(sa.text("INSERT INTO alembic_version (version_num) VALUES ('half')"))

    assert await database.schema_state() == "current"


async def test_writers_at_once_wait_for_each_other(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(sa.text("CREATE TABLE tally (n INTEGER)"))
        await connection.execute(sa.text("INSERT INTO tally VALUES (0)"))

    async def increment() -> None:
        async with database.write() as connection:
            await connection.execute(sa.text("UPDATE tally SET n = n + 1"))

    await asyncio.gather(*(increment() for _ in range(20)))

    async with database.read() as connection:
        assert (await connection.execute(sa.text("SELECT n FROM tally"))).scalar_one() == 20


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)  # PostgreSQL has locks of rows for this
async def test_who_reads_before_writing_is_not_overtaken(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(sa.text("CREATE TABLE tally (n INTEGER)"))
        await connection.execute(sa.text("INSERT INTO tally VALUES (0)"))

    async def increment() -> None:
        async with database.write() as connection:
            n = (await connection.execute(sa.text("SELECT n FROM tally"))).scalar_one()
            await connection.execute(sa.text("UPDATE tally SET n = :n"), {"n": n + 1})

    await asyncio.gather(*(increment() for _ in range(10)))

    async with database.read() as connection:
        assert (await connection.execute(sa.text("SELECT n FROM tally"))).scalar_one() == 10


async def test_writers_on_sqlite_take_turns_however_long_it_takes_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_BUSY_SECONDS", 0.2)
    order: list[int] = []

    async with Database(f"sqlite:///{tmp_path / 'adapter.db'}") as database:

        async def write(number: int) -> None:
            async with database.write() as connection:
                await connection.execute(sa.text("CREATE TABLE IF NOT EXISTS tally (n INTEGER)"))
                await asyncio.sleep(0.03)
                order.append(number)

        await asyncio.gather(*map(write, range(30)))

    assert order == list(range(30))


async def test_a_sqlite_file_is_its_owner_s_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "adapter.db"

    async with Database(f"sqlite:///{path}"):
        pass

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_migrating_makes_a_missing_folder_too(tmp_path: Path) -> None:
    path = tmp_path / "new" / "adapter.db"

    await Database(f"sqlite:///{path}").migrate()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_sqlite_path_that_can_t_be_opened_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match="can't be opened"):
        await Database(f"sqlite:///{tmp_path}/file/adapter.db").open()


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "adapter.db"
    path.write_bytes(b"not a database, but long enough to be taken for one" * 100)

    with pytest.raises(StorageUnavailable):
        async with Database(f"sqlite:///{path}"):
            pass


async def test_a_closed_database_says_so() -> None:
    with pytest.raises(StorageUnavailable, match="not open"):
        await Database("sqlite:///never.db").ping()


@pytest.fixture
def unreachable(postgres: PostgresServer, tmp_path: Path) -> Iterator[dict[str, str]]:
    url = postgres.create()
    there = url.partition("host=")[2]
    yield {
        "no server": f"postgresql://u:hunter2@/d?host={tmp_path}",
        "a closed port": "postgresql://u:hunter2@127.0.0.1:1/d",
        "no such database": f"postgresql://postgres:hunter2@/nowhere?host={there}",
        "no such user": f"postgresql://nobody:hunter2@/postgres?host={there}",
    }
    postgres.drop(url)


@pytest.mark.parametrize("case", ["no server", "a closed port", "no such database", "no such user"])
async def test_a_server_that_can_t_be_used_is_unavailable(unreachable: dict[str, str], case: str) -> None:
    with pytest.raises(StorageUnavailable) as caught:
        async with Database(unreachable[case]):
            pass

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
async def test_a_connection_cut_by_the_server_is_replaced(database: Database) -> None:
    others = sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()")

    with pytest.raises(StorageUnavailable):
        async with database.read() as connection:
            await connection.execute(others)

    await database.ping()


class NoTls(asyncio.Protocol):
    """A server that speaks no TLS, and notes what it is told nevertheless."""

    def __init__(self, heard: list[bytes]) -> None:
        self._heard = heard

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._heard.append(data)
        if data == _SSL_REQUEST:
            self._transport.write(b"N")
        else:
            self._transport.close()


_SSL_REQUEST = bytes.fromhex("0000000804d2162f")


@pytest.mark.parametrize(
    ("mode", "goes_on"), [("require", False), ("verify-ca", False), ("verify-full", False), ("prefer", True)]
)
async def test_without_tls_only_the_lenient_modes_go_on(mode: str, goes_on: bool) -> None:
    heard: list[bytes] = []
    server = await asyncio.get_running_loop().create_server(lambda: NoTls(heard), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    with pytest.raises(StorageUnavailable):
        async with Database(f"postgres://ann:hunter2@127.0.0.1:{port}/d?sslmode={mode}"):
            pass

    server.close()
    assert heard[0] == _SSL_REQUEST
    assert any(b"ann" in data for data in heard) is goes_on


FOREIGN = [
    sa.exc.OperationalError("SELECT 1", {}, Exception("gone")),
    sa.exc.InterfaceError("SELECT 1", {}, Exception("gone")),
    sa.exc.InternalError("SELECT 1", {}, Exception("gone")),
    sa.exc.DatabaseError("SELECT 1", {}, Exception("malformed")),
    sa.exc.TimeoutError(),
    sa.exc.DisconnectionError(),
    asyncpg.InterfaceError("gone"),
    asyncpg.InternalClientError("cannot switch to state 12"),
    asyncpg.PostgresConnectionError("gone"),
    asyncpg.CannotConnectNowError("starting"),
    asyncpg.InvalidPasswordError("wrong"),
    asyncpg.TooManyConnectionsError("full"),
    sqlite3.OperationalError("locked"),
    ConnectionRefusedError(),
    TimeoutError(),
    FileNotFoundError(),
]


@pytest.mark.parametrize("error", FOREIGN, ids=lambda error: type(error).__name__)
def test_every_way_not_to_answer_is_unavailable(error: Exception) -> None:
    with pytest.raises(StorageUnavailable), translated():
        raise error


BUGS = [
    KeyError(),
    sa.exc.ArgumentError(),
    sa.exc.IntegrityError("INSERT", {}, Exception("twice")),
    sa.exc.ProgrammingError("SELEKT", {}, Exception("syntax")),
    sa.exc.DataError("INSERT", {}, Exception("too long")),
]


@pytest.mark.parametrize("error", BUGS, ids=lambda error: type(error).__name__)
def test_a_bug_stays_a_bug(error: Exception) -> None:
    with pytest.raises(type(error)), translated():
        raise error


async def test_a_failing_statement_shows_no_parameter(database: Database) -> None:
    row = {"id": "t", "hash": b"hunter2", "kind": "api", "scopes": ["hunter2"], "created_at": datetime.now(UTC)}

    with pytest.raises(sa.exc.IntegrityError) as caught:
        async with database.write() as connection:
            await connection.execute(TOKENS.insert(), [row, row])

    assert "hunter2" not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)  # SQLite takes any length
async def test_a_value_that_does_not_fit_is_a_bug(database: Database) -> None:
    row = {"id": "t" * 100, "hash": b"", "kind": "api", "scopes": [], "created_at": datetime.now(UTC)}

    with pytest.raises(sa.exc.DBAPIError):
        async with database.write() as connection:
            await connection.execute(TOKENS.insert().values(row))
