"""The unified directory in the document: its resources, filters and formats, as the mapping files declare them."""

from collections.abc import Iterable, Mapping
from typing import Any

from adapter.directory.lists import Missing
from adapter.directory.query import DEFAULT_LIMIT, FOR_ONE, MAX_LIMIT, OPERATORS, Format
from adapter.mapping.model import Filter, Model, Resource
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
    operation,
    page_of,
    query,
    ref,
    struct_schemas,
)
from adapter.web.openapi.records import REFERENCE, record_schema, title
from adapter.web.unified import PREFIX

TAG = "Directory"
HEADERS = ("Age", "Last-Modified", "Warning", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
_FLAG: Schema = {"type": "boolean", "default": False}
_FORMATS: Mapping[Format, str] = {
    "unified": "records in the shape declared here",
    "normalized": "the same without `remote_data`",
    "raw": "the provider's own objects",
    "debug": "the records, and the upstream requests they rest on",
    "stream": "NDJSON, a record a line, every page; complete only with its last line "
    '`{"end": true, "count": n, "missing": […]}`',
}
_RESHAPED = "The answer then has another shape than usual."


def part(model: Model) -> Part:
    paths: dict[str, dict[str, Operation]] = {}
    schemas: dict[str, Schema] = {"Reference": REFERENCE, "Reshaped": _RESHAPED_LIST, **struct_schemas(Missing)}
    for resource in model.resources.values():
        paths[f"{PREFIX}/{resource.name}"] = {"get": _list(resource, passing=model.sole_unit(resource) is not None)}
        if "get" in resource.methods:
            paths[f"{PREFIX}/{resource.name}/{{id}}"] = {"get": _get(resource)}
        schemas[title(resource)] = record_schema(resource)
        schemas[f"{title(resource)}Page"] = page_of(ref(title(resource)), **_GAPS)
    return Part(tag=TAG, description=_DESCRIPTION, paths=paths, schemas=schemas, parameters=common_parameters())


def common_parameters() -> dict[str, Schema]:
    """What every list takes, by name."""
    return {made["name"]: made for made in _COMMON}


# --- operations


def _list(resource: Resource, *, passing: bool) -> Operation:
    name = title(resource)
    answers: dict[str, Schema] = {
        "200": answer(
            "A page of records",
            {"anyOf": [ref(f"{name}Page"), ref("Reshaped")]},
            headers=HEADERS,
        )
    }
    answers["200"]["content"]["application/x-ndjson"] = {
        "schema": {"type": "string", "description": "With `truto_response_format=stream`."}
    }
    made = operation(
        f"{resource.name}_list",
        f"List {_words(resource)}",
        answers | _refusals(),
        description=resource.description,
        security=either_token(Scope.DIRECTORY_READ),
        parameters=[*_filters(resource), *_list_parameters(resource), *([_PASSED] if passing else [])],
    )
    return {**made, "x-resource": resource.name}


def _get(resource: Resource) -> Operation:
    schema: Schema = {"type": "string", "minLength": 1}
    if resource.id_pattern:
        schema["pattern"] = f"^(?:{resource.id_pattern.pattern})$"
    shown = f"An id like `{resource.id_form}`" if resource.id_form else f"The id, as {resource.name} are listed with it"
    made = operation(
        f"{resource.name}_get",
        f"Get one of {_words(resource)}",
        {
            "200": answer(
                "The record; when something could not be read, with `is_partial_response` and `missing` beside its "
                "fields",
                {"anyOf": [ref(title(resource)), {"type": "object", "description": _RESHAPED}]},
                headers=HEADERS,
            )
        }
        | _refusals(),
        security=either_token(Scope.DIRECTORY_READ),
        parameters=[in_path("id", shown, schema), _excluding(resource), *_shared(_of_one())],
    )
    return {**made, "x-resource": resource.name}


def _words(resource: Resource) -> str:
    return resource.name.replace("_", " ")


def _refusals() -> dict[str, Schema]:
    return refusals(400, 401, 403, 404, 429, 502, 503, 504, remote=True)


def _list_parameters(resource: Resource) -> list[Schema]:
    made: list[Schema] = []
    if resource.sort:
        made.append(_asked("sort_by", _sort(resource), "A field; `-` before it or `:desc` behind it turns the order"))
    if resource.search:
        made.append(_asked("q", {"type": "string"}, f"A text to find in {_among(resource)}"))
    if resource.inherited:
        made.append(_asked("include_inherited", _FLAG, "Also what follows from a role elsewhere, computed"))
    key = {"type": "string", "enum": list(resource.fields)}
    made.append(
        _asked("truto_key_by", key, f"`result` as an object by this field, if no two records share it. {_RESHAPED}")
    )
    return [*made, _excluding(resource), *_shared(common_parameters())]


def _excluding(resource: Resource) -> Schema:
    fields: Schema = {"type": "array", "items": {"type": "string", "enum": [*resource.fields, "remote_data"]}}
    return _asked("truto_exclude_fields", fields, f"Fields to leave out. {_RESHAPED}", style="form", explode=True)


def _of_one() -> list[str]:
    return [name for name in common_parameters() if name in FOR_ONE]


def _among(resource: Resource) -> str:
    return ", ".join(f"`{expression.text}`" for expression in resource.search)


def _sort(resource: Resource) -> Schema:
    fields = "|".join(resource.sort)
    return {
        "type": "string",
        "pattern": f"^(?:-?(?:{fields})|(?:{fields}):(?:asc|desc))$",
        "examples": [resource.sort[0]],
    }


def _shared(names: Iterable[str]) -> list[Schema]:
    return [ref(name, "parameters") for name in names]


def _asked(name: str, schema: Schema, description: str, **more: Any) -> Schema:
    """A parameter of the directory's: with an empty value it is as if it were not there."""
    inner = schema.get("items", schema)
    empty_fits = inner == {"type": "string"} or schema["type"] == "object"
    return query(name, schema, description, **({} if empty_fits else {"allowEmptyValue": True}), **more)


# --- filters


def _filters(resource: Resource) -> list[Schema]:
    return [_filter(name, spec) for name, spec in resource.filters.items()]


def _filter(name: str, spec: Filter) -> Schema:
    described = f"The same as `{spec.name}`" if name != spec.name else f"By `{spec.path.text}`"
    filtering = {"type": spec.type} | ({"alias_of": spec.name} if name != spec.name else {})
    if spec.type == "datetime":
        # Every filter can be compared with; for a time, little else is of use.
        return query(name, _COMPARED, described, style="deepObject", explode=True, **{"x-filter": filtering})
    values: Schema = {"type": "array", "items": _value(spec)}
    return _asked(name, values, described, style="form", explode=True, **{"x-filter": filtering})


def _value(spec: Filter) -> Schema:
    if spec.values:
        return {"type": "string", "enum": list(spec.values)}
    return {"type": "string", "enum": ["true", "false", "null"]} if spec.type == "boolean" else {"type": "string"}


_PASSED = query(
    "remote_query",
    {"type": "object", "additionalProperties": {"type": "string"}},
    "Goes to the provider untouched, as `remote_query[name]=value`; the answer is then not kept",
    style="deepObject",
    explode=True,
)
_COMMON: tuple[Schema, ...] = (
    _asked(
        ACCOUNT_PARAMETER,
        {"type": "string"},
        "Which account; an API token has to name it, an account token knows it",
    ),
    _asked(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        "How many records a page has at most",
    ),
    _asked("next_cursor", {"type": "string"}, "From the page before, with the same filters; empty means absent"),
    _asked("allow_partial", _FLAG, "Answer with what is there while the first gather is still under way"),
    _asked(
        "truto_response_format",
        {"type": "string", "enum": list(_FORMATS), "default": "unified"},
        "; ".join(f"`{name}`: {meaning}" for name, meaning in _FORMATS.items()),
    ),
    _asked("truto_ignore_limit", _FLAG, "Everything on one page"),
    _asked("truto_ignore_remote_data", _FLAG, "Without `remote_data`"),
)

_MOMENT: Schema = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}]}
_COMPARED: Schema = {
    "type": "object",
    "properties": {operator: _MOMENT for operator in OPERATORS if operator != "in"},
    "additionalProperties": False,
    "minProperties": 1,
}
_GAPS: dict[str, Schema] = {
    "is_partial_response": {"const": True, "description": "There when something could not be read"},
    "missing": {"type": "array", "items": ref("Missing"), "description": "What could not be read, and why"},
    "debug": {"type": "object", "description": "With `truto_response_format=debug`"},
}
_RESHAPED_LIST: Schema = {
    **page_of({"type": "object"}, **_GAPS),
    "description": "What `truto_response_format=raw`, `truto_exclude_fields` and `truto_key_by` make of a page: the "
    "provider's own objects, records without some of their fields, or an object in the place of the array.",
}
_RESHAPED_LIST["properties"]["result"] = {"type": ["array", "object"]}

_DESCRIPTION = f"""\
Who has access to what, in one shape. `null` means unknown or not applicable, never "no".

A filter takes several values (`a=x&a=y`, `a[]=x&a[]=y`, `a[0]=x` or `a=x,y`) and the operators \
`{" ".join(OPERATORS)}`, as in `created_at[gt]=2026-01-01`. A parameter that is not known is refused: a mistyped \
filter must not widen an answer.

`Age` and `Last-Modified` tell how old an answer is; `Cache-Control: max-age=N` or `no-cache` asks for a fresher one. \
What could not be read makes an answer partial, and `missing` says what it is: absence there is no proof of absence.\
"""
