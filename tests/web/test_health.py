import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest
from starlette.routing import Router

from adapter.errors import StorageUnavailable
from adapter.web import health
from adapter.web.edge import edged
from adapter.web.metrics import Metrics
from tests.web.house import PROVIDER, Tokens


async def _fine() -> None:
    pass


async def _away() -> None:
    raise StorageUnavailable


async def _broken() -> None:
    raise RuntimeError("hunter2")


async def _stuck() -> None:
    await asyncio.Event().wait()


async def _get(path: str, checks: dict[str, Callable[[], Awaitable[object]]]) -> httpx.Response:
    metrics = Metrics()
    router = Router(health.routes(checks=checks, metrics=metrics))
    app = edged(router, tokens=Tokens(), metrics=metrics, remote_ids=PROVIDER.errors.id_of)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://adapter.example") as client:
        return await client.get(path)


async def test_the_process_answers_whatever_it_needs_does() -> None:
    answered = await _get("/healthz", {"database": _away})

    assert (answered.status_code, answered.json()) == (200, {"status": "ok"})


async def test_ready_names_what_was_checked() -> None:
    answered = await _get("/readyz", {"database": _fine, "keys": _fine})

    assert (answered.status_code, answered.json()) == (
        200,
        {"status": "ok", "checks": {"database": "ok", "keys": "ok"}},
    )


@pytest.mark.parametrize(("check", "state"), [(_away, "storage_unavailable"), (_broken, "broken"), (_stuck, "broken")])
async def test_what_is_not_ready_is_named_and_no_more(
    check: Callable[[], Awaitable[object]], state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_PATIENCE", 0.05)

    answered = await _get("/readyz", {"database": check, "keys": _fine})

    assert (answered.status_code, answered.json()["code"]) == (503, "unavailable")
    assert answered.json()["details"] == [{"check": "database", "state": state}]
    assert "hunter2" not in answered.text


async def test_metrics_are_in_the_text_format() -> None:
    answered = await _get("/metrics", {})

    assert answered.status_code == 200
    assert answered.headers["content-type"].startswith("text/plain")
