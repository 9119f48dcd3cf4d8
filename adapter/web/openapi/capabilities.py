"""What can be had, in the document."""

from adapter.web.accounts import Named
from adapter.web.capabilities import ACCOUNT_PATH, Capabilities, integration_path
from adapter.web.openapi.errors import refusals
from adapter.web.openapi.parts import (
    Operation,
    Part,
    Schema,
    answer,
    either_token,
    in_path,
    operation,
    ref,
    struct_schemas,
)


def part(provider: Named) -> Part:
    return Part(
        tag="Capabilities",
        description=_DESCRIPTION,
        paths={
            integration_path(provider.id): {"get": _of_integration()},
            ACCOUNT_PATH: {"get": _of_account()},
        },
        schemas=_schemas(),
    )


def _of_integration() -> Operation:
    return operation(
        "integration_capabilities",
        "See what can be had, and what it takes",
        {"200": answer("Without `account` and `missing_units`", ref("Capabilities"))} | refusals(400, 401, 503),
        security=either_token(),
    )


def _of_account() -> Operation:
    return operation(
        "account_capabilities",
        "See what an account's credential opens, and what will be missing",
        {"200": answer("With `account` and `missing_units`", ref("Capabilities"))} | refusals(400, 401, 403, 404, 503),
        description="It asks nothing of the provider: the scopes are those that the credential was last seen to hold.",
        security=either_token(),
        parameters=[in_path("id", "The integrated account's id; an account token's own")],
    )


def _schemas() -> dict[str, Schema]:
    found = struct_schemas(Capabilities, answered=True)
    for name, optional in (("Capabilities", "account"), ("ResourceCapability", "missing_units")):
        found[name]["required"].remove(optional)
    for name, meanings in _MEANINGS.items():
        for field, meaning in meanings.items():
            found[name]["properties"][field] = {**found[name]["properties"][field], "description": meaning}
    return found


_MEANINGS = {
    "UnitCapability": {"scopes": "The provider's scopes any one of which opens it; none: any credential does"},
    "ResourceCapability": {"missing_units": "Those that the account's scopes don't open; null: they are not known"},
    "TokenScopeCapability": {
        "opens": "Calls; of the raw scopes, paths behind the raw doors, `* *` being whatever no list names"
    },
    "AccountCapability": {
        "scopes": "The provider's scopes that its credential was seen to hold; null: the provider did not tell",
        "missing_scopes": "By unit, the provider's scopes any one of which would open it; null: not known",
    },
}
_DESCRIPTION = """\
A resource is made of units: one upstream list each. What a credential's scopes don't open is missing from an answer \
and named there; here it can be known beforehand.\
"""
