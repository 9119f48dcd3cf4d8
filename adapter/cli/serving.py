"""`adapter serve`: what could keep the adapter from working is found before the server starts, then granian serves."""

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import structlog
import typer

from adapter.cli.console import examples
from adapter.cli.processes import (
    STOP_SECONDS,
    follow_parent,
    open_many_files,
    take_turns_on_one_core,
    url_of,
    usable_port,
)
from adapter.errors import AdapterError, ConfigError, StartupError

if TYPE_CHECKING:  # they take a second to import, which --help need not wait for
    from starlette.types import ASGIApp

    from adapter.config import Settings

_EVERYWHERE = "0.0.0.0"  # noqa: S104  # a dyno's router comes from outside
_CONNECTIONS = 8192
"""For each worker, idle ones included: granian lets no more in than its backlog, divided among the workers, and whoever
comes after waits in silence until an idle one ends.
"""
_LOGS: Mapping[str, Any] = {
    "formatters": {},
    "handlers": {"ours": {"class": "adapter.cli.serving.IntoOurLogs"}},
    "loggers": {"_granian": {"handlers": ["ours"], "propagate": False}},
}

_ENDED_AGAIN = (
    "A server process ended again within seconds of its start. If no line above says why, it was most likely killed "
    "for its memory: serve with fewer --workers, or give them more of it."
)

_log = structlog.get_logger("adapter.serve")


def register(app: typer.Typer) -> None:
    app.command("serve", epilog=examples("adapter serve --port 9000", "PORT=9000 LOG_FORMAT=json adapter serve"))(serve)


def serve(
    host: Annotated[
        str | None, typer.Option(envvar="HOST", help="The address to listen on: 127.0.0.1, or on a dyno 0.0.0.0.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(envvar="PORT", min=0, max=65535, help="8080 by default; 0: any that is free.")
    ] = None,
    # Not WEB_CONCURRENCY, which Heroku sets by itself: each worker gathers a directory of its own.
    workers: Annotated[int, typer.Option(envvar="ADAPTER_WORKERS", min=1, max=64, help="Processes that serve.")] = 1,
    public_url: Annotated[
        str | None, typer.Option(envvar="PUBLIC_URL", help="What callers see; links are built from it.")
    ] = None,
    heroku_api_url: Annotated[
        str | None, typer.Option(envvar="HEROKU_API_URL", help="Another Heroku than the real one, like a sandbox.")
    ] = None,
    mappings_dir: Annotated[
        str | None, typer.Option(envvar="MAPPINGS_DIR", help="Overrides, laid over the shipped mapping files.")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(envvar="LOG_LEVEL", help="debug, info, warning or error; info by default.")
    ] = None,
    log_format: Annotated[
        str | None, typer.Option(envvar="LOG_FORMAT", help="json, console or auto: console in a terminal.")
    ] = None,
) -> None:
    """Serve the adapter's HTTP API until SIGINT or SIGTERM, then finish what is under way.

    DATABASE_URL and ADAPTER_SECRET_KEYS hold secrets, so they have no flag: they come from the environment alone.
    Bad mapping files, keys, or database: refused before anything is served, with exit code 2.
    """
    from adapter import logs
    from adapter.config import load

    settings = load(
        host=host or (_EVERYWHERE if os.environ.get("DYNO") else None),
        port=port,
        public_url=public_url,
        heroku_api_url=heroku_api_url,
        mappings_dir=mappings_dir,
        log_level=log_level,
        log_format=log_format,
    )
    logs.configure(settings.log_level, settings.log_format)
    refuse_to_share(settings, workers)
    settings = on_usable_port(settings, public_url)
    asyncio.run(preflight(settings))
    serve_until_stopped(settings, workers=workers)


def refuse_to_share(settings: "Settings", workers: int) -> None:
    """ConfigError for several processes on SQLite: what keeps them from doing things twice is PostgreSQL's."""
    from adapter.storage import address

    if workers > 1 and address.parse(settings.database_url).dialect == "sqlite":
        raise ConfigError(
            f"--workers {workers} needs PostgreSQL: SQLite serves one process. Set DATABASE_URL, or serve with one."
        )


def on_usable_port(settings: "Settings", public_url: str | None = None) -> "Settings":
    """The settings with a port that can be had; ConfigError where it can't."""
    port = usable_port(settings.host, settings.port, "--port")
    chosen = public_url or os.environ.get("PUBLIC_URL") or url_of(settings.host, port)
    return msgspec.structs.replace(settings, port=port, public_url=chosen)


async def preflight(settings: "Settings") -> None:
    """StartupError for whatever would keep every request from being answered: mapping files, database, keys.

    What it opens it closes: a forked worker would share the sockets.
    """
    from adapter.app import PROVIDER, declarations, mapping_dirs
    from adapter.storage.database import Database
    from adapter.storage.vault import load_vault
    from adapter.web.connect_words import load_words

    declarations(settings)
    load_words(mapping_dirs(settings), PROVIDER)
    try:
        async with Database(settings.database_url) as database:
            await database.ensure_schema()
    except StartupError:
        raise
    except AdapterError as error:
        raise StartupError(f"{error.message} DATABASE_URL says where it is.") from error
    load_vault(settings)


def serve_until_stopped(settings: "Settings", *, workers: int = 1) -> None:
    """Serve in worker processes, which take their settings from the environment. StartupError where they can't."""
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces
    from granian.log import LogLevels

    os.environ |= _as_environment(settings)
    server = Granian(
        "adapter.cli.serving:worker",
        factory=True,
        interface=Interfaces.ASGI,
        address=settings.host,
        port=settings.port,
        workers=workers,
        backpressure=_CONNECTIONS,
        http=HTTPModes.http1,
        websockets=False,
        # One that was killed takes no other's streams with it; one that ends again within seconds ends the server.
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
        log_level=LogLevels.warning,
        log_dictconfig={**_LOGS},
    )
    server.respawned_wrks = _Remembered()
    _log.info("serving", url=settings.public_url, host=settings.host, port=settings.port, workers=workers)
    try:
        server.serve()
    except SystemExit:
        # A terminal's Ctrl-C reaches the workers too; one that is quicker than this process did not fail.
        if not server.interrupt_signal:
            raise StartupError(_ENDED_AGAIN) from None
    _log.info("stopped")


class _Remembered(dict[int, float]):
    """When each worker was last started in place of one that had ended.

    The server empties this for every such worker, and so would take several that end in turn for none that ends again:
    they would be replaced for ever.
    """

    def clear(self) -> None:
        """Nothing is forgotten."""


def worker() -> "ASGIApp":
    """What a worker process serves."""
    from adapter import logs
    from adapter.app import create_app
    from adapter.config import load

    follow_parent()
    open_many_files()
    take_turns_on_one_core()
    settings = load()
    logs.configure(settings.log_level, settings.log_format)
    return create_app(settings)


class IntoOurLogs(logging.Handler):
    """The server's own warnings, in the form of our logs."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        structlog.get_logger("adapter.serve").log(
            record.levelno, record.getMessage(), **({"error": repr(error)} if error else {})
        )


def _as_environment(settings: "Settings") -> dict[str, str]:
    return {name.upper(): str(value) for name, value in msgspec.structs.asdict(settings).items() if value != ""}
