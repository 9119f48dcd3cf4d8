"""A process in need of a fresh credential: `python -m tests.e2e.holder ACCOUNT_ID`, settings from the environment."""

import asyncio
import sys

from adapter.app import open_house
from adapter.config import load


async def main(account_id: str) -> None:
    async with open_house(load()) as house:
        client = await house.accounts.open(account_id)
        await client.send("GET", "/account")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
