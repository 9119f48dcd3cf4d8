"""`/integrated-account…`: connecting by API key, looking after accounts, and minting their tokens."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, get_args

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from adapter.accounts.checks import refuse
from adapter.accounts.service import Accounts
from adapter.accounts.tokens import Tokens
from adapter.errors import InvalidCursor, InvalidParameter, UnknownParameter
from adapter.models import AccountStatus, Caller, IntegratedAccount, Secret, TokenInfo
from adapter.web.account_bodies import ConnectBody, CredentialsBody, MintBody, PatchBody, RefreshBody
from adapter.web.answers import json_answer
from adapter.web.auth import ACCOUNT_PARAMETER, account_of, caller_of, require_api
from adapter.web.bodies import body_of
from adapter.web.query import parse_query

PREFIX = "/integrated-account"
DEFAULT_LIMIT = 100
MAX_LIMIT = 1000

Handler = Callable[[Request], Awaitable[Response]]


class Named(Protocol):
    """What this door needs of the provider's declaration."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...


class Cursors(Protocol):
    def seal(self, bound_to: str, payload: Any) -> str: ...
    def open(self, bound_to: str, cursor: str) -> Any: ...


class Watcher(Protocol):
    """Whoever keeps something of an account's own beside it: told when its credential is new, and when it has gone."""

    async def connected(self, account_id: str) -> None: ...
    async def left(self, account_id: str) -> None: ...


def routes(
    *, accounts: Accounts, tokens: Tokens, provider: Named, cursors: Cursors, watcher: Watcher | None = None
) -> list[BaseRoute]:
    door = _Door(accounts, tokens, provider, cursors, watcher)
    return [
        _route(PREFIX, GET=door.list, POST=door.connect),
        _route(f"{PREFIX}/me", GET=door.me),
        _route(f"{PREFIX}/token", POST=door.mint),
        _route(f"{PREFIX}/refresh-credentials", POST=door.refresh),
        _route(f"{PREFIX}/{{id}}", GET=door.get, PATCH=door.patch, DELETE=door.remove),
        _route(f"{PREFIX}/{{id}}/credentials", PATCH=door.replace_credentials),
        _route(f"{PREFIX}/{{id}}/tokens", GET=door.tokens, DELETE=door.revoke),
    ]


def _route(path: str, **handlers: Handler) -> Route:
    """One route a path, so that a 405 names every method that the path takes."""

    async def endpoint(request: Request) -> Response:
        return await handlers.get(request.method, handlers.get("GET", _absent))(request)

    return Route(path, endpoint, methods=list(handlers))


async def _absent(request: Request) -> Response:
    raise AssertionError(request.method)


class _Door:
    def __init__(
        self, accounts: Accounts, tokens: Tokens, provider: Named, cursors: Cursors, watcher: Watcher | None
    ) -> None:
        self._accounts = accounts
        self._watcher = watcher
        self._tokens = tokens
        self._provider = provider
        self._cursors = cursors

    async def list(self, request: Request) -> Response:
        caller = _api_caller(request)
        params = params_of(request, "tenant_id", "status", "limit", "next_cursor")
        tenant_id, status = params.get("tenant_id"), _status(params.get("status"))
        bound_to = "\0".join((PREFIX, caller.tenant_id or "", tenant_id or "", status or ""))
        limit, after = _limit(params), self._after(bound_to, params)
        found = await self._accounts.list(caller, tenant_id=tenant_id, status=status, after=after, limit=limit + 1)
        return self._page(bound_to, limit, [(account.id, self._shown(account)) for account in found])

    async def connect(self, request: Request) -> Response:
        caller = _api_caller(request)
        params_of(request)
        body = await body_of(request, ConnectBody)
        key, context = _split(body.context)
        account = await self._accounts.connect_api_key(
            tenant_id=body.tenant_id,
            api_key=key,
            context=context or None,
            override=body.unified_model_override,
            caller=caller,
        )
        await self._connected(account)
        return json_answer(self._shown(account))

    async def me(self, request: Request) -> Response:
        caller = caller_of(request)
        params_of(request, ACCOUNT_PARAMETER)
        found = self._shown(await self._accounts.get(account_of(request, caller), caller))
        if caller.kind != "api":
            del found["unified_model_override"]
        return json_answer(found)

    async def get(self, request: Request) -> Response:
        account_id, caller = _named(request)
        return json_answer(self._shown(await self._accounts.get(account_id, caller)))

    async def patch(self, request: Request) -> Response:
        account_id, caller = _named(request)
        body = await body_of(request, PatchBody)
        account = await self._accounts.patch(
            account_id,
            is_blocked=_given(body.is_blocked),
            context=_given(body.context),
            override=body.unified_model_override,
            allow_admin_grants=_given(body.allow_admin_grants),
            caller=caller,
        )
        return json_answer(self._shown(account))

    async def remove(self, request: Request) -> Response:
        account_id, caller = _named(request)
        removed = await self._accounts.remove(account_id, caller)
        if self._watcher is not None:
            await self._watcher.left(account_id)
        return json_answer(removed)

    async def replace_credentials(self, request: Request) -> Response:
        account_id, caller = _named(request)
        key, rest = _split((await body_of(request, CredentialsBody)).context)
        for word in rest:
            raise refuse(f"context.{word}", "is unknown", "api_key alone")
        account = await self._accounts.replace_credentials(account_id, key, caller)
        await self._connected(account)
        return json_answer(self._shown(account))

    async def refresh(self, request: Request) -> Response:
        caller = _api_caller(request)
        params_of(request)
        body = await body_of(request, RefreshBody)
        return json_answer(self._shown(await self._accounts.refresh_credentials(body.id, caller)))

    async def mint(self, request: Request) -> Response:
        caller = _api_caller(request)
        params_of(request)
        body = await body_of(request, MintBody)
        info, secret = await self._tokens.create_account(
            body.integrated_account_id, scopes=body.scopes, expires_in=body.expires_in, by=caller
        )
        return json_answer({"token": secret.reveal(), **_token(info)}, headers={"cache-control": "no-store"})

    async def tokens(self, request: Request) -> Response:
        caller = _api_caller(request)
        account_id, params = request.path_params["id"], params_of(request, "limit", "next_cursor")
        bound_to = f"{PREFIX}/{account_id}/tokens"
        limit, after = _limit(params), self._after(bound_to, params)
        found = await self._tokens.list_account(account_id, caller, after=after, limit=limit + 1)
        return self._page(bound_to, limit, [(info.id, _token(info)) for info in found])

    async def revoke(self, request: Request) -> Response:
        caller = _api_caller(request)
        account_id, params = request.path_params["id"], params_of(request, "token_id")
        if params.get("token_id") == "":
            raise InvalidParameter("`token_id` is empty; leave it out to revoke every token of the account.")
        count = await self._tokens.revoke_account(account_id, caller, token_id=params.get("token_id"))
        return json_answer({"id": account_id, "revoked": count})

    async def _connected(self, account: IntegratedAccount) -> None:
        if self._watcher is not None and account.status == "active" and not account.is_blocked:
            await self._watcher.connected(account.id)

    def _after(self, bound_to: str, params: Mapping[str, str]) -> str:
        cursor = params.get("next_cursor")
        if not cursor:
            return ""
        place = self._cursors.open(bound_to, cursor)
        if not isinstance(place, str):
            raise InvalidCursor
        return place

    def _page(self, bound_to: str, limit: int, found: Sequence[tuple[str, Mapping[str, Any]]]) -> Response:
        """The list envelope; one more than `limit` was looked for, so that a last page knows that it is the last."""
        page = found[:limit]
        onward = self._cursors.seal(bound_to, page[-1][0]) if len(found) > limit else None
        result = [shown for _, shown in page]
        return json_answer({"result": result, "next_cursor": onward, "prev_cursor": None, "result_count": len(result)})

    def _shown(self, account: IntegratedAccount) -> dict[str, Any]:
        return shown(account, self._provider)


