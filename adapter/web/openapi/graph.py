"""The graph in the document."""

from collections.abc import Mapping

from adapter.models import Scope
from adapter.web.auth import ACCOUNT_PARAMETER
from adapter.web.graph import MEDIA_TYPES, PATH
from adapter.web.openapi.errors import refusals
from adapter.web.openapi.parts import Part, Schema, answer, either_token, operation, query, ref

TAG = "Graph"
_STRING: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_PARAMETERS: Mapping[str, Schema] = {
    ACCOUNT_PARAMETER: ref(ACCOUNT_PARAMETER, "parameters"),
    "format": query(
        "format",
        {"type": "string", "enum": list(MEDIA_TYPES)},
        "Else what `Accept` would rather have",
        allowEmptyValue=True,
    ),
    "addons": query(
        "addons", {"type": "boolean", "default": True}, "With the add-ons of each app", allowEmptyValue=True
    ),
    "include_inherited": query(
        "include_inherited",
        {"type": "boolean", "default": False},
        "Also what follows from a role elsewhere, computed",
        allowEmptyValue=True,
    ),
    "allow_partial": ref("allow_partial", "parameters"),
}


def part() -> Part:
    found = answer("The graph", ref("Graph"), headers=("Age", "Last-Modified"))
    found["content"][MEDIA_TYPES["dot"]] = {"schema": {"type": "string", "description": "A Graphviz document"}}
    reading = operation(
        "graph",
        "Who is where, and what they can do there",
        {"200": found} | refusals(400, 401, 403, 404, 429, 502, 503, 504, remote=True),
        security=either_token(Scope.DIRECTORY_READ),
        parameters=list(_PARAMETERS.values()),
    )
    return Part(
        tag=TAG,
        description="The directory as nodes and edges: people, and the places that hold, own and grant them something.",
        paths={PATH: {"get": reading}},
        schemas={"Graph": _GRAPH, "GraphNode": _NODE, "GraphEdge": _EDGE},
    )


def _object(properties: Schema, *optional: str, **more: object) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties, **more}


_NODE = _object(
    {
        "id": {**_STRING, "description": "The kind and the id: `team:…`"},
        "type": _STRING,
        "name": _STRING,
        "is_reference": {"const": True, "description": "There when nothing but its name is known"},
    },
    "is_reference",
    description="Beside these, fields of the record that it stands for.",
)
_EDGE = _object(
    {
        "id": _STRING,
        "from": {**_STRING, "description": "A node's id"},
        "to": {**_STRING, "description": "A node's id"},
        "relationship": _STRING,
        "roles": {"type": "array", "items": _STRING, "description": "The ids of the roles that it stands for"},
        "is_inherited": {"const": True, "description": "There when it follows from a role elsewhere"},
    },
    "is_inherited",
)
_GRAPH = _object(
    {
        "root": {**_STRING, "description": "The id of the node that everything hangs on"},
        "nodes": {"type": "array", "items": ref("GraphNode")},
        "edges": {"type": "array", "items": ref("GraphEdge")},
        "node_count": _COUNT,
        "edge_count": _COUNT,
        "is_partial_response": {"const": True, "description": "There when something could not be read"},
        "missing": {"type": "array", "items": ref("Missing"), "description": "What could not be read, and why"},
    },
    "is_partial_response",
    "missing",
)
