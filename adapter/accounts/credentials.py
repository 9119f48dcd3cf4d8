"""Credentials between the vault and the client: sealed on one side, a `CredentialSource` on the other."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from adapter.accounts.chores import Chores
from adapter.errors import AccountBlocked, KeyLost, NeedsReauth, RemoteForbidden
from adapter.models import Credential, ErrorNote, Secret
from adapter.storage.accounts import AccountStore
from adapter.storage.vault import Vault

_MAX_AGE = 4.0
_NOTE_EVERY = 60.0

_log = structlog.get_logger(__name__)


def about(account_id: str) -> str:
    """What a sealed credential is bound to: its account's row."""
    return f"account:{account_id}"


def seal(vault: Vault, account_id: str, credential: Credential) -> bytes:
    return vault.seal(msgspec.json.encode(credential, enc_hook=_reveal), about=about(account_id))


def unseal(vault: Vault, account_id: str, sealed: bytes) -> Credential:
    """KeyLost names the account."""
    try:
        plain = vault.open(sealed, about=about(account_id))
    except KeyLost as error:
        raise KeyLost(f"{error.message} (integrated account {account_id})") from None
    return msgspec.json.decode(plain, type=Credential, dec_hook=lambda _type, value: Secret(value))


def _reveal(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(type(value).__name__)


class StoredCredential:
    """An account's kept credential, opened when it is needed and reread after a few seconds.

    `on_change` is told when the account's row was changed from here.
    """

    def __init__(
        self,
        account_id: str,
        *,
        store: AccountStore,
        vault: Vault,
        chores: Chores,
        on_change: Callable[[str], None],
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._id = account_id
        self._store = store
        self._vault = vault
        self._chores = chores
        self._on_change = on_change
        self._timer = timer
        self._held: Secret | None = None
        self._held_until = 0.0
        self._reading = asyncio.Lock()
        self._refused: Secret | None = None
        self._noted: tuple[str, tuple[str, ...]] | None = None
        self._noted_until = 0.0

    async def token(self) -> Secret:
        """What to send; KeyLost where it can't be opened, NeedsReauth where there is none, AccountBlocked."""
        if self._held is not None and self._timer() < self._held_until:
            return self._held
        async with self._reading:  # when it lapses under load, it is read once
            if self._held is None or self._timer() >= self._held_until:
                self._held = await self._open_to_use()
                self._held_until = self._timer() + _MAX_AGE
            return self._held

    async def renew(self, rejected: Secret) -> Secret | None:
        """Another credential than the rejected one, if somebody has replaced it meanwhile; an API key can't do more."""
        _, stored = await self._read()
        self._refused = stored
        if stored == rejected:
            return None
        self._held, self._held_until = stored, self._timer() + _MAX_AGE
        return stored

    async def rejected(self) -> None:
        """The provider's last word: the account needs a new credential, unless it has got one in this moment."""
        sealed, stored = await self._read()
        if stored != (self._refused or self._held):
            return
        note = ErrorNote(code="needs_reauth", message=NeedsReauth().message, at=datetime.now(UTC))
        if await self._store.update(self._id, only_if=sealed, status="needs_reauth", last_error=note):
            _log.warning("account_needs_reauth", integrated_account_id=self._id)
            self._on_change(self._id)

    async def forbidden(self, error: RemoteForbidden) -> None:
        """Remember a 403, the same one at most once a minute, without keeping anybody waiting."""
        note = _note(error)
        what = (note.message, note.missing_scopes)
        if what == self._noted and self._timer() < self._noted_until:
            return
        self._noted, self._noted_until = what, self._timer() + _NOTE_EVERY
        self._chores.add("note_forbidden", self._keep(note))

    async def _keep(self, note: ErrorNote) -> None:
        await self._store.update(self._id, last_forbidden_error=note)
        self._on_change(self._id)

    async def _open_to_use(self) -> Secret:
        # Whoever was let in before the account was blocked, like a gather under way, ends here.
        account = await self._store.get(self._id)
        if account is not None and account.is_blocked:
            raise AccountBlocked
        return (await self._read())[1]

    async def _read(self) -> tuple[bytes, Secret]:
        sealed = await self._store.credential(self._id)
        if sealed is None:
            raise NeedsReauth
        return sealed, unseal(self._vault, self._id, sealed).access_token


def _note(error: RemoteForbidden) -> ErrorNote:
    missing = error.insight.get("forbidden_error", {}).get("missing_scopes", ())
    return ErrorNote(
        code=error.remote_id or error.code, message=error.message, at=datetime.now(UTC), missing_scopes=tuple(missing)
    )
