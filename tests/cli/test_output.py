import csv
import io
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.cli.output import csv_lines, progress, readable, record, table

HOSTILE = ["\x1b[2J\x1b[31mred", "two\nlines", "a\rb", "\u202egnirts", "[bold]loud[/bold]", "\x07bell", "tab\tbed"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "yes"),
        (False, "no"),
        (1, "1"),
        (0, "0"),
        ("zoë", "zoë"),
        (datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00+00:00"),
        ([], ""),
        (["view", "deploy"], "view; deploy"),
        ({"email": "a@example.com", "type": "work"}, "a@example.com"),
        ({"id": "t1", "name": "acme"}, "acme"),
        ({"id": "u1", "name": None}, "u1"),
        ({"id": "team:admin", "name": "admin", "group": {"id": "t1", "name": "acme"}}, "team:admin in acme"),
        ({"code": "forbidden", "at": None}, "code: forbidden, at: "),
    ],
)
def test_a_value_reads_as_one_line(value: Any, text: str) -> None:
    assert readable(value) == text


@given(st.text())
def test_no_text_can_steer_a_terminal(text: str) -> None:
    assert readable(text).isprintable()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_table_shows_hostile_names_as_they_are_spelled(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    table({"NAME": "name", "ID": "id"}, [{"name": text, "id": "u1"}])

    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 2
    assert lines[1][0] == text.encode("unicode_escape").decode()


def test_a_table_in_a_pipe_is_never_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    table({"NAME": "name"}, [{"name": "x" * 500}])

    assert "x" * 500 in capsys.readouterr().out


def test_a_record_has_a_line_for_each_value(capsys: pytest.CaptureFixture[str]) -> None:
    record({"id": "u1", "groups": [{"name": "acme"}, {"name": "globex"}], "phones": None})

    assert capsys.readouterr().out.splitlines() == ["id      u1", "groups  acme", "        globex", "phones"]


def test_csv_keeps_commas_quotes_and_several_values(capsys: pytest.CaptureFixture[str]) -> None:
    csv_lines(["name", "groups", "ok"], [{"name": 'A "B", C', "groups": [{"name": "x"}, {"name": "y"}], "ok": True}])

    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [
        ["name", "groups", "ok"],
        ['A "B", C', "x; y", "true"],
    ]


@pytest.mark.parametrize("text", ['=HYPERLINK("http://evil.example")', "+1", "-1", "@SUM(A1)"])
def test_csv_holds_no_formula(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    csv_lines(["name"], [{"name": text}])

    assert list(csv.reader(io.StringIO(capsys.readouterr().out)))[1] == [f"'{text}"]


def test_progress_is_for_terminals_only(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with progress() as bar:
        bar.show(3, 10, "3 lists read")
    assert capsys.readouterr().err == ""

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with progress() as bar:
        bar.show(3, 10, "3 lists read")
    assert "3 lists read" in capsys.readouterr().err
