"""The database's clock: the one that all processes on it share."""

from typing import Literal

import msgspec
import sqlalchemy as sa

# Seconds since the epoch. On PostgreSQL `now()` would stand still within a transaction.
_NOW = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "(extract(epoch from clock_timestamp())::double precision)",
}


class In(msgspec.Struct, frozen=True):
    """A moment so many seconds from now, for a column."""

    seconds: float = 0.0


def database_now(dialect: Literal["sqlite", "postgresql"]) -> sa.ColumnElement[float]:
    """An expression for the present moment."""
    return sa.literal_column(_NOW[dialect], sa.Double)
