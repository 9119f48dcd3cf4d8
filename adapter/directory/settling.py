"""What recent writes did to lists that lag behind them: who is gone though a list may still show them, and which lists
are read again with each question until they can be relied on.

A change is about whatever was read before its time is over: a list that is read later is taken at its word.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from adapter.directory.state import State
from adapter.directory.touch import alike, named, owners
from adapter.mapping.model import Model, Unit
from adapter.mapping.removals import Change, Write, looks_like_id

AGE = 1.0
"""How old, in seconds, a list may be while it settles: one gather reads it once, the next question again."""

_CHANGES_KEPT = 600.0
"""Seconds after which a change that is over is forgotten: a reading from before its end is used no more by then."""
_KEPT = 6 * 3600.0
"""Likewise for which lists settled until when, and for changes in places that nobody had read yet."""


class Settling(msgspec.Struct, frozen=True, kw_only=True):
    """`changes` in the order in which they were made; `units`: path -> until when it settles, since the epoch."""

    changes: tuple[Change, ...] = ()
    units: Mapping[str, float] = {}

    def until(self, path: str) -> float:
        """When the unit has settled; 0 where no write that it lags behind is known."""
        return self.units.get(path, 0.0)

    @property
    def latest(self) -> float:
        """When everything has settled."""
        return max(self.units.values(), default=0.0)

    def about(self, unit: Unit, fetched_at: float) -> tuple[Change, ...]:
        """The changes that a reading of the unit may not show yet."""
        if not unit.without or not self.changes:
            return ()
        return tuple(change for change in self.changes if change.kind in unit.without and fetched_at < change.until)

    def then(self, news: "Settling", now: float) -> "Settling":
        """With what came after it, and without what is long over."""
        changes = (change for change in (*self.changes, *news.changes) if change.until > now - _kept(change))
        units = {path: until for path, until in {**self.units, **news.units}.items() if until > now - _KEPT}
        return Settling(changes=tuple(changes), units=units)

    def outlived(self, path: str, fetched_at: float, now: float) -> bool:
        """Whether a reading dates from a time whose changes are not known any more, so that it may show what is not."""
        return fetched_at < self.until(path) <= now - _CHANGES_KEPT


def settling_after(model: Model, states: Mapping[str, State], write: Write, now: float) -> Settling:
    """What a write leaves to settle: whom it was about, and the lists of its own place and of what that hangs on."""
    until = now + write.removal.seconds
    ids = set().union(*(named(model, states, place) for place in write.places | {write.place}))
    related = ids | owners(model, states, ids)
    shapes = [unit.get.strip("/").split("/") for unit in model.units.values() if write.removal.name in unit.without]
    lagging = [
        path
        for path in states
        if not related.isdisjoint(parts := path.strip("/").split("/")) and any(alike(shape, parts) for shape in shapes)
    ]
    change = Change(
        kind=write.removal.name,
        places=write.places | {place.lower() for place in _meant(write, ids)},
        names=write.names,
        gone=write.gone,
        at=now,
        until=until,
        astray=not lagging,
    )
    return Settling(changes=(change,) if change.names else (), units=dict.fromkeys(lagging, until))


def _kept(change: Change) -> float:
    return _KEPT if change.astray else _CHANGES_KEPT


def _meant(write: Write, ids: set[str]) -> set[str]:
    """Of the places that go by a write's word, those that are certainly its: who is gone from one is hidden there."""
    return ids & {write.place} if write.gone and looks_like_id(write.place) else ids


def stored(settling: Settling) -> Any:
    """As it is kept: plain JSON."""
    return msgspec.to_builtins(settling)


def restored(kept: Any) -> Settling:
    """What was kept; nothing where it is of another version's making."""
    try:
        return msgspec.convert(kept, Settling) if kept else Settling()
    except msgspec.ValidationError:
        return Settling()
