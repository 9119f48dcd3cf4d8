import pytest

from tests.cli.conftest import Terminal


def test_a_token_is_shown_once_alone_on_stdout(terminal: Terminal) -> None:
    made = terminal("token", "create", "--name", "backend")

    assert made.code == 0
    assert made.out.startswith("uda_")
    assert made.out.count("\n") == 1
    assert "not shown again" in made.err
    assert made.out.strip() not in made.err
    assert made.out.strip() not in terminal("token", "list").out


def test_json_gives_the_token_with_its_id_and_tenant(terminal: Terminal) -> None:
    made = terminal("token", "create", "--tenant", "acme", "--json").json

    listed = terminal("token", "list", "--json").json["result"]

    assert made["token"].startswith("uda_")
    assert [(token["id"], token["tenant_id"]) for token in listed] == [(made["id"], "acme")]
    assert "token" not in listed[0]


def test_a_revoked_token_is_listed_as_such(terminal: Terminal) -> None:
    made = terminal("token", "create", "--json").json

    ended = terminal("token", "revoke", made["id"])

    assert ended.code == 0
    assert made["id"] in ended.out
    assert terminal("token", "list", "--json").json["result"][0]["revoked_at"] is not None


def test_revoking_what_does_not_exist_fails(terminal: Terminal) -> None:
    ended = terminal("token", "revoke", "nothing", "--json")

    assert ended.code == 1
    assert '"code":"not_found"' in ended.err


@pytest.mark.parametrize("flag", ["--name", "--tenant"])
def test_a_word_that_cant_be_used_is_refused(terminal: Terminal, flag: str) -> None:
    assert terminal("token", "create", flag, "x" * 300).code == 2
