import asyncio

import pytest
import structlog

from adapter.accounts import chores as chores_module
from adapter.accounts.chores import Chores


async def test_what_was_begun_is_finished_and_a_failure_is_told_without_its_words() -> None:
    chores = Chores()
    done: list[int] = []

    async def note() -> None:
        await asyncio.sleep(0)
        done.append(1)

    async def fail() -> None:
        raise RuntimeError("hunter2")

    with structlog.testing.capture_logs() as logs:
        chores.add("note", note())
        chores.add("fail", fail())
        await chores.finish()

    assert done == [1]
    assert logs == [{"event": "chore_failed", "chore": "fail", "error": "RuntimeError", "log_level": "warning"}]


async def test_more_than_can_be_done_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chores_module, "_MOST", 2)
    chores = Chores()
    done: list[int] = []

    async def note() -> None:
        done.append(1)

    for _ in range(5):
        chores.add("note", note())
    await chores.finish()

    assert done == [1, 1]
