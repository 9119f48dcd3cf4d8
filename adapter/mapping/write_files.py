"""`writes.yaml` made ready for work: its words checked against the units and each other, and compiled."""

import re
import string
from collections.abc import Iterable, Mapping, Sequence

from adapter.errors import DeclarationError
from adapter.mapping.checking import must_be_known, optional
from adapter.mapping.expressions import compile_expression
from adapter.mapping.units import HOLE, Unit
from adapter.mapping.write_schema import (
    AlreadyDecl,
    CallDecl,
    ConditionDecl,
    GroupCallDecl,
    GroupsDecl,
    PeopleDecl,
    PlaceDecl,
    ReadDecl,
    WritesFile,
)
from adapter.mapping.writes import GROUPS, Already, Call, Condition, GroupWrites, People, PlaceKind, Role, Writes

PERSON = {"id", "email", "key"}
"""What a path may name a person by; `key` is the id, or the address where that is all that is known."""
SAYS = {"person", "place", "roles", "name"}


def writes_from(file: WritesFile, path: str, units: Mapping[str, Unit]) -> Writes:
    """The declared writes; DeclarationError shows the fault."""
    names = {kind.as_ for kind in file.places.values()}
    reads = {name: _read(name, decl, names, path) for name, decl in file.reads.items()}
    for name, condition in file.conditions.items():
        _check_condition(name, condition, file, path)
    return Writes(
        reads=reads,
        conditions={name: _condition(name, decl, path) for name, decl in file.conditions.items()},
        places={name: _place(name, decl, file, path, units, reads) for name, decl in file.places.items()},
        groups=_groups(file.groups, file, path, units) if file.groups else None,
    )


# --- what is read, and conditions


def _read(name: str, decl: ReadDecl, names: set[str], path: str) -> Unit:
    at = f"reads.{name}.get"
    holes = [hole for hole, _ in HOLE.findall(decl.get)]
    for hole in holes:
        must_be_known(hole, names, "name", path, at)
    return Unit(
        name=name,
        get=decl.get,
        single=decl.single,
        parent=None,
        parents=(),
        lineage=tuple(holes),
        where=None,
        unless_among=None,
        when_any=None,
        instead_of=None,
        order=decl.order,
        accept=decl.accept,
        scopes=tuple(decl.scopes),
        places={},
        lists=None,
        proof=None,
        daily=None,
        without={},
    )


def _check_condition(name: str, decl: ConditionDecl, file: WritesFile, path: str) -> None:
    at = f"conditions.{name}"
    given = [word for word, there in (("place", decl.place), ("read", decl.read), ("not", decl.not_)) if there]
    if len(given) != 1:
        raise DeclarationError(path, at, f"has {' and '.join(given) or 'nothing'} to go by", ["place", "read", "not"])
    if bool(decl.read) != bool(decl.any):
        raise DeclarationError(path, f"{at}.any", "`read` and `any` go together")
    if decl.read:
        must_be_known(decl.read, file.reads, "read", path, f"{at}.read")
    if decl.not_:
        others = [other for other, known in file.conditions.items() if not known.not_]
        must_be_known(decl.not_, others, "condition", path, f"{at}.not")


def _condition(name: str, decl: ConditionDecl, path: str) -> Condition:
    return Condition(
        name=name,
        place=optional(decl.place, path, f"conditions.{name}.place"),
        read=decl.read,
        any=optional(decl.any, path, f"conditions.{name}.any"),
        negated=decl.not_,
    )


def _check_conditions(names: Iterable[str], file: WritesFile, path: str, at: str) -> None:
    for name in names:
        must_be_known(name, file.conditions, "condition", path, f"{at}.when")


# --- places


def _place(
    name: str, decl: PlaceDecl, file: WritesFile, path: str, units: Mapping[str, Unit], reads: Mapping[str, Unit]
) -> PlaceKind:
    at = f"places.{name}"
    _check_place(decl, file, path, at)
    for unit in decl.listed_by:
        must_be_known(unit, units, "unit", path, f"{at}.listed_by")
    return PlaceKind(
        name=name,
        named=decl.named,
        as_=decl.as_,
        read=reads[decl.read],
        within={word: compile_expression(text, path, f"{at}.within.{word}") for word, text in decl.within.items()},
        covers=tuple(decl.covers),
        exclusive=decl.holds == "one",
        default=decl.default,
        roles=_roles(decl, file, path, at),
        keepers=frozenset(decl.keepers),
        powerless=optional(decl.powerless, path, f"{at}.powerless"),
        returns_by=optional(decl.returns_by, path, f"{at}.returns_by"),
        listed_by=tuple(decl.listed_by),
        people=tuple(_people(each, path, f"{at}.people[{i}]", units) for i, each in enumerate(decl.people)),
        calls=tuple(_call(word, each, decl, file, path, f"{at}.calls.{word}") for word, each in decl.calls.items()),
    )


def _check_place(decl: PlaceDecl, file: WritesFile, path: str, at: str) -> None:
    must_be_known(decl.read, file.reads, "read", path, f"{at}.read")
    if not file.reads[decl.read].single:
        raise DeclarationError(path, f"{at}.read", f"`{decl.read}` is no single object")
    for word in decl.within:
        must_be_known(word, [other.as_ for other in file.places.values()], "name", path, f"{at}.within")
    for kind in decl.covers:
        must_be_known(kind, file.places, "place", path, f"{at}.covers")
    for role in (*decl.keepers, *([decl.default] if decl.default else ())):
        must_be_known(role, decl.roles, "role", path, f"{at}.keepers" if role in decl.keepers else f"{at}.default")
    if all(people.only_known for people in decl.people):
        raise DeclarationError(path, f"{at}.people", "none of these can be read for one place")


