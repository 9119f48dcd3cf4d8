"""The cases beside the mapping files: what a provider answers, and the unified records that must come of it.

- name: what the case shows
  units:
    - {unit: team_members, with: {team: {id: …, name: …}}, records: [{…}]}
  inherited: true            # where implied records are asked for
  gives: [{id: …, …}]        # all records, in order; of each, the fields that the case is about
  faults: 1                  # records that can't be read, where the case is about these
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from adapter.declarations import decode, read_yaml
from adapter.errors import DeclarationError
from adapter.mapping import engine
from adapter.mapping.engine import Instance, Record
from adapter.mapping.model import Model, Resource
from adapter.mapping.schema import Name

SUFFIX = ".cases.yaml"


class CaseUnit(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    unit: Name
    with_: dict[Name, dict[str, Any]] = msgspec.field(name="with", default={})
    records: list[Any]


class Case(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    name: str
    units: list[CaseUnit] = []
    inherited: bool = False
    gives: list[dict[str, Any]]
    faults: int = 0


class CasesFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    cases: Annotated[list[Case], msgspec.Meta(min_length=1)]


def case_files(directories: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """The resource and path of every cases file; an override's directory may have its own."""
    for directory in directories:
        for path in sorted(directory.glob(f"*{SUFFIX}")):
            yield path.name.removesuffix(SUFFIX), path


def load_cases(path: Path) -> list[Case]:
    return decode(read_yaml(path), CasesFile, str(path)).cases


def run_case(model: Model, resource_name: str, case: Case, file: str) -> list[str]:
    """What differs from what the case says, a line each; nothing where it holds."""
    if resource_name not in model.resources:
        raise DeclarationError(file, "", f"unknown resource `{resource_name}`", sorted(model.resources))
    resource = model.resources[resource_name]
    records, faults = _made(model, resource, case, file)
    found = [record.key for record in records]
    wanted = [str(record.get(resource.key)) for record in case.gives]
    if found != wanted:
        return [f"records: expected {wanted}, found {found}"]
    lines = [line for record, want in zip(records, case.gives, strict=True) for line in _differences(record, want)]
    return lines + ([f"faults: expected {case.faults}, found {faults}"] if len(faults) != case.faults else [])


def _made(model: Model, resource: Resource, case: Case, file: str) -> tuple[list[Record], list[str]]:
    base = model.resources[resource.derived.resource] if resource.derived else resource
    known = set(model.units_of(resource, inherited=True))
    for i, unit in enumerate(case.units):
        if unit.unit not in known:
            raise DeclarationError(file, f"{case.name}: units[{i}].unit", f"unknown unit `{unit.unit}`", sorted(known))
    instances = [
        Instance(unit=unit.unit, path=f"/{i}", lineage=unit.with_, records=unit.records)
        for i, unit in enumerate(case.units)
    ]
    shaped = [engine.shape(base, instance) for instance in instances]
    records, faults = engine.assemble(model, resource, shaped)
    if case.inherited and resource.inherited:
        above = [instance for instance in instances if instance.unit == resource.inherited.unit]
        records = engine.inherit(resource, records, above)
    return records, [fault.reason for fault in faults]


def _differences(record: Record, want: dict[str, Any]) -> Iterator[str]:
    for name, value in want.items():
        found = record.remote if name == "remote_data" else record.data.get(name)
        if found != value:
            yield f"{record.key}.{name}: expected {value!r}, found {found!r}"
