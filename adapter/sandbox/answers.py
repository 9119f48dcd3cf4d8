"""What Heroku says back: JSON bodies, its error shape, and the headers that go with a record."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import msgspec

from .clock import http_date

ENCODER = msgspec.json.Encoder()
JSON = "application/json"


class Answer(msgspec.Struct):
    """A response, before the headers that every answer carries are added."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = {}
    media_type: str = JSON


class Refusal(Exception):
    """An error answer of Heroku's: `{"id", "message"}` and, where Heroku adds them, `resource`, `url`, …"""

    def __init__(
        self, status: int, error_id: str, message: str, headers: dict[str, str] | None = None, **more: str
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = more | {"id": error_id, "message": message}
        self.headers = headers or {}

    def answer(self) -> Answer:
        return Answer(self.status, ENCODER.encode(self.body), self.headers)


def not_found(resource: str) -> Refusal:
    return Refusal(404, "not_found", f"Couldn't find that {resource}.", resource=resource)


def no_such_path() -> Refusal:
    return Refusal(
        404,
        "not_found",
        "The requested API endpoint was not found. Are you using the right HTTP verb "
        "(i.e. `GET` vs. `POST`), and did you specify your intended version with the `Accept` header?",
    )


def forbidden(message: str = "You do not have access to this resource.") -> Refusal:
    return Refusal(403, "forbidden", message)


def invalid(message: str) -> Refusal:
    return Refusal(422, "invalid_params", message)


def unauthorized() -> Refusal:
    return Refusal(401, "unauthorized", "Invalid credentials provided.", {"www-authenticate": 'Basic realm="Heroku"'})


def etag(body: bytes) -> str:
    return f'"{blake2b(body, digest_size=16).hexdigest()}"'


def record(value: dict[str, Any], status: int = 200, *, cacheable: bool = True) -> Answer:
    """One record, with `ETag` and `Last-Modified` unless its endpoint has none (`/enterprise-accounts*`)."""
    body = ENCODER.encode(value)
    headers = {}
    if cacheable and status == 200:
        headers["etag"] = etag(body)
        if changed := value.get("updated_at"):
            headers["last-modified"] = http_date(changed)
    return Answer(status, body, headers)


def plain_list(values: list[dict[str, Any]], *, cacheable: bool = True) -> Answer:
    """A list that Heroku answers whole, without any range header."""
    body = ENCODER.encode(values)
    return Answer(200, body, {"etag": etag(body)} if cacheable and values else {})
