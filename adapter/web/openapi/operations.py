"""The operations in the document."""

from adapter.directory.query import DEFAULT_LIMIT, MAX_LIMIT
from adapter.directory.writing.model import Operation as Written
from adapter.models import Scope
from adapter.web.auth import ACCOUNT_PARAMETER
from adapter.web.openapi.errors import refusals
from adapter.web.openapi.parts import (
    Operation,
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
from adapter.web.openapi.writes import without
from adapter.web.operations import STATUSES
from adapter.web.write_answers import OPERATIONS, SUMMED_UP

_REFUSED = (400, 401, 403, 404, 503)
_GOING_ON = (*_REFUSED, 409, 422, 429, 502, 504)
_ACCOUNT = ref(ACCOUNT_PARAMETER, "parameters")
_ONE = [in_path("id", "The operation's id"), _ACCOUNT]
_COUNT: Schema = {"type": "integer", "minimum": 0}


def part() -> Part:
    one = f"{OPERATIONS}/{{id}}"
    paths = {
        OPERATIONS: {"get": _list()},
        one: {"get": _of_one("operation", "Get an operation, step by step", {"200": _shown()})},
        f"{one}/resume": {
            "post": _of_one(
                "resume_operation",
                "Go on with an operation that was left behind, planned anew",
                {"200": _shown(), "202": _shown("Location")} | refusals(*_GOING_ON, remote=True),
            )
        },
        f"{one}/cancel": {
            "post": _of_one(
                "cancel_operation", "Send none of its further steps", {"200": _shown()} | refusals(*_REFUSED, 409)
            )
        },
    }
    return Part(tag="Operations", description=_DESCRIPTION, paths=paths, schemas=_schemas())


def _list() -> Operation:
    return operation(
        "operations",
        "List the writes that were asked for",
        {"200": answer("A page of operations", page_of(ref("OperationSummary")))} | refusals(*_REFUSED),
        security=either_token(Scope.DIRECTORY_WRITE),
        parameters=[
            _ACCOUNT,
            query("status", {"type": "string", "enum": list(STATUSES)}, "In this state only", allowEmptyValue=True),
            query(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
                allowEmptyValue=True,
            ),
            query("next_cursor", {"type": "string"}, "From the page before, with the same filters; empty means absent"),
        ],
    )


def _of_one(name: str, summary: str, answers: Schema) -> Operation:
    return operation(
        name,
        summary,
        refusals(*_REFUSED) | answers,
        security=either_token(Scope.DIRECTORY_WRITE),
        parameters=_ONE,
    )


def _shown(*headers: str) -> Schema:
    return answer("The operation", ref("Operation"), headers=headers)


def _schemas() -> dict[str, Schema]:
    """The structs as they are shown: the account under its usual name."""
    found = without(struct_schemas(Written, answered=True), "Missing")
    properties = found["Operation"]["properties"]
    properties = {ACCOUNT_PARAMETER if name == "account_id" else name: schema for name, schema in properties.items()}
    found["Operation"] |= {"properties": properties, "required": list(properties)}
    summed = {name: properties[ACCOUNT_PARAMETER if name == "account_id" else name] for name in SUMMED_UP}
    summed[ACCOUNT_PARAMETER] = summed.pop("account_id")
    summed |= {
        "person": nullable(ref("Person")),
        "steps": {"type": "object", "description": "How many there are of each status", "additionalProperties": _COUNT},
    }
    summary = {"type": "object", "required": list(summed), "properties": summed}
    return {**found, "OperationSummary": summary}


_DESCRIPTION = """\
Every write that was ever asked for: who asked, when, the plan, the state before, and each step with the provider's \
own id of its request. Nothing of it is changed afterwards. A process that dies leaves its operations to others; one \
that was left behind too long is `lapsed` and waits for `resume`, which plans anew.\
"""
