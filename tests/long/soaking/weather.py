"""Faults struck at random, with a log of when each was live, and what of an answer each of them explains."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from random import Random
from typing import Any

import msgspec

from adapter.sandbox import RunningSandbox

UPSTREAM_TIMEOUT_S = 2.0
SLOW_S = 1.5 * UPSTREAM_TIMEOUT_S
CALM_S = (4.0, 10.0)
"""Between two faults, at least and at most."""
AFTERMATH_S = 4.0
"""How long after its end a fault is felt: by whoever joined a request that it struck, or tried that again, or waits for
a write that looks twice at what became of it."""
COOL_DOWN_S = 16.0
"""How long a refresh that failed is not tried again, and so the failure repeated to whoever needs the token."""
OAUTH = "/oauth/token"
WRITING = ("POST", "PUT", "PATCH", "DELETE")

TIMED_OUT = frozenset({"upstream_timeout", "directory_gathering", "unavailable", "gathering", "write_failed"})
BROKEN = frozenset({"upstream_nonsense", "upstream_unreachable", "upstream_failure", "write_failed", "cut", "nonsense"})
REFUSED = frozenset({"remote_error", "internal_server_error", "upstream_failure", "write_failed"})
LIMITED = frozenset({"remote_rate_limited", "rate_limited", "budget_reserved", "rate_limit", "write_failed"})

VANISHED = "vanished"
"""No fault: a place went, and whoever had the list of places from before finds nothing there."""

EXPLAINS: Mapping[str, frozenset[str]] = {
    "late": frozenset(),
    "latency": TIMED_OUT,
    "slow_body": TIMED_OUT,
    "status": REFUSED,
    "rate_limit": LIMITED,
    "reset": BROKEN,
    "truncate": BROKEN,
    "wrong_length": BROKEN,
    "cut_json": BROKEN,
    "nonsense": BROKEN,
    VANISHED: frozenset({"not_found"}),
}
"""What a kind of fault makes of an answer: its code, the reason of a gap in it, or how it broke off (`cut`)."""

FAULTS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("late", {"kind": "latency", "seconds": 0.3}),
    ("latency", {"kind": "latency", "seconds": SLOW_S}),
    ("slow_body", {"kind": "slow_body", "seconds": SLOW_S}),
    ("status", {"kind": "status", "status": 500}),
    ("status", {"kind": "status", "status": 503}),
    ("rate_limit", {"kind": "rate_limit", "retry_after": "1"}),
    ("reset", {"kind": "reset"}),
    ("truncate", {"kind": "truncate"}),
    ("wrong_length", {"kind": "wrong_length"}),
    ("cut_json", {"kind": "cut_json"}),
    ("nonsense", {"kind": "nonsense"}),
)
CARRIED_OUT = frozenset({"latency", "status", "reset", "nonsense"})
"""Kinds that may come after a write took place."""
MATCHES: tuple[Mapping[str, str], ...] = (
    {}, {"method": "GET"}, {"path": "/teams*"}, {"path": "/apps*"}, {"path": OAUTH}, {"method": "DELETE"},
    {"method": "PUT"}, {"method": "POST"}, {"method": "PATCH"},
)  # fmt: skip


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that was none, or not whole. Times are of the monotonic clock."""

    what: str
    code: str
    began: float
    ended: float
    methods: frozenset[str]
    """Of the requests to the provider that the answer rests on."""
    refreshes: bool
    """Whether the account's token is one that lapses."""
    told: str


class Window(msgspec.Struct, kw_only=True):
    """When a fault was live, as the monotonic clock has it; `ended` is infinite while it is."""

    kind: str
    fault: Mapping[str, Any]
    began: float
    ended: float = float("inf")
    struck_refresh: bool = False

    @property
    def felt_until(self) -> float:
        fault = self.fault
        return self.ended + AFTERMATH_S + (float(fault.get("retry_after") or 0) if self.kind == "rate_limit" else 0)

    def may_have_struck(self, logged: float) -> bool:
        """Whether it was live when a request began that was logged at that moment, of which the second is known."""
        return self.began - 1 <= logged <= self.ended + SLOW_S + 1

    def explains(self, failure: Failure) -> bool:
        if failure.code not in EXPLAINS[self.kind] or failure.ended < self.began:
            return False
        if failure.refreshes and self.struck_refresh:
            return failure.began <= self.felt_until + COOL_DOWN_S
        match = self.fault.get("match", {})
        is_met = match.get("method", "GET") in failure.methods and match.get("path") != OAUTH
        return is_met and failure.began <= self.felt_until


class Weather:
    """Calm and faults in turn."""

    def __init__(self, sandbox: RunningSandbox, random: Random, calm: tuple[float, float]) -> None:
        self._sandbox = sandbox
        self._random = random
        self._calm = calm
        self.windows: list[Window] = []

    async def blow(self, over: asyncio.Event) -> None:
        """Until it is over; it is calm then, and in the first moments."""
        while not await _within(over, self._random.uniform(*self._calm)):
            window = self._window()
            await asyncio.to_thread(self._sandbox.faults, [dict(window.fault)])
            self.windows.append(window)
            await _within(over, self._random.uniform(0.3, 2.0))
            await asyncio.to_thread(self._sandbox.clear_faults)
            window.ended = time.monotonic()

    def _note_struck_refreshes(self) -> None:
        """Tell the windows of the requests for another token that were struck: a slow one is logged as it ends."""
        monotonic = time.monotonic() - time.time()
        for entry in self._sandbox.sandbox.log.entries.copy():
            if entry.path == OAUTH and entry.fault:
                logged = datetime.fromisoformat(entry.time).timestamp() + monotonic
                for window in self.windows:
                    window.struck_refresh |= window.fault.get("kind") == entry.fault and window.may_have_struck(logged)

    def _window(self) -> Window:
        kind, fault = self._random.choice(FAULTS)
        match = dict(self._random.choice(MATCHES))
        struck = {**fault, "match": match, "probability": self._random.choice([0.2, 0.5, 1.0])}
        if kind in CARRIED_OUT and self._random.random() < 0.5 and match.get("method") != "GET":
            struck |= {"carried_out": True}
        return Window(kind=kind, fault=struck, began=time.monotonic())

    def note_vanished(self, began: float, ended: float) -> None:
        """Say afterwards that a place went between these moments."""
        self.windows.append(Window(kind=VANISHED, fault={}, began=began, ended=ended))

    def unexplained(self, failures: Sequence[Failure]) -> list[Failure]:
        self._note_struck_refreshes()
        return [failure for failure in failures if not any(window.explains(failure) for window in self.windows)]

    def calm_share(self, began: float, ended: float) -> float:
        """The part of a time in which no failure could have been explained, refreshes apart."""
        felt = sorted((window.began, window.felt_until) for window in self.windows if window.kind != VANISHED)
        covered, at = 0.0, began
        for start, until in felt:
            covered += max(0.0, min(until, ended) - max(start, at))
            at = max(at, until)
        return 1 - covered / (ended - began)


async def _within(over: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await over.wait()
    except TimeoutError:
        return False
    return True
