"""Fragments into unified records: merge by key, derive, and add what is implied. Pure: no I/O, no clock.

instances (a unit's records with their parents) -> shape() -> fragments -> assemble() -> records, sorted by key
"""

from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, TypeVar

import msgspec

from adapter.mapping.expressions import ShapeError
from adapter.mapping.merge import merge_field, only_value
from adapter.mapping.model import Derivation, Inheritance, Model, Resource, Rule
from adapter.mapping.shaping import Fault, Fragment, Instance, Shaped, fragment_from, is_true

_ENCODER = msgspec.json.Encoder()
_STEP = 100
"""Records between two steps: some ten milliseconds of work."""

ROOM = 2 * 1024 * 1024
"""Bytes of JSON that are kept beside the records of one list: a large list's are made when they are asked for."""

Result = TypeVar("Result")
Steps = Generator[None, None, Result]


class Room:
    """What is left, in bytes, of the room that the records of one list have for their JSON together."""

    __slots__ = ("left",)

    def __init__(self, left: int = ROOM) -> None:
        self.left = left


class Record:
    """A unified record with the provider's objects that it was built from, and its JSON, kept where there is room.

    There are many of them: what can be put together when it is asked for is not kept.
    """

    __slots__ = ("_encoded", "_names", "_remote", "_room", "_values", "key")

    def __init__(
        self,
        key: str,
        names: Collection[str],
        values: tuple[Any, ...],
        remote: tuple[Any, ...] = (),
        room: Room | None = None,
    ) -> None:
        """`names` of the fields are shared by all records of a resource; `remote` is a unit's name and its object, in
        turn.
        """
        self.key = key
        self._names = names
        self._values = values
        self._remote = remote
        self._room = room
        self._encoded: bytes | None = None

    @property
    def data(self) -> dict[str, Any]:
        """The unified fields."""
        return dict(zip(self._names, self._values, strict=True))

    @property
    def remote(self) -> dict[str, list[Any]]:
        """The provider's objects by unit."""
        found: dict[str, list[Any]] = {}
        for unit, one in zip(self._remote[::2], self._remote[1::2], strict=True):
            found.setdefault(unit, []).append(one)
        return found

    @property
    def encoded(self) -> bytes:
        """The whole record as JSON, `remote_data` last."""
        if self._encoded is not None:
            return self._encoded
        whole = self.data
        whole["remote_data"] = self.remote
        encoded = _ENCODER.encode(whole)
        if self._room is not None and self._room.left >= len(encoded):
            self._room.left -= len(encoded)
            self._encoded = encoded
        return encoded


Assembled = tuple[list[Record], list[Fault]]


# --- assembling


def assemble(
    model: Model, resource: Resource, shaped: Sequence[Shaped], known: Mapping[str, str] | None = None
) -> Assembled:
    """The resource's records, merged by key and sorted by it, and what could not be read.

    `shaped` are the fragments of the units that `model.units_of` names (of the resource that this one is derived
    from, where it is), in a settled order: the same units give the same bytes. `known` tells whose an e-mail address is
    where these units don't: address in lower case -> key.
    """
    return drained(assembling(model, resource, shaped, known))


def assembling(
    model: Model, resource: Resource, shaped: Sequence[Shaped], known: Mapping[str, str] | None = None
) -> Steps[Assembled]:
    """`assemble` in steps of a few milliseconds, for a loop that has others to serve in between."""
    faults = [fault for part in shaped for fault in part.faults]
    source = model.resources[resource.derived.resource] if resource.derived else resource
    fragments = [fragment for part in shaped for fragment in part.fragments]
    yield
    fragments = yield from _with_keys(source, fragments, faults, known or {})
    if resource.derived:
        fragments = yield from _deriving(resource, resource.derived, fragments, faults)
    fragments += [Fragment.of(str(data[resource.key]), data, "", None) for data in resource.records]
    grouped = _by_key(fragments)
    # Each is let go of once its record is made: there is no time at which a large list stands twice.
    del fragments
    records = yield from _merging(resource, grouped)
    return records, faults


