"""JMESPath that others wrote, evaluated within bounds: so many steps for a record, and no value beyond a weight.

An expression of a few dozen characters can double a list with each pipe, so bounding its text bounds nothing. A step is
a node of the expression visited; the weight of a value is how much of it there is when it is written out. Both are
counted, not timed: the same record gives the same answer on any machine.
"""

from threading import local
from typing import Any

import jmespath
import msgspec
from jmespath import visitor
from jmespath.exceptions import JMESPathError

from adapter.mapping.expressions import Expression, Functions, ShapeError
from adapter.mapping.merge import moment
from adapter.mapping.schema import FieldDecl, FieldType, PartType

STEPS = 3000
"""For all of a record's fields together; larger records get more, by their weight."""
WEIGHT = 5000
_PRODUCT = 500_000
"""Characters or entries that a function may make of two values at once."""
_SHOWN = 60


class _SpentError(Exception):
    """The expression takes more than it may."""


class Tank(local):
    """The steps that are left for the record that is being read; each thread reads another."""

    def __init__(self) -> None:
        self._data: Any = None
        self.left = 0
        self.most = 0

    def fill(self, data: Any, weight: int) -> None:
        self._data, self.left, self.most = data, STEPS + 4 * weight, WEIGHT + weight

    def is_for(self, data: Any) -> bool:
        return self._data is data


class Metered(Expression):
    """An expression of a caller's own for a field; ShapeError too where it spends too much or gives another type."""

    __slots__ = ("_field", "_tank")

    def __init__(self, text: str, field: FieldDecl, tank: Tank) -> None:
        """Fields that are read from one record share a `tank`."""
        super().__init__(text)
        self._field = field
        self._tank = tank

    def __call__(self, data: Any) -> Any:
        try:
            value = _Meter(self._tank, data).visit(self._tree, data)
            if not _fits(value, self._field):
                raise ShapeError(f"{self._named()} does not give a {self._field.type}")
            # What can't be written as JSON would fail the whole answer later.
            msgspec.json.encode(value)
        except _SpentError:
            raise ShapeError(f"{self._named()} takes more steps, or makes more, than it may of one record") from None
        except _UNFIT as error:
            raise ShapeError(f"{self._named()}: {str(error).splitlines()[0][:200]}") from None
        return value

    def _named(self) -> str:
        return f"`{self.text[:_SHOWN]}{'…' if len(self.text) > _SHOWN else ''}`"


_UNFIT = (
    JMESPathError, TypeError, AttributeError, KeyError, ValueError, OverflowError, RecursionError, IndexError,
    UnicodeError,
)  # fmt: skip


class _Bounded(Functions):
    """Refuses what would make much of little in one call, before it is made."""

    def call_function(self, name: str, arguments: list[Any]) -> Any:
        if name in {"join", "with"} and len(arguments) == 2:
            sizes = [len(value) if isinstance(value, str | list | dict) else 1 for value in arguments]
            if sizes[0] * sizes[1] > _PRODUCT:
                raise _SpentError
        return super().call_function(name, arguments)


_OPTIONS = jmespath.Options(custom_functions=_Bounded())
_WHOLE = frozenset({"comparator", "function_expression", "flatten"})
"""Nodes that look at the whole of the values below them."""


class _Meter(visitor.TreeInterpreter):  # type: ignore[misc]  # jmespath publishes no types
    """Evaluates one expression on one record."""

    def __init__(self, tank: Tank, data: Any) -> None:
        super().__init__(_OPTIONS)
        self._tank = tank
        self._weights: dict[int, tuple[int, Any]] = {}
        """By identity, with the value itself: as long as it is held, nothing else has its identity."""
        self._below = 0
        weight = self._weigh(data)
        if not tank.is_for(data):
            tank.fill(data, weight)

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        self._spend(1)
        beside, self._below = self._below, 0
        result = super().visit(node, *args, **kwargs)
        if node["type"] in _WHOLE:
            self._spend(self._below // 16)
        weight = self._weigh(result)
        if weight > self._tank.most:
            raise _SpentError
        self._below = beside + weight
        return result

    def _spend(self, steps: int) -> None:
        self._tank.left -= steps
        if self._tank.left < 0:
            raise _SpentError

    def _weigh(self, value: Any) -> int:
        """How much a value is when it is written out, things that stand in it twice counted twice."""
        if isinstance(value, str):
            return 1 + len(value) // 8
        if not isinstance(value, list | dict):
            return 1
        known = self._weights.get(id(value))
        if known is None:
            parts = [*value, *value.values()] if isinstance(value, dict) else value
            known = self._weights[id(value)] = (1 + sum(map(self._weigh, parts)), value)
            self._tank.left -= len(parts) // 8
        return known[0]


# --- types


def _fits(value: Any, field: FieldDecl) -> bool:
    """Whether a value is of the field's type, and what it holds of theirs; null is always allowed."""
    if value is None:
        return True
    if field.type == "array":
        return isinstance(value, list) and all(not field.of or _holds(item, field.of) for item in value)
    if field.type == "object":
        return isinstance(value, dict) and (not field.of or _holds(value, field.of))
    return _is(value, field.type)


def _holds(item: Any, parts: dict[str, PartType]) -> bool:
    if not isinstance(item, dict):
        return False
    return all(item.get(name) is None or _is(item[name], kind) for name, kind in parts.items())


def _is(value: Any, kind: FieldType | PartType) -> bool:
    match kind:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "datetime":
            return isinstance(value, str) and moment(value) is not None
        case "reference":
            return isinstance(value, dict) and isinstance(value.get("id"), str)
        case _:
            return True
