"""Writes from the terminal: planned, shown, carried out in this process, and followed to their end.

They stand in the same journal as those that come over HTTP: if this process dies, another one goes on.
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import typer

from adapter.app import House
from adapter.cli.choosing import every, only_account
from adapter.cli.console import note
from adapter.cli.output import Bar, readable, table
from adapter.directory.writing.model import Ask, Operation, Plan, StepState
from adapter.errors import AdapterError, NotFound
from adapter.models import Caller, IntegratedAccount
from adapter.web.write_answers import shown

CLI = Caller(kind="api", token_id="cli")  # noqa: S106  # the name of no token
"""Who a write from the terminal was asked for by, in the journal."""

STEP_COLUMNS = {"#": "n", "WHERE": "where", "STEP": "summary", "HAS": "before", "THEN": "after"}
STATE_COLUMNS = {
    "#": "n", "WHERE": "where", "STEP": "summary", "STATUS": "status", "REQUEST": "request_id", "WHY": "why",
}  # fmt: skip

_LOOK_EVERY = 0.2
_UNDER_WAY = frozenset({"pending", "running", "waiting"})
_MARK = {False: "refused", True: "warning"}


class Part(msgspec.Struct, kw_only=True):
    """What a command does in one account, as far as it came."""

    account: IntegratedAccount
    client: Any = None
    plan: Plan | None = None
    operation: Operation | None = None
    error: AdapterError | None = None
    same_as: tuple[str, ...] = ()
    """Other connections to the same account at Heroku, in which nothing more is to be done."""

    @property
    def is_done(self) -> bool:
        return self.error is None and self.operation is not None and self.operation.status == "succeeded"


# --- planned


async def accounts_of(house: House, account: str | None, tenant: str | None) -> list[IntegratedAccount]:
    """All of a tenant's accounts, or the one that is meant; NotFound where a tenant has none."""
    if tenant is None:
        return [await house.accounts.get(account or await only_account(house))]
    found = await every(house, tenant_id=tenant)
    if not found:
        raise NotFound("This tenant has no connected account; `adapter account list` shows who has.")
    return found


async def planned(house: House, account: IntegratedAccount, ask: Ask) -> Part:
    """The plan in one account, or what keeps it from being made."""
    part = Part(account=account)
    try:
        part.client = await house.accounts.open(account.id)
        part.plan = await house.writes.plan(account.id, part.client, CLI, ask)
    except AdapterError as error:
        part.error = error
    return part


def show_plan(part: Part) -> None:
    """The plan as a table, and what stands in its way or can't be known."""
    typer.echo(f"Account {part.account.id} of tenant {readable(part.account.tenant_id)}:")
    if part.error is not None or part.plan is None:
        typer.echo(f"  can't be planned: {part.error.message if part.error else ''}")
        return
    plan = part.plan
    if plan.steps:
        table(STEP_COLUMNS, [_row(shown(step)) for step in plan.steps])
    elif not plan.refusals:
        typer.echo("  Nothing is to be done.")
    for line in _lines(plan):
        typer.echo(f"  {line}")


def _lines(plan: Plan) -> Iterator[str]:
    for place in plan.already:
        yield f"so already: {place_words(shown(place))}"
    for obstacle in plan.obstacles:
        yield f"{_MARK[obstacle.is_warning]} by {obstacle.guard}: {readable(obstacle.message)}"
    for obstacle in plan.remains:
        where = f"{place_words(shown(obstacle.place))}: " if obstacle.place else ""
        yield f"stays: {where}{readable(obstacle.message)} ({obstacle.guard})"
    for gap in plan.unknown:
        yield f"not known: {gap.unit}: {gap.reason}"
    yield from consequences(plan.notes)
    yield _cost(plan)


