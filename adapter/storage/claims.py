"""Who of several processes fetches a unit: PostgreSQL's advisory locks, and LISTEN/NOTIFY to tell that it is there.

One connection a process holds its locks and hears the news; when the process dies, its locks go with the connection.
On SQLite, which serves one process, every claim is granted. A connection that is lost costs fetches that two processes
make at once, never an answer: claims are granted while there is none.

Units share a fixed number of locks for each account. PostgreSQL keeps locks in a table that all databases of a server
share, with room for little more than a thousand where few connections are allowed, and a large account has more units.
https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

import asyncio
import zlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

import asyncpg
import structlog

from adapter.storage.database import Database

CHANNEL = "adapter_units"
_SPACE = 0x75646131
"""Keeps these locks apart from others in the same database."""
_LOCKS = 128
"""For each account. What shares a lock waits for one another a little longer, and is fetched all the same."""
_MAX_PAYLOAD = 7900
# The driver's internal error: what a query meets that is begun in the moment in which the server says goodbye.
_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)

_log = structlog.get_logger("adapter.storage")


class Claims(Protocol):
    """The right to fetch, one holder at a time. A key is the account's id, a space, and what is fetched."""

    async def acquire(self, keys: Sequence[str]) -> frozenset[str]:
        """Those of the keys that are now ours; the others are somebody else's at the moment."""

    async def release(self, keys: Sequence[str], news_of: str) -> None:
        """Give the keys back, and tell whoever waits for news of an account."""

    async def news(self, account_id: str, seconds: float) -> None:
        """Return when something was told of the account, at the latest after so many seconds."""

    async def close(self) -> None: ...


def claims_for(database: Database) -> Claims:
    return PostgresClaims(database) if database.dialect == "postgresql" else OwnClaims()


class OwnClaims:
    """One process alone: whoever asks may fetch."""

    async def acquire(self, keys: Sequence[str]) -> frozenset[str]:
        return frozenset(keys)

    async def release(self, keys: Sequence[str], news_of: str) -> None:
        return

    async def news(self, account_id: str, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        return


class PostgresClaims:
    """Claims among all processes on one PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Any = None
        self._using = asyncio.Lock()
        self._held: dict[str, str] = {}
        """Key -> the lock that stands for it, and for others."""
        self._closed = False
        self._waiting: dict[str, set[asyncio.Event]] = {}

    async def acquire(self, keys: Sequence[str]) -> frozenset[str]:
        query = "SELECT k FROM unnest($1::text[]) AS k WHERE pg_try_advisory_lock($2::int, hashtext(k))"
        async with self._using:
            # A session is granted its own locks again and again; within the process a key is granted once at a time.
            asked = {key: _lock(key) for key in keys if key not in self._held}
            wanted = sorted(set(asked.values()) - set(self._held.values()))
            rows = await self._run("fetch", query, wanted, _SPACE) if wanted else []
            locks = set(asked.values()) if rows is None else {row["k"] for row in rows} | set(self._held.values())
            granted = {key: lock for key, lock in asked.items() if lock in locks}
            self._held |= granted
        return frozenset(granted)

    async def release(self, keys: Sequence[str], news_of: str) -> None:
        query = "SELECT pg_advisory_unlock($2::int, hashtext(k)) FROM unnest($1::text[]) AS k"
        async with self._using:
            given = {self._held.pop(key) for key in keys if key in self._held}
            free = sorted(given - set(self._held.values()))
            if free:
                await self._run("fetch", query, free, _SPACE)
            await self._run("execute", "SELECT pg_notify($1, $2)", CHANNEL, news_of[:_MAX_PAYLOAD])

    async def news(self, account_id: str, seconds: float) -> None:
        event = asyncio.Event()
        waiting = self._waiting.setdefault(account_id, set())
        waiting.add(event)
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return
        finally:
            waiting.discard(event)
            if not waiting:
                self._waiting.pop(account_id, None)

    async def close(self) -> None:
        async with self._using:
            self._closed = True
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(*_LOST):
                    await connection.close()

    async def _run(self, method: str, query: str, *arguments: Any) -> Any:
        """What the connection answers; None where it is lost, and with it every lock."""
        if self._closed:
            return None
        try:
            connection = await self._connected()
            return await getattr(connection, method)(query, *arguments)
        except _LOST as error:
            _log.warning("claims_lost", error=type(error).__name__)
            self._held.clear()
            connection, self._connection = self._connection, None
            if connection is not None:
                # It may only have been too slow: its locks must not outlive what is known of them here.
                connection.terminate()
            return None

    async def _connected(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            self._held.clear()
            self._connection = await self._database.raw_connection()
            await self._connection.add_listener(CHANNEL, self._heard)
        return self._connection

    def _heard(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        for event in self._waiting.get(payload, ()):
            event.set()


def _lock(key: str) -> str:
    account_id, _, fetched = key.partition(" ")
    return f"{account_id} {zlib.crc32(fetched.encode()) % _LOCKS}"
