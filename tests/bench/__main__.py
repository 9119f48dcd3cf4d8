"""Measures the adapter against what people would pick instead, and says whether each figure reaches its aim.

A ratio is one of medians of rounds in which both sides took turns, in one run; what is something else says so.
"""

import argparse
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence

from adapter import logs
from tests.bench import gathering, offboarding, pages, raw, rivals, servers, starting
from tests.bench.reporting import Part, as_json, judged, lacking, table

PARTS: Mapping[str, Part] = {
    "raw": raw,
    "pages": pages,
    "gather": gathering,
    "offboard": offboarding,
    "start": starting,
}
QUOTED_FROM = 5
"""Rounds of the figures that are told to others."""
_ENDING = f"""
in the environment (what is missing there is told first, with how to install it; raw goes on without):
  BENCH_NODE  the directory in which npm installed Node's proxies; now {rivals.NODE}
  BENCH_VENV  the virtual environment of Python's proxies; now {rivals.VENV}

exit code: 0 where measuring worked, for an aim that is missed is a figure and no failure; 1 where it broke off;
  2 where nothing that was asked for could be measured, or the question was wrong."""


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parser().parse_args(arguments)
    logs.configure("error", "console")
    names = [name for name in PARTS if asked.part in {None, name}]
    lacks = {name: tools for name in names if (tools := servers.missing_tools(PARTS[name].NEEDS))}
    here = [name for name in names if name not in lacks]
    sys.stderr.writelines(f"{line}\n" for line in lacking(lacks, rivals.found()[1] if "raw" in here else ()))
    found = {name: judged(PARTS[name], PARTS[name].measure(asked.rounds, asked.seconds), asked.rounds) for name in here}
    tables = [table(f"{name}: {PARTS[name].WHAT}", figures) for name, figures in found.items()]
    sys.stdout.write(as_json(found) if asked.json else "\n".join(tables))
    return 0 if found else 2


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        epilog="\n".join(["parts:", *(_explained(name, part) for name, part in PARTS.items()), _ENDING]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("part", nargs="?", choices=PARTS, metavar="PART", help="only this part; all of them unless given")
    made.add_argument(
        "--rounds",
        type=_from_one(int),
        default=QUOTED_FROM,
        metavar="N",
        help="how often each side has its turn (default %(default)s, which figures are quoted from; fewer for a look)",
    )
    made.add_argument(
        "--seconds",
        type=_from_one(float),
        default=1.0,
        metavar="S",
        help="how long wrk loads, each time; whole seconds (default %(default)g); raw and pages alone use it",
    )
    made.add_argument("--json", action="store_true", help="one line of JSON instead of tables")
    return made


def _explained(name: str, part: Part) -> str:
    needs = f" Needs {', '.join(part.NEEDS)}." if part.NEEDS else ""
    told = f"{part.WHAT}. Takes {part.TAKES}.{needs}"
    return textwrap.fill(told, 100, initial_indent=f"  {name:<10}", subsequent_indent=" " * 12)


def _from_one(kind: Callable[[str], float]) -> Callable[[str], float]:
    def number(text: str) -> float:
        if not kind(text) >= 1:
            raise argparse.ArgumentTypeError(f"{text} is less than 1")
        return kind(text)

    return number


if __name__ == "__main__":
    raise SystemExit(main())
