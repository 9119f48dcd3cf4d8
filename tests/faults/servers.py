"""Servers as people run them: `adapter serve` itself, and a PostgreSQL that goes away and comes back."""

import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from adapter.config import Settings
from tests.cli.running import PATIENCE, Running, clean_environment, until
from tests.storage.servers import get_server


class Real:
    """A server that answers; its log is in a file, for nobody reads it while it is asked."""

    def __init__(self, url: str, running: Running, log: Path) -> None:
        self.url = url
        self._process = running.process
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    def terminate(self) -> None:
        """As whoever runs it asks it to end."""
        self._process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """Its exit code, once it has one."""
        return self._process.wait(PATIENCE)

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")


@contextmanager
def real(settings: Settings, where: Path) -> Iterator[Real]:
    """Serving by these settings until the end of the `with`, and not beyond; `where` is a directory for its log."""
    env = clean_environment(
        DATABASE_URL=settings.database_url,
        ADAPTER_SECRET_KEYS=settings.adapter_secret_keys,
        HEROKU_API_URL=settings.heroku_api_url,
        UPSTREAM_TIMEOUT=str(settings.upstream_timeout),
        HOST=settings.host,
        PORT=str(settings.port),
        LOG_FORMAT="json",
        LOG_LEVEL="warning",
    )
    log, url = where / "adapter.log", f"http://{settings.host}:{settings.port}"
    with (
        log.open("a", encoding="utf-8") as errors,
        httpx.Client(base_url=url, trust_env=False) as http,
        Running("serve", env=env, stdout=subprocess.DEVNULL, stderr=errors) as running,
    ):
        until(lambda: running.process.poll() is not None or _answers(http), "an answer")
        assert running.process.poll() is None, log.read_text(encoding="utf-8")
        yield Real(url, running, log)


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


class Vanishing:
    """A server of its own, since others would miss the shared one."""

    def __init__(self) -> None:
        # Short, for a socket's path is limited.
        self._server: Any = get_server(Path(tempfile.gettempdir()) / f"gone-{uuid4().hex[:8]}", cleanup_mode="delete")

    @property
    def url(self) -> str:
        return str(self._server.get_uri())

    @property
    def pid(self) -> int:
        return int(self._server.get_pid())

    def disconnect(self) -> None:
        """Every connection is ended, and whoever comes again is let in."""
        everybody = "backend_type = 'client backend' AND pid <> pg_backend_pid()"
        self._server.psql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {everybody};")  # noqa: S608  # our own words

    def go(self) -> None:
        """Every connection is ended, and nobody listens."""
        self._server.stop()

    def come_back(self) -> None:
        self._server.ensure_postgres_running()

    def remove(self) -> None:
        self.come_back()
        self._server.cleanup()
