"""The raw door against the least that passes a request on, nginx, and the proxies that people would take: one core."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple
from unittest.mock import patch

from adapter.app import open_house
from adapter.config import load
from adapter.models import Scope, Secret
from tests.bench import rivals, servers
from tests.bench.aims import at_least, at_most
from tests.bench.apps import UPSTREAM
from tests.bench.servers import Load, Served

WHAT = "/custom, one process on one core; theirs without authentication, look-up and scopes"
TAKES = "8 minutes"
NEEDS = ("nginx", "wrk", "taskset")
AIMS = {
    "4 KB, 32 connections: ours/bare": at_least(0.85),
    "4 KB, 32 connections: ours/nginx": at_least(0.24),
    "4 KB, 32 connections: ours/@fastify/http-proxy": at_least(1.2),
    "4 KB, 32 connections: ours/fastapi-proxy-lib": at_least(20),
    "4 KB, 1 connection: ours/nginx, p50": at_most(2.2),
    "200 KB, 32 connections: ours/bare": at_least(0.85),
    "200 KB, 32 connections: ours/nginx": at_least(0.5),
}
OTHERWISE: dict[str, str] = {}
_CONNECTIONS = (32, 1, 128)
_BODIES = {"4 KB": "/apps", "200 KB": "/teams"}
_MAIN = "4 KB, 32 connections"


class Target(NamedTuple):
    served: Served
    prefix: str
    headers: tuple[str, ...] = ()


class Found(NamedTuple):
    load: Load
    cost: float
    """Microseconds of processor time a request."""


def measure(rounds: int, seconds: float) -> dict[str, float]:
    """Our share of the others' requests a second (medians of interleaved rounds); at one connection, of their p50."""
    figures: dict[str, float] = {}
    for tls in (False, True):
        with _targets(tls=tls) as targets:
            for connections in _CONNECTIONS:
                for body, path in _BODIES.items():
                    case = f"{body}, {connections} connection{'s' * (connections > 1)}{', TLS' * tls}"
                    figures |= _compared(case, _rounds(targets, path, connections, rounds, seconds))
    return figures


def _rounds(
    targets: Mapping[str, Target], path: str, connections: int, rounds: int, seconds: float
) -> dict[str, list[Found]]:
    found: dict[str, list[Found]] = {name: [] for name in targets}
    for number in range(rounds + 1):
        for name, target in targets.items():
            before = target.served.cpu()
            load = servers.load(target.served.port, target.prefix + path, seconds, target.headers, connections)
            spent = target.served.cpu() - before
            if number:  # the first is to warm up
                found[name].append(Found(load, spent / max(1.0, load.rate * round(seconds)) * 1e6))
    return found


def _compared(case: str, found: Mapping[str, list[Found]]) -> dict[str, float]:
    rate = {name: median(one.load.rate for one in runs) for name, runs in found.items()}
    half = {name: median(one.load.half for one in runs) for name, runs in found.items()}
    cost = {name: median(one.cost for one in runs) for name, runs in found.items()}
    figures: dict[str, float] = {}
    others = [name for name in found if name != "ours" and rate[name]]  # some get nothing done under much load
    if case == _MAIN:
        figures |= {f"{case}: {name}, requests a second": value for name, value in rate.items()}
        figures |= {f"{case}: {name}, µs of processor time": value for name, value in cost.items()}
    figures |= {f"{case}: ours/{name}": rate["ours"] / rate[name] for name in others}
    if case == _MAIN:
        # The same shares of processor time are moved little by what else the machine does.
        figures |= {f"{case}: ours/{name}, by processor time": cost[name] / cost["ours"] for name in others}
    if ", 1 connection" in case:
        figures |= {f"{case}: ours/{name}, p50": half["ours"] / half[name] for name in others}
    return figures


@contextmanager
def _targets(*, tls: bool) -> Iterator[dict[str, Target]]:
    with TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        provider = stack.enter_context(servers.upstream(directory, tls=tls))
        environ = {
            "DATABASE_URL": f"sqlite:///{directory / 'bench.db'}",
            "ADAPTER_SECRET_KEYS": "b" * 40,
            "HEROKU_API_URL": provider.url,
            UPSTREAM: provider.url,
            **({"SSL_CERT_FILE": str(provider.authority)} if provider.authority else {}),
        }
        stack.enter_context(patch.dict(os.environ, environ))
        bearer = f"Authorization: Bearer {asyncio.run(_prepare())}"
        targets = {
            "ours": Target(stack.enter_context(servers.granian("apps:ours", environ)), "/custom", (bearer,)),
            "bare": Target(stack.enter_context(servers.granian("apps:bare", environ)), "", (bearer,)),
        }
        for rival, (start, prefix) in rivals.found()[0].items():
            targets[rival] = Target(stack.enter_context(start(directory, provider)), prefix)
        yield targets


async def _prepare() -> str:
    """A connected account and its token, as `adapter serve` will find them."""
    async with open_house(load()) as house:
        account = await house.accounts.connect_api_key(tenant_id="bench", api_key=Secret("HRKU-not-a-real-key"))
        scopes = sorted(set(Scope) - {Scope.RAW_SECRETS})
        _, secret = await house.tokens.create_account(account.id, scopes=scopes, expires_in=86400)
        return secret.reveal()
