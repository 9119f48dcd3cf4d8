"""The cases beside the mapping files: what a provider answers, and the unified records that must come of it.

- name: what the case shows
  units:
    - {unit: team_members, with: {team: {id: …, name: …}}, records: [{…}]}
  inherited: true            # where implied records are asked for
  gives: [{id: …, …}]        # all records, in order; of each, the fields that the case is about
  faults: 1                  # records that can't be read, where the case is about these

A case of the graph gives its nodes and then its edges, each in the order of their ids; the root's own id is `me`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from adapter.declarations import decode, read_yaml
from adapter.errors import DeclarationError
from adapter.mapping import engine
from adapter.mapping.engine import Record
from adapter.mapping.graphs import GraphBuilder
from adapter.mapping.model import GRAPH, WRITES, Model, Resource
from adapter.mapping.schema import Name
from adapter.mapping.shaping import Instance, shape

SUFFIX = ".cases.yaml"
WRITE_CASES = f"{WRITES}{SUFFIX}"


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
    """The resource and path of every cases file but that of writes; an override's directory may have its own."""
    for directory in directories:
        for path in sorted(directory.glob(f"*{SUFFIX}")):
            if path.name != WRITE_CASES:
                yield path.name.removesuffix(SUFFIX), path


def write_case_files(directories: Sequence[Path]) -> list[Path]:
    """The cases of writes in each directory that has any."""
    return [path for directory in directories if (path := directory / WRITE_CASES).is_file()]


def load_cases(path: Path) -> list[Case]:
    return decode(read_yaml(path), CasesFile, str(path)).cases


def run_case(model: Model, resource_name: str, case: Case, file: str) -> list[str]:
    """What differs from what the case says, a line each; nothing where it holds."""
    if resource_name == GRAPH and model.graph:
        return _compared(_drawn(model, case, file), "id", case)
    if resource_name not in model.resources:
        raise DeclarationError(file, "", f"unknown resource `{resource_name}`", sorted(model.resources))
    resource = model.resources[resource_name]
    return _compared(_made(model, resource, case, file), resource.key, case)


def _compared(made: tuple[list[Record], list[str]], key: str, case: Case) -> list[str]:
    records, faults = made
    found = [record.key for record in records]
    wanted = [str(record.get(key)) for record in case.gives]
    if found != wanted:
        return [f"records: expected {wanted}, found {found}"]
    lines = [line for record, want in zip(records, case.gives, strict=True) for line in _differences(record, want)]
    return lines + ([f"faults: expected {case.faults}, found {faults}"] if len(faults) != case.faults else [])


def _made(model: Model, resource: Resource, case: Case, file: str) -> tuple[list[Record], list[str]]:
    base = model.resources[resource.derived.resource] if resource.derived else resource
    return _assembled(
        model, resource, base, _instances(case, set(model.units_of(resource, inherited=True)), file), case
    )


def _instances(case: Case, known: set[str], file: str) -> list[Instance]:
    for i, unit in enumerate(case.units):
        if unit.unit not in known:
            raise DeclarationError(file, f"{case.name}: units[{i}].unit", f"unknown unit `{unit.unit}`", sorted(known))
    return [
        Instance(unit=unit.unit, path=f"/{i}", lineage=unit.with_, records=unit.records)
        for i, unit in enumerate(case.units)
    ]


def _assembled(
    model: Model, resource: Resource, base: Resource, instances: list[Instance], case: Case
) -> tuple[list[Record], list[str]]:
    shaped = [shape(base, instance) for instance in instances]
    records, faults = engine.assemble(model, resource, shaped)
    if case.inherited and resource.inherited:
        above = [instance for instance in instances if instance.unit == resource.inherited.unit]
        records, unreadable = engine.inherit(resource, records, above)
        faults += unreadable
    return records, [fault.reason for fault in faults]


def _drawn(model: Model, case: Case, file: str) -> tuple[list[Record], list[str]]:
    """The graph's nodes and edges as records. A unit that no resource of the graph is made of is a mistake."""
    assert model.graph is not None
    resources = [model.resources[name] for name in model.graph.resources()]
    known = {name for resource in resources for name in model.units_of(resource, inherited=True)}
    instances = _instances(case, known, file)
    collections = {}
    for resource in resources:
        base = model.resources[resource.derived.resource] if resource.derived else resource
        mine = set(model.units_of(resource, inherited=True))
        own = [instance for instance in instances if instance.unit in mine]
        collections[resource.name] = _assembled(model, resource, base, own, case)[0]
    builder = GraphBuilder(model.graph, "me")
    for node in model.graph.nodes:
        builder.add_nodes(node, collections[node.resource])
    for edge in model.graph.edges:
        builder.add_edges(edge, collections[edge.resource])
    nodes = [_record(node.id, node.shown()) for node in builder.nodes()]
    edges = [_record(edge.id, edge.shown()) for edge in builder.edges()]
    return [*sorted(nodes, key=lambda node: node.key), *sorted(edges, key=lambda edge: edge.key)], []


def _record(key: str, data: Mapping[str, Any]) -> Record:
    return Record(key, tuple(data), tuple(data.values()))


def _differences(record: Record, want: dict[str, Any]) -> Iterator[str]:
    for name, value in want.items():
        found = record.remote if name == "remote_data" else record.data.get(name)
        if found != value:
            yield f"{record.key}.{name}: expected {value!r}, found {found!r}"
