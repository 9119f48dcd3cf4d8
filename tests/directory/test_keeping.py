"""Units that last: written behind the reading, read back, and shared among processes on one database."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec
import pytest

from adapter.directory.keeping import DatabaseKeeper, Forgetful
from adapter.directory.layout import Declared
from adapter.directory.state import State
from adapter.directory.units import AccountUnits
from adapter.errors import RemoteError, RemoteForbidden, RemoteNotFound, StorageUnavailable, UpstreamTimeout
from adapter.storage.accounts import AccountStore
from adapter.storage.claims import Claims, OwnClaims, PostgresClaims, claims_for
from adapter.storage.database import Database
from adapter.storage.units import StoredUnit, UnitStore
from tests.directory.fakes import SHIPPED, Clock, Listed, Provider, forbidden, missing
from tests.storage.samples import an_account

ME = "me"
TEAMS = SHIPPED.units["teams"]
MEMBERS = SHIPPED.units["team_members"]


class Process:
    """What one process knows of the account: its units, on the database that it shares with others."""

    def __init__(self, database: Database, provider: Provider, clock: Clock, store: UnitStore | None = None) -> None:
        self.provider = provider
        self.claims: Claims = claims_for(database)
        self.store = store or UnitStore(database)
        self.keeper = DatabaseKeeper(ME, self.store, self.claims, shared=database.dialect == "postgresql")
        self.units = AccountUnits(clock, keeper=self.keeper, layout=Declared(SHIPPED))

    async def read(self, path: str = "/teams", max_age: float = 60.0) -> State:
        await self.units.open()
        return await self.units.read(TEAMS if path == "/teams" else MEMBERS, path, self.provider, max_age)

    async def write(self, touched: Callable[[str], bool] = lambda _: True) -> None:
        """What follows a write to the provider."""
        await self.units.open()
        await self.units.make_stale(touched)

    async def close(self) -> None:
        await self.units.close()
        await self.claims.close()


Start = Callable[..., Process]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def provider() -> Provider:
    return Provider({"/teams": [{"id": "t1"}], "/teams/t1/members": [{"id": "m1"}]})


@pytest.fixture
async def start(database: Database, provider: Provider, clock: Clock) -> AsyncIterator[Start]:
    """Starts a process, on each engine."""
    await AccountStore(database).add(an_account(id=ME), b"sealed")
    processes: list[Process] = []

    def started(store: UnitStore | None = None) -> Process:
        processes.append(Process(database, provider, clock, store))
        return processes[-1]

    yield started
    for process in processes:
        await process.close()


@pytest.fixture
async def pair(postgres_url: str, provider: Provider, clock: Clock) -> AsyncIterator[tuple[Process, Process]]:
    """Two processes on one PostgreSQL."""
    async with Database(postgres_url) as one, Database(postgres_url) as other:
        await AccountStore(one).add(an_account(id=ME), b"sealed")
        processes = (Process(one, provider, clock), Process(other, provider, clock))
        yield processes
        for process in processes:
            await process.close()


# --- keeping and reading back


async def test_a_unit_is_written_behind_the_reading_and_read_back_after_a_restart(start: Start, clock: Clock) -> None:
    before = start()
    state = await before.read()
    before.units.proved(state, 19_000, held=False)
    before.units.cost_of_gather(7)
    await before.keeper.settle()
    clock.tick(50)

    after = start()
    again = await after.read()

    assert after.provider.calls == ["/teams"]
    assert (again.records, again.fetched_at, again.changed_at, again.cost, again.proof, again.stale) == (
        [{"id": "t1"}], clock() - 50, clock() - 50, 1, (19_000, False), False,
    )  # fmt: skip
    assert after.units.gather_cost == 7


@pytest.mark.parametrize(
    "error",
    [
        RemoteForbidden(403, "no", remote_id="forbidden", insight={"forbidden_error": {"missing_scopes": ["read"]}}),
        RemoteNotFound(404, "gone", remote_id="not_found"),
        RemoteError(402, "pay", remote_id="delinquent"),
    ],
    ids=["403", "404", "402"],
)
async def test_a_refusal_is_read_back_as_the_same(start: Start, error: RemoteError) -> None:
    before = start()
    before.provider.answers["/teams"] = error
    await before.read()
    await before.keeper.settle()
    again = (await start().read()).error

    assert isinstance(again, RemoteError)
    assert type(again) is type(error)
    assert (again.status, again.message, again.remote_id, again.insight) == (
        error.status, error.message, error.remote_id, error.insight,
    )  # fmt: skip
    assert before.provider.calls == ["/teams"]


async def test_a_refetched_unit_keeps_its_proof_over_a_restart(start: Start, clock: Clock) -> None:
    before = start()
    before.units.proved(await before.read(), 19_000, held=True)
    clock.tick(100)
    await before.read()
    await before.keeper.settle()

    assert (await start().read()).proof == (19_000, True)


async def test_a_write_is_remembered_over_a_restart(start: Start) -> None:
    before = start()
    await before.read()
    await before.read("/teams/t1/members")
    await before.write(lambda path: path == "/teams")
    after = start()
    await after.read()
    await after.read("/teams/t1/members")

    assert after.provider.calls == ["/teams", "/teams/t1/members", "/teams"]


async def test_what_is_read_after_a_write_is_fresh_after_a_restart(start: Start) -> None:
    before = start()
    await before.write()
    await before.read()
    await before.keeper.settle()

    assert not (await start().read()).stale
    assert before.provider.calls == ["/teams"]


class Endless(UnitStore):
    """While a reading is saved, the next one has come, until one may come after all."""

    keeper: DatabaseKeeper
    saved = 0

    async def save(self, account_id: str, generation: int, units: Sequence[StoredUnit]) -> None:
        self.saved += 1
        if self.saved < 100:
            self.keeper.keep(State(f"/teams/{self.saved}/members", [], fetched_at=1.0, cost=1), 0)
        await super().save(account_id, generation, units)


async def test_a_write_waits_for_what_was_read_before_it_and_for_nothing_later(
    start: Start, database: Database
) -> None:
    process = start(store := Endless(database))
    store.keeper = process.keeper
    await process.read()

    await process.write()

    assert 1 <= store.saved < 10
    assert [(unit.path, unit.stale) for unit in await store.load(ME, ["/teams"])] == [("/teams", True)]
    await process.units.close()
    while store.saved < 100:
        await process.keeper.settle()
    assert len(await store.load(ME)) == 100


@pytest.mark.parametrize(
    "body",
    [
        b"garbage",
        b"",
        zlib.compress(b'[{"id": "t1"}]')[:-5],
        zlib.compress(b"[{"),
        zlib.compress(b'{"id": "t1"}'),
        zlib.compress(b'["\xff"]'),
        None,
    ],
    ids=["no zlib", "empty", "truncated", "no json", "no list", "no utf-8", "neither body nor refusal"],
)
async def test_what_cannot_be_read_any_more_is_fetched_again(start: Start, clock: Clock, body: bytes | None) -> None:
    process = start()
    row = StoredUnit(path="/teams", body=body, cost=1, fetched_at=clock(), changed_at=clock())
    await process.store.save(ME, 0, [row])

    assert (await process.read()).records == [{"id": "t1"}]
    await process.keeper.settle()
    assert (await start().read()).records == [{"id": "t1"}]
    assert process.provider.calls == ["/teams"]


class Failing(UnitStore):
    """Fails in saving as long as there is an `error`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.error: Exception | None = None

    async def save(self, account_id: str, generation: int, units: Sequence[StoredUnit]) -> None:
        if self.error is not None:
            raise self.error
        await super().save(account_id, generation, units)


