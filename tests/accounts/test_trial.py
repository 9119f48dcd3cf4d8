"""Least privilege, over a real socket: what a key of each scope connects as, and what its account then may read."""

from collections.abc import AsyncIterator, Iterator

import pytest

from adapter.accounts.chores import Chores
from adapter.accounts.service import Accounts
from adapter.accounts.trial import missing
from adapter.declarations import bundled_dir
from adapter.errors import InvalidCredential, RemoteForbidden
from adapter.mapping.loading import load_model
from adapter.models import IntegratedAccount, Secret
from adapter.sandbox import Options, RunningSandbox
from adapter.storage.accounts import AccountStore
from adapter.storage.database import Database
from adapter.storage.vault import Vault
from adapter.upstream.client import UpstreamClient
from adapter.upstream.provider import load_provider

UNITS = load_model([bundled_dir() / "heroku"]).units
UNIT_SCOPES = {name: unit.scopes for name, unit in UNITS.items()}


@pytest.fixture(scope="module")
def heroku() -> Iterator[RunningSandbox]:
    with RunningSandbox(options=Options(consistency_s=0)) as running:
        yield running


@pytest.fixture
async def accounts(heroku: RunningSandbox, database: Database) -> AsyncIterator[Accounts]:
    upstream = UpstreamClient(load_provider(), api_url=heroku.url)
    chores = Chores()
    vault = Vault(["fake-secret-key-" + "k" * 32])
    store = AccountStore(database)
    yield Accounts(store=store, vault=vault, upstream=upstream, chores=chores, unit_scopes=UNIT_SCOPES)
    await chores.finish()
    await upstream.close()


async def _connect(accounts: Accounts, token: str) -> IntegratedAccount:
    return await accounts.connect_api_key(tenant_id="acme", api_key=Secret(token))


def _path(heroku: RunningSandbox, unit: str) -> str:
    """The unit's path with a real place in it, so that only the scope decides."""
    truth = heroku.truth()
    places = {"team": truth["teams"], "app": truth["apps"], "space": truth["spaces"]}
    places["enterprise"] = truth["enterprise_accounts"]
    path: str = UNITS[unit].get
    for name, records in places.items():
        path = path.replace(f"{{{name}.id}}", records[0]["id"] if records else "none")
    return path


@pytest.mark.parametrize(
    ("scope", "known", "unread"),
    [
        ("global", True, set[str]()),
        ("identity", True, set(UNITS) - {"account"}),
        ("read", False, {"account", "team_members", "team_invitations", "team_permissions"}),
        ("write-protected", False, {"account", "team_members", "team_invitations", "team_permissions"}),
    ],
)
@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)  # no row is kept that other tests don't keep on both
async def test_a_key_names_the_units_that_it_can_t_read_and_reads_all_others(
    accounts: Accounts, heroku: RunningSandbox, scope: str, known: bool, unread: set[str]
) -> None:
    account = await _connect(accounts, heroku.token([scope]))
    client = await accounts.open(account.id)
    refused = set()
    for name, unit in UNITS.items():
        try:
            await client.send("GET", _path(heroku, name), headers={"accept": unit.accept} if unit.accept else None)
        except RemoteForbidden:
            refused.add(name)

    assert account.scopes == (scope,)
    assert (account.identity is not None) is known
    assert set(account.missing_scopes) == unread
    assert refused == unread


async def test_a_key_that_heroku_does_not_know_is_not_kept(accounts: Accounts) -> None:
    with pytest.raises(InvalidCredential):
        await _connect(accounts, "HRKU-fake-nobody")

    assert await accounts.list() == []


async def test_connecting_costs_one_request(accounts: Accounts, heroku: RunningSandbox) -> None:
    heroku.reset_requests()

    account = await _connect(accounts, heroku.owner_token)

    assert heroku.request_count() == 1
    assert account.identity is not None
    assert account.identity.email == "owner@example.com"


def test_nothing_is_missing_where_no_scopes_were_told() -> None:
    units = {"teams": ("global", "read"), "health": ()}

    assert missing(units, ()) == {}
    assert missing(units, ("read", "identity")) == {}
    assert missing(units, ("identity",)) == {"teams": ("global", "read")}
