import multiprocessing
import stat
from pathlib import Path

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.config import Settings
from adapter.errors import ConfigError, KeyLost
from adapter.storage.vault import Vault, load_vault

OLD, NEW, OTHER = "fake-old-" + "o" * 32, "fake-new-" + "n" * 32, "fake-other-" + "x" * 32


@given(st.binary(max_size=500), st.text(max_size=40).filter(lambda about: "\0" not in about))
@settings(deadline=None)
def test_what_was_sealed_opens_unchanged(secret: bytes, about: str) -> None:
    vault = Vault([NEW])

    assert vault.open(vault.seal(secret, about=about), about=about) == secret


def test_text_is_sealed_as_utf_8() -> None:
    vault = Vault([NEW])

    assert vault.open(vault.seal("schlüssel", about="a"), about="a") == "schlüssel".encode()


def test_the_same_secret_is_never_sealed_the_same_way() -> None:
    vault = Vault([NEW])

    assert vault.seal("x", about="a") != vault.seal("x", about="a")


def test_a_sealed_value_opens_only_for_what_it_is_about() -> None:
    vault = Vault([NEW])

    with pytest.raises(KeyLost, match="does not belong"):
        vault.open(vault.seal("x", about="account:1"), about="account:2")


@given(st.binary(max_size=200))
def test_no_other_bytes_open(sealed: bytes) -> None:
    with pytest.raises(KeyLost):
        Vault([NEW]).open(sealed, about="a")


@given(st.data())
@settings(deadline=None)
def test_an_altered_byte_is_noticed(data: st.DataObject) -> None:
    vault = Vault([NEW])
    sealed = bytearray(vault.seal("secret", about="a"))
    place = data.draw(st.integers(0, len(sealed) - 5))  # the last characters of base64 hold bits that mean nothing
    sealed[place] ^= data.draw(st.integers(1, 255))

    with pytest.raises(KeyLost):
        vault.open(bytes(sealed), about="a")


def test_the_first_key_seals_and_every_key_opens() -> None:
    old, both = Vault([OLD]), Vault([NEW, OLD])

    assert both.open(old.seal("x", about="a"), about="a") == b"x"
    with pytest.raises(KeyLost):
        old.open(both.seal("x", about="a"), about="a")


def test_rotation_leaves_the_old_key_behind() -> None:
    sealed = Vault([OLD]).seal("x", about="a")
    both = Vault([NEW, OLD])
    again = both.reseal(sealed, about="a")

    assert both.needs_reseal(sealed)
    assert not both.needs_reseal(again)
    assert Vault([NEW]).open(again, about="a") == b"x"


def test_a_lost_key_is_told_without_opening() -> None:
    sealed = Vault([OLD]).seal("x", about="a")

    assert Vault([NEW, OLD]).can_open(sealed)
    assert not Vault([NEW]).can_open(sealed)
    with pytest.raises(KeyLost, match="ADAPTER_SECRET_KEYS"):
        Vault([NEW]).open(sealed, about="a")


def test_keys_for_other_uses_differ_by_purpose_and_key_and_stay_the_same() -> None:
    keys = Vault([NEW, OLD]).derive("cursors")

    assert keys == Vault([NEW, OLD]).derive("cursors")
    assert [len(key) for key in keys] == [32, 32]
    assert len({*keys, *Vault([NEW, OLD]).derive("sessions")}) == 4
    assert keys[1] == Vault([OLD]).derive("cursors")[0]


@pytest.mark.parametrize("keys", [[], ["x" * 31], ["x" * 40, "short-secret"]])
def test_too_few_or_short_keys_are_refused_and_not_shown(keys: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Vault(keys)

    assert "short-secret" not in str(caught.value)


def test_no_repr_shows_a_key() -> None:
    vault = Vault([NEW])

    assert "fake-new" not in f"{vault!r} {vault} {vars(vault)}"


def _settings(tmp_path: Path, keys: str = "") -> Settings:
    return Settings(database_url=f"sqlite:///{tmp_path}/adapter.db", adapter_secret_keys=keys)


def test_the_keys_of_the_environment_are_trimmed_and_in_order(tmp_path: Path) -> None:
    vault = load_vault(_settings(tmp_path, f" {NEW} ,, {OLD},"))

    assert vault.derive("x") == Vault([NEW, OLD]).derive("x")
    assert list(tmp_path.iterdir()) == []


def test_postgresql_without_a_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="ADAPTER_SECRET_KEYS is not set"):
        load_vault(Settings(database_url="postgres://u:p@h/d"))


def test_the_embedded_default_makes_a_key_once_and_says_so(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        first = load_vault(_settings(tmp_path))
        second = load_vault(_settings(tmp_path))

    made = tmp_path / "adapter.db.key"
    assert first.derive("x") == second.derive("x")
    assert [path.name for path in tmp_path.iterdir()] == ["adapter.db.key"]
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert [entry["event"] for entry in logs] == ["secret_key_made"]
    assert made.read_text().strip() not in str(logs)


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 40])
def test_a_key_file_that_holds_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "adapter.db.key").write_bytes(content)

    with pytest.raises(ConfigError, match=r"adapter\.db\.key"):
        load_vault(_settings(tmp_path))


def _derived(folder: str) -> bytes:
    return load_vault(_settings(Path(folder))).derive("x")[0]


def test_processes_that_start_at_once_end_with_the_same_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        keys = pool.map(_derived, [str(tmp_path)] * 8, chunksize=1)

    assert len(set(keys)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["adapter.db.key"]
