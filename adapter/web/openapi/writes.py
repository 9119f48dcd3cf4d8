"""The writes of the unified directory in the document, from the table that their door is made of."""

from collections.abc import Mapping
from typing import Any

from adapter.directory.writing.model import OperationKind, Plan
from adapter.mapping.model import Model
from adapter.models import Scope
from adapter.web import write_bodies as bodies
from adapter.web.asks import PLACES
from adapter.web.auth import ACCOUNT_PARAMETER
from adapter.web.openapi.errors import refusals
from adapter.web.openapi.parts import (
    JSON,
    Operation,
    Part,
    Schema,
    answer,
    either_token,
    in_path,
    operation,
    query,
    ref,
    struct_schemas,
)
from adapter.web.openapi.records import title
from adapter.web.unified import PREFIX
from adapter.web.writes import IDEMPOTENCY_KEY, IF_MATCH, WRITES, Write

TAG = "Writes"
HEADERS = ("Warning", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
REFUSED = (400, 401, 403, 404, 409, 412, 422, 429, 502, 503, 504)
_SUMMARIES: Mapping[OperationKind, str] = {
    "users.create": "Add or invite somebody",
    "users.update": "Set somebody's roles in the places named",
    "users.delete": "Take everything away from somebody, or what there is in one place",
    "users.offboard": "Off-board somebody, and prove it",
    "role_assignments.create": "Give one role",
    "role_assignments.update": "Change one role",
    "role_assignments.delete": "Take one role away",
    "groups.create": "Create a team in an organization",
    "groups.update": "Rename a team",
    "groups.delete": "Delete a team",
    "groups.add-user": "Add or invite somebody to a team",
    "groups.remove-user": "Take somebody out of a team",
}


def part(model: Model) -> Part:
    paths: dict[str, dict[str, Operation]] = {}
    for write in WRITES:
        paths.setdefault(PREFIX + write.path, {})[write.method.lower()] = _operation(model, write)
    kinds = {write.body for write in WRITES}
    # A gap is shown as in every other answer, and stands among these.
    schemas = struct_schemas(*kinds) | without(struct_schemas(Plan, answered=True), "Missing")
    return Part(tag=TAG, description=_DESCRIPTION, paths=paths, schemas=schemas)


def without(schemas: Mapping[str, Schema], name: str) -> dict[str, Schema]:
    return {key: schema for key, schema in schemas.items() if key != name}


def _operation(model: Model, write: Write) -> Operation:
    name = write.kind.replace(".", "_").replace("-", "_")
    made = operation(
        f"{name}_by_body" if write.method != "POST" and "{id}" not in write.path else name,
        _SUMMARIES[write.kind],
        {"200": _done(model, write), "202": _accepted()} | refusals(*REFUSED, remote=True),
        security=either_token(Scope.DIRECTORY_WRITE),
        parameters=[*_path(model, write), *_query(write), *_headers()],
        body=ref(write.body.__name__),
    )
    made["requestBody"]["required"] = write.method != "DELETE"
    return made


def _done(model: Model, write: Write) -> Schema:
    """200: every step is done; or the plan, where nothing is to be done yet."""
    result, plan = _result(model, write), ref("Plan")
    if write.is_custom:
        shape: Schema = _object(result={"anyOf": [result, plan]})
    else:
        shape = {"anyOf": [result, plan]}
    return answer("What came of it; with `dry_run=true` the plan, and its ETag", shape, headers=(*HEADERS, "ETag"))


def _result(model: Model, write: Write) -> Schema:
    if write.method == "DELETE":
        return _object(id={"type": "string"})
    if write.is_custom:
        return {"type": ["object", "null"]}
    return ref(title(model.resources[write.resource]))


def _accepted() -> Schema:
    return answer(
        "It takes longer than the caller is kept waiting, and goes on", ref("Operation"), headers=(*HEADERS, "Location")
    )


def _path(model: Model, write: Write) -> list[Schema]:
    if "{id}" not in write.path:
        return []
    resource = model.resources[write.resource]
    if resource.id_pattern:
        pattern, shown = f"^(?:{resource.id_pattern.pattern})$", f"An id like `{resource.id_form}`"
    else:
        pattern, shown = f"^{bodies.ID.pattern}$", f"The id, as {resource.name} are listed with it"
    schema = {"type": "string", "minLength": 1, "maxLength": bodies.MAX_ID_CHARS, "pattern": pattern}
    return [in_path("id", shown, schema)]


def _query(write: Write) -> list[Schema]:
    made = [ref(ACCOUNT_PARAMETER, "parameters"), _DRY_RUN]
    if not write.scoped:
        return made
    shown = "Only there; empty or together with another it is refused"
    schema: Schema = {"type": "string", "pattern": f"^{bodies.ID.pattern}$", "maxLength": bodies.MAX_ID_CHARS}
    return [*made, *(query(f"{word}_id", schema, shown) for word in PLACES)]


def _headers() -> list[Schema]:
    return [_header(IF_MATCH, _ETAG, "A plan's `ETag`: 412 if the directory has moved since"),
            _header(IDEMPOTENCY_KEY, _KEY, "The same again within 24 hours is answered as the first time")]  # fmt: skip


def _header(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "header", "description": description, "schema": schema}


def _object(**properties: Any) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


_DRY_RUN = query(
    "dry_run", {"type": "boolean", "default": False}, f"Answer the plan and do nothing; {IF_MATCH} takes its `ETag`"
)
_ETAG: Schema = {"type": "string", "pattern": '^"[!#-~]{1,128}"$'}
_KEY: Schema = {"type": "string", "pattern": "^[!-~]{1,255}$"}
_DESCRIPTION = f"""\
Who gets access to what, and who loses it. A write rereads what it rests on, is planned, and passes guards before \
anything is sent: each refusal is a 422 that names the way out. It is journaled, so that it survives its process: \
200 only if every step was done; 202 with `Location` where it takes longer; and an error that says with `completed`, \
`failed`, `remaining` and `unknown` how far it came. Removing what is gone already is success.

`dry_run=true` answers the plan. `{IDEMPOTENCY_KEY}` makes a write safe to repeat. On a write an empty or repeated \
`{"_id`, `".join(PLACES)}_id` is refused: it never means everything. `{JSON}` bodies name places and people in the \
spellings that records show them in.\
"""
