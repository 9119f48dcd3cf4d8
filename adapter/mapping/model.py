"""What the mapping files declare, checked and compiled: units, resources, and everything that hangs on them.

`loading` makes it; nothing here reads a file or refuses one.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from adapter.mapping.expressions import Expression
from adapter.mapping.graphs import GraphPlan
from adapter.mapping.removals import Removal
from adapter.mapping.schema import FieldDecl, FilterType, Method, Place
from adapter.mapping.units import HOLE, Daily, Proof, Unit
from adapter.mapping.writes import Writes

__all__ = [
    "GRAPH",
    "HOLE",
    "WRITES",
    "Anonymous",
    "Daily",
    "Derivation",
    "Filter",
    "Inheritance",
    "Model",
    "Proof",
    "Resource",
    "Rule",
    "Source",
    "Unit",
]

GRAPH = "graph"
WRITES = "writes"


class _Made(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Source(_Made, frozen=True, kw_only=True):
    units: tuple[str, ...]
    where: Expression | None
    items: str | None
    as_: str | None
    item_where: Expression | None
    whole: bool
    fields: Mapping[str, Expression]


class Derivation(_Made, frozen=True, kw_only=True):
    resource: str
    each: str
    as_: str
    fields: Mapping[str, Expression]


class Rule(_Made, frozen=True, kw_only=True):
    role_id: str
    gives: tuple[str, ...]
    where: Expression | None


class Inheritance(_Made, frozen=True, kw_only=True):
    unit: str
    parent: str
    item: str
    rules: tuple[Rule, ...]
    fields: Mapping[str, Expression]


class Filter(_Made, frozen=True, kw_only=True):
    name: str
    path: Expression
    type: FilterType
    values: tuple[str, ...]
    place: Place | None


class Anonymous(_Made, frozen=True, kw_only=True):
    by: Expression
    prefix: str


class Resource(_Made, frozen=True, kw_only=True):
    name: str
    description: str
    key: str
    methods: tuple[Method, ...]
    id_pattern: re.Pattern[str] | None
    id_form: str | None
    get_place: Place | None
    time: str | None
    """The field that the records of a daily unit are in order of, newest first."""
    anonymous: Anonymous | None
    fields: Mapping[str, FieldDecl]
    records: tuple[Mapping[str, Any], ...]
    sources: tuple[Source, ...]
    derived: Derivation | None
    inherited: Inheritance | None
    filters: Mapping[str, Filter]
    """By name and by alias."""
    search: tuple[Expression, ...]
    sort: tuple[str, ...]
    overridden: bool = False
    """Whether it is one account's own version."""


class Model(_Made, frozen=True, kw_only=True):
    """Everything that the mapping files declare, checked and compiled."""

    units: Mapping[str, Unit]
    resources: Mapping[str, Resource]
    removals: Mapping[str, Removal]
    graph: GraphPlan | None = None
    writes: Writes | None = None

    def units_of(self, resource: Resource, *, inherited: bool = False) -> tuple[str, ...]:
        """The units whose records a resource is made of, in the order of its sources."""
        if resource.derived:
            names = list(self.units_of(self.resources[resource.derived.resource]))
        else:
            names = [name for source in resource.sources for name in source.units]
        if inherited and resource.inherited:
            names.append(resource.inherited.unit)
        return tuple(dict.fromkeys(names))

    def sole_unit(self, resource: Resource) -> Unit | None:
        """The one unit that serves a resource and hangs on nothing: a caller's own query can be put to it."""
        names = self.units_of(resource)
        unit = self.units[names[0]] if len(names) == 1 and not resource.derived else None
        return unit if unit is not None and not unit.parent else None