def consequences(told: Mapping[str, Any]) -> Iterator[str]:
    """What a plan or a report says of afterwards: who may come back, and which secrets were theirs to read."""
    for back in told.get("may_return", ()):
        through = readable(back["through"])
        yield f"warning: they may return to {place_words(back['place'])} at the next sign-in, through {through}."
    by_roles: dict[str, list[str]] = {}
    for secrets in told.get("rotate_secrets_of", ()):
        # A report tells the roles beside the place.
        by_roles.setdefault(readable(secrets.get("roles") or ""), []).append(place_words(secrets.get("place", secrets)))
    for roles, places in by_roles.items():
        yield f"Rotate the secrets of {', '.join(places)}: they could be read{f' as {roles}' if roles else ''}."


def _cost(plan: Plan) -> str:
    cost = plan.cost
    parts = [f"{cost.steps} to carry it out"]
    parts += [f"{cost.read_back} to read it back"] if cost.read_back else []
    parts += [f"{cost.full_proof} to read all that could hold the person"] if cost.full_proof else []
    later = f"; the request budget allows it in {cost.affordable_in} s" if cost.affordable_in else ""
    return f"Requests: {', '.join(parts)}{later}."


# --- carried out


class Tally:
    """How far several operations are, on one bar."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._counts: dict[str, tuple[int, int]] = {}

    def show(self, operation: Operation) -> None:
        over = sum(state.status not in {"planned", "sending"} for state in operation.steps)
        self._counts[operation.id] = over, len(operation.steps)
        done, total = (sum(counts) for counts in zip(*self._counts.values(), strict=True))
        waits = ", waiting for the request budget" if operation.status == "waiting" else ""
        self._bar.show(done, total, f"{done} of {total} steps{waits}")


async def carry_out(house: House, part: Part, ask: Ask, tally: Tally, *, as_shown: bool) -> Operation:
    """Carry a plan out to its end. AdapterError, noted at its part, where it could not be made or begun.

    `as_shown`: somebody saw the plan and said yes to it, so that a directory that moved since is a refusal.
    """
    try:
        if part.error is not None:
            raise part.error
        etag = part.plan.etag if part.plan is not None and as_shown else None
        outcome = await house.writes.write(part.account.id, part.client, CLI, ask, if_match=etag, wait=_LOOK_EVERY)
        part.operation = await followed(house, outcome.operation, tally)
    except AdapterError as error:
        part.error = error
        raise
    return part.operation


async def followed(house: House, operation: Operation, tally: Tally) -> Operation:
    """The operation once it has ended, or was left to wait for somebody."""
    try:
        while operation.status in _UNDER_WAY:
            tally.show(operation)
            await asyncio.sleep(_LOOK_EVERY)
            operation = await house.writes.operation(CLI, operation.id)
    except asyncio.CancelledError:
        note(f"It is not over: `adapter operations show {operation.id}` tells how far it came.")
        raise
    return operation


# --- told


def show_operation(operation: Operation) -> None:
    """How an operation ended: every step that wasn't simply done, and how to go on."""
    states = [_state_row(state) for state in operation.steps]
    if states:
        table(STATE_COLUMNS, states)
    done = sum(state.status in {"done", "already"} for state in operation.steps)
    typer.echo(f"{operation.status}: {done} of {len(operation.steps)} steps are done (operation {operation.id}).")
    if operation.status in {"partial", "lapsed", "waiting", "failed"}:
        typer.echo(f"`adapter operations resume {operation.id}` plans the rest anew and goes on.")


def _state_row(state: StepState) -> dict[str, Any]:
    error = state.error or {}
    told = {"status": state.status, "request_id": state.request_id, "why": error.get("message") or state.note}
    return {**_row(shown(state.step)), **told}


def _row(step: Mapping[str, Any]) -> dict[str, Any]:
    held = {name: _held(step[name]) for name in ("before", "after")}
    return {**step, **held, "where": place_words(step["place"])}


def _held(holding: Mapping[str, Any] | None) -> str:
    if holding is None:
        return ""
    roles = ", ".join(holding["roles"])
    return {"none": "nothing", "pending": f"invited: {roles}"}.get(holding["state"], roles or "a membership")


def place_words(place: Mapping[str, Any] | None) -> str:
    """`team acme`: a place as a line names it."""
    return readable(f"{place['kind']} {place.get('name') or place['id']}") if place else ""