def shown(account: IntegratedAccount, provider: Named) -> dict[str, Any]:
    """An account as API tokens see it; its credential is no part of it."""
    identity = account.identity
    return {
        "id": account.id,
        "tenant_id": account.tenant_id,
        "status": account.status,
        "is_blocked": account.is_blocked,
        "authentication_method": account.authentication_method,
        "context": account.context,
        "scopes": account.scopes,
        "missing_scopes": account.missing_scopes,
        f"{provider.id}_account": {"id": identity.id, "email": identity.email} if identity else None,
        "integration": {"id": provider.id, "name": provider.name},
        "last_error": account.last_error,
        "last_forbidden_error": account.last_forbidden_error,
        "unified_model_override": account.unified_model_override,
        "allow_admin_grants": account.allow_admin_grants,
        "created_at": account.created_at,
        "updated_at": account.updated_at,
    }


def _token(info: TokenInfo) -> dict[str, Any]:
    return {
        "id": info.id,
        "integrated_account_id": info.account_id,
        "scopes": info.scopes,
        "created_at": info.created_at,
        "expires_at": info.expires_at,
        "revoked_at": info.revoked_at,
        "last_used_at": info.last_used_at,
    }


def _api_caller(request: Request) -> Caller:
    caller = caller_of(request)
    require_api(caller)
    return caller


def _named(request: Request) -> tuple[str, Caller]:
    """The account that the path names, and who asks; such a path takes no parameter."""
    caller = _api_caller(request)
    params_of(request)
    return request.path_params["id"], caller


def params_of(request: Request, *known: str) -> dict[str, str]:
    """The query by name, each at most once; UnknownParameter names those that are known."""
    given = parse_query(request.scope["query_string"])
    for name, values in given.items():
        if name not in known:
            expected = ", ".join(known) or "no parameter"
            raise UnknownParameter(
                f"`{name}` is not known here; known: {expected}.", details=[{"where": name, "expected": expected}]
            )
        if not isinstance(values, list) or len(values) != 1:
            raise InvalidParameter(f"`{name}` takes one value.", details=[{"where": name, "expected": "one value"}])
    return {name: values[0] for name, values in given.items()}


def _limit(params: Mapping[str, str]) -> int:
    text = params.get("limit", str(DEFAULT_LIMIT))
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_LIMIT):
        raise InvalidParameter(
            f"`limit` is a number from 1 to {MAX_LIMIT}.", details=[{"where": "limit", "expected": f"1 to {MAX_LIMIT}"}]
        )
    return int(text)


def _status(text: str | None) -> AccountStatus | None:
    known: tuple[AccountStatus, ...] = get_args(AccountStatus)
    for status in known:
        if status == text:
            return status
    if text is not None:
        expected = ", ".join(known)
        raise InvalidParameter(f"`status` is one of {expected}.", details=[{"where": "status", "expected": expected}])
    return None


def _split(context: Mapping[str, Any]) -> tuple[Secret, dict[str, Any]]:
    """The API key, and what else came in the context."""
    key = context.get("api_key")
    if not isinstance(key, str):
        raise refuse("context.api_key", "is missing" if key is None else "is no text", "an API key")
    return Secret(key), {word: value for word, value in context.items() if word != "api_key"}


def _given(value: Any) -> Any:
    return None if value is UNSET else value
