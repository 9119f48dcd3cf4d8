"""What the records of an account say alike, kept once: the team that each of its members is in, dates, names of roles.

Lists are decoded one by one, and each has its own copy of every word. In a large account that is a third of what they
take in memory.
"""

import asyncio
from typing import Any

_STEP = 1000
"""Records after which others get their turn: some five milliseconds of work."""
_MOST = 300_000
"""Texts that are remembered: more than an account of 20,000 people has."""
_LARGEST = 4
"""Fields of an object inside a record that may be another record's too: `{"id": …, "name": …}`."""


class Alike:
    """What was said so far. It is meant to be dropped when a gather is over; where gathers never end, it begins anew
    once it has grown larger than any account.
    """

    __slots__ = ("_objects", "_texts")

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._objects: dict[tuple[Any, ...], dict[str, Any]] = {}

    async def shared(self, records: list[Any]) -> list[Any]:
        """The same records, changed in place: each text and each small object in them is the first of its kind."""
        if len(self._texts) > _MOST:
            self._texts, self._objects = {}, {}
        for number, record in enumerate(records, 1):
            if isinstance(record, dict):
                self._settle(record)
            if number % _STEP == 0:
                await asyncio.sleep(0)
        return records

    def _settle(self, record: dict[str, Any]) -> None:
        texts = self._texts
        for name, value in record.items():
            if isinstance(value, str):
                record[name] = texts.setdefault(value, value)
            elif isinstance(value, dict):
                record[name] = self._one(value)
            elif isinstance(value, list):
                value[:] = [self._item(item) for item in value]

    def _item(self, item: Any) -> Any:
        if isinstance(item, str):
            return self._texts.setdefault(item, item)
        return self._one(item) if isinstance(item, dict) else item

    def _one(self, item: dict[str, Any]) -> dict[str, Any]:
        """The object, or one that says the same."""
        self._settle(item)
        if len(item) > _LARGEST:
            return item
        try:
            # By type too: `true` and `1` are equal, and not the same.
            return self._objects.setdefault((*item.items(), *map(type, item.values())), item)
        except TypeError:
            return item  # with a list or an object in it
