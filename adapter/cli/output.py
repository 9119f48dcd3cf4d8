"""What commands show: tables for people, CSV for spreadsheets, progress while something takes long.

Names and e-mails are other people's words: what they hold never steers the terminal or a spreadsheet.
"""

import csv
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

_PIPED_WIDTH = 10_000
# https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

_WORDS: Mapping[bool | None, str] = {None: "", True: "yes", False: "no"}

Row = Mapping[str, Any]


def table(columns: Mapping[str, str], rows: Sequence[Row]) -> None:
    """`columns`: heading -> the key of its values. Not a terminal: no lines are wrapped, so that they can be cut."""
    in_terminal = sys.stdout.isatty()
    console = Console(width=None if in_terminal else _PIPED_WIDTH, highlight=False)
    shown = Table(box=SIMPLE_HEAD if in_terminal else None, pad_edge=False)
    for heading in columns:
        shown.add_column(heading, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(readable(row.get(key))) for key in columns.values()))
    console.print(shown)


def csv_lines(fields: Sequence[str], rows: Sequence[Row]) -> None:
    """Every field a column, with a heading; several values are joined by `; `. For all of it, there is JSON."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows([_cell(row.get(name)) for name in fields] for row in rows)
    typer.echo(lines.getvalue(), nl=False)


def record(fields: Row) -> None:
    """One record, a line for each field; what it holds several of stands below its name."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        several = isinstance(value, list | tuple) and len(value) > 1
        lines = [readable(item) for item in value] if several else [readable(value)]
        for n, line in enumerate(lines):
            typer.echo(f"{name if n == 0 else '':{width}}  {line}".rstrip())


def readable(value: Any) -> str:
    """A value as one line of text; nothing known is empty."""
    match value:
        case str():
            return _plain(value)
        case Mapping():
            return _label(value)
        case list() | tuple():
            return "; ".join(map(readable, value))
        case datetime():
            return value.isoformat(timespec="seconds")
        case bool() | None:
            return _WORDS[value]
        case _:
            return str(value)


def _label(value: Mapping[str, Any]) -> str:
    """What people call a thing: its e-mail or name, with its place behind it where it has one; else all it holds."""
    places = [readable(value[word]) for word in ("group", "workspace", "organization") if value.get(word)]
    if places:
        return f"{readable(value.get('id') or value.get('name'))} in {', '.join(places)}"
    name = value.get("email") or value.get("name") or value.get("id")
    return readable(name) if name else ", ".join(f"{key}: {readable(part)}" for key, part in value.items())


def _plain(text: str) -> str:
    """The text without what would move the cursor, colour the screen or turn the line around."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _cell(value: Any) -> str:
    text = ("true" if value else "false") if isinstance(value, bool) else readable(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


@contextmanager
def progress(words: str = "Reading the directory") -> Iterator["Bar"]:
    """A bar on stderr, shown in a terminal only and gone when it is over; `words` say what takes so long."""
    console = Console(stderr=True)
    columns = (TextColumn(words), BarColumn(), TextColumn("{task.fields[said]}"))
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as shown:
        yield Bar(shown, shown.add_task("", total=None, said=""))


class Bar:
    def __init__(self, shown: Progress, task: TaskID) -> None:
        self._shown = shown
        self._task = task

    def show(self, done: int, total: int, said: str) -> None:
        self._shown.update(self._task, completed=done, total=total, said=said)
