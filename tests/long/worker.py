"""A process that gathers on command: `python -m tests.long.worker ACCOUNT_ID`, the settings in the environment.

Each line of its input is a command. `gather` reads everything anew and answers with who has what; `write` first has
everything read again, as after a write, and says `begun` before it gathers; `ask` answers as any caller is answered.
"""

import asyncio
import sys
from typing import Any

import msgspec

from adapter.app import House, open_house
from adapter.config import load
from adapter.directory.query import MAX_LIMIT, Query
from adapter.logs import configure


async def work(account_id: str) -> None:
    settings = load()
    configure("error", "json", sys.stderr)
    async with open_house(settings) as house:
        say("ready")
        while command := (await asyncio.to_thread(sys.stdin.readline)).strip():
            if command == "write":
                say("begun")
                await house.directory.begin(account_id, await house.accounts.open(account_id))
            say(await gathered(house, account_id, max_age=None if command == "ask" else 0.0))


def say(what: Any) -> None:
    sys.stdout.write(msgspec.json.encode(what).decode() + "\n")
    sys.stdout.flush()


async def gathered(house: House, account_id: str, *, max_age: float | None) -> dict[str, Any]:
    """The names of all users and the ids of all their grants, once what was read is kept."""
    users = await everything(house, account_id, "users", max_age)
    grants = await everything(house, account_id, "role_assignments", max_age)
    await house.directory._accounts[account_id]._keeper.settle()
    return {"users": {user["id"]: user["name"] for user in users}, "grants": sorted(grant["id"] for grant in grants)}


async def everything(house: House, account_id: str, name: str, max_age: float | None) -> list[dict[str, Any]]:
    client = await house.accounts.open(account_id)
    resource = house.directory.resource(name)
    query = Query(limit=MAX_LIMIT, max_age=max_age)
    found: list[dict[str, Any]] = []
    while True:
        answer = await house.directory.list_records(account_id, client, resource, query)
        assert not answer.missing, answer.missing
        found += [record.data for record in answer.records]
        if answer.next_cursor is None:
            return found
        # Only the first page has to be new: the others belong to what it was read from.
        query = msgspec.structs.replace(query, cursor=answer.next_cursor, max_age=None)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
