"""Structured logs: JSON in production, readable in a terminal; whatever looks like a credential is blotted out."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import msgspec
import structlog

Format = Literal["auto", "json", "console"]

_SECRET_KEYS = re.compile(r"token|secret|password|api_key|authorization|cookie|credential", re.IGNORECASE)
_SECRET_VALUES = re.compile(
    r"\b(?:uda|udt|udl)_[\w-]{8,}|\bHRKU-[\w-]{8,}|\b(?:Bearer|Basic)\s+[\w.~+/=-]{8,}|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"
)
_BLOT = "***"
# These say which token, not what it is.
_HARMLESS = frozenset({"token_id", "tokens"})


def configure(level: str = "info", form: Format = "auto", stream: TextIO | None = None) -> None:
    """Set up structlog, and the standard library's logging (which other libraries use) along with it."""
    out = stream or sys.stderr
    readable = form == "console" or (form == "auto" and out.isatty())
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            blotted,
            structlog.dev.ConsoleRenderer(colors=out.isatty()) if readable else _as_json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(number, logging.WARNING), stream=out, force=True, format="%(levelname)s %(message)s")


def blotted(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor: values under telling names, and texts of telling shape, become `***`."""
    for key, value in event.items():
        if isinstance(value, str):
            if _SECRET_KEYS.search(key) and key not in _HARMLESS:
                event[key] = _BLOT
            elif len(value) > 11:
                event[key] = _SECRET_VALUES.sub(_BLOT, value)
    return event


def _as_json(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()