def _roles(decl: PlaceDecl, file: WritesFile, path: str, at: str) -> dict[str, Role]:
    made = {}
    for name, role in decl.roles.items():
        _check_conditions(role.when, file, path, f"{at}.roles.{name}")
        made[name] = Role(
            name=name,
            when=tuple(role.when),
            assignable=role.assignable,
            way_out=role.way_out,
            admin=role.admin,
            stands_for_all=role.stands_for_all,
            reads_secrets=role.reads_secrets,
        )
    return made


def _people(decl: PeopleDecl, path: str, at: str, units: Mapping[str, Unit]) -> People:
    for name in decl.unit:
        must_be_known(name, units, "unit", path, f"{at}.unit")
    if bool(decl.items) != bool(decl.as_):
        raise DeclarationError(path, f"{at}.items", "`items` and `as` go together")
    if decl.item_where and not decl.items:
        raise DeclarationError(path, f"{at}.item_where", "there are no `items` to choose among")
    return People(
        units=tuple(decl.unit),
        where=optional(decl.where, path, f"{at}.where"),
        items=decl.items,
        as_=decl.as_,
        item_where=optional(decl.item_where, path, f"{at}.item_where"),
        pending=decl.pending,
        only_known=decl.only_known,
        place=compile_expression(decl.place, path, f"{at}.place"),
        place_name=compile_expression(decl.place_name, path, f"{at}.place_name"),
        within=optional(decl.within, path, f"{at}.within"),
        person=compile_expression(decl.person, path, f"{at}.person"),
        email=compile_expression(decl.email, path, f"{at}.email"),
        name=optional(decl.name, path, f"{at}.name"),
        roles=compile_expression(decl.roles, path, f"{at}.roles"),
        member=optional(decl.member, path, f"{at}.member"),
        by_sso=optional(decl.by_sso, path, f"{at}.by_sso"),
    )


# --- calls


def _call(name: str, decl: CallDecl, place: PlaceDecl, file: WritesFile, path: str, at: str) -> Call:
    _check_conditions(decl.when, file, path, at)
    _check_holes(decl.path, {place.as_, *place.within}, path, f"{at}.path")
    if "last_admin" in decl.guards and not place.keepers:
        raise DeclarationError(path, f"{at}.guards", "`last_admin` needs the place's `keepers`")
    if decl.to in decl.from_ and decl.to == "none":
        raise DeclarationError(path, f"{at}.to", "leads nowhere")
    return Call(
        name=name,
        says=_says(decl.says, path, at),
        from_=tuple(decl.from_),
        to=decl.to,
        when=tuple(decl.when),
        method=decl.method,
        path=decl.path,
        accept=decl.accept,
        body={word: compile_expression(text, path, f"{at}.body.{word}") for word, text in decl.body.items()},
        scopes=tuple(decl.scopes),
        already=_already(decl.already, path, at),
        guards=tuple(decl.guards),
    )


def _check_holes(text: str, names: set[str], path: str, at: str) -> None:
    for hole, field in HOLE.findall(text):
        must_be_known(hole, {*names, "person"}, "name", path, at)
        if hole == "person":
            must_be_known(field, PERSON, "field of a person", path, at)
    if set("{}") & set(HOLE.sub("", text)):
        raise DeclarationError(path, at, f"`{text}` has a hole that is not `{{name.field}}`")


def _says(text: str, path: str, at: str) -> str:
    try:
        holes = [hole for _, hole, _, _ in string.Formatter().parse(text) if hole is not None]
    except ValueError as error:
        raise DeclarationError(path, f"{at}.says", f"can't be filled in: {error}") from None
    for hole in holes:
        must_be_known(hole, SAYS, "name", path, f"{at}.says")
    return text


def _already(decls: Sequence[AlreadyDecl], path: str, at: str) -> tuple[Already, ...]:
    try:
        return tuple(
            Already(status=decl.status, message=re.compile(decl.message, re.IGNORECASE) if decl.message else None)
            for decl in decls
        )
    except re.error as error:
        raise DeclarationError(path, f"{at}.already", f"is not a regular expression: {error}") from None


# --- groups


def _groups(decl: GroupsDecl, file: WritesFile, path: str, units: Mapping[str, Unit]) -> GroupWrites:
    for word in ("group", "organization"):
        must_be_known(getattr(decl, word), file.places, "place", path, f"{GROUPS}.{word}")
    for name in (decl.listed_by, *decl.emptied_of):
        must_be_known(name, units, "unit", path, GROUPS)
    return GroupWrites(
        group=decl.group,
        organization=decl.organization,
        listed_by=decl.listed_by,
        emptied_of=tuple(decl.emptied_of),
        calls={name: _group_call(name, each, decl, file, path) for name, each in decl.calls.items()},
    )


def _group_call(name: str, decl: GroupCallDecl, groups: GroupsDecl, file: WritesFile, path: str) -> Call:
    at = f"{GROUPS}.calls.{name}"
    _check_conditions(decl.when, file, path, at)
    _check_holes(decl.path, {file.places[groups.group].as_, file.places[groups.organization].as_}, path, f"{at}.path")
    return Call(
        name=name,
        says=_says(decl.says, path, at),
        from_=("none",),
        to="none",
        when=tuple(decl.when),
        method=decl.method,
        path=decl.path,
        accept=None,
        body={word: compile_expression(text, path, f"{at}.body.{word}") for word, text in decl.body.items()},
        scopes=tuple(decl.scopes),
        already=_already(decl.already, path, at),
        guards=tuple(decl.guards),
        way_out=decl.way_out,
    )
