"""The functions that the mapping files have beyond JMESPath's own, and what an expression does with the unexpected."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.errors import DeclarationError
from adapter.mapping.expressions import MAX_CHARS, ShapeError, compile_expression


def evaluate(text: str, data: Any) -> Any:
    return compile_expression(text, "users.yaml", "sources[0].fields.name")(data)


@pytest.mark.parametrize(
    ("text", "data", "expected"),
    [
        ("first_word(name)", {"name": "Ada Mary Lovelace"}, "Ada"),
        ("other_words(name)", {"name": "Ada Mary Lovelace"}, "Mary Lovelace"),
        ("other_words(name)", {"name": "  Ada   Lovelace  "}, "Lovelace  "),
        ("first_word(name)", {"name": "Ada"}, "Ada"),
        ("other_words(name)", {"name": "Ada"}, None),
        ("first_word(name)", {"name": " "}, None),
        ("first_word(name)", {"name": ""}, None),
        ("first_word(name)", {}, None),
        ("other_words(name)", {"name": None}, None),
        ("split(id, ':')", {"id": "team:admin"}, ["team", "admin"]),
        ("split(id, ':')[0]", {"id": "team"}, "team"),
        ("split(id, '')", {"id": "ab"}, ["ab"]),
        ("with(roles, {team: name})", {"name": "acme", "roles": [{"id": 1}]}, [{"id": 1, "team": "acme"}]),
        ("with(roles, {id: name})", {"name": "acme", "roles": [{"id": 1}]}, [{"id": "acme"}]),
        ("with(roles, {a: name})", {"roles": None}, []),
        ("with(roles, {a: name})", {"roles": ["x", None, {"b": 1}], "name": 2}, [{"b": 1, "a": 2}]),
        ("with([role][].{id: @}, {a: name})", {"role": None, "name": 1}, []),
    ],
)
def test_an_expression_gives_this(text: str, data: Any, expected: Any) -> None:
    assert evaluate(text, data) == expected


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("first_word(name)", {"name": 7}),
        ("split(id, ':')", {"id": None}),
        ("join(':', ['team', role])", {"role": None}),
        ("ends_with(email, '@x')", {}),
        ("with(roles, name)", {"roles": [], "name": "x"}),
        ("length(records)", {"records": 3}),
        ("sort_by(a, &b)", {"a": [{"b": 1}, {"b": "x"}]}),
        ("to_number()", {}),
    ],
)
def test_a_value_that_it_can_not_take_is_a_shape_error_that_shows_the_expression(text: str, data: Any) -> None:
    with pytest.raises(ShapeError) as failed:
        evaluate(text, data)

    assert f"`{text}`" in str(failed.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
    )
)
def test_whatever_the_provider_sends_an_expression_gives_a_value_or_a_shape_error(data: Any) -> None:
    for text in ("join(':', [a, b.c])", "with(a, {b: b})", "a[?b == 'x'].c | [0]", "first_word(a)", "a[0].b || c"):
        try:
            evaluate(text, {"a": data, "b": data, "c": data})
        except ShapeError:
            continue


def test_an_expression_is_compiled_once_and_shows_its_text() -> None:
    first = compile_expression("a.b", "one.yaml", "x")

    assert compile_expression("a.b", "other.yaml", "y") is first
    assert repr(first) == "Expression('a.b')"


@pytest.mark.parametrize("text", [None, 7, True, ["a"], {"a": 1}, "", " \n"])
def test_what_is_no_text_is_refused(text: Any) -> None:
    with pytest.raises(DeclarationError, match=r"users.yaml: fields.id: an expression is expected"):
        compile_expression(text, "users.yaml", "fields.id")


def test_the_longest_expression_is_still_taken() -> None:
    assert compile_expression("a" * MAX_CHARS, "users.yaml", "x").text == "a" * MAX_CHARS


def test_a_refusal_of_an_unknown_function_names_the_known_ones() -> None:
    with pytest.raises(DeclarationError) as refused:
        compile_expression("a[?upper(b) == 'X']", "users.yaml", "fields.id")

    assert refused.value.found == "unknown function `upper`"
    assert {"with", "split", "first_word", "other_words", "join", "not_null"} <= set(refused.value.known)


def test_a_refusal_of_bad_syntax_is_one_line() -> None:
    with pytest.raises(DeclarationError) as refused:
        compile_expression("a ..", "users.yaml", "fields.id")

    assert "\n" not in str(refused.value)
