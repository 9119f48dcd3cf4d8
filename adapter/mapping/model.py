"""The mapping files, read, laid over one another, checked against each other, and compiled: ready for work.

A file that can't be used is refused here, at start: with the file, the path in it, what was found, what is known.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from adapter.declarations import decode, read_yaml
from adapter.errors import DeclarationError
from adapter.mapping.expressions import Expression, compile_expression
from adapter.mapping.graphs import GraphPlan, plan_graph
from adapter.mapping.removals import Removal, Without, plan_removals, plan_without
from adapter.mapping.schema import (
    FieldDecl,
    FilterType,
    InheritRule,
    Method,
    Place,
    ProofDecl,
    ResourceFile,
    SourceDecl,
    UnitDecl,
    UnitsFile,
)

UNITS_FILE = "units.yaml"
GRAPH = "graph"
GRAPH_FILE = f"{GRAPH}.yaml"
OTHER_FILES = frozenset({"provider.yaml", UNITS_FILE})
IMPLYING = ("role_id", "status", "group_id")
"""The fields by which a record is known to imply others."""
_HOLE = re.compile(r"\{([a-z][a-z0-9_]*)\.([a-z][a-z0-9_]*)\}")


class _Made(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Proof(_Made, frozen=True, kw_only=True):
    of: Expression
    by: str
    as_: str
    claimed: Expression
    actual: Expression
    exempt_unit: str | None
    exempt_ids: Expression | None


class Daily(_Made, frozen=True, kw_only=True):
    query: str
    back: int
    since: Expression | None


class Unit(_Made, frozen=True, kw_only=True):
    """One upstream list. `parent` is the name that its record on the way is known by, `lineage` all such names."""

    name: str
    get: str
    single: bool
    parent: str | None
    parents: tuple[str, ...]
    lineage: tuple[str, ...]
    where: Expression | None
    unless_among: tuple[str, Expression] | None
    when_any: tuple[str, Expression] | None
    instead_of: str | None
    order: str | None
    accept: str | None
    scopes: tuple[str, ...]
    places: Mapping[Place, Expression]
    lists: Place | None
    proof: Proof | None
    daily: Daily | None
    without: Mapping[str, Without]

    def path(self, lineage: Mapping[str, Any]) -> str:
        """The path for one chain of parent records: `/teams/<id>/members`."""
        return _HOLE.sub(lambda hole: quote(str(lineage[hole[1]][hole[2]]), safe=""), self.get)


class Source(_Made, frozen=True, kw_only=True):
    units: tuple[str, ...]
    where: Expression | None
    items: str | None
    as_: str | None
    item_where: Expression | None
    whole: bool
    fields: Mapping[str, Expression]


class Derivation(_Made, frozen=True, kw_only=True):
    resource: str
    each: str
    as_: str
    fields: Mapping[str, Expression]


class Rule(_Made, frozen=True, kw_only=True):
    role_id: str
    gives: tuple[str, ...]
    where: Expression | None


class Inheritance(_Made, frozen=True, kw_only=True):
    unit: str
    parent: str
    item: str
    rules: tuple[Rule, ...]
    fields: Mapping[str, Expression]


class Filter(_Made, frozen=True, kw_only=True):
    name: str
    path: Expression
    type: FilterType
    values: tuple[str, ...]
    place: Place | None


class Anonymous(_Made, frozen=True, kw_only=True):
    by: Expression
    prefix: str


class Resource(_Made, frozen=True, kw_only=True):
    name: str
    description: str
    key: str
    methods: tuple[Method, ...]
    id_pattern: re.Pattern[str] | None
    id_form: str | None
    get_place: Place | None
    time: str | None
    """The field that the records of a daily unit are in order of, newest first."""
    anonymous: Anonymous | None
    fields: Mapping[str, FieldDecl]
    records: tuple[Mapping[str, Any], ...]
    sources: tuple[Source, ...]
    derived: Derivation | None
    inherited: Inheritance | None
    filters: Mapping[str, Filter]
    """By name and by alias."""
    search: tuple[Expression, ...]
    sort: tuple[str, ...]
    overridden: bool = False
    """Whether it is one account's own version."""


