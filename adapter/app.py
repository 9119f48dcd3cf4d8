"""The composition: the one module that knows every room. `open_house` for commands, `create_app` for ASGI servers."""

import gc
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from adapter.accounts.chores import Chores
from adapter.accounts.connecting import Connecting
from adapter.accounts.links import allow_lists, origin_of
from adapter.accounts.oauth import OAuthClient, oauth_client
from adapter.accounts.service import Accounts
from adapter.accounts.tokens import Tokens
from adapter.config import Settings, load
from adapter.declarations import bundled_dir
from adapter.directory.cursors import Cursors
from adapter.directory.keeping import DatabaseKeeper, KeeperMaker
from adapter.directory.purse import SHARERS
from adapter.directory.service import Directory, OverrideOf
from adapter.directory.writing.atdesk import Desks
from adapter.directory.writing.service import Writes
from adapter.errors import AdapterError, StartupError
from adapter.mapping.loading import load_model
from adapter.mapping.model import Model
from adapter.mapping.override import checked_override
from adapter.storage.accounts import AccountStore
from adapter.storage.claims import Claims, claims_for
from adapter.storage.database import Database
from adapter.storage.links import LinkStore
from adapter.storage.operations import OperationStore
from adapter.storage.place_locks import PlaceLocks
from adapter.storage.renewals import Renewals
from adapter.storage.tokens import TokenStore
from adapter.storage.units import UnitStore
from adapter.storage.vault import Vault, load_vault
from adapter.upstream.client import UpstreamClient
from adapter.upstream.provider import Provider, load_provider
from adapter.web import accounts as accounts_door
from adapter.web import capabilities, connect, docs, graph, health, links, operations, raw, unified
from adapter.web import directory as directory_door
from adapter.web import writes as writes_door
from adapter.web.connect_words import load_words
from adapter.web.edge import edged
from adapter.web.metrics import Metrics
from adapter.web.openapi import document
from adapter.web.repeats import Repeating

PROVIDER = "heroku"

_PASSES = (20_000, 20, 25)
"""When the collector looks for cycles. A directory is millions of objects in trees: by Python's own thresholds a
gather of 20,000 people would be stopped a dozen times, half a second at the end, to walk through them for nothing.
"""


@dataclass(frozen=True, kw_only=True)
class House:
    """Everything that a process needs, opened and ready."""

    settings: Settings
    provider: Provider
    model: Model
    database: Database
    vault: Vault
    upstream: UpstreamClient
    accounts: Accounts
    oauth: OAuthClient | None
    """None where no client is configured: then accounts are connected by API token alone."""
    connecting: Connecting
    tokens: Tokens
    directory: Directory
    writes: Writes
    cursors: Cursors


def declarations(settings: Settings) -> tuple[Provider, Model]:
    """What the mapping files say, checked; DeclarationError shows the fault."""
    directories = mapping_dirs(settings)
    return load_provider(directories, PROVIDER), load_model([directory / PROVIDER for directory in directories])


def mapping_dirs(settings: Settings) -> list[Path]:
    """The shipped mapping files, and the deployment's own laid over them."""
    return [bundled_dir(), *([Path(settings.mappings_dir)] if settings.mappings_dir else [])]


@asynccontextmanager
async def open_house(settings: Settings, *, migrate: bool = True) -> AsyncIterator[House]:
    """A house in working order, closed again at the end. StartupError says what keeps it from opening."""
    gc.set_threshold(*_PASSES)
    provider, model = declarations(settings)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(settings.database_url))
        if migrate:
            await database.ensure_schema()
        vault = load_vault(settings)
        upstream = _upstream(settings, provider)
        stack.push_async_callback(upstream.close)
        chores = Chores()
        stack.push_async_callback(chores.finish)
        oauth = oauth_client(settings, upstream)
        account_store = AccountStore(database)
        accounts = Accounts(
            store=account_store,
            vault=vault,
            upstream=upstream,
            chores=chores,
            oauth=oauth,
            renewals=Renewals(database, account_store),
            unit_scopes={name: unit.scopes for name, unit in model.units.items()},
            check_override=lambda given: checked_override(model, given),
        )
        connecting = Connecting(
            store=LinkStore(database),
            accounts=accounts,
            vault=vault,
            chores=chores,
            oauth=oauth,
            known_scopes=provider.oauth.scopes,
            allowed=allow_lists(settings.redirect_uris, settings.origins),
        )
        cursors = Cursors(vault.derive("cursors"))
        claims = claims_for(database)
        stack.push_async_callback(claims.close)
        shared = database.dialect == "postgresql"
        keeper = _keeper(UnitStore(database), claims, shared=shared)
        directory = _directory(settings, model, provider, cursors, keeper, _override_of(accounts), shared=shared)
        stack.push_async_callback(directory.close)
        desks = Desks(accounts, directory, max_age=settings.directory_max_age, refill=60.0 / provider.budget.per_minute)
        writes = Writes(OperationStore(database), PlaceLocks(database), desks, tenant_of=desks.tenant_of)
        stack.push_async_callback(writes.close)
        yield House(
            settings=settings,
            provider=provider,
            model=model,
            database=database,
            vault=vault,
            upstream=upstream,
            accounts=accounts,
            oauth=oauth,
            connecting=connecting,
            tokens=Tokens(store=TokenStore(database), accounts=accounts, chores=chores),
            directory=directory,
            writes=writes,
            cursors=cursors,
        )


