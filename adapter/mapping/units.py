"""An upstream list as the mapping files declare it, checked and compiled."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from adapter.mapping.expressions import Expression
from adapter.mapping.removals import Without
from adapter.mapping.schema import Place

HOLE = re.compile(r"\{([a-z][a-z0-9_]*)\.([a-z][a-z0-9_]*)\}")
"""What a path is filled in at: `{team.id}`."""


class _Made(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Proof(_Made, frozen=True, kw_only=True):
    of: Expression
    by: str
    as_: str
    claimed: Expression
    actual: Expression
    exempt_unit: str | None
    exempt_ids: Expression | None


class Daily(_Made, frozen=True, kw_only=True):
    query: str
    back: int
    since: Expression | None


class Unit(_Made, frozen=True, kw_only=True):
    """One upstream list. `parent` is the name that its record on the way is known by, `lineage` all such names."""

    name: str
    get: str
    single: bool
    parent: str | None
    parents: tuple[str, ...]
    lineage: tuple[str, ...]
    where: Expression | None
    unless_among: tuple[str, Expression] | None
    when_any: tuple[str, Expression] | None
    instead_of: str | None
    order: str | None
    accept: str | None
    scopes: tuple[str, ...]
    places: Mapping[Place, Expression]
    lists: Place | None
    proof: Proof | None
    daily: Daily | None
    without: Mapping[str, Without]

    def path(self, lineage: Mapping[str, Any]) -> str:
        """The path for one chain of parent records: `/teams/<id>/members`."""
        return HOLE.sub(lambda hole: quote(str(lineage[hole[1]][hole[2]]), safe=""), self.get)
