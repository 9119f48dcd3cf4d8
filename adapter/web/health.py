"""`/healthz`: the process answers. `/readyz`: what it needs does too. `/metrics`: what it has counted."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from adapter.errors import AdapterError, Unavailable
from adapter.web.answers import json_answer
from adapter.web.metrics import Metrics

Check = Callable[[], Awaitable[object]]
_PATIENCE = 5.0

_log = structlog.get_logger("adapter.web")


def routes(*, checks: Mapping[str, Check], metrics: Metrics) -> list[BaseRoute]:
    """`checks`: name -> an awaitable that raises when that part isn't ready (`database`, `keys`, `mappings`)."""

    async def healthz(_: Request) -> Response:
        return json_answer({"status": "ok"})

    async def readyz(_: Request) -> Response:
        found = dict(zip(checks, await asyncio.gather(*map(_state, checks.values())), strict=True))
        failing = [name for name, state in found.items() if state != "ok"]
        if failing:
            _log.warning("not ready", failing=failing)
            raise Unavailable("Not ready.", details=[{"check": name, "state": found[name]} for name in failing])
        return json_answer({"status": "ok", "checks": found})

    async def exposition(_: Request) -> Response:
        return Response(metrics.page(), media_type=CONTENT_TYPE_LATEST)

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", exposition)]


async def _state(check: Check) -> str:
    try:
        async with asyncio.timeout(_PATIENCE):
            await check()
    except AdapterError as error:
        return error.code
    except Exception:  # noqa: BLE001  # a probe answers, whatever broke
        _log.exception("a readiness check broke")
        return "broken"
    return "ok"