@pytest.mark.parametrize("error", [StorageUnavailable(), ValueError("a fault of ours")], ids=["away", "fault"])
async def test_storage_that_fails_keeps_nobody_from_reading(
    start: Start, database: Database, clock: Clock, error: Exception
) -> None:
    store = Failing(database)
    process = start(store)
    store.error = error
    first = await process.read()
    assert await process.read() is first
    await process.keeper.settle()
    clock.tick(100)
    # Its claim was given back: else this would wait for good.
    second = await asyncio.wait_for(process.read(), 10)
    assert await process.store.load(ME) == []

    store.error = None
    clock.tick(100)
    await process.read()
    await process.keeper.settle()
    assert [row.path for row in await process.store.load(ME)] == ["/teams"]
    assert second.records == first.records
    assert process.provider.calls == ["/teams"] * 3


async def test_units_of_a_removed_account_are_kept_nowhere(start: Start, database: Database) -> None:
    process = start()
    await AccountStore(database).remove(ME)

    assert (await process.read()).records == [{"id": "t1"}]
    await process.keeper.settle()
    assert await process.store.load(ME) == []


async def test_alone_a_process_asks_nobody(database: Database) -> None:
    keeper = DatabaseKeeper(ME, UnitStore(database), OwnClaims(), shared=False)
    for kept in (keeper, Forgetful()):
        assert await kept.claim("/teams") is True
        assert await kept.look("/teams") is None
        assert await kept.generation() is None


# --- what has not changed


