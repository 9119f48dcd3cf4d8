import pickle
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.models import ALL_SCOPES, DEFAULT_SCOPES, Caller, Credential, Scope, Secret


@given(st.text(min_size=12, max_size=100))
def test_a_secret_shows_itself_by_name_only(text: str) -> None:
    secret = Secret(text)

    assert secret.reveal() == text
    for shown in (
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r}",
        repr([secret]),
        repr({1: secret}),
    ):
        assert text not in shown


def test_a_secret_is_equal_by_value() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_no_encoder_writes_a_secret_by_itself() -> None:
    for encode in (msgspec.json.encode, msgspec.msgpack.encode, msgspec.to_builtins):
        with pytest.raises(TypeError):
            encode({"token": Secret("hunter2")})


def test_a_secret_has_no_place_for_more() -> None:
    with pytest.raises(AttributeError):
        Secret("a").note = "b"  # type: ignore[attr-defined]  # what is tested


def test_a_credential_s_repr_shows_nothing() -> None:
    credential = Credential(
        method="oauth2",
        access_token=Secret("hunter2"),
        refresh_token=Secret("hunter3"),
        expires_at=datetime(2026, 1, 1, tzinfo=UTC),
    )

    assert "hunter" not in repr(credential)
    assert "oauth2" in repr(credential)


def test_an_account_token_reads_the_directory_unless_asked_otherwise() -> None:
    assert frozenset({Scope.DIRECTORY_READ}) == DEFAULT_SCOPES
    assert frozenset(Scope) == ALL_SCOPES


def test_scopes_are_the_contract_s_words() -> None:
    assert sorted(Scope) == ["directory:read", "directory:write", "raw:read", "raw:secrets", "raw:write"]


def test_a_caller_can_t_be_changed_after_it_was_found() -> None:
    caller = Caller(kind="account", token_id="t", account_id="a", scopes=DEFAULT_SCOPES)

    with pytest.raises(AttributeError):
        caller.scopes = ALL_SCOPES  # type: ignore[misc]  # what is tested
    assert pickle.loads(pickle.dumps(caller)) == caller  # noqa: S301  # our own
