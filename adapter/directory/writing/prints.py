"""What tells one plan from another: its fingerprint, and what differs between two."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

import msgspec

from adapter.directory.writing.model import Obstacle, Plan, Step

_ENCODER = msgspec.json.Encoder(order="sorted")


def fingerprint(plan: Plan) -> str:
    """Changes with everything that matters: the calls, what is held before them, what stands in their way, what stays.
    Neither the order nor the age of what the plan rests on is part of it.
    """
    parts = {name: sorted(table) for name, table in _tables(plan).items()}
    about = {"kind": plan.kind, "person": plan.person, "parts": parts}
    return sha256(_ENCODER.encode(about)).hexdigest()[:32]


def difference(old: Plan, new: Plan) -> list[dict[str, Any]]:
    """What the newer plan has more (`added`), less (`removed`) or otherwise (`changed`), a line each."""
    lines: list[dict[str, Any]] = []
    for kind in ("steps", "obstacles", "remains"):
        before, after = _keyed(getattr(old, kind)), _keyed(getattr(new, kind))
        for key in sorted({*before, *after}):
            lines += _line(kind.removesuffix("s"), before.get(key), after.get(key))
    return lines


def said(value: Any) -> str:
    """A short print of anything that is plain data."""
    return sha256(_ENCODER.encode(value)).hexdigest()[:16]


def _tables(plan: Plan) -> dict[str, list[str]]:
    return {
        "steps": [_text(step) for step in plan.steps],
        "obstacles": [_text(obstacle) for obstacle in plan.obstacles],
        "remains": [_text(obstacle) for obstacle in plan.remains],
        "already": [_ENCODER.encode([place.kind, place.id]).decode() for place in plan.already],
        "unknown": [_ENCODER.encode([gap.unit, gap.reason, gap.place]).decode() for gap in plan.unknown],
    }


def _text(item: Step | Obstacle) -> str:
    """Where a step stands in the plan is no part of what it does."""
    plain: dict[str, Any] = msgspec.to_builtins(item)
    plain = {name: value for name, value in plain.items() if name not in {"n", "waits_for"}}
    return _ENCODER.encode(plain).decode()


def _keyed(items: Iterable[Step | Obstacle]) -> dict[tuple[str, str, str], Step | Obstacle]:
    return {_key(item): item for item in items}


def _key(item: Step | Obstacle) -> tuple[str, str, str]:
    place = (item.place.kind, item.place.id) if item.place else ("", "")
    return (*place, item.guard if isinstance(item, Obstacle) else "")


def _line(what: str, before: Step | Obstacle | None, after: Step | Obstacle | None) -> list[dict[str, Any]]:
    if before is not None and after is not None and _text(before) == _text(after):
        return []
    change = "added" if before is None else "removed" if after is None else "changed"
    shown: Mapping[str, Any] = {"before": before, "after": after}
    sides = {side: msgspec.to_builtins(item) for side, item in shown.items() if item is not None}
    return [{"what": what, "change": change, **sides}]