class Conditional(Provider):
    """Answers with an ETag, and with 304 to whoever has it."""

    async def iterate(self, path: str, *, etag: str | None = None, **more: Any) -> Any:
        listed = await super().iterate(path, **more)
        now = f'"{hash(msgspec.json.encode(listed.records))}"'
        if etag == now:
            return Listed(records=[], requests=1, etag=etag, not_modified=True)
        return Listed(records=listed.records, requests=1, etag=now)


async def test_a_list_that_has_not_changed_keeps_its_records_version_and_shapes(start: Start, clock: Clock) -> None:
    process = start()
    process.provider = Conditional(process.provider.answers)
    first = await process.read()
    clock.tick(100)
    second = await process.read()

    assert second is not first
    assert second.records is first.records
    assert (second.version, second.changed_at, second.etag) == (first.version, first.changed_at, first.etag)
    assert second.shaped is first.shaped
    assert second.fetched_at == clock()
    await process.keeper.settle()

    again = start()
    again.provider = process.provider
    clock.tick(100)
    third = await again.read()
    assert (third.records, third.changed_at, third.fetched_at) == (first.records, first.changed_at, clock())

    process.provider.answers["/teams"] = [{"id": "t2"}]
    clock.tick(100)
    assert (await again.read()).records == [{"id": "t2"}]


async def test_a_refusal_is_never_taken_for_unchanged(start: Start, clock: Clock) -> None:
    process = start()
    process.provider = Conditional(process.provider.answers)
    await process.read()
    process.provider.answers["/teams"] = forbidden()
    clock.tick(100)
    assert (await process.read()).error is not None
    process.provider.answers["/teams"] = [{"id": "t1"}]
    clock.tick(100)

    assert (await process.read()).records == [{"id": "t1"}]


# --- among processes

Pair = tuple[Process, Process]


async def test_two_processes_that_ask_at_once_cause_one_fetch(pair: Pair) -> None:
    one, other = pair
    gate = one.provider.block("/teams")
    asking = [asyncio.create_task(process.read()) for process in (one, other, one, other)]
    await one.provider.begun["/teams"].wait()
    gate.set()
    states = await asyncio.wait_for(asyncio.gather(*asking), 10)

    assert [state.records for state in states] == [[{"id": "t1"}]] * 4
    assert one.provider.calls == ["/teams"]


async def test_what_one_process_has_read_the_other_takes_over(pair: Pair, clock: Clock) -> None:
    one, other = pair
    await other.units.open()
    first = await one.read()
    await one.keeper.settle()
    clock.tick(30)

    assert (await other.read()).fetched_at == first.fetched_at
    assert one.provider.calls == ["/teams"]
    await one.keeper.settle()
    clock.tick(31)
    assert (await one.read()).fetched_at == clock()


async def test_a_write_in_one_process_is_seen_in_the_other_at_once(pair: Pair, clock: Clock) -> None:
    one, other = pair
    for number in range(5):
        clock.tick(1)
        await one.read()
        await other.read()
        one.provider.answers["/teams"] = [{"id": f"t{number}"}]
        await one.write()

        assert (await other.read()).records == [{"id": f"t{number}"}]
        assert (await one.read()).records == [{"id": f"t{number}"}]


async def test_a_write_touches_what_only_the_other_process_has_read(pair: Pair) -> None:
    one, other = pair
    await one.units.open()
    await other.read("/teams/t1/members")
    await other.keeper.settle()
    one.provider.answers["/teams/t1/members"] = [{"id": "m2"}]

    await one.write(lambda path: path.startswith("/teams/t1"))

    assert (await other.read("/teams/t1/members")).records == [{"id": "m2"}]


async def test_a_write_is_seen_though_the_reading_before_it_was_not_kept_yet(pair: Pair) -> None:
    one, other = pair
    await one.units.open()
    await other.read()  # and not settled
    one.provider.answers["/teams"] = [{"id": "after"}]
    await one.write()

    assert (await other.read()).records == [{"id": "after"}]


async def test_a_reading_under_way_in_the_other_process_is_not_used_after_a_write(pair: Pair) -> None:
    one, other = pair
    await one.units.open()
    gate = other.provider.block("/teams")
    early = asyncio.create_task(other.read())
    await other.provider.begun["/teams"].wait()
    await one.write()
    late = asyncio.create_task(other.read())
    await asyncio.sleep(0.1)
    gate.set()
    await asyncio.wait_for(early, 10)
    other.provider.answers["/teams"] = [{"id": "after"}]

    assert (await asyncio.wait_for(late, 10)).stale is False
    assert (await other.read()).records in ([{"id": "t1"}], [{"id": "after"}])
    assert other.provider.calls.count("/teams") == 2


