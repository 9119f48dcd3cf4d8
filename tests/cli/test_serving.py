import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapter.cli import serving
from adapter.config import Settings, load
from tests.cli.conftest import Terminal
from tests.cli.running import PATIENCE, Running, alive, clean_environment, descendants, until
from tests.storage.servers import PostgresServer

KEY = "a-key-of-forty-characters-made-for-tests"
MOST_KILLS = 8


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings that servers would have been started with."""
    found: list[Settings] = []
    monkeypatch.setattr(serving, "serve_until_stopped", lambda settings, **_: found.append(settings))
    return found


@pytest.fixture
def unmigrated(postgres: PostgresServer) -> Iterator[str]:
    url = postgres.create()
    yield url
    postgres.drop(url)


@pytest.fixture
def migrated(postgres: PostgresServer, migrated_postgres: str) -> Iterator[str]:
    url = postgres.create(template=migrated_postgres)
    yield url
    postgres.drop(url)


@pytest.fixture
def bad_mappings(tmp_path: Path) -> str:
    (tmp_path / "heroku").mkdir()
    (tmp_path / "heroku" / "users.yaml").write_text("resource: users\nnonsense: 1\n")
    return str(tmp_path)


def url_told(server: Running) -> str:
    """Where it serves, once its log says so."""
    assert server.process.stderr is not None
    lines: list[dict[str, Any]] = []
    while not lines or lines[-1]["event"] != "serving":
        lines.append(json.loads(server.process.stderr.readline()))
    return str(lines[-1]["url"])


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def workers_of(server: Running) -> set[int]:
    """Its processes that can be asked for something: those that hold a port."""
    return {pid for pid in descendants(server.process.pid) if "adapter" in command(pid)}


def command(pid: int) -> str:
    """Nothing, where it has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_it_serves_logs_json_and_stops_in_good_order(migrated: str) -> None:
    env = clean_environment(DATABASE_URL=migrated, ADAPTER_SECRET_KEYS=KEY, PORT="0", HOST="127.0.0.1")
    with Running("serve", "--workers", "2", env=env) as server:
        url = url_told(server)
        until(lambda: answers(url), "an answer")
        children = descendants(server.process.pid)
        code, out, err = server.stop(signal.SIGTERM)
        until(lambda: not alive(children), "the end of every worker")

        events = [json.loads(line)["event"] for line in err.splitlines()]
        assert (code, out) == (0, "")
        assert len(children) >= 2
        assert events[-1] == "stopped"


def test_a_worker_that_is_killed_is_replaced_and_the_other_one_goes_on(migrated: str) -> None:
    env = clean_environment(DATABASE_URL=migrated, ADAPTER_SECRET_KEYS=KEY, PORT="0", HOST="127.0.0.1")
    with Running("serve", "--workers", "2", env=env) as server:
        url = url_told(server)
        until(lambda: answers(url), "an answer")
        until(lambda: len(workers_of(server)) == 2, "two workers")
        victim, other = sorted(workers_of(server))
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(workers_of(server) - {victim}) == 2, "another worker in its place")
        until(lambda: all(answers(url) for _ in range(20)), "answers from both")
        assert other in workers_of(server)
        code, _, err = server.stop(signal.SIGTERM)

    assert code == 0
    assert any("Unexpected exit" in json.loads(line)["event"] for line in err.splitlines())


def test_workers_that_are_killed_in_turn_are_not_replaced_for_ever(migrated: str) -> None:
    env = clean_environment(DATABASE_URL=migrated, ADAPTER_SECRET_KEYS=KEY, PORT="0", HOST="127.0.0.1")
    with Running("serve", "--workers", "2", env=env) as server:
        url = url_told(server)
        until(lambda: answers(url), "an answer")
        killed: set[int] = set()
        while server.process.poll() is None and len(killed) < MOST_KILLS:
            if len(found := workers_of(server) - killed) == 2:
                # The one that has been there longer: none is killed twice in a row.
                os.kill(min(found), signal.SIGKILL)
                killed.add(min(found))
            time.sleep(0.05)
        _, err = server.process.communicate(timeout=PATIENCE)

    assert server.process.returncode == 2
    assert err.splitlines()[-1].startswith("error: A server process ended again")


