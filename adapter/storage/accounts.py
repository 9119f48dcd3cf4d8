"""Integrated accounts and their sealed credentials: two tables that change together."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from adapter.errors import Conflict
from adapter.models import ErrorNote, IntegratedAccount, ProviderIdentity
from adapter.storage.database import Database
from adapter.storage.tables import (
    ACCOUNTS,
    CONNECT_SESSIONS,
    CREDENTIALS,
    DIRECTORIES,
    IDEMPOTENCY_KEYS,
    LINK_TOKENS,
    OPERATION_EVENTS,
    OPERATION_STEPS,
    OPERATIONS,
    TOKENS,
    UNITS,
    fields_of,
)

_BATCH = 500

Also = Callable[[AsyncConnection, str], Awaitable[None]]
"""A further step of the transaction that keeps an account, given its id: what it raises undoes everything."""


class AccountStore:
    """Integrated accounts by id; a sealed credential goes in and comes out as it was sealed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, account: IntegratedAccount, sealed: bytes, *, also: Also | None = None) -> None:
        """Keep the account together with its credential, or neither; Conflict if its tenant has this identity."""
        async with self._database.write() as connection:
            try:
                await connection.execute(ACCOUNTS.insert().values(_columns(msgspec.structs.asdict(account))))
            except sa.exc.IntegrityError:
                raise Conflict(_TAKEN) from None
            await connection.execute(
                CREDENTIALS.insert().values(account_id=account.id, sealed=sealed, updated_at=account.created_at)
            )
            if also is not None:
                await also(connection, account.id)

    async def get(self, account_id: str) -> IntegratedAccount | None:
        async with self._database.read() as connection:
            return await _get(connection, account_id)

    async def find(self, tenant_id: str, identity_id: str) -> IntegratedAccount | None:
        """The tenant's connection to this provider account."""
        mine = (ACCOUNTS.c.tenant_id == tenant_id) & (ACCOUNTS.c.identity_id == identity_id)
        async with self._database.read() as connection:
            row = (await connection.execute(sa.select(ACCOUNTS).where(mine))).one_or_none()
            return _account(row) if row else None

    async def list(
        self, *, tenant_id: str | None = None, status: str | None = None, after: str = "", limit: int = _BATCH
    ) -> list[IntegratedAccount]:
        """At most `limit` accounts with an id above `after`, by id."""
        query = sa.select(ACCOUNTS).where(ACCOUNTS.c.id > after).order_by(ACCOUNTS.c.id).limit(limit)
        if tenant_id is not None:
            query = query.where(ACCOUNTS.c.tenant_id == tenant_id)
        if status is not None:
            query = query.where(ACCOUNTS.c.status == status)
        async with self._database.read() as connection:
            return [_account(row) for row in await connection.execute(query)]

    async def update(
        self,
        account_id: str,
        *,
        sealed: bytes | None = None,
        only_if: bytes | None = None,
        also: Also | None = None,
        **fields: Any,
    ) -> IntegratedAccount | None:
        """Set `fields` of the account and, with `sealed`, its credential, in one step; the account as it then is.

        With `only_if`, only while that is the stored credential. None where nothing was changed; Conflict where the
        tenant has this identity in another account.
        """
        now = datetime.now(UTC)
        async with self._database.write() as connection:
            target = ACCOUNTS.update().where(ACCOUNTS.c.id == account_id)
            if only_if is not None:
                target = target.where(ACCOUNTS.c.id.in_(_holders(only_if)))
            try:
                result = await connection.execute(target.values(_columns(fields | {"updated_at": now})))
            except sa.exc.IntegrityError:
                raise Conflict(_TAKEN) from None
            if not result.rowcount:
                return None
            if sealed is not None:
                await _replace(connection, account_id, sealed, now)
            if also is not None:
                await also(connection, account_id)
            return await _get(connection, account_id)

    async def remove(self, account_id: str) -> Mapping[str, int] | None:
        """Delete the account with all that hangs on it; how many rows of what, or None where there was no account."""
        async with self._database.write() as connection:
            # The account first, as whoever keeps its units does: the other way round they could wait for each other.
            await connection.execute(sa.select(ACCOUNTS.c.id).where(ACCOUNTS.c.id == account_id).with_for_update())
            counts = {
                table.name: (await connection.execute(table.delete().where(which))).rowcount
                for table, which in _all_about(account_id)
            }
            gone = await connection.execute(ACCOUNTS.delete().where(ACCOUNTS.c.id == account_id))
            return counts if gone.rowcount else None

    async def credential(self, account_id: str) -> bytes | None:
        """The sealed credential."""
        query = sa.select(CREDENTIALS.c.sealed).where(CREDENTIALS.c.account_id == account_id)
        async with self._database.read() as connection:
            sealed: bytes | None = (await connection.execute(query)).scalar_one_or_none()
            return sealed

    async def iterate_sealed(self) -> AsyncIterator[tuple[str, bytes]]:
        """Every account id with its sealed credential, by id, a batch at a time: no transaction spans the walk."""
        after = ""
        while True:
            query = sa.select(CREDENTIALS.c.account_id, CREDENTIALS.c.sealed).order_by(CREDENTIALS.c.account_id)
            async with self._database.read() as connection:
                rows = list(await connection.execute(query.where(CREDENTIALS.c.account_id > after).limit(_BATCH)))
            for account_id, sealed in rows:
                yield account_id, sealed
                after = account_id
            if len(rows) < _BATCH:
                return

    async def reseal(self, account_id: str, *, old: bytes, new: bytes) -> bool:
        """Put `new` in the place of `old`; False where somebody else replaced the credential in between."""
        target = CREDENTIALS.update().where((CREDENTIALS.c.account_id == account_id) & (CREDENTIALS.c.sealed == old))
        async with self._database.write() as connection:
            return (await connection.execute(target.values(sealed=new))).rowcount == 1