async def test_a_write_is_seen_by_a_process_that_has_read_something_else_since(pair: Pair, clock: Clock) -> None:
    one, other = pair
    await other.read()
    one.provider.answers["/teams"] = [{"id": "after"}]
    await one.write()
    clock.tick(1)
    await one.read()
    await one.keeper.settle()
    clock.tick(1)
    # As a gather goes on that began before the write.
    await other.units.read(MEMBERS, "/teams/t1/members", other.provider, 60.0)

    assert (await other.read()).records == [{"id": "after"}]


async def test_two_processes_that_write_at_once_both_learn_of_both(pair: Pair, clock: Clock) -> None:
    one, other = pair
    for number in range(5):
        clock.tick(1)
        await asyncio.gather(one.read(), other.read(), one.read("/teams/t1/members"), other.read("/teams/t1/members"))
        one.provider.answers |= {"/teams": [{"id": f"t{number}"}], "/teams/t1/members": [{"id": f"m{number}"}]}

        await asyncio.gather(
            one.units.make_stale(lambda path: path == "/teams"), other.units.make_stale(lambda path: path != "/teams")
        )

        for process in pair:
            clock.tick(1)
            assert (await process.read()).records == [{"id": f"t{number}"}]
            assert (await process.read("/teams/t1/members")).records == [{"id": f"m{number}"}]


