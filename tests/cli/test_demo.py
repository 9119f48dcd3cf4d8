import json
import signal
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.running import Running, alive, clean_environment, descendants, until

ANY_PORTS = ("--port", "0", "--sandbox-port", "0")
FIELDS = ["base_url", "api_token", "integrated_account_id", "account_token", "sandbox_url"]
RESOURCES = ["users", "groups", "roles", "role_assignments", "workspaces", "organizations", "licenses", "me"]


def get(url: str, token: str) -> Any:
    with httpx.Client(trust_env=False, timeout=30) as client:
        return client.get(url, headers={"Authorization": f"Bearer {token}"}).raise_for_status().json()


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    # What the user has set for a real deployment must not reach the demo.
    return clean_environment(
        TMPDIR=str(tmp_path),
        DATABASE_URL="postgres://nobody@127.0.0.1:1/nothing",
        HEROKU_API_URL="http://127.0.0.1:1",
        ADAPTER_SECRET_KEYS="short",
        DYNO="web.1",
        NO_PROXY="127.0.0.1",
    )


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM], ids=lambda by: by.name)
def test_the_demo_answers_in_one_line_serves_everything_and_leaves_nothing_behind(
    by: signal.Signals, env: dict[str, str], tmp_path: Path
) -> None:
    with Running("demo", *ANY_PORTS, "--teams", "3", "--members", "20", "--apps", "5", "--json", env=env) as demo:
        said = json.loads(demo.line())
        people = get(f"{said['sandbox_url']}/sandbox/world", "nobody")["accounts"]
        counts = {
            name: get(f"{said['base_url']}/unified/user-directory/{name}", said["account_token"])["result_count"]
            for name in RESOURCES
        }
        raw = get(f"{said['base_url']}/proxy/teams", said["account_token"])
        accounts = get(f"{said['base_url']}/integrated-account", said["api_token"])["result"]
        children = descendants(demo.process.pid)
        code, out, err = demo.stop(by)
        until(lambda: not alive(children), "the end of every child")

        assert list(said) == FIELDS
        assert all(counts.values())
        assert len(people) >= 20
        assert raw["result_count"] == 3
        assert [account["id"] for account in accounts] == [said["integrated_account_id"]]
        assert (code, out) == (0, "")
        assert said["account_token"] not in err
        assert said["api_token"] not in err
        assert list(tmp_path.iterdir()) == []


def test_a_demo_that_is_killed_takes_its_children_with_it(env: dict[str, str]) -> None:
    with Running("demo", *ANY_PORTS, "--json", env=env) as demo:
        demo.line()
        children = descendants(demo.process.pid)
        assert len(alive(children)) >= 2

        demo.process.kill()

        until(lambda: not alive(children), "the end of every child")


def test_the_page_for_people_shows_each_token_once_and_three_commands_that_work(env: dict[str, str]) -> None:
    with Running("demo", *ANY_PORTS, "--log-level", "debug", env=env) as demo:
        page = ""
        while "Ctrl-C" not in page:
            page += demo.line()
        words = page.split()
        tokens = {name: word for word in words for name in ("TOKEN", "API_TOKEN") if word.startswith(f"{name}=ud")}
        account_token = tokens["TOKEN"].removeprefix("TOKEN=")
        urls = [word.strip("'") for word in words if word.startswith("'http")]
        answers = [get(url, account_token) for url in urls[:3]]
        _, rest, err = demo.stop(signal.SIGTERM)

        everything = page + rest + err
        assert all(answers)
        assert [everything.count(token.partition("=")[2]) for token in tokens.values()] == [1, 1]


@pytest.mark.parametrize("flag", ["--port", "--sandbox-port"])
def test_a_port_that_is_taken_is_named_with_the_way_out(flag: str, env: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with Running("demo", *ANY_PORTS, flag, port, env=env) as demo:
            out, err = demo.process.communicate(timeout=60)

    assert (demo.process.returncode, out) == (2, "")
    assert err == (
        f"error: Can't listen on 127.0.0.1:{port} (Address already in use); "
        f"choose another port with {flag} (0: any that is free).\n"
    )
