"""One writer at a time for each place of the provider's, among all processes on one database.

A row a lock, held for as long as its time runs by the database's clock: what a killed process held is free again by
itself. Rows rather than advisory locks, so that both engines, and a command beside a server, keep to the same locks;
and so that a lock is checked in the very transaction that notes a request before it is sent.
"""

from collections.abc import Iterable

from sqlalchemy.dialects import postgresql, sqlite

from adapter.storage.database import Database
from adapter.storage.dbclock import database_now
from adapter.storage.tables import PLACE_LOCKS

_LONGEST = 512


class PlaceLocks:
    """Locks by the provider's ids of places."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._now = database_now(database.dialect)

    async def acquire(self, places: Iterable[str], *, holder: str, seconds: float) -> frozenset[str]:
        """Those of the places that are the holder's for so many seconds; also where they were before."""
        keys = {place: place[:_LONGEST] for place in places}
        insert = (postgresql if self._database.dialect == "postgresql" else sqlite).insert(PLACE_LOCKS)
        until = self._now + seconds
        free = (PLACE_LOCKS.c.until < self._now) | (PLACE_LOCKS.c.holder == holder)
        # In one order everywhere: two who ask for the same places would wait for each other's rows otherwise.
        rows = [{"place": key, "holder": holder, "until": until} for key in sorted(set(keys.values()))]
        taken = insert.values(rows).on_conflict_do_update(
            index_elements=[PLACE_LOCKS.c.place], set_={"holder": holder, "until": until}, where=free
        )
        async with self._database.write() as connection:
            ours = set(await connection.scalars(taken.returning(PLACE_LOCKS.c.place)))
            return frozenset(place for place, key in keys.items() if key in ours)

    async def release(self, places: Iterable[str], *, holder: str) -> None:
        keys = sorted({place[:_LONGEST] for place in places})
        ours = PLACE_LOCKS.c.place.in_(keys) & (PLACE_LOCKS.c.holder == holder)
        async with self._database.write() as connection:
            await connection.execute(PLACE_LOCKS.delete().where(ours))

    async def extend(self, *, holder: str, seconds: float) -> None:
        """Hold everything that the holder holds for longer."""
        ours = (PLACE_LOCKS.c.holder == holder) & (PLACE_LOCKS.c.until > self._now)
        async with self._database.write() as connection:
            await connection.execute(PLACE_LOCKS.update().where(ours).values(until=self._now + seconds))
