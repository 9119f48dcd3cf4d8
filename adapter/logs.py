"""Structured logs: JSON in production, readable in a terminal; whatever looks like a credential is blotted out.

Lines are written in small batches: a write for each would stop the other threads of a busy server at every request.
Warnings and worse go out at once, and so does everything where no event loop runs.
"""

import asyncio
import atexit
import logging
import re
import sys
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import msgspec
import structlog
from structlog.typing import Processor

Format = Literal["auto", "json", "console"]
Event = MutableMapping[str, Any]

_BATCH_SECONDS = 0.1
_BATCH_LINES = 500
_SECRET_KEYS = re.compile(r"token|secret|password|api_key|authorization|cookie|credential", re.IGNORECASE)
_SECRET_VALUES = re.compile(
    r"\b(?:uda|udt|udl)_[\w-]{8,}|\bHRKU-[\w-]{8,}|\b(?:Bearer|Basic)\s+[\w.~+/=-]{8,}|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"
)
_BLOT = "***"
# These say which token, not what it is.
_HARMLESS = frozenset({"token_id", "tokens"})

_OF_EVERY_LINE = frozenset({"timestamp", "level", "event"})

_encoder = msgspec.json.Encoder(enc_hook=repr)


def configure(level: str = "info", form: Format = "auto", stream: TextIO | None = None) -> None:
    """Set up structlog, and the standard library's logging (which other libraries use) along with it."""
    out = stream or sys.stderr
    readable = form == "console" or (form == "auto" and out.isatty())
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    batches = _Batches(out)
    structlog.configure(
        processors=_readable(colors=out.isatty()) if readable else [_as_json],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=batches,
        cache_logger_on_first_use=True,
    )
    global _access  # noqa: PLW0603  # like structlog's own configuration, there is one a process
    _access = _through_structlog if readable or number > logging.INFO else batches.access
    logging.basicConfig(level=max(number, logging.WARNING), stream=out, force=True, format="%(levelname)s %(message)s")


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """One answered request. `route` is a template; `token_id` None where nobody was known to call."""

    timestamp: datetime
    level: Literal["info"] = "info"
    event: Literal["request"] = "request"
    method: str
    route: str
    status: int
    ms: float
    request_id: str
    token_id: str | None


def access(line: Access) -> None:
    """The line of an answered request. It is made of our own words alone, and so is not searched for credentials; as
    JSON it takes a shorter way than other lines, since there is one for every request.
    """
    _access(line)


def blotted(_logger: Any, _method: str, event: Event) -> Event:
    """A processor: values under telling names, and texts of telling shape, become `***`."""
    for key, value in event.items():
        if isinstance(value, str):
            if _SECRET_KEYS.search(key) and key not in _HARMLESS:
                event[key] = _BLOT
            elif len(value) > 11:
                event[key] = _SECRET_VALUES.sub(_BLOT, value)
    return event


def telling(text: str) -> bool:
    """Whether a text looks as if it held a credential."""
    return _SECRET_VALUES.search(text) is not None


def _readable(*, colors: bool) -> list[Processor]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        blotted,
        structlog.dev.ConsoleRenderer(colors=colors),
    ]


def _as_json(logger: Any, method: str, event: Event) -> str:
    """All in one step: level, time, trace, blots, JSON."""
    event = blotted(logger, method, structlog.processors.format_exc_info(logger, method, event))
    return _encoder.encode({"timestamp": _now(), "level": method, **event}).decode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _through_structlog(line: Access) -> None:
    fields = {name: value for name, value in msgspec.structs.asdict(line).items() if name not in _OF_EVERY_LINE}
    structlog.get_logger("adapter.access").info("request", **fields)


_access: Callable[[Access], None] = _through_structlog


class _Batches:
    """Makes loggers that all write to one stream, in batches."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lines: list[Access | msgspec.Raw] = []
        self._due = False
        atexit.register(self._write)

    def __call__(self, *_: Any) -> "_Batches":
        return self

    def info(self, line: str) -> None:
        self.access(msgspec.Raw(line.encode()))

    debug = info

    def access(self, line: Access | msgspec.Raw) -> None:
        """Kept as it is: encoding many lines at once costs little more than encoding one."""
        self._lines.append(line)
        if self._due and len(self._lines) < _BATCH_LINES:
            return
        later = _loop()
        if later is None or len(self._lines) >= _BATCH_LINES:
            self._write()
        else:
            self._due = True
            later(_BATCH_SECONDS, self._write)

    def warning(self, line: str) -> None:
        self._lines.append(msgspec.Raw(line.encode()))
        self._write()

    msg = log = warn = error = critical = fatal = exception = warning

    def _write(self) -> None:
        self._due = False
        lines, self._lines = self._lines, []
        if lines and not self._out.closed:
            self._out.write(_encoder.encode_lines(lines).decode())
            self._out.flush()


def _loop() -> Callable[[float, Callable[[], None]], object] | None:
    try:
        return asyncio.get_running_loop().call_later
    except RuntimeError:
        return None
