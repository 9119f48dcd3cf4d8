"""`DATABASE_URL` understood: Heroku's spelling and libpq's `sslmode` turned into what SQLAlchemy and the drivers take.

Pure. No message shows the address, which holds a password.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import sqlalchemy as sa

from adapter.errors import ConfigError

Dialect = Literal["sqlite", "postgresql"]
SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

_SSL_MODES: tuple[str, ...] = get_args(SslMode)
_SCHEMES: Mapping[str, Dialect] = {
    "sqlite": "sqlite",
    "sqlite+aiosqlite": "sqlite",
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "postgresql+asyncpg": "postgresql",
}
_POSTGRES_WORDS = ("application_name", "connect_timeout", "host", "sslmode", "sslrootcert")
_CONNECT_TIMEOUT = 10.0


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where the database is. Its repr shows no password."""

    dialect: Dialect
    url: sa.URL
    """For SQLAlchemy, with the driver named and the query taken out."""
    options: dict[str, Any] = {}
    """What the driver's `connect` takes besides."""

    @property
    def path(self) -> Path | None:
        """The SQLite file; None on PostgreSQL."""
        return Path(self.url.database or "") if self.dialect == "sqlite" else None

    def __repr__(self) -> str:
        return f"Address({self.url.render_as_string(hide_password=True)!r})"


def parse(database_url: str) -> Address:
    """The address that a `DATABASE_URL` names; ConfigError says what is wrong with it, and never quotes it."""
    if not database_url.isprintable() or "%00" in database_url:
        raise ConfigError("DATABASE_URL holds a control character.")
    scheme = database_url.partition("://")[0].lower()
    dialect = _SCHEMES.get(scheme) if "://" in database_url else None
    if dialect is None:
        raise ConfigError("DATABASE_URL is none of sqlite:///path, postgres://… and postgresql://….")
    try:
        url = sa.make_url(database_url)
    except (sa.exc.ArgumentError, ValueError):
        # The library's message would quote the address; a password with a bare `/` or `@` is the usual cause.
        raise ConfigError("DATABASE_URL can't be read; percent-encode what is special in the password.") from None
    return _sqlite(url) if dialect == "sqlite" else _postgresql(url)


def _sqlite(url: sa.URL) -> Address:
    if url.host or url.username or url.query:
        raise ConfigError("DATABASE_URL for SQLite is sqlite:///path, with three slashes and no query.")
    if not url.database or url.database == ":memory:":
        raise ConfigError("DATABASE_URL names no file, and a database in memory would not last: use sqlite:///path.")
    return Address(dialect="sqlite", url=url.set(drivername="sqlite+aiosqlite"))


def _postgresql(url: sa.URL) -> Address:
    query = {word: _single(word, value) for word, value in url.query.items()}
    for word in query:
        if word not in _POSTGRES_WORDS:
            raise ConfigError(f"DATABASE_URL has the unknown word {word!r}; known: {', '.join(_POSTGRES_WORDS)}.")
    if not url.database:
        raise ConfigError("DATABASE_URL names no database after the host.")
    if not (url.host or query.get("host")):
        raise ConfigError("DATABASE_URL names no host.")
    bare = url.set(drivername="postgresql+asyncpg", query={})
    return Address(dialect="postgresql", url=bare, options=_postgresql_options(query))


def _single(word: str, value: str | tuple[str, ...]) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"DATABASE_URL has {word!r} more than once.")
    return value


def _postgresql_options(query: Mapping[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {
        "ssl": _ssl(query.get("sslmode", "prefer"), query.get("sslrootcert")),
        "timeout": _timeout(query.get("connect_timeout")),
        "server_settings": {"application_name": query.get("application_name", "unified-directory-adapter")},
    }
    return options | ({"host": query["host"]} if "host" in query else {})


def _timeout(given: str | None) -> float:
    if given is None:
        return _CONNECT_TIMEOUT
    if not (given.isascii() and given.isdigit() and int(given)):
        raise ConfigError("DATABASE_URL has a connect_timeout that is not a number of seconds above 0.")
    return float(given)


def _ssl(mode: str, root: str | None) -> str | ssl.SSLContext:
    """As libpq means it: `require` encrypts without asking who is there, `verify-full` proves the host's name.

    https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION. Without `sslrootcert` the verifying
    modes trust the system's authorities, where libpq would look for a file in the home directory.
    """
    if mode not in _SSL_MODES:
        raise ConfigError(f"DATABASE_URL has an unknown sslmode; known: {', '.join(_SSL_MODES)}.")
    if not mode.startswith("verify-"):
        return mode
    try:
        context = ssl.create_default_context(cafile=None if root in {None, "system"} else root)
    except OSError:
        raise ConfigError("DATABASE_URL names an sslrootcert that can't be read.") from None
    context.check_hostname = mode == "verify-full"
    return context
