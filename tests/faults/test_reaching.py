"""A Heroku that can't be reached in the first place: its name unknown, its certificate no good."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from adapter.config import Settings
from adapter.sandbox import RunningSandbox
from tests.e2e.serving import KEY, AdapterThread, _connected, _free_port
from tests.faults.line import Authority
from tests.faults.trials import Trial, a_trial, told

# A label of a name has 63 characters at most: the resolver refuses it without asking anybody.
NOBODY = f"https://{'x' * 64}.invalid"
NAME = "api.heroku.example"
UNREACHABLE = (502, "upstream_unreachable")


@dataclass(kw_only=True)
class Guarded:
    """A trial over TLS, by an adapter that believes one authority."""

    trial: Trial
    authority: Authority
    directory: Path


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    directory = tmp_path_factory.mktemp("tls")
    authority = Authority(directory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(authority.path))
        with a_trial(directory, tls=authority.good()) as trial:
            yield Guarded(trial=trial, authority=authority, directory=directory)


def of_a_stranger(guarded: Guarded) -> ssl.SSLContext:
    """By an authority that nobody knows."""
    (directory := guarded.directory / "stranger").mkdir()
    return Authority(directory).good()


PRESENTED: Mapping[str, Callable[[Guarded], ssl.SSLContext]] = {
    "expired": lambda guarded: guarded.authority.expired(),
    "for_another_host": lambda guarded: guarded.authority.of_another(),
    "by_a_stranger": of_a_stranger,
}
"""What is shown in place of the good certificate."""


@pytest.mark.parametrize("name", PRESENTED)
def test_nothing_is_said_to_whoever_has_no_good_certificate(guarded: Guarded, name: str) -> None:
    trial, asked = guarded.trial, len(guarded.trial.line.asked)
    trial.line.speak(PRESENTED[name](guarded))
    try:
        assert told(trial.ask("/custom/teams")) == UNREACHABLE
        assert told(trial.ask("/proxy/teams")) == UNREACHABLE
        assert told(trial.people()) == UNREACHABLE
        assert told(trial.grant()) == UNREACHABLE
        assert len(trial.line.asked) == asked
        assert trial.http.get("/readyz").status_code == 200
    finally:
        trial.line.speak(guarded.authority.good())

    trial.is_well()


def test_a_greeting_that_is_never_answered_is_a_timeout(guarded: Guarded) -> None:
    """Whoever expects a plain request goes on waiting for the end of its head."""
    guarded.trial.line.speak(None)
    try:
        assert told(guarded.trial.ask("/custom/teams")) == (504, "upstream_timeout")
    finally:
        guarded.trial.line.speak(guarded.authority.good())

    guarded.trial.is_well()


def test_a_name_that_nobody_knows_is_told_as_unreachable(tmp_path: Path) -> None:
    with RunningSandbox() as sandbox:
        settings = Settings(
            database_url=f"sqlite:///{tmp_path / 'adapter.db'}",
            adapter_secret_keys=KEY,
            heroku_api_url=sandbox.url,
            port=_free_port(),
        )
        token, account_id = asyncio.run(_connected(settings, sandbox.owner_token))
        sandbox.reset_requests()
        thread = AdapterThread(msgspec.structs.replace(settings, heroku_api_url=NOBODY))
        try:
            url, headers = f"http://127.0.0.1:{settings.port}", {"authorization": f"Bearer {token}"}
            with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30) as http:
                for path in ("/custom/teams", "/proxy/teams", "/unified/user-directory/users"):
                    assert told(http.get(path, params={"integrated_account_id": account_id})) == UNREACHABLE
                assert http.get("/readyz").status_code == 200
        finally:
            thread.close()

        assert sandbox.request_count() == 0


@pytest.mark.parametrize(
    "error", [socket.gaierror(socket.EAI_NONAME, "unknown"), socket.gaierror(socket.EAI_AGAIN, "")]
)
def test_a_name_that_was_lost_for_a_while_is_found_again(
    error: socket.gaierror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, real = [True], socket.getaddrinfo

    def resolved(host: Any, *more: Any, **named: Any) -> Any:
        if host in {NAME, NAME.encode()} and not known[0]:
            raise socket.gaierror(error, "no such name")
        return real("127.0.0.1" if host in {NAME, NAME.encode()} else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    with a_trial(tmp_path, host=NAME) as trial:
        known[0] = False
        trial.line.cut()
        trial.line.mend()
        asked = len(trial.line.asked)

        assert told(trial.ask("/custom/teams")) == UNREACHABLE
        assert told(trial.people()) == UNREACHABLE
        assert told(trial.grant()) == UNREACHABLE
        assert len(trial.line.asked) == asked

        known[0] = True
        assert trial.grant().status_code == 200
