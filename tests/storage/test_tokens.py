from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from adapter.models import Scope
from adapter.storage.accounts import AccountStore
from adapter.storage.database import Database
from adapter.storage.tokens import TokenStore
from tests.storage.samples import NOW, an_account, an_account_token, an_api_token


@pytest.fixture
async def store(database: Database) -> TokenStore:
    await AccountStore(database).add(an_account(id="a"), b"")
    return TokenStore(database)


async def test_a_token_is_found_by_its_hash(store: TokenStore) -> None:
    api = an_api_token(name="ci", tenant_id="acme")
    account = an_account_token(account_id="a", scopes=(Scope.RAW_READ, Scope.RAW_WRITE), expires_at=NOW)
    await store.add(api, b"1" * 32)
    await store.add(account, b"2" * 32, created_by=api.id)

    assert await store.by_hash(b"1" * 32) == api
    assert await store.by_hash(b"2" * 32) == account
    assert await store.by_hash(b"3" * 32) is None
    assert await store.get(api.id) == api
    assert await store.get("nobody") is None


async def test_a_hash_belongs_to_one_token(store: TokenStore) -> None:
    await store.add(an_api_token(), b"1")

    with pytest.raises(sa.exc.IntegrityError):
        await store.add(an_api_token(), b"1")


async def test_lists_are_by_id_and_filtered(store: TokenStore) -> None:
    for name in "ca":
        await store.add(an_api_token(id=name), name.encode())
    await store.add(an_account_token(id="b", account_id="a"), b"b")

    assert [token.id for token in await store.list()] == ["a", "b", "c"]
    assert [token.id for token in await store.list(after="a", limit=1)] == ["b"]
    assert [token.id for token in await store.list(kind="api")] == ["a", "c"]
    assert [token.id for token in await store.list(account_id="a")] == ["b"]


async def test_a_revoked_token_is_revoked_once_and_stays_listed(store: TokenStore) -> None:
    token = an_api_token()
    await store.add(token, b"1")

    assert await store.revoke(token.id, NOW) is True
    assert await store.revoke(token.id, NOW + timedelta(hours=1)) is False
    assert await store.revoke("nobody", NOW) is False

    found = await store.by_hash(b"1")
    assert found is not None
    assert found.revoked_at == NOW


async def test_revoking_an_account_s_tokens_leaves_the_others(store: TokenStore) -> None:
    for _ in range(3):
        await store.add(an_account_token(account_id="a"), uuid4().bytes)
    api = an_api_token()
    await store.add(api, b"1")

    assert await store.revoke_for_account("a", NOW) == 3
    assert await store.revoke_for_account("a", NOW) == 0
    assert await store.get(api.id) == api


async def test_use_is_noted(store: TokenStore) -> None:
    used, unused = an_api_token(), an_api_token()
    await store.add(used, b"1")
    await store.add(unused, b"2")

    await store.touch([used.id], NOW)

    assert [token.last_used_at for token in (await store.by_hash(b"1"), await store.by_hash(b"2")) if token] == [
        NOW,
        None,
    ]


async def test_dead_tokens_are_purged_and_living_ones_kept(store: TokenStore) -> None:
    await store.add(an_account_token(id="expired", account_id="a", expires_at=NOW - timedelta(days=2)), b"1")
    await store.add(an_account_token(id="fresh", account_id="a", expires_at=NOW), b"2")
    await store.add(an_api_token(id="forever"), b"3")
    await store.add(an_api_token(id="revoked"), b"4")
    await store.revoke("revoked", NOW - timedelta(days=2))

    assert await store.purge(NOW - timedelta(days=1)) == 2
    assert [token.id for token in await store.list()] == ["forever", "fresh"]


async def test_an_account_token_needs_its_account(store: TokenStore) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        await store.add(an_account_token(account_id="nobody"), b"1")