class Model(_Made, frozen=True, kw_only=True):
    """Everything that the mapping files declare, checked and compiled."""

    units: Mapping[str, Unit]
    resources: Mapping[str, Resource]
    removals: Mapping[str, Removal]
    graph: GraphPlan | None = None

    def units_of(self, resource: Resource, *, inherited: bool = False) -> tuple[str, ...]:
        """The units whose records a resource is made of, in the order of its sources."""
        if resource.derived:
            names = list(self.units_of(self.resources[resource.derived.resource]))
        else:
            names = [name for source in resource.sources for name in source.units]
        if inherited and resource.inherited:
            names.append(resource.inherited.unit)
        return tuple(dict.fromkeys(names))


def load_model(directories: Sequence[Path]) -> Model:
    """The model from a directory of files with overrides laid over it field by field; DeclarationError otherwise."""
    files = _files(directories)
    if UNITS_FILE not in files:
        raise DeclarationError(str(directories[0] / UNITS_FILE), "", "is missing")
    units_data, units_path = files.pop(UNITS_FILE)
    units_decl = decode(units_data, UnitsFile, units_path)
    units = _units(units_decl, units_path)
    graph = files.pop(GRAPH_FILE, None)
    decls = {name: (decode(data, ResourceFile, path), path) for name, (data, path) in files.items()}
    resources = {decl.resource: _resource(name, decl, path, units) for name, (decl, path) in sorted(decls.items())}
    for decl, path in decls.values():
        _check_derivation(decl, path, resources)
    return Model(
        units=units,
        resources=resources,
        removals=plan_removals(units_decl.removals, units_path),
        graph=plan_graph(*graph, resources) if graph else None,
    )


