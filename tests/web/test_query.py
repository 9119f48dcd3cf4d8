"""Query strings as callers write them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.errors import InvalidParameter
from adapter.web.query import MAX_PARAMETERS, parse_query


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", {}),
        (b"a=x", {"a": ["x"]}),
        (b"a=x&a=y", {"a": ["x", "y"]}),
        (b"a[]=x&a[]=y", {"a": ["x", "y"]}),
        (b"a[0]=x&a[1]=y", {"a": ["x", "y"]}),
        (b"a[1]=y&a[0]=x", {"a": ["y", "x"]}),
        (b"a=x,y", {"a": ["x,y"]}),
        (b"a=x&a[]=y&a[0]=z", {"a": ["x", "y", "z"]}),
        (b"a%5B%5D=x", {"a": ["x"]}),
        (b"a=", {"a": [""]}),
        (b"a", {"a": [""]}),
        (b"a=x=y", {"a": ["x=y"]}),
        (b"a=b+c%2Bd", {"a": ["b c+d"]}),
        (b"a=%C3%A9%00", {"a": ["é\0"]}),
        (b"o[k]=v", {"o": {"k": ["v"]}}),
        (b"o[k]=v&o[k]=w&o[l]=x", {"o": {"k": ["v", "w"], "l": ["x"]}}),
        (b"o[k][]=v&o[k][0]=w", {"o": {"k": ["v", "w"]}}),
        (b"o%5Bk%5D=v", {"o": {"k": ["v"]}}),
        (b"created_at[gt]=2024-01-01&created_at[lt]=2025-01-01", {"created_at": {"gt": ["2024-01-01"],
         "lt": ["2025-01-01"]}}),
        (b"a=x;b=y", {"a": ["x;b=y"]}),
        (b"&&a=x&", {"a": ["x"]}),
    ],
)  # fmt: skip
def test_a_query_string_gives_these_parameters(raw: bytes, expected: dict[str, Any]) -> None:
    assert parse_query(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        b"a[k=v", b"a]k[=v", b"[]=x", b"[k]=x", b"=x", b"a[k][l]=v", b"a[k][l][m]=v", b"a[][k]=v", b"a[k]b=v",
        b"a[[k]]=v",
        b"a=%FF", b"a=\xff", b"%C3=x", b"a=x&a[k]=y", b"a[k]=x&a=y", b"a[k]=x&a[0]=y",
    ],
)  # fmt: skip
def test_what_is_no_parameter_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidParameter) as refused:
        parse_query(raw)

    assert refused.value.status == 400


def test_more_parameters_than_anybody_needs_are_refused() -> None:
    assert len(parse_query(b"&".join(b"a%d=x" % n for n in range(MAX_PARAMETERS)))) == MAX_PARAMETERS
    with pytest.raises(InvalidParameter):
        parse_query(b"&".join(b"a=x" for _ in range(MAX_PARAMETERS + 1)))


def test_a_refusal_names_the_parameter() -> None:
    with pytest.raises(InvalidParameter) as refused:
        parse_query(b"limit=5&limit[a]=6")

    assert refused.value.details == [{"where": "query", "name": "limit[a]"}]


@given(st.binary(max_size=60) | st.text(alphabet="ab[]=&%05,.", max_size=40).map(str.encode))
def test_whatever_is_sent_is_parameters_or_refused(raw: bytes) -> None:
    try:
        params = parse_query(raw)
    except InvalidParameter:
        return

    for values in params.values():
        lists = values.values() if isinstance(values, dict) else [values]
        assert all(isinstance(value, str) for each in lists for value in each)
