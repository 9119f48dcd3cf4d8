"""Off-boardings through the whole house, on each engine: journalled, proved, gone on with, and joined over accounts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from adapter.app import House, open_house
from adapter.config import Settings
from adapter.directory.query import Query
from adapter.directory.writing.model import UNFINISHED, Ask, Change, Operation, PersonRef, PlaceRef
from adapter.directory.writing.report import Report
from adapter.directory.writing.tenants import over_all
from adapter.models import IntegratedAccount, Secret
from adapter.sandbox import Options, RunningSandbox, World
from tests.directory.writing.offboarding import held, standing
from tests.directory.writing.test_verifying import BOB, app, forty, given, world
from tests.e2e.serving import KEY

AT_ONCE = Options(consistency_s=0)


@asynccontextmanager
async def house_at(heroku: RunningSandbox, database_url: str) -> AsyncIterator[House]:
    settings = Settings(database_url=database_url, adapter_secret_keys=KEY, heroku_api_url=heroku.url)
    async with open_house(settings) as house:
        house.writes.start()
        yield house


async def connected(house: House, heroku: RunningSandbox, email: str | None = None) -> IntegratedAccount:
    token = heroku.token(["global"], account=email) if email else heroku.owner_token
    return await house.accounts.connect_api_key(tenant_id="acme", api_key=Secret(token))


def everything(proof: Any = "places") -> Ask:
    return Ask(kind="users.offboard", person=PersonRef(email=BOB), everywhere=True, proof=proof)


async def offboarded(house: House, account: IntegratedAccount, ask: Ask) -> Operation:
    client = await house.accounts.open(account.id)
    outcome = await house.writes.write(account.id, client, None, ask, wait=60)
    assert outcome.finished
    return outcome.operation


async def until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not so():  # noqa: ASYNC110  # another process has no event to wait for
            await asyncio.sleep(0.02)


async def ended(house: House, operation_id: str) -> Operation:
    async with asyncio.timeout(30):
        operation = await house.writes.operation(None, operation_id)
        while operation.status in UNFINISHED:
            await asyncio.sleep(0.05)
            operation = await house.writes.operation(None, operation_id)
        return operation


def report_of(operation: Operation) -> Report:
    return msgspec.convert(operation.result, Report)


async def test_forty_places_are_left_proved_and_written_down(database_url: str) -> None:
    with RunningSandbox(forty, options=AT_ONCE) as heroku:
        async with house_at(heroku, database_url) as house:
            account = await connected(house, heroku)
            operation = await offboarded(house, account, everything())
            journal = await house.writes.operation(None, operation.id)

        report = report_of(operation)
        assert held(heroku, BOB) == set()
        assert (operation.status, report.is_complete, len(report.places)) == ("succeeded", True, 40)
        assert len([one for one in heroku.requests() if one["method"] != "GET"]) == 40
        assert report.requests <= journal.plan.cost.read_back
        told = [event.what for event in journal.events]
        assert told[-3:] == ["read_back", "verified", "finished"]
        assert journal.events[-2].data["gone"] == 40
        assert report_of(journal) == report


def namesakes() -> World:
    """Of every two teams, the second one is named like the first one's id; Bob is in all of them."""
    made = World()
    owner, bob = made.add_account("owner@example.com"), made.add_account(BOB)
    for n in range(3):
        team = made.add_team(f"team-{n}", admins=[owner])
        for each in (team, made.add_team(team.id, admins=[owner])):
            made.add_member(each, bob, "member")
    return made


@pytest.mark.parametrize("consistency_s", [0, 0.5])
async def test_who_leaves_a_team_leaves_the_one_that_is_named_like_its_id_too(
    database_url: str, consistency_s: float
) -> None:
    with RunningSandbox(namesakes, options=Options(consistency_s=consistency_s)) as heroku:
        async with house_at(heroku, database_url) as house:
            account = await connected(house, heroku)
            report = report_of(await offboarded(house, account, everything()))

        assert held(heroku, BOB) == set()
        assert (report.is_complete, len(report.places)) == (True, 6)


async def test_who_left_a_team_is_still_shown_in_the_one_that_is_named_like_its_id(database_url: str) -> None:
    with RunningSandbox(namesakes, options=AT_ONCE) as heroku:
        async with house_at(heroku, database_url) as house:
            account = await connected(house, heroku)
            team = heroku.world.team("team-0")
            assert team is not None
            taken = Ask(
                kind="groups.remove-user",
                person=PersonRef(email=BOB),
                changes=(Change(verb="take", place=PlaceRef(kind="team", id=team.id)),),
            )
            assert (await offboarded(house, account, taken)).status == "succeeded"
            report = report_of(await offboarded(house, account, everything()))

        assert held(heroku, BOB) == set()
        assert (report.is_complete, len(report.places)) == (True, 5)