def _upstream(settings: Settings, provider: Provider) -> UpstreamClient:
    return UpstreamClient(
        provider,
        api_url=settings.heroku_api_url or None,
        concurrency=settings.upstream_concurrency,
        timeout=settings.upstream_timeout,
    )


def _directory(
    settings: Settings,
    model: Model,
    provider: Provider,
    cursors: Cursors,
    keeper: KeeperMaker,
    override: OverrideOf,
    *,
    shared: bool,
) -> Directory:
    return Directory(
        model,
        cursors,
        max_age=settings.directory_max_age,
        wait=settings.directory_wait,
        reserve=settings.directory_reserve,
        refill=60.0 / provider.budget.per_minute,
        sharers=SHARERS if shared else 1,
        keeper=keeper,
        override=override,
    )


def _override_of(accounts: Accounts) -> OverrideOf:
    async def override(account_id: str) -> Mapping[str, Any] | None:
        return (await accounts.get(account_id)).unified_model_override

    return override


def _keeper(store: UnitStore, claims: Claims, *, shared: bool) -> KeeperMaker:
    return lambda account_id: DatabaseKeeper(account_id, store, claims, shared=shared)


def create_app(settings: Settings | None = None) -> ASGIApp:
    """The ASGI application; the house is opened and closed by the server's lifespan."""
    return _App(settings or load())


class _App:
    """Opens the house at start-up and serves from it; a start-up that fails is told to the server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._served: ASGIApp | None = None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "lifespan":
            return self._live(receive, send)
        if self._served is None:
            raise StartupError("The server runs without its lifespan; start it with `adapter serve`.")
        return self._served(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with open_house(self._settings) as house:
                self._served = _edge(house)
                house.writes.start()
                house.accounts.report_lost_keys()
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except AdapterError as error:
            await send({"type": "lifespan.startup.failed", "message": error.message})
            return
        await send({"type": "lifespan.shutdown.complete"})


def _edge(house: House) -> ASGIApp:
    """The doors behind the edge: observed, errors shaped, sizes limited, the caller found; in this order."""
    metrics = Metrics()
    doors = raw.RawDoors(
        accounts=house.accounts,
        provider=house.provider,
        cursors=house.cursors,
        on_write=_noting_writes(house),
    )
    routes: list[BaseRoute] = [
        *doors.routes,
        *writes_door.routes(writes=house.writes, accounts=house.accounts, model=house.model),
        *operations.routes(writes=house.writes, cursors=house.cursors),
        *unified.routes(directory=house.directory, accounts=house.accounts),
        *graph.routes(directory=house.directory, accounts=house.accounts),
        *accounts_door.routes(
            accounts=house.accounts,
            tokens=house.tokens,
            provider=house.provider,
            cursors=house.cursors,
            watcher=_Gatherer(house),
        ),
        *links.routes(connecting=house.connecting, public_url=house.settings.public_url),
        *_connect_page(house),
        *directory_door.routes(directory=house.directory, accounts=house.accounts, cursors=house.cursors),
        *capabilities.routes(model=house.model, provider=house.provider, accounts=house.accounts),
        *docs.routes(document.compose(document.parts(model=house.model, provider=house.provider))),
        *health.routes(checks=_checks(house), metrics=metrics),
    ]
    limits = house.settings
    router = Router(routes, default=doors.root, redirect_slashes=False)
    return edged(
        doors.ahead_of(Repeating(router, house.directory, house.accounts, prefix=unified.PREFIX)),
        tokens=house.tokens,
        metrics=metrics,
        remote_ids=house.provider.errors.id_of,
        own_origins=[origin] if (origin := origin_of(limits.public_url)) else (),
        max_body=limits.max_body_bytes,
        max_query=limits.max_query_bytes,
        max_headers=limits.max_header_bytes,
        trusted_hops=limits.trusted_hops,
    )


def _connect_page(house: House) -> list[BaseRoute]:
    settings, provider = house.settings, house.provider
    return connect.routes(
        connecting=house.connecting,
        accounts=house.accounts,
        provider=provider,
        words=load_words(mapping_dirs(settings), PROVIDER),
        unit_scopes={name: unit.scopes for name, unit in house.model.units.items()},
        public_url=settings.public_url,
        auth_url=settings.heroku_auth_url or provider.auth_url,
        behind_proxy=settings.trusted_hops > 0,
        watcher=_Gatherer(house),
    )


class _Gatherer:
    """Begins an account's first gather when it is connected, and forgets what is known of one that leaves."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def connected(self, account_id: str) -> None:
        await self._house.directory.begin(account_id, await self._house.accounts.open(account_id))

    async def left(self, account_id: str) -> None:
        self._house.directory.forget(account_id)


def _noting_writes(house: House) -> raw.OnWrite:
    async def noted(account_id: str, method: str, path: str, answer: raw.Answered) -> None:
        client = await house.accounts.open(account_id)
        await house.directory.touched(account_id, client, path, method=method, answer=answer)

    return noted


def _checks(house: House) -> Mapping[str, health.Check]:
    async def keys() -> None:
        house.vault.open(house.vault.seal(b"ready", about="readyz"), about="readyz")

    async def mappings() -> None:
        if not house.model.resources:
            raise StartupError("No mapping file declares a resource.")

    return {"database": house.database.ping, "keys": keys, "mappings": mappings}
