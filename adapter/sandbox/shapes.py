"""Small shapes that several nouns share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .answers import Answer, not_found, record
from .records import App


def app_reference(app: App) -> dict[str, str]:
    return {"name": app.name, "id": app.id}


def one_of(items: Iterable[dict[str, Any]], wanted: str, keys: tuple[str, str], resource: str) -> Answer:
    """The record that has `wanted` under one of `keys`, or 404."""
    for item in items:
        if wanted in [str(item[key]) for key in keys]:
            return record(item)
    raise not_found(resource)
