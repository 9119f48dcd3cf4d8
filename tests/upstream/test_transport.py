import inspect
from typing import Any

import httpx
import pyreqwest.exceptions
import pytest

from adapter.errors import (
    AccountBlocked,
    AdapterError,
    Unavailable,
    UpstreamFailure,
    UpstreamNonsense,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from adapter.upstream.transport import FOREIGN, broken, translated


def _kinds(module: object, root: type[Exception]) -> list[type[Exception]]:
    return [kind for _, kind in inspect.getmembers(module, inspect.isclass) if issubclass(kind, root)]


PYREQWEST = _kinds(pyreqwest.exceptions, pyreqwest.exceptions.PyreqwestError)
HTTPX = [*_kinds(httpx, httpx.HTTPError), *_kinds(httpx, httpx.StreamError), httpx.InvalidURL]


def _made(kind: type[Exception]) -> Exception:
    """One of its kind, whatever its constructor wants."""
    error = kind.__new__(kind)
    error.args = ("https://api.heroku.com/apps/secret",)
    return error


@pytest.mark.parametrize("kind", [*PYREQWEST, *HTTPX, TimeoutError, OSError, ConnectionResetError, ValueError])
def test_no_foreign_error_slips_by_and_none_takes_its_text_along(kind: type[Exception]) -> None:
    word = translated(_made(kind))

    assert issubclass(kind, FOREIGN)
    assert isinstance(word, AdapterError)
    assert word.status in {400, 502, 503, 504}
    assert "heroku.com" not in word.message


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (pyreqwest.exceptions.ConnectTimeoutError, UpstreamTimeout),
        (pyreqwest.exceptions.ReadTimeoutError, UpstreamTimeout),
        (pyreqwest.exceptions.ConnectError, UpstreamUnreachable),
        (pyreqwest.exceptions.BodyDecodeError, UpstreamNonsense),
        (pyreqwest.exceptions.ClientClosedError, Unavailable),
        (httpx.ReadTimeout, UpstreamTimeout),
        (httpx.ConnectError, UpstreamUnreachable),
        (httpx.RemoteProtocolError, UpstreamNonsense),
        (ValueError, UpstreamNonsense),
    ],
)
def test_what_they_are_called_here(kind: type[Exception], expected: type[AdapterError]) -> None:
    assert type(translated(_made(kind))) is expected


def test_a_body_that_breaks_off_is_nonsense_and_silence_is_still_silence() -> None:
    assert type(broken(_made(pyreqwest.exceptions.ReadError))) is UpstreamNonsense
    assert type(broken(_made(pyreqwest.exceptions.ReadTimeoutError))) is UpstreamTimeout
    assert issubclass(UpstreamNonsense, UpstreamFailure)


def test_our_own_errors_stay_as_they_are() -> None:
    error = AccountBlocked()

    assert translated(error) is error


def _detailed(*causes: str) -> Exception:
    """As pyreqwest tells it: from the outermost cause to the innermost."""
    details: Any = {"causes": [{"message": cause} for cause in ("error sending request", *causes)]}
    return pyreqwest.exceptions.ConnectError("connection error", details)


def _through_httpx(cause: Exception) -> Exception:
    error = httpx.ConnectError("connection error")
    error.__cause__ = cause
    return error


REFUSED = ("client error (Connect)", "tcp connect error", "Connection refused (os error 111)")
CUT_OFF = ("client error (SendRequest)", "connection closed before message completed")


@pytest.mark.parametrize(
    "error", [_detailed(*REFUSED), _through_httpx(_detailed(*REFUSED)), httpx.ConnectError(""), httpx.PoolTimeout("")]
)
def test_where_no_connection_was_made_nothing_was_sent(error: Exception) -> None:
    failure = translated(error)

    assert isinstance(failure, UpstreamFailure)
    assert failure.was_sent is False


@pytest.mark.parametrize(
    "error",
    [
        _detailed(*CUT_OFF),
        _through_httpx(_detailed(*CUT_OFF)),
        _detailed(),
        httpx.ReadTimeout(""),
        httpx.RemoteProtocolError(""),
        ConnectionResetError(),
        TimeoutError(),
    ],
)
def test_after_a_connection_was_made_nobody_knows(error: Exception) -> None:
    failure = translated(error)

    assert isinstance(failure, UpstreamFailure)
    assert failure.was_sent is None
