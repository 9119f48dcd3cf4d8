"""What a caller may put into an account, judged before anything is sent or kept: InvalidBody says where and why."""

from collections.abc import Mapping
from typing import Any

import msgspec

from adapter.errors import InvalidBody
from adapter.models import Secret

MAX_CONTEXT_BYTES = 16 * 1024
MAX_CONTEXT_LEVELS = 32
MAX_TENANT_CHARS = 256
MAX_KEY_CHARS = 4096
# A context is shown to whoever reads the account: what opens something has no place in it.
_CREDENTIAL_WORDS = frozenset({"api_key", "access_token", "refresh_token", "client_secret", "password"})


def refuse(where: str, found: str, expected: str) -> InvalidBody:
    """The error that names one field of a body; `found` is described, never quoted."""
    return InvalidBody(
        f"`{where}` {found}; expected {expected}.", details=[{"where": where, "what": found, "expected": expected}]
    )


def checked_tenant(tenant_id: str) -> str:
    if not 1 <= len(tenant_id) <= MAX_TENANT_CHARS:
        raise refuse("tenant_id", f"has {len(tenant_id)} characters", f"1 to {MAX_TENANT_CHARS}")
    if not tenant_id.isprintable():
        raise refuse("tenant_id", "holds a control character", "printable text")
    return tenant_id


def checked_key(api_key: Secret) -> Secret:
    """The key without the blanks that a clipboard adds; it has to fit into a header."""
    key = api_key.reveal().strip()
    if not 1 <= len(key) <= MAX_KEY_CHARS:
        raise refuse("context.api_key", f"has {len(key)} characters", f"1 to {MAX_KEY_CHARS}")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise refuse("context.api_key", "holds characters that no key has", "visible ASCII")
    return Secret(key)


def checked_context(context: Mapping[str, Any]) -> dict[str, Any]:
    """Anything that a caller wants to find again beside the account, but no credential."""
    for word in context:
        if word.lower() in _CREDENTIAL_WORDS:
            raise refuse(
                f"context.{word}", "is a credential", "none here: send it to PATCH /integrated-account/{id}/credentials"
            )
    if not _within(context, MAX_CONTEXT_LEVELS):
        raise refuse("context", "is nested too deep", f"at most {MAX_CONTEXT_LEVELS} levels")
    size = len(msgspec.json.encode(context))
    if size > MAX_CONTEXT_BYTES:
        raise refuse("context", f"is {size} bytes as JSON", f"at most {MAX_CONTEXT_BYTES}")
    return dict(context)


def merged_context(context: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`changes` laid over a context: a word with null is taken out, one not named stays."""
    return checked_context({word: value for word, value in {**context, **changes}.items() if value is not None})


def _within(value: Any, levels: int) -> bool:
    """Whether `value` nests no deeper: what a decoder just managed, another might not."""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return levels >= 0 and all(_within(item, levels - 1) for item in inner)
