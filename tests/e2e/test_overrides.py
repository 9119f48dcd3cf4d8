"""Mappings of one's own: a deployment's directory of files, and an account's expressions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from adapter.app import open_house
from adapter.config import Settings
from adapter.errors import StartupError
from adapter.models import Scope
from adapter.sandbox import RunningSandbox
from tests.e2e.serving import Connected, serving

NAMED = {"users": {"fields": {"name": "join(' ', ['the', email || user.email])"}}}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Connected]:
    with RunningSandbox() as sandbox, serving(sandbox, tmp_path) as connected:
        yield connected


def change(connected: Connected, override: Any, account_id: str = "", token: str | None = None) -> httpx.Response:
    with connected.client(token) as client:
        path = f"/integrated-account/{account_id or connected.account_id}"
        return client.patch(path, json={"unified_model_override": override})


def names(connected: Connected, **query: Any) -> set[str | None]:
    return {user["name"] for user in connected.everything("users", **query)}


def test_an_override_shapes_anew_without_asking_heroku_again(own: Connected) -> None:
    before = names(own)
    own.sandbox.reset_requests()

    assert change(own, NAMED).json()["unified_model_override"] == NAMED
    with_it = own.everything("users")
    assert change(own, None).json()["unified_model_override"] is None

    assert {user["name"] for user in with_it} == {f"the {user['username']}" for user in with_it}
    assert names(own) == before
    assert own.sandbox.request_count() == 0


def test_an_override_is_one_accounts_alone(own: Connected) -> None:
    other = own.connect(own.sandbox.owner_token, tenant_id="globex").json()["id"]
    change(own, NAMED)

    assert all(str(name).startswith("the ") for name in names(own))
    assert not any(str(name).startswith("the ") for name in names(own, integrated_account_id=other))


def test_it_is_filtered_sorted_and_got_by_what_it_gives(own: Connected) -> None:
    change(own, NAMED)

    found = own.users(name="the member@example.com").json()["result"]
    one = own.get(f"/unified/user-directory/users/{found[0]['id']}").json()

    assert [user["username"] for user in found] == ["member@example.com"]
    assert one["name"] == "the member@example.com"


def test_grants_rest_on_the_mapping_whatever_an_override_makes_of_roles(own: Connected) -> None:
    before = own.everything("role_assignments")
    change(own, {"users": {"fields": {"roles": "`[]`"}}})

    assert own.everything("role_assignments") == before
    assert {tuple(user["roles"]) for user in own.everything("users")} == {()}


def test_what_it_can_not_read_is_missing_and_told(own: Connected) -> None:
    change(own, {"users": {"fields": {"name": "|".join(["[@,@][]"] * 15)}}})

    body = own.users().json()

    assert body["result"] == []
    assert body["is_partial_response"] is True
    assert {gap["reason"] for gap in body["missing"]} == {"record_unreadable"}
    assert len(body["missing"]) < 100
    assert own.get("/unified/user-directory/groups").json()["result"]


def test_only_an_api_token_sets_it_or_sees_it(own: Connected) -> None:
    change(own, NAMED)
    token = own.account_token(*Scope)

    assert change(own, None, token=token).status_code == 403
    assert "unified_model_override" not in own.get("/integrated-account/me", token=token).json()
    assert own.get("/integrated-account/me").json()["unified_model_override"] == NAMED


@pytest.mark.parametrize(
    ("override", "where"),
    [
        ({"people": {}}, "unified_model_override.people"),
        ({"users": {"fields": {"id": "email"}}}, "unified_model_override.users.fields.id"),
        ({"users": {"fields": {"name": "a["}}}, "unified_model_override.users.fields.name"),
        ({"users": {"writes": {}}}, "unified_model_override.users.writes"),
        ("users", "unified_model_override"),
    ],
)
def test_one_that_can_not_be_used_is_refused_and_the_old_one_stays(
    connected: Connected, override: Any, where: str
) -> None:
    answer = change(connected, override)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_body")
    assert answer.json()["details"][0]["where"] == where
    assert connected.get("/integrated-account/me").json()["unified_model_override"] is None


def test_an_account_is_connected_with_its_override_and_keeps_it_when_it_reconnects(own: Connected) -> None:
    body = {"tenant_id": "new", "authentication_method": "api_key", "context": {"api_key": own.sandbox.owner_token}}
    with own.client() as client:
        bad = client.post(
            "/integrated-account", json={**body, "unified_model_override": {"users": {"fields": {"id": "x"}}}}
        )
        first = client.post("/integrated-account", json={**body, "unified_model_override": NAMED}).json()
        again = client.post("/integrated-account", json=body).json()

    assert bad.status_code == 400
    assert first["unified_model_override"] == again["unified_model_override"] == NAMED
    assert first["id"] == again["id"]


# --- the deployment's own files


def mappings(tmp_path: Path, **files: Any) -> str:
    folder = tmp_path / "mappings" / "heroku"
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return str(folder.parent)


def test_a_deployments_files_are_laid_over_the_shipped_ones(tmp_path: Path) -> None:
    over = mappings(tmp_path, groups={"resource": "groups", "fields": {"name": {"description": "Ours"}}, "filters": {
        "kind": {"path": "heroku_type", "values": ["enterprise", "team"]}}})  # fmt: skip
    with RunningSandbox() as sandbox, serving(sandbox, tmp_path, mappings_dir=over) as connected:
        found = connected.everything("groups", kind="team")
        described = connected.get("/openapi.json").text

    assert found
    assert {group["heroku_type"] for group in found} == {"team"}
    assert '"Ours"' in described


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ({"fields": {"name": {"typ": "string"}}}, "fields.name"),
        ({"filters": {"kind": {"path": "a["}}}, "filters.kind.path"),
        ({"sort": ["shoe_size"]}, "sort[0]"),
    ],
)
async def test_files_that_can_not_be_used_are_named_at_start(tmp_path: Path, content: Any, where: str) -> None:
    over = mappings(tmp_path, groups=content)
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'a.db'}", mappings_dir=over)

    with pytest.raises(StartupError) as refused:
        async with open_house(settings):
            pass

    assert str(tmp_path / "mappings" / "heroku" / "groups.yaml") in refused.value.message
    assert where in refused.value.message
    assert not (tmp_path / "a.db").exists(), "nothing was begun"
