"""What of `writes.yaml` is refused at start, and where the refusal points."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapter.declarations import bundled_dir, read_yaml
from adapter.errors import DeclarationError
from adapter.mapping.loading import load_model
from adapter.mapping.writes import Writes

SHIPPED = bundled_dir() / "heroku"
GOOD = read_yaml(SHIPPED / "writes.yaml")


def loaded(tmp_path: Path, data: dict[str, Any] | None) -> Writes | None:
    """The shipped units with these writes."""
    (tmp_path / "units.yaml").write_text((SHIPPED / "units.yaml").read_text())
    if data is not None:
        (tmp_path / "writes.yaml").write_text(yaml.safe_dump(data))
    return load_model([tmp_path]).writes


def test_what_is_spoilt_below_is_good(tmp_path: Path) -> None:
    writes = loaded(tmp_path, GOOD)

    assert writes is not None
    assert [kind.name for kind in writes.places.values()] == list(yaml.safe_load(yaml.safe_dump(GOOD))["places"])
    assert writes.call("team.remove").method == "DELETE"
    assert writes.call("groups.create").body["name"].text == "name"


def test_a_provider_without_the_file_is_only_read(tmp_path: Path) -> None:
    assert loaded(tmp_path, None) is None


def at(data: dict[str, Any], path: str) -> Any:
    found: Any = data
    for word in path.split("."):
        found = found[int(word)] if isinstance(found, list) else found[word]
    return found


def put(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def spoil(data: dict[str, Any]) -> None:
        above, _, word = path.rpartition(".")
        (at(data, above) if above else data)[word] = value

    return spoil


REMOVE, OPEN, INVITES = "places.team.calls.remove", "conditions.all_or_nothing", "conditions.takes_invitations"
BAD: list[tuple[Callable[[dict[str, Any]], None], str, str]] = [
    (put("places.team.colour", "red"), "places.team", "unknown word"),
    (put("places.team.holds", "some"), "places.team.holds", "unknown word"),
    (put("places.team.read", "nothing"), "places.team.read", "unknown read"),
    (put("places.team.read", "team_features"), "places.team.read", "no single object"),
    (put("places.team.covers", ["planet"]), "places.team.covers", "unknown place"),
    (put("places.team.keepers", ["king"]), "places.team.keepers", "unknown role"),
    (put("places.team.default", "king"), "places.team.default", "unknown role"),
    (put("places.team.powerless", "]["), "places.team.powerless", "is not JMESPath"),
    (put("places.team.returns_by", "odd("), "places.team.returns_by", "is not JMESPath"),
    (put("places.app.within", {"planet": "team"}), "places.app.within", "unknown name"),
    (put("places.app.listed_by", ["nothing"]), "places.app.listed_by", "unknown unit"),
    (put("places.team.roles.viewer.when", ["sunny"]), "places.team.roles.viewer.when", "unknown condition"),
    (put("places.team.people", GOOD["places"]["app"]["people"][1:]), "places.team.people", "none of these"),
    (put("places.team.people.0.unit", ["nobody"]), "places.team.people[0].unit", "unknown unit"),
    (put("places.team.people.0.items", "users"), "places.team.people[0].items", "go together"),
    (put("places.team.people.0.item_where", "id"), "places.team.people[0].item_where", "no `items`"),
    (put("places.team.people.0.roles", "f(x)"), "places.team.people[0].roles", "unknown function"),
    (put(f"{REMOVE}.from", ["gone"]), f"{REMOVE}.from[0]", "unknown word"),
    (put(f"{REMOVE}.from", ["none"]), f"{REMOVE}.to", "leads nowhere"),
    (put(f"{REMOVE}.when", ["sunny"]), f"{REMOVE}.when", "unknown condition"),
    (put(f"{REMOVE}.method", "GET"), f"{REMOVE}.method", "unknown word"),
    (put(f"{REMOVE}.path", "teams"), f"{REMOVE}.path", "regex"),
    (put(f"{REMOVE}.path", "/teams/{app.id}"), f"{REMOVE}.path", "unknown name"),
    (put(f"{REMOVE}.path", "/teams/{team.id}/{person.shoe}"), f"{REMOVE}.path", "unknown field of a person"),
    (put(f"{REMOVE}.path", "/teams/{team}"), f"{REMOVE}.path", "hole that is not"),
    (put(f"{REMOVE}.says", "Remove {who}"), f"{REMOVE}.says", "unknown name"),
    (put(f"{REMOVE}.says", "Remove {person"), f"{REMOVE}.says", "can't be filled in"),
    (put(f"{REMOVE}.body", {"email": "(("}), f"{REMOVE}.body.email", "is not JMESPath"),
    (put(f"{REMOVE}.guards", ["watchman"]), f"{REMOVE}.guards[0]", "unknown word"),
    (put(f"{REMOVE}.already", [{"status": 200}]), f"{REMOVE}.already[0].status", "400"),
    (put(f"{REMOVE}.already", [{"status": 422, "message": "("}]), f"{REMOVE}.already", "regular expression"),
    (put("places.app.calls.remove.guards", ["last_admin"]), "places.app.calls.remove.guards", "needs the place's"),
    (put("reads.team.get", "/teams/{planet.id}"), "reads.team.get", "unknown name"),
    (put(OPEN, {}), OPEN, "has nothing"),
    (put(f"{OPEN}.place", "id"), OPEN, "has place and not"),
    (put(OPEN, {"not": "not_of_enterprise"}), f"{OPEN}.not", "unknown condition"),
    (put(INVITES, {"read": "team_features"}), f"{INVITES}.any", "go together"),
    (put(INVITES, {"read": "x", "any": "y"}), f"{INVITES}.read", "unknown read"),
    (put("groups.group", "planet"), "groups.group", "unknown place"),
    (put("groups.listed_by", "planets"), "groups", "unknown unit"),
    (put("groups.calls.create.path", "/x/{app.id}"), "groups.calls.create.path", "unknown name"),
    (put("groups.calls.merge", {}), "groups.calls.merge", "unknown word"),
    (put("places", {}), "places", "length >= 1"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "path", "found"), BAD, ids=lambda value: value if isinstance(value, str) else "")
def test_bad_writes_are_refused_with_what_is_wrong_and_where(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], None], path: str, found: str
) -> None:
    data = copy.deepcopy(GOOD)
    spoil(data)

    with pytest.raises(DeclarationError) as refused:
        loaded(tmp_path, data)

    assert refused.value.file == str(tmp_path / "writes.yaml")
    assert refused.value.path == path
    assert found in refused.value.found


def test_an_unknown_guard_is_told_with_the_known_ones(tmp_path: Path) -> None:
    data = copy.deepcopy(GOOD)
    put(f"{REMOVE}.guards", ["watchman"])(data)

    with pytest.raises(DeclarationError) as refused:
        loaded(tmp_path, data)

    assert {"last_admin", "own_account", "sso_only_admins"} <= set(refused.value.known)


def test_an_overlay_changes_one_word_and_leaves_the_rest(tmp_path: Path) -> None:
    over = {"places": {"team": {"roles": {"admin": {"admin": False}}}}}
    (tmp_path / "writes.yaml").write_text(yaml.safe_dump(over))

    writes = load_model([SHIPPED, tmp_path]).writes

    assert writes is not None
    assert not writes.places["team"].roles["admin"].admin
    assert writes.places["enterprise"].roles["manage"].admin
