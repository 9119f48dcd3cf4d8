"""Opaque cursors: authenticated, and bound to the list that they belong to."""

import base64
import binascii
import hmac
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec

from adapter.errors import InvalidCursor

_MAC_BYTES = 16
_MAX_CHARS = 8192


class Cursors:
    """Seals a place in a list so that it comes back unchanged, and to the same list only.

    `keys` are 32 bytes each: the first signs, all verify, so that cursors outlive a key rotation.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise ValueError("cursors need at least one key")
        self._keys = tuple(keys)

    def seal(self, bound_to: str, payload: Any) -> str:
        """`payload` (anything JSON) as URL-safe text; `bound_to` names account, resource and filters."""
        body = msgspec.json.encode(payload)
        return _encode(_mac(self._keys[0], bound_to, body) + body)

    def open(self, bound_to: str, cursor: str) -> Any:
        """What was sealed; InvalidCursor for any text that this list did not give out."""
        raw = _decode(cursor)
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not any(hmac.compare_digest(mac, _mac(key, bound_to, body)) for key in self._keys):
            raise InvalidCursor
        return msgspec.json.decode(body)


def _mac(key: bytes, bound_to: str, body: bytes) -> bytes:
    return hmac.new(key, bound_to.encode() + b"\0" + body, sha256).digest()[:_MAC_BYTES]


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(cursor: str) -> bytes:
    if len(cursor) > _MAX_CHARS:
        raise InvalidCursor
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except (binascii.Error, ValueError):
        raise InvalidCursor from None
    # Base64 is lenient about its last bits and foreign characters; a cursor has one spelling.
    if _encode(raw) != cursor:
        raise InvalidCursor
    return raw
