"""A warm page of the directory against an ASGI route that returns the same bytes: 32 connections, one core."""

import asyncio
import os
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from urllib.request import Request, urlopen

from adapter.app import open_house
from adapter.config import load
from adapter.models import Secret
from adapter.sandbox import RunningSandbox, SeedOptions
from tests.bench import servers
from tests.bench.apps import BODY_FILE

WHAT = f"warm pages of users, {servers.CONNECTIONS} connections, one core"
AIMS = {"page of 100, ours/bare": "at least 0.6"}
RATES = True
SIZES = (100, 1000)


def measure(rounds: int, seconds: float) -> dict[str, float]:
    """Requests a second (medians of interleaved rounds) for pages of 100 and 1,000 users, and our share."""
    figures: dict[str, float] = {}
    seed = SeedOptions(teams=40, members=2000, apps=200)
    with TemporaryDirectory() as name, RunningSandbox(seed=seed, thread=False) as sandbox:
        directory = Path(name)
        environ = {
            "DATABASE_URL": f"sqlite:///{directory / 'bench.db'}",
            "ADAPTER_SECRET_KEYS": "b" * 40,
            "HEROKU_API_URL": sandbox.url,
            "DIRECTORY_MAX_AGE": "86400",
        }
        token = asyncio.run(_prepare(environ, sandbox.owner_token))
        for size in SIZES:
            figures |= _page(size, environ, token, directory, rounds, seconds)
    return figures


def _page(
    size: int, environ: dict[str, str], token: str, directory: Path, rounds: int, seconds: float
) -> dict[str, float]:
    path = f"/unified/user-directory/users?limit={size}"
    bearer = f"Authorization: Bearer {token}"
    body = directory / f"page-{size}.json"
    with ExitStack() as stack:
        ours = stack.enter_context(servers.granian("ours", environ))
        body.write_bytes(_fetched(f"http://127.0.0.1:{ours.port}{path}", token))
        bare = stack.enter_context(servers.granian("fixed", {BODY_FILE: str(body)}))
        rates: dict[str, list[float]] = {"ours": [], "bare": []}
        for _ in range(rounds):
            for name, served in (("ours", ours), ("bare", bare)):
                rates[name].append(servers.load(served.port, path, seconds, [bearer]))
    ours_rate, bare_rate = median(rates["ours"]), median(rates["bare"])
    return {
        f"page of {size}, ours": ours_rate,
        f"page of {size}, bare": bare_rate,
        f"page of {size}, ours/bare": ours_rate / bare_rate,
    }


def _fetched(url: str, token: str) -> bytes:
    with urlopen(Request(url, headers={"authorization": f"Bearer {token}"}), timeout=120) as answer:  # noqa: S310  # loopback
        found: bytes = answer.read()
        return found


async def _prepare(environ: dict[str, str], api_key: str) -> str:
    async with open_house(load({**os.environ, **environ})) as house:
        account = await house.accounts.connect_api_key(tenant_id="bench", api_key=Secret(api_key))
        _, secret = await house.tokens.create_account(account.id, expires_in=86400)
        return secret.reveal()
