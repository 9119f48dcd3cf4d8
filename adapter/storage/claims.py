"""Who of several processes fetches a unit: PostgreSQL's advisory locks, and LISTEN/NOTIFY to tell that it is there.

One connection a process holds its locks and hears the news; when the process dies, its locks go with the connection.
On SQLite, which serves one process, every claim is granted. A connection that is lost costs fetches that two processes
make at once, never an answer: claims are granted while there is none.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import asyncpg
import structlog

from adapter.storage.database import Database

CHANNEL = "adapter_units"
_SPACE = 0x75646131
"""Keeps these locks apart from others in the same database."""
_MAX_PAYLOAD = 7900
_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)

_log = structlog.get_logger("adapter.storage")


class Claims(Protocol):
    """The right to fetch, one holder at a time."""

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
        self._held: set[str] = set()
        self._waiting: dict[str, set[asyncio.Event]] = {}

    async def acquire(self, keys: Sequence[str]) -> frozenset[str]:
        # The session's own locks can be taken again and again; within the process it is one at a time.
        free = [key for key in keys if key not in self._held]
        query = "SELECT k FROM unnest($1::text[]) AS k WHERE pg_try_advisory_lock($2::int, hashtext(k))"
        rows = await self._run("fetch", query, free, _SPACE) if free else []
        granted = frozenset(row["k"] for row in rows) if rows is not None else frozenset(free)
        self._held |= granted
        return granted

    async def release(self, keys: Sequence[str], news_of: str) -> None:
        ours = [key for key in keys if key in self._held]
        self._held -= set(ours)
        await self._run(
            "fetch", "SELECT pg_advisory_unlock($2::int, hashtext(k)) FROM unnest($1::text[]) AS k", ours, _SPACE
        )
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
            connection, self._connection = self._connection, None
            if connection is not None:
                await connection.close()

    async def _run(self, method: str, query: str, *arguments: Any) -> Any:
        """What the connection answers; None where it is lost, and with it every lock."""
        async with self._using:
            try:
                connection = await self._connected()
                return await getattr(connection, method)(query, *arguments)
            except _LOST as error:
                _log.warning("claims_lost", error=type(error).__name__)
                self._held.clear()
                self._connection = None
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
