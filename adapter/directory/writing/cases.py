"""The cases beside `writes.yaml`: what a provider answers, what is asked, and the calls that must come of it.

- name: what the case shows
  answers: {/teams/t1: {…}, /teams/t1/members: [{…}]}   # by path; any other list is empty, any other record isn't there
  account: {id: …, email: …}      # whose credential it is
  allow_admin_grants: true
  scopes: [global]                # that the credential is known to hold
  ask: {kind: users.create, person: {email: …}, changes: [{verb: give, place: {kind: team, id: t1}, roles: [member]}]}
  gives: [{method: PUT, path: …, body: {…}}]            # all calls, in order
  refused: [last_admin]           # guards that refuse, that warn, what is so already, and what remains, by name or id
  warned: []
  already: []
  remains: []
"""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from adapter.declarations import decode, read_yaml
from adapter.directory.lists import Fetched
from adapter.directory.units import AccountUnits
from adapter.directory.writing.desk import Desk, WriteSettings
from adapter.directory.writing.model import Ask, Plan
from adapter.directory.writing.planning import Planner
from adapter.errors import RemoteNotFound
from adapter.mapping.model import Model
from adapter.models import ProviderIdentity


class _Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    pass


class Expected(_Strict, frozen=True, kw_only=True):
    method: str
    path: str
    body: dict[str, Any] | None = None
    accept: str | None = None


class Account(_Strict, frozen=True, kw_only=True):
    id: str
    email: str | None = None


class WriteCase(_Strict, frozen=True, kw_only=True):
    name: str
    answers: dict[str, Any]
    account: Account | None = None
    allow_admin_grants: bool = False
    scopes: tuple[str, ...] = ()
    ask: Ask
    gives: list[Expected] = []
    refused: list[str] = []
    warned: list[str] = []
    already: list[str] = []
    remains: list[str] = []


class WriteCasesFile(_Strict, frozen=True, kw_only=True):
    cases: Annotated[list[WriteCase], msgspec.Meta(min_length=1)]


def load_write_cases(path: Path) -> list[WriteCase]:
    """The cases of a file; DeclarationError shows the fault."""
    return decode(read_yaml(path), WriteCasesFile, str(path)).cases


def run_write_case(model: Model, case: WriteCase) -> list[str]:
    """What differs from what the case says, a line each; nothing where it holds."""
    plan = asyncio.run(Planner().plan(desk_for(model, case), case.ask))
    return list(_differences(plan, case))


def desk_for(model: Model, case: WriteCase) -> Desk:
    """A desk at which the provider answers what stands in the case."""
    own = case.account
    return Desk(
        account_id="case",
        client=_Answers(case.answers),
        units=AccountUnits(),
        model=model,
        identity=ProviderIdentity(id=own.id, email=own.email) if own else None,
        settings=WriteSettings(allow_admin_grants=case.allow_admin_grants),
        held_scopes=case.scopes,
    )


def _differences(plan: Plan, case: WriteCase) -> Iterator[str]:
    calls = [
        Expected(
            method=step.method,
            path=step.path,
            body=None if step.body is None else dict(step.body),
            accept=step.headers.get("accept"),
        )
        for step in plan.steps
    ]
    if calls != case.gives:
        yield f"calls: expected {msgspec.to_builtins(case.gives)}, found {msgspec.to_builtins(calls)}"
    found = {
        "refused": [obstacle.guard for obstacle in plan.refusals],
        "warned": [obstacle.guard for obstacle in plan.obstacles if obstacle.is_warning],
        "already": [place.id for place in plan.already],
        "remains": [obstacle.guard for obstacle in plan.remains],
    }
    for word, names in found.items():
        if names != getattr(case, word):
            yield f"{word}: expected {getattr(case, word)}, found {names}"


class _Reply(msgspec.Struct, frozen=True):
    body: bytes


class _Plenty:
    """A budget that nothing is known of, and that nothing is spent from."""

    remaining: int | None = None

    def headers(self) -> list[tuple[str, str]]:
        return []


class _Answers:
    """A provider that answers what stands in the case."""

    account_key = "case"
    budget = _Plenty()

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = answers

    async def send(self, method: str, path: str, *, query: Mapping[str, str] | None = None) -> _Reply:
        if path not in self._answers:
            raise RemoteNotFound(404, f"{method} {path}: there is nothing, whatever is asked ({query}).")
        return _Reply(msgspec.json.encode(self._answers[path]))

    async def iterate(self, path: str, **_: Any) -> Fetched:
        return Fetched(records=list(self._answers.get(path, ())))
