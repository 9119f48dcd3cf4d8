"""`python -m tests.bench [PART] [--json]`: each part's figures, and whether they reach the aim."""

import argparse
import sys

import msgspec

from tests.bench import gathering, pages, raw, servers

PARTS = {"raw": raw, "pages": pages, "gather": gathering}
_UNITS = (" requests a second", " of processor time a request")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("part", nargs="?", choices=PARTS, help="only this part")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    asked = parser.parse_args()
    if asked.part != "gather" and (lacking := servers.missing_tools()):
        sys.stderr.write(f"Missing: {', '.join(lacking)}. On Debian: apt-get install nginx-light wrk\n")
        return 2
    parts = {name: part for name, part in PARTS.items() if asked.part in {None, name}}
    figures = {name: part.measure(asked.rounds, asked.seconds) for name, part in parts.items()}
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n" if asked.json else _readable(figures))
    return 0


def _readable(figures: dict[str, dict[str, float]]) -> str:
    lines: list[str] = []
    for name, found in figures.items():
        part = PARTS[name]
        lines.append(f"{name} ({part.WHAT})")
        for figure, value in found.items():
            aim = part.AIMS.get(figure)
            shown = f"{value:>10.2f}" if "/" in figure or not part.RATES else f"{value:>10.0f}{_UNITS[' µs' in figure]}"
            lines.append(f"  {figure:<40}{shown}" + (f"   aim: {aim}" if aim else ""))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
