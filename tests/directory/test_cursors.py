"""A cursor comes back to the list that gave it out, and to no other; nobody can make one."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from adapter.directory.cursors import Cursors
from adapter.errors import InvalidCursor

KEY, OTHER = b"k" * 32, b"o" * 32
BOUND = 'account|users|[["status","eq",["active"]]]'

payloads = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def refused(bound_to: str, cursor: str, cursors: Cursors | None = None) -> bool:
    try:
        (cursors or Cursors([KEY])).open(bound_to, cursor)
    except InvalidCursor:
        return True
    return False


@given(st.text(), payloads)
def test_what_was_sealed_comes_back_unchanged_and_fits_into_a_url(bound_to: str, payload: Any) -> None:
    cursors = Cursors([KEY])
    sealed = cursors.seal(bound_to, payload)
    assume(len(sealed) <= 8192)

    assert cursors.open(bound_to, sealed) == payload
    assert all(char.isascii() and (char.isalnum() or char in "-_") for char in sealed)


@given(payloads, st.text(), st.text())
def test_a_cursor_of_another_list_is_refused(payload: Any, bound_to: str, other: str) -> None:
    assume(bound_to != other)

    assert refused(other, Cursors([KEY]).seal(bound_to, payload))


@pytest.mark.parametrize(
    "other",
    [
        'other|users|[["status","eq",["active"]]]',
        'account|groups|[["status","eq",["active"]]]',
        'account|users|[["status","eq",["invited"]]]',
        "account|users|[]",
        "",
    ],
)
def test_another_account_resource_or_filter_is_another_list(other: str) -> None:
    assert refused(other, Cursors([KEY]).seal(BOUND, "u1"))


@given(st.data())
def test_a_cursor_with_any_character_changed_is_refused(data: st.DataObject) -> None:
    sealed = Cursors([KEY]).seal(BOUND, "u1")
    place = data.draw(st.integers(0, len(sealed) - 1))
    char = data.draw(st.characters().filter(lambda char: char != sealed[place]))

    assert refused(BOUND, sealed[:place] + char + sealed[place + 1 :])


@given(st.integers(0, 1000), st.text(min_size=1, max_size=4))
def test_a_cursor_cut_short_or_made_longer_is_refused(length: int, more: str) -> None:
    sealed = Cursors([KEY]).seal(BOUND, "u1")

    assert refused(BOUND, sealed[: length % len(sealed)])
    assert refused(BOUND, sealed + more)
    assert refused(BOUND, more + sealed)


@given(st.text() | st.binary().map(lambda raw: raw.hex()))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    assert refused(BOUND, text)


@pytest.mark.parametrize("text", ["", "=", "====", "a", "é", "\0", "a" * 8193, "A" * 8192, "bnVsbA"])
def test_these_are_no_cursors(text: str) -> None:
    assert refused(BOUND, text)


def test_a_cursor_has_one_spelling() -> None:
    cursors = Cursors([KEY])
    sealed = next(text for text in (cursors.seal(BOUND, n) for n in range(1000)) if "-" in text and len(text) % 4)

    assert refused(BOUND, sealed + "=" * (-len(sealed) % 4))
    assert refused(BOUND, sealed.replace("-", "+"))


def test_a_cursor_outlives_the_rotation_of_its_key_but_not_its_removal() -> None:
    sealed = Cursors([KEY]).seal(BOUND, ["b", "u1"])

    assert Cursors([OTHER, KEY]).open(BOUND, sealed) == ["b", "u1"]
    assert refused(BOUND, sealed, Cursors([OTHER]))
    assert Cursors([OTHER]).open(BOUND, Cursors([OTHER, KEY]).seal(BOUND, 1)) == 1


def test_there_are_no_cursors_without_a_key() -> None:
    with pytest.raises(ValueError, match="at least one key"):
        Cursors([])
