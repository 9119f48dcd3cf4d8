"""The faults that a trial at length is struck with: what each does, for how long, and which answers it explains."""

import os
import resource
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from tests.cli.running import descendants
from tests.faults.line import Asked, Authority, Trouble
from tests.faults.servers import Vanishing
from tests.faults.trials import Trial
from tests.faults.troubles import BROKEN_OFF, TROUBLES, says
from tests.long.served import Served

DAY_S = 86_400.0
Told = tuple[int, str]
"""A status and a stable code; no code where the answer is the provider's own, and no status where it breaks off."""

UPSTREAM: frozenset[Told] = frozenset(
    {
        (502, "upstream_unreachable"),
        (502, "upstream_nonsense"),
        (504, "upstream_timeout"),
        (502, "write_failed"),
        (503, "directory_gathering"),
        (503, "unavailable"),
    }
)
REFUSED = UPSTREAM | {(503, ""), (503, "remote_error"), (500, ""), (500, "remote_error")}
BUSY: frozenset[Told] = frozenset(
    {
        (429, ""),
        (429, "remote_rate_limited"),
        (429, "budget_reserved"),
        (429, "write_failed"),
        (503, "directory_gathering"),
    }
)
BROKEN: frozenset[Told] = UPSTREAM | {(0, "broken_off")}
STORAGE: frozenset[Told] = frozenset({(503, "storage_unavailable")})


@dataclass(kw_only=True)
class Field:
    """What can be struck."""

    trial: Trial
    served: Served
    authority: Authority
    path: Path | None
    """The SQLite file."""
    server: Vanishing | None
    shift: Any
    """By how many seconds the adapter's clock is wrong: a `multiprocessing.Value`."""
    random: Random
    gone_s: float
    """How long a database may be gone."""


