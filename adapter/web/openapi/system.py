"""The open addresses in the document: health, metrics, and the document itself."""

from adapter.web.openapi.errors import refusals
from adapter.web.openapi.parts import Operation, Part, Schema, answer, operation

TAG = "Service"
_STATUS: Schema = {"const": "ok"}


def part() -> Part:
    return Part(
        tag=TAG,
        description="Open to anybody; they tell nothing of what is served here.",
        paths={
            "/healthz": {"get": _healthz()},
            "/readyz": {"get": _readyz()},
            "/metrics": {"get": _of_type("metrics", "Counts and times of requests, for Prometheus", "text/plain")},
            "/openapi.json": {"get": _document()},
            "/docs": {"get": _of_type("docs", "This document as a page to read", "text/html")},
        },
    )


def _healthz() -> Operation:
    schema: Schema = {"type": "object", "required": ["status"], "properties": {"status": _STATUS}}
    return operation("healthz", "Whether the process answers", {"200": answer("It does", schema)} | refusals())


def _readyz() -> Operation:
    schema: Schema = {
        "type": "object",
        "required": ["status", "checks"],
        "properties": {"status": _STATUS, "checks": {"type": "object", "additionalProperties": _STATUS}},
    }
    found = {"200": answer("It does", schema)} | refusals(503)
    return operation("readyz", "Whether what the process needs answers too", found)


def _document() -> Operation:
    return operation("openapi", "This document", {"200": answer("OpenAPI 3.1", {"type": "object"})} | refusals())


def _of_type(name: str, summary: str, media_type: str) -> Operation:
    content = {media_type: {"schema": {"type": "string"}}}
    return operation(name, summary, {"200": {"description": summary, "content": content}} | refusals())
