"""`app.json`: what Heroku's button makes is a deployment that starts."""

import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from adapter.config import SETTINGS, load
from adapter.storage.vault import load_vault

APP: dict[str, Any] = json.loads((Path(__file__).parents[1] / "app.json").read_text("utf-8"))


def made_by_the_button(**given: str) -> dict[str, str]:
    """The environment as Heroku's set-up fills it: `generator: secret` is 64 characters of hex."""
    generated = {name: secrets.token_hex(32) for name, entry in APP["env"].items() if entry.get("generator")}
    return {"DYNO": "web.1", "DATABASE_URL": "postgres://u:p@db.example:5432/d", **generated, **given}


def test_every_variable_is_a_setting() -> None:
    assert set(APP["env"]) <= set(SETTINGS)


def test_a_generated_secret_is_a_key_that_is_accepted() -> None:
    settings = load(made_by_the_button(PUBLIC_URL="https://adapter.example.com"))

    vault = load_vault(settings)

    assert vault.open(vault.seal(b"x", about="test"), about="test") == b"x"


def test_what_is_asked_for_is_what_can_not_be_known() -> None:
    asked = {name for name, entry in APP["env"].items() if entry.get("required", True) and not entry.get("generator")}

    assert asked == {"PUBLIC_URL"}
    assert {addon["plan"] for addon in APP["addons"]} == {"heroku-postgresql"}


@pytest.mark.parametrize("name", [name for name, entry in APP["env"].items() if not entry.get("required", True)])
def test_what_is_left_empty_is_as_if_it_were_not_there(name: str) -> None:
    settings = load(made_by_the_button(PUBLIC_URL="https://adapter.example.com", **{name: ""}))

    assert settings.trusted_hops == 1
