import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from adapter import __version__, cli
from adapter.cli.console import AsJson, Commands
from adapter.errors import (
    AccountNotFound,
    AdapterError,
    ConfigError,
    DeclarationError,
    InvalidParameter,
    RemoteForbidden,
    StorageUnavailable,
    UpstreamTimeout,
)
from tests.cli.running import clean_environment

HEAVY = ("alembic", "asyncpg", "cryptography", "granian", "httptools", "jmespath", "sqlalchemy", "starlette")


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, below in getattr(command, "commands", {}).items():
        if hasattr(below, "commands"):
            yield from leaves(below, (*path, name))
        else:
            yield (*path, name), below


COMMANDS = dict(leaves(get_command(cli.app)))


def help_of(path: tuple[str, ...]) -> str:
    # Wide enough that nothing is wrapped.
    return CliRunner().invoke(cli.app, [*path, "--help"], env={"COLUMNS": "300", "TERMINAL_WIDTH": "300"}).stdout


def failing(error: AdapterError) -> typer.Typer:
    app = typer.Typer(cls=Commands)

    @app.command()
    def fail(_as_json: AsJson = False) -> None:
        raise error

    @app.callback()
    def root() -> None:
        pass

    return app


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("The setting is bad."), 2),
        (DeclarationError("users.yaml", "key", "is missing"), 2),
        (InvalidParameter("`limit` can't be `x`."), 2),
        (AccountNotFound(), 1),
        (StorageUnavailable(), 1),
        (UpstreamTimeout(), 1),
        (RemoteForbidden(403), 1),
    ],
    ids=lambda value: getattr(value, "code", None),
)
def test_an_error_is_one_line_on_stderr_and_an_exit_code(error: AdapterError, code: int) -> None:
    plain = CliRunner().invoke(failing(error), ["fail"])
    as_json = CliRunner().invoke(failing(error), ["fail", "--json"])

    assert (plain.exit_code, plain.stdout) == (code, "")
    assert plain.stderr.startswith("error: ")
    assert plain.stderr.count("\n") == 1
    assert (as_json.exit_code, as_json.stdout) == (code, "")
    assert msgspec.json.decode(as_json.stderr)["code"] == error.code


def test_an_error_that_leads_to_a_route_leads_to_a_command_here() -> None:
    said = CliRunner().invoke(failing(AccountNotFound()), ["fail"]).stderr

    assert "adapter account list" in said
    assert "GET " not in said


def test_a_bug_says_where_it_is_and_shows_no_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(**_: Any) -> None:
        raise RuntimeError("HRKU-a-token-that-nobody-should-see")

    monkeypatch.setattr(cli, "app", broken)

    with pytest.raises(SystemExit) as ended:
        cli.main()

    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith(
        "error: something went wrong inside the adapter (RuntimeError at tests.cli.test_console:"
    )


def test_the_version_is_shown() -> None:
    assert CliRunner().invoke(cli.app, ["--version"]).stdout == f"adapter {__version__}\n"


def test_every_command_of_the_contract_is_there() -> None:
    nouns = {f"{noun} {verb}" for noun in ("users", "groups", "roles", "grants", "apps") for verb in ("list", "show")}
    others = {"demo", "serve", "sandbox", "migrate", "check", "keys rotate"}
    tokens = {f"token {verb}" for verb in ("create", "list", "revoke")}
    accounts = {f"account {verb}" for verb in ("add", "list", "show", "remove")}

    assert {" ".join(path) for path in COMMANDS} >= nouns | others | tokens | accounts


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_commands_help_has_an_example_and_each_flag_its_environment_twin(path: tuple[str, ...]) -> None:
    shown = help_of(path)
    options = [
        option
        for option in COMMANDS[path].params
        # One that must not be taken from the environment says so.
        if option.param_type_name == "option" and getattr(option, "allow_from_autoenv", True)
    ]

    assert f"adapter {' '.join(path)}" in shown.partition("Example")[2]
    assert shown.count("[env var: ") == len([option for option in options if option.name != "help"])


def test_help_does_not_wait_for_what_only_work_needs() -> None:
    code = f"import sys, adapter.cli; print([name for name in {HEAVY} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], env=clean_environment(), capture_output=True, check=True)

    assert done.stdout.strip() == b"[]"


def test_it_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "adapter", "--version"]

    done = subprocess.run(command, env=clean_environment(), capture_output=True, check=True, text=True)

    assert done.stdout == f"adapter {__version__}\n"
