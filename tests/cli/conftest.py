"""A terminal with a sandbox behind it: the commands run in this process unless a test says otherwise."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from typer.testing import CliRunner

from adapter import logs
from adapter.cli import app
from adapter.config import SETTINGS
from adapter.sandbox import RunningSandbox


@dataclass
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.out)


@dataclass
class Terminal:
    env: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, stdin: str = "", **env: str) -> Ended:
        """Run `adapter` with these arguments; an exception that it doesn't translate fails the test."""
        result = CliRunner().invoke(app, list(arguments), input=stdin, env={**self.env, **env}, catch_exceptions=False)
        return Ended(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """A shell starts what runs in its background with SIGINT ignored, and processes hand that on."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def heroku() -> Iterator[RunningSandbox]:
    """One for all: whoever changes something in it starts its own."""
    with RunningSandbox() as running:
        yield running


@pytest.fixture
def terminal(heroku: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in (*SETTINGS, "DYNO", "ADAPTER_ACCOUNT"):
        monkeypatch.delenv(name, raising=False)
    # The commands' own setting would hold on to a stream that ends with the test.
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    return Terminal({"DATABASE_URL": f"sqlite:///{tmp_path / 'adapter.db'}", "HEROKU_API_URL": heroku.url})


@pytest.fixture
def connected(terminal: Terminal, heroku: RunningSandbox) -> Terminal:
    """With the sandbox owner's account connected."""
    added = terminal("account", "add", "--tenant", "acme", stdin=heroku.owner_token)
    assert added.code == 0
    return terminal
