"""What a process holds that serves a large account: after it gathered it, and after a restart that found it kept."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

from tests.bench import servers
from tests.bench.servers import Served

_PAGES = 100
_LISTS = ("users", "groups", "role_assignments")
_SETTLES = 3.0
"""Seconds in which what was written behind the reading is done."""
_IN_MB = 1024


def resident(environ: Mapping[str, str], token: str) -> dict[str, float]:
    """MB of the process that serves, after 100 pages of each list and a search; and the most that it ever had."""
    figures: dict[str, float] = {}
    for how in ("gathered", "loaded"):
        with servers.granian("apps:ours", environ) as served:
            for name in _LISTS:
                _crawl(served, token, name)
            _asked(served, token, "users?q=son&limit=100")
            time.sleep(_SETTLES)
            figures[f"warm MB, {how}"] = _memory(served, "VmRSS")
            figures[f"peak MB, {how}, served"] = _memory(served, "VmHWM")
    return figures


def _crawl(served: Served, token: str, name: str) -> None:
    cursor: str | None = ""
    for _ in range(_PAGES):
        answer = _asked(served, token, f"{name}?limit=100&next_cursor={quote(cursor or '')}")
        cursor = answer["next_cursor"]
        if cursor is None:
            return


def _asked(served: Served, token: str, question: str) -> dict[str, str | None]:
    url = f"http://127.0.0.1:{served.port}/unified/user-directory/{question}"
    with urlopen(Request(url, headers={"authorization": f"Bearer {token}"}), timeout=300) as answer:
        found: dict[str, str | None] = json.loads(answer.read())
        return found


def _memory(served: Served, what: str) -> float:
    """Of the largest process: beside the one that serves stands the one that watches over it."""
    return max(_field(pid, what) for pid in _family(served.pid)) / _IN_MB


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _family(int(child))


def _field(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
