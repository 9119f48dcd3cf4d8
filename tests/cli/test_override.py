from pathlib import Path

import msgspec
import pytest

from adapter.sandbox import RunningSandbox
from tests.cli.conftest import Terminal
from tests.cli.running import Running, clean_environment

NAMED = '{"users": {"fields": {"name": "email || user.email"}}}'


def people(terminal: Terminal) -> list[tuple[str, str]]:
    return [(user["username"], user["name"]) for user in terminal("users", "list", "--json").json["result"]]


@pytest.mark.parametrize("source", ["-", "file"])
def test_an_override_is_taken_from_a_file_or_standard_input_and_cleared(
    connected: Terminal, source: str, tmp_path: Path
) -> None:
    (tmp_path / "own.json").write_text(NAMED)
    before = people(connected)

    taken = connected("account", "override", "-" if source == "-" else str(tmp_path / "own.json"), stdin=NAMED)
    shown = connected("account", "override").json
    during = people(connected)
    cleared = connected("account", "override", "--clear")

    assert "has 1 field of its own" in taken.out
    assert shown == msgspec.json.decode(NAMED)
    assert all(name == username for username, name in during)
    assert "mapping files again" in cleared.out
    assert people(connected) == before


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "JSON object"),
        ("[]", "JSON object"),
        ('{"people": {}}', "unknown resource"),
        ('{"users": {"fields": {"name": "a["}}}', "is not JMESPath"),
    ],
)
def test_what_can_not_be_used_is_refused(connected: Terminal, given: str, said: str) -> None:
    ended = connected("account", "override", "-", stdin=given)

    assert ended.code == 2
    assert said in ended.err
    assert connected("account", "override").json is None


@pytest.mark.parametrize("arguments", [("x.json", "--clear"), ("nowhere.json",)])
def test_a_command_that_makes_no_sense_changes_nothing(connected: Terminal, arguments: tuple[str, ...]) -> None:
    assert connected("account", "override", *arguments).code == 2


def test_serve_refuses_to_start_with_a_file_that_can_not_be_used(heroku: RunningSandbox, tmp_path: Path) -> None:
    folder = tmp_path / "mappings" / "heroku"
    folder.mkdir(parents=True)
    (folder / "users.yaml").write_text("fields: {name: {typ: string}}")
    env = clean_environment(
        DATABASE_URL=f"sqlite:///{tmp_path / 'a.db'}",
        HEROKU_API_URL=heroku.url,
        MAPPINGS_DIR=str(tmp_path / "mappings"),
    )
    with Running("serve", "--port", "0", env=env) as serving:
        _, err = serving.process.communicate(timeout=60)

    assert serving.process.returncode == 2
    assert str(folder / "users.yaml") in err
    assert "fields.name" in err
