"""How a directory stands, in the document."""

from adapter.directory.query import DEFAULT_LIMIT, MAX_LIMIT
from adapter.directory.status import STANDINGS, Budget, Summary, UnitStatus
from adapter.models import Scope
from adapter.web.directory import PATH
from adapter.web.openapi.errors import refusals
from adapter.web.openapi.parts import (
    Part,
    Schema,
    answer,
    either_token,
    in_path,
    nullable,
    operation,
    page_of,
    query,
    ref,
    struct_schemas,
)

_MOMENT: Schema = {"type": "string", "format": "date-time"}


def part() -> Part:
    shown = operation(
        "directory_status",
        "See how every unit of an account's directory stands",
        {"200": answer("A page of units", page_of(ref("UnitStatus"), summary=ref("Summary")), headers=_HEADERS)}
        | refusals(400, 401, 403, 404, 503),
        description="It asks nothing of the provider. What hangs on a list that was never read is not known yet.",
        security=either_token(Scope.DIRECTORY_READ),
        parameters=[
            in_path("id", "The integrated account's id"),
            query("state", {"type": "string", "enum": list(STANDINGS)}, "In this state only", allowEmptyValue=True),
            query(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
                allowEmptyValue=True,
            ),
            query(
                "next_cursor",
                {"type": "string"},
                "From the page before, with the same `state`; empty means absent",
                allowEmptyValue=True,
            ),
        ],
    )
    return Part(
        tag="How the directory stands", description=_DESCRIPTION, paths={PATH: {"get": shown}}, schemas=_schemas()
    )


def _schemas() -> dict[str, Schema]:
    """The structs as they are shown: moments in ISO 8601, ages in whole seconds."""
    found = struct_schemas(UnitStatus, Summary, Budget, answered=True)
    unit, summary = found["UnitStatus"]["properties"], found["Summary"]["properties"]
    unit |= {"due_at": _MOMENT, "age": {"type": ["integer", "null"], "minimum": 0}}
    unit |= {name: nullable(_MOMENT) for name in ("fetched_at", "changed_at", "settles_at")}
    summary |= {"max_age": {"type": "integer"}, "next_due_at": nullable(_MOMENT), "at": _MOMENT}
    found["Summary"]["required"] = list(summary)
    return found


_HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
_DESCRIPTION = """\
A directory is put together from units: one upstream list each. A unit is refreshed by the next question that needs it \
after its `due_at`, as far as the request budget allows.\
"""
