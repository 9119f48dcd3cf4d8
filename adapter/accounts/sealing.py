"""Credentials as they lie in the store: sealed, and bound to their account's row."""

from typing import Any

import msgspec

from adapter.errors import KeyLost
from adapter.models import Credential, Secret
from adapter.storage.vault import Vault


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
