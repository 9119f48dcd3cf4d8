"""`GET /integration/{provider}/capabilities` and `GET /integrated-account/{id}/capabilities`.

What there is to be had, which of the provider's scopes each part of it needs, and what an account's own scopes open.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Protocol

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from adapter.accounts.trial import missing
from adapter.errors import UnknownParameter
from adapter.mapping.model import Model, Resource, Unit
from adapter.models import AccountStatus, Caller, IntegratedAccount, Scope
from adapter.upstream.access import AccessLists
from adapter.web import accounts as accounts_door
from adapter.web import directory, graph, operations, unified, writes
from adapter.web.answers import json_answer
from adapter.web.auth import caller_of
from adapter.web.query import parse_query

ACCOUNT_PATH = f"{accounts_door.PREFIX}/{{id}}/capabilities"


class Declared(Protocol):
    """What this door needs of the provider's declaration."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def access(self) -> AccessLists: ...


class Accounts(Protocol):
    """What this door needs of the accounts."""

    async def get(self, account_id: str, caller: Caller | None = None) -> IntegratedAccount: ...


class _Shown(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Integration(_Shown, frozen=True, kw_only=True):
    id: str
    name: str


class UnitCapability(_Shown, frozen=True, kw_only=True):
    """An upstream list that a resource is made of, or that leads to one."""

    name: str
    path: str
    scopes: tuple[str, ...]
    """The provider's scopes any one of which opens it; none: any credential does."""


class FilterCapability(_Shown, frozen=True, kw_only=True):
    name: str
    type: str
    values: tuple[str, ...]
    alias_of: str | None


class ResourceCapability(_Shown, frozen=True, kw_only=True):
    name: str
    description: str
    path: str
    methods: tuple[str, ...]
    filters: tuple[FilterCapability, ...]
    sort_by: tuple[str, ...]
    units: tuple[UnitCapability, ...]
    missing_units: tuple[str, ...] | UnsetType | None = UNSET
    """Of an account: those that its scopes don't open; None where its scopes are not known."""


class TokenScopeCapability(_Shown, frozen=True, kw_only=True):
    """A scope of our own account tokens: whether the caller's token has it, and what it opens."""

    scope: Scope
    is_held: bool
    opens: tuple[str, ...]


class AccountCapability(_Shown, frozen=True, kw_only=True):
    id: str
    status: AccountStatus
    is_blocked: bool
    scopes: tuple[str, ...] | None
    """The provider's scopes that its credential was seen to hold; None where the provider did not tell."""
    missing_scopes: Mapping[str, tuple[str, ...]] | None
    """Each unit that these don't open, with the scopes any one of which would."""


class Capabilities(_Shown, frozen=True, kw_only=True):
    integration: Integration
    resources: tuple[ResourceCapability, ...]
    token_scopes: tuple[TokenScopeCapability, ...]
    account: AccountCapability | UnsetType = UNSET


def routes(*, model: Model, provider: Declared, accounts: Accounts) -> list[BaseRoute]:
    found = tuple(_resource(model, resource) for resource in model.resources.values())
    opened = opens(model, provider)
    named = Integration(id=provider.id, name=provider.name)

    async def of_integration(request: Request) -> Response:
        caller = _caller(request)
        return json_answer(Capabilities(integration=named, resources=found, token_scopes=_held(opened, caller)))

    async def of_account(request: Request) -> Response:
        caller = _caller(request)
        account = await accounts.get(request.path_params["id"], caller)
        shown = _account(model, account)
        resources = tuple(_judged(resource, shown.missing_scopes) for resource in found)
        return json_answer(
            Capabilities(integration=named, resources=resources, token_scopes=_held(opened, caller), account=shown)
        )

    return [
        Route(integration_path(provider.id), of_integration, methods=["GET"]),
        Route(ACCOUNT_PATH, of_account, methods=["GET"]),
    ]


def integration_path(provider_id: str) -> str:
    return f"/integration/{provider_id}/capabilities"


def opens(model: Model, provider: Declared) -> dict[Scope, tuple[str, ...]]:
    """By scope of an account token, the calls that it opens; those of the raw scopes are paths behind the raw doors."""
    return {
        Scope.DIRECTORY_READ: (*_lists(model), f"GET {graph.PATH}", f"GET {directory.PATH}"),
        Scope.DIRECTORY_WRITE: (
            *(f"{write.method} {unified.PREFIX}{write.path}" for write in writes.WRITES),
            *(f"{method} {path}" for method, path in operations.CALLS),
        ),
        Scope.RAW_READ: provider.access.read,
        Scope.RAW_WRITE: provider.access.write,
        # What is written out, and besides it everything that stands in none of the lists.
        Scope.RAW_SECRETS: (*provider.access.secrets, "* *"),
    }


def _lists(model: Model) -> Iterator[str]:
    for resource in model.resources.values():
        yield f"GET {unified.PREFIX}/{resource.name}"
        if "get" in resource.methods:
            yield f"GET {unified.PREFIX}/{resource.name}/{{id}}"


def _resource(model: Model, resource: Resource) -> ResourceCapability:
    return ResourceCapability(
        name=resource.name,
        description=resource.description,
        path=f"{unified.PREFIX}/{resource.name}",
        methods=resource.methods,
        filters=tuple(
            FilterCapability(
                name=name, type=spec.type, values=spec.values, alias_of=spec.name if name != spec.name else None
            )
            for name, spec in resource.filters.items()
        ),
        sort_by=resource.sort,
        units=tuple(
            UnitCapability(name=unit.name, path=unit.get, scopes=unit.scopes) for unit in _units(model, resource)
        ),
    )


def _units(model: Model, resource: Resource) -> Collection[Unit]:
    """The units that the resource is made of, each after those that it hangs on: closed, these hide it too."""
    found: dict[str, Unit] = {}

    def take(name: str) -> None:
        unit = model.units[name]
        for parent in unit.parents:
            take(parent)
        found.setdefault(name, unit)

    for name in model.units_of(resource, inherited=True):
        take(name)
    return found.values()


def _account(model: Model, account: IntegratedAccount) -> AccountCapability:
    # Judged by the mapping files of today, which may ask for more than those that the account was connected under.
    lacking = missing({name: unit.scopes for name, unit in model.units.items()}, account.scopes)
    return AccountCapability(
        id=account.id,
        status=account.status,
        is_blocked=account.is_blocked,
        scopes=account.scopes or None,
        missing_scopes=lacking if account.scopes else None,
    )


def _judged(resource: ResourceCapability, lacking: Collection[str] | None) -> ResourceCapability:
    names = None if lacking is None else tuple(unit.name for unit in resource.units if unit.name in lacking)
    return msgspec.structs.replace(resource, missing_units=names)


def _held(opened: Mapping[Scope, tuple[str, ...]], caller: Caller) -> tuple[TokenScopeCapability, ...]:
    return tuple(
        TokenScopeCapability(scope=scope, is_held=scope in caller.scopes, opens=calls)
        for scope, calls in opened.items()
    )


def _caller(request: Request) -> Caller:
    """Who asks; such a path takes no parameter."""
    caller = caller_of(request)
    given: Mapping[str, Any] = parse_query(request.scope["query_string"])
    for name in given:
        raise UnknownParameter(
            f"`{name}` is no parameter here; none is known.", details=[{"where": "query", "name": name, "expected": []}]
        )
    return caller
