"""The raw doors in the document. They are drawn in outline: what they answer is the provider's to say."""

from adapter.models import Scope
from adapter.web.auth import ACCOUNT_PARAMETER
from adapter.web.openapi.parts import (
    ACCOUNT_TOKEN,
    API_TOKEN,
    BASIC_TOKEN,
    METHODS,
    Operation,
    Part,
    Schema,
    in_path,
    query,
    ref,
)

TAG = "Raw doors"
_RIGHTS = (Scope.RAW_READ, Scope.RAW_WRITE, Scope.RAW_SECRETS)
_DOORS = {
    "custom": "Status and body byte for byte, streamed both ways; any `Accept`, any `Range`",
    "proxy": "As it is, but a list is put into the list envelope: `limit` and `next_cursor` turn its pages",
}


def part() -> Part:
    paths = {f"/{door}/{{path}}": {method: _call(door, method) for method in METHODS} for door in _DOORS}
    return Part(tag=TAG, description=_DESCRIPTION, paths=paths)


def _call(door: str, method: str) -> Operation:
    made: Operation = {
        "operationId": f"{door}_{method}",
        "summary": f"{method.upper()} any path of the provider's",
        "description": _DOORS[door],
        "parameters": [*_parameters(door)],
        "responses": {"default": _ANSWER},
        "security": [{API_TOKEN: []}, {ACCOUNT_TOKEN: [*_RIGHTS]}, {BASIC_TOKEN: []}],
    }
    if method not in {"get", "delete"}:
        made["requestBody"] = {"required": False, "content": {"*/*": {}}}
    return made


def _parameters(door: str) -> list[Schema]:
    made = [
        in_path(
            "path",
            "The provider's path with its slashes as they are, plain and normalised: `teams/acme/members`",
            {"type": "string", "minLength": 1, "examples": ["teams"]},
        ),
        ref(ACCOUNT_PARAMETER, "parameters"),
    ]
    if door == "proxy":
        made += [ref("limit", "parameters"), query("next_cursor", {"type": "string"}, "From the page before")]
    return made


_ANSWER: Schema = {
    "description": "The provider's answer under its own status. What the adapter refuses has the shape of `Error`.",
    "content": {"*/*": {}},
}
_DESCRIPTION = """\
The provider's own API through the same account, so that nothing is out of reach. At the root, with an account token, \
the same is served as under `/custom`, for libraries and tools that only know another host and key; there, and under \
both doors, Basic credentials are understood (`:token`).

What would hand over the provider itself (OAuth, config vars, keys, transfers, …) needs `raw:secrets`, which only an \
API token may mint. A write through these doors is not guarded; it makes what it touches in the directory stale.\
"""
