"""A small good set of mapping files, and a table of ways to spoil it: what is wrong, where."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import yaml

UNITS: dict[str, Any] = {
    "units": {
        "teams": {"get": "/teams", "order": "id", "lists": "group"},
        "members": {"get": "/teams/{team.id}/members", "each": {"team": ["teams"]}, "places": {"group": "team.id"}},
        "apps": {"get": "/apps"},
        "collaborators": {"get": "/apps/{app.id}/collaborators", "each": {"app": ["apps"]}},
        "permissions": {
            "get": "/teams/{team.id}/permissions",
            "each": {"team": ["teams"]},
            "proof": {"of": "@", "by": "collaborators", "as": "app", "claimed": "users", "actual": "@"},
        },
        "team_apps": {"get": "/teams/{team.id}/apps", "each": {"team": ["teams"]}},
        "team_collaborators": {
            "get": "/apps/{app.id}/collaborators",
            "each": {"app": ["team_apps"]},
            "instead_of": "permissions",
        },
    }
}
PEOPLE: dict[str, Any] = {
    "resource": "people",
    "key": "id",
    "fields": {
        "id": {"type": "string", "always": True},
        "name": {"type": "string"},
        "grants": {"type": "array", "merge": "union"},
        "status": {"type": "string", "merge": "rank", "rank": ["active", "invited"]},
        "seen": {"type": "datetime", "merge": "latest"},
        "is_safe": {"type": "boolean", "merge": "any"},
        "role_id": {"type": "string"},
        "group_id": {"type": "string"},
    },
    "sources": [{"unit": ["members"], "fields": {"id": "user.id", "name": "user.name"}}],
    "filters": {"name": {"path": "name", "alias": "called"}},
    "search": ["name"],
    "sort": ["name"],
}
INHERITED: dict[str, Any] = {
    "unit": "team_apps",
    "parent": "team",
    "item": "app",
    "rules": [{"role_id": "team:admin", "gives": ["view"]}],
    "fields": {"id": "id"},
}

DAILY: dict[str, Any] = {"query": "day", "back": 30}
GRAPH: dict[str, Any] = {
    "root": {"kind": "account", "type": "an_account", "resource": "people"},
    "nodes": [{"kind": "person", "type": "a_person", "resource": "people", "fields": ["status"]}],
    "edges": [{"relationship": "HAS", "resource": "people", "from": {"account": "_root"}, "to": {"person": "id"}}],
    "optional": ["people"],
}

Files = dict[str, Any]


def good() -> Files:
    """File name -> what it says; a fresh copy to be spoilt."""
    copy: Files = msgspec.json.decode(msgspec.json.encode({"units.yaml": UNITS, "people.yaml": PEOPLE}))
    return copy


def put(file: str, path: str, value: Any) -> Callable[[Files], None]:
    """Set what stands at a path of a file; numbers are places in a list."""

    def spoil(files: Files) -> None:
        *above, last = path.split(".")
        at = files[file]
        for step in above:
            at = at[int(step)] if step.isdigit() else at[step]
        at[int(last) if last.isdigit() else last] = value

    return spoil


def drop(file: str, path: str) -> Callable[[Files], None]:
    def spoil(files: Files) -> None:
        *above, last = path.split(".")
        at = files[file]
        for step in above:
            at = at[int(step)] if step.isdigit() else at[step]
        del at[last]

    return spoil


def derived(**words: Any) -> Callable[[Files], None]:
    """People made of another resource instead of from units."""

    def spoil(files: Files) -> None:
        del files["people.yaml"]["sources"]
        files["people.yaml"]["from"] = {
            "resource": "nobody",
            "each": "roles",
            "as": "it",
            "fields": {"id": "id"},
        } | words

    return spoil


def told_daily(unit: dict[str, Any], **words: Any) -> Callable[[Files], None]:
    """People that a list of days tells of."""

    def spoil(files: Files) -> None:
        files["units.yaml"]["units"]["members"] |= {"daily": DAILY} | unit
        files["people.yaml"] |= {"methods": ["list"], "time": "seen"} | words

    return spoil


def drawn(path: str, value: Any) -> Callable[[Files], None]:
    """A graph of people, spoilt at a path."""

    def spoil(files: Files) -> None:
        files["graph.yaml"] = msgspec.json.decode(msgspec.json.encode(GRAPH))
        put("graph.yaml", path, value)(files)

    return spoil


def written(files: Files, directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    for name, content in files.items():
        raw = content if isinstance(content, bytes) else yaml.safe_dump(content, sort_keys=False).encode()
        (directory / name).write_bytes(raw)
    return directory


UNIT_WORDS = [
    "get", "single", "each", "where", "unless_among", "when_any", "instead_of", "order", "accept", "scopes", "places",
    "lists", "proof", "daily", "without",
]  # fmt: skip
PLACES = ["group", "workspace", "organization"]
UNIT_NAMES = sorted(UNITS["units"])
FIELD_NAMES = sorted(PEOPLE["fields"])
U, P, G = "units.yaml", "people.yaml", "graph.yaml"

LEAVING = {"paths": ["/teams/{place}/members/{item}"], "seconds": 5, "goes_by": "[id]"}

# what is wrong, how it comes about, the file, the path in it, what the refusal says, the words that it knows
BAD: list[tuple[str, Callable[[Files], None], str, str, str, list[str] | None]] = [
    ("an unknown word at the top of the units", put(U, "unit", {}), U, "", "unknown word `unit`",
     ["removals", "units"]),
    ("an unknown word in a unit", put(U, "units.teams.gets", "/x"), U, "units.teams", "unknown word `gets`",
     UNIT_WORDS),
    ("an unknown word in a proof", put(U, "units.permissions.proof.off", "x"), U, "units.permissions.proof",
     "unknown word `off`", ["of", "by", "as", "claimed", "actual", "exempt"]),
    ("an unknown word in a proof's exemption", put(U, "units.permissions.proof.exempt", {"unit": "members",
     "idz": "x"}),
     U, "units.permissions.proof.exempt", "unknown word `idz`", ["unit", "ids"]),
    ("an unknown word at the top of a resource", put(P, "colour", "red"), P, "", "unknown word `colour`", None),
    ("an unknown word in a field", put(P, "fields.name.typ", "string"), P, "fields.name", "unknown word `typ`",
     ["type", "always", "description", "of", "merge", "by", "rank"]),
    ("an unknown word in a source", put(P, "sources.0.units", ["members"]), P, "sources[0]", "unknown word `units`",
     ["unit", "where", "items", "as", "item_where", "whole", "fields"]),
    ("an unknown word in a filter", put(P, "filters.name.kind", "text"), P, "filters.name", "unknown word `kind`",
     ["path", "type", "alias", "values", "place"]),
    ("an unknown word in a rule", put(P, "inherited", {**INHERITED, "rules": [{"role": "x", "gives": ["y"]}]}), P,
     "inherited.rules[0]", "unknown word `role`", ["role_id", "gives", "where"]),
    ("no units at all", put(U, "units", []), U, "units", "Expected `object`, got `array`", None),
    ("units missing from their file", drop(U, "units"), U, "", "Object missing required field `units`", None),
    ("a unit without a path", drop(U, "units.teams.get"), U, "units.teams", "Object missing required field `get`",
     None),
    ("a path that is not one", put(U, "units.teams.get", "teams"), U, "units.teams.get",
     r"Expected `str` matching regex '^/[^\\s?#]*$'", None),
    ("a path with a query", put(U, "units.teams.get", "/teams?x=1"), U, "units.teams.get", "Expected `str` matching",
     None),
    ("a path with a hole for nobody", put(U, "units.members.get", "/teams/{app.id}/members"), U, "units.members.get",
     "unknown name `app`", ["team"]),
    ("a hole in a path without parents", put(U, "units.teams.get", "/teams/{team.id}"), U, "units.teams.get",
     "unknown name `team`", []),
    ("a hole without a field", put(U, "units.members.get", "/teams/{team}/members"), U, "units.members.get",
     "has a hole that is not `{name.field}`", None),
    ("half a hole", put(U, "units.members.get", "/teams/team.id}/members"), U, "units.members.get",
     "has a hole that is not `{name.field}`", None),
    ("a unit's name in capitals", put(U, "units.Teams", {"get": "/x"}), U, "units.Teams", "Expected `str` matching",
     None),
    ("an unknown place", put(U, "units.members.places", {"team": "team.id"}), U, "units.members.places.team",
     "unknown word `team`", PLACES),
    ("an unknown kind of list", put(U, "units.teams.lists", "teams"), U, "units.teams.lists", "unknown word `teams`",
     PLACES),
    ("an unknown parent", put(U, "units.members.each", {"team": ["tems"]}), U, "units.members.each.team",
     "unknown unit `tems`", UNIT_NAMES),
    ("no parent where one belongs", put(U, "units.members.each", {"team": []}), U, "units.members.each.team",
     "Expected `array` of length >= 1", None),
    ("two names for the parent", put(U, "units.members.each", {"team": ["teams"], "app": ["apps"]}), U,
     "units.members.each", "Expected `object` of length <= 1", None),
    ("units that hang on each other", put(U, "units.teams.each", {"member": ["members"]}), U, "units.teams.each",
     "hangs on itself: teams -> members -> teams", None),
    ("a unit that hangs on itself", put(U, "units.apps.each", {"app": ["apps"]}), U, "units.apps.each",
     "hangs on itself: apps -> apps", None),
    ("a unit that stands in for itself", put(U, "units.permissions.instead_of", "permissions"), U, "units.permissions",
     "waits for itself: permissions -> permissions", None),
    ("a list chosen by its own records", put(U, "units.teams.when_any", {"team": "team.id"}), U, "units.teams",
     "waits for itself: teams -> teams", None),
    ("a list chosen by what hangs on it", put(U, "units.apps.unless_among", {"app": "app.id"}), U, "units.apps",
     "waits for itself", None),
    ("an unknown unit to stand in for", put(U, "units.team_collaborators.instead_of", "permission"), U,
     "units.team_collaborators.instead_of", "unknown unit `permission`", UNIT_NAMES),
    ("a stand-in for what is always trusted", put(U, "units.team_collaborators.instead_of", "members"), U,
     "units.team_collaborators.instead_of", "`members` is always trusted: it has no proof", None),
    ("a proof by nothing", put(U, "units.permissions.proof.by", "collabs"), U, "units.permissions.proof.by",
     "unknown unit `collabs`", UNIT_NAMES),
    ("a proof whose list needs another name", put(U, "units.permissions.proof.as", "entity"), U,
     "units.permissions.proof.by", "unknown name `app`", ["entity", "team"]),
    ("an exemption that can't be found from there",
     put(U, "units.permissions.proof.exempt", {"unit": "collaborators", "ids": "@"}), U,
     "units.permissions.proof.exempt.unit", "unknown name `app`", ["team"]),
    ("a condition on a name that nothing has", put(U, "units.apps.when_any", {"space": "space.id"}), U,
     "units.apps.when_any", "unknown name `space`", ["app", "team"]),
    ("a single object in an order", put(U, "units.teams.single", True), U, "units.teams.single",
     "a single object has neither `order` nor `each`", None),
    ("an Accept that breaks the line", put(U, "units.teams.accept", "a\nb"), U, "units.teams.accept",
     "Expected `str` matching", None),
    ("a condition that is no text", put(U, "units.members.where", True), U, "units.members.where",
     "Expected `str | null`, got `bool`", None),
    ("a condition that is not JMESPath", put(U, "units.members.where", "team.type =="), U, "units.members.where",
     "is not JMESPath", None),
    ("a place that is not JMESPath", put(U, "units.members.places.group", "team.[id"), U, "units.members.places.group",
     "is not JMESPath", None),
    ("a proof that is not JMESPath", put(U, "units.permissions.proof.claimed", "users["), U,
     "units.permissions.proof.claimed", "is not JMESPath", None),
    ("an unknown key", put(P, "key", "uid"), P, "key", "unknown field `uid`", FIELD_NAMES),
    ("no key", drop(P, "key"), P, "", "Object missing required field `key`", None),
    ("no fields", put(P, "fields", {}), P, "fields", "Expected `object` of length >= 1", None),
    ("a file named after another resource", put(P, "resource", "persons"), P, "resource",
     "`persons` belongs in persons.yaml", None),
    ("an unknown type", put(P, "fields.name.type", "text"), P, "fields.name.type", "unknown word `text`",
     ["string", "boolean", "integer", "datetime", "array", "object"]),
    ("an unknown way to merge", put(P, "fields.grants.merge", "unite"), P, "fields.grants.merge",
     "unknown word `unite`",
     ["first_known", "union", "rank", "any", "earliest", "latest"]),
    ("an unknown method", put(P, "methods", ["list", "fetch"]), P, "methods[1]", "unknown word `fetch`",
     ["list", "get", "create", "update", "delete"]),
    ("no method", put(P, "methods", []), P, "methods", "Expected `array` of length >= 1", None),
    ("a rank without its list", drop(P, "fields.status.rank"), P, "fields.status.rank",
     "`merge: rank` and a `rank` list go together", None),
    ("a list without its rank", drop(P, "fields.status.merge"), P, "fields.status.rank",
     "`merge: rank` and a `rank` list go together", None),
    ("a text that holds something", put(P, "fields.name.of", {"id": "string"}), P, "fields.name.of",
     "a string holds nothing", ["array", "object"]),
    ("a union of texts", put(P, "fields.name.merge", "union"), P, "fields.name.merge", "a string can't be a union",
     ["array"]),
    ("the latest of what is no time", put(P, "fields.name.merge", "latest"), P, "fields.name.merge",
     "a string can't be the latest", ["datetime"]),
    ("the earliest of what is no time", put(P, "fields.name.merge", "earliest"), P, "fields.name.merge",
     "a string can't be the earliest", ["datetime"]),
    ("any of what is neither true nor false", put(P, "fields.name.merge", "any"), P, "fields.name.merge",
     "a string can't be `any`", ["boolean"]),
    ("told apart by a field, but no union", put(P, "fields.name.by", "id"), P, "fields.name.by",
     "only a union is told apart by a field", None),
    ("a source of an unknown unit", put(P, "sources.0.unit", ["member"]), P, "sources[0].unit", "unknown unit `member`",
     UNIT_NAMES),
    ("a source of one unit that is not in a list", put(P, "sources.0.unit", "members"), P, "sources[0].unit",
     "Expected `array`, got `str`", None),
    ("a source that gives an unknown field", put(P, "sources.0.fields.nmae", "name"), P, "sources[0].fields",
     "unknown field `nmae`", FIELD_NAMES),
    ("a source that does not give the key", drop(P, "sources.0.fields.id"), P, "sources[0].fields",
     "does not give the key `id`", None),
    ("`items` without `as`", put(P, "sources.0.items", "users"), P, "sources[0].items",
     "`items` and `as` go together", None),
    ("`as` without `items`", put(P, "sources.0.as", "user"), P, "sources[0].items", "`items` and `as` go together",
     None),
    ("a choice among no items", put(P, "sources.0.item_where", "id"), P, "sources[0].item_where",
     "there are no `items` to choose among", None),
    ("a whole unit with a condition", put(P, "sources.0", {**PEOPLE["sources"][0], "whole": True, "where": "id"}), P,
     "sources[0].whole", "a whole unit has neither `items` nor `where`", None),
    ("an expression that is not JMESPath", put(P, "sources.0.fields.name", "user."), P, "sources[0].fields.name",
     "is not JMESPath", None),
    ("an expression that is empty", put(P, "sources.0.fields.name", "  "), P, "sources[0].fields.name",
     "an expression is expected", None),
    ("an expression that is a number", put(P, "sources.0.fields.name", 7), P, "sources[0].fields.name",
     "Expected `str`, got `int`", None),
    ("an expression that is nothing", put(P, "sources.0.fields.name", None), P, "sources[0].fields.name",
     "Expected `str`, got `null`", None),
    ("an expression that is too long", put(P, "sources.0.fields.name", "a" * 2001), P, "sources[0].fields.name",
     "an expression of 2001 characters is longer than 2000", None),
    ("an expression nested too deeply", put(P, "sources.0.fields.name", "!" * 1999 + "a"), P, "sources[0].fields.name",
     "is not JMESPath", None),
    ("an unknown function", put(P, "sources.0.fields.name", "upper(user.name)"), P, "sources[0].fields.name",
     "unknown function `upper`", None),
    ("an unknown function inside another", put(P, "sources.0.fields.name", "join(':', [upper(name)])"), P,
     "sources[0].fields.name", "unknown function `upper`", None),
    ("a filter that is not JMESPath", put(P, "filters.name.path", "a b"), P, "filters.name.path", "is not JMESPath",
     None),
    ("a filter without a path", drop(P, "filters.name.path"), P, "filters.name",
     "Object missing required field `path`", None),
    ("a filter of an unknown type", put(P, "filters.name.type", "number"), P, "filters.name.type",
     "unknown word `number`",
     ["string", "text", "boolean", "datetime"]),
    ("a filter of an unknown place", put(P, "filters.name.place", "team"), P, "filters.name.place",
     "unknown word `team`",
     PLACES),
    ("an alias that is a filter's name", put(P, "filters.called", {"path": "name"}), P, "filters.called",
     "`called` already names a filter", None),
    ("two filters with one alias", put(P, "filters.other", {"path": "name", "alias": "called"}), P, "filters.other",
     "`called` already names a filter", None),
    ("a search that is not JMESPath", put(P, "search", ["name", "]"]), P, "search[1]", "is not JMESPath", None),
    ("an order by an unknown field", put(P, "sort", ["name", "age"]), P, "sort[1]", "unknown field `age`", FIELD_NAMES),
    ("an id pattern that is no regular expression", put(P, "id_pattern", "(team"), P, "id_pattern",
     "is not a regular expression", None),
    ("an anonymous prefix that is none", put(P, "anonymous", {"by": "name", "prefix": "invitation"}), P,
     "anonymous.prefix", "Expected `str` matching", None),
    ("an anonymous id by what is not JMESPath", put(P, "anonymous", {"by": "[", "prefix": "x:"}), P, "anonymous.by",
     "is not JMESPath", None),
    ("no records", drop(P, "sources"), P, "", "has no records", ["sources", "records", "from"]),
    ("records of two kinds", put(P, "records", [{"id": "a"}]), P, "", "has sources and records", ["sources",
     "records", "from"]),
    ("records made of nothing", derived(resource="nobody"), P, "from.resource", "unknown resource `nobody`", []),
    ("records made of themselves", derived(resource="people"), P, "from.resource", "unknown resource `people`", []),
    ("records made without a key", derived(fields={"name": "id"}), P, "from.fields", "does not give the key `id`",
     None),
    ("inherited from an unknown unit", put(P, "inherited", {**INHERITED, "unit": "x"}), P, "inherited.unit",
     "unknown unit `x`", UNIT_NAMES),
    ("inherited through an unknown parent", put(P, "inherited", {**INHERITED, "parent": "app"}), P, "inherited.parent",
     "unknown name `app`", ["team"]),
    ("inherited by no rule", put(P, "inherited", {**INHERITED, "rules": []}), P, "inherited.rules",
     "Expected `array` of length >= 1", None),
    ("inherited without the key", put(P, "inherited", {**INHERITED, "fields": {"name": "id"}}), P, "inherited.fields",
     "does not give the key `id`", None),
    ("inherited into an unknown field", put(P, "inherited", {**INHERITED, "fields": {"id": "id", "x": "y"}}), P,
     "inherited.fields", "unknown field `x`", FIELD_NAMES),
    ("a list of days that is one object", told_daily({"single": True, "each": {}, "get": "/x"}), U,
     "units.members.daily", "a list of days can't have `single`", None),
    ("a list of days that goes back too far", told_daily({"daily": {"query": "day", "back": 9999}}), U,
     "units.members.daily.back", "Expected `int` <= 366", None),
    ("a removal whose path names no item", put(U, "removals", {"leaving": {**LEAVING, "paths": ["/teams/{place}"]}}), U,
     "removals.leaving.paths[0]", "must name {place} and end in {item}", None),
    ("a removal whose path goes on behind the item", put(U, "removals", {"leaving": {
        **LEAVING, "paths": ["/teams/{place}/members/{item}/x"]}}),
     U, "removals.leaving.paths[0]", "must name {place} and end in {item}", None),
    ("a removal that lasts for ever", put(U, "removals", {"leaving": {**LEAVING, "seconds": 9999}}), U,
     "removals.leaving.seconds", "Expected `int` <= 600", None),
    ("a removal that goes by no expression", put(U, "removals", {"leaving": {**LEAVING, "goes_by": "[id"}}), U,
     "removals.leaving.goes_by", "is not JMESPath", None),
    ("a unit without what nobody removes", put(U, "units.members.without", {"left": {"place": "id", "names": "id"}}), U,
     "units.members.without.left", "unknown removal `left`", []),
    ("days without a time", put(U, "units.members.daily", DAILY), P, "time", "a daily unit and `time` go together",
     None),
    ("a time without days", put(P, "time", "seen"), P, "time", "a daily unit and `time` go together", None),
    ("days whose records can be got", told_daily({}, methods=["list", "get"]), P, "sources",
     "the daily unit `members` stands alone", None),
    ("a time that is no field", told_daily({}, time="x"), P, "time", "unknown field `x`", FIELD_NAMES),
    ("a time without a filter", told_daily({}), P, "time", "unknown filter `seen`", ["name"]),
    ("a time that is a text", told_daily({}, time="name"), P, "time", "`name` is no datetime", None),
    ("an unknown word in a node", drawn("nodes.0.colour", "red"), G, "nodes[0]", "unknown word `colour`",
     ["kind", "type", "shape", "resource", "where", "id", "name", "fields"]),
    ("an unknown resource of a node", drawn("root.resource", "x"), G, "root.resource", "unknown resource `x`",
     ["people"]),
    ("an unknown field of a node", drawn("nodes.0.fields", ["x"]), G, "nodes[0].fields[0]", "unknown field `x`",
     [name for name in FIELD_NAMES if name not in {"id", "name"}]),
    ("a field where a node has its own", drawn("nodes.0.fields", ["name"]), G, "nodes[0].fields[0]",
     "unknown field `name`", [name for name in FIELD_NAMES if name not in {"id", "name"}]),
    ("a relationship in small letters", drawn("edges.0.relationship", "has"), G, "edges[0].relationship",
     "Expected `str` matching regex", None),
    ("an edge to a kind that no node is of", drawn("edges.0.to", {"pet": "id"}), G, "edges[0].to",
     "unknown kind `pet`", ["account", "person"]),
    ("an edge with two ends on one side", drawn("edges.0.from", {"account": "id", "person": "id"}), G,
     "edges[0].from", "Expected `object` of length <= 1", None),
    ("each without a name for the record", drawn("edges.0.each", "grants"), G, "edges[0].each",
     "`each` and `as` go together", None),
    ("an edge for each of what is no field",
     drawn("edges.0", {**GRAPH["edges"][0], "each": "x", "as": "it"}), G, "edges[0].each", "unknown field `x`",
     FIELD_NAMES),
    ("a graph with an expression that is none", drawn("edges.0.where", "a ||"), G, "edges[0].where",
     "is not JMESPath", None),
    ("an optional resource that is not in the graph", drawn("optional", ["x"]), G, "optional[0]",
     "unknown resource `x`", ["people"]),
    ("not YAML", lambda files: files.update({P: b"resource: [people"}), P, "line 1", "is not YAML", None),
    ("a tab where blanks belong", lambda files: files.update({P: b"resource:\n\tpeople"}), P, "line 2",
     "is not YAML", None),
    ("a key twice", lambda files: files.update({P: b"resource: people\nkey: id\nkey: name\n"}), P, "line 3",
     "is not YAML: `key` stands twice", None),
    ("a key twice further in",
     lambda files: files.update({P: b"fields:\n  a: {type: string}\n  a: {type: array}\n"}), P,
     "line 3", "is not YAML: `a` stands twice", None),
    ("a key that YAML takes for a truth", lambda files: files.update({P: b"on: 1\n"}), P, "line 1",
     "is not YAML: the key True is not text", None),
    ("an object of Python's",
     lambda files: files.update({P: b"a: !!python/object/apply:os.system [id]\n"}), P, "line 1",
     "is not YAML: could not determine a constructor", None),
    ("two documents", lambda files: files.update({P: b"a: 1\n---\nb: 2\n"}), P, "line 2", "is not YAML", None),
    ("an empty file", lambda files: files.update({P: b""}), P, "",
     "holds nothing where a mapping of words is expected", None),
    ("a list instead of a mapping", lambda files: files.update({P: b"- a\n"}), P, "",
     "holds a list where a mapping of words is expected", None),
    ("a text instead of a mapping", lambda files: files.update({U: b"units"}), U, "",
     "where a mapping of words is expected", None),
    ("binary", lambda files: files.update({P: b"\x89PNG\r\n\x1a\n\x00\xff"}), P, "", "is not YAML", None),
    ("not UTF-8", lambda files: files.update({P: b"resource: caf\xe9\n"}), P, "", "is not YAML", None),
    ("too large", lambda files: files.update({P: b"#" * (1024 * 1024 + 1)}), P, "",
     "is 1048577 bytes, more than 1048576", None),
    ("nested too deeply", lambda files: files.update({P: b"[" * 20000}), P, "", "is not YAML", None),
    ("holding itself", lambda files: files.update({P: b"fields: &a\n  id: *a\n"}), P, "fields.id",
     "unknown word `id`", None),
    ("no units file", lambda files: files.pop(U), U, "", "is missing", None),
]  # fmt: skip
