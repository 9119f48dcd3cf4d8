"""When two requests are one: the same key within its scope, or the same wish of the same caller."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from adapter.directory.writing.model import Ask
from adapter.models import Caller
from adapter.storage.operation_rows import Key


def caller_words(caller: Caller | None) -> Mapping[str, Any]:
    """A caller as operations keep them; None is the deployment itself, on the command line."""
    return {"kind": caller.kind, "token_id": caller.token_id} if caller else {"kind": "deployment", "token_id": None}


def sameness_of(account_id: str, caller: Caller | None, ask: Ask) -> str:
    """Equal for the same wish of the same caller about the same account."""
    return _hash(account_id, caller_words(caller), ask)


def key_of(account_id: str, caller: Caller | None, ask: Ask, key: str, address: str) -> Key:
    """An `Idempotency-Key` in its scope: caller, account, and where it was sent to (the kind, and `address`)."""
    scope = _hash(account_id, caller_words(caller), ask.kind, address, key)
    return Key(id=scope, body=_hash(ask))


def _hash(*parts: Any) -> str:
    encoded = msgspec.json.encode(msgspec.to_builtins(parts), order="deterministic")
    return hashlib.sha256(encoded).hexdigest()
