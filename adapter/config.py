"""The settings: read once, here, from the environment; documented like an API in the README.

Each field's environment name is its own in capitals; `SETTINGS` lists them with their help for `--help` and the docs.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import platformdirs

from adapter.errors import ConfigError

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


def data_dir() -> Path:
    """Where the embedded database and its key stand unless `DATABASE_URL` says otherwise."""
    return Path(platformdirs.user_data_dir("unified-directory-adapter", appauthor=False))


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One deployment's settings. Times are in seconds, sizes in bytes."""

    database_url: str = ""
    """`sqlite:///path`, `postgres://…` or `postgresql://…`; empty: a file in the platform's data directory."""
    adapter_secret_keys: str = ""
    """Secrets of 32 characters or more, comma-separated; the first seals, all open."""
    heroku_api_url: str = ""
    """Overrides the provider file's API address, to point at a sandbox."""
    mappings_dir: str = ""
    """A directory of overrides, laid over the shipped mapping files field by field."""
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8080
    public_url: str = ""
    """What browsers and callers see; links are built from it, never from the `Host` header."""
    directory_max_age: Seconds = 60.0
    """How old a unified answer may be unless the caller asks otherwise."""
    directory_wait: Seconds = 20.0
    """How long a first list waits for its gather before it answers 503."""
    directory_reserve: Annotated[int, msgspec.Meta(ge=0)] = 500
    """Upstream requests of an account that a gather leaves to others."""
    upstream_concurrency: Count = 32
    """Requests at a time to the provider, for each provider account."""
    upstream_timeout: Seconds = 30.0
    """How long the provider may take for an answer."""
    max_body_bytes: Count = 10 * 1024 * 1024
    """The largest request body outside the streaming doors."""
    max_query_bytes: Count = 16 * 1024
    max_header_bytes: Count = 32 * 1024
    log_level: str = "info"
    log_format: Literal["auto", "json", "console"] = "auto"
    """`json`, `console`, or `auto`: readable in a terminal, JSON elsewhere."""


SETTINGS: tuple[str, ...] = tuple(name.upper() for name in Settings.__struct_fields__)


def load(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Settings from the environment, with what a command's flags override; ConfigError names the bad one."""
    env = os.environ if environ is None else environ
    raw: dict[str, Any] = {name.lower(): env[name] for name in SETTINGS if env.get(name, "").strip()}
    raw |= {name: value for name, value in overrides.items() if value is not None}
    for name, value in raw.items():
        _check(name, value)
    return _defaults(msgspec.convert(raw, Settings, strict=False), env)


def _check(name: str, value: Any) -> None:
    """Decode one setting alone, so that the message names its variable and never shows its value."""
    try:
        msgspec.convert({name: value}, Settings, strict=False)
    except msgspec.ValidationError as error:
        reason = str(error).split(" - at ")[0]
        raise ConfigError(f"{name.upper()} can't be used: {reason}.") from None


def _defaults(settings: Settings, env: Mapping[str, str]) -> Settings:
    if not settings.database_url:
        if env.get("DYNO"):
            raise ConfigError(
                "DATABASE_URL is not set, and files on a dyno don't last: add Heroku Postgres "
                "(`heroku addons:create heroku-postgresql`), which sets it."
            )
        path = data_dir() / "adapter.db"
        settings = msgspec.structs.replace(settings, database_url=f"sqlite:///{path}")
    elif settings.database_url.startswith("sqlite:") and env.get("DYNO"):
        raise ConfigError("DATABASE_URL names SQLite, and files on a dyno don't last: use PostgreSQL.")
    if not settings.public_url:
        settings = msgspec.structs.replace(settings, public_url=f"http://{settings.host}:{settings.port}")
    return settings
