"""Writes as they are kept: operations with their steps and events, under a lease that one process holds at a time.

Every time is the database's own, in seconds since the epoch, so that processes whose clocks differ agree on whose lease
has lapsed.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from adapter.errors import AccountNotFound
from adapter.storage.database import Database
from adapter.storage.dbclock import In, database_now
from adapter.storage.operation_rows import (
    Begun,
    Judge,
    Key,
    Keyed,
    Late,
    NewOperation,
    Note,
    Standing,
    StoredEvent,
    StoredOperation,
    StoredStep,
)
from adapter.storage.tables import (
    ACCOUNTS,
    IDEMPOTENCY_KEYS,
    OPERATION_EVENTS,
    OPERATION_STEPS,
    OPERATIONS,
    PLACE_LOCKS,
    fields_of,
)

GOING = ("pending", "running", "waiting")
"""The statuses of operations that go on by themselves."""
KEY_SECONDS = 24 * 3600.0
"""How long an idempotency key is remembered."""
# Any fixed number: operations begin one after the other, so that each sees those that are under way.
_BEGIN_LOCK = 0x75_64_61_5F_6F_70_73


class OperationStore:
    """Operations by id. They go with their account."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._now = database_now(database.dialect)

    # --- beginning

    async def begin(self, new: NewOperation, *, owner: str, lease: float, key: Key | None, judge: Judge) -> Begun:
        """Keep a new operation, unless its key was used or `judge` joins or refuses it; AccountNotFound."""
        async with self._database.write() as connection:
            if self._database.dialect == "postgresql":
                await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_BEGIN_LOCK)))
            if (keyed := await self._keyed(connection, key.id) if key else None) is not None:
                return Begun(id=keyed.operation_id, keyed=keyed)
            verdict = judge(await self._going(connection, new.plan_age))
            if verdict.join is None:
                await self._insert(connection, new, owner, lease, waits_for=[*sorted(verdict.stop), *verdict.unseen])
                for operation_id, reason in verdict.stop.items():
                    await self._stop(connection, operation_id, reason)
            begun = verdict.join or new.id
            if key is not None:
                await connection.execute(IDEMPOTENCY_KEYS.delete().where(IDEMPOTENCY_KEYS.c.id == key.id))  # an old one
                row = {"id": key.id, "body": key.body, "account_id": new.account_id, "operation_id": begun}
                await connection.execute(IDEMPOTENCY_KEYS.insert().values(**row, created_at=self._now))
            return Begun(id=begun, joined=verdict.join is not None)

    async def keyed(self, key_id: str) -> Keyed | None:
        """What a key was used for, within its 24 hours."""
        async with self._database.read() as connection:
            return await self._keyed(connection, key_id)

    async def _keyed(self, connection: AsyncConnection, key_id: str) -> Keyed | None:
        recent = (IDEMPOTENCY_KEYS.c.id == key_id) & (IDEMPOTENCY_KEYS.c.created_at > self._now - KEY_SECONDS)
        query = sa.select(IDEMPOTENCY_KEYS.c.operation_id, IDEMPOTENCY_KEYS.c.body).where(recent)
        row = (await connection.execute(query)).one_or_none()
        return Keyed(*row) if row else None

    async def _going(self, connection: AsyncConnection, and_ended_within: float) -> list[StoredOperation]:
        recent = OPERATIONS.c.finished_at > self._now - and_ended_within
        rows = await connection.execute(sa.select(OPERATIONS).where(OPERATIONS.c.status.in_(GOING) | recent))
        return [StoredOperation(**fields_of(row)) for row in rows]

    async def _insert(
        self, connection: AsyncConnection, new: NewOperation, owner: str, lease: float, *, waits_for: Sequence[str]
    ) -> None:
        row = msgspec.structs.asdict(new)
        steps, events, patience = row.pop("steps"), row.pop("events"), row.pop("patience")
        del row["plan_age"]
        row |= {"status": "running", "waits_for": waits_for, "owner": owner, "lease_until": self._now + lease}
        row |= {"created_at": self._now, "updated_at": self._now, "deadline": self._now + patience}
        account = sa.select(ACCOUNTS.c.id).where(ACCOUNTS.c.id == new.account_id).with_for_update(read=True)
        if (await connection.execute(account)).one_or_none() is None:
            raise AccountNotFound
        await connection.execute(OPERATIONS.insert().values(row))
        await self._add_steps(connection, new.id, new.account_id, steps)
        await self._add_events(connection, new.id, new.account_id, events)

    # --- under a lease

    async def take(self, operation_id: str, *, owner: str, lease: float, statuses: Sequence[str] = GOING) -> bool:
        """Hold the operation, if it has one of these statuses and nobody's lease on it runs."""
        free = (OPERATIONS.c.lease_until < self._now) & OPERATIONS.c.status.in_(statuses)
        target = OPERATIONS.update().where(OPERATIONS.c.id == operation_id, free)
        async with self._database.write() as connection:
            taken = await connection.execute(target.values(owner=owner, lease_until=self._now + lease))
            return taken.rowcount == 1

    async def note(self, operation_id: str, note: Note, *, owner: str, lease: float) -> Standing | None:
        """Write something down and renew the lease; None, and nothing is written, where it is not ours any more."""
        return (await self.notes(operation_id, [note], owner=owner, lease=lease))[0]

    async def notes(
        self, operation_id: str, notes: Sequence[Note], *, owner: str, lease: float
    ) -> list[Standing | None]:
        """Write several things down in one transaction, each as `note` would; what is refused keeps no other back."""
        fields = {name: value for note in notes for name, value in note.fields.items()}
        async with self._database.write() as connection:
            row = await self._renew(connection, operation_id, fields, owner, lease)
            if row is None:
                return [None] * len(notes)
            standing = Standing(stop=row.stop, left=row.left)
            places = {note.holding for note in notes if note.holding is not None}
            lost = places - await self._hold_on(connection, places, owner, lease)
            written = [note for note in notes if not (_is_stopped(note, standing) or note.holding in lost)]
            await self._set_steps(connection, operation_id, written)
            new_steps = [step for note in written for step in note.new_steps]
            await self._add_steps(connection, operation_id, row.account_id, new_steps)
            events = [event for note in written for event in note.events]
            await self._add_events(connection, operation_id, row.account_id, events)
            return [None if note.holding in lost else standing for note in notes]

    async def _renew(
        self, connection: AsyncConnection, operation_id: str, fields: Mapping[str, Any], owner: str, lease: float
    ) -> Any:
        alive = {"updated_at": self._now, "lease_until": self._now + lease}
        mine = OPERATIONS.update().where(OPERATIONS.c.id == operation_id, OPERATIONS.c.owner == owner)
        left = (OPERATIONS.c.deadline - self._now).label("left")
        written = mine.values(alive | self._values(fields)).returning(OPERATIONS.c.account_id, OPERATIONS.c.stop, left)
        return (await connection.execute(written)).one_or_none()

    async def let_go(self, operation_id: str, *, owner: str) -> None:
        """End our lease: whoever looks next may go on."""
        mine = OPERATIONS.update().where(OPERATIONS.c.id == operation_id, OPERATIONS.c.owner == owner)
        async with self._database.write() as connection:
            await connection.execute(mine.values(owner=None, lease_until=self._now - 0.001))

    async def late(self, limit: int = 20) -> list[Late]:
        """Operations that should go on but that nobody holds, the longest left first."""
        by = (self._now - OPERATIONS.c.lease_until).label("by")
        query = sa.select(OPERATIONS.c.id, OPERATIONS.c.account_id, by)
        left = (OPERATIONS.c.lease_until < self._now) & OPERATIONS.c.status.in_(GOING)
        async with self._database.read() as connection:
            rows = await connection.execute(query.where(left).order_by(OPERATIONS.c.lease_until).limit(limit))
            return [Late(**fields_of(row)) for row in rows]

    async def stop(self, operation_id: str, reason: Any) -> bool:
        """Have no further step sent, whoever holds the operation; False where it is finished."""
        async with self._database.write() as connection:
            return await self._stop(connection, operation_id, reason)

    async def _stop(self, connection: AsyncConnection, operation_id: str, reason: Any) -> bool:
        unfinished = (OPERATIONS.c.id == operation_id) & OPERATIONS.c.status.in_((*GOING, "lapsed"))
        query = OPERATIONS.update().where(unfinished).values(stop=reason).returning(OPERATIONS.c.account_id)
        account_id = (await connection.execute(query)).scalar_one_or_none()
        if account_id is not None:
            await self._add_events(connection, operation_id, account_id, [("stop_asked", reason)])
        return account_id is not None

    # --- reading

    async def get(self, operation_id: str) -> StoredOperation | None:
        """The operation with its steps and its history."""
        async with self._database.read() as connection:
            row = (await connection.execute(sa.select(OPERATIONS).where(OPERATIONS.c.id == operation_id))).one_or_none()
            if row is None:
                return None
            steps = await self._steps(connection, [operation_id])
            mine = sa.select(OPERATION_EVENTS).where(OPERATION_EVENTS.c.operation_id == operation_id)
            events = [_event(found) for found in await connection.execute(mine.order_by(OPERATION_EVENTS.c.seq))]
            return StoredOperation(**fields_of(row), steps=tuple(steps.get(operation_id, ())), events=tuple(events))

    async def status(self, operation_id: str) -> str | None:
        """The operation's status; None where there is no such operation."""
        async with self._database.read() as connection:
            query = sa.select(OPERATIONS.c.status).where(OPERATIONS.c.id == operation_id)
            return (await connection.execute(query)).scalar_one_or_none()

    async def newest(
        self,
        *,
        account_id: str | None = None,
        tenant_id: str | None = None,
        status: str | None = None,
        after: str = "",
        limit: int = 100,
    ) -> list[StoredOperation]:
        """Operations with their steps, the newest first; those asked for before the one that `after` names."""
        query = sa.select(OPERATIONS).order_by(OPERATIONS.c.id.desc()).limit(limit)
        narrowed = {"account_id": account_id, "tenant_id": tenant_id, "status": status}
        for name, value in narrowed.items():
            query = query.where(OPERATIONS.c[name] == value) if value is not None else query
        query = query.where(OPERATIONS.c.id < after) if after else query
        async with self._database.read() as connection:
            rows = [fields_of(row) for row in await connection.execute(query)]
            steps = await self._steps(connection, [row["id"] for row in rows])
            return [StoredOperation(**row, steps=tuple(steps.get(row["id"], ()))) for row in rows]

    async def same(self, sameness: str) -> str | None:
        """The id of an operation under way that asks the same."""
        going = OPERATIONS.c.status.in_(GOING) & OPERATIONS.c.stop.is_(sa.null())
        query = sa.select(OPERATIONS.c.id).where(OPERATIONS.c.sameness == sameness, going)
        async with self._database.read() as connection:
            return (await connection.execute(query.order_by(OPERATIONS.c.id).limit(1))).scalar_one_or_none()

    async def going(self, ids: Sequence[str]) -> list[str]:
        """Those of these operations that go on."""
        query = sa.select(OPERATIONS.c.id).where(OPERATIONS.c.id.in_(ids), OPERATIONS.c.status.in_(GOING))
        async with self._database.read() as connection:
            return list(await connection.scalars(query))

    async def sweep(self) -> None:
        """Forget keys that are too old to count."""
        old = IDEMPOTENCY_KEYS.c.created_at < self._now - KEY_SECONDS
        async with self._database.write() as connection:
            await connection.execute(IDEMPOTENCY_KEYS.delete().where(old))

    # --- rows

    async def _steps(self, connection: AsyncConnection, ids: Sequence[str]) -> dict[str, list[StoredStep]]:
        found: dict[str, list[StoredStep]] = {}
        query = sa.select(OPERATION_STEPS).where(OPERATION_STEPS.c.operation_id.in_(ids))
        for row in await connection.execute(query.order_by(OPERATION_STEPS.c.n)):
            found.setdefault(row.operation_id, []).append(_step(row))
        return found

    async def _set_steps(self, connection: AsyncConnection, operation_id: str, notes: Iterable[Note]) -> None:
        rows: dict[tuple[bool, bool], list[dict[str, Any]]] = {}
        for note in notes:
            alike = rows.setdefault((note.sent, note.settled), [])
            alike += [{"of_n": step.n, "to_status": step.status, "to_state": step.state} for step in note.steps]
        its = (OPERATION_STEPS.c.operation_id == operation_id) & (OPERATION_STEPS.c.n == sa.bindparam("of_n"))
        for (sent, settled), given in rows.items():
            values: dict[str, Any] = {"status": sa.bindparam("to_status"), "state": sa.bindparam("to_state")}
            values |= {"sent_at": self._now} if sent else {}
            values |= {"finished_at": self._now} if settled else {}
            if given:
                await connection.execute(OPERATION_STEPS.update().where(its).values(values), given)

    async def _hold_on(
        self, connection: AsyncConnection, places: Iterable[str], owner: str, lease: float
    ) -> frozenset[str]:
        """Those of the places whose locks are ours still, held for longer from now on."""
        keys = sorted(places)
        if not keys:
            return frozenset()
        ours = PLACE_LOCKS.c.place.in_(keys) & (PLACE_LOCKS.c.holder == owner)
        held = PLACE_LOCKS.update().where(ours).values(until=self._now + lease).returning(PLACE_LOCKS.c.place)
        return frozenset(await connection.scalars(held))

    async def _add_steps(
        self, connection: AsyncConnection, operation_id: str, account_id: str, steps: Iterable[StoredStep]
    ) -> None:
        of = {"operation_id": operation_id, "account_id": account_id}
        rows = [of | {"n": step.n, "status": step.status, "state": step.state} for step in steps]
        if rows:
            await connection.execute(OPERATION_STEPS.insert(), rows)

    async def _add_events(
        self, connection: AsyncConnection, operation_id: str, account_id: str, events: Sequence[tuple[str, Any]]
    ) -> None:
        """Lines at the end of the history. The operation's row was written before, so that nobody adds meanwhile."""
        if not events:
            return
        mine = OPERATION_EVENTS.c.operation_id == operation_id
        last = (await connection.scalar(sa.select(sa.func.max(OPERATION_EVENTS.c.seq)).where(mine))) or 0
        of = {"operation_id": operation_id, "account_id": account_id}
        rows = [of | {"seq": seq, "what": what, "data": data} for seq, (what, data) in enumerate(events, last + 1)]
        await connection.execute(OPERATION_EVENTS.insert().values(at=self._now), rows)

    def _values(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._now + value.seconds if isinstance(value, In) else value for name, value in fields.items()}


def _is_stopped(note: Note, standing: Standing) -> bool:
    return note.unless_stopped and standing.stop is not None


def _step(row: sa.Row[Any]) -> StoredStep:
    return StoredStep(n=row.n, status=row.status, state=row.state, sent_at=row.sent_at, finished_at=row.finished_at)


def _event(row: sa.Row[Any]) -> StoredEvent:
    return StoredEvent(seq=row.seq, at=row.at, what=row.what, data=row.data)
