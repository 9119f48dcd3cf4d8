"""The only place that sees a secret and its sealed form: MultiFernet under keys derived from `ADAPTER_SECRET_KEYS`.

A sealed secret is `v1.<key id>.<Fernet token>`. The key id tells, without opening anything, whether a key is lost or
should be rotated away. Inside the token the secret stands behind what it is about (`account:<id>`), so that a sealed
value moved to another row doesn't open there.
"""

import hmac
import os
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from adapter.config import Settings
from adapter.errors import ConfigError, KeyLost
from adapter.storage.address import parse

MIN_KEY_CHARS = 32

_FORM = re.compile(rb"v1\.(?P<key>[0-9a-f]{16})\.(?P<token>[A-Za-z0-9_=-]+)")
_NAMESPACE = "unified-directory-adapter/"

_log = structlog.get_logger(__name__)


class _Key(msgspec.Struct, frozen=True):
    id: bytes
    material: bytes
    fernet: Fernet

    def __repr__(self) -> str:
        return f"_Key({self.id.decode()})"


class Vault:
    """Seals with the first key, opens with any. Its repr shows no key."""

    def __init__(self, keys: Sequence[str]) -> None:
        """ConfigError for no key, or one shorter than 32 characters."""
        if not keys:
            raise ConfigError("No secret key is given; set ADAPTER_SECRET_KEYS.")
        for place, key in enumerate(keys, 1):
            if len(key) < MIN_KEY_CHARS:
                raise ConfigError(
                    f"ADAPTER_SECRET_KEYS: key {place} has {len(key)} characters and needs {MIN_KEY_CHARS} or more."
                )
        self._keys = {key.id: key for key in map(_key, keys)}
        self._first = next(iter(self._keys.values()))
        self._fernet = MultiFernet([key.fernet for key in self._keys.values()])

    def __repr__(self) -> str:
        return f"Vault({len(self._keys)} keys)"

    def seal(self, secret: bytes | str, *, about: str) -> bytes:
        """`secret` sealed with the first key; `about` names the row that it may be opened for."""
        body = secret.encode() if isinstance(secret, str) else secret
        token = self._fernet.encrypt(about.encode() + b"\0" + body)
        return b"v1." + self._first.id + b"." + token

    def open(self, sealed: bytes, *, about: str) -> bytes:
        """What was sealed about the same row; KeyLost where the key is gone or the value is another's or altered."""
        match = _FORM.fullmatch(sealed)
        if match is None or match["key"] not in self._keys:
            raise KeyLost
        try:
            body = self._fernet.decrypt(match["token"])
        except InvalidToken:
            raise KeyLost("A sealed credential was altered and can't be opened; reconnect the account.") from None
        begin = about.encode() + b"\0"
        if not hmac.compare_digest(body[: len(begin)], begin):
            raise KeyLost("A sealed credential stands where it does not belong; reconnect the account.")
        return body[len(begin) :]

    def can_open(self, sealed: bytes) -> bool:
        """Whether the key that sealed this is among ours."""
        match = _FORM.fullmatch(sealed)
        return match is not None and match["key"] in self._keys

    def needs_reseal(self, sealed: bytes) -> bool:
        """Whether this was sealed with another key than the first."""
        match = _FORM.fullmatch(sealed)
        return match is None or match["key"] != self._first.id

    def reseal(self, sealed: bytes, *, about: str) -> bytes:
        """The same secret under the first key; KeyLost as `open`."""
        return self.seal(self.open(sealed, about=about), about=about)

    def derive(self, purpose: str) -> list[bytes]:
        """Keys of 32 bytes for another use than sealing, one for each secret: the first signs, all verify."""
        return [_hkdf(key.material, f"purpose/{purpose}") for key in self._keys.values()]


def load_vault(settings: Settings) -> Vault:
    """The vault under `ADAPTER_SECRET_KEYS`; without it, under a key kept beside the SQLite file, made if missing.

    ConfigError on PostgreSQL without a key: a key made there would be lost with the process's disk.
    """
    keys = [key.strip() for key in settings.adapter_secret_keys.split(",") if key.strip()]
    if keys:
        return Vault(keys)
    database = parse(settings.database_url).path
    if database is None:
        raise ConfigError(
            "ADAPTER_SECRET_KEYS is not set; on PostgreSQL it must be, for credentials are sealed with it: "
            f"any secret of {MIN_KEY_CHARS} characters or more, such as `openssl rand -hex 32` gives."
        )
    return Vault([_key_file(database.with_name(f"{database.name}.key"))])


def _key(secret: str) -> _Key:
    material = secret.encode()
    return _Key(
        id=_hkdf(material, "key-id")[:8].hex().encode(),
        material=material,
        fernet=Fernet(urlsafe_b64encode(_hkdf(material, "vault"))),
    )


def _hkdf(material: bytes, info: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=(_NAMESPACE + info).encode()).derive(material)


def _key_file(path: Path) -> str:
    try:
        if not path.exists() and _make_key_file(path):
            _log.warning(
                "secret_key_made", path=str(path), advice="keep it with the database, or set ADAPTER_SECRET_KEYS"
            )
        key = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The key file {path} can't be used ({type(error).__name__}): set ADAPTER_SECRET_KEYS."
        ) from None
    if len(key) < MIN_KEY_CHARS:
        raise ConfigError(f"The key file {path} holds no key of {MIN_KEY_CHARS} characters or more.")
    return key


def _make_key_file(path: Path) -> bool:
    """Make the file whole or not at all, and never over another's: of two processes at once, one makes it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True
