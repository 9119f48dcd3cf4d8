"""The document put together from the doors' parts."""

from collections.abc import Iterable, Mapping

import adapter
from adapter.mapping.model import Model
from adapter.models import Scope
from adapter.web.accounts import Named
from adapter.web.openapi import (
    accounts,
    capabilities,
    connecting,
    directory,
    errors,
    graph,
    operations,
    raw,
    status,
    system,
    writes,
)
from adapter.web.openapi.parts import ACCOUNT_TOKEN, API_TOKEN, BASIC_TOKEN, Part, Schema

SCOPES: Mapping[Scope, str] = {
    Scope.DIRECTORY_READ: "Read the directory; what a token has unless asked otherwise",
    Scope.DIRECTORY_WRITE: "Change who has access to what",
    Scope.RAW_READ: "Read through the raw doors",
    Scope.RAW_WRITE: "Write through the raw doors",
    Scope.RAW_SECRETS: "Reach what would hand over the provider itself; only an API token may mint it",
}


def parts(*, model: Model, provider: Named) -> list[Part]:
    """What the doors of this process add, in the order of reading."""
    return [
        directory.part(model),
        writes.part(model),
        operations.part(),
        graph.part(),
        status.part(),
        accounts.part(provider),
        connecting.part(),
        connecting.page(),
        capabilities.part(provider),
        raw.part(),
        system.part(),
    ]


def compose(found: Iterable[Part]) -> Schema:
    """The OpenAPI 3.1 document. It says what is served, and nothing of where or for whom."""
    found = list(found)
    components: Schema = {
        "schemas": errors.schemas(),
        "parameters": {},
        "headers": _HEADERS,
        "responses": errors.responses(),
        "securitySchemes": _security(),
    }
    paths: Schema = {}
    for one in found:
        components["schemas"].update(one.schemas)
        components["parameters"].update(one.parameters)
        for path, found_operations in one.paths.items():
            tagged = {method: {**made, "tags": [one.tag]} for method, made in found_operations.items()}
            paths[path] = paths.get(path, {}) | tagged
    return {
        "openapi": "3.1.0",
        "info": _INFO,
        "servers": [{"url": "/"}],
        "tags": [{"name": one.tag, "description": one.description} for one in found],
        "paths": paths,
        "components": components,
    }


def _security() -> Schema:
    bearer = {"type": "http", "scheme": "bearer"}
    return {
        API_TOKEN: {
            **bearer,
            "bearerFormat": "uda_…",
            "description": "Made by `adapter token create`, shown once. It may do everything; bound to a tenant, "
            "everything with that tenant's accounts. Account-bound calls name the account.",
        },
        ACCOUNT_TOKEN: {
            **bearer,
            "bearerFormat": "udt_…",
            "description": "Minted by `POST /integrated-account/token`, for one account and a while, with scopes.",
            "x-scopes": dict(SCOPES),
        },
        BASIC_TOKEN: {
            "type": "http",
            "scheme": "basic",
            "description": "Either token as the password, on the raw doors only, and never from another origin.",
        },
    }


def _header(description: str, kind: str = "string") -> Schema:
    return {"description": description, "schema": {"type": kind}}


_INFO: Schema = {
    "title": "Unified directory adapter",
    "version": adapter.__version__,
    "summary": "Who has access to what, in one shape, and the provider's raw API beside it.",
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}
_HEADERS: Schema = {
    "Age": _header("How many seconds ago the oldest part of the answer was read", "integer"),
    "Last-Modified": _header("When something in the answer last changed"),
    "Warning": _header("Names parameters that are known and had no effect"),
    "RateLimit-Limit": _header("The account's request budget at the provider: `4500;w=3600`"),
    "RateLimit-Remaining": _header("What is left of it", "integer"),
    "RateLimit-Reset": _header("Seconds until it is full again", "integer"),
    "ETag": _header("A plan's, for `If-Match`"),
    "Location": _header("Where the operation is found"),
    "Retry-After": _header("Seconds to wait", "integer"),
    "WWW-Authenticate": _header("`Bearer`"),
    "Allow": _header("The methods that the address takes"),
}
