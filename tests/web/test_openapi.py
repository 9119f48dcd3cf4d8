"""The document: valid, complete, and of one mind with what serves."""

import json
import re
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import BaseRoute, Match, Route, Router

from adapter.app import _edge, declarations, open_house
from adapter.config import Settings
from adapter.directory import query
from adapter.mapping.model import Resource
from adapter.mapping.schema import FieldDecl
from adapter.models import Scope
from adapter.web import graph as graph_door
from adapter.web.openapi import document, errors
from adapter.web.openapi.directory import common_parameters
from adapter.web.openapi.parts import METHODS, Part, page_of
from adapter.web.openapi.records import record_schema
from tests.e2e.serving import KEY

PROVIDER, MODEL = declarations(Settings())
RESOURCES = list(MODEL.resources.values())


@cache
def served() -> dict[str, Any]:
    """The document as its readers get it."""
    made = document.compose(document.parts(model=MODEL, provider=PROVIDER))
    found: dict[str, Any] = json.loads(msgspec.json.encode(made))
    return found


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, item[method]) for path, item in served()["paths"].items() for method in METHODS if method in item
    ]


def listing(resource: Resource) -> dict[str, Any]:
    found: dict[str, Any] = served()["paths"][f"/unified/user-directory/{resource.name}"]["get"]
    return found


def filters(resource: Resource) -> dict[str, dict[str, Any]]:
    taken = listing(resource)["parameters"]
    return {one["name"]: one for one in taken if "x-filter" in one}


def test_the_document_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(served()).validate()


def test_each_operation_has_a_name_of_its_own() -> None:
    names = [made["operationId"] for _, _, made in operations()]

    assert sorted(set(names)) == sorted(names)


def test_each_operation_says_who_may_call_and_what_it_answers() -> None:
    for path, method, made in operations():
        assert "security" in made, (method, path)
        assert {"200", "default"} & set(made["responses"]), (method, path)


def test_it_tells_nothing_of_the_deployment() -> None:
    text = json.dumps(served())

    assert served()["servers"] == [{"url": "/"}]
    assert PROVIDER.base_url not in text
    assert PROVIDER.auth_url not in text


@pytest.fixture
async def routes(tmp_path: Path) -> AsyncIterator[list[BaseRoute]]:
    """The routes of the house as it is composed, from behind its layers."""
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'adapter.db'}", adapter_secret_keys=KEY)
    async with open_house(settings) as house:
        layer: Any = _edge(house)
        while not isinstance(layer, Router):
            layer = layer._app
        yield layer.routes


async def test_what_is_described_is_served_and_what_is_served_is_described(routes: list[BaseRoute]) -> None:
    described = {(path, method.upper()) for path, method, _ in operations()}
    reached = {(path, method): route_of(routes, path, method) for path, method in described}

    assert [call for call, route in reached.items() if route is None] == []
    for route in routes:
        if isinstance(route, Route):
            if not route.include_in_schema:
                continue
            found = {method for (_, method), other in reached.items() if other is route}
            assert found == set(route.methods or ()) - {"HEAD"}, route.path
        else:
            assert route in reached.values()


def route_of(routes: list[BaseRoute], path: str, method: str) -> BaseRoute | None:
    """What serves a path with some id in its holes."""
    filled = re.sub(r"\{\w+\}", "x", path)
    scope = {"type": "http", "method": method, "path": filled, "raw_path": filled.encode(), "headers": []}
    return next((route for route in routes if route.matches(scope)[0] is Match.FULL), None)


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.name)
def test_a_record_has_the_fields_that_are_declared(resource: Resource) -> None:
    schema = record_schema(resource)

    assert set(schema["properties"]) == {*resource.fields, "remote_data"}
    assert set(schema["required"]) == {name for name, field in resource.fields.items() if field.always}
    for name, field in resource.fields.items():
        assert ("null" in schema["properties"][name]["type"]) != field.always, name


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (FieldDecl(type="string", always=True), {"type": "string"}),
        (FieldDecl(type="string"), {"type": ["string", "null"]}),
        (FieldDecl(type="datetime"), {"type": ["string", "null"], "format": "date-time"}),
        (FieldDecl(type="boolean", description="Why"), {"type": ["boolean", "null"], "description": "Why"}),
        (
            FieldDecl(type="object", of={"id": "string"}),
            {"type": ["object", "null"], "properties": {"id": {"type": ["string", "null"]}}},
        ),
        (
            FieldDecl(type="array", always=True, of={"at": "reference"}),
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"at": {"anyOf": [{"$ref": "#/components/schemas/Reference"}, {"type": "null"}]}},
                },
            },
        ),
        (
            FieldDecl(type="string", always=True, merge="rank", rank=["active", "invited"]),
            {"type": "string", "examples": ["active", "invited"]},
        ),
    ],
)
def test_a_field_is_typed_as_declared(field: FieldDecl, expected: dict[str, Any]) -> None:
    resource = msgspec.structs.replace(MODEL.resources["users"], fields={"it": field}, filters={})

    assert record_schema(resource)["properties"]["it"] == expected


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.name)
def test_a_list_takes_the_filters_that_are_declared(resource: Resource) -> None:
    shown = filters(resource)

    assert set(shown) == set(resource.filters)
    for name, spec in resource.filters.items():
        assert shown[name]["x-filter"]["type"] == spec.type
        assert shown[name]["x-filter"].get("alias_of", name) == spec.name
        assert (shown[name]["style"] == "deepObject") == (spec.type == "datetime")
        if spec.values:
            assert shown[name]["schema"]["items"]["enum"] == list(spec.values)


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.name)
def test_every_value_that_the_document_lets_through_is_taken(resource: Resource) -> None:
    """The parser is asked with an example of each parameter, as the document describes it."""
    for one in listing(resource)["parameters"]:
        found = resolved(one)
        value = example(found["schema"])
        if found["name"] != "next_cursor":
            query.parse_list(resource, {found["name"]: value if isinstance(value, dict) else [value]})