_TAKEN = "This tenant has another integrated account for the same provider account."


def _all_about(account_id: str) -> list[tuple[sa.Table, sa.ColumnElement[bool]]]:
    """What goes with an account, in the order in which it can: the links that led or lead to it among them."""
    mine = (LINK_TOKENS.c.account_id == account_id) | (LINK_TOKENS.c.account_result == account_id)
    links = sa.select(LINK_TOKENS.c.id).where(mine)
    history = (IDEMPOTENCY_KEYS, OPERATION_EVENTS, OPERATION_STEPS, OPERATIONS)
    whole = (CREDENTIALS, TOKENS, UNITS, DIRECTORIES, *history)
    return [
        *((table, table.c.account_id == account_id) for table in whole),
        (CONNECT_SESSIONS, CONNECT_SESSIONS.c.link_id.in_(links)),
        (LINK_TOKENS, mine),
    ]


def _holders(sealed: bytes) -> sa.Select[tuple[str]]:
    return sa.select(CREDENTIALS.c.account_id).where(CREDENTIALS.c.sealed == sealed)


async def _replace(connection: AsyncConnection, account_id: str, sealed: bytes, now: datetime) -> None:
    row = {"sealed": sealed, "updated_at": now}
    done = await connection.execute(CREDENTIALS.update().where(CREDENTIALS.c.account_id == account_id).values(row))
    if not done.rowcount:
        await connection.execute(CREDENTIALS.insert().values(account_id=account_id, **row))


async def _get(connection: AsyncConnection, account_id: str) -> IntegratedAccount | None:
    row = (await connection.execute(sa.select(ACCOUNTS).where(ACCOUNTS.c.id == account_id))).one_or_none()
    return _account(row) if row else None


def _columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A struct's fields as columns: the identity in three of them, structs as plain JSON, moments as they are."""
    columns = dict(fields)
    if "identity" in columns:
        identity: ProviderIdentity | None = columns.pop("identity")
        columns["identity_id"] = identity.id if identity else None
        columns["identity_email"] = identity.email if identity else None
        columns["identity_name"] = identity.name if identity else None
    for name, value in columns.items():
        if isinstance(value, ErrorNote):
            columns[name] = msgspec.to_builtins(value)
    return columns


def _account(row: sa.Row[Any]) -> IntegratedAccount:
    fields = fields_of(row)
    identity = {name: fields.pop(f"identity_{name}") for name in ("id", "email", "name")}
    fields["identity"] = identity if identity["id"] is not None else None
    return msgspec.convert(fields, IntegratedAccount)
