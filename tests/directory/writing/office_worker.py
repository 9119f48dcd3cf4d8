"""A process that carries a write out, to be killed in the middle: `python -m … DATABASE FOLDER DIE_AT WHEN`.

It says when its request number DIE_AT has arrived (`before`) or was done (`after`) at the provider, and then waits.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec

from adapter.storage.database import Database
from tests.directory.writing.offices import ACCOUNT, CALLER, CLIENT, LIMITS, Answer, Office, offboarding, writes_of


class Dying:
    """What happens at every place: the request of a certain number is never answered."""

    def __init__(self, at: int, when: str) -> None:
        self._left = at
        self._when = when

    async def __call__(self, do: Any) -> Answer | None:
        self._left -= 1
        if self._left > 0:
            do()
            return None
        if self._when == "after":
            do()
        sys.stdout.write("now\n")
        sys.stdout.flush()
        await asyncio.Event().wait()
        return None


async def main(url: str, folder: str, at: str, when: str) -> None:
    office = Office(Path(folder))
    dying = Dying(int(at), when)
    for place in office.places_of():
        office.faults[place] = [dying]
    async with Database(url) as database:
        writes = writes_of(database, office, msgspec.structs.replace(LIMITS, lease=3.0))
        await writes.write(ACCOUNT, CLIENT, CALLER, offboarding(), key="k", wait=60)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
