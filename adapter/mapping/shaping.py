"""Provider records into fragments: what each of them says of which unified record. Pure: no I/O, no clock.

An instance is a unit's records with their parents; each record, and each object inside one, is read by itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from adapter.mapping.expressions import Expression, ShapeError
from adapter.mapping.model import Resource, Source

_ENCODER = msgspec.json.Encoder()


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One upstream list as it was read: `lineage` names the records that it hangs on."""

    unit: str
    path: str
    lineage: Mapping[str, Any]
    records: Sequence[Any]


class Fragment(msgspec.Struct, kw_only=True):
    """What one provider record says of one unified record; fragments with the same key are merged.

    They are kept by the ten thousands, so names and values apart: a dictionary each would take three times the room.
    """

    key: str | None
    names: tuple[str, ...]
    values: tuple[Any, ...]
    unit: str
    remote: Any
    """The provider's own object; None for what was counted, not listed."""

    @classmethod
    def of(cls, key: str | None, data: Mapping[str, Any], unit: str, remote: Any) -> "Fragment":
        return cls(key=key, names=tuple(data), values=tuple(data.values()), unit=unit, remote=remote)

    @property
    def data(self) -> dict[str, Any]:
        """What is said, by field; put together anew each time."""
        return dict(zip(self.names, self.values, strict=True))


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A provider record that the mapping could not read; it is told as missing, never dropped in silence."""

    unit: str
    path: str
    reason: str


class Shaped(msgspec.Struct, frozen=True, kw_only=True):
    fragments: tuple[Fragment, ...]
    faults: tuple[Fault, ...]


def shape(resource: Resource, instance: Instance) -> Shaped:
    """Every fragment that one unit's records give to a resource, in the order of sources and records."""
    fragments: list[Fragment] = []
    faults: list[Fault] = []
    parents = {f"_{name}": record for name, record in instance.lineage.items()}
    for source in resource.sources:
        if instance.unit in source.units:
            _shape_source(resource, source, instance, parents, fragments, faults)
    _share(fragments)
    return Shaped(fragments=tuple(fragments), faults=tuple(faults))


def _share(fragments: Iterable[Fragment]) -> None:
    """Keep once what many say alike: the members of a team are in the same group and have one of two roles."""
    known: dict[bytes, Any] = {}
    names: dict[tuple[str, ...], tuple[str, ...]] = {}
    for fragment in fragments:
        fragment.names = names.setdefault(fragment.names, fragment.names)
        fragment.values = tuple(
            known.setdefault(_ENCODER.encode(value), value) if isinstance(value, list | dict) else value
            for value in fragment.values
        )


def _shape_source(
    resource: Resource,
    source: Source,
    instance: Instance,
    parents: Mapping[str, Any],
    fragments: list[Fragment],
    faults: list[Fault],
) -> None:
    """Each record, and each object inside one, by itself: what can't be read takes nobody else along."""
    for record, remote in _entries(source, instance):
        try:
            contexts = _contexts(source, record, remote, parents)
        except ShapeError as error:
            faults.append(Fault(unit=instance.unit, path=instance.path, reason=str(error)))
            continue
        for context, origin in contexts:
            try:
                fragments.extend(_shape_context(resource, source, instance.unit, context, origin))
            except ShapeError as error:
                faults.append(Fault(unit=instance.unit, path=instance.path, reason=str(error)))


def _shape_context(
    resource: Resource, source: Source, unit: str, context: dict[str, Any] | None, remote: Any
) -> list[Fragment]:
    if context is None:
        raise ShapeError(f"`{source.items}` holds something else than objects")
    if source.item_where and not is_true(source.item_where(context)):
        return []
    return [fragment_from(resource, source.fields, unit, context, remote)]


def _entries(source: Source, instance: Instance) -> Iterable[tuple[Any, Any]]:
    """The records, each with the object that it shows as `remote_data`: none where a whole unit is counted."""
    if source.whole:
        return [({"records": list(instance.records)}, None)]
    return ((record, record) for record in instance.records)


def _contexts(
    source: Source, record: Any, remote: Any, parents: Mapping[str, Any]
) -> Sequence[tuple[dict[str, Any] | None, Any]]:
    """What the source's fields see: the record, or each object inside it with the record under the name given.

    None stands for what is no object.
    """
    if not isinstance(record, dict):
        raise ShapeError(f"a record is {type(record).__name__}, not an object")
    context = {**record, **parents}
    if source.where and not is_true(source.where(context)):
        return []
    if source.items is None:
        return [(context, remote)]
    items = record.get(source.items) or []
    if not isinstance(items, list):
        raise ShapeError(f"`{source.items}` is {type(items).__name__}, not a list")
    above = {**parents, f"_{source.as_}": record}
    return [({**item, **above} if isinstance(item, dict) else None, {**record, source.items: [item]}) for item in items]


def fragment_from(
    resource: Resource, fields: Mapping[str, Expression], unit: str, context: dict[str, Any], remote: Any
) -> Fragment:
    # Nothing known is the same as nothing said.
    data = {name: value for name, expression in fields.items() if (value := expression(context)) is not None}
    key = data.get(resource.key)
    if key is not None and not isinstance(key, str):
        key = data[resource.key] = str(key)
    return Fragment.of(key or None, data, unit, remote)


def is_true(value: Any) -> bool:
    """JMESPath's own idea of true: everything but null, false and what is empty."""
    return not (value is None or value is False or value in ("", [], {}))
