"""The error answers, by status, read from the tree of errors: every code, with what happened and what to do."""

from collections.abc import Iterator, Mapping

from adapter.errors import AdapterError, GuardRefused, RemoteError, StartupError, WriteFailed
from adapter.web.answers import phrase
from adapter.web.openapi.parts import JSON, Schema, ref

PROBLEM = "application/problem+json"
EDGE = (413, 414, 431, 500)
"""What any address may answer: sizes are judged, and accidents happen, before and around every door."""

_HEADERS: Mapping[int, tuple[str, ...]] = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
_REMOTE = "RemoteError"
_OF_THE_FIRST_FAILURE = (403, 429)
"""The statuses that a write which failed takes over from the provider."""


def kinds() -> dict[int, list[type[AdapterError]]]:
    """The errors that a caller can meet, by status; those of the provider's own status stand under 0."""
    found: dict[int, list[type[AdapterError]]] = {}
    met: list[type[AdapterError]] = [AdapterError, *_below(AdapterError)]
    for kind in met:
        found.setdefault(0 if kind is RemoteError else kind.status, []).append(kind)
    return dict(sorted(found.items(), key=lambda item: item[0] or 999))


def _below(kind: type[AdapterError]) -> Iterator[type[AdapterError]]:
    for child in kind.__subclasses__():
        # Those are met by whoever starts the adapter, not by whoever calls it.
        if child is not StartupError:
            yield child
            yield from _below(child)


def refusals(*statuses: int, remote: bool = False) -> dict[str, Schema]:
    """The error answers of an operation; `remote`: the provider's own refusals too, under its own status."""
    made = {str(status): ref(str(status), "responses") for status in sorted({*statuses, *EDGE})}
    return made | ({"default": ref(_REMOTE, "responses")} if remote else {})


def responses() -> dict[str, Schema]:
    """Every error answer, by the name that `refusals` refers to."""
    return {str(status) if status else _REMOTE: _response(status, of) for status, of in kinds().items()}


def _response(status: int, of: list[type[AdapterError]]) -> Schema:
    codes = [kind.code for kind in of]
    if status and RemoteError not in {base for kind in of for base in kind.__bases__}:
        # Where no kind of its own stands for it, a refusal of the provider's has this status and the general code.
        codes.append(RemoteError.code)
    if status in _OF_THE_FIRST_FAILURE:
        codes.append(WriteFailed.code)
    # A guard's refusal has the guard's name for its code, and guards are declared.
    fixed: Schema = {"code": {"examples": codes} if GuardRefused in of else {"enum": codes}}
    made: Schema = {
        "description": phrase(status) if status else "The provider's own refusal, under its own status",
        "content": {
            JSON: {
                "schema": _narrowed("Error", fixed | ({"statusCode": {"const": status}} if status else {})),
                "examples": {kind.code: {"value": _example(kind, status)} for kind in of},
            },
            PROBLEM: {"schema": _narrowed("Problem", fixed | ({"status": {"const": status}} if status else {}))},
        },
    }
    headers = {name: ref(name, "headers") for name in _HEADERS.get(status, ())}
    return {**made, "headers": headers} if headers else made


def _narrowed(name: str, properties: Schema) -> Schema:
    return {"allOf": [ref(name), {"properties": properties}]}


def _example(kind: type[AdapterError], status: int) -> Schema:
    shown = status or 422
    return {
        "statusCode": shown,
        "error": phrase(shown),
        "message": " ".join((kind.__doc__ or "").split()),
        "code": kind.code,
        "request_id": "5f0c2f6c2f7d4a5c9a3e0d1b7c8e9f10",
        **({"truto_is_remote_error": True, "raw_response": None} if issubclass(kind, RemoteError) else {}),
    }


def schemas() -> dict[str, Schema]:
    return {"Error": _ERROR, "Problem": _PROBLEM}


_SHARED: Schema = {
    "code": {"type": "string", "description": "What went wrong, in one stable word"},
    "details": {
        "type": "array",
        "items": {"type": "object"},
        "description": "Where it is wrong, what stands there, and what was expected",
    },
    "truto_is_remote_error": {"const": True, "description": "The provider said so, not the adapter"},
    "raw_response": {"description": "The provider's own words"},
    "truto_error_insight": {
        "type": "object",
        "description": "What to do about it: `rate_limit_error`, `forbidden_error` with `missing_scopes`, …",
    },
}
_FAR: Schema = {
    "operation_id": {"type": "string", "description": "Of a write: what it can be found and gone on with by"},
    **{
        name: {"type": "array", "items": {"type": "object"}, "description": f"Of a write: the steps that {meaning}"}
        for name, meaning in (
            ("completed", "are done, or were so already"),
            ("failed", "the provider refused"),
            ("remaining", "were not sent"),
            ("unknown", "were sent, and nothing told what became of them"),
        )
    },
}
_ERROR: Schema = {
    "type": "object",
    "description": "Every error, on every route.",
    "required": ["statusCode", "error", "message", "code", "request_id"],
    "properties": {
        "statusCode": {"type": "integer"},
        "error": {"type": "string", "description": "The status in words"},
        "message": {"type": "string", "description": "What happened, and what to do about it"},
        "request_id": {"type": "string", "description": "The answer's `X-Request-Id`; it leads to the log"},
        **_SHARED,
        **_FAR,
    },
}
_PROBLEM: Schema = {
    "type": "object",
    "description": "The same as a problem document (RFC 9457), where `Accept` asks for `application/problem+json`.",
    "required": ["type", "title", "status", "detail", "instance", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        **_SHARED,
        "remote_id": {"type": "string", "description": "The provider's own word for the error"},
    },
}
