"""`python -m tests.bench [PART] [--json]`: each part's figures, and whether they reach the aim."""

import argparse
import sys
from collections.abc import Mapping

import msgspec

from adapter import logs
from tests.bench import gathering, offboarding, pages, raw, servers, starting

PARTS = {"raw": raw, "pages": pages, "gather": gathering, "offboard": offboarding, "start": starting}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("part", nargs="?", choices=PARTS, help="only this part")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1, help="of each load, 1 or more")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    asked = parser.parse_args()
    logs.configure("error", "console")
    names = [name for name in PARTS if asked.part in {None, name}]
    lacking = {name: lacks for name in names if (lacks := servers.missing_tools(PARTS[name].NEEDS))}
    for name, tools in lacking.items():
        sys.stderr.write(
            f"Without {name}, for want of {', '.join(tools)}. On Debian: apt-get install nginx-light wrk\n"
        )
    figures = {name: PARTS[name].measure(asked.rounds, asked.seconds) for name in names if name not in lacking}
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n" if asked.json else _readable(figures))
    return 0 if figures else 2


def _readable(figures: Mapping[str, Mapping[str, float]]) -> str:
    lines: list[str] = []
    for name, found in figures.items():
        lines.append(f"{name} ({PARTS[name].WHAT})")
        for figure, value in found.items():
            aim = PARTS[name].AIMS.get(figure)
            shown = f"{value:>10.2f}" if value < 100 else f"{value:>10.0f}"
            lines.append(f"  {figure:<62}{shown}" + (f"   aim: {aim}" if aim else ""))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
