from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from adapter.errors import LinkInvalid
from adapter.storage.accounts import AccountStore
from adapter.storage.database import Database
from adapter.storage.links import Link, LinkStore
from tests.storage.samples import NOW, an_account

HOUR = timedelta(hours=1)


def a_link(**fields: Any) -> Link:
    defaults: dict[str, Any] = {"id": uuid4().hex, "tenant_id": "acme", "created_at": NOW, "expires_at": NOW + HOUR}
    return Link(**(defaults | fields))


@pytest.fixture
async def store(database: Database) -> LinkStore:
    await AccountStore(database).add(an_account(id="a"), b"")
    return LinkStore(database)


async def begun(store: LinkStore, link: Link, name: str, state: bytes = b"state") -> None:
    """A session of that name, its hash the same, with a way begun."""
    await store.add_session(name, name.encode(), link_id=link.id, at=NOW, expires_at=NOW + HOUR)
    await store.begin(
        name, state=state + name.encode(), expires_at=NOW + HOUR, sealed_verifier=b"sealed " + name.encode()
    )


FULL: dict[str, Any] = {
    "tenant_id": None,
    "account_id": "a",
    "redirect_uri": "https://app.example/back",
    "origin": "https://app.example",
    "context": {"plan": {"seats": [1, None]}, "note": "ü\u0000"},
    "scopes": ("identity", "read"),
    "authentication_methods": ("oauth2",),
    "created_by": "token",
}


@pytest.mark.parametrize("fields", [{}, FULL], ids=["bare", "full"])
async def test_a_link_comes_back_as_it_was_kept(store: LinkStore, fields: dict[str, Any]) -> None:
    link = a_link(**fields)
    await store.add(link, b"hash")

    assert await store.by_hash(b"hash") == link
    assert await store.by_hash(b"another") is None


async def test_a_session_brings_its_link(store: LinkStore) -> None:
    link = a_link()
    await store.add(link, b"hash")
    await store.add_session("s", b"cookie", link_id=link.id, at=NOW, expires_at=NOW + HOUR)

    found = await store.session(b"cookie")

    assert found is not None
    assert (found.id, found.link, found.expires_at, found.account_result) == ("s", link, NOW + HOUR, None)
    assert await store.session(b"another") is None
    await store.remove_session("s")
    assert await store.session(b"cookie") is None
    assert await store.begin("s", state=b"x", expires_at=NOW, sealed_verifier=b"x") is False


async def test_a_link_that_went_in_this_moment_is_invalid(store: LinkStore) -> None:
    with pytest.raises(LinkInvalid):
        await store.add_session("s", b"cookie", link_id="gone", at=NOW, expires_at=NOW)


async def test_what_was_begun_is_taken_once_by_its_own(store: LinkStore) -> None:
    link = a_link()
    await store.add(link, b"hash")
    await begun(store, link, "s")
    await begun(store, link, "t")

    assert await store.take(b"t", b"states") is None
    taken = await store.take(b"s", b"states")
    assert taken is not None
    assert (taken.session_id, taken.expires_at, taken.sealed_verifier) == ("s", NOW + HOUR, b"sealed s")
    assert await store.take(b"s", b"states") is None
    assert await store.take(b"s", None) is None
    assert await store.verifier("s") is None
    assert await store.take(b"t", None) is not None


async def test_consuming_undoes_the_account_where_the_link_was_used(store: LinkStore, database: Database) -> None:
    accounts, link = AccountStore(database), a_link()
    await store.add(link, b"hash")
    for name in "st":
        await begun(store, link, name)
    first, second = await store.session(b"s"), await store.session(b"t")
    assert first is not None
    assert second is not None

    await accounts.add(an_account(id="won"), b"", also=store.consuming(first, NOW))
    for again in (
        accounts.add(an_account(id="lost"), b"", also=store.consuming(second, NOW)),
        accounts.update("a", sealed=b"new", is_blocked=True, also=store.consuming(second, NOW)),
    ):
        with pytest.raises(LinkInvalid):
            await again

    used = await store.by_hash(b"hash")
    assert used is not None
    assert (used.consumed_at, used.account_result) == (NOW, "won")
    assert await accounts.get("lost") is None
    kept = await accounts.get("a")
    assert kept is not None
    assert (kept.is_blocked, await accounts.credential("a")) == (False, b"")
    sessions = [await store.session(cookie) for cookie in (b"s", b"t")]
    assert [session.account_result for session in sessions if session] == ["won", None]


async def test_purging_forgets_what_expired_before(store: LinkStore) -> None:
    for name, until in (("old", NOW - HOUR), ("new", NOW + HOUR)):
        link = a_link(expires_at=until)
        await store.add(link, name.encode())
        await store.add_session(name, name.encode(), link_id=link.id, at=NOW, expires_at=until)

    assert await store.purge(links_before=NOW - 2 * HOUR, sessions_before=NOW) == 1
    assert await store.session(b"old") is None
    assert await store.purge(links_before=NOW, sessions_before=NOW) == 1
    assert await store.by_hash(b"old") is None
    assert await store.by_hash(b"new") is not None
    assert await store.session(b"new") is not None


async def test_every_sealed_verifier_is_met_once_across_batches(
    store: LinkStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapter.storage.links._BATCH", 2)
    link = a_link()
    await store.add(link, b"hash")
    for number in range(5):
        await begun(store, link, f"s{number}")
    await store.take(b"s1", None)

    met = [pair async for pair in store.iterate_sealed()]

    assert met == [(f"s{number}", b"sealed s%d" % number) for number in (0, 2, 3, 4)]
    assert await store.reseal("s0", old=b"sealed s0", new=b"again") is True
    assert await store.reseal("s0", old=b"sealed s0", new=b"late") is False
    assert await store.verifier("s0") == b"again"