def overlay(base: Any, over: Any) -> Any:
    """`over` laid over `base`: mappings word by word, anything else replaced."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {key: overlay(base.get(key), over[key]) if key in over else base[key] for key in (base | over)}
    return over


def _files(directories: Sequence[Path]) -> dict[str, tuple[dict[str, Any], str]]:
    """File name -> its data after overlays, and the last file that had a say, which errors then name."""
    found: dict[str, tuple[dict[str, Any], str]] = {}
    for directory in directories:
        if not directory.is_dir():
            raise DeclarationError(str(directory), "", "is not a directory of mapping files")
        for path in sorted(directory.glob("*.yaml")):
            if path.name.endswith(".cases.yaml") or (path.name in OTHER_FILES and path.name != UNITS_FILE):
                continue
            data = read_yaml(path)
            base = found[path.name][0] if path.name in found else {}
            found[path.name] = (overlay(base, data), str(path))
    return found


# --- units


def _units(file: UnitsFile, path: str) -> dict[str, Unit]:
    for name, decl in file.units.items():
        _check_unit_names(name, decl, file.units, path)
    lineages = {name: _lineage(name, file.units, path, ()) for name in file.units}
    for name in file.units:
        _check_waiting(name, file.units, path, ())
    units = {name: _unit(name, decl, lineages, file.removals, path) for name, decl in file.units.items()}
    for unit in units.values():
        _check_ways(unit, units, path)
    return units


def _check_unit_names(name: str, decl: UnitDecl, known: Mapping[str, UnitDecl], path: str) -> None:
    at = f"units.{name}"
    references = {f"{at}.each.{parent}": units for parent, units in decl.each.items()}
    if decl.instead_of:
        references[f"{at}.instead_of"] = [decl.instead_of]
    if decl.proof:
        references[f"{at}.proof.by"] = [decl.proof.by]
        if decl.proof.exempt:
            references[f"{at}.proof.exempt.unit"] = [decl.proof.exempt.unit]
    for where, names in references.items():
        for other in names:
            _known(other, known, "unit", path, where)
    names_in_use = {parent for other in known.values() for parent in other.each}
    for word, table in (("unless_among", decl.unless_among), ("when_any", decl.when_any)):
        for parent in table:
            _known(parent, names_in_use, "name", path, f"{at}.{word}")
    if decl.single and (decl.order or decl.each):
        raise DeclarationError(path, f"{at}.single", "a single object has neither `order` nor `each`")


def _lineage(name: str, known: Mapping[str, UnitDecl], path: str, seen: tuple[str, ...]) -> tuple[str, ...]:
    if name in seen:
        raise DeclarationError(path, f"units.{name}.each", f"hangs on itself: {' -> '.join((*seen, name))}")
    decl = known[name]
    for parent, units in decl.each.items():
        above = [_lineage(unit, known, path, (*seen, name)) for unit in units]
        shared = tuple(word for word in above[0] if all(word in other for other in above))
        return (*shared, parent)
    return ()


def _check_waiting(name: str, known: Mapping[str, UnitDecl], path: str, seen: tuple[str, ...]) -> None:
    """A unit is read after those that it hangs on, stands in for, or is chosen by: none may wait for itself."""
    if name in seen:
        raise DeclarationError(path, f"units.{name}", f"waits for itself: {' -> '.join((*seen, name))}")
    decl = known[name]
    chosen_by = {parent for table in (decl.unless_among, decl.when_any) for parent in table}
    awaited = [unit for units in decl.each.values() for unit in units]
    awaited += [unit for other in known.values() for parent in chosen_by for unit in other.each.get(parent, ())]
    awaited += [decl.instead_of] if decl.instead_of else []
    for other in dict.fromkeys(awaited):
        _check_waiting(other, known, path, (*seen, name))


def _check_ways(unit: Unit, known: Mapping[str, Unit], path: str) -> None:
    """The units that are read beside the usual way must find their names there too."""
    at = f"units.{unit.name}"
    if unit.instead_of:
        if known[unit.instead_of].proof is None:
            raise DeclarationError(path, f"{at}.instead_of", f"`{unit.instead_of}` is always trusted: it has no proof")
        for parent in unit.parents:
            _check_holes(known[parent].get, known[unit.instead_of].lineage, path, f"{at}.instead_of")
    if unit.proof:
        _check_holes(known[unit.proof.by].get, (*unit.lineage, unit.proof.as_), path, f"{at}.proof.by")
        if unit.proof.exempt_unit:
            _check_holes(known[unit.proof.exempt_unit].get, unit.lineage, path, f"{at}.proof.exempt.unit")


def _check_holes(get: str, names: Sequence[str], path: str, at: str) -> None:
    for hole, _ in _HOLE.findall(get):
        _known(hole, names, "name", path, at)
    if set("{}") & set(_HOLE.sub("", get)):
        raise DeclarationError(path, at, f"`{get}` has a hole that is not `{{name.field}}`")


def _unit(
    name: str, decl: UnitDecl, lineages: Mapping[str, tuple[str, ...]], removals: Mapping[str, Any], path: str
) -> Unit:
    at = f"units.{name}"
    lineage = lineages[name]
    _check_holes(decl.get, lineage, path, f"{at}.get")
    return Unit(
        name=name,
        get=decl.get,
        single=decl.single,
        parent=next(iter(decl.each), None),
        parents=tuple(unit for units in decl.each.values() for unit in units),
        lineage=lineage,
        where=_optional(decl.where, path, f"{at}.where"),
        unless_among=_pair(decl.unless_among, path, f"{at}.unless_among"),
        when_any=_pair(decl.when_any, path, f"{at}.when_any"),
        instead_of=decl.instead_of,
        order=decl.order,
        accept=decl.accept,
        scopes=tuple(decl.scopes),
        places={place: compile_expression(text, path, f"{at}.places.{place}") for place, text in decl.places.items()},
        lists=decl.lists,
        proof=_proof(decl.proof, path, f"{at}.proof") if decl.proof else None,
        daily=_daily(decl, path, at) if decl.daily else None,
        without=plan_without(decl.without, removals, path, f"{at}.without"),
    )


def _daily(decl: UnitDecl, path: str, at: str) -> Daily:
    assert decl.daily is not None
    for word, there in (("single", decl.single), ("instead_of", decl.instead_of), ("proof", decl.proof)):
        if there:
            raise DeclarationError(path, f"{at}.daily", f"a list of days can't have `{word}`")
    return Daily(
        query=decl.daily.query, back=decl.daily.back, since=_optional(decl.daily.since, path, f"{at}.daily.since")
    )


def _proof(decl: ProofDecl, path: str, at: str) -> Proof:
    return Proof(
        of=compile_expression(decl.of, path, f"{at}.of"),
        by=decl.by,
        as_=decl.as_,
        claimed=compile_expression(decl.claimed, path, f"{at}.claimed"),
        actual=compile_expression(decl.actual, path, f"{at}.actual"),
        exempt_unit=decl.exempt.unit if decl.exempt else None,
        exempt_ids=compile_expression(decl.exempt.ids, path, f"{at}.exempt.ids") if decl.exempt else None,
    )


# --- resources


def _resource(file_name: str, decl: ResourceFile, path: str, units: Mapping[str, Unit]) -> Resource:
    _check_resource(file_name, decl, path)
    return Resource(
        name=decl.resource,
        description=decl.description,
        key=decl.key,
        methods=tuple(decl.methods),
        id_pattern=_pattern(decl.id_pattern, path),
        id_form=decl.id_form,
        get_place=decl.get_place,
        time=_time(decl, path, units),
        anonymous=Anonymous(
            by=compile_expression(decl.anonymous.by, path, "anonymous.by"), prefix=decl.anonymous.prefix
        )
        if decl.anonymous
        else None,
        fields=decl.fields,
        records=tuple(decl.records),
        sources=tuple(_source(s, f"sources[{i}]", decl, path, units) for i, s in enumerate(decl.sources)),
        derived=_derivation(decl, path),
        inherited=_inheritance(decl, path, units),
        filters=_filters(decl, path),
        search=tuple(compile_expression(text, path, f"search[{i}]") for i, text in enumerate(decl.search)),
        sort=tuple(decl.sort),
    )


def _time(decl: ResourceFile, path: str, units: Mapping[str, Unit]) -> str | None:
    """A resource of a daily unit has that one unit, and a time by which its records are filtered and in order."""
    names = [name for source in decl.sources for name in source.unit]
    daily = [name for name in names if name in units and units[name].daily]
    if bool(daily) != bool(decl.time):
        raise DeclarationError(path, "time", "a daily unit and `time` go together")
    if decl.time is None:
        return None
    if len(set(names)) != 1 or decl.methods != ["list"]:
        raise DeclarationError(path, "sources", f"the daily unit `{daily[0]}` stands alone, and is listed only")
    _known(decl.time, decl.fields, "field", path, "time")
    _known(decl.time, decl.filters, "filter", path, "time")
    if decl.fields[decl.time].type != "datetime" or decl.filters[decl.time].type != "datetime":
        raise DeclarationError(path, "time", f"`{decl.time}` is no datetime, as field or as filter")
    return decl.time


def _check_resource(file_name: str, decl: ResourceFile, path: str) -> None:
    if file_name != f"{decl.resource}.yaml":
        raise DeclarationError(path, "resource", f"`{decl.resource}` belongs in {decl.resource}.yaml")
    _known(decl.key, decl.fields, "field", path, "key")
    given = [
        word for word, there in (("sources", decl.sources), ("records", decl.records), ("from", decl.from_)) if there
    ]
    if len(given) != 1:
        raise DeclarationError(path, "", f"has {' and '.join(given) or 'no records'}", ["sources", "records", "from"])
    for i, name in enumerate(decl.sort):
        _known(name, decl.fields, "field", path, f"sort[{i}]")
    for name, field in decl.fields.items():
        _check_field(name, field, path)
    for i, record in enumerate(decl.records):
        for word in record:
            _known(word, decl.fields, "field", path, f"records[{i}]")
        if not isinstance(record.get(decl.key), str):
            raise DeclarationError(path, f"records[{i}].{decl.key}", "the key is missing or no text")


def _check_field(name: str, field: FieldDecl, path: str) -> None:
    at = f"fields.{name}"
    if (field.merge == "rank") != bool(field.rank):
        raise DeclarationError(path, f"{at}.rank", "`merge: rank` and a `rank` list go together")
    if field.merge == "union" and field.type != "array":
        raise DeclarationError(path, f"{at}.merge", f"a {field.type} can't be a union", ["array"])
    if field.merge in {"earliest", "latest"} and field.type != "datetime":
        raise DeclarationError(path, f"{at}.merge", f"a {field.type} can't be the {field.merge}", ["datetime"])
    if field.merge == "any" and field.type != "boolean":
        raise DeclarationError(path, f"{at}.merge", f"a {field.type} can't be `any`", ["boolean"])
    if field.of and field.type not in {"array", "object"}:
        raise DeclarationError(path, f"{at}.of", f"a {field.type} holds nothing", ["array", "object"])
    if field.by and field.merge != "union":
        raise DeclarationError(path, f"{at}.by", "only a union is told apart by a field")


def _source(decl: SourceDecl, at: str, resource: ResourceFile, path: str, units: Mapping[str, Unit]) -> Source:
    for name in decl.unit:
        _known(name, units, "unit", path, f"{at}.unit")
    if bool(decl.items) != bool(decl.as_):
        raise DeclarationError(path, f"{at}.items", "`items` and `as` go together")
    if decl.item_where and not decl.items:
        raise DeclarationError(path, f"{at}.item_where", "there are no `items` to choose among")
    if decl.whole and (decl.items or decl.where):
        raise DeclarationError(path, f"{at}.whole", "a whole unit has neither `items` nor `where`")
    if resource.key not in decl.fields:
        raise DeclarationError(path, f"{at}.fields", f"does not give the key `{resource.key}`")
    return Source(
        units=tuple(decl.unit),
        where=_optional(decl.where, path, f"{at}.where"),
        items=decl.items,
        as_=decl.as_,
        item_where=_optional(decl.item_where, path, f"{at}.item_where"),
        whole=decl.whole,
        fields=_fields(decl.fields, resource.fields, path, f"{at}.fields"),
    )


def _fields(texts: Mapping[str, str], known: Mapping[str, FieldDecl], path: str, at: str) -> dict[str, Expression]:
    for name in texts:
        _known(name, known, "field", path, at)
    return {name: compile_expression(text, path, f"{at}.{name}") for name, text in texts.items()}


def _derivation(decl: ResourceFile, path: str) -> Derivation | None:
    if decl.from_ is None:
        return None
    fields = _fields(decl.from_.fields, decl.fields, path, "from.fields")
    if decl.key not in fields:
        raise DeclarationError(path, "from.fields", f"does not give the key `{decl.key}`")
    return Derivation(resource=decl.from_.resource, each=decl.from_.each, as_=decl.from_.as_, fields=fields)


def _check_derivation(decl: ResourceFile, path: str, resources: Mapping[str, Resource]) -> None:
    if decl.from_ is None:
        return
    with_sources = {name: resource for name, resource in resources.items() if resource.sources}
    _known(decl.from_.resource, with_sources, "resource", path, "from.resource")
    _known(decl.from_.each, with_sources[decl.from_.resource].fields, "field", path, "from.each")


def _inheritance(decl: ResourceFile, path: str, units: Mapping[str, Unit]) -> Inheritance | None:
    if decl.inherited is None:
        return None
    _known(decl.inherited.unit, units, "unit", path, "inherited.unit")
    _known(decl.inherited.parent, units[decl.inherited.unit].lineage, "name", path, "inherited.parent")
    for name in IMPLYING:
        _known(name, decl.fields, "field", path, "inherited")
    if decl.key not in decl.inherited.fields:
        raise DeclarationError(path, "inherited.fields", f"does not give the key `{decl.key}`")
    return Inheritance(
        unit=decl.inherited.unit,
        parent=decl.inherited.parent,
        item=decl.inherited.item,
        rules=tuple(_rule(rule, path, f"inherited.rules[{i}]") for i, rule in enumerate(decl.inherited.rules)),
        fields=_fields(decl.inherited.fields, decl.fields, path, "inherited.fields"),
    )


def _rule(rule: InheritRule, path: str, at: str) -> Rule:
    return Rule(role_id=rule.role_id, gives=tuple(rule.gives), where=_optional(rule.where, path, f"{at}.where"))


def _filters(decl: ResourceFile, path: str) -> dict[str, Filter]:
    made: dict[str, Filter] = {}
    for name, spec in decl.filters.items():
        at = f"filters.{name}"
        compiled = Filter(
            name=name,
            path=compile_expression(spec.path, path, f"{at}.path"),
            type=spec.type,
            values=tuple(spec.values),
            place=spec.place,
        )
        for word in (name, spec.alias):
            if word in made:
                raise DeclarationError(path, at, f"`{word}` already names a filter")
            if word:
                made[word] = compiled
    return made


# --- small checks


def _known(word: str, known: Iterable[str], kind: str, path: str, at: str) -> None:
    if word not in known:
        raise DeclarationError(path, at, f"unknown {kind} `{word}`", sorted(known))


def _optional(text: str | None, path: str, at: str) -> Expression | None:
    return None if text is None else compile_expression(text, path, at)


def _pair(table: Mapping[str, str], path: str, at: str) -> tuple[str, Expression] | None:
    return next(((name, compile_expression(text, path, f"{at}.{name}")) for name, text in table.items()), None)


def _pattern(text: str | None, path: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise DeclarationError(path, "id_pattern", f"is not a regular expression: {error}") from None
