from pathlib import Path

import pytest

from adapter.declarations import bundled_dir
from adapter.errors import DeclarationError, UpstreamNonsense
from adapter.models import ProviderIdentity, Scope
from adapter.upstream.provider import load_provider


def overridden(tmp_path: Path, text: str) -> list[Path]:
    (tmp_path / "heroku").mkdir()
    (tmp_path / "heroku" / "provider.yaml").write_text(text)
    return [bundled_dir(), tmp_path]


def test_the_shipped_provider_is_heroku() -> None:
    provider = load_provider()

    assert (provider.id, provider.base_url, provider.paging.max) == ("heroku", "https://api.heroku.com", 1000)
    assert (provider.budget.capacity, provider.budget.per_minute, provider.timeouts.answer) == (4500, 75, 30)
    assert provider.errors.id_of(401) == "unauthorized"


def test_an_override_is_laid_over_field_by_field(tmp_path: Path) -> None:
    dirs = overridden(
        tmp_path, "base_url: https://heroku.example\nbudget: {capacity: 9000}\naccess: {read: [GET /x]}\n"
    )

    provider = load_provider(dirs)

    assert (provider.base_url, provider.budget.capacity, provider.budget.per_minute) == (
        "https://heroku.example",
        9000,
        75,
    )
    assert provider.access_table().needed_scope("GET", "/x") is Scope.RAW_READ
    assert provider.access_table().needed_scope("GET", "/apps") is Scope.RAW_SECRETS
    assert provider.access_table().needed_scope("PUT", "/teams/t/members") is Scope.RAW_WRITE


@pytest.mark.parametrize(
    ("text", "path", "found"),
    [
        ("nam: x\n", "nam", "unknown word"),
        ("base_url: ftp://x\n", "base_url", "match"),
        ("base_url: https://x/path\n", "base_url", "match"),
        ("budget: {capacity: 0}\n", "budget.capacity", ">= 1"),
        ("budget: {strategy: leaky}\n", "budget", "leaky"),
        ("paging: {strategy: link}\n", "paging", "link"),
        ("oauth: {strategy: rfc6749}\n", "oauth", "rfc6749"),
        ("oauth: {token: oauth/token}\n", "oauth.token", "match"),
        ("oauth: {revoke: {client_id: x}}\n", "oauth.revoke", "unknown word"),
        ("timeouts: {token: 0}\n", "timeouts.token", "> 0"),
        ("timeouts: {answer: 0}\n", "timeouts.answer", "> 0"),
        ("identity: {path: account}\n", "identity.path", "match"),
        ("access: {read: [GET apps]}\n", "access.read[0]", "METHOD"),
        ("access: {reed: []}\n", "access", "unknown word"),
        ("never_forward: x-a\n", "never_forward", "array"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, text: str, path: str, found: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        load_provider(overridden(tmp_path, text))

    assert str(tmp_path) in caught.value.file
    assert path in f"{caught.value.path} {caught.value.found}"
    assert found in str(caught.value)


def test_a_provider_that_nobody_declared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="does not exist"):
        load_provider([tmp_path])


def test_identity_is_read_by_its_fields() -> None:
    identity = load_provider().identity

    assert identity.read({"id": "i", "email": "e", "name": None}) == ProviderIdentity(id="i", email="e", name=None)
    answers: list[object] = [{}, {"id": None}, {"id": 1}, {"id": ""}, [], None]
    for answer in answers:
        with pytest.raises(UpstreamNonsense):
            identity.read(answer)
