"""A Heroku that can't be reached in the first place: its name unknown, its certificate no good."""

import asyncio
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

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
UNREACHABLE, TIMEOUT = (502, "upstream_unreachable"), (504, "upstream_timeout")


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


PRESENTED: Mapping[str, tuple[Callable[[Guarded], ssl.SSLContext | None], tuple[int, str]]] = {
    "expired": (lambda guarded: guarded.authority.expired(), UNREACHABLE),
    "for_another_host": (lambda guarded: guarded.authority.of_another(), UNREACHABLE),
    "by_a_stranger": (of_a_stranger, UNREACHABLE),
    # Whoever expects a plain request goes on waiting for the end of its head.
    "none_at_all": (lambda _: None, TIMEOUT),
}
"""What is shown in place of the good certificate, and what callers are told."""


@pytest.mark.parametrize("name", PRESENTED)
def test_nothing_is_said_to_whoever_has_no_good_certificate(guarded: Guarded, name: str) -> None:
    trial, (made, expected) = guarded.trial, PRESENTED[name]
    asked = len(trial.line.asked)
    trial.line.speak(made(guarded))
    try:
        assert told(trial.ask("/custom/teams")) == expected
        assert told(trial.ask("/proxy/teams")) == expected
        assert told(trial.people()) == expected
        assert told(trial.grant()) == expected
        assert len(trial.line.asked) == asked
        assert trial.http.get("/readyz").status_code == 200
    finally:
        trial.line.speak(guarded.authority.good())

    trial.is_well()


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
