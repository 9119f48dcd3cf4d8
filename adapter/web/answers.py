"""What leaves the house: JSON by msgspec, and every error in the one shape of the contract (or RFC 9457's)."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Protocol

import msgspec
from starlette.responses import Response

from adapter.errors import AdapterError, RemoteError, Unauthorized

_encoder = msgspec.json.Encoder()


class Rates(Protocol):
    """What an account's request budget shows of itself."""

    def headers(self) -> list[tuple[str, str]]: ...


def json_answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`data` (anything msgspec encodes) as JSON."""
    return Response(_encoder.encode(data), status, dict(headers or {}), media_type="application/json")


def rate_headers(budget: Rates) -> dict[str, str]:
    """`ratelimit-limit`, `-remaining` and `-reset`, as on every account-bound answer."""
    return dict(budget.headers())


class rated:  # noqa: N801  # it reads as the function that it would be; as a generator it costs three times as much
    """Errors raised in here tell of the account's budget too, as every account-bound answer does."""

    __slots__ = ("_budget",)

    def __init__(self, budget: Rates) -> None:
        self._budget = budget

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, AdapterError):
            # The error may be one that a unit keeps, with what an earlier answer told: the newer word holds.
            error.headers = {**error.headers, **rate_headers(self._budget)}


def error_answer(
    error: AdapterError, request_id: str, problem: bool = False, extra: Mapping[str, Any] | None = None
) -> Response:
    """The error as the contract writes it, or as a problem document; `extra` fields are added to the body."""
    body = _problem(error, request_id) if problem else _error(error, request_id)
    headers = {"cache-control": "no-store", **{name.lower(): value for name, value in error.headers.items()}}
    if type(error) is Unauthorized:
        # Basic is understood on some doors, but never asked for: a browser would keep it.
        headers["www-authenticate"] = "Bearer"
    media_type = "application/problem+json" if problem else "application/json"
    return Response(_encoder.encode({**body, **(extra or {})}), error.status, headers, media_type=media_type)


def wants_problem(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the caller's Accept names problem documents."""
    return any(name == b"accept" and b"application/problem+json" in value.lower() for name, value in headers)


def phrase(status: int) -> str:
    """`Not Found` for 404; a status without a name gets its family's."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Bad Request" if status < 500 else "Server Error"


def _error(error: AdapterError, request_id: str) -> dict[str, Any]:
    return {
        "statusCode": error.status,
        "error": phrase(error.status),
        "message": error.message,
        "code": error.code,
        "request_id": request_id,
        **({"details": error.details} if error.details else {}),
        **error.extra(),
    }


def _problem(error: AdapterError, request_id: str) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": phrase(error.status),
        "status": error.status,
        "detail": error.message,
        "instance": f"urn:request:{request_id}",
        "code": error.code,
        **({"details": error.details} if error.details else {}),
        **error.extra(),
        **({"remote_id": error.remote_id} if isinstance(error, RemoteError) and error.remote_id else {}),
    }
