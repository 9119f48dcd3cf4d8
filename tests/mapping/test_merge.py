"""How the values of one field become one: what is known is kept, and the order of those who said it does not matter."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.mapping.merge import merge_field, moment, only_value
from adapter.mapping.schema import FieldDecl

UNION = FieldDecl(type="array", always=True, merge="union")
BY_EMAIL = FieldDecl(type="array", always=True, merge="union", by="email")
RANK = FieldDecl(type="string", merge="rank", rank=["active", "invited"])
ANY = FieldDecl(type="boolean", merge="any")
EARLIEST = FieldDecl(type="datetime", merge="earliest")
LATEST = FieldDecl(type="datetime", merge="latest")
FIRST = FieldDecl(type="string")

known = st.none() | st.text(max_size=3)
times = st.none() | st.datetimes(timezones=st.just(UTC)).map(lambda at: at.isoformat())
ranked = st.none() | st.sampled_from(["active", "invited", "paused"])
truths = st.none() | st.booleans()
items = st.dictionaries(st.sampled_from("ab"), st.integers(0, 2), max_size=2) | st.integers(0, 3) | st.text(max_size=1)
lists = st.none() | st.lists(items, max_size=3)
WAYS = [(FIRST, known), (UNION, lists), (RANK, ranked), (ANY, truths), (EARLIEST, times), (LATEST, times)]


def marks(merged: Any) -> set[bytes]:
    return {msgspec.json.encode(item, order="deterministic") for item in merged or ()}


@pytest.mark.parametrize(
    ("field", "values", "expected"),
    [
        (FIRST, [None, "a", "b"], "a"),
        (FIRST, [None, None], None),
        (FIRST, [], None),
        (FIRST, ["", "b"], ""),
        (RANK, ["invited", "active"], "active"),
        (RANK, ["invited", None], "invited"),
        (RANK, ["paused", "invited"], "invited"),
        (RANK, ["paused", None], "paused"),
        (RANK, [["odd"], "invited"], "invited"),
        (ANY, [None, False], False),
        (ANY, [False, True, None], True),
        (ANY, [None, None], None),
        (EARLIEST, ["2024-01-01T12:00:00Z", "2024-01-01T12:30:00+02:00"], "2024-01-01T12:30:00+02:00"),
        (EARLIEST, ["soon", "2024-01-01T12:00:00Z"], "2024-01-01T12:00:00Z"),
        (LATEST, ["2024-01-01T12:00:00Z", None, "2024-01-02T12:00:00Z"], "2024-01-02T12:00:00Z"),
        (LATEST, ["soon", None], "soon"),
        (UNION, [[{"id": 1}], None, [{"id": 2}, {"id": 1}]], [{"id": 2}, {"id": 1}]),
        (UNION, [["View"], ["view"]], ["View", "view"]),
        (UNION, [[1, 1]], [1]),
        (UNION, [None], []),
        (UNION, [], []),
        (FieldDecl(type="array", merge="union"), [None], None),
        (FieldDecl(type="array", always=True), [None], []),
        (BY_EMAIL, [[{"email": "A@x", "n": 1}], [{"email": "a@X", "n": 2}]], [{"email": "A@x", "n": 1}]),
        (BY_EMAIL, [[{"n": 1}], [{"n": 2}]], [{"n": 1}, {"n": 2}]),
    ],
)
def test_these_values_become_this_one(field: FieldDecl, values: list[Any], expected: Any) -> None:
    assert merge_field(field, values) == expected


@pytest.mark.parametrize(("field", "values"), WAYS, ids=lambda way: getattr(way, "merge", ""))
@given(data=st.data())
def test_what_is_merged_once_stays_as_it_is(field: FieldDecl, values: Any, data: st.DataObject) -> None:
    merged = merge_field(field, data.draw(st.lists(values)))

    assert merge_field(field, [merged]) == merged
    assert merge_field(field, [merged, merged, None]) == merged


@pytest.mark.parametrize(("field", "values"), WAYS, ids=lambda way: getattr(way, "merge", ""))
@given(data=st.data())
def test_it_does_not_matter_how_what_is_merged_was_grouped(field: FieldDecl, values: Any, data: st.DataObject) -> None:
    groups = data.draw(st.lists(st.lists(values, max_size=3), max_size=3))
    everything = [value for group in groups for value in group]

    assert merge_field(field, [merge_field(field, group) for group in groups]) == merge_field(field, everything)


@pytest.mark.parametrize(("field", "values"), WAYS, ids=lambda way: getattr(way, "merge", ""))
@given(data=st.data())
def test_what_is_unknown_never_wins_over_what_is_known(field: FieldDecl, values: Any, data: st.DataObject) -> None:
    some = data.draw(st.lists(values))
    merged = merge_field(field, some)

    assert merge_field(field, [None, *some, None]) == merged
    if field.type != "array":
        assert (merged is None) == all(value is None for value in some)


@given(st.lists(truths))
def test_any_is_true_where_one_is_false_where_one_is_known_and_else_unknown(values: list[bool | None]) -> None:
    expected = True if True in values else False if False in values else None

    assert merge_field(ANY, values) is expected


@given(st.lists(lists))
def test_a_union_keeps_everybody_once(values: list[Any]) -> None:
    merged = merge_field(UNION, values)

    assert marks(merged) == {mark for value in values for mark in marks(value)}
    assert len(merged) == len(marks(merged))


@given(st.lists(times, min_size=1))
def test_the_earliest_and_the_latest_are_what_they_say(values: list[str | None]) -> None:
    at = [found for value in values if (found := moment(value))]

    assert moment(merge_field(EARLIEST, values)) == (min(at) if at else None)
    assert moment(merge_field(LATEST, values)) == (max(at) if at else None)


@pytest.mark.parametrize(("field", "values"), [way for way in WAYS if way[0].merge in {"any", "earliest", "latest"}])
@given(data=st.data())
def test_the_order_does_not_matter(field: FieldDecl, values: Any, data: st.DataObject) -> None:
    some = data.draw(st.lists(values))

    assert merge_field(field, data.draw(st.permutations(some))) == merge_field(field, some)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-31T12:00:00Z", datetime(2024, 1, 31, 12, tzinfo=UTC)),
        ("2024-01-31T12:00:00", datetime(2024, 1, 31, 12, tzinfo=UTC)),
        ("2024-01-31T14:00:00+02:00", datetime(2024, 1, 31, 12, tzinfo=UTC)),
        ("0001-01-01T00:00:00+02:00", datetime.fromisoformat("0001-01-01T00:00:00+02:00")),
        ("2024-01-31", None),
        ("2024-02-30T12:00:00Z", None),
        ("now", None),
        ("", None),
        (None, None),
        (1706702400, None),
        (True, None),
        ([], None),
    ],
)
def test_a_text_is_a_moment_or_none(text: Any, expected: datetime | None) -> None:
    assert moment(text) == expected


@pytest.mark.parametrize("field", [UNION, BY_EMAIL, RANK, ANY, EARLIEST, LATEST, FIRST])
@given(data=st.data())
def test_a_single_value_is_merged_with_nothing(field: FieldDecl, data: st.DataObject) -> None:
    words = st.sampled_from(["active", "invited", "2024-01-01T00:00:00Z", "other"])
    items = st.lists(st.fixed_dictionaries({"email": words}) | words, max_size=4)
    kinds = {"array": items, "boolean": st.booleans() | words}
    value = data.draw(st.none() | kinds.get(field.type, words))

    assert only_value(field, value) == merge_field(field, [value])
