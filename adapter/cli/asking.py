"""A question to the directory from the terminal: which account, which filters, and a bar while it is gathered."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from adapter.app import House
from adapter.cli.choosing import only_account
from adapter.cli.output import Bar, progress
from adapter.directory.gather import Gather
from adapter.directory.query import parse_list, parse_one
from adapter.directory.service import Answer
from adapter.errors import AdapterError, NotFound
from adapter.web.query import parse_query

T = TypeVar("T")

_LOOK_EVERY = 0.2


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a command asks of a resource; `filters` are pairs of the HTTP API's parameters."""

    resource: str
    account: str | None = None
    filters: Sequence[tuple[str, str]] = ()
    group: str | None = None
    """A team, by id or name."""
    limit: int | None = None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The records that fit (of `total`, where there was a limit), and what could not be read."""

    records: list[dict[str, Any]]
    fields: tuple[str, ...]
    total: int
    missing: tuple[Mapping[str, Any], ...]

    def envelope(self) -> dict[str, Any]:
        """As the HTTP API answers a list, but for cursors: here the list is whole, or cut by `--limit`."""
        return {"result": self.records, "result_count": len(self.records), **gaps(self.missing)}


def gaps(missing: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"is_partial_response": True, "missing": missing} if missing else {}


async def ask_list(house: House, question: Question) -> Found:
    """Every record that fits, however many pages the HTTP API would make of them."""
    account_id, client = await opened(house, question.account)
    resource = house.directory.resource(question.resource)
    pairs = [*question.filters, ("truto_ignore_limit", "true")]
    if question.group is not None:
        pairs.append(("group_id", await _group_id(house, account_id, question.group)))
    query = parse_list(resource, parse_query(urlencode(pairs).encode()))
    answer = await gathered(house, account_id, house.directory.list_records(account_id, client, resource, query))
    return Found(
        records=[{**record.data, "remote_data": record.remote} for record in answer.records[: question.limit]],
        fields=tuple(resource.fields),
        total=len(answer.records),
        missing=_missing(answer),
    )


async def ask_one(house: House, question: Question, key: str) -> tuple[dict[str, Any], tuple[Mapping[str, Any], ...]]:
    """One record by its id, and what could not be read; NotFound where there is none."""
    account_id, client = await opened(house, question.account)
    resource = house.directory.resource(question.resource)
    asked = house.directory.get_record(account_id, client, resource, key, parse_one(resource, {}))
    answer = await gathered(house, account_id, asked)
    record = answer.records[0]
    return {**record.data, "remote_data": record.remote}, _missing(answer)


async def ask_names(house: House, account: str | None, grants: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Id -> what people call it, for the people and places of these grants.

    Asked for just after them it costs next to nothing: both are made of the same units. Where it fails, ids will do.
    """
    names: dict[str, str] = {}
    try:
        people = await ask_list(house, Question(resource="users", account=account))
        for person in people.records:
            names |= {person["id"]: person.get("username") or person["id"], **_places(person["roles"])}
        # An app where all access is inherited stands in nobody's roles.
        if any(grant["workspace_id"] and grant["workspace_id"] not in names for grant in grants):
            apps = await ask_list(house, Question(resource="workspaces", account=account))
            names |= {app["id"]: app["name"] for app in apps.records}
    except AdapterError:
        pass
    return names


def _places(roles: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    places = (role.get(word) for role in roles for word in ("group", "workspace", "organization"))
    return {place["id"]: place["name"] for place in places if place}


async def opened(house: House, account: str | None) -> tuple[str, Any]:
    """The account of this id, or the only one that there is, with its client."""
    account_id = account or await only_account(house)
    return account_id, await house.accounts.open(account_id)


async def _group_id(house: House, account_id: str, group: str) -> str:
    """The id of the team with this id, else of the one with this name."""
    groups = (await ask_list(house, Question(resource="groups", account=account_id))).records
    for word in ("id", "name"):
        for record in groups:
            if record[word] == group:
                return str(record["id"])
    raise NotFound("No team has this id or name; `adapter groups list` shows them.")


async def gathered(house: House, account_id: str, asked: Awaitable[T]) -> T:
    """The answer; while it takes long, a bar tells how far the gather is."""
    task = asyncio.ensure_future(asked)
    try:
        with progress() as bar:
            while not (await asyncio.wait({task}, timeout=_LOOK_EVERY))[0]:
                _show(bar, house.directory.gathering(account_id))
        return await task
    finally:
        task.cancel()


def _show(bar: Bar, gather: Gather | None) -> None:
    if gather is not None:
        done, pending = sum(map(len, gather.done.values())), len(gather.pending())
        bar.show(done, done + pending, f"{done} lists read, {pending} under way, {gather.cost} requests")


def _missing(answer: Answer) -> tuple[Mapping[str, Any], ...]:
    return tuple(msgspec.to_builtins(gap) for gap in answer.missing)
