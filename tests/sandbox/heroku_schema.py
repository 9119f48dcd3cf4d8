"""Heroku's published hyper-schema, to hold answers against. It lies outside the repository, where it is at hand."""

from __future__ import annotations

import json
import os
import re
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import pytest
from jsonschema import Draft4Validator, FormatChecker

PATH = Path(os.environ.get("HEROKU_SCHEMA") or Path(__file__).parents[3] / "shared" / "heroku-schema.json")

needed = pytest.mark.skipif(not PATH.is_file(), reason="Heroku's schema is not at hand (HEROKU_SCHEMA names it)")

# Where the schema contradicts itself or the recorded API.
VIEWER = "viewer"  # may be written as a role and is missing from the roles that are read

formats = FormatChecker(formats=())


@formats.checks("uuid", raises=ValueError)
def _is_uuid(value: object) -> bool:
    return not isinstance(value, str) or bool(UUID(value))


@formats.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@formats.checks("email")
def _is_email(value: object) -> bool:
    return not isinstance(value, str) or re.fullmatch(r"[^@\s]+@[^@\s]+", value) is not None


@cache
def schema() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(PATH.read_text())
    for noun in ("team", "team-member", "collaborator"):
        role = loaded["definitions"][noun]["definitions"].get("role")
        if role and "enum" in role:
            role["enum"].append(VIEWER)
    _forbid_more(loaded)
    return loaded


def _forbid_more(node: Any) -> None:
    """`strictProperties` is a word of this hyper-schema's own: nothing but the properties that are named."""
    if isinstance(node, dict):
        if node.get("strictProperties") is True and "properties" in node:
            node.setdefault("additionalProperties", False)
        for child in node.values():
            _forbid_more(child)
    elif isinstance(node, list):
        for child in node:
            _forbid_more(child)


@cache
def _links() -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Links by method and path, every parameter written `{}`."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for definition in schema()["definitions"].values():
        for link in definition.get("links", []):
            path = re.sub(r"\{[^}]*\}", "{}", unquote(re.sub(r"\{[^}]*\}", "{}", link["href"])))
            found.setdefault((link["method"], path), []).append(link)
    return found


def links_of(method: str, template: str) -> list[dict[str, Any]]:
    """The links of a route, whose template may name a parameter where the schema has a literal `~`."""
    path = re.sub(r"\{[^}]*\}", "{}", template)
    return _links().get((method, path), [])


def target(link: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of a link's answer, able to resolve its references."""
    if "targetSchema" not in link:
        return None
    return {"definitions": schema()["definitions"]} | dict(link["targetSchema"])


def faults(link: dict[str, Any], answer: object) -> list[str]:
    wanted = target(link)
    if wanted is None:
        return []
    # A sibling of `$ref` is ignored in this draft, and the root keeps the definitions within reach.
    reachable = {"definitions": wanted.pop("definitions"), "allOf": [wanted]}
    validator = Draft4Validator(reachable, format_checker=formats)
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(answer)]


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        found: Any = schema()
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        node = found
    return node


def missing(node: dict[str, Any], answer: Any, path: str = "") -> set[str]:
    """Properties that the schema names and an answer leaves out: Heroku's records are complete."""
    node = resolve(node)
    if isinstance(answer, list):
        return {name for item in answer for name in missing(node.get("items", {}), item, f"{path}[]")}
    if not isinstance(answer, dict) or "properties" not in node:
        return set()
    absent = {f"{path}.{name}" for name in node["properties"] if name not in answer}
    for name, child in node["properties"].items():
        absent |= missing(child, answer.get(name), f"{path}.{name}")
    return absent
