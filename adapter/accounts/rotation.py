"""What is sealed with an older key, sealed anew with the first: while others read, write and replace it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

import msgspec
import structlog

from adapter.errors import KeyLost
from adapter.storage.vault import Vault

_MOST_NAMED = 100

_log = structlog.get_logger(__name__)


class Sealed(Protocol):
    """A drawer of sealed values, by the id of what they belong to."""

    def iterate_sealed(self) -> AsyncIterator[tuple[str, bytes]]: ...
    async def reseal(self, owner_id: str, *, old: bytes, new: bytes) -> bool:
        """Put `new` in the place of `old`; False where `old` is no longer there."""


Reread = Callable[[str], Awaitable[bytes | None]]


class KeyRotation(msgspec.Struct, frozen=True, kw_only=True):
    """What a rotation of the secret keys did."""

    resealed: int
    """Values that are now under the first key."""
    current: int
    """Values that were already."""
    lost: tuple[str, ...]
    """Whose value no key opens. Of integrated accounts: put the key back, or reconnect them."""


async def rotated(vault: Vault, drawer: Sealed, *, about: Callable[[str], str], reread: Reread) -> KeyRotation:
    """Reseal every value of a drawer; `about` names what an owner's value is sealed for, `reread` gives it as it is.

    No value is locked, so whoever uses one is not held up; one that is replaced meanwhile is looked at again.
    """
    resealed, current, lost = 0, 0, list[str]()
    async for owner_id, sealed in drawer.iterate_sealed():
        if not vault.needs_reseal(sealed):
            current += 1
        elif await _resealed(vault, drawer, owner_id, sealed, about(owner_id), reread):
            resealed += 1
        else:
            lost.append(owner_id)
    return KeyRotation(resealed=resealed, current=current, lost=tuple(lost))


async def reported(lost: Callable[[], Awaitable[Sequence[str]]]) -> None:
    """Name in the log the integrated accounts whose credential no key opens."""
    if named := await lost():
        advice = KeyLost().message
        _log.error("keys_lost", count=len(named), integrated_account_ids=named[:_MOST_NAMED], advice=advice)


async def _resealed(vault: Vault, drawer: Sealed, owner_id: str, sealed: bytes, about: str, reread: Reread) -> bool:
    """False where no key opens it."""
    stored: bytes | None = sealed
    while stored is not None and vault.needs_reseal(stored):
        try:
            fresh = vault.reseal(stored, about=about)
        except KeyLost:
            return False
        if await drawer.reseal(owner_id, old=stored, new=fresh):
            return True
        stored = await reread(owner_id)
    return True
