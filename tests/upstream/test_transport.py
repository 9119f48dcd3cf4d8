import inspect

import httpx
import pytest

from adapter.errors import (
    AccountBlocked,
    AdapterError,
    UpstreamFailure,
    UpstreamNonsense,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from adapter.upstream.transport import FOREIGN, translated


def _kinds(module: object, root: type[Exception]) -> list[type[Exception]]:
    return [kind for _, kind in inspect.getmembers(module, inspect.isclass) if issubclass(kind, root)]


HTTPX = [*_kinds(httpx, httpx.HTTPError), *_kinds(httpx, httpx.StreamError), httpx.InvalidURL]


def _made(kind: type[Exception]) -> Exception:
    """One of its kind, whatever its constructor wants."""
    error = kind.__new__(kind)
    error.args = ("https://api.heroku.com/apps/secret",)
    return error


@pytest.mark.parametrize("kind", [*HTTPX, TimeoutError, OSError, ConnectionResetError, ValueError])
def test_no_foreign_error_slips_by_and_none_takes_its_text_along(kind: type[Exception]) -> None:
    word = translated(_made(kind))

    assert issubclass(kind, FOREIGN)
    assert isinstance(word, AdapterError)
    assert word.status in {400, 502, 504}
    assert "heroku.com" not in word.message


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (httpx.ReadTimeout, UpstreamTimeout),
        (httpx.ConnectError, UpstreamUnreachable),
        (httpx.RemoteProtocolError, UpstreamNonsense),
        (ValueError, UpstreamNonsense),
    ],
)
def test_what_they_are_called_here(kind: type[Exception], expected: type[AdapterError]) -> None:
    assert type(translated(_made(kind))) is expected


def test_our_own_errors_stay_as_they_are() -> None:
    error = AccountBlocked()

    assert translated(error) is error


@pytest.mark.parametrize("error", [httpx.ConnectError(""), httpx.ConnectTimeout(""), httpx.PoolTimeout("")])
def test_where_no_connection_was_made_nothing_was_sent(error: Exception) -> None:
    failure = translated(error)

    assert isinstance(failure, UpstreamFailure)
    assert failure.was_sent is False


@pytest.mark.parametrize(
    "error",
    [
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
