"""The raw door against the least that passes a request on, and against nginx: 4 KB, 32 connections, one core."""

import asyncio
import os
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from adapter.app import open_house
from adapter.config import load
from adapter.models import Scope, Secret
from tests.bench import servers
from tests.bench.apps import UPSTREAM

WHAT = f"/custom, {servers.BODY} bytes, {servers.CONNECTIONS} connections, one core"
AIMS = {"ours/bare": "at least 0.8", "ours/nginx": "at least 0.24"}
RATES = True
"""Whether figures that are no ratios are requests a second, or time a request."""


def measure(rounds: int, seconds: float) -> dict[str, float]:
    """Requests a second (medians of interleaved rounds) and our share of the others'."""
    with TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        provider = stack.enter_context(servers.upstream(directory))
        environ = {
            "DATABASE_URL": f"sqlite:///{directory / 'bench.db'}",
            "ADAPTER_SECRET_KEYS": "b" * 40,
            "HEROKU_API_URL": f"http://127.0.0.1:{provider}",
            UPSTREAM: f"http://127.0.0.1:{provider}",
        }
        token = asyncio.run(_prepare(environ))
        bearer = [f"Authorization: Bearer {token}"]
        targets = {
            "ours": (stack.enter_context(servers.granian("ours", environ)), "/custom/apps", bearer),
            "bare": (stack.enter_context(servers.granian("bare", environ)), "/apps", bearer),
            "nginx": (stack.enter_context(servers.nginx_proxy(directory, provider)), "/custom/apps", bearer),
        }
        for served, path, headers in targets.values():
            servers.load(served.port, path, 1, headers)
        rates: dict[str, list[float]] = {target: [] for target in targets}
        costs: dict[str, list[float]] = {target: [] for target in targets}
        for _ in range(rounds):
            for target, (served, path, headers) in targets.items():
                before = served.cpu()
                rate = servers.load(served.port, path, seconds, headers)
                rates[target].append(rate)
                costs[target].append((served.cpu() - before) / (rate * seconds) * 1e6)
    return _figures({target: median(values) for target, values in rates.items()}, costs)


def _figures(rates: dict[str, float], costs: dict[str, list[float]]) -> dict[str, float]:
    cost = {target: median(values) for target, values in costs.items()}
    return {
        **rates,
        **{f"{target} µs": value for target, value in cost.items()},
        "ours/bare": rates["ours"] / rates["bare"],
        "ours/nginx": rates["ours"] / rates["nginx"],
        # What a request costs in processor time: the same share, little moved by what else the machine does.
        "ours/bare by processor time": cost["bare"] / cost["ours"],
    }


async def _prepare(environ: dict[str, str]) -> str:
    """A connected account and its token, as `adapter serve` will find them."""
    async with open_house(load({**os.environ, **environ})) as house:
        account = await house.accounts.connect_api_key(tenant_id="bench", api_key=Secret("HRKU-not-a-real-key"))
        scopes = sorted(set(Scope) - {Scope.RAW_SECRETS})
        _, secret = await house.tokens.create_account(account.id, scopes=scopes, expires_in=86400)
        return secret.reveal()
