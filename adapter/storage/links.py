"""Links that let somebody connect an account, and the browser sessions that they were exchanged for.

Link tokens, cookies and states are known by their SHA-256 alone: what is stored here lets nobody in.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from adapter.errors import LinkInvalid
from adapter.models import AuthenticationMethod, Moment
from adapter.storage.accounts import Also
from adapter.storage.database import Database
from adapter.storage.tables import CONNECT_SESSIONS, LINK_TOKENS, fields_of

_BATCH = 500
_NO_STATE: Mapping[str, None] = {"state_hash": None, "state_expires_at": None, "sealed_verifier": None}


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """What a link token stands for: everything but the token itself."""

    id: str
    tenant_id: str | None = None
    account_id: str | None = None
    redirect_uri: str | None = None
    origin: str | None = None
    context: Mapping[str, Any] = {}
    scopes: tuple[str, ...] | None = None
    """The provider's scopes to ask for; None for the deployment's own choice."""
    authentication_methods: tuple[AuthenticationMethod, ...] | None = None
    """The ways to offer; None for all there are."""
    created_by: str | None = None
    created_at: Moment
    expires_at: Moment
    consumed_at: Moment | None = None
    account_result: str | None = None
    """The account that it became, or that was connected again."""


class ConnectSession(msgspec.Struct, frozen=True, kw_only=True):
    """A browser that came by a link."""

    id: str
    link: Link
    expires_at: Moment
    account_result: str | None = None
    """Set where this browser's success consumed the link."""


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A way to the provider that a browser had begun."""

    session_id: str
    expires_at: Moment
    sealed_verifier: bytes


class LinkStore:
    """Links and sessions by hash. Expiry is the caller's to judge."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, link: Link, digest: bytes) -> None:
        """`digest` is the link token's SHA-256."""
        async with self._database.write() as connection:
            await connection.execute(LINK_TOKENS.insert().values(msgspec.structs.asdict(link) | {"hash": digest}))

    async def by_hash(self, digest: bytes) -> Link | None:
        async with self._database.read() as connection:
            row = (await connection.execute(sa.select(*_LINK).where(LINK_TOKENS.c.hash == digest))).one_or_none()
            return msgspec.convert(fields_of(row), Link) if row else None

    async def add_session(
        self, session_id: str, digest: bytes, *, link_id: str, at: datetime, expires_at: datetime
    ) -> None:
        """`digest` is the cookie value's SHA-256. LinkInvalid where the link went in this moment."""
        row = {"id": session_id, "hash": digest, "link_id": link_id, "created_at": at, "expires_at": expires_at}
        async with self._database.write() as connection:
            try:
                await connection.execute(CONNECT_SESSIONS.insert().values(row))
            except sa.exc.IntegrityError:
                raise LinkInvalid from None

    async def session(self, digest: bytes) -> ConnectSession | None:
        """The session of the cookie value with this SHA-256."""
        mine = CONNECT_SESSIONS.c.hash == digest
        async with self._database.read() as connection:
            return await _session(connection, mine)

    async def remove_session(self, session_id: str) -> None:
        async with self._database.write() as connection:
            await connection.execute(CONNECT_SESSIONS.delete().where(CONNECT_SESSIONS.c.id == session_id))

    async def begin(self, session_id: str, *, state: bytes, expires_at: datetime, sealed_verifier: bytes) -> bool:
        """Note the way that the session begins, in the place of an earlier one; False where the session is gone.

        `state` is the state's SHA-256.
        """
        row = {"state_hash": state, "state_expires_at": expires_at, "sealed_verifier": sealed_verifier}
        mine = CONNECT_SESSIONS.c.id == session_id
        async with self._database.write() as connection:
            return (await connection.execute(CONNECT_SESSIONS.update().where(mine).values(row))).rowcount == 1

    async def take(self, digest: bytes, state: bytes | None) -> Pending | None:
        """The way that this cookie's browser had begun, ended by being taken: a second taker gets None.

        So does whoever comes with the state of another browser, which goes on. Without a state, whatever was begun.
        """
        mine = (CONNECT_SESSIONS.c.hash == digest) & CONNECT_SESSIONS.c.state_hash.is_not(None)
        if state is not None:
            mine &= CONNECT_SESSIONS.c.state_hash == state
        async with self._database.write() as connection:
            # Locked, so that of two at once the second waits, and then finds no state any more.
            row = (await connection.execute(sa.select(*_PENDING).where(mine).with_for_update())).one_or_none()
            if row is None:
                return None
            begun = CONNECT_SESSIONS.c.id == row.session_id
            await connection.execute(CONNECT_SESSIONS.update().where(begun).values(**_NO_STATE))
            return msgspec.convert(fields_of(row), Pending)

    def consuming(self, session: ConnectSession, at: datetime) -> Also:
        """The step that uses up the session's link, inside the transaction that keeps the account.

        LinkInvalid, and with it nothing is kept, where somebody else was first.
        """

        async def consume(connection: AsyncConnection, account_id: str) -> None:
            unused = (LINK_TOKENS.c.id == session.link.id) & LINK_TOKENS.c.consumed_at.is_(None)
            used = LINK_TOKENS.update().where(unused).values(consumed_at=at, account_result=account_id)
            if not (await connection.execute(used)).rowcount:
                raise LinkInvalid(USED)
            mine = CONNECT_SESSIONS.c.id == session.id
            await connection.execute(CONNECT_SESSIONS.update().where(mine).values(account_result=account_id))

        return consume

    async def purge(self, *, links_before: datetime, sessions_before: datetime) -> int:
        """Forget links and sessions that expired before these moments; how many they were."""
        old_sessions = CONNECT_SESSIONS.delete().where(CONNECT_SESSIONS.c.expires_at < sessions_before)
        old_links = LINK_TOKENS.delete().where(LINK_TOKENS.c.expires_at < links_before)
        async with self._database.write() as connection:
            # Sessions first, as whoever removes an account does: the other way round they could wait for each other.
            sessions = (await connection.execute(old_sessions)).rowcount
            return sessions + (await connection.execute(old_links)).rowcount

    async def iterate_sealed(self) -> AsyncIterator[tuple[str, bytes]]:
        """Every session id with its sealed verifier, by id, a batch at a time."""
        table = CONNECT_SESSIONS.c
        query = sa.select(table.id, table.sealed_verifier).where(table.sealed_verifier.is_not(None)).order_by(table.id)
        after = ""
        while True:
            async with self._database.read() as connection:
                rows = list(await connection.execute(query.where(table.id > after).limit(_BATCH)))
            for session_id, sealed in rows:
                yield session_id, sealed
                after = session_id
            if len(rows) < _BATCH:
                return

    async def verifier(self, session_id: str) -> bytes | None:
        """The sealed verifier of what the session has begun."""
        table = CONNECT_SESSIONS.c
        async with self._database.read() as connection:
            query = sa.select(table.sealed_verifier).where(table.id == session_id)
            sealed: bytes | None = (await connection.execute(query)).scalar_one_or_none()
            return sealed

    async def reseal(self, session_id: str, *, old: bytes, new: bytes) -> bool:
        """Put `new` in the place of `old`; False where the way has ended, or another was begun in between."""
        table = CONNECT_SESSIONS.c
        target = CONNECT_SESSIONS.update().where((table.id == session_id) & (table.sealed_verifier == old))
        async with self._database.write() as connection:
            return (await connection.execute(target.values(sealed_verifier=new))).rowcount == 1


USED = "This link was used already; go back to where you got it and ask for a new one."

_LINK = [LINK_TOKENS.c[name] for name in Link.__struct_fields__]
_PENDING = [
    CONNECT_SESSIONS.c.id.label("session_id"),
    CONNECT_SESSIONS.c.state_expires_at.label("expires_at"),
    CONNECT_SESSIONS.c.sealed_verifier,
]


async def _session(connection: AsyncConnection, which: sa.ColumnElement[bool]) -> ConnectSession | None:
    table = CONNECT_SESSIONS.c
    query = sa.select(table.id, table.link_id, table.expires_at, table.account_result).where(which)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    link = (await connection.execute(sa.select(*_LINK).where(LINK_TOKENS.c.id == row.link_id))).one_or_none()
    if link is None:
        return None  # on PostgreSQL each statement sees the newest: the link went between the two
    return ConnectSession(
        id=row.id,
        link=msgspec.convert(fields_of(link), Link),
        expires_at=row.expires_at,
        account_result=row.account_result,
    )
