"""A resource's file made ready for work: its words checked against the units and fields, and compiled."""

from collections.abc import Mapping

from adapter.errors import DeclarationError
from adapter.mapping.checking import must_be_known, optional, pattern
from adapter.mapping.expressions import Expression, compile_expression
from adapter.mapping.model import Anonymous, Derivation, Filter, Inheritance, Resource, Rule, Source, Unit
from adapter.mapping.schema import FieldDecl, InheritRule, ResourceFile, SourceDecl

IMPLYING = ("role_id", "status", "group_id")
"""The fields by which a record is known to imply others."""


def resource_from(file_name: str, decl: ResourceFile, path: str, units: Mapping[str, Unit]) -> Resource:
    _check_resource(file_name, decl, path)
    return Resource(
        name=decl.resource,
        description=decl.description,
        key=decl.key,
        methods=tuple(decl.methods),
        id_pattern=pattern(decl.id_pattern, path),
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
    must_be_known(decl.time, decl.fields, "field", path, "time")
    must_be_known(decl.time, decl.filters, "filter", path, "time")
    if decl.fields[decl.time].type != "datetime" or decl.filters[decl.time].type != "datetime":
        raise DeclarationError(path, "time", f"`{decl.time}` is no datetime, as field or as filter")
    return decl.time


def _check_resource(file_name: str, decl: ResourceFile, path: str) -> None:
    if file_name != f"{decl.resource}.yaml":
        raise DeclarationError(path, "resource", f"`{decl.resource}` belongs in {decl.resource}.yaml")
    must_be_known(decl.key, decl.fields, "field", path, "key")
    given = [
        word for word, there in (("sources", decl.sources), ("records", decl.records), ("from", decl.from_)) if there
    ]
    if len(given) != 1:
        raise DeclarationError(path, "", f"has {' and '.join(given) or 'no records'}", ["sources", "records", "from"])
    for i, name in enumerate(decl.sort):
        must_be_known(name, decl.fields, "field", path, f"sort[{i}]")
    for name, field in decl.fields.items():
        _check_field(name, field, path)
    for i, record in enumerate(decl.records):
        for word in record:
            must_be_known(word, decl.fields, "field", path, f"records[{i}]")
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
        must_be_known(name, units, "unit", path, f"{at}.unit")
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
        where=optional(decl.where, path, f"{at}.where"),
        items=decl.items,
        as_=decl.as_,
        item_where=optional(decl.item_where, path, f"{at}.item_where"),
        whole=decl.whole,
        fields=_fields(decl.fields, resource.fields, path, f"{at}.fields"),
    )


def _fields(texts: Mapping[str, str], known: Mapping[str, FieldDecl], path: str, at: str) -> dict[str, Expression]:
    for name in texts:
        must_be_known(name, known, "field", path, at)
    return {name: compile_expression(text, path, f"{at}.{name}") for name, text in texts.items()}


def _derivation(decl: ResourceFile, path: str) -> Derivation | None:
    if decl.from_ is None:
        return None
    fields = _fields(decl.from_.fields, decl.fields, path, "from.fields")
    if decl.key not in fields:
        raise DeclarationError(path, "from.fields", f"does not give the key `{decl.key}`")
    return Derivation(resource=decl.from_.resource, each=decl.from_.each, as_=decl.from_.as_, fields=fields)


def check_derivation(decl: ResourceFile, path: str, resources: Mapping[str, Resource]) -> None:
    if decl.from_ is None:
        return
    with_sources = {name: resource for name, resource in resources.items() if resource.sources}
    must_be_known(decl.from_.resource, with_sources, "resource", path, "from.resource")
    must_be_known(decl.from_.each, with_sources[decl.from_.resource].fields, "field", path, "from.each")


def _inheritance(decl: ResourceFile, path: str, units: Mapping[str, Unit]) -> Inheritance | None:
    if decl.inherited is None:
        return None
    must_be_known(decl.inherited.unit, units, "unit", path, "inherited.unit")
    must_be_known(decl.inherited.parent, units[decl.inherited.unit].lineage, "name", path, "inherited.parent")
    for name in IMPLYING:
        must_be_known(name, decl.fields, "field", path, "inherited")
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
    return Rule(role_id=rule.role_id, gives=tuple(rule.gives), where=optional(rule.where, path, f"{at}.where"))


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
