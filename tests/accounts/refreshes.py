"""An account with an OAuth credential in a database, and a token endpoint of a few lines."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from adapter.accounts.chores import Chores
from adapter.accounts.credentials import StoredCredential, seal, unseal
from adapter.accounts.refreshing import Refreshing
from adapter.models import Credential, IntegratedAccount, Secret
from adapter.storage.accounts import AccountStore
from adapter.storage.database import Database
from adapter.storage.renewals import Renewals
from adapter.storage.vault import Vault
from tests.storage.samples import an_account

OLD_KEY, NEW_KEY = "fake-secret-key-" + "o" * 32, "fake-secret-key-" + "n" * 32
LIFE = timedelta(hours=8)


def a_credential(number: int = 0, *, left: float = 3600, refresh_token: str | None = "fake-refresh-0") -> Credential:
    """One of eight hours that has `left` seconds to live."""
    ends = datetime.now(UTC) + timedelta(seconds=left)
    return Credential(
        method="oauth2",
        access_token=Secret(f"fake-access-{number}"),
        refresh_token=Secret(refresh_token) if refresh_token else None,
        issued_at=ends - LIFE,
        expires_at=ends,
    )


class TokenEndpoint:
    """Gives `fake-access-1`, then 2, …; or fails as often as `failures` says."""

    def __init__(self) -> None:
        self.asked: list[Credential] = []
        self.failures: list[Exception] = []
        self.rotates = False
        self.arrived = asyncio.Semaphore(0)
        self.gate = asyncio.Event()
        self.gate.set()

    async def refresh(self, credential: Credential) -> Credential:
        self.asked.append(credential)
        self.arrived.release()
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        number = len(self.asked)
        kept = credential.refresh_token.reveal() if credential.refresh_token else ""
        return a_credential(number, left=28799, refresh_token=f"fake-refresh-{number}" if self.rotates else kept)


class Process:
    """What one process has of an account: its own memory and its own connections."""

    def __init__(self, database: Database, endpoint: TokenEndpoint, *, keys: str = NEW_KEY) -> None:
        self.seconds = 0.0
        self.changed: list[str] = []
        self.chores = Chores()
        self.store = AccountStore(database)
        self.vault = Vault(keys.split(","))
        self.refreshing = Refreshing(
            refresh=endpoint.refresh,
            renewals=Renewals(database, self.store),
            store=self.store,
            vault=self.vault,
            chores=self.chores,
            on_change=self.changed.append,
            timer=self.timer,
        )
        self.source = self.a_source()

    def timer(self) -> float:
        return self.seconds

    def a_source(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> StoredCredential:
        return StoredCredential(
            "a",
            store=self.store,
            vault=self.vault,
            chores=self.chores,
            on_change=self.changed.append,
            refreshing=self.refreshing,
            timer=self.timer,
            now=now,
        )

    async def put(self, credential: Credential) -> None:
        sealed = seal(self.vault, "a", credential)
        if not await self.store.update("a", sealed=sealed):
            await self.store.add(an_account(id="a", authentication_method="oauth2"), sealed)

    async def stored(self) -> Credential:
        sealed = await self.store.credential("a")
        assert sealed is not None
        return unseal(self.vault, "a", sealed)

    async def account(self) -> IntegratedAccount:
        account = await self.store.get("a")
        assert account is not None
        return account
