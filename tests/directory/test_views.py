"""Filters, orders and pages over shaped records: what is unknown is never a no, and a walk repeats and skips nobody."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.directory.query import Query, parse_list
from adapter.directory.views import Collection
from adapter.errors import InvalidCursor
from adapter.mapping.engine import Record
from adapter.web.query import parse_query
from tests.directory.fakes import SHIPPED

USERS = SHIPPED.resources["users"]


def user(key: str, **data: Any) -> Record:
    blank: dict[str, Any] = {name: [] if field.type == "array" else None for name, field in USERS.fields.items()}
    said = {**blank, "id": key, "status": "active", **data}
    return Record(key, tuple(said), tuple(said.values()))


def place(key: str) -> dict[str, str]:
    return {"id": key, "name": f"name-{key}"}


PEOPLE = [
    user("u1", name="Ada Lovelace", first_name="Ada", emails=[{"email": "Ada@Example.com"}], groups=[place("t1")],
         is_2fa_enabled=True, created_at="2024-01-01T00:00:00Z", user_type="admin"),
    user("u2", name="bob", emails=[{"email": "bob@example.com"}, {"email": "b@x.com"}], groups=[place("t1"),
         place("t2")],
         is_2fa_enabled=False, created_at="2024-01-01T01:30:00+02:00", user_type="user"),
    user("u3", name=None, emails=[{"email": "cyd@example.com"}], created_at="2024-01-01T00:00:00.5Z", user_type="user"),
    user("u4", name="Émile, ßtefan", status="invited", groups=[place("t2")], created_at=None),
]  # fmt: skip


def asked(text: str) -> Query:
    raw = text.encode().replace("é".encode(), b"%C3%A9").replace("ß".encode(), b"%C3%9F")
    return parse_list(USERS, parse_query(raw))


def keys(text: str, records: Sequence[Record] = tuple(PEOPLE)) -> list[str]:
    return [record.key for record in Collection(USERS, records).page(asked(text), None)[0]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["u1", "u2", "u3", "u4"]),
        ("group_id=t1", ["u1", "u2"]),
        ("group_id=t1,t2", ["u1", "u2", "u4"]),
        ("group_id[ne]=t1", ["u3", "u4"]),
        ("group_id[ne]=t1,t2", ["u3"]),
        ("group_id[eq]=t1&group[eq]=t2", ["u2"]),
        ("group_id=nobody", []),
        ("workspace_id=a1", []),
        ("status=invited", ["u4"]),
        ("status[ne]=invited", ["u1", "u2", "u3"]),
        ("status=active,invited", ["u1", "u2", "u3", "u4"]),
        ("user_type=admin", ["u1"]),
        ("user_type[ne]=admin", ["u2", "u3", "u4"]),
        ("is_2fa_enabled=true", ["u1"]),
        ("is_2fa_enabled=false", ["u2"]),
        ("is_2fa_enabled=null", ["u3", "u4"]),
        ("is_2fa_enabled=false,null", ["u2", "u3", "u4"]),
        ("is_2fa_enabled[ne]=null", ["u1", "u2"]),
        ("is_2fa_enabled[ne]=false", ["u1", "u3", "u4"]),
        ("is_2fa_enabled[gt]=false", ["u1"]),
        ("is_2fa_enabled[gt]=null", []),
        ("emails=ADA@example.COM", ["u1"]),
        ("emails=b@x.com", ["u2"]),
        ("emails=ada@example.com,b@x.com", ["u1", "u2"]),
        ("emails[ne]=b@x.com", ["u1", "u3", "u4"]),
        ("name=ada%20lovelace", ["u1"]),
        ("name=Émile,%20SStefan".replace("É", "é"), ["u4"]),
        ("name[gt]=b", ["u2", "u4"]),
        ("first_name=ada", ["u1"]),
        ("created_at[gt]=2024-01-01T00:00:00Z", ["u3"]),
        ("created_at[gte]=2024-01-01T00:00:00Z", ["u1", "u3"]),
        ("created_at[lt]=2024-01-01T00:00:00Z", ["u2"]),
        ("created_at[lte]=2024-01-01", ["u1", "u2"]),
        ("created_at=2023-12-31T23:30:00Z", ["u2"]),
        ("created_at[ne]=2024-01-01", ["u2", "u3", "u4"]),
        ("created_at[in]=2024-01-01,2023-12-31T23:30:00Z", ["u1", "u2"]),
        ("created_at[gte]=2024-01-01&created_at[lt]=2024-01-01T00:00:00.5Z", ["u1"]),
        ("q=lovelace", ["u1"]),
        ("q=EXAMPLE.com", ["u1", "u2", "u3"]),
        ("q=b@x", ["u2"]),
        ("q=%C3%89mile", ["u4"]),
        ("q=ada&status=invited", []),
        ("q=nobody", []),
    ],
)
def test_a_filter_chooses_these(query: str, expected: list[str]) -> None:
    assert keys(query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sort_by=name", ["u1", "u2", "u4", "u3"]),
        ("sort_by=-name", ["u4", "u2", "u1", "u3"]),
        ("sort_by=created_at", ["u2", "u1", "u3", "u4"]),
        ("sort_by=-created_at", ["u3", "u1", "u2", "u4"]),
        ("sort_by=status", ["u1", "u2", "u3", "u4"]),
        ("sort_by=-status", ["u4", "u1", "u2", "u3"]),
        ("sort_by=user_type", ["u1", "u2", "u3", "u4"]),
        ("sort_by=-id", ["u4", "u3", "u2", "u1"]),
        ("sort_by=last_name", ["u1", "u2", "u3", "u4"]),
        ("sort_by=-last_name", ["u1", "u2", "u3", "u4"]),
    ],
)
def test_an_order_puts_what_is_unknown_last_and_ties_by_id(query: str, expected: list[str]) -> None:
    assert keys(query) == expected


def test_values_that_nobody_expected_are_sorted_and_filtered_too() -> None:
    """What the mapping does not know passes through raw, of whatever kind."""
    odd: list[Any] = [7, "x", None, {"a": 1}, ["b"], True, "2024-01-01T00:00:00Z", 1.5]
    records = [user(f"u{n}", name=value, created_at=value, emails=value, groups=value, status=value)
               for n, value in enumerate(odd)]  # fmt: skip

    for name in USERS.sort:
        for sign in ("", "-"):
            assert sorted(keys(f"sort_by={sign}{name}", records)) == [record.key for record in records]
    for query in ("name[gt]=a", "created_at[lt]=2030-01-01", "emails=a", "group_id=t1", "group_id[ne]=t1", "q=a"):
        assert set(keys(query, records)) <= {record.key for record in records}
    assert keys("name[gt]=a", records) == ["u1", "u4"]


def test_a_record_is_found_by_its_id_alone() -> None:
    collection = Collection(USERS, PEOPLE)

    assert collection.find("u3") is PEOPLE[2]
    for key in ("", "u", "u0", "u33", "u9"):
        assert collection.find(key) is None
    assert Collection(USERS, []).find("u1") is None


def test_a_page_that_ends_with_the_last_record_has_no_next() -> None:
    collection = Collection(USERS, PEOPLE)

    for limit, after in ((4, None), (5, None), (2, "u2"), (1, "u3")):
        assert collection.page(Query(limit=limit), after)[1] is None
    assert collection.page(Query(limit=3), None)[1] == "u3"


def test_a_page_without_limit_is_everybody() -> None:
    records, place_after = Collection(USERS, PEOPLE).page(Query(limit=1, ignore_limit=True), None)

    assert (records, place_after) == (PEOPLE, None)
    assert Collection(USERS, []).page(Query(ignore_limit=True), None) == ([], None)


@pytest.mark.parametrize("after", [7, ["a"], ["a", "b", "c"], [None, 7], {"a": 1}, True, ["x", "u1"]])
@pytest.mark.parametrize("query", ["", "sort_by=name"])
def test_a_place_of_another_kind_of_list_is_refused(query: str, after: Any) -> None:
    with pytest.raises(InvalidCursor):
        Collection(USERS, PEOPLE).page(asked(query), after)


# --- walking

values = {
    "name": st.sampled_from([None, "a", "B", "b", "ß"]),
    "status": st.sampled_from(["active", "invited"]),
    "created_at": st.sampled_from(
        [None, "2024-01-01T00:00:00Z", "2024-01-01T02:00:00+02:00", "2025-01-01T00:00:00Z", "soon"]
    ),
    "is_2fa_enabled": st.sampled_from([None, True, False]),
    "groups": st.lists(st.sampled_from([place("t1"), place("t2")]), unique_by=lambda group: group["id"]),
}
people = st.lists(
    st.builds(lambda n, data: user(f"u{n}", **data), st.integers(0, 30), st.fixed_dictionaries(values)),
    unique_by=lambda record: record.key,
    max_size=20,
).map(lambda records: sorted(records, key=lambda record: record.key))
filters = st.sampled_from(["", "status=active", "group_id=t1", "name[ne]=a", "is_2fa_enabled=null", "q=b", "name[gt]=a",
                           "created_at[lt]=2025-01-01"])  # fmt: skip
orders = st.sampled_from(["", *(f"sort_by={sign}{name}" for name in USERS.sort for sign in ("", "-"))])


def walk(states: list[list[Record]], text: str, limit: int) -> list[list[str]]:
    """The pages of a list whose records are replaced by the next state after each page."""
    pages: list[list[str]] = []
    after: Any = None
    for turn in range(200):
        records, after = Collection(USERS, states[min(turn, len(states) - 1)]).page(
            asked(f"{text}&limit={limit}"), after
        )
        pages.append([record.key for record in records])
        if after is None:
            return pages
        assert records
    raise AssertionError(pages)


@given(people, filters, orders, st.integers(1, 7))
def test_walking_all_pages_gives_everybody_once_in_one_order(
    records: list[Record], chosen: str, order: str, limit: int
) -> None:
    text = f"{chosen}&{order}"
    whole = [record.key for record in Collection(USERS, records).page(asked(text + "&limit=1000"), None)[0]]

    pages = walk([records], text, limit)

    assert [key for page in pages for key in page] == whole
    assert all(len(page) == limit for page in pages[:-1])
    assert pages[-1] or not whole


@settings(max_examples=200)
@given(st.lists(people, min_size=2, max_size=5), people, filters, orders, st.integers(1, 5))
def test_whoever_stays_as_they_are_is_met_once_while_others_come_and_go(
    comings: list[list[Record]], constant: list[Record], chosen: str, order: str, limit: int
) -> None:
    steady = {record.key: record for record in constant}
    states = [
        sorted({**{record.key: record for record in coming}, **steady}.values(), key=lambda record: record.key)
        for coming in comings
    ]
    text = f"{chosen}&{order}"
    expected = {record.key for record in Collection(USERS, constant).page(asked(text + "&limit=1000"), None)[0]}

    met = [key for page in walk(states, text, limit) for key in page]

    assert [key for key in met if key in steady and key in expected] == [
        key for key in dict.fromkeys(met) if key in expected
    ]
    assert expected <= set(met)
