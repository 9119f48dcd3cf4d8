"""How many rows each table has, and how many connections the database sees."""

import sqlalchemy as sa

from adapter.storage.database import Database
from adapter.storage.tables import METADATA

HISTORY = frozenset({"operations", "operation_steps", "operation_events", "idempotency_keys"})
"""Grow with what was written: nothing of it is taken away while its account is there, keys for 24 h."""
LISTED = frozenset({"tokens", "link_tokens", "connect_sessions"})
"""Grow with what was made: the dead stay listed for 7 days, visits for an hour."""

_BACKENDS = sa.text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


async def counted(database_url: str) -> tuple[dict[str, int], int]:
    """Rows by table, and the connections of others (0 on SQLite, which has none)."""
    async with Database(database_url) as database, database.read() as connection:
        rows = {
            name: int(await connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)
            for name, table in METADATA.tables.items()
        }
        backends = int(await connection.scalar(_BACKENDS) or 0) if database.dialect == "postgresql" else 0
    return rows, backends
