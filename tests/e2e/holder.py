"""A process in need of a fresh credential: `python -m tests.e2e.holder ACCOUNT_ID CALLS`, set by the environment.

It says `ready`, waits for a line, makes its calls all at once, and tells their statuses or errors as a JSON list.
"""

import asyncio
import json
import sys

from adapter.app import House, open_house
from adapter.config import load
from adapter.errors import AdapterError


async def main(account_id: str, calls: int) -> None:
    async with open_house(load()) as house:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        results = await asyncio.gather(*(_call(house, account_id) for _ in range(calls)))
    sys.stdout.write(json.dumps(results) + "\n")


async def _call(house: House, account_id: str) -> int | str:
    try:
        client = await house.accounts.open(account_id)
        return (await client.send("GET", "/account", retry=False)).status
    except AdapterError as error:
        return error.code


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
