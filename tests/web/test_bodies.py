from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from adapter.errors import InvalidBody
from adapter.web.bodies import body_of


class _Inner(msgspec.Struct, forbid_unknown_fields=True):
    size: int


class _Sample(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    kind: Literal["a", "b"] = "a"
    inner: _Inner | None = None
    many: list[int] = []
    several: list[_Inner | str] = []


def _request(raw: bytes) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": raw, "more_body": False}

    return Request({"type": "http", "headers": [], "method": "POST"}, receive)


async def test_a_body_becomes_a_struct() -> None:
    assert await body_of(_request(b'{"name": "x", "inner": {"size": 1}}'), _Sample) == _Sample("x", "a", _Inner(1))


FAULTS = [
    ({}, "name", "is missing", "`str`"),
    ({"name": 1}, "name", "is `int`", "`str`"),
    ({"name": "x", "size": 1}, "size", "is unknown", "one of name, kind, inner, many, several"),
    ({"name": "x", "kind": "hunter2"}, "kind", "can't be used", "`a` or `b`"),
    ({"name": "x", "inner": {}}, "inner.size", "is missing", "`int`"),
    ({"name": "x", "inner": {"size": 1, "colour": 2}}, "inner.colour", "is unknown", "one of size"),
    ({"name": "x", "several": [{"size": 1}, {}]}, "several[1].size", "is missing", "`int`"),
    ({"name": "x", "several": [{"size": 1, "colour": 2}]}, "several[0].colour", "is unknown", "one of size"),
    ({"name": "x", "inner": {"size": 1.5}}, "inner.size", "is `float`", "`int`"),
    ({"name": "x", "many": [1, "2"]}, "many[1]", "is `str`", "`int`"),
    ([], "body", "is `array`", "`object`"),
    (None, "body", "is `null`", "`object`"),
]


@pytest.mark.parametrize(("data", "where", "what", "expected"), FAULTS)
async def test_a_fault_is_told_by_place_kind_and_expectation(data: Any, where: str, what: str, expected: str) -> None:
    with pytest.raises(InvalidBody) as caught:
        await body_of(_request(msgspec.json.encode(data)), _Sample)

    assert caught.value.details == [{"where": where, "what": what, "expected": expected}]
    assert "hunter2" not in caught.value.message


@given(st.binary(max_size=60) | st.from_type(dict[str, str]).map(msgspec.json.encode))
async def test_any_bytes_are_a_struct_or_a_400(raw: bytes) -> None:
    try:
        assert isinstance(await body_of(_request(raw), _Sample), _Sample)
    except InvalidBody as error:
        assert error.status == 400  # noqa: PT017  # either outcome is right, and nothing else is
