"""One removal over several accounts: each operation once, and the reports joined."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec

from adapter.directory.lists import Missing
from adapter.directory.writing.model import Ask, Cost, Operation, OperationStatus, PlaceRef, Plan
from adapter.directory.writing.report import PlaceReport, Report, Return, Secrets, Standing
from adapter.directory.writing.tenants import Joined, by_identity, over_all
from adapter.errors import AccountBlocked
from adapter.models import IntegratedAccount, ProviderIdentity

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
ACME = PlaceRef(kind="team", id="acme", name="acme")
WEB = PlaceRef(kind="app", id="web", name="web")
LEFT_OUT = Missing(unit="team_members", reason="forbidden", message="no", place={"team": {"id": "other"}})


def account(key: str, identity: str | None = None, **more: Any) -> IntegratedAccount:
    return IntegratedAccount(
        id=key,
        tenant_id="t",
        authentication_method="api_key",
        identity=ProviderIdentity(id=identity) if identity else None,
        created_at=NOON,
        updated_at=NOON,
        **{"status": "active", **more},
    )


def place(ref: PlaceRef, state: Standing) -> PlaceReport:
    return PlaceReport(place=ref, state=state, verified_at=NOON if state == "gone" else None)


def report(*places: PlaceReport, missing: tuple[Missing, ...] = (), **more: Any) -> Report:
    complete = not missing and all(one.state == "gone" for one in places)
    return Report(
        account_id="a",
        person=None,
        is_complete=complete,
        proof="places",
        proved_at=NOON,
        requests=1,
        places=places,
        missing=missing,
        **more,
    )


def operation(result: Report | None, status: OperationStatus = "succeeded") -> Operation:
    """As the journal gives it back: its result is plain JSON."""
    return Operation(
        id="op",
        account_id="a",
        tenant_id="t",
        kind="users.offboard",
        status=status,
        caller={},
        ask=Ask(kind="users.offboard", everywhere=True),
        plan=Plan(kind="users.offboard", cost=Cost(steps=0), etag=""),
        result=msgspec.json.decode(msgspec.json.encode(result)),
        created_at=NOON,
        updated_at=NOON,
    )


async def over(outcomes: dict[str, Any], *accounts: IntegratedAccount) -> Joined:
    async def carry_out(one: IntegratedAccount) -> Operation:
        outcome = outcomes[one.id]
        if isinstance(outcome, Exception):
            raise outcome
        return operation(outcome)

    return await over_all(accounts or [account(key) for key in outcomes], carry_out)


async def test_what_every_account_calls_gone_is_complete() -> None:
    told = await over({"a": report(place(ACME, "gone")), "b": report(place(WEB, "gone"))})

    assert told.is_complete
    assert [one.place.id for one in told.places] == ["acme", "web"]
    assert [(part.account_id, part.status, part.is_complete) for part in told.accounts] == [
        ("a", "succeeded", True),
        ("b", "succeeded", True),
    ]


async def test_a_place_is_gone_where_one_account_read_it_so_and_another_may_do_nothing_there() -> None:
    told = await over({"a": report(place(ACME, "remains")), "b": report(place(ACME, "gone"))})

    assert [(one.place.id, one.state) for one in told.places] == [("acme", "gone")]
    assert told.is_complete
    assert not told.accounts[0].is_complete


async def test_a_doubt_outweighs_a_reason_and_keeps_it_from_being_complete() -> None:
    told = await over({"a": report(place(ACME, "remains")), "b": report(place(ACME, "unverified"))})

    assert [one.state for one in told.places] == ["unverified"]
    assert not told.is_complete


async def test_a_place_where_one_account_saw_the_person_all_the_same_is_not_gone() -> None:
    seen = PlaceReport(place=ACME, state="unverified", why="still_listed")

    for one, other in ((seen, place(ACME, "gone")), (place(ACME, "gone"), seen)):
        told = await over({"a": report(one), "b": report(other)})

        assert [found.state for found in told.places] == ["unverified"]
        assert not told.is_complete


async def test_an_account_that_fails_keeps_no_other_back_and_is_told() -> None:
    told = await over({"a": AccountBlocked(), "b": report(place(WEB, "gone"))})

    assert [one.state for one in told.places] == ["gone"]
    assert not told.is_complete
    failed = told.accounts[0]
    assert failed.error is not None
    assert failed.error["code"] == "account_blocked"
    assert failed.operation_id is None


async def test_an_operation_without_a_report_is_not_complete() -> None:
    told = await over({"a": None, "b": report()})

    assert not told.is_complete
    assert not told.accounts[0].is_complete


async def test_nothing_at_all_is_not_complete() -> None:
    assert not (await over_all([], lambda _: asyncio.Future())).is_complete


async def test_what_one_account_could_not_read_stays_missing() -> None:
    told = await over({"a": report(place(ACME, "gone"), missing=(LEFT_OUT,)), "b": report(missing=(LEFT_OUT,))})

    assert told.missing == (LEFT_OUT,)
    assert not told.is_complete


async def test_ways_back_and_secrets_are_told_once() -> None:
    back, secrets = Return(place=ACME, how="sso_jit", through="idp"), Secrets(place=WEB, roles=("app:deploy",))
    both = report(may_return=(back,), rotate_secrets_of=(secrets,))
    told = await over({"a": both, "b": both})

    assert told.may_return == (back,)
    assert told.rotate_secrets_of == (secrets,)


async def test_two_connections_to_one_provider_account_are_done_once() -> None:
    accounts = [account("a", "ada"), account("b", "bob"), account("c", "ada")]
    told = await over({"a": report(), "b": report()}, *accounts)

    assert [(part.account_id, part.same_as) for part in told.accounts] == [("a", ("c",)), ("b", ())]


def test_of_two_connections_the_one_that_works_is_taken() -> None:
    accounts = [account("a", "ada", status="needs_reauth"), account("b", "ada", is_blocked=True), account("c", "ada")]

    assert [[one.id for one in group] for group in by_identity(accounts)] == [["c", "a", "b"]]


def test_connections_whose_account_is_not_known_are_taken_for_different_ones() -> None:
    assert len(by_identity([account("a"), account("b")])) == 2


async def test_only_some_are_under_way_at_a_time() -> None:
    under_way, most = 0, 0

    async def carry_out(_: IntegratedAccount) -> Operation:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return operation(report())

    await over_all([account(str(n)) for n in range(12)], carry_out)

    assert 1 < most <= 4
