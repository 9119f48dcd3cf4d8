"""An account's invoice address, and its end: who may end it, and what ends with it."""

import json

import pytest

from tests.sandbox.conftest import Asker
from tests.sandbox.worlds import ADA, BOB, CARL, GUEST, VERA


@pytest.mark.parametrize("who", [CARL, VERA, GUEST])
async def test_a_deleted_account_is_gone_from_every_place(asker: Asker, who: str) -> None:
    account = asker.world.account(who)
    assert account
    client = asker.sandbox.keyring.add_client(account.id, "theirs", "https://example.com/back")
    asker.world.add_key(account)
    token = asker.token("global", account=who)
    await asker.ask("POST", "/account/app-transfers", {"app": "mine", "recipient": who})
    deleted = await asker.ask("DELETE", "/account", token=token)
    truth = (await asker.client.get("/sandbox/world")).json()

    assert (deleted.status_code, deleted.json()["email"]) == (200, who)
    assert account.id not in json.dumps(truth)
    assert (await asker.get("/account", token=token)).status_code == 401
    assert (await asker.get("/account/app-transfers")).json() == []
    assert client.id not in asker.sandbox.keyring.clients
    assert {key.account_id for key in asker.world.keys.values()} == {asker.world.owner.id}


async def test_everything_still_answers_when_somebody_has_left(asker: Asker) -> None:
    await asker.ask("DELETE", "/apps/bobs", who=BOB)
    asker.world.invite(asker.world.teams[next(iter(asker.world.teams))], "late@example.com", by=BOB)
    await asker.ask("DELETE", f"/apps/mine/collaborators/{CARL}")
    deleted = await asker.ask("DELETE", f"/users/{BOB}", who=BOB)
    paths = (
        "/teams/acme/members",
        "/teams/acme/invitations",
        "/apps/mine/collaborators",
        "/spaces/corp-space/members",
        "/enterprise-accounts/corp/members",
        "/enterprise-accounts/corp/events",
    )

    assert deleted.status_code == 200
    for path in paths:
        answer = await asker.get(path)
        assert answer.status_code == 200
        assert BOB not in answer.text


async def test_an_account_that_still_has_apps_or_is_in_charge_stays(asker: Asker) -> None:
    with_app = await asker.ask("DELETE", "/account", who=BOB)
    await asker.ask("DELETE", "/apps/mine")
    in_charge = await asker.ask("DELETE", "/account")

    assert (with_app.status_code, in_charge.status_code) == (422, 422)
    assert "apps" in with_app.json()["message"]
    assert "teams" in in_charge.json()["message"]
    assert (await asker.get("/account", who=ADA)).status_code == 200


async def test_an_invoice_address_is_replaced_as_a_whole(asker: Asker) -> None:
    path = "/account/invoice-address"
    await asker.ask("PUT", path, {"city": "London", "country": "GB"})
    await asker.ask("PUT", path, {"city": "Paris", "use_invoice_address": True})
    shown = (await asker.get(path)).json()

    assert (shown["city"], shown["country"], shown["use_invoice_address"]) == ("Paris", "", True)
    assert (await asker.get(path, who=BOB)).json()["city"] == ""