def test_what_every_list_takes_is_all_that_the_parser_knows() -> None:
    """Those that depend on the resource stand with it."""
    of_resource = {"sort_by", "q", "truto_key_by", "truto_exclude_fields", "remote_query"}

    assert {*common_parameters(), *of_resource} == set(query.COMMON)


def test_a_query_of_the_callers_own_is_offered_where_one_upstream_list_serves() -> None:
    offering = [
        one.name for one in RESOURCES if any(p.get("name") == "remote_query" for p in listing(one)["parameters"])
    ]

    assert {"me", "organizations"} <= set(offering)
    assert not {"users", "groups", "roles", "role_assignments"} & set(offering)


@pytest.mark.parametrize("resource", [one for one in RESOURCES if "get" in one.methods], ids=lambda one: one.name)
def test_what_a_record_can_be_asked_for_with_is_all_that_the_parser_knows(resource: Resource) -> None:
    taken = served()["paths"][f"/unified/user-directory/{resource.name}/{{id}}"]["get"]["parameters"]

    assert {resolved(one)["name"] for one in taken} == {"id", *query.FOR_ONE}


def test_the_formats_are_those_of_the_parser() -> None:
    assert set(common_parameters()["truto_response_format"]["schema"]["enum"]) == set(query.FORMATS)


@pytest.mark.parametrize("resource", [one for one in RESOURCES if one.sort], ids=lambda resource: resource.name)
def test_the_order_can_be_asked_for_as_it_is_described(resource: Resource) -> None:
    (sort_by,) = [one for one in listing(resource)["parameters"] if one.get("name") == "sort_by"]
    pattern = re.compile(sort_by["schema"]["pattern"])

    for field in resource.sort:
        for text in (field, f"-{field}", f"{field}:asc", f"{field}:desc"):
            assert pattern.fullmatch(text), text
            assert query.parse_list(resource, {"sort_by": [text]}).sort == (
                field,
                text[0] == "-" or text[-4:] == "desc",
            )
    assert not pattern.fullmatch("shoe_size")


def test_the_graph_takes_what_its_door_knows() -> None:
    taken = [resolved(one)["name"] for one in served()["paths"]["/graph"]["get"]["parameters"]]

    assert sorted(taken) == sorted(graph_door.PARAMETERS)


def test_every_code_of_the_tree_stands_under_its_status() -> None:
    shown = served()["components"]["responses"]

    for status, kinds in errors.kinds().items():
        content = shown[str(status) if status else "RemoteError"]["content"]["application/json"]
        assert set(content["examples"]) == {kind.code for kind in kinds}
        code = content["schema"]["allOf"][1]["properties"]["code"]
        # A guard's refusal has the guard's name for its code.
        assert set(code["examples" if status == 422 else "enum"]) >= {kind.code for kind in kinds}
    assert "startup_error" not in json.dumps(shown)


def test_the_example_of_an_error_says_what_its_class_says() -> None:
    examples = served()["components"]["responses"]["403"]["content"]["application/json"]["examples"]

    assert examples["wrong_account"]["value"]["message"] == (
        "This token is another integrated account's than the one named; use one of that account, or an API token."
    )


def test_every_scope_is_explained() -> None:
    assert set(served()["components"]["securitySchemes"]["accountToken"]["x-scopes"]) == {*Scope}


def test_a_door_brings_its_part() -> None:
    part = Part(
        tag="Moon",
        description="Far away.",
        paths={"/moon": {"get": {"operationId": "moon", "responses": {"200": {"description": "There"}}}}},
        schemas={"Crater": {"type": "object"}},
        parameters={"phase": {"name": "phase", "in": "query", "schema": {"type": "string"}}},
    )

    made = document.compose([part])

    assert made["tags"] == [{"name": "Moon", "description": "Far away."}]
    assert made["paths"]["/moon"]["get"]["tags"] == ["Moon"]
    assert made["components"]["schemas"]["Crater"] == {"type": "object"}
    assert set(made["components"]["parameters"]) == {"phase"}


def test_an_envelope_may_hold_more_than_the_usual() -> None:
    schema = page_of({"type": "string"}, missing={"type": "array"})

    assert schema["required"] == ["result", "next_cursor", "prev_cursor", "result_count"]
    assert "missing" in schema["properties"]


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found: Any = served()
    for step in schema["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return dict(found)


EXAMPLES: dict[str, Any] = {"object": {"k": ["v"]}, "boolean": "true", "integer": "1", "string": "a"}


def example(schema: dict[str, Any]) -> Any:
    """A value as the parser gets it."""
    for word in ("enum", "examples"):
        if word in schema:
            return schema[word][0]
    if "properties" in schema:
        return {name: [example(inner)] for name, inner in schema["properties"].items()}
    for inner in (*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())):
        return example(inner)
    return "2026-01-31T12:00:00Z" if schema.get("format") == "date-time" else EXAMPLES[schema["type"]]
