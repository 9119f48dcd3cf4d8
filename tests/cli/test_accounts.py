import os
import pty
import signal
import subprocess
import termios
from pathlib import Path

import pytest

from adapter.sandbox import RunningSandbox
from tests.cli.conftest import Terminal
from tests.cli.running import Running, clean_environment, until

NOBODY = "00000000-0000-0000-0000-000000000000"


def test_adding_says_who_it_is_and_what_it_may(terminal: Terminal, heroku: RunningSandbox) -> None:
    ended = terminal("account", "add", "--tenant", "acme", stdin=f"{heroku.owner_token}\n")

    assert ended.code == 0
    assert "owner@example.com" in ended.out
    assert "global" in ended.out
    assert "everything" in ended.out


def test_adding_with_less_says_what_will_be_missing(terminal: Terminal, heroku: RunningSandbox) -> None:
    ended = terminal("account", "add", "--tenant", "acme", stdin=heroku.token(["identity"]))

    assert ended.code == 0
    assert "owner@example.com" in ended.out
    assert "team_members" in ended.out
    assert "needs" in ended.out


def test_a_token_that_may_not_read_its_own_account_is_taken(terminal: Terminal, heroku: RunningSandbox) -> None:
    ended = terminal("account", "add", "--tenant", "acme", "-", stdin=heroku.token(["read"]))

    assert ended.code == 0
    assert "owner" in ended.out


def test_adding_again_keeps_the_id(terminal: Terminal, heroku: RunningSandbox) -> None:
    first, second = (
        terminal("account", "add", "--tenant", "acme", "--json", stdin=heroku.token(["global"])).json for _ in range(2)
    )

    assert first["id"] == second["id"]
    assert first["heroku_account"]["email"] == "owner@example.com"


