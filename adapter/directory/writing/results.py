"""The body of a write's answer: what was written, as the provider shows it now.

Only what the write touched is read again; the rest of a person's record is what the directory knows.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from adapter.directory.gather import Read
from adapter.directory.writing.desk import Desk
from adapter.directory.writing.ground import Blocked, Ground
from adapter.directory.writing.grouping import found_group
from adapter.directory.writing.model import Operation, PersonRef, PlaceRef
from adapter.directory.writing.people import Whom, look_for
from adapter.mapping import engine
from adapter.mapping.engine import Record
from adapter.mapping.model import Resource
from adapter.mapping.shaping import Instance, Shaped, shape

_GONE = frozenset({"users.delete", "users.offboard", "groups.delete", "groups.remove-user", "role_assignments.delete"})
"""What takes away answers with the id alone."""


async def result_of(desk: Desk, operation: Operation) -> Any:
    """A record as lists and gets answer it, `remote_data` included; `{"id": …}` of what was taken away."""
    if operation.kind in _GONE:
        return {"id": _id_of(operation)}
    if operation.kind.startswith("groups.") and operation.ask.person is None:
        return await _group(desk, operation)
    person = operation.plan.person
    known = PersonRef(user_id=person.id if person else None, email=next(iter(person.emails), None) if person else None)
    whom = Whom(known, desk.people)
    shaped = await _shaped(desk, whom, operation)
    users = desk.people
    user = _theirs(users, engine.assemble(desk.model, users, shaped)[0], whom) if users else None
    if user is None or not operation.kind.startswith("role_assignments."):
        return _shown(user) if user else {"id": _id_of(operation)}
    return _assignment(desk, shaped, user, operation) or {"id": _id_of(operation)}


def _id_of(operation: Operation) -> str | None:
    """The id of what an operation was about."""
    if operation.ask.group is not None and operation.ask.person is None:
        return operation.ask.group.id
    person = operation.plan.person
    if operation.kind.startswith("role_assignments.") and operation.ask.changes:
        change = operation.ask.changes[0]
        return ":".join((change.place.kind, change.place.id, (person and person.id) or "", "".join(change.roles[:1])))
    return person.id if person else None


def _shown(record: Record) -> dict[str, Any]:
    return {**record.data, "remote_data": record.remote}


# --- people


async def _shaped(desk: Desk, whom: Whom, operation: Operation) -> list[Shaped]:
    """What is known of the person, with the lists of every place that the write was about read anew."""
    reads = {read.state.path: read for read in await _mentioning(desk, whom)}
    reads.update({read.state.path: read for read in await _written(desk, whom, operation)})
    users = desk.people
    readable = [read for read in reads.values() if read.state.error is None]
    return [shape(users, _about(read, whom)) for read in readable] if users else []


async def _mentioning(desk: Desk, whom: Whom) -> list[Read]:
    """The readings at hand that show the person; those that the write made stale are read again."""
    at_hand = [read for read in await desk.at_hand(desk.writes.units()) if not read.distrusted]
    found, _ = await look_for(desk, whom, at_hand)
    theirs = {read.state.path: read for _, read, _ in found}.values()
    return [await desk.fresh(read.unit, read.lineage) if read.state.stale else read for read in theirs]


async def _written(desk: Desk, whom: Whom, operation: Operation) -> list[Read]:
    ground = Ground(desk, since=desk.units.now(), kinds_since=desk.units.now() - 300.0)
    for ref in _places(operation):
        try:
            await ground.of(whom, await ground.spot(PlaceRef(kind=ref.kind, id=ref.id)))
        except Blocked:
            continue
    return [read for read in ground.reads.values() if read.unit.name in desk.model.units]


def _places(operation: Operation) -> Iterable[PlaceRef]:
    steps = (step.place for step in operation.plan.steps if step.place is not None)
    return dict.fromkeys((*steps, *operation.plan.already))


def _about(read: Read, whom: Whom) -> Instance:
    """The reading without the records that have nothing to do with the person."""
    instance, mentions = read.instance(), whom.mentions()
    kept = [record for record in instance.records if mentions is None or mentions.within(record)]
    return msgspec.structs.replace(instance, records=kept)


def _theirs(users: Resource, records: Iterable[Record], whom: Whom) -> Record | None:
    records = list(records)
    exact = next((record for record in records if record.key == whom.person().id), None)
    addressed = {address: record for record in records for address in _addresses(record)}
    return (
        exact
        or next((addressed[email] for email in whom.emails if email in addressed), None)
        or _hashed(users, records, whom)
    )


def _hashed(users: Resource, records: list[Record], whom: Whom) -> Record | None:
    ids = {engine.anonymous_id(users, email) for email in whom.emails}
    return next((record for record in records if record.key in ids), None)


def _addresses(record: Record) -> Iterable[str]:
    return (str(each.get("email", "")).lower() for each in record.data.get("emails") or ())


def _assignment(desk: Desk, shaped: list[Shaped], user: Record, operation: Operation) -> dict[str, Any] | None:
    resource = desk.model.resources["role_assignments"]
    ids = {place.id for place in _places(operation)}
    roles = {f"{change.place.kind}:{role}" for change in operation.ask.changes for role in change.roles}
    for record in engine.assemble(desk.model, resource, shaped)[0]:
        data = record.data
        places = {data.get(word) for word in ("group_id", "workspace_id", "organization_id")}
        if data["user_id"] == user.key and places & ids and data["role_id"] in roles:
            return _shown(record)
    return None


# --- groups


async def _group(desk: Desk, operation: Operation) -> dict[str, Any]:
    """The group as its organization lists it, or as it is known by its id."""
    ground, ask = Ground(desk, since=desk.units.now()), operation.ask
    assert ask.group is not None
    if operation.kind == "groups.create":
        record: Any = await found_group(ground, ask)
    else:
        groups = desk.writes.groups
        assert groups is not None
        record = (await ground.spot(PlaceRef(kind=groups.group, id=ask.group.id or ""))).record
    groups_resource = desk.model.resources["groups"]
    unit = next(iter(desk.model.units_of(groups_resource)))
    instance = Instance(unit=unit, path="", lineage={}, records=[record] if record else [])
    found, _ = engine.assemble(desk.model, groups_resource, [shape(groups_resource, instance)])
    return _shown(found[0]) if found else {"id": ask.group.id}
