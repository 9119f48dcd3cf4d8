"""What the shipped mapping makes of lists that a test gives, as the directory has it made."""

from collections.abc import Sequence
from typing import Any

from adapter.declarations import bundled_dir
from adapter.mapping import engine
from adapter.mapping.engine import Record
from adapter.mapping.loading import load_model
from adapter.mapping.shaping import Instance, shape

MODEL = load_model([bundled_dir() / "heroku"])
USERS = MODEL.resources["users"]
ASSIGNMENTS = MODEL.resources["role_assignments"]

PEOPLE = [(f"u{n}", f"p{n}@example.com") for n in range(5)]
TEAMS = [{"id": f"t{n}", "name": f"team-{n}"} for n in range(3)]


def instance(unit: str, path: str, records: Sequence[Any], **lineage: Any) -> Instance:
    return Instance(unit=unit, path=path, lineage=lineage, records=records)


def assembled(instances: Sequence[Instance], name: str = "users") -> tuple[list[Record], list[str]]:
    """As the directory does it: in the order of the units as declared, then of paths."""
    resource = MODEL.resources[name]
    base = MODEL.resources[resource.derived.resource] if resource.derived else resource
    order = MODEL.units_of(resource)
    settled = sorted(instances, key=lambda i: (order.index(i.unit), i.path))
    records, faults = engine.assemble(MODEL, resource, [shape(base, i) for i in settled])
    return records, [fault.reason for fault in faults]


def encoded(instances: Sequence[Instance], name: str = "users") -> bytes:
    return b"\n".join(record.encoded for record in assembled(instances, name)[0])


def member(who: tuple[str, str], role: str | None, name: str | None = None) -> dict[str, Any]:
    return {"id": f"m-{who[0]}", "email": who[1], "role": role, "user": {"id": who[0], "email": who[1], "name": name}}
