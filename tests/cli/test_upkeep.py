from pathlib import Path

import pytest

from tests.cli.conftest import Terminal

OLD, NEW = "an-old-key-of-forty-characters-for-tests", "a-new-key-of-forty-characters-for-tests!"


def test_migrating_says_from_where_to_where_and_twice_is_once(terminal: Terminal, empty_database_url: str) -> None:
    first = terminal("migrate", DATABASE_URL=empty_database_url)
    second = terminal("migrate", DATABASE_URL=empty_database_url)
    third = terminal("migrate", "--json", DATABASE_URL=empty_database_url).json

    assert (first.code, second.code) == (0, 0)
    assert first.out.startswith("The database went from empty to version ")
    assert second.out == f"The database is at version {third['to']} already.\n"
    assert third["from"] == third["to"]


def test_migrating_an_address_that_is_none_is_refused(terminal: Terminal) -> None:
    ended = terminal("migrate", DATABASE_URL="mysql://root:secret@localhost/x")

    assert ended.code == 2
    assert "secret" not in ended.err


def test_the_shipped_mapping_files_hold(terminal: Terminal) -> None:
    ended = terminal("check")

    assert (ended.code, ended.err) == (0, "")
    assert "users.cases.yaml" in ended.out
    assert "cases hold" in ended.out


def override(directory: Path, name: str, text: str) -> str:
    (directory / "heroku").mkdir(exist_ok=True)
    (directory / "heroku" / name).write_text(text)
    return str(directory)


def test_a_bad_override_is_told_with_file_and_path(terminal: Terminal, tmp_path: Path) -> None:
    ended = terminal("check", override(tmp_path, "users.yaml", "resource: users\nnonsense: 1\n"))

    assert ended.code == 1
    assert "users.yaml" in ended.err
    assert "nonsense" in ended.err


def test_a_case_that_does_not_hold_is_told_by_name(terminal: Terminal, tmp_path: Path) -> None:
    case = "cases:\n- name: nobody is somebody\n  units: []\n  gives: [{id: u1}]\n"

    plain = terminal("check", override(tmp_path, "users.cases.yaml", case))
    as_json = terminal("check", str(tmp_path), "--json")

    assert plain.code == 1
    assert "nobody is somebody" in plain.err
    assert as_json.code == 1
    assert len(as_json.json["faults"]) == 1


def test_a_cases_file_that_cant_be_read_is_a_fault(terminal: Terminal, tmp_path: Path) -> None:
    ended = terminal("check", MAPPINGS_DIR=override(tmp_path, "users.cases.yaml", "cases: 7\n"))

    assert ended.code == 1
    assert "users.cases.yaml" in ended.err


def test_a_directory_that_does_not_exist_is_refused(terminal: Terminal, tmp_path: Path) -> None:
    assert terminal("check", str(tmp_path / "nowhere")).code == 2


@pytest.fixture
def sealed(terminal: Terminal, heroku: object) -> Terminal:
    """One account, sealed with the old key."""
    token = heroku.owner_token  # type: ignore[attr-defined]  # the session's sandbox
    assert terminal("account", "add", "--tenant", "acme", stdin=token, ADAPTER_SECRET_KEYS=OLD).code == 0
    return terminal


def test_after_rotating_the_old_key_can_go(sealed: Terminal) -> None:
    rotated = sealed("keys", "rotate", "--json", ADAPTER_SECRET_KEYS=f"{NEW},{OLD}")
    again = sealed("keys", "rotate", ADAPTER_SECRET_KEYS=NEW)

    assert rotated.json == {"resealed": 1, "current": 0, "lost": []}
    assert again.code == 0
    assert sealed("groups", "list", ADAPTER_SECRET_KEYS=NEW).code == 0


def test_a_lost_key_names_the_account_that_it_locks_out(sealed: Terminal) -> None:
    account = sealed("account", "list", "--json", ADAPTER_SECRET_KEYS=OLD).json["result"][0]["id"]

    ended = sealed("keys", "rotate", ADAPTER_SECRET_KEYS=NEW)
    checked = sealed("keys", "check", ADAPTER_SECRET_KEYS=NEW)
    reading = sealed("users", "list", ADAPTER_SECRET_KEYS=NEW)

    assert ended.code == 1
    assert account in ended.err
    assert reading.code == 1
    assert "ADAPTER_SECRET_KEYS" in reading.err
    assert checked.code == 1
    assert account in checked.err


def test_keys_that_open_everything_are_found_to(sealed: Terminal) -> None:
    checked = sealed("keys", "check", ADAPTER_SECRET_KEYS=f"{NEW},{OLD}")
    as_json = sealed("keys", "check", "--json", ADAPTER_SECRET_KEYS=OLD)

    assert (checked.code, checked.out) == (0, "Every credential can be opened.\n")
    assert as_json.json == {"lost": []}