def test_a_mapping_file_that_cant_be_read_is_a_refusal_before_anything_is_served(
    bad_mappings: str, tmp_path: Path
) -> None:
    env = clean_environment(DATABASE_URL=f"sqlite:///{tmp_path / 'a.db'}", MAPPINGS_DIR=bad_mappings)
    with Running("serve", "--port", "0", env=env) as server:
        out, err = server.process.communicate(timeout=60)

    assert (server.process.returncode, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")
    assert "users.yaml" in err
    assert "nonsense" in err


def refusal(ended: Any) -> str:
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1
    return str(ended.err)


def test_a_short_key_is_refused(terminal: Terminal, started: list[Settings]) -> None:
    said = refusal(terminal("serve", "--port", "0", ADAPTER_SECRET_KEYS="too-short"))

    assert "ADAPTER_SECRET_KEYS" in said
    assert "too-short" not in said
    assert started == []


def test_postgresql_without_tables_is_refused_with_the_command_that_makes_them(
    terminal: Terminal, started: list[Settings], unmigrated: str
) -> None:
    said = refusal(terminal("serve", "--port", "0", DATABASE_URL=unmigrated, ADAPTER_SECRET_KEYS=KEY))

    assert "adapter migrate" in said
    assert started == []


def test_postgresql_without_a_key_is_refused(terminal: Terminal, started: list[Settings], migrated: str) -> None:
    said = refusal(terminal("serve", "--port", "0", DATABASE_URL=migrated))

    assert "ADAPTER_SECRET_KEYS" in said
    assert started == []


def test_a_database_that_doesnt_answer_is_refused_without_its_password(
    terminal: Terminal, started: list[Settings]
) -> None:
    address = "postgres://ada:lovelace@127.0.0.1:1/directory"

    said = refusal(terminal("serve", "--port", "0", DATABASE_URL=address, ADAPTER_SECRET_KEYS=KEY))

    assert "DATABASE_URL" in said
    assert "lovelace" not in said
    assert started == []


def test_sqlite_on_a_dyno_is_refused(terminal: Terminal, started: list[Settings]) -> None:
    said = refusal(terminal("serve", "--port", "0", DYNO="web.1"))

    assert "PostgreSQL" in said
    assert started == []


@pytest.mark.parametrize(("name", "value"), [("LOG_FORMAT", "xml"), ("DIRECTORY_MAX_AGE", "soon")])
def test_a_setting_that_cant_be_used_is_named(
    terminal: Terminal, started: list[Settings], name: str, value: str
) -> None:
    said = refusal(terminal("serve", "--port", "0", **{name: value}))

    assert name in said
    assert started == []


def test_several_processes_on_sqlite_are_refused(terminal: Terminal, started: list[Settings], tmp_path: Path) -> None:
    said = refusal(terminal("serve", "--port", "0", "--workers", "2", DATABASE_URL=f"sqlite:///{tmp_path / 'a.db'}"))

    assert "PostgreSQL" in said
    assert started == []


def test_a_taken_port_is_refused(terminal: Terminal, started: list[Settings]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = refusal(terminal("serve", "--port", str(taken.getsockname()[1])))

    assert "--port" in said
    assert started == []


def test_on_a_dyno_it_listens_to_the_world_on_the_port_that_the_dyno_is_given(
    terminal: Terminal, started: list[Settings], migrated: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    ended = terminal("serve", DYNO="web.1", PORT=str(port), DATABASE_URL=migrated, ADAPTER_SECRET_KEYS=KEY)

    assert ended.code == 0
    assert [(settings.host, settings.port) for settings in started] == [("0.0.0.0", port)]


def test_a_flag_wins_over_the_environment(terminal: Terminal, started: list[Settings]) -> None:
    terminal("serve", "--port", "0", "--public-url", "https://flag.example", PUBLIC_URL="https://env.example")

    assert [settings.public_url for settings in started] == ["https://flag.example"]


def test_workers_find_every_setting_in_their_environment() -> None:
    settings = load({}, database_url="sqlite:///x.db", port=0, directory_max_age=5.5, mappings_dir="here")

    assert load(serving._as_environment(settings)) == settings
