"""The words of an OpenAPI document, and what one door adds to it.

A new door brings a module with a function that returns its Part, and `document.compose` is handed one more.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from adapter.models import Scope

Schema = dict[str, Any]
Operation = dict[str, Any]
Security = Sequence[Mapping[str, Sequence[str]]]

METHODS = ("get", "post", "put", "patch", "delete")

JSON = "application/json"
API_TOKEN, ACCOUNT_TOKEN, BASIC_TOKEN = "apiToken", "accountToken", "basicToken"
OPEN: Security = ()
API_ONLY: Security = ({API_TOKEN: ()},)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One door: its operations under one tag, and the schemas and parameters that they refer to."""

    tag: str
    description: str
    paths: Mapping[str, Mapping[str, Operation]]
    schemas: Mapping[str, Schema] = field(default_factory=dict)
    parameters: Mapping[str, Schema] = field(default_factory=dict)


def either_token(*scopes: Scope) -> Security:
    """An API token, or an account token that has one of the scopes."""
    return ({API_TOKEN: ()}, {ACCOUNT_TOKEN: tuple(scopes)})


def operation(
    name: str,
    summary: str,
    answers: Mapping[str, Any],
    *,
    description: str = "",
    security: Security = OPEN,
    parameters: Sequence[Schema] = (),
    body: Schema | None = None,
) -> Operation:
    """One method of one path; `body` is the schema of its JSON."""
    made: Operation = {"operationId": name, "summary": summary}
    if description:
        made["description"] = description
    if parameters:
        made["parameters"] = list(parameters)
    if body is not None:
        made["requestBody"] = {"required": True, "content": {JSON: {"schema": body}}}
    return {**made, "responses": dict(answers), "security": [dict(way) for way in security]}


def query(name: str, schema: Schema, description: str = "", **more: Any) -> Schema:
    """A query parameter."""
    return {"name": name, "in": "query", "description": description, "schema": schema, **more}


def in_path(name: str, description: str, schema: Schema | None = None) -> Schema:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": schema or {"type": "string", "minLength": 1},
    }


def answer(description: str, schema: Schema, *, headers: Iterable[str] = ()) -> Schema:
    """A 200 with JSON; `headers` are names of the document's header components."""
    made: Schema = {"description": description, "content": {JSON: {"schema": schema}}}
    shown = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    return {**made, "headers": shown} if shown else made


def ref(name: str, kind: str = "schemas") -> Schema:
    return {"$ref": f"#/components/{kind}/{name}"}


def page_of(items: Schema, **more: Schema) -> Schema:
    """The list envelope; `more` are properties that an answer may have beside the usual ones."""
    properties = {
        "result": {"type": "array", "items": items},
        "next_cursor": {"type": ["string", "null"], "description": "Goes back as `next_cursor`; null on the last page"},
        "prev_cursor": {"type": "null"},
        "result_count": {"type": "integer", "minimum": 0, "description": "How many are on this page"},
    }
    return {"type": "object", "required": list(properties), "properties": properties | more}


def nullable(schema: Schema) -> Schema:
    """The same, or null."""
    kind = schema.get("type")
    return {**schema, "type": [kind, "null"]} if isinstance(kind, str) else {"anyOf": [schema, {"type": "null"}]}


def struct_schemas(*kinds: Any, answered: bool = False) -> dict[str, Schema]:
    """The schemas of msgspec structs and what they refer to, by name.

    `answered` structs are encoded whole: every field is there, so each is required and a default means nothing.
    """
    _, found = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    return {name: (_whole(schema) if answered else schema) for name, schema in found.items()}


def _whole(schema: Schema) -> Schema:
    if "properties" not in schema:
        return schema
    properties = {
        name: {word: value for word, value in inner.items() if word != "default"}
        for name, inner in schema["properties"].items()
    }
    return {**schema, "properties": properties, "required": list(properties)}