async def test_a_grant_that_the_directory_does_not_know_of_is_found_by_the_full_proof_and_taken(
    database_url: str,
) -> None:
    with RunningSandbox(world, options=AT_ONCE) as heroku:
        other = heroku.world.add_app("other", owner=heroku.world.account("ada@example.com"))
        async with house_at(heroku, database_url) as house:
            account = await connected(house, heroku)
            client = await house.accounts.open(account.id)
            await house.directory.list_records(account.id, client, house.directory.resource("users"), Query())
            given(heroku, other)
            before = held(heroku, BOB)
            operation = await offboarded(house, account, everything("full"))

        report = report_of(operation)
        assert held(heroku, BOB) == set()
        assert set(standing(report)) >= before >= {"app other"}
        assert report.is_complete
        assert operation.status == "succeeded"
        assert [event.what for event in operation.events].count("read_back") == 2
        assert [state.status for state in operation.steps] == ["done"] * len(operation.steps)


async def test_a_proof_that_a_process_leaves_is_gone_on_with_by_another(database_url: str) -> None:
    with RunningSandbox(world, options=Options(consistency_s=3600)) as heroku:
        async with house_at(heroku, database_url) as house:
            account = await connected(house, heroku)
            client = await house.accounts.open(account.id)
            left = (await house.writes.write(account.id, client, None, everything(), wait=0)).operation
            path = f"/apps/{app(heroku, 'mine').id}/collaborators"
            await until(lambda: heroku.request_count(path=f"{path}/*", method="DELETE") > 0)
            heroku.reset_requests()
            await until(lambda: heroku.request_count(path=path, method="GET") > 1)
        heroku.advance(3600)
        async with house_at(heroku, database_url) as house:
            assert (await house.writes.operation(None, left.id)).status in UNFINISHED
            operation = await ended(house, left.id)

        assert operation.status == "succeeded"
        assert report_of(operation).is_complete
        assert held(heroku, BOB) == set()
        assert set(standing(report_of(operation)).values()) == {"gone"}


async def test_all_accounts_of_a_tenant_are_joined(database_url: str) -> None:
    with RunningSandbox(world, options=AT_ONCE) as heroku:
        heroku.world.grant(heroku.world.add_app("carls", owner=heroku.world.add_account("carl@example.com")), BOB)
        async with house_at(heroku, database_url) as house:
            accounts = [await connected(house, heroku), await connected(house, heroku, "carl@example.com")]
            told = await over_all(accounts, lambda account: offboarded(house, account, everything()))

        assert held(heroku, BOB) == set()
        assert told.is_complete
        assert {place.place.name for place in told.places} >= {"carls", "mine", "acme"}
        assert [part.status for part in told.accounts] == ["succeeded", "succeeded"]


async def test_what_could_not_be_read_back_is_written_down_as_unverified(database_url: str) -> None:
    with RunningSandbox(world, options=AT_ONCE) as heroku:
        async with house_at(heroku, database_url) as house:
            account = await connected(house, heroku)
            client = await house.accounts.open(account.id)
            await house.directory.list_records(account.id, client, house.directory.resource("users"), Query())
            path = f"/apps/{app(heroku, 'mine').id}/collaborators"
            heroku.faults([{"kind": "status", "status": 403, "match": {"method": "GET", "path": path}}])
            operation = await offboarded(house, account, everything())

        report = report_of(operation)
        assert standing(report)["app mine"] == "unverified"
        assert not report.is_complete
        assert held(heroku, BOB) == set()
        assert {name for name, state in standing(report).items() if state == "gone"} == set(standing(report)) - {
            "app mine"
        }


async def test_an_operation_that_is_resumed_reports_what_was_held_before_it_began(database_url: str) -> None:
    with RunningSandbox(world, options=AT_ONCE) as heroku:
        async with house_at(heroku, database_url) as house:
            account = await connected(house, heroku)
            path = f"/apps/{app(heroku, 'mine').id}/collaborators/*"
            refused = {"kind": "status", "status": 422, "match": {"method": "DELETE", "path": path}, "times": 1}
            heroku.faults([refused])
            first = await offboarded(house, account, everything())
            assert held(heroku, BOB) == {"app mine"}
            await house.writes.resume(None, first.id)
            second = await ended(house, first.id)

        told = report_of(first)
        assert first.status == "partial"
        assert {name for name, state in standing(told).items() if state != "gone"} == {"app mine"}
        assert standing(told)["app mine"] == "remains"
        again = report_of(second)
        assert second.status == "succeeded"
        assert held(heroku, BOB) == set()
        assert again.is_complete
        assert set(standing(again)) == set(standing(told))
        assert again.rotate_secrets_of == told.rotate_secrets_of != ()


async def test_a_proof_that_is_cancelled_tells_what_it_has_not_seen(database_url: str) -> None:
    with RunningSandbox(world, options=Options(consistency_s=3600)) as heroku:
        async with house_at(heroku, database_url) as house:
            account = await connected(house, heroku)
            client = await house.accounts.open(account.id)
            begun = (await house.writes.write(account.id, client, None, everything(), wait=0)).operation
            path = f"/apps/{app(heroku, 'mine').id}/collaborators"
            await until(lambda: heroku.request_count(path=f"{path}/*", method="DELETE") > 0)
            heroku.reset_requests()
            await until(lambda: heroku.request_count(path=path, method="GET") > 1)
            operation = await house.writes.cancel(None, begun.id)

        report = report_of(operation)
        assert operation.status == "succeeded", "every step was done"
        assert not report.is_complete
        assert standing(report)["app mine"] == "unverified"
        assert standing(report)["team acme"] == "gone"
