"""Figures with their aims beside them: as a table for people, as JSON for whoever compares runs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from tests.bench.aims import Aim

UNKNOWN = "-"
_PACKAGES = {"nginx": "nginx-light", "taskset": "util-linux"}
"""Debian's, of those tools whose package has another name."""


class Part(Protocol):
    """What a module says of what it measures."""

    @property
    def WHAT(self) -> str:  # noqa: N802  # a module's constant, as are the others
        """What is measured against what."""

    @property
    def TAKES(self) -> str:  # noqa: N802
        """How long that takes, roughly, with five rounds."""

    @property
    def NEEDS(self) -> Sequence[str]:  # noqa: N802
        """The programs that it can't do without."""

    @property
    def AIMS(self) -> Mapping[str, Aim]:  # noqa: N802
        """By the names of figures."""

    @property
    def OTHERWISE(self) -> Mapping[str, str]:  # noqa: N802
        """What a figure is that is no median of the rounds, by a part of its name."""

    def measure(self, rounds: int, seconds: float, /) -> Mapping[str, float]:
        """Figures by name; `seconds` is how long each load goes on."""


class Figure(msgspec.Struct, frozen=True):
    """A value of None: there is an aim, but what it is about was not there to be measured."""

    value: float | None
    of: str
    aim: str | None
    reached: bool | None
    """None where there is no aim, or no value."""


def judged(part: Part, measured: Mapping[str, float], rounds: int) -> dict[str, Figure]:
    """Every figure against its aim; then the aims of what was not measured."""
    names = [*measured, *(name for name in part.AIMS if name not in measured)]
    return {name: _figure(part, name, measured.get(name), rounds) for name in names}


def _figure(part: Part, name: str, value: float | None, rounds: int) -> Figure:
    if value is None:
        return Figure(None, "not measured", str(part.AIMS[name]), None)
    of = next((told for said, told in part.OTHERWISE.items() if said in name), f"median of {rounds}")
    aim = part.AIMS.get(name)
    return Figure(value, of, *((str(aim), aim.reached(value)) if aim else (None, None)))


def table(what: str, figures: Mapping[str, Figure]) -> str:
    """A part's figures below what it measures, in columns."""
    rows = [("", "value", "aim", "reached", "of"), *(_row(name, figure) for name, figure in figures.items())]
    name, value, aim, reached, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = (f"  {r[0]:<{name}}  {r[1]:>{value}}  {r[2]:<{aim}}  {r[3]:<{reached}}  {r[4]}" for r in rows)
    return "\n".join([what, *lines]) + "\n"


def _row(name: str, figure: Figure) -> tuple[str, str, str, str, str]:
    reached = {True: "yes", False: "no", None: UNKNOWN}[figure.reached]
    return name, _shown(figure.value), figure.aim or UNKNOWN, reached, figure.of


def _shown(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def as_json(found: Mapping[str, Mapping[str, Figure]]) -> str:
    """One line: by part, by figure, its `value`, what it is `of`, its `aim`, and whether that is `reached`."""
    return msgspec.json.encode(found).decode() + "\n"


def lacking(parts: Mapping[str, Sequence[str]], rivals: Sequence[str]) -> Iterator[str]:
    """What is left out, told before anything is measured: the tools that each part lacks, then raw's rivals."""
    for name, tools in parts.items():
        packages = " ".join(_PACKAGES.get(tool, tool) for tool in tools)
        yield f"Without {name}, for want of {', '.join(tools)}. On Debian: apt-get install {packages}"
    yield from (f"raw goes without {rival}" for rival in rivals)
