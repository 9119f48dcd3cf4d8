"""Writes from the terminal: planned, shown, carried out in this process, and followed to their end.

They stand in the same journal as those that come over HTTP: if this process dies, another one goes on.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import typer

from adapter.app import House
from adapter.cli.choosing import every, only_account
from adapter.cli.console import note
from adapter.cli.output import Bar, progress, readable, table
from adapter.directory.writing.model import Ask, Obstacle, Operation, Plan, StepState
from adapter.errors import AdapterError, NotFound
from adapter.models import Caller, IntegratedAccount
from adapter.web.write_answers import shown

CLI = Caller(kind="api", token_id="cli")  # noqa: S106  # the name of no token
"""Who a write from the terminal was asked for by, in the journal."""

STEP_COLUMNS = {"#": "n", "WHERE": "where", "STEP": "summary", "HAS": "before", "THEN": "after"}
STATE_COLUMNS = {"#": "n", "WHERE": "where", "STEP": "summary", "STATUS": "status", "WHY": "why"}

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
    else:
        typer.echo("  Nothing is to be done.")
    _tell("so already", [{"where": place} for place in shown(plan.already)])
    for obstacle in plan.obstacles:
        typer.echo(f"  {_MARK[obstacle.is_warning]} by {obstacle.guard}: {readable(obstacle.message)}")
    _tell_remains(plan.remains)
    for gap in plan.unknown:
        typer.echo(f"  not known: {gap.unit}: {gap.reason}")
    typer.echo(f"  {_cost(plan)}")


def _cost(plan: Plan) -> str:
    cost = plan.cost
    later = f"; the request budget allows it in {cost.affordable_in} s" if cost.affordable_in else ""
    proof = f", {cost.read_back} to read back, {cost.full_proof} to read all" if cost.read_back else ""
    return f"Requests: {cost.steps} to carry it out{proof}{later}."


def _tell_remains(remains: Sequence[Obstacle]) -> None:
    for obstacle in remains:
        where = f" {_place(shown(obstacle.place))}" if obstacle.place else ""
        typer.echo(f"  stays:{where}: {readable(obstacle.message)} ({obstacle.guard})")


def _tell(words: str, rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        typer.echo(f"  {words}: {_place(row['where'])}")


# --- carried out


async def carried_out(house: House, parts: Sequence[Part], ask: Ask, *, as_shown: bool) -> None:
    """Carry the plans out, one account after the other; what fails is noted at its part.

    `as_shown`: somebody saw the plans and said yes to them, so that a directory that moved since is a refusal.
    """
    with progress("Carrying it out") as bar:
        for part in parts:
            if part.plan is None:
                continue
            try:
                part.operation = await _written(house, part, part.plan, ask, bar, as_shown=as_shown)
            except AdapterError as error:
                part.error = error


async def _written(house: House, part: Part, plan: Plan, ask: Ask, bar: Bar, *, as_shown: bool) -> Operation:
    outcome = await house.writes.write(
        part.account.id, part.client, CLI, ask, if_match=plan.etag if as_shown else None, wait=_LOOK_EVERY
    )
    return await followed(house, outcome.operation, bar)


async def followed(house: House, operation: Operation, bar: Bar) -> Operation:
    """The operation once it has ended, or was left to wait for somebody."""
    try:
        while operation.status in _UNDER_WAY:
            over = sum(state.status not in {"planned", "sending"} for state in operation.steps)
            said = "waiting for the request budget" if operation.status == "waiting" else f"{over} steps"
            bar.show(over, len(operation.steps), said)
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
    return {**_row(shown(state.step)), "status": state.status, "why": error.get("message") or state.note}


def _row(step: Mapping[str, Any]) -> dict[str, Any]:
    held = {name: _held(step[name]) for name in ("before", "after")}
    return {**step, **held, "where": _place(step["place"])}


def _held(holding: Mapping[str, Any] | None) -> str:
    if holding is None:
        return ""
    roles = ", ".join(holding["roles"])
    return {"none": "nothing", "pending": f"invited: {roles}"}.get(holding["state"], roles or "a membership")


def _place(place: Mapping[str, Any] | None) -> str:
    return readable(f"{place['kind']} {place.get('name') or place['id']}") if place else ""


def place_words(place: Mapping[str, Any] | None) -> str:
    """`team acme`: a place as a line names it."""
    return _place(place)
