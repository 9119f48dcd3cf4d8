"""Faults on request: what goes wrong, for which requests, how often."""

from __future__ import annotations

import random
import re
from fnmatch import translate
from typing import Literal

from msgspec import Struct, field

Kind = Literal[
    "latency",
    "status",
    "reset",
    "truncate",
    "wrong_length",
    "cut_json",
    "rate_limit",
    "nonsense",
    "expired_token",
    "slow_body",
    "headers",
]


class Match(Struct, forbid_unknown_fields=True):
    """Which requests: a method, and a path as a glob (`/teams/*/members`) or, in `path_regex`, a full-match pattern."""

    method: str | None = None
    path: str | None = None
    path_regex: str | None = None

    def covers(self, method: str, path: str) -> bool:
        if self.method and self.method.upper() != method:
            return False
        pattern = self.path_regex or (translate(self.path) if self.path else ".*")
        return re.fullmatch(pattern, path) is not None


class Fault(Struct, forbid_unknown_fields=True):
    """One thing that goes wrong.

    - `latency`: the answer begins after `seconds`.
    - `status`: `status` (default 500) with Heroku's error body, or `body`; nothing is done.
    - `rate_limit`: 429, with `retry_after` as the header where given.
    - `expired_token`: 401 although the token is good.
    - `nonsense`: 200 with a page of HTML, or `body`.
    - `cut_json`: the real answer's first half, framed as if it were whole.
    - `headers`: the real answer with `headers` set over its own.
    - `slow_body`: the real answer, its body in ten pieces over `seconds`.
    - `truncate`: the real answer, the connection closed after half of its body.
    - `wrong_length`: the real answer under a `Content-Length` that is ten bytes short of its body.
    - `reset`: the connection is reset before any answer; nothing is done.

    `times` is how often it strikes (None: always), `probability` its chance at each request that matches. With
    `carried_out`, whatever stands in the answer's place (`status`, `nonsense`, `rate_limit`, `reset`, `latency`) comes
    after the request was carried out: the answer to a write that took place is lost.
    """

    kind: Kind
    match: Match = field(default_factory=Match)
    times: int | None = None
    probability: float = 1.0
    status: int = 500
    seconds: float = 1.0
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    retry_after: str | None = None
    carried_out: bool = False


class FaultPlan:
    """The faults in force, the oldest first; the first that matches a request strikes."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.faults: list[Fault] = []

    def striking(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.times == 0 or not fault.match.covers(method, path):
                continue
            if fault.probability < 1 and self._rng.random() >= fault.probability:
                continue
            if fault.times is not None:
                fault.times -= 1
            return fault
        return None
