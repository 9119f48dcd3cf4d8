"""What was read of an account's upstream lists: a row a unit, whole or not at all, shared by every process."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from adapter.storage.database import Database
from adapter.storage.dbclock import database_now
from adapter.storage.tables import ACCOUNTS, DIRECTORIES, UNITS, fields_of

_BATCH = 200
_LONGEST_PATH = 1024
"""Characters; what is longer is never kept, for it would not fit the column of all engines."""

_SKEW = 60.0
"""Seconds by which a process's clock may be ahead of the database's."""


class StoredUnit(msgspec.Struct, frozen=True, kw_only=True):
    """One unit as it is kept. `body` is opaque here; times are seconds since the epoch."""

    path: str
    body: bytes | None
    refusal: Mapping[str, Any] | None = None
    etag: str | None = None
    cost: int
    fetched_at: float
    changed_at: float
    stale: bool = False
    proof_day: int | None = None
    proof_held: bool | None = None


class StoredDirectory(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of an account's directory as a whole."""

    generation: int = 0
    gather_cost: int = 0
    settling: Any = None
    """What recent writes did to lists that lag behind them; opaque here."""


class UnitStore:
    """The units of integrated accounts; they go with the account."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def directory(self, account_id: str) -> StoredDirectory:
        """The account's generation and gather cost; zeros where nothing was kept yet."""
        query = sa.select(*(DIRECTORIES.c[name] for name in StoredDirectory.__struct_fields__))
        async with self._database.read() as connection:
            row = (await connection.execute(query.where(DIRECTORIES.c.account_id == account_id))).one_or_none()
            return StoredDirectory(**fields_of(row)) if row else StoredDirectory()

    async def generation(self, account_id: str) -> int:
        """The account's generation alone, which every question asks for; 0 where nothing was kept yet."""
        query = sa.select(DIRECTORIES.c.generation).where(DIRECTORIES.c.account_id == account_id)
        async with self._database.read() as connection:
            return int(await connection.scalar(query) or 0)

    async def load(self, account_id: str, paths: Sequence[str] | None = None) -> list[StoredUnit]:
        """All the account's units, or those with these paths."""
        if paths is None:
            return await self._select(UNITS.c.account_id == account_id)
        found: list[StoredUnit] = []
        for start in range(0, len(paths), _BATCH):
            batch = UNITS.c.path.in_(paths[start : start + _BATCH])
            found += await self._select((UNITS.c.account_id == account_id) & batch)
        return found

    async def times(self, account_id: str) -> list[tuple[str, float, bool]]:
        """Of each unit its path, when it was read, and whether it is stale."""
        query = sa.select(UNITS.c.path, UNITS.c.fetched_at, UNITS.c.stale).where(UNITS.c.account_id == account_id)
        async with self._database.read() as connection:
            return [(row.path, row.fetched_at, row.stale) for row in await connection.execute(query)]

    async def save(self, account_id: str, generation: int, units: Sequence[StoredUnit]) -> None:
        """Keep units that were read in a generation, each in the place of an older one; nothing of a removed account.

        Where a write came in between, they are kept as stale: they may or may not show it.
        """
        async with self._database.write() as connection:
            if not await self._begin(connection, account_id):
                return
            now = await self._generation(connection, account_id)
            # In one order everywhere: two who save the same units would wait for each other's rows otherwise.
            kept = sorted((unit for unit in units if len(unit.path) <= _LONGEST_PATH), key=lambda unit: unit.path)
            rows = [_row(account_id, unit, stale=unit.stale or generation < now) for unit in kept]
            for start in range(0, len(rows), _BATCH):
                await connection.execute(self._upsert(), rows[start : start + _BATCH])

    async def drop(self, account_id: str, paths: Collection[str]) -> None:
        """Keep these units no longer."""
        target = UNITS.delete().where(UNITS.c.account_id == account_id, UNITS.c.path == sa.bindparam("of_path"))
        async with self._database.write() as connection:
            if await self._begin(connection, account_id):
                await self._generation(connection, account_id)  # writes are noted before or after, as with `save`
                # In one order everywhere: two who drop or save the same wait for each other's rows otherwise.
                await connection.execute(target, [{"of_path": path} for path in sorted(paths)])

    async def save_cost(self, account_id: str, gather_cost: int) -> None:
        async with self._database.write() as connection:
            if await self._begin(connection, account_id):
                mine = DIRECTORIES.c.account_id == account_id
                await connection.execute(DIRECTORIES.update().where(mine).values(gather_cost=gather_cost))

    async def save_proofs(self, account_id: str, proofs: Mapping[str, tuple[int, bool]]) -> None:
        """Path -> the day of a unit's proof, and whether it held."""
        target = UNITS.update().where(UNITS.c.account_id == account_id, UNITS.c.path == sa.bindparam("of_path"))
        values = target.values(proof_day=sa.bindparam("day"), proof_held=sa.bindparam("held"))
        rows = [{"of_path": path, "day": day, "held": held} for path, (day, held) in sorted(proofs.items())]
        async with self._database.write() as connection:
            await connection.execute(values, rows)

    async def mark_stale(
        self, account_id: str, touched: Callable[[str], bool], settling: Callable[[Any], Any] | None = None
    ) -> int:
        """Have the units whose paths `touched` accepts read again before anybody uses them; the new generation.

        It is asked about every unit that is kept: other processes may have read some that this one never heard of.
        `settling` makes what is kept of lagging lists out of what was, while no other process can.
        """
        async with self._database.write() as connection:
            if not await self._begin(connection, account_id):
                return 0
            mine = DIRECTORIES.c.account_id == account_id
            bumped = DIRECTORIES.update().where(mine).values(generation=DIRECTORIES.c.generation + 1)
            generation = (await connection.execute(bumped.returning(DIRECTORIES.c.generation))).scalar_one()
            # From here on nobody saves until the transaction ends.
            if settling is not None:
                kept = await connection.scalar(sa.select(DIRECTORIES.c.settling).where(mine))
                await connection.execute(DIRECTORIES.update().where(mine).values(settling=settling(kept)))
            known = await connection.scalars(sa.select(UNITS.c.path).where(UNITS.c.account_id == account_id))
            paths = sorted(filter(touched, known))
            for start in range(0, len(paths), _BATCH):
                batch = UNITS.c.path.in_(paths[start : start + _BATCH])
                hit = UNITS.update().where(UNITS.c.account_id == account_id, batch)
                await connection.execute(hit.values(stale=True))
            return int(generation)

    async def _select(self, which: sa.ColumnElement[bool]) -> list[StoredUnit]:
        columns = [UNITS.c[name] for name in StoredUnit.__struct_fields__]
        async with self._database.read() as connection:
            return [StoredUnit(**fields_of(row)) for row in await connection.execute(sa.select(*columns).where(which))]

    async def _begin(self, connection: AsyncConnection, account_id: str) -> bool:
        """Make the account's row of directories if there is none; False where there is no such account."""
        known = sa.select(ACCOUNTS.c.id).where(ACCOUNTS.c.id == account_id)
        if self._database.dialect == "postgresql":
            known = known.with_for_update(key_share=True)
        if (await connection.execute(known)).scalar_one_or_none() is None:
            return False
        made = self._insert(DIRECTORIES).values(account_id=account_id, generation=0, gather_cost=0)
        await connection.execute(made.on_conflict_do_nothing())
        return True

    async def _generation(self, connection: AsyncConnection, account_id: str) -> int:
        """The generation, held still until the transaction ends: no write may slip between its reading and our rows."""
        query = sa.select(DIRECTORIES.c.generation).where(DIRECTORIES.c.account_id == account_id)
        if self._database.dialect == "postgresql":
            query = query.with_for_update(read=True)
        return int((await connection.execute(query)).scalar_one())

    def _upsert(self) -> Any:
        insert = self._insert(UNITS)
        given: dict[str, Any] = {name: insert.excluded[name] for name in StoredUnit.__struct_fields__ if name != "path"}
        # A reading without a proof of its own leaves the one that is known.
        given |= {name: sa.func.coalesce(given[name], UNITS.c[name]) for name in ("proof_day", "proof_held")}
        return insert.on_conflict_do_update(
            index_elements=[UNITS.c.account_id, UNITS.c.path],
            set_=given,
            # What claims to have been read later than now was read before a clock was set back.
            where=(insert.excluded.fetched_at >= UNITS.c.fetched_at)
            | (UNITS.c.fetched_at > database_now(self._database.dialect) + _SKEW),
        )

    def _insert(self, table: sa.Table) -> Any:
        return (postgresql if self._database.dialect == "postgresql" else sqlite).insert(table)


def _row(account_id: str, unit: StoredUnit, *, stale: bool) -> dict[str, Any]:
    return {**msgspec.structs.asdict(unit), "account_id": account_id, "stale": stale}