@pytest.mark.parametrize("stdin", ["", "\n", "HRKU-nobody-has-this-token", "two words"])
def test_a_token_that_is_no_good_is_refused_and_nothing_is_kept(terminal: Terminal, stdin: str) -> None:
    ended = terminal("account", "add", "--tenant", "acme", stdin=stdin)

    assert ended.code in {1, 2}
    assert ended.err.startswith("error: ")
    assert terminal("account", "list", "--json").json["result"] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("HRKU-in-an-argument",),
        ("-", "HRKU-in-an-argument"),
        ("--token", "HRKU-in-an-argument"),
        ("--api-key=HRKU-in-an-argument",),
    ],
)
def test_a_token_in_an_argument_is_refused_and_not_repeated(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    ended = terminal("account", "add", "--tenant", "acme", *arguments)

    assert ended.code == 2
    assert "HRKU" not in ended.out + ended.err


def test_a_token_in_the_environment_is_not_looked_at(terminal: Terminal, heroku: RunningSandbox) -> None:
    names = ("HEROKU_API_KEY", "HEROKU_API_TOKEN", "ADAPTER_ACCOUNT_ADD_SOURCE", "ADAPTER_ACCOUNT_ADD_TOKEN")

    ended = terminal("account", "add", "--tenant", "acme", **dict.fromkeys(names, heroku.owner_token))

    assert ended.code == 2


def test_the_token_is_in_no_output_log_or_file(heroku: RunningSandbox, tmp_path: Path) -> None:
    key = heroku.token(["global"])
    env = clean_environment(
        DATABASE_URL=f"sqlite:///{tmp_path / 'adapter.db'}", HEROKU_API_URL=heroku.url, LOG_LEVEL="debug"
    )
    with Running("account", "add", "--tenant", "acme", env=env, stdin=subprocess.PIPE) as adding:
        seen = subprocess.run(["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True).stdout
        out, err = adding.process.communicate(f"{key}\n", timeout=60)

    assert adding.process.returncode == 0
    assert "account add" in seen
    assert "account_connected" in err
    assert key not in seen + out + err
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    assert files
    assert not any(key.encode() in path.read_bytes() for path in files)


def test_a_token_typed_at_the_prompt_is_not_shown(heroku: RunningSandbox, tmp_path: Path) -> None:
    key = heroku.token(["global"])
    env = clean_environment(DATABASE_URL=f"sqlite:///{tmp_path / 'adapter.db'}", HEROKU_API_URL=heroku.url, TERM="dumb")
    ours, theirs = pty.openpty()
    try:
        with Running(
            "account", "add", "--tenant", "acme", env=env, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
        ) as adding:
            # What is typed before the terminal stops showing it is thrown away.
            until(lambda: not termios.tcgetattr(ours)[3] & termios.ECHO, "a prompt that hides what is typed")
            os.write(ours, f"{key}\n".encode())
            out, _ = adding.process.communicate(timeout=60)
            shown = os.read(ours, 1 << 16)
    finally:
        os.close(ours)
        os.close(theirs)

    assert adding.process.returncode == 0
    assert "Connected owner@example.com" in out
    assert b"token:" in shown
    assert key.encode() not in shown


def test_the_list_shows_each_account_by_tenant_and_status(terminal: Terminal, heroku: RunningSandbox) -> None:
    for tenant in ("acme", "globex"):
        terminal("account", "add", "--tenant", tenant, stdin=heroku.owner_token)

    shown = terminal("account", "list").out
    some = terminal("account", "list", "--tenant", "globex", "--status", "active", "--json").json
    none = terminal("account", "list", "--status", "needs_reauth", "--json").json

    assert shown.count("owner@example.com") == 2
    assert [account["tenant_id"] for account in some["result"]] == ["globex"]
    assert none == {"result": [], "result_count": 0}


def test_one_account_is_shown_with_what_it_lacks(terminal: Terminal, heroku: RunningSandbox) -> None:
    added = terminal("account", "add", "--tenant", "acme", "--json", stdin=heroku.token(["identity"])).json

    shown = terminal("account", "show", added["id"])

    assert shown.code == 0
    assert "owner@example.com" in shown.out
    assert "team_members (needs " in shown.out
    assert terminal("account", "show", added["id"], "--json").json == added


@pytest.mark.parametrize("command", [("show", NOBODY), ("remove", NOBODY, "--yes")])
def test_an_unknown_account_leads_to_the_list(terminal: Terminal, command: tuple[str, ...]) -> None:
    ended = terminal("account", *command)

    assert ended.code == 1
    assert "adapter account list" in ended.err


def test_removing_is_confirmed_first(connected: Terminal) -> None:
    account = connected("account", "list", "--json").json["result"][0]["id"]

    unsure = connected("account", "remove", account)
    sure = connected("account", "remove", account, "--yes", "--json")

    assert unsure.code == 2
    assert "--yes" in unsure.err
    assert sure.json.items() >= {"id": account, "revoked_at_provider": None}.items()
    assert sure.json["deleted"].items() >= {"credentials": 1, "tokens": 0}.items()
    assert "API token" in sure.json["reason"]
    assert connected("account", "list", "--json").json["result"] == []


def test_removing_says_who_revokes_an_api_token(connected: Terminal) -> None:
    account = connected("account", "list", "--json").json["result"][0]["id"]

    removed = connected("account", "remove", account, "--yes")

    assert f"Removed account {account}" in removed.out
    assert "revoke it at the provider" in removed.out


def test_stopping_at_the_prompt_keeps_nothing(heroku: RunningSandbox, tmp_path: Path) -> None:
    env = clean_environment(DATABASE_URL=f"sqlite:///{tmp_path / 'adapter.db'}", HEROKU_API_URL=heroku.url, TERM="dumb")
    ours, theirs = pty.openpty()
    try:
        with Running("account", "add", "--tenant", "acme", env=env, stdin=theirs, stderr=theirs) as adding:
            shown = b""
            while b"token:" not in shown:
                shown += os.read(ours, 4096)
            code, out, _ = adding.stop(signal.SIGINT)
    finally:
        os.close(ours)
        os.close(theirs)

    assert code != 0
    assert out == ""
    assert not (tmp_path / "adapter.db").exists()
