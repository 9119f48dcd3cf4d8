"""A credential's row while its successor is fetched, which may take seconds.

On PostgreSQL the row is locked for every other process and what follows is kept in the same transaction: who waited for
the lock finds it. A process that dies meanwhile loses its connection, and with it the lock. SQLite serves one process,
where a lock would hold up every other write: there the row is only replaced if it is still the one that was read.
https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-ROWS
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from adapter.storage.accounts import AccountStore
from adapter.storage.database import Database
from adapter.storage.tables import CREDENTIALS

_AT_ONCE = 4
"""Connections of the pool that may wait for the provider at a time."""

Replace = Callable[[bytes], Awaitable[bool]]


class Held:
    """The sealed credential, and the way to replace it."""

    def __init__(self, sealed: bytes | None, replace: Replace) -> None:
        self.sealed = sealed
        self.replace = replace
        """Put another in its place; False where it is no longer there to be replaced."""


class Renewals:
    """The rows of credentials, each held by one renewal at a time."""

    def __init__(self, database: Database, store: AccountStore) -> None:
        self._database = database
        self._store = store
        self._slots = asyncio.Semaphore(_AT_ONCE)

    @asynccontextmanager
    async def hold(self, account_id: str) -> AsyncIterator[Held]:
        """The row as it stands once nobody else renews it. StorageUnavailable also where its end can't be kept."""
        if self._database.dialect == "postgresql":
            async with self._slots, self._database.write() as connection:
                yield await _locked(connection, account_id)
        else:
            yield await self._read(account_id)

    async def _read(self, account_id: str) -> Held:
        sealed = await self._store.credential(account_id)

        async def replace(new: bytes) -> bool:
            return sealed is not None and await self._store.reseal(account_id, old=sealed, new=new)

        return Held(sealed, replace)


async def _locked(connection: AsyncConnection, account_id: str) -> Held:
    mine = CREDENTIALS.c.account_id == account_id
    query = sa.select(CREDENTIALS.c.sealed).where(mine).with_for_update()

    async def replace(new: bytes) -> bool:
        values = {"sealed": new, "updated_at": datetime.now(UTC)}
        return (await connection.execute(CREDENTIALS.update().where(mine).values(values))).rowcount == 1

    return Held((await connection.execute(query)).scalar_one_or_none(), replace)
