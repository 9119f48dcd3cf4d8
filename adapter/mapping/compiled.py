"""JMESPath trees as closures: the same answers as the library's interpreter gives, in a fraction of the time.

Shaping takes most of a gather's CPU time, and walking the tree anew for every record most of that. What a closure is
not worth writing for is left to the interpreter; a test holds the two to the same answers and the same errors.
"""

from collections.abc import Callable
from typing import Any

Evaluate = Callable[[Any], Any]
Tree = dict[str, Any]
Call = Callable[[str, list[Any]], Any]

_EMPTY: tuple[Any, ...] = ("", [], {})


class Compiler:
    """Turns trees into closures. `interpret` evaluates a tree the slow way, `call` calls a function by name."""

    def __init__(self, interpret: Callable[[Tree, Any], Any], call: Call) -> None:
        self._interpret = interpret
        self._call = call

    def compile(self, tree: Tree) -> Evaluate:
        make = getattr(self, f"_{tree['type']}", None)
        if make is None:
            return lambda value: self._interpret(tree, value)
        made: Evaluate = make(tree)
        return made

    def _children(self, tree: Tree) -> list[Evaluate]:
        return [self.compile(child) for child in tree["children"]]

    # --- leaves

    def _field(self, tree: Tree) -> Evaluate:
        name = tree["value"]

        def field(value: Any) -> Any:
            if type(value) is dict:
                return value.get(name)
            return value.get(name) if hasattr(value, "get") else None

        return field

    def _literal(self, tree: Tree) -> Evaluate:
        value = tree["value"]
        return lambda _: value

    def _current(self, _: Tree) -> Evaluate:
        return lambda value: value

    _identity = _current

    def _index(self, tree: Tree) -> Evaluate:
        place = tree["value"]

        def index(value: Any) -> Any:
            if not isinstance(value, list):
                return None
            return value[place] if -len(value) <= place < len(value) else None

        return index

    # --- paths

    def _subexpression(self, tree: Tree) -> Evaluate:
        steps = self._children(tree)
        if len(steps) == 2:
            first, second = steps
            return lambda value: second(first(value))

        def follow(value: Any) -> Any:
            for step in steps:
                value = step(value)
            return value

        return follow

    _index_expression = _subexpression
    _pipe = _subexpression

    def _projection(self, tree: Tree) -> Evaluate:
        base, each = self._children(tree)

        def project(value: Any) -> Any:
            found = base(value)
            if not isinstance(found, list):
                return None
            return [made for item in found if (made := each(item)) is not None]

        return project

    def _filter_projection(self, tree: Tree) -> Evaluate:
        base, each, test = self._children(tree)

        def project(value: Any) -> Any:
            found = base(value)
            if not isinstance(found, list):
                return None
            return [made for item in found if not false(test(item)) and (made := each(item)) is not None]

        return project

    def _flatten(self, tree: Tree) -> Evaluate:
        (base,) = self._children(tree)

        def flatten(value: Any) -> Any:
            found = base(value)
            if not isinstance(found, list):
                return None
            merged: list[Any] = []
            for item in found:
                if isinstance(item, list):
                    merged.extend(item)
                else:
                    merged.append(item)
            return merged

        return flatten

    # --- what is built

    def _multi_select_list(self, tree: Tree) -> Evaluate:
        parts = self._children(tree)
        return lambda value: None if value is None else [part(value) for part in parts]

    def _multi_select_dict(self, tree: Tree) -> Evaluate:
        parts = [(child["value"], self.compile(child["children"][0])) for child in tree["children"]]
        return lambda value: None if value is None else {name: part(value) for name, part in parts}

    # --- logic

    def _or_expression(self, tree: Tree) -> Evaluate:
        left, right = self._children(tree)

        def either(value: Any) -> Any:
            found = left(value)
            return right(value) if false(found) else found

        return either

    def _and_expression(self, tree: Tree) -> Evaluate:
        left, right = self._children(tree)

        def both(value: Any) -> Any:
            found = left(value)
            return found if false(found) else right(value)

        return both

    def _comparator(self, tree: Tree) -> Evaluate:
        left, right = self._children(tree)
        if tree["value"] not in {"eq", "ne"}:
            return lambda value: self._interpret(tree, value)
        wanted = tree["value"] == "eq"

        def compare(value: Any) -> Any:
            a, b = left(value), right(value)
            if type(a) is str or type(b) is str:
                return (a == b) is wanted
            return _equal(a, b) is wanted

        return compare

    def _function_expression(self, tree: Tree) -> Evaluate:
        name, arguments = tree["value"], self._children(tree)
        if any(child["type"] == "expref" for child in tree["children"]):
            return lambda value: self._interpret(tree, value)
        fast, call = _FAST.get(name), self._call

        def apply(value: Any) -> Any:
            given = [argument(value) for argument in arguments]
            if fast is not None:
                found = fast(given)
                if found is not NotImplemented:
                    return found
            return call(name, given)

        return apply


def false(value: Any) -> bool:
    """JMESPath's own idea of false: null, false and what is empty; zero is true."""
    return value is None or value is False or value in _EMPTY


def _equal(a: Any, b: Any) -> bool:
    """Equality that keeps numbers apart from booleans, which Python takes for numbers."""
    if _number(a) and a in {0, 1}:
        return False if isinstance(b, bool) else bool(a == b)
    if _number(b) and b in {0, 1}:
        return False if isinstance(a, bool) else bool(a == b)
    return bool(a == b)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# --- the functions used most, for arguments of the usual kinds; any other goes the library's way, errors included


def _join(given: list[Any]) -> Any:
    if len(given) == 2 and type(given[0]) is str and type(given[1]) is list:
        separator, parts = given
        if all(type(part) is str for part in parts):
            return separator.join(parts)
    return NotImplemented


def _ends_with(given: list[Any]) -> Any:
    if len(given) == 2 and type(given[0]) is str and type(given[1]) is str:
        return given[0].endswith(given[1])
    return NotImplemented


def _not_null(given: list[Any]) -> Any:
    return next((value for value in given if value is not None), None) if given else NotImplemented


def _with(given: list[Any]) -> Any:
    if len(given) == 2 and type(given[0]) is list and type(given[1]) is dict:
        items, extra = given
        return [{**item, **extra} for item in items if type(item) is dict]
    return NotImplemented


def _first_word(given: list[Any]) -> Any:
    if len(given) == 1 and type(given[0]) is str:
        return next(iter(given[0].split(None, 1)), None)
    return None if given == [None] else NotImplemented


def _other_words(given: list[Any]) -> Any:
    if len(given) == 1 and type(given[0]) is str:
        return next(iter(given[0].split(None, 1)[1:]), None)
    return None if given == [None] else NotImplemented


def _split(given: list[Any]) -> Any:
    if len(given) == 2 and type(given[0]) is str and type(given[1]) is str and given[1]:
        return given[0].split(given[1])
    return NotImplemented


_FAST: dict[str, Callable[[list[Any]], Any]] = {
    "join": _join,
    "ends_with": _ends_with,
    "not_null": _not_null,
    "with": _with,
    "first_word": _first_word,
    "other_words": _other_words,
    "split": _split,
}
