"""What the lists of an account say alike is kept once, and they say the same as before."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.directory import sharing
from adapter.directory.sharing import Alike

TEXTS = st.text(max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.floats(0, 2) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=6),
    max_leaves=12,
)


def members(team: int) -> list[Any]:
    body = [
        {
            "id": f"m{team}-{n}",
            "role": "member",
            "user": {"id": f"user-{n}", "email": f"{n}@example.com"},
            "tags": ["new"],
        }
        for n in range(3)
    ]
    return msgspec.json.decode(msgspec.json.encode(body), type=list[Any])


async def test_equal_texts_and_equal_small_objects_of_all_lists_are_one() -> None:
    alike = Alike()
    one, other = await alike.shared(members(1)), await alike.shared(members(2))

    assert one[0]["role"] is other[2]["role"]
    assert one[1]["user"] is other[1]["user"]
    assert one[0]["tags"][0] is other[1]["tags"][0]
    assert one[0]["id"] != other[0]["id"]


async def test_of_two_lists_with_a_gather_between_them_each_has_its_own() -> None:
    one, other = await Alike().shared(members(1)), await Alike().shared(members(1))

    assert one == other
    assert one[0]["user"] is not other[0]["user"]


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_MOST", 5)
    alike = Alike()
    one, other, third = [await alike.shared(members(team)) for team in (1, 2, 2)]

    assert one[0]["role"] is one[2]["role"]
    assert one[0]["role"] is not other[0]["role"]
    assert other == third


@given(st.lists(st.dictionaries(TEXTS, VALUES, max_size=5) | VALUES, max_size=5), st.data())
async def test_whatever_a_list_says_it_says_still(records: list[Any], data: st.DataObject) -> None:
    alike = Alike()
    for known in [records, data.draw(st.permutations(records))]:
        before = msgspec.json.encode(known)
        shared = await alike.shared(msgspec.json.decode(before, type=list[Any]))

        # To the byte: `1`, `1.0` and `true` are equal in Python, and the order of fields is told to nobody.
        assert msgspec.json.encode(shared) == before
