"""What may be asked of a list, in all its spellings, and what is refused with the way out."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.directory.query import COMMON, FOR_ONE, Condition, Query, parse_list, parse_one
from adapter.errors import InvalidParameter, UnknownParameter
from adapter.web.query import parse_query
from tests.directory.fakes import SHIPPED


def asked(query: str, resource: str = "users", **more: Any) -> Query:
    return parse_list(SHIPPED.resources[resource], parse_query(query.encode()), **more)


def condition(name: str, operator: Any, *values: Any) -> Condition:
    return Condition(filter=name, operator=operator, values=values)


@pytest.mark.parametrize(
    "query",
    [
        "role_id=a&role_id=b", "role_id[]=a&role_id[]=b", "role_id[0]=a&role_id[1]=b", "role_id=a,b", "role_id=a, b",
        "role_id%5B%5D=a&role_id%5B%5D=b", "role_id[]=a,b", "role_id=a&role_id[]=b", "role_id[in]=a,b",
        "role_id[in]=a&role_id[in]=b", "role_id[in][]=a&role_id[in][]=b", "role_id[in][0]=a&role_id[in][1]=b",
        "role_id=a,,b,",
    ],
)  # fmt: skip
def test_an_array_is_understood_in_all_its_spellings(query: str) -> None:
    assert asked(query).conditions == (condition("role_id", "in", "a", "b"),)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("role_id=a", condition("role_id", "eq", "a")),
        ("role_id[]=a", condition("role_id", "eq", "a")),
        ("role_id[ne]=a", condition("role_id", "ne", "a")),
        ("role_id[ne]=a,b", condition("role_id", "ne", "a", "b")),
        ("group_id=t1", condition("group_id", "eq", "t1")),
        ("group=t1", condition("group_id", "eq", "t1")),
        ("workspace[in]=a,b", condition("workspace_id", "in", "a", "b")),
        ("organization=e1", condition("organization_id", "eq", "e1")),
        ("status=active", condition("status", "eq", "active")),
        ("status=active,invited", condition("status", "in", "active", "invited")),
        ("is_2fa_enabled=true", condition("is_2fa_enabled", "eq", True)),
        ("is_2fa_enabled=FALSE", condition("is_2fa_enabled", "eq", False)),
        ("is_2fa_enabled=1", condition("is_2fa_enabled", "eq", True)),
        ("is_2fa_enabled=0", condition("is_2fa_enabled", "eq", False)),
        ("is_federated=null", condition("is_federated", "eq", None)),
        ("is_federated=false,null", condition("is_federated", "in", False, None)),
        ("is_federated[ne]=null", condition("is_federated", "ne", None)),
        ("emails=A%2Btag@Example.com", condition("emails", "eq", "a+tag@example.com")),
        ("emails=a@x.com,b@x.com", condition("emails", "in", "a@x.com", "b@x.com")),
        ("name=Lovelace, Ada", condition("name", "eq", "lovelace, ada")),
        ("name=STRASSE", condition("name", "eq", "strasse")),
        ("name=Straße", condition("name", "eq", "strasse")),
        ("name=a&name=B", condition("name", "in", "a", "b")),
        ("created_at[gt]=2024-01-31T12:00:00Z",
         condition("created_at", "gt", datetime(2024, 1, 31, 12, tzinfo=UTC))),
        ("created_at[lte]=2024-01-31", condition("created_at", "lte", datetime(2024, 1, 31, tzinfo=UTC))),
        ("created_at[gte]=2024-01-31T14:00:00%2B02:00",
         condition("created_at", "gte", datetime(2024, 1, 31, 12, tzinfo=UTC))),
        ("created_at[gte]=2024-01-31T14:00:00+02:00",
         condition("created_at", "gte", datetime(2024, 1, 31, 12, tzinfo=UTC))),
        ("updated_at=2024-01-31T12:00:00.5Z",
         condition("updated_at", "eq", datetime(2024, 1, 31, 12, 0, 0, 500000, tzinfo=UTC))),
    ],
)  # fmt: skip
def test_a_filter_is_decoded_for_its_type(query: str, expected: Condition) -> None:
    encoded = query.encode().replace("ß".encode(), b"%C3%9F").replace(b" ", b"%20").decode()

    assert asked(encoded).conditions == (expected,)


@pytest.mark.parametrize("query", ["status=", "status[]=", "next_cursor=", "limit=", "sort_by=", "q=", "q=%20", ""])
def test_what_is_empty_counts_as_absent(query: str) -> None:
    assert asked(query) == Query()


def test_a_range_is_two_conditions() -> None:
    query = asked("created_at[gt]=2024-01-01&created_at[lt]=2024-02-01&status=active")

    assert [(c.filter, c.operator) for c in query.conditions] == [
        ("created_at", "gt"), ("created_at", "lt"), ("status", "eq"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "sort"),
    [
        ("sort_by=name", ("name", False)),
        ("sort_by=-name", ("name", True)),
        ("sort_by=name:desc", ("name", True)),
        ("sort_by=name:asc", ("name", False)),
        ("sort_by=name:DESC", ("name", True)),
        ("sort_by[name]=desc", ("name", True)),
        ("sort_by[name]=asc", ("name", False)),
        ("sort_by[]=-created_at", ("created_at", True)),
        ("sort_by=id", ("id", False)),
    ],
)
def test_an_order_is_understood_in_all_its_spellings(query: str, sort: tuple[str, bool]) -> None:
    assert asked(query).sort == sort


@pytest.mark.parametrize(
    ("query", "name", "value"),
    [
        ("limit=1", "limit", 1),
        ("limit=1000", "limit", 1000),
        ("limit=0050", "limit", 50),
        ("next_cursor=abc", "cursor", "abc"),
        ("q=Ada%20L", "search", "ada l"),
        ("allow_partial=true", "allow_partial", True),
        ("allow_partial=0", "allow_partial", False),
        ("truto_ignore_limit=true", "ignore_limit", True),
        ("truto_ignore_remote_data=true", "ignore_remote", True),
        (
            "truto_exclude_fields[]=name&truto_exclude_fields[]=remote_data",
            "exclude",
            frozenset({"name", "remote_data"}),
        ),
        ("truto_exclude_fields=name,emails", "exclude", frozenset({"name", "emails"})),
        ("truto_key_by=username", "key_by", "username"),
        ("truto_response_format=debug", "format", "debug"),
        ("remote_query[limit]=7&remote_query[x]=b", "remote_query", {"limit": "7", "x": "b"}),
    ],
)
def test_a_parameter_that_is_common_to_all_lists(query: str, name: str, value: Any) -> None:
    assert getattr(asked(query), name) == value


def test_a_stream_has_no_pages() -> None:
    assert asked("truto_response_format=stream&limit=5").ignore_limit


@pytest.mark.parametrize(
    ("query", "name", "found", "expected"),
    [
        ("status=actve", "status", "actve", ["active", "invited"]),
        ("status=active,gone", "status", "gone", ["active", "invited"]),
        ("user_type=owner", "user_type", "owner", ["admin", "user"]),
        ("is_2fa_enabled=yes", "is_2fa_enabled", "yes", ["true", "false", "null"]),
        ("created_at[gt]=yesterday", "created_at", "yesterday", None),
        ("created_at[gt]=2024-13-01", "created_at", "2024-13-01", None),
        ("created_at[gt]=2024-01-01,2024-02-01", "created_at[gt]", None, ["one value"]),
        ("created_at[gt]=", "created_at[gt]", "", ["one value"]),
        ("created_at[after]=2024-01-01", "created_at[after]", "after", ["eq", "ne", "gt", "gte", "lt", "lte", "in"]),
        ("status[ne]=", "status[ne]", "", ["one value"]),
        ("limit=0", "limit", "0", ["a number from 1 to 1000"]),
        ("limit=1001", "limit", "1001", ["a number from 1 to 1000"]),
        ("limit=-5", "limit", "-5", ["a number from 1 to 1000"]),
        ("limit=10.0", "limit", "10.0", ["a number from 1 to 1000"]),
        ("limit=ten", "limit", "ten", ["a number from 1 to 1000"]),
        ("limit=%D9%A3", "limit", "٣", ["a number from 1 to 1000"]),
        ("limit=99999999999999999999", "limit", "99999999999999999999", ["a number from 1 to 1000"]),
        ("limit=5&limit=6", "limit", "several values", ["one value"]),
        ("limit[a]=5", "limit", "several values", ["one value"]),
        ("next_cursor=a&next_cursor=b", "next_cursor", "several values", ["one value"]),
        ("sort_by=age", "sort_by", "age", list(SHIPPED.resources["users"].sort)),
        ("sort_by=name,id", "sort_by", "name,id", list(SHIPPED.resources["users"].sort)),
        ("sort_by=name&sort_by=id", "sort_by", "name,id", list(SHIPPED.resources["users"].sort)),
        ("sort_by=name:up", "sort_by", "up", ["asc", "desc"]),
        ("sort_by[name]=down", "sort_by", "down", ["asc", "desc"]),
        ("allow_partial=maybe", "allow_partial", "maybe", ["true", "false"]),
        ("truto_response_format=xml", "truto_response_format", "xml", ["unified", "raw", "normalized", "stream",
         "debug"]),
        ("truto_exclude_fields[]=shoe", "truto_exclude_fields", "shoe",
         [*SHIPPED.resources["users"].fields, "remote_data"]),
        ("truto_exclude_fields[a]=name", "truto_exclude_fields", "an object", ["truto_exclude_fields[]=…"]),
        ("truto_key_by=shoe", "truto_key_by", "shoe", list(SHIPPED.resources["users"].fields)),
        ("remote_query[x]=a&remote_query[x]=b", "remote_query[x]", "several values", ["one value"]),
        ("remote_query=x", "remote_query", "x", ["remote_query[name]=value"]),
    ],
)  # fmt: skip
def test_a_value_that_can_not_be_used_is_refused_with_those_that_can(
    query: str, name: str, found: str | None, expected: list[str] | None
) -> None:
    with pytest.raises(InvalidParameter) as refused:
        asked(query)

    (detail,) = refused.value.details
    assert (refused.value.status, type(refused.value)) == (400, InvalidParameter)
    assert (detail["where"], detail["name"]) == ("query", name)
    if found is not None:
        assert detail["found"] == found
    if expected is not None:
        assert detail["expected"] == expected


@pytest.mark.parametrize(
    ("resource", "query"),
    [
        ("users", "staus=active"),
        ("users", "role=admin"),
        ("users", "Status=active"),
        ("users", "groups_id=t1"),
        ("users", "include_inherited=true"),
        ("groups", "status=active"),
        ("roles", "user_id=u1"),
        ("licenses", "name=x"),
        ("users", "truto_=1"),
        ("users", "truto_a%0D%0Ax:y=1"),
        ("users", "truto_%C3%A9=1"),
        ("users", "truto-x=1"),
        ("users", "TRUTO_KEY_BY=id"),
        ("users", "truto_" + "x" * 65 + "=1"),
    ],
)
def test_an_unknown_parameter_is_refused_with_the_known_ones(resource: str, query: str) -> None:
    with pytest.raises(UnknownParameter) as refused:
        asked(query, resource)

    (detail,) = refused.value.details
    known = {*COMMON, *SHIPPED.resources[resource].filters}
    assert (refused.value.status, refused.value.code) == (400, "unknown_parameter")
    assert known <= set(detail["expected"])
    assert all(name in refused.value.message for name in known)


def test_a_resource_without_search_refuses_to_search() -> None:
    with pytest.raises(UnknownParameter):
        asked("q=x", "me")


def test_only_what_implies_others_knows_of_inherited_records() -> None:
    assert asked("include_inherited=true", "role_assignments").include_inherited


def test_parameters_of_the_compatible_api_that_have_no_effect_are_named() -> None:
    query = asked("truto_super_query[a]=1&truto_cache=0&truto_key_by=id&status=active")

    assert query.warnings == ("truto_cache", "truto_super_query")


def test_the_freshness_that_a_caller_insists_on_is_part_of_the_question() -> None:
    assert asked("", max_age=5.0).max_age == 5.0
    assert asked("").max_age is None


@given(st.dictionaries(st.text(max_size=8), st.lists(st.text(max_size=4), min_size=1, max_size=3)
                       | st.dictionaries(st.text(max_size=4), st.lists(st.text(max_size=4), min_size=1))))  # fmt: skip
def test_whatever_is_asked_is_a_question_or_refused(params: dict[str, Any]) -> None:
    for resource in SHIPPED.resources.values():
        with suppress(InvalidParameter):
            query = parse_list(resource, params)
            assert set(params) <= {*COMMON, *resource.filters, *query.warnings, "include_inherited"}


# --- one record


def test_one_record_takes_only_what_concerns_one() -> None:
    query = parse_one(
        SHIPPED.resources["users"],
        parse_query(b"truto_exclude_fields=name&allow_partial=true&truto_key_by=id"),
        max_age=3.0,
    )

    assert query == Query(exclude=frozenset({"name"}), allow_partial=True, warnings=("truto_key_by",), max_age=3.0)


@pytest.mark.parametrize(
    "query", ["limit=1", "status=active", "sort_by=id", "q=x", "next_cursor=", "remote_query[a]=b"]
)
def test_what_concerns_a_list_is_unknown_to_one_record(query: str) -> None:
    with pytest.raises(UnknownParameter) as refused:
        parse_one(SHIPPED.resources["users"], parse_query(query.encode()))

    assert refused.value.details[0]["expected"] == sorted(FOR_ONE)


# --- what a cursor is bound to


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("status=active", "status=invited"),
        ("status=active", "status[ne]=active"),
        ("status=active", ""),
        ("role_id=a", "group_id=a"),
        ("sort_by=name", "sort_by=-name"),
        ("sort_by=name", ""),
        ("q=a", "q=b"),
        ("remote_query[a]=b", "remote_query[a]=c"),
        ("created_at[gt]=2024-01-01", "created_at[gt]=2024-01-02"),
        ("is_2fa_enabled=null", "is_2fa_enabled=false"),
    ],
)
def test_another_question_is_another_list(one: str, other: str) -> None:
    assert asked(one).fingerprint() != asked(other).fingerprint()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("role_id=a,b", "role_id[]=b&role_id[]=a"),
        ("group=t1", "group_id=t1"),
        ("status=active&role_id=a", "role_id=a&status=active"),
        ("limit=5", "limit=50"),
        ("truto_response_format=debug", "truto_ignore_remote_data=true"),
        ("q=Ada", "q=ada"),
        ("allow_partial=true", ""),
        ("created_at[gt]=2024-01-01", "created_at[gt]=2024-01-01T00:00:00Z"),
    ],
)
def test_the_same_question_in_other_words_is_the_same_list(one: str, other: str) -> None:
    assert asked(one).fingerprint() == asked(other).fingerprint()
