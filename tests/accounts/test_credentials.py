from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.accounts.chores import Chores
from adapter.accounts.credentials import StoredCredential, about, seal, unseal
from adapter.errors import AccountBlocked, AccountNotFound, KeyLost, RemoteForbidden
from adapter.models import Credential, Secret
from adapter.storage.accounts import AccountStore
from adapter.storage.database import Database
from adapter.storage.vault import Vault
from tests.storage.samples import an_account

VAULT = Vault(["fake-secret-key-" + "k" * 32])
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)


@given(
    st.builds(
        Credential,
        method=st.sampled_from(["api_key", "oauth2"]),
        access_token=st.builds(Secret, _TEXT),
        refresh_token=st.none() | st.builds(Secret, _TEXT),
        expires_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    )
)
@settings(deadline=None)
def test_a_credential_comes_out_of_the_vault_as_it_went_in(credential: Credential) -> None:
    assert unseal(VAULT, "a", seal(VAULT, "a", credential)) == credential


def test_a_credential_moved_to_another_account_s_row_does_not_open() -> None:
    sealed = seal(VAULT, "a", Credential(method="api_key", access_token=Secret("fake")))

    with pytest.raises(KeyLost, match="integrated account b"):
        unseal(VAULT, "b", sealed)


def test_a_credential_is_encoded_for_the_vault_alone() -> None:
    credential = Credential(method="api_key", access_token=Secret("hunter2"), expires_at=datetime.now(UTC))

    assert "hunter2" not in repr(credential)
    with pytest.raises(TypeError):
        msgspec.json.encode(credential)


class Kept:
    """One account's credential in the store, and its source under test."""

    def __init__(self, database: Database) -> None:
        self.seconds = 0.0
        self.changed: list[str] = []
        self.chores = Chores()
        self.store = AccountStore(database)
        self.source = StoredCredential(
            "a",
            store=self.store,
            vault=VAULT,
            chores=self.chores,
            on_change=self.changed.append,
            timer=lambda: self.seconds,
        )

    async def put(self, key: str) -> None:
        sealed = seal(VAULT, "a", Credential(method="api_key", access_token=Secret(key)))
        if not await self.store.update("a", sealed=sealed):
            await self.store.add(an_account(id="a"), sealed)

    async def status(self) -> str:
        account = await self.store.get("a")
        assert account is not None
        return account.status


@pytest.fixture
async def kept(database: Database) -> Kept:
    kept = Kept(database)
    await kept.put("fake-1")
    return kept


async def test_the_credential_is_reread_after_seconds(kept: Kept) -> None:
    assert await kept.source.token() == Secret("fake-1")
    await kept.put("fake-2")

    assert await kept.source.token() == Secret("fake-1")
    kept.seconds = 5
    assert await kept.source.token() == Secret("fake-2")


async def test_a_rejected_key_is_renewed_only_by_another(kept: Kept) -> None:
    first = await kept.source.token()

    assert await kept.source.renew(first) is None
    await kept.put("fake-2")
    assert await kept.source.renew(first) == Secret("fake-2")
    assert await kept.source.token() == Secret("fake-2")


async def test_a_rejection_marks_the_account(kept: Kept) -> None:
    token = await kept.source.token()
    await kept.source.renew(token)
    await kept.source.rejected(token)

    assert await kept.status() == "needs_reauth"
    assert kept.changed == ["a"]


async def test_a_rejection_of_a_body_that_was_not_sent_again_marks_it_too(kept: Kept) -> None:
    await kept.source.rejected(await kept.source.token())

    assert await kept.status() == "needs_reauth"


async def test_a_late_rejection_does_not_mark_a_newer_credential(kept: Kept) -> None:
    token = await kept.source.token()
    await kept.source.renew(token)
    await kept.put("fake-2")

    await kept.source.rejected(token)

    assert await kept.status() == "active"
    assert kept.changed == []


async def test_an_account_that_was_removed_elsewhere_is_not_found_and_never_to_be_connected_again(kept: Kept) -> None:
    token = await kept.source.token()
    await kept.store.remove("a")
    kept.seconds = 10

    with pytest.raises(AccountNotFound):
        await kept.source.token()
    with pytest.raises(AccountNotFound):
        await kept.source.renew(token)


def _forbidden(*scopes: str, **more: Any) -> RemoteForbidden:
    insight = {"forbidden_error": {"missing_scopes": list(scopes)}}
    return RemoteForbidden(403, "no", insight=insight, **more)


async def test_the_same_403_is_noted_once_a_minute_and_another_at_once(kept: Kept) -> None:
    for seconds, error in [
        (0, _forbidden("global")),
        (59, _forbidden("global")),
        (59, _forbidden("read", remote_id="forbidden")),
        (120, _forbidden("read", remote_id="forbidden")),
    ]:
        kept.seconds = seconds
        await kept.source.forbidden(error)
        await kept.chores.finish()

    account = await kept.store.get("a")
    assert len(kept.changed) == 3
    assert account is not None
    assert account.last_forbidden_error is not None
    assert account.last_forbidden_error.missing_scopes == ("read",)
    assert account.last_forbidden_error.message == "The credential lacks a scope for that at the provider: read."
    assert about("a") == "account:a"


async def test_whoever_holds_a_client_of_a_blocked_account_gets_no_credential_any_more(database: Database) -> None:
    kept = Kept(database)
    await kept.put("fake")
    await kept.source.token()

    await kept.store.update("a", is_blocked=True)
    kept.seconds += 5
    with pytest.raises(AccountBlocked):
        await kept.source.token()

    await kept.store.update("a", is_blocked=False)
    assert await kept.source.token() == Secret("fake")
