"""Closures against the library's interpreter: the same answers, and errors where it has errors."""

from pathlib import Path
from typing import Any

import jmespath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jmespath.exceptions import JMESPathError

from adapter.declarations import bundled_dir
from adapter.mapping import expressions
from adapter.mapping.expressions import Expression, ShapeError

NAMES = ["a", "b", "role", "user", "email", "permissions", "name", "id"]
TEXTS = """
a
a.b
a[0]
a[-1].b
a[].b
a[*].b
a[?b=='x'].id
a[?b].{id: id, n: name}
[a, b]
{x: a, y: b.c}
a || b
a && b
!a
a == b
a != `1`
a == `true`
a == `0`
`0` == a
a > b
a <= `3`
a | b
*.id
join(':', ['t', a])
join(':', a)
ends_with(a, 'x')
ends_with(a, b)
not_null(a, b)
length(a)
contains(a, 'x')
contains(a[].b || `[]`, 'x')
sort_by(a, &b)
max_by(a, &id)
sort(a)
a[1:3]
a[::-1]
@
`[1]`
split(a, ':')[0]
first_word(a)
other_words(a)
with(a, {g: b})
a[].b[].c[]
keys(a)
to_string(a)
type(a)
""".strip().splitlines()

values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.just(1.5) | st.sampled_from(["", "x", "ax", "a b c", "x:y"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=25,
)  # fmt: skip


def shipped() -> list[str]:
    """Every expression that the shipped mapping files hold."""
    found: list[str] = []

    def walk(data: Any) -> None:
        if isinstance(data, dict):
            for value in data.values():
                walk(value)
        elif isinstance(data, list):
            for value in data:
                walk(value)
        elif isinstance(data, str):
            found.append(data)

    for path in Path(bundled_dir() / "heroku").glob("*.yaml"):
        if path.name != "provider.yaml" and not path.name.endswith(".cases.yaml"):
            walk(expressions_of(path))
    return sorted({text for text in found if parses(text)})


def expressions_of(path: Path) -> Any:
    from adapter.declarations import read_yaml  # noqa: PLC0415  # only here

    return read_yaml(path)


def parses(text: str) -> bool:
    try:
        jmespath.compile(text)
    except JMESPathError:
        return False
    return True


def outcome(evaluate: Any, value: Any) -> Any:
    try:
        return ("answer", repr(evaluate(value)))
    except (ShapeError, JMESPathError, TypeError, AttributeError, KeyError, ValueError):
        return ("error",)


@pytest.mark.parametrize("text", [*TEXTS, *shipped()])
@settings(max_examples=25, deadline=None)
@given(value=values)
def test_a_closure_answers_as_the_interpreter_does(text: str, value: Any) -> None:
    tree = jmespath.compile(text).parsed

    assert outcome(Expression(text), value) == outcome(lambda v: expressions._INTERPRETER.visit(tree, v), value)
