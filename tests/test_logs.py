import asyncio
import io
import json
import logging
from datetime import UTC, datetime

import pytest
import structlog

from adapter import logs


def _said(**event: object) -> dict[str, object]:
    return dict(logs.blotted(None, "info", event))


@pytest.mark.parametrize(
    "text",
    [
        "uda_0123456789abcdef",
        "the token udt_0123456789abcdef was refused",
        "HRKU-01234567-89ab-cdef-0123-456789abcdef",
        "Authorization: Bearer 01234567-89ab-cdef",
        "Basic OjAxMjM0NTY3ODk=",
        "postgres://adapter:hunter2hunter2@db.example/adapter",
    ],
)
def test_what_looks_like_a_credential_is_blotted_out(text: str) -> None:
    shown = str(_said(event="x", detail=text)["detail"])

    assert "***" in shown
    assert "0123456789" not in shown
    assert "hunter2" not in shown


@pytest.mark.parametrize("key", ["api_key", "access_token", "client_secret", "Authorization", "set-cookie"])
def test_what_is_named_like_a_credential_is_blotted_out(key: str) -> None:
    assert _said(**{key: "anything"}) == {key: "***"}


def test_which_token_it_was_may_be_said() -> None:
    assert _said(token_id="tok_1", path="/teams/acme/members") == {"token_id": "tok_1", "path": "/teams/acme/members"}


def test_json_lines_have_time_level_and_event() -> None:
    out = io.StringIO()
    logs.configure("info", "json", out)
    structlog.get_logger("x").info("said", number=1)
    structlog.get_logger("x").debug("not said")

    [line] = out.getvalue().splitlines()
    assert json.loads(line) | {"timestamp": ""} == {"event": "said", "number": 1, "level": "info", "timestamp": ""}


def test_a_trace_is_told_without_its_secrets() -> None:
    out = io.StringIO()
    logs.configure("info", "json", out)
    try:
        int("Bearer 0123456789abcdef")
    except ValueError:
        structlog.get_logger("x").exception("broke")

    assert "ValueError" in out.getvalue()
    assert "0123456789" not in out.getvalue()


def test_the_console_form_is_for_reading() -> None:
    out = io.StringIO()
    logs.configure("warning", "console", out)
    structlog.get_logger("x").warning("said", number=1)

    assert "said" in out.getvalue()
    assert "number=1" in out.getvalue()
    assert not out.getvalue().startswith("{")


def test_other_libraries_warnings_go_the_same_way() -> None:
    out = io.StringIO()
    logs.configure("info", "json", out)
    logging.getLogger("elsewhere").warning("careful")

    assert "careful" in out.getvalue()


async def test_in_a_loop_lines_are_written_in_batches_and_warnings_at_once() -> None:
    out = io.StringIO()
    logs.configure("info", "json", out)
    log = structlog.get_logger("x")

    log.info("first")
    assert out.getvalue() == ""
    log.warning("second")
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["first", "second"]

    log.info("third")
    async with asyncio.timeout(3):
        while "third" not in out.getvalue():  # noqa: ASYNC110  # a text tells nobody when it grows
            await asyncio.sleep(0.01)


async def test_a_batch_does_not_grow_without_end() -> None:
    out = io.StringIO()
    logs.configure("info", "json", out)
    for number in range(1200):
        structlog.get_logger("x").info("said", number=number)

    assert len(out.getvalue().splitlines()) >= 1000


@pytest.mark.parametrize(
    ("level", "form", "lines"), [("info", "json", 1), ("info", "console", 1), ("error", "json", 0)]
)
def test_access_lines_follow_level_and_form(level: str, form: logs.Format, lines: int) -> None:
    out = io.StringIO()
    logs.configure(level, form, out)
    logs.access(
        logs.Access(
            timestamp=datetime.now(UTC),
            method="GET",
            route="/apps",
            status=200,
            ms=1.5,
            request_id="request-1",
            token_id=None,
        )
    )

    assert len(out.getvalue().splitlines()) == lines
    assert ("/apps" in out.getvalue()) is bool(lines)
