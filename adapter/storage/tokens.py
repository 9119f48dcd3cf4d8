"""Callers' tokens, by hash: what is stored does not let anybody in."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from adapter.models import TokenInfo
from adapter.storage.database import Database
from adapter.storage.tables import TOKENS, fields_of

_LISTED = [TOKENS.c[name] for name in TokenInfo.__struct_fields__]


class TokenStore:
    """Tokens by their hash and by id; a revoked token stays listed until it is purged."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, info: TokenInfo, digest: bytes, *, created_by: str | None = None) -> None:
        """`digest` is the token's SHA-256; `created_by` the id of the token that asked for it."""
        row = msgspec.structs.asdict(info) | {"hash": digest, "created_by": created_by}
        async with self._database.write() as connection:
            await connection.execute(TOKENS.insert().values(row | {"scopes": [str(scope) for scope in info.scopes]}))

    async def by_hash(self, digest: bytes) -> TokenInfo | None:
        """Whatever its state: the caller judges expiry and revocation."""
        return await self._one(TOKENS.c.hash == digest)

    async def get(self, token_id: str) -> TokenInfo | None:
        return await self._one(TOKENS.c.id == token_id)

    async def list(
        self, *, kind: str | None = None, account_id: str | None = None, after: str = "", limit: int = 1000
    ) -> list[TokenInfo]:
        """At most `limit` tokens with an id above `after`, by id."""
        query = sa.select(*_LISTED).where(TOKENS.c.id > after).order_by(TOKENS.c.id).limit(limit)
        if kind is not None:
            query = query.where(TOKENS.c.kind == kind)
        if account_id is not None:
            query = query.where(TOKENS.c.account_id == account_id)
        async with self._database.read() as connection:
            return [_token(row) for row in await connection.execute(query)]

    async def revoke(self, token_id: str, at: datetime) -> bool:
        """False where there is no such token, or it was revoked before."""
        return await self._revoke(TOKENS.c.id == token_id, at) == 1

    async def revoke_for_account(self, account_id: str, at: datetime) -> int:
        """How many tokens of the account were revoked by this."""
        return await self._revoke(TOKENS.c.account_id == account_id, at)

    async def touch(self, token_ids: Collection[str], at: datetime) -> None:
        """Note that these tokens were used."""
        async with self._database.write() as connection:
            await connection.execute(TOKENS.update().where(TOKENS.c.id.in_(token_ids)).values(last_used_at=at))

    async def purge(self, before: datetime) -> int:
        """Forget the tokens that expired or were revoked before that moment; how many they were."""
        dead = (TOKENS.c.expires_at < before) | (TOKENS.c.revoked_at < before)
        async with self._database.write() as connection:
            return (await connection.execute(TOKENS.delete().where(dead))).rowcount

    async def _one(self, which: sa.ColumnElement[bool]) -> TokenInfo | None:
        async with self._database.read() as connection:
            row = (await connection.execute(sa.select(*_LISTED).where(which))).one_or_none()
            return _token(row) if row else None

    async def _revoke(self, which: sa.ColumnElement[bool], at: datetime) -> int:
        live = which & TOKENS.c.revoked_at.is_(None)
        async with self._database.write() as connection:
            return (await connection.execute(TOKENS.update().where(live).values(revoked_at=at))).rowcount


def _token(row: sa.Row[Any]) -> TokenInfo:
    return msgspec.convert(fields_of(row), TokenInfo)
