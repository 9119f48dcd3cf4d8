"""The schemas of a resource's records, read from its declaration."""

from collections.abc import Mapping

from adapter.mapping.model import Resource
from adapter.mapping.schema import FieldDecl
from adapter.web.openapi.parts import Schema, nullable, ref

_TYPES: Mapping[str, Schema] = {
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer"},
    "datetime": {"type": "string", "format": "date-time"},
    "array": {"type": "array"},
    "object": {"type": "object"},
    "reference": ref("Reference"),
}
REFERENCE: Schema = {
    "type": "object",
    "description": "A place that a record names.",
    "properties": {"id": nullable(_TYPES["string"]), "name": nullable(_TYPES["string"])},
}
REMOTE: Schema = {
    "type": "object",
    "description": "The provider's own objects that the record was built from, by the unit that they came in",
    "additionalProperties": {"type": "array"},
}


def title(resource: Resource) -> str:
    """`RoleAssignments` for `role_assignments`."""
    return "".join(word.capitalize() for word in resource.name.split("_"))


def record_schema(resource: Resource) -> Schema:
    """One record: what is always there is required, anything else may be null, which means unknown."""
    always = [name for name, field in resource.fields.items() if field.always]
    properties = {name: _field(resource, name, field) for name, field in resource.fields.items()}
    return {
        "type": "object",
        "description": resource.description,
        "required": always,
        "properties": {**properties, "remote_data": REMOTE},
    }


def _field(resource: Resource, name: str, field: FieldDecl) -> Schema:
    schema: Schema = {**_TYPES[field.type]}
    if field.of:
        parts = {"type": "object", "properties": {part: nullable(_TYPES[kind]) for part, kind in field.of.items()}}
        schema |= {"items": parts} if field.type == "array" else parts
    if not field.always:
        schema = nullable(schema)
    if field.description:
        schema["description"] = field.description
    known = known_values(resource, name)
    if known:
        # Examples and no enumeration: a value of the provider's that the mapping doesn't know passes through.
        schema["examples"] = known
    return schema


def known_values(resource: Resource, name: str) -> list[str]:
    """What the declaration says a field of one text may hold."""
    field, spec = resource.fields[name], resource.filters.get(name)
    if field.type != "string":
        return []
    return [str(value) for value in field.rank] or (list(spec.values) if spec and spec.path.text == name else [])
