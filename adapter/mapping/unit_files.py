"""`units.yaml` made ready for work: its units checked against each other, their lineages found, and compiled."""

from collections.abc import Mapping, Sequence
from typing import Any

from adapter.errors import DeclarationError
from adapter.mapping.checking import must_be_known, optional, pair
from adapter.mapping.expressions import compile_expression
from adapter.mapping.model import HOLE, Daily, Proof, Unit
from adapter.mapping.removals import plan_without
from adapter.mapping.schema import ProofDecl, UnitDecl, UnitsFile


def units_from(file: UnitsFile, path: str) -> dict[str, Unit]:
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
            must_be_known(other, known, "unit", path, where)
    names_in_use = {parent for other in known.values() for parent in other.each}
    for word, table in (("unless_among", decl.unless_among), ("when_any", decl.when_any)):
        for parent in table:
            must_be_known(parent, names_in_use, "name", path, f"{at}.{word}")
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
    for hole, _ in HOLE.findall(get):
        must_be_known(hole, names, "name", path, at)
    if set("{}") & set(HOLE.sub("", get)):
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
        where=optional(decl.where, path, f"{at}.where"),
        unless_among=pair(decl.unless_among, path, f"{at}.unless_among"),
        when_any=pair(decl.when_any, path, f"{at}.when_any"),
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
        query=decl.daily.query, back=decl.daily.back, since=optional(decl.daily.since, path, f"{at}.daily.since")
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
