r"""Targets that say where they go: what passes here is sent exactly as it stands, so what was judged is what is sent.

Servers further on fold dot segments (`%2e%2e` too), turn `\` into `/`, decode, collapse `//` or cut at `;`; and httpx,
over which all but the raw doors' requests go, repairs what it can. A target in which any of that could matter is
refused, not repaired.
"""

import re
import unicodedata
from urllib.parse import unquote_to_bytes

from adapter.errors import InvalidTarget

# RFC 3986's path characters, each segment at least one, an empty last one allowed.
_PATH = re.compile(rb"(?:/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})+)*/?")
_QUERY = re.compile(rb"[\x21\x22\x24-\x7e]*")
_DOTS = re.compile(rb"/\.+(?:[/;]|\Z)")
_ENCODED_BREAK = re.compile(rb"%(?:00|0[aAdD])")
# Encoded, these are either pointless (unreserved characters) or a second reading of the path in wait.
_NEVER_ENCODED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/\\%?#;")
_SEPARATING = frozenset("/\\.%?#;:@&=")


def checked_target(raw_path: bytes, query: bytes = b"") -> str:
    """`raw_path` (with its leading slash, as it came) and `query` as one target; InvalidTarget if it isn't plain.

    Neither is decoded, encoded or reordered.
    """
    if not raw_path or not _PATH.fullmatch(raw_path):
        raise InvalidTarget
    if b"." in raw_path and _DOTS.search(raw_path):
        raise InvalidTarget
    if b"%" in raw_path:
        _check_encoded(raw_path)
    path = raw_path.decode("ascii")
    if not query:
        return path
    if not _QUERY.fullmatch(query) or _ENCODED_BREAK.search(query):
        raise InvalidTarget("The query holds a character that can't be sent as it is; percent-encode it.")
    return f"{path}?{query.decode('ascii')}"


def _check_encoded(raw_path: bytes) -> None:
    for octet in re.findall(rb"%(..)", raw_path):
        code = int(octet, 16)
        if code in _NEVER_ENCODED or code < 0x20 or code == 0x7F:
            raise InvalidTarget
    try:
        text = unquote_to_bytes(raw_path).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidTarget from None
    if not text.isascii():
        _check_unicode(text)


def _check_unicode(text: str) -> None:
    """No character that some server's normalisation would turn into a separator (U+FF0F to `/`, say)."""
    for char in filter(lambda char: not char.isascii(), text):
        if unicodedata.category(char).startswith("C") or _SEPARATING & set(unicodedata.normalize("NFKC", char)):
            raise InvalidTarget
