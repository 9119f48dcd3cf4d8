"""One unit as it was last read."""

import itertools
from collections.abc import Mapping
from typing import Any

from adapter.errors import AdapterError
from adapter.mapping.model import Resource
from adapter.mapping.removals import Change
from adapter.mapping.shaping import Shaped

VERSIONS = itertools.count(1)
"""Counts on over all accounts, so that no generation comes again when an account is forgotten and read anew."""


PlaceRow = tuple[str, str | None, tuple[str, ...]]
"""Of a place that a unit lists: its id, its name, and the ids of what its record points at."""


class State:
    """A unit's records, or the reason why there are none, with when and at what cost they were read."""

    __slots__ = (
        "changed_at", "cost", "error", "etag", "fetched_at", "path", "places", "proof", "records", "shaped", "stale",
        "version",
    )  # fmt: skip

    def __init__(
        self,
        path: str,
        records: list[Any] | None,
        *,
        fetched_at: float,
        cost: int,
        error: AdapterError | None = None,
        etag: str | None = None,
    ) -> None:
        self.path = path
        self.records = records
        self.error = error
        self.etag = etag
        self.fetched_at = fetched_at
        self.changed_at = fetched_at
        self.cost = cost
        self.stale = False
        self.proof: tuple[int, bool] | None = None
        """The day of the last proof, and whether the unit proved right."""
        self.version = next(VERSIONS)
        self.places: tuple[PlaceRow, ...] | None = None
        """The places that it lists, once somebody has asked."""
        self.shaped: dict[tuple[str, str, bool], tuple[Resource, Mapping[str, Any], tuple[Change, ...], Shaped]] = {}
        """By resource and unit, for two units may share a path and read it differently, and by whether the resource is
        an account's own version; each with what it was shaped from.
        """

    def succeed(self, older: "State | None") -> None:
        """Go on from the state before: a list that reads the same keeps its version and its shaped records."""
        if older is None:
            return
        self.proof = self.proof or older.proof
        if older.records is None or older.records != self.records:
            return
        self.records, self.version = older.records, older.version
        self.changed_at, self.shaped, self.places = older.changed_at, older.shaped, older.places
