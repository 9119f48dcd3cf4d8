"""Databases for every test that stores something, always on SQLite and on PostgreSQL; and logs that no test leaves
other than it found them.
"""

import asyncio
import logging
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from adapter import logs
from adapter.storage.database import Database
from tests.storage.servers import PostgresServer, name_of

# How long an example takes says more of the machine than of the code.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

_Logger = type(structlog.get_logger())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A module's tests run in one process, unless their group spans several: what they share is then made once."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(autouse=True)
def _logs_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever configures logs does so for the whole process, and what it keeps silent the next test would miss."""
    root = logging.getLogger()
    level, handlers = root.level, [*root.handlers]
    monkeypatch.setattr(logs, "_access", logs._access)
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
        root.setLevel(level)
        root.handlers[:] = handlers
        _forget_what_loggers_keep()


def _forget_what_loggers_keep() -> None:
    """A logger's first line fixes how it says all the others (`cache_logger_on_first_use`)."""
    ours = [vars(module) for name, module in [*sys.modules.items()] if name.partition(".")[0] == "adapter"]
    for logger in (value for names in ours for value in names.values() if isinstance(value, _Logger)):
        vars(logger).pop("bind", None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgresServer) -> str:
    """The name of a migrated database, to make copies of."""
    url = postgres.create()
    asyncio.run(Database(url).migrate())
    return name_of(url)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "migrated.db"
    asyncio.run(Database(f"sqlite:///{path}").migrate())
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def empty_database_url(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables, on each engine."""
    if dialect == "sqlite":
        yield f"sqlite:///{tmp_path / 'adapter.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.create()
    yield url
    server.drop(url)


@pytest.fixture
def database_url(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated, empty database, on each engine."""
    if dialect == "sqlite":
        path = tmp_path / "adapter.db"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        yield f"sqlite:///{path}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.create(template=request.getfixturevalue("migrated_postgres"))
    yield url
    server.drop(url)


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[str]:
    """A migrated, empty database on PostgreSQL, for what several processes do."""
    url = postgres.create(template=request.getfixturevalue("migrated_postgres"))
    yield url
    postgres.drop(url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url) as opened:
        yield opened
