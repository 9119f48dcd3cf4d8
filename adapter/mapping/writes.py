"""What the mapping files declare of writes, checked and compiled. Pure: who holds what, as records show it, and the
calls that would change it; nothing here sends anything.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from adapter.mapping.compiled import false
from adapter.mapping.expressions import Expression, ShapeError
from adapter.mapping.schema import Place
from adapter.mapping.units import HOLE, Unit
from adapter.mapping.write_schema import Guard, State


class _Made(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Entry(_Made, frozen=True, kw_only=True):
    """Somebody in a place, as one record of one unit shows it. `by_sso` None: the provider does not say."""

    place_id: str
    place_name: str | None
    within: str | None
    person_id: str | None
    email: str | None
    name: str | None
    pending: bool
    roles: tuple[str, ...]
    member_id: str | None
    by_sso: bool | None


class People(_Made, frozen=True, kw_only=True):
    """How units show who has what in places of a kind."""

    units: tuple[str, ...]
    where: Expression | None
    items: str | None
    as_: str | None
    item_where: Expression | None
    pending: bool
    only_known: bool
    place: Expression
    place_name: Expression
    within: Expression | None
    person: Expression
    email: Expression
    name: Expression | None
    roles: Expression
    member: Expression | None
    by_sso: Expression | None

    def entries(
        self, records: Sequence[Any], lineage: Mapping[str, Any], mentions: "Mentions | None" = None
    ) -> Iterator[Entry]:
        """Everybody whom a unit's records show; with `mentions`, only in records that name somebody by it.

        ShapeError where a record can't be read: who is in it is not known then.
        """
        parents = {f"_{name}": record for name, record in lineage.items()}
        for record in records:
            if mentions is None or mentions.within(record):
                for context in self._contexts(record, parents):
                    yield self._entry(context)

    def _contexts(self, record: Any, parents: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        if not isinstance(record, dict):
            raise ShapeError(f"a record is {type(record).__name__}, not an object")
        context = {**record, **parents}
        if self.where is not None and false(self.where(context)):
            return
        if self.items is None:
            yield context
            return
        for item in record.get(self.items) or ():
            inner = {**item, **parents, f"_{self.as_}": record}
            if self.item_where is None or not false(self.item_where(inner)):
                yield inner

    def _entry(self, context: Mapping[str, Any]) -> Entry:
        by_sso = self.by_sso(context) if self.by_sso else None
        return Entry(
            place_id=str(self.place(context)),
            place_name=_text(self.place_name(context)),
            within=_text(self.within(context)) if self.within else None,
            person_id=_text(self.person(context)),
            email=_text(self.email(context)),
            name=_text(self.name(context)) if self.name else None,
            pending=self.pending,
            roles=tuple(str(role) for role in self.roles(context) or ()),
            member_id=_text(self.member(context)) if self.member else None,
            by_sso=by_sso if isinstance(by_sso, bool) else None,
        )


class Mentions:
    """Whether a record names somebody by an id or address of theirs: told from its text, before it is taken apart."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = [word.lower() for word in words]

    def within(self, record: Any) -> bool:
        text = msgspec.json.encode(record).decode().lower()
        return any(word in text for word in self._words)


class Condition(_Made, frozen=True, kw_only=True):
    name: str
    place: Expression | None
    read: str | None
    any: Expression | None
    negated: str | None


class Role(_Made, frozen=True, kw_only=True):
    """`admin`: given only where the account's settings allow it; `stands_for_all`: access there is all or nothing."""

    name: str
    when: tuple[str, ...]
    assignable: bool
    way_out: str | None
    admin: bool
    stands_for_all: bool
    reads_secrets: bool


class Already(_Made, frozen=True, kw_only=True):
    status: int
    message: re.Pattern[str] | None


class Call(_Made, frozen=True, kw_only=True):
    """An upstream call, made of a context: the place under its own name, `person`, `roles`, `role`, `name`."""

    name: str
    says: str
    from_: tuple[State, ...]
    to: State
    when: tuple[str, ...]
    method: str
    path: str
    accept: str | None
    body: Mapping[str, Expression]
    scopes: tuple[str, ...]
    already: tuple[Already, ...]
    guards: tuple[Guard, ...]
    way_out: str = ""

    def path_for(self, context: Mapping[str, Any]) -> str:
        return HOLE.sub(lambda hole: quote(str(context[hole[1]][hole[2]]), safe=""), self.path)

    def body_for(self, context: Mapping[str, Any]) -> dict[str, Any] | None:
        return {name: expression(context) for name, expression in self.body.items()} or None

    def says_already(self, status: int, message: str) -> bool:
        """Whether a refusal reads as if what was asked for were so already."""
        return any(
            known.status == status and (known.message is None or known.message.search(message) is not None)
            for known in self.already
        )


class PlaceKind(_Made, frozen=True, kw_only=True):
    """A kind of place. `covers`: the kinds of places inside it, access to which goes with a membership here."""

    name: str
    named: Place
    as_: str
    read: Unit
    within: Mapping[str, Expression]
    covers: tuple[str, ...]
    exclusive: bool
    default: str | None
    roles: Mapping[str, Role]
    keepers: frozenset[str]
    powerless: Expression | None
    returns_by: Expression | None
    listed_by: tuple[str, ...]
    people: tuple[People, ...]
    calls: tuple[Call, ...]

    def ordered(self, roles: frozenset[str]) -> tuple[str, ...]:
        """Roles in the order in which they are declared, unknown ones last."""
        known = list(self.roles)
        return tuple(sorted(roles, key=lambda role: (known.index(role) if role in known else len(known), role)))


class GroupWrites(_Made, frozen=True, kw_only=True):
    group: str
    organization: str
    listed_by: str
    emptied_of: tuple[str, ...]
    calls: Mapping[str, Call]


class Writes(_Made, frozen=True, kw_only=True):
    """Everything that `writes.yaml` declares. Places come in the order in which access to them is to be given."""

    reads: Mapping[str, Unit]
    conditions: Mapping[str, Condition]
    places: Mapping[str, PlaceKind]
    groups: GroupWrites | None

    def call(self, name: str) -> Call:
        """A call by the name that steps know it by: `team.remove`, `groups.create`."""
        kind, _, call = name.partition(".")
        if kind == GROUPS and self.groups:
            return self.groups.calls[call]
        return next(known for known in self.places[kind].calls if known.name == call)

    def units(self) -> tuple[str, ...]:
        """The units that show who holds what anywhere."""
        return tuple(
            dict.fromkeys(unit for kind in self.places.values() for people in kind.people for unit in people.units)
        )


GROUPS = "groups"


def _text(value: Any) -> str | None:
    return str(value) if value not in (None, "") else None