def drained(steps: Steps[Result]) -> Result:
    """The result of all steps, taken at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


def merge(resource: Resource, fragments: Sequence[Fragment]) -> list[Record]:
    return drained(_merging(resource, _by_key(fragments)))


def _by_key(fragments: Iterable[Fragment]) -> dict[str, list[Fragment]]:
    grouped: dict[str, list[Fragment]] = {}
    for fragment in fragments:
        assert fragment.key is not None
        grouped.setdefault(fragment.key, []).append(fragment)
    return grouped


def _merging(resource: Resource, grouped: dict[str, list[Fragment]]) -> Steps[list[Record]]:
    """A record of each group; takes the groups away."""
    records = []
    room = Room()
    for key in sorted(grouped):
        records.append(_record(resource, key, grouped.pop(key), room))
        if len(records) % _STEP == 0:
            yield
    return records


def _record(resource: Resource, key: str, parts: Sequence[Fragment], room: Room) -> Record:
    if len(parts) == 1:
        alone = parts[0].data
        values = tuple([only_value(field, alone.get(name)) for name, field in resource.fields.items()])
    else:
        said = [part.data for part in parts]
        values = tuple([merge_field(field, [one.get(name) for one in said]) for name, field in resource.fields.items()])
    remote = tuple(said for part in parts if part.remote is not None for said in (part.unit, part.remote))
    return Record(key, resource.fields, values, remote, room)


def _with_keys(
    resource: Resource, fragments: list[Fragment], faults: list[Fault], elsewhere: Mapping[str, str]
) -> Steps[list[Fragment]]:
    """Fragments without a key join whoever has their e-mail address, or get an id made of it."""
    if all(fragment.key for fragment in fragments):
        return fragments
    own = yield from _addresses(resource, fragments)
    known = {**elsewhere, **own}
    keyed = []
    for fragment in fragments:
        made = fragment if fragment.key else _named(resource, fragment, known)
        if made is None:
            faults.append(Fault(unit=fragment.unit, path="", reason=f"a record has no `{resource.key}`"))
        else:
            keyed.append(made)
    return keyed


def _named(resource: Resource, fragment: Fragment, known: Mapping[str, str]) -> Fragment | None:
    data = fragment.data
    address = _address(resource, data)
    if resource.anonymous is None or address is None:
        return None
    key = known.get(address) or anonymous_id(resource, address)
    return Fragment.of(key, {**data, resource.key: key}, fragment.unit, fragment.remote)


def _addresses(resource: Resource, fragments: Sequence[Fragment]) -> Steps[dict[str, str]]:
    """Whose each e-mail address is; of several, the one whose key comes last, whatever order they are read in."""
    found: dict[str, str] = {}
    for number, fragment in enumerate(fragments, 1):
        address = _address(resource, fragment.data) if fragment.key else None
        if address and fragment.key and fragment.key > found.get(address, ""):
            found[address] = fragment.key
        if number % _STEP == 0:
            yield
    return found


def addresses(resource: Resource, records: Iterable[Record]) -> dict[str, str]:
    """Whose each e-mail address is, of those who have a key of their own: address in lower case -> key."""
    prefix = resource.anonymous.prefix if resource.anonymous else ""
    pairs = ((_address(resource, record.data), record.key) for record in records)
    return {address: key for address, key in pairs if address and not key.startswith(prefix)}


def _address(resource: Resource, data: Mapping[str, Any]) -> str | None:
    if resource.anonymous is None:
        return None
    address = resource.anonymous.by(data)
    return address.strip().lower() if isinstance(address, str) and address.strip() else None


def anonymous_id(resource: Resource, address: str) -> str:
    """The id of somebody known by an e-mail address alone: it does not show the address, and never changes."""
    prefix = resource.anonymous.prefix if resource.anonymous else ""
    return prefix + sha256(address.strip().lower().encode()).hexdigest()[:32]


def find_anonymous(resource: Resource, key: str, records: Iterable[Record]) -> Record | None:
    """The record that an anonymous id goes on leading to once the person is known by a real one."""
    if resource.anonymous is None or not key.startswith(resource.anonymous.prefix):
        return None
    for record in records:
        address = _address(resource, record.data)
        if address and anonymous_id(resource, address) == key:
            return record
    return None


# --- derived and inherited records


def _deriving(
    resource: Resource, derivation: Derivation, fragments: Sequence[Fragment], faults: list[Fault]
) -> Steps[list[Fragment]]:
    derived: list[Fragment] = []
    for number, fragment in enumerate(fragments, 1):
        data = fragment.data
        for item in data.get(derivation.each) or ():
            try:
                derived.append(_derived(resource, derivation, fragment, data, item))
            except ShapeError as error:
                faults.append(Fault(unit=fragment.unit, path="", reason=str(error)))
        if number % _STEP == 0:
            yield
    return derived


def _derived(
    resource: Resource, derivation: Derivation, fragment: Fragment, data: Mapping[str, Any], item: Any
) -> Fragment:
    if not isinstance(item, dict):
        raise ShapeError(f"`{derivation.each}` holds {type(item).__name__}, not objects")
    context = {**item, f"_{derivation.as_}": data}
    made = fragment_from(resource, derivation.fields, fragment.unit, context, fragment.remote)
    if made.key is None:
        raise ShapeError(f"a record has no `{resource.key}`")
    return made


def inherit(resource: Resource, records: Sequence[Record], instances: Sequence[Instance]) -> Assembled:
    """The records together with what they imply elsewhere; what somebody holds by themselves stands as it is."""
    return drained(inheriting(resource, records, instances))


def inheriting(resource: Resource, records: Sequence[Record], instances: Sequence[Instance]) -> Steps[Assembled]:
    """`inherit` in steps."""
    if resource.inherited is None:
        return list(records), []
    implying = _implying(resource.inherited, records)
    made: list[Fragment] = []
    faults: dict[tuple[str, str], Fault] = {}
    for instance in instances:
        for rule, record in implying.get(instance.lineage[resource.inherited.parent]["id"], ()):
            for item in instance.records:
                try:
                    made += _implied(resource, resource.inherited, rule, record, item)
                except ShapeError as error:
                    fault = Fault(unit=instance.unit, path=instance.path, reason=str(error))
                    # One item is unreadable once, however many people it would have concerned.
                    faults[fault.path, fault.reason] = fault
            yield
    held = {record.key for record in records}
    implied = yield from _merging(resource, _by_key(made))
    extra = [record for record in implied if record.key not in held]
    return sorted((*records, *extra), key=lambda record: record.key), list(faults.values())


def _implying(inheritance: Inheritance, records: Iterable[Record]) -> dict[str, list[tuple[Rule, Record]]]:
    """By group: the accepted roles in it that imply something, each with its rule."""
    rule_of = {rule.role_id: rule for rule in inheritance.rules}
    found: dict[str, list[tuple[Rule, Record]]] = {}
    for record in records:
        data = record.data
        rule = rule_of.get(data["role_id"])
        if rule and data["status"] == "active" and data["group_id"]:
            found.setdefault(data["group_id"], []).append((rule, record))
    return found


def _implied(resource: Resource, inheritance: Inheritance, rule: Rule, record: Record, item: Any) -> list[Fragment]:
    if not isinstance(item, dict):
        raise ShapeError(f"a record is {type(item).__name__}, not an object")
    if rule.where and not is_true(rule.where(item)):
        return []
    above = {**record.data, f"_{inheritance.item}": item}
    made = [
        fragment_from(resource, inheritance.fields, inheritance.unit, {**above, "_gives": gives}, item)
        for gives in rule.gives
    ]
    if not all(fragment.key for fragment in made):
        raise ShapeError(f"a record has no `{resource.key}`")
    return made
