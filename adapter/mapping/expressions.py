"""JMESPath, with the few functions that the mapping files need beyond its own.

with(list, object)       each object of the list, with the fields of `object` added
split(text, separator)   the parts of a text
first_word(text)         the text up to its first blank, null for null
other_words(text)        what follows the first blank, null where nothing does
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jmespath
from jmespath import functions, visitor
from jmespath.exceptions import JMESPathError

from adapter.errors import DeclarationError
from adapter.mapping.compiled import Compiler

MAX_CHARS = 2000
_PLAIN = re.compile(r"^(\w+)(\[\])?(?:\.(\w+))?$")


class ShapeError(Exception):
    """An expression met a value that it can't work on; the record is named as unreadable, never left out silently."""


class Functions(functions.Functions):  # type: ignore[misc]  # jmespath publishes no types
    """JMESPath's own functions, and those that the mapping files add."""

    @functions.signature({"types": ["array", "null"]}, {"types": ["object"]})  # type: ignore[untyped-decorator]  # likewise
    def _func_with(self, items: list[Any] | None, extra: dict[str, Any]) -> list[Any]:
        return [{**item, **extra} for item in items or () if isinstance(item, dict)]

    @functions.signature({"types": ["string"]}, {"types": ["string"]})  # type: ignore[untyped-decorator]  # likewise
    def _func_split(self, text: str, separator: str) -> list[str]:
        return text.split(separator) if separator else [text]

    @functions.signature({"types": ["string", "null"]})  # type: ignore[untyped-decorator]  # likewise
    def _func_first_word(self, text: str | None) -> str | None:
        return next(iter((text or "").split(None, 1)), None)

    @functions.signature({"types": ["string", "null"]})  # type: ignore[untyped-decorator]  # likewise
    def _func_other_words(self, text: str | None) -> str | None:
        return next(iter((text or "").split(None, 1)[1:]), None)


# One interpreter for all: it keeps no state but a cache of its own methods, which is what makes reuse pay.
_INTERPRETER = visitor.TreeInterpreter(jmespath.Options(custom_functions=Functions()))
_COMPILER = Compiler(_INTERPRETER.visit, _INTERPRETER._functions.call_function)  # noqa: SLF001  # no other way to it


class Expression:
    """A compiled expression; calling it evaluates it. ShapeError where a value is of a kind that it can't take."""

    __slots__ = ("_evaluate", "_tree", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._tree = jmespath.compile(text).parsed
        self._evaluate = _COMPILER.compile(self._tree)

    def __call__(self, data: Any) -> Any:
        try:
            return self._evaluate(data)
        except (JMESPathError, TypeError, AttributeError, KeyError, ValueError, RecursionError) as error:
            raise ShapeError(f"`{self.text}`: {error}") from None

    @property
    def depth(self) -> int:
        """The levels of its tree."""
        return _depth(self._tree)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


@lru_cache(maxsize=4096)
def _compiled(text: str) -> Expression:
    return Expression(text)


def compile_expression(text: Any, file: str, at: str) -> Expression:
    """The expression, or a DeclarationError that shows where it stands and what is wrong with it."""
    if not isinstance(text, str) or not text.strip():
        raise DeclarationError(file, at, "an expression is expected")
    if len(text) > MAX_CHARS:
        raise DeclarationError(file, at, f"an expression of {len(text)} characters is longer than {MAX_CHARS}")
    try:
        expression = _compiled(text)
        _check_functions(expression._tree, file, at)  # noqa: SLF001  # this module's own class
    except (JMESPathError, RecursionError) as error:
        raise DeclarationError(file, at, f"is not JMESPath: {str(error).splitlines()[0]}") from None
    return expression


def _check_functions(tree: dict[str, Any], file: str, at: str) -> None:
    known = _INTERPRETER._functions.FUNCTION_TABLE  # noqa: SLF001  # jmespath looks functions up only when it runs them
    if tree["type"] == "function_expression" and tree["value"] not in known:
        raise DeclarationError(file, at, f"unknown function `{tree['value']}`", sorted(known))
    for child in tree.get("children", ()):
        if isinstance(child, dict):
            _check_functions(child, file, at)


def _depth(tree: dict[str, Any]) -> int:
    children = (child for child in tree.get("children", ()) if isinstance(child, dict))
    return 1 + max(map(_depth, children), default=0)


def reader(expression: Expression) -> Callable[[dict[str, Any]], Any]:
    """The expression, or a plain look-up where it is as simple as that: `a`, `a.b`, `a[].b`."""
    match = _PLAIN.match(expression.text)
    if match is None:
        return expression
    first, many, second = match.groups()
    if many:
        return lambda data: [_at(item, second) if second else item for item in _list(data.get(first))]
    if second:
        return lambda data: _at(data.get(first), second)
    return lambda data: data.get(first)


def _at(item: Any, name: str) -> Any:
    return item.get(name) if isinstance(item, dict) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
