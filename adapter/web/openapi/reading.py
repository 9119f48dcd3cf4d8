"""The document read back for people: what the page shows, in the order in which it shows it."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from markupsafe import Markup, escape

from adapter.web.openapi.parts import JSON, METHODS, Operation, Schema

_CODE = re.compile(r"`([^`]+)`")
_NAMES: dict[str, str] = {"path": "teams/acme/members"}


def read(document: Schema) -> dict[str, Any]:
    """Everything that the template asks for."""
    doors = [{**tag, "resources": {}, "operations": []} for tag in document["tags"]]
    by_name = {door["name"]: door for door in doors}
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                _put(document, by_name[item[method]["tags"][0]], path, method, item[method])
    return {
        "info": document["info"],
        "doors": doors,
        "common": list(document["components"]["parameters"].values()),
        "credentials": document["components"]["securitySchemes"],
        "errors": list(_errors(document)),
    }


def _put(document: Schema, door: dict[str, Any], path: str, method: str, made: Operation) -> None:
    shown = _operation(document, path, method, made)
    name = made.get("x-resource")
    if name is None:
        door["operations"].append(shown)
        return
    resource = door["resources"].setdefault(name, {"name": name, "operations": [], "fields": [], "filters": []})
    resource["operations"].append(shown)
    if not resource["fields"]:
        resource |= {
            "description": made["description"],
            "fields": list(_fields(_record(document, made))),
            "filters": list(_filters(shown["parameters"])),
            "others": [one for one in shown["own"] if "x-filter" not in one],
        }


def _record(document: Schema, listing: Operation) -> Schema:
    page = _resolved(document, listing["responses"]["200"]["content"][JSON]["schema"]["anyOf"][0])
    return _resolved(document, page["properties"]["result"]["items"])


def _fields(schema: Schema) -> Iterator[dict[str, Any]]:
    for name, inner in schema["properties"].items():
        yield {"name": name, "required": name in schema.get("required", ()), "schema": inner}


def _filters(parameters: list[Schema]) -> Iterator[dict[str, Any]]:
    """Each filter once, with its aliases."""
    filters = [one for one in parameters if "x-filter" in one]
    for one in filters:
        if "alias_of" not in one["x-filter"]:
            aliases = [other["name"] for other in filters if other["x-filter"].get("alias_of") == one["name"]]
            yield {**one, "aliases": aliases}


def _operation(document: Schema, path: str, method: str, made: Operation) -> dict[str, Any]:
    body = _body(document, made)
    return {
        "method": method.upper(),
        "path": path,
        "summary": made["summary"],
        "description": made.get("description", ""),
        "parameters": [_resolved(document, one) for one in made.get("parameters", ())],
        "own": [one for one in made.get("parameters", ()) if "$ref" not in one],
        "fields": list(_fields(body)) if body else [],
        "credentials": [name for way in made["security"] for name in way],
        "curl": _curl(document, path, method, made),
    }


def _body(document: Schema, made: Operation) -> Schema | None:
    content = made.get("requestBody", {}).get("content", {})
    return _resolved(document, content[JSON]["schema"]) if JSON in content else None


def _resolved(document: Schema, schema: Schema) -> Schema:
    """What a reference leads to; anything else is itself."""
    if "$ref" not in schema:
        return schema
    _, _, kind, name = schema["$ref"].split("/")
    found: Schema = document["components"][kind][name]
    return found


# --- examples


def _curl(document: Schema, path: str, method: str, made: Operation) -> str:
    """The call as one would type it, with `$ADAPTER`, `$TOKEN` and `$ACCOUNT` for what only the reader knows."""
    taken = [_resolved(document, one) for one in made.get("parameters", ())]
    words = ["curl" if method == "get" else f"curl -X {method.upper()}"]
    if made["security"]:
        words[0] += ' -H "Authorization: Bearer $TOKEN"'
    body = _body(document, made)
    if body:
        words.append(f"-H 'Content-Type: application/json' \\\n  -d '{msgspec.json.encode(_example(body)).decode()}'")
    bound = any(one["name"] == "integrated_account_id" for one in taken)
    words.append(f'"$ADAPTER{_filled(path, taken)}{"?integrated_account_id=$ACCOUNT" if bound else ""}"')
    return " \\\n  ".join(words)


def _filled(path: str, parameters: list[Schema]) -> str:
    for one in parameters:
        if one["in"] == "path":
            default = "$ACCOUNT" if path.startswith("/integrated-account") else "$ID"
            path = path.replace(f"{{{one['name']}}}", _NAMES.get(one["name"], default))
    return path


def _example(schema: Schema) -> Any:
    """A body that could be sent: what is required, and the first example of each."""
    if "examples" in schema:
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        wanted = schema.get("required") or list(properties)
        return {name: _example(properties[name]) for name in wanted if name in properties}
    return {"boolean": True, "integer": 1, "array": []}.get(schema.get("type", ""), "…")


# --- errors


def _errors(document: Schema) -> Iterator[dict[str, Any]]:
    for name, response in document["components"]["responses"].items():
        for code, example in response["content"][JSON]["examples"].items():
            status = name if name.isdigit() else "theirs"
            yield {"status": status, "code": code, "message": example["value"]["message"]}


# --- words


def marked(text: str) -> Markup:
    """Text with its `code` marked up and its paragraphs apart."""
    parts = [_CODE.sub(r"<code>\1</code>", str(escape(part))) for part in text.split("\n\n")]
    return Markup("</p>\n<p>".join(parts))  # noqa: S704  # escaped just above


def kind_of(schema: Schema) -> str:
    """A schema in a few words: `string or null`, `array of {id, name}`."""
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if "const" in schema:
        return msgspec.json.encode(schema["const"]).decode()
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind_of(inner) for inner in schema["anyOf"]))
    named = schema.get("type", "object" if "$ref" in schema else "any")
    return " or ".join(_kind(kind, schema) for kind in (named if isinstance(named, list) else [named]))


def _kind(kind: str, schema: Schema) -> str:
    if kind == "array" and "items" in schema:
        return f"array of {kind_of(schema['items'])}"
    if kind == "object" and "properties" in schema:
        return f"{{{', '.join(schema['properties'])}}}"
    return str(schema.get("format", kind)) if kind == "string" else kind
