"""The settings: read once, here, from the environment; documented like an API in the README.

Each field's environment name is its own in capitals; `SETTINGS` lists them with their help for `--help` and the docs.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

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
    heroku_auth_url: str = ""
    """Overrides the provider file's address for signing in, likewise."""
    heroku_oauth_id: str = ""
    """The OAuth client's id; with `heroku_oauth_secret`, customers can connect by signing in at the provider."""
    heroku_oauth_secret: str = ""
    heroku_oauth_scope: str = ""
    """The provider's scopes to ask for, parted by spaces or commas; empty: what the provider file says."""
    adapter_redirect_uris: str = ""
    """Where the connect page may lead back to, comma-separated; compared as they stand."""
    adapter_origins: str = ""
    """The origins that the connect page may send its result to, comma-separated; compared as they stand."""
    adapter_trusted_hops: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """How many proxies in front are believed in `X-Forwarded-*`; unless set, 1 on a dyno and 0 elsewhere."""
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

    def __repr__(self) -> str:
        """The names of what is set, and no value: some are secrets, and an address may hold a password."""
        return f"Settings({', '.join(name for name in self.__struct_fields__ if getattr(self, name))})"

    @property
    def redirect_uris(self) -> frozenset[str]:
        return _listed(self.adapter_redirect_uris)

    @property
    def origins(self) -> frozenset[str]:
        return _listed(self.adapter_origins)

    @property
    def trusted_hops(self) -> int:
        return self.adapter_trusted_hops or 0


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
    if settings.public_url:
        _check_public_url(settings.public_url, settings.port)
    else:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        settings = msgspec.structs.replace(settings, public_url=f"http://{host}:{settings.port}")
    if settings.adapter_trusted_hops is None:
        # Heroku's router is the one hop that every dyno has in front, and it appends to what a client sent.
        # https://devcenter.heroku.com/articles/http-routing#heroku-headers
        settings = msgspec.structs.replace(settings, adapter_trusted_hops=1 if env.get("DYNO") else 0)
    _check_oauth(settings)
    return settings


def _check_public_url(url: str, port: int) -> None:
    """ConfigError for an address that no browser could be sent to: links, cookies and the way back are made of it.

    Port 0 is nobody's but that of a server which takes any free one, as its workers hear from it.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port != 0 or port == 0)
    except ValueError:
        usable = False
    if not usable or "@" in parts.netloc or any(sign in url for sign in "?# \t\n"):
        raise ConfigError("PUBLIC_URL can't be used: expected https://host or https://host/path, as browsers see it.")


def _check_oauth(settings: Settings) -> None:
    """ConfigError where one half of the OAuth client is missing."""
    if bool(settings.heroku_oauth_id) != bool(settings.heroku_oauth_secret):
        missing, given = "HEROKU_OAUTH_ID", "HEROKU_OAUTH_SECRET"
        if settings.heroku_oauth_id:
            missing, given = given, missing
        raise ConfigError(f"{missing} is not set, and {given} is of no use without it: set both, or neither.")


def _listed(text: str) -> frozenset[str]:
    return frozenset(item.strip() for item in text.split(",") if item.strip())
