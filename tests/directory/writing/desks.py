"""Desks over a sandbox, real sockets included, and what tests do at them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from adapter.directory.purse import Purse
from adapter.directory.units import AccountUnits
from adapter.directory.writing.desk import Desk, WriteSettings
from adapter.directory.writing.model import Ask, Change, Operation, PersonRef, PlaceRef, Plan, Step
from adapter.directory.writing.planning import Planner
from adapter.models import ProviderIdentity, Secret
from adapter.sandbox import RunningSandbox
from adapter.sandbox.records import Account, App, Enterprise, Space, Team
from adapter.upstream.client import BoundClient, FixedCredential, UpstreamClient
from adapter.upstream.provider import load_provider
from tests.directory.fakes import SHIPPED

PROVIDER = load_provider()
GRANTING = WriteSettings(allow_admin_grants=True)


@asynccontextmanager
async def desk_at(
    heroku: RunningSandbox,
    *,
    account: str | None = None,
    settings: WriteSettings = GRANTING,
    scopes: Sequence[str] = ("global",),
) -> AsyncIterator[Desk]:
    """The desk of somebody (the sandbox's owner unless named), with a directory that knows nothing yet."""
    who = heroku.world.account(account) if account else heroku.world.owner
    assert who is not None
    token = heroku.token(list(scopes), account=who.email)
    upstream = UpstreamClient(PROVIDER, api_url=heroku.url)
    client = upstream.bind(FixedCredential(Secret(token)), account_key=who.id)
    purse = Purse(lambda: client.budget.remaining, reserve=500, refill=0.8)
    try:
        yield Desk(
            account_id="acc",
            client=client,
            units=AccountUnits(purse=purse),
            model=SHIPPED,
            identity=ProviderIdentity(id=who.id, email=who.email, name=who.name),
            settings=settings,
            held_scopes=tuple(scopes),
        )
    finally:
        await upstream.close()


def ref(place: Team | App | Space | Enterprise) -> PlaceRef:
    return PlaceRef(kind=type(place).__name__.lower(), id=place.id)


def ask(kind: Any, who: str | Account, *changes: Change, **more: Any) -> Ask:
    """An ask about somebody, by address or by account."""
    person = PersonRef(email=who) if isinstance(who, str) else PersonRef(user_id=who.id)
    return Ask(kind=kind, person=person, changes=changes, **more)


def give(place: Any, *roles: str) -> Change:
    return Change(verb="give", place=ref(place), roles=roles)


def put(place: Any, *roles: str) -> Change:
    return Change(verb="set", place=ref(place), roles=roles)


def take(place: Any, *roles: str) -> Change:
    return Change(verb="take", place=ref(place), roles=roles)


async def send(desk: Desk, step: Step) -> Any:
    """A step as the runner sends it."""
    client = desk.client
    assert isinstance(client, BoundClient)
    return await client.send(step.method, step.path, headers=dict(step.headers), json=step.body)


async def carried_out(desk: Desk, wish: Ask) -> Plan:
    """The plan, each of its steps checked and sent; the directory is told of nothing."""
    planner = Planner()
    plan = await planner.plan(desk, wish)
    assert plan.refusals == ()
    for step in plan.steps:
        checked = await planner.check(desk, wish, step)
        assert isinstance(checked, Step)
        await send(desk, checked)
        assert await planner.look_up(desk, wish, checked) == "done"
    return plan


def operation_of(wish: Ask, plan: Plan) -> Operation:
    """An operation that has been carried out."""
    now = datetime.now(UTC)
    return Operation(
        id="op",
        account_id="acc",
        tenant_id="t",
        kind=wish.kind,
        status="succeeded",
        caller={},
        ask=wish,
        plan=plan,
        created_at=now,
        updated_at=now,
    )
