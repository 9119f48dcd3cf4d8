import httpx
import pytest

from tests.cli.conftest import Terminal


def test_a_link_is_shown_once_alone_on_stdout(terminal: Terminal) -> None:
    made = terminal("link", "create", "--tenant", "acme", "--tenant-name", "Acme Inc.")

    assert made.code == 0
    url = httpx.URL(made.out.strip())
    assert (url.path, url.params["link_token"][:4]) == ("/connect-account", "udl_")
    assert made.out.count("\n") == 1
    assert "tenant acme" in made.err


def test_it_is_of_the_public_address(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBLIC_URL", "https://adapter.example.com/heroku/")

    made = terminal("link", "create", "--tenant", "acme", "--json").json

    assert made["url"] == f"https://adapter.example.com/heroku/connect-account?link_token={made['link_token']}"
    assert set(made) == {"link_token", "url", "expires_at"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "either `tenant_id` or `integrated_account_id`"),
        (["--tenant", "acme", "--account", "x"], "either `tenant_id` or `integrated_account_id`"),
        (["--tenant", "acme", "--redirect-uri", "https://elsewhere.example"], "ADAPTER_REDIRECT_URIS"),
        (["--tenant", "acme", "--origin", "https://elsewhere.example"], "ADAPTER_ORIGINS"),
        (["--tenant", "acme", "--scope", "everything"], "is no scope"),
        (["--tenant", "acme", "--method", "oauth2"], "names none that this deployment offers"),
    ],
)
def test_what_can_not_be_asked_for_is_refused(terminal: Terminal, arguments: list[str], told: str) -> None:
    made = terminal("link", "create", *arguments)

    assert made.code == 2
    assert told in made.err


def test_an_account_that_is_not_there_has_no_link(terminal: Terminal) -> None:
    assert terminal("link", "create", "--account", "nothing").code == 1