async def test_while_a_write_is_being_noted_what_was_kept_before_it_is_not_taken_for_fresh(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = pair
    await one.read()
    await one.keeper.settle()
    noting, goes_on = asyncio.Event(), asyncio.Event()
    mark_stale = one.store.mark_stale

    async def slowly(*about: Any) -> int:
        noting.set()
        await goes_on.wait()
        return await mark_stale(*about)

    monkeypatch.setattr(one.store, "mark_stale", slowly)
    one.provider.answers["/teams"] = [{"id": "after"}]
    writing = asyncio.create_task(one.write())
    await noting.wait()
    await one.read()
    goes_on.set()
    await writing

    assert (await one.read()).records == [{"id": "after"}]


async def test_writes_that_are_answered_together_are_noted_together_and_seen_by_all(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = pair
    for process in pair:
        await process.read()
        await process.read("/teams/t1/members")
        await process.keeper.settle()
    noted: list[int] = []
    mark_stale = one.store.mark_stale

    async def counted(*about: Any) -> int:
        noted.append(await mark_stale(*about))
        return noted[-1]

    monkeypatch.setattr(one.store, "mark_stale", counted)
    one.provider.answers |= {"/teams": [{"id": "t2"}], "/teams/t1/members": [{"id": "m2"}]}
    await asyncio.gather(one.write("/teams".__eq__), one.write("/teams/t1/members".__eq__))

    assert noted == [1]
    for process in (other, one):
        assert (await process.read()).records == [{"id": "t2"}]
        assert (await process.read("/teams/t1/members")).records == [{"id": "m2"}]


async def test_what_each_write_leaves_to_settle_is_kept_in_their_order(start: Start) -> None:
    process = start()
    await process.units.open()

    def then(word: str) -> Callable[[Any], Any]:
        return lambda kept: [*(kept or []), word]

    words = ["first", "second", "third"]
    await asyncio.gather(*(process.keeper.mark_stale(lambda _: False, then(word)) for word in words))

    assert await process.keeper.settling() == words


async def test_the_other_process_takes_over_when_the_one_that_fetches_dies(pair: Pair) -> None:
    one, other = pair
    one.provider.block("/teams")
    dying = asyncio.create_task(one.read())
    await one.provider.begun["/teams"].wait()
    waiting = asyncio.create_task(other.read())
    await asyncio.sleep(0.1)
    assert not waiting.done()
    one.provider.gates.pop("/teams")

    assert isinstance(one.claims, PostgresClaims)
    one.claims._connection.terminate()

    assert (await asyncio.wait_for(waiting, 5)).records == [{"id": "t1"}]
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)


async def test_a_failed_fetch_lets_the_other_process_try_at_once(pair: Pair) -> None:
    one, other = pair
    gate = one.provider.block("/teams")
    one.provider.answers["/teams"] = UpstreamTimeout()
    failing = asyncio.create_task(one.read())
    await one.provider.begun["/teams"].wait()
    other.provider = Provider({"/teams": [{"id": "theirs"}]})
    waiting = asyncio.create_task(other.read())
    await asyncio.sleep(0.1)
    gate.set()

    with pytest.raises(UpstreamTimeout):
        await failing
    assert (await asyncio.wait_for(waiting, 5)).records == [{"id": "theirs"}]


async def test_a_look_that_fails_gives_the_claim_back(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = pair
    await one.units.open()

    async def away(*_: Any) -> list[StoredUnit]:
        raise StorageUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(one.store, "load", away)
        with pytest.raises(StorageUnavailable):
            await one.units.read(TEAMS, "/teams", one.provider, 60.0)
    await one.keeper.settle()

    assert (await asyncio.wait_for(other.read(), 5)).records == [{"id": "t1"}]
    other.provider.answers["/teams/t1/members"] = missing()
    assert (await asyncio.wait_for(one.read(), 5)).records == [{"id": "t1"}]


# --- what is there no more

T1, T2 = "/teams/t1/members", "/teams/t2/members"
BOTH = [{"id": "t1"}, {"id": "t2"}]


async def paths_kept(process: Process) -> set[str]:
    await process.keeper.settle()
    return {path for path, _, _ in await process.store.times(ME)}


async def test_what_hung_on_a_place_that_is_gone_is_kept_no_longer(start: Start, clock: Clock) -> None:
    process = start()
    process.provider.answers |= {"/teams": BOTH, T2: [{"id": "m2"}]}
    for path in ("/teams", T1, T2):
        await process.read(path)
    assert await paths_kept(process) == {"/teams", T1, T2}

    clock.tick(100)
    process.provider.answers["/teams"] = [{"id": "t1"}]
    await process.read()

    assert set(process.units.states) == {"/teams", T1}
    assert await paths_kept(process) == {"/teams", T1}


async def test_a_place_that_comes_back_is_read_and_kept_again(start: Start, clock: Clock) -> None:
    process = start()
    for shown in (BOTH, [{"id": "t2"}], BOTH):
        process.provider.answers["/teams"] = shown
        await process.read(max_age=0)
        if shown == BOTH:
            await process.read(T1)
        clock.tick(1)

    assert process.provider.calls.count(T1) == 2
    assert await paths_kept(process) == {"/teams", T1}


@pytest.mark.parametrize("answer", [forbidden(), missing()])
async def test_a_list_that_can_not_be_read_says_of_no_place_that_it_is_gone(
    start: Start, clock: Clock, answer: Any
) -> None:
    process = start()
    for path in ("/teams", T1):
        await process.read(path)
    process.provider.answers["/teams"] = answer
    clock.tick(100)
    await process.read()

    assert await paths_kept(process) == {"/teams", T1}


async def test_what_the_other_process_keeps_no_longer_is_read_again_after_a_write(pair: Pair, clock: Clock) -> None:
    one, other = pair
    for path in ("/teams", T1):
        await one.read(path)
    await one.keeper.settle()
    await other.read(T1)
    clock.tick(10)
    one.provider.answers["/teams"] = []
    await one.read(max_age=5)
    assert T1 not in await paths_kept(one)

    await one.write(lambda path: path == T1)
    calls = len(other.provider.calls)
    await other.read(T1)

    assert other.provider.calls[calls:] == [T1], "nothing told it of the write"


async def test_what_hangs_on_a_place_that_another_process_saw_go_is_dropped_here_too(pair: Pair, clock: Clock) -> None:
    one, other = pair
    for path in ("/teams", T1):
        await one.read(path)
    await one.keeper.settle()
    for path in ("/teams", T1):
        await other.read(path)
    clock.tick(100)
    one.provider.answers["/teams"] = []
    await one.read()
    await one.keeper.settle()
    await other.read()

    assert set(other.units.states) == {"/teams"}


async def test_what_storage_would_not_drop_is_dropped_with_what_is_kept_next(
    start: Start, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start()
    for path in ("/teams", T1):
        await process.read(path)
    await process.keeper.settle()

    async def full(*_: object) -> None:
        raise StorageUnavailable

    clock.tick(100)
    process.provider.answers["/teams"] = []
    with monkeypatch.context() as broken:
        broken.setattr(process.store, "drop", full)
        await process.read()
        assert T1 in await paths_kept(process)
    clock.tick(100)
    await process.read()

    assert await paths_kept(process) == {"/teams"}


async def test_what_nobody_lists_is_dropped_after_a_restart(start: Start, clock: Clock) -> None:
    before = start()
    for path in ("/teams", T1):
        await before.read(path)
    await before.keeper.settle()
    await before.store.drop(ME, ["/teams"])
    clock.tick(1)
    before.provider.answers["/teams"] = []
    await before.store.save(
        ME, 0, [StoredUnit(path="/teams", body=zlib.compress(b"[]"), cost=1, fetched_at=clock(), changed_at=clock())]
    )

    after = start()
    await after.read()

    assert await paths_kept(after) == {"/teams"}
