"""The people of a world and their keys, and what every part of it needs to change: ids, time, the revision."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from .lookup import Lookup
from .records import Account, Key, repeatable

EPOCH = "2025-01-01T00:00:00Z"

Who = Account | str
"""Somebody: an account, or an e-mail address, which makes an account when it is not known."""


class People(Lookup):
    """`revision` goes up with every change; answers are cached against it.

    `now` gives the time of a change and `seed` the ids: the same calls on the same seed give the same world.
    """

    def __init__(self, seed: int = 0, now: Callable[[], str] = lambda: EPOCH) -> None:
        super().__init__()
        self.seed = seed
        self.now = now
        self.revision = 0
        self._rng = repeatable(seed)

    def new_id(self) -> str:
        return str(UUID(int=self._rng.getrandbits(128), version=4))

    def new_secret(self) -> str:
        return f"{self._rng.getrandbits(128):032x}"

    def touch(self) -> str:
        """Note a change; answers its time."""
        self.revision += 1
        return self.now()

    def person(self, who: Who) -> Account:
        if isinstance(who, Account):
            return who
        return self.account(who) or self.add_account(who)

    def add_account(
        self,
        email: str,
        name: str | None = None,
        *,
        two_factor: bool = False,
        federated: bool = False,
        verified: bool = True,
        suspended: bool = False,
        created_at: str | None = None,
    ) -> Account:
        now = self.touch()
        account = Account(
            id=self.new_id(),
            email=email,
            name=name,
            created_at=created_at or now,
            updated_at=created_at or now,
            two_factor=two_factor,
            federated=federated,
            verified=verified,
            suspended=suspended,
        )
        self.accounts[account.id] = account
        self._accounts_by_email[email.lower()] = account
        return account

    def add_key(self, who: Who, comment: str = "laptop") -> Key:
        now, account = self.touch(), self.person(who)
        key = Key(
            id=self.new_id(),
            account_id=account.id,
            comment=comment,
            fingerprint=":".join(f"{self._rng.getrandbits(8):02x}" for _ in range(16)),
            public_key=f"ssh-ed25519 SANDBOX{self.new_secret()} {comment}",
            created_at=now,
            updated_at=now,
        )
        self.keys[key.id] = key
        return key

    def forget(self, account: Account) -> None:
        """Drop an account and its keys; `World.remove_account` first takes it out of every place."""
        self.touch()
        for key in [key for key in self.keys.values() if key.account_id == account.id]:
            del self.keys[key.id]
        if self.owner_id == account.id:
            self.owner_id = None
        del self.accounts[account.id], self._accounts_by_email[account.email.lower()]
