"""One account's own expressions for fields: `{"users": {"fields": {"name": "email"}}}`.

An override replaces what a resource's fields are read with, and nothing else. Its expression is evaluated for each
record of every list that the resource is made of; null says that a record tells nothing, as ever. A record that it
can't read, or that costs it too much, is told as missing. What other resources are made of stays as the mapping has it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from cachetools import LRUCache

from adapter.errors import DeclarationError, InvalidBody, Unprocessable
from adapter.mapping.expressions import MAX_CHARS, compile_expression
from adapter.mapping.metered import Metered, Tank
from adapter.mapping.model import Model, Resource

WORD = "unified_model_override"
MAX_BYTES = 16 * 1024
MAX_FIELDS = 64
MAX_DEPTH = 32
"""Levels of an expression's tree."""
_MODELS = 512

Texts = Mapping[str, Mapping[str, str]]
"""Resource -> field -> expression."""


def checked_override(model: Model, given: Any) -> None:
    """InvalidBody says where an override can't be used, why, and what is known there."""
    size = len(msgspec.json.encode(given))
    if size > MAX_BYTES:
        raise _refused(WORD, f"is {size} bytes as JSON", f"at most {MAX_BYTES}")
    texts = _texts(model, given)
    count = sum(map(len, texts.values()))
    if count > MAX_FIELDS:
        raise _refused(WORD, f"overrides {count} fields", f"at most {MAX_FIELDS}")
    for resource, fields in texts.items():
        for name, text in fields.items():
            _check(text, f"{WORD}.{resource}.fields.{name}")


class Overrides:
    """The resources of a model as accounts have them for themselves, compiled once for each override."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._made: LRUCache[bytes, Mapping[str, Resource]] = LRUCache(_MODELS)

    def of(self, resource: Resource, given: Mapping[str, Any] | None) -> Resource:
        """The resource as an account's override has it; Unprocessable where that no longer fits the mapping."""
        if not given or resource.name not in given:
            return resource
        key = hashlib.sha256(msgspec.json.encode(given, order="deterministic")).digest()
        resources = self._made.get(key)
        if resources is None:
            resources = self._made[key] = self._compiled(given)
        return resources[resource.name]

    def _compiled(self, given: Mapping[str, Any]) -> Mapping[str, Resource]:
        try:
            checked_override(self._model, given)
        except InvalidBody as error:
            raise Unprocessable(
                f"The account's override no longer fits the mapping: {error.message} Replace it, or send null.",
                details=error.details,
            ) from None
        texts = _texts(self._model, given)
        return {name: _overridden(self._model.resources[name], fields) for name, fields in texts.items()}


def _overridden(resource: Resource, texts: Mapping[str, str]) -> Resource:
    """The resource with these expressions in place of its own, in every source."""
    sources = tuple(
        msgspec.structs.replace(source, fields={**source.fields, **_metered(resource, texts)})
        for source in resource.sources
    )
    derived = resource.derived
    if derived is not None:
        derived = msgspec.structs.replace(derived, fields={**derived.fields, **_metered(resource, texts)})
    return msgspec.structs.replace(resource, sources=sources, derived=derived, overridden=True)


def _metered(resource: Resource, texts: Mapping[str, str]) -> dict[str, Metered]:
    tank = Tank()
    return {name: Metered(text, resource.fields[name], tank) for name, text in texts.items()}


# --- checking


def _texts(model: Model, given: Any) -> dict[str, Mapping[str, str]]:
    resources = _objects(given, WORD, "an object of resources")
    known = {name: resource for name, resource in model.resources.items() if resource.sources or resource.derived}
    texts: dict[str, Mapping[str, str]] = {}
    for name, body in resources.items():
        _known(name, known, "resource", WORD)
        words = _objects(body, f"{WORD}.{name}", "an object with `fields`")
        for word in words:
            _known(word, ("fields",), "word", f"{WORD}.{name}")
        texts[name] = _fields(known[name], words.get("fields", {}), f"{WORD}.{name}.fields")
    return texts


def _fields(resource: Resource, given: Any, at: str) -> Mapping[str, str]:
    fields = _objects(given, at, "an object of expressions")
    for name, text in fields.items():
        _known(name, set(resource.fields) - {resource.key}, "field", at)
        if not isinstance(text, str):
            raise _refused(f"{at}.{name}", "is no text", "a JMESPath expression")
    return fields


def _check(text: str, at: str) -> None:
    try:
        expression = compile_expression(text, "", at)
    except DeclarationError as error:
        expected = ", ".join(error.known) if error.known else f"a JMESPath expression of at most {MAX_CHARS} characters"
        raise _refused(at, error.found, expected) from None
    if expression.depth > MAX_DEPTH:
        raise _refused(at, f"is {expression.depth} levels deep", f"at most {MAX_DEPTH}")


def _objects(given: Any, at: str, expected: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise _refused(at, "is no object", expected)
    return given


def _known(word: str, known: Iterable[str], kind: str, at: str) -> None:
    if word not in known:
        raise _refused(f"{at}.{word}", f"is an unknown {kind}", ", ".join(sorted(known)))


def _refused(where: str, what: str, expected: str) -> InvalidBody:
    return InvalidBody(
        f"`{where}` {what}; expected: {expected}.", details=[{"where": where, "what": what, "expected": expected}]
    )