Act = Callable[[Field], AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class Strike:
    act: Act
    explains: frozenset[Told] = frozenset()
    seconds: tuple[float, float] = (0.5, 2.5)


# --- the provider


def _line(trouble: Trouble) -> Act:
    @contextmanager
    def act(field: Field) -> Iterator[None]:
        chance = field.random.choice([0.2, 0.6, 1.0])
        with field.trial.line.bad(partial(_by_chance, trouble, Random(field.random.random()), chance)):  # noqa: S311  # no secret
            yield

    return act


async def _by_chance(trouble: Trouble, random: Random, chance: float, asked: Asked) -> bool | None:
    return await trouble(asked) if random.random() < chance else False


def _world(*faults: Mapping[str, Any]) -> Act:
    @contextmanager
    def act(field: Field) -> Iterator[None]:
        field.trial.sandbox.faults([dict(fault) for fault in faults])
        try:
            yield
        finally:
            field.trial.sandbox.clear_faults()

    return act


def _after_all(kind: str, **more: Any) -> Act:
    """The answer to what was carried out is lost, for some writes."""
    methods = ("POST", "PUT", "PATCH", "DELETE")
    common = {"kind": kind, "carried_out": True, "probability": 0.5, **more}
    return _world(*({**common, "match": {"method": method}} for method in methods))


@contextmanager
def _cut(field: Field) -> Iterator[None]:
    field.trial.line.cut()
    try:
        yield
    finally:
        field.trial.line.mend()


@contextmanager
def _distrusted(field: Field) -> Iterator[None]:
    shown = field.random.choice([field.authority.expired, field.authority.of_another])
    field.trial.line.speak(shown())
    try:
        yield
    finally:
        field.trial.line.speak(field.authority.good())


# --- the database


@contextmanager
def _locked(field: Field) -> Iterator[None]:
    assert field.path is not None
    with closing(sqlite3.connect(field.path, isolation_level=None, timeout=60)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def _full(field: Field) -> Iterator[None]:
    """No file can be written to beyond its first bytes any more, which a database takes for a full disk."""
    _, most = resource.prlimit(field.served.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(field.served.pid, resource.RLIMIT_FSIZE, (64, most))
    try:
        yield
    finally:
        resource.prlimit(field.served.pid, resource.RLIMIT_FSIZE, (most, most))


@contextmanager
def _gone(field: Field) -> Iterator[None]:
    assert field.server is not None
    field.server.go()
    try:
        yield
        time.sleep(field.random.choice([0.0, 0.0, field.gone_s]))
    finally:
        field.server.come_back()


@contextmanager
def _disconnected(field: Field) -> Iterator[None]:
    assert field.server is not None
    field.server.disconnect()
    yield
    field.server.disconnect()


@contextmanager
def _frozen(field: Field) -> Iterator[None]:
    """It is there, and says nothing."""
    assert field.server is not None
    everybody = {field.server.pid} | descendants(field.server.pid)
    _signal(everybody, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(everybody, signal.SIGCONT)


def _signal(processes: set[int], by: signal.Signals) -> None:
    for pid in processes:
        os.kill(pid, by)


# --- time


@contextmanager
def _jump(field: Field) -> Iterator[None]:
    """The clock stays where it jumped to."""
    yield
    field.shift.value = field.random.choice([-DAY_S, -3600.0, -60.0, 0.0, 60.0, 3600.0, DAY_S])
    time.sleep(0.5)


def wrong_clock(shift: Any) -> None:
    """Have this process's wall clock be wrong by what `shift` says, wherever the adapter looks at it."""
    real = time.time

    class Wrong(datetime):
        def __new__(cls, *given: Any, **more: Any) -> Any:
            return datetime(*given, **more)  # noqa: DTZ001  # as it is asked for

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.now(tz) + timedelta(seconds=shift.value)

    def wrong() -> float:
        return real() + float(shift.value)

    for name, module in list(sys.modules.items()):
        if name.startswith("adapter.") and not name.startswith("adapter.sandbox"):
            _replace(vars(module), {id(real): wrong, id(datetime): Wrong})
    time.time = wrong


def _replace(names: dict[str, Any], by: Mapping[int, Any]) -> None:
    """Names of a module, and defaults of what its classes are made with."""
    for name, value in list(names.items()):
        if id(value) in by:
            names[name] = by[id(value)]
        made = getattr(value, "__init__", None) if isinstance(value, type) else None
        kept = getattr(made, "__kwdefaults__", None)
        if made is not None and kept:
            made.__kwdefaults__ = {word: by.get(id(default), default) for word, default in kept.items()}
        if made is not None and getattr(made, "__defaults__", None):
            made.__defaults__ = tuple(by.get(id(default), default) for default in made.__defaults__)


STORM = says("HTTP/1.1 429 X\nretry-after: 1\nconnection: close\ncontent-length: 2", b"{}")

STRIKES: Mapping[str, Strike] = {
    "nothing": Strike(act=_world()),
    **{name: Strike(act=_line(trouble), explains=UPSTREAM) for name, (trouble, _) in TROUBLES.items()},
    **{f"breaks_off_{name}": Strike(act=_line(trouble), explains=BROKEN) for name, trouble in BROKEN_OFF.items()},
    "slow": Strike(act=_world({"kind": "latency", "seconds": 0.3})),
    "slower_than_its_time": Strike(
        act=_world({"kind": "latency", "seconds": 1.5, "probability": 0.3}), explains=UPSTREAM
    ),
    "late_after_all": Strike(act=_after_all("latency", seconds=1.5), explains=UPSTREAM),
    "lost_after_all": Strike(act=_after_all("reset"), explains=UPSTREAM),
    "nonsense_after_all": Strike(act=_after_all("nonsense"), explains=UPSTREAM),
    "5xx_after_all": Strike(act=_after_all("status", status=503), explains=REFUSED),
    "5xx": Strike(act=_world({"kind": "status", "status": 503}), explains=REFUSED),
    "5xx_in_bursts": Strike(act=_world({"kind": "status", "status": 500, "probability": 0.3}), explains=REFUSED),
    "429_storm": Strike(act=_line(STORM), explains=BUSY),
    "cut": Strike(act=_cut, explains=UPSTREAM),
    "tls": Strike(act=_distrusted, explains=UPSTREAM),
    "clock": Strike(act=_jump),
}
OF_DATABASES: Mapping[str, Mapping[str, Strike]] = {
    "sqlite": {
        "locked": Strike(act=_locked, explains=STORAGE, seconds=(0.5, 13.0)),
        "full": Strike(act=_full, explains=STORAGE),
    },
    "postgresql": {
        "gone": Strike(act=_gone, explains=STORAGE),
        "disconnected": Strike(act=_disconnected, explains=STORAGE),
        "frozen": Strike(act=_frozen, explains=STORAGE, seconds=(0.5, 6.0)),
    },
}
