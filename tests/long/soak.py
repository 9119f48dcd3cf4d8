"""An adapter under everything at once, for minutes: reads, writes, refreshes, faults, people who hang up.

Callers ask in rounds, while faults come and go. After each round it is calm: whatever goes on has to end, the directory
and the journal to be what the world is, and the adapter to hold no more than after the first round, which warms it up.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import msgspec

from adapter.app import open_house
from adapter.config import Settings
from adapter.models import Secret
from adapter.sandbox import Options, RunningSandbox
from adapter.storage.database import Database
from tests.e2e.consent import connected, settings_for
from tests.e2e.serving import _free_port
from tests.long.soaking.around import Clerk, Guest, Meddler
from tests.long.soaking.asking import Asker, Connected
from tests.long.soaking.ledger import Ledger
from tests.long.soaking.reading import Leaver, Reader
from tests.long.soaking.rows import HISTORY, LISTED, counted
from tests.long.soaking.town import OWNER, RITA, Town
from tests.long.soaking.watched import Inside, Outside, Watched
from tests.long.soaking.weather import CALM_S, UPSTREAM_TIMEOUT_S, Failure, Weather
from tests.long.soaking.writing import Founder, RawWriter, Writer

MB = 1024 * 1024
ROUNDS = 5
TOKEN_S = 6
"""How long an OAuth access token lives."""
OPTIONS = Options(
    latency_ms=2,
    consistency_s=0.3,
    budget_capacity=1_000_000,
    budget_per_minute=1_000_000,
    access_token_s=TOKEN_S,
)
# So that units go stale by their age, and not by what it costs to read them again.
PROVIDER = "budget: {capacity: 1000000, per_minute: 1000000}\n"

MOST_MEMORY = 24 * MB
"""By how much what is resident may be more after the last round than after the first."""
MOST_CONNECTIONS = 8
UNITS_OF_A_TEAM = 16
"""Lists that two accounts keep of one team, at most: a team that is there at a rest, and was not at the one before, has
as many."""
MOST_TASKS = 4


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """What the adapter held when nothing was asked of it."""

    inside: Inside
    outside: Outside
    rows: dict[str, int]
    backends: int


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a soak."""

    dialect: str
    seconds: float
    answered: Counter[str]
    failures: list[Failure]
    unexplained: list[Failure]
    wrong: list[str]
    rests: list[Rest]
    calm_share: float
    """The part of the time in which nothing explains an error."""
    told: dict[str, object]

    @property
    def broken(self) -> list[str]:
        """Why it has not been passed; nothing where it has."""
        return [
            *(f"unexplained: {one.code} to {one.what}: {one.told}" for one in self.unexplained), *self.wrong,
            *growth(self.rests[0], self.rests[-1]),
        ]  # fmt: skip


def growth(first: Rest, last: Rest) -> list[str]:
    """What has grown between two rests by more than it may."""
    found = {
        "bytes resident": (_memory(first), _memory(last), MOST_MEMORY),
        "tasks": (sum(first.inside.tasks.values()), sum(last.inside.tasks.values()), MOST_TASKS),
        "threads": (first.inside.threads, last.inside.threads, MOST_TASKS),
        "open files": (first.outside.all, last.outside.all, MOST_CONNECTIONS),
        "connections of the database": (first.backends, last.backends, MOST_CONNECTIONS),
        **{
            f"rows of {name}": (first.rows[name], last.rows[name], 0)
            for name in first.rows
            if name not in HISTORY | LISTED | {"units"}
        },
        "rows of units": (first.rows["units"], last.rows["units"], UNITS_OF_A_TEAM),
    }
    return [
        f"{what} grew from {before} to {after}, by more than {most}"
        for what, (before, after, most) in found.items()
        if after - before > most
    ]


def _memory(rest: Rest) -> int:
    """Without the answers that are kept up to a bound, which minutes don't reach."""
    return rest.inside.resident_trimmed - rest.inside.kept_pages


class Soak:
    """One adapter before one sandbox, and its callers."""

    def __init__(
        self, settings: Settings, sandbox: RunningSandbox, town: Town, seed: int, calm: tuple[float, float]
    ) -> None:
        self._settings = settings
        self._sandbox = sandbox
        self._town = town
        self._random = Random(seed)  # noqa: S311  # which faults strike when, and who asks what
        self._weather = Weather(sandbox, Random(seed + 1), calm)  # noqa: S311  # likewise
        self.rests: list[Rest] = []
        self.seconds = 0.0
        self._rounds: list[tuple[float, float]] = []

    async def connect(self) -> None:
        """The owner's account by a key, Rita's by OAuth."""
        await Database(self._settings.database_url).migrate()
        async with open_house(self._settings) as house:
            _, token = await house.tokens.create_api()
            by_key = await house.accounts.connect_api_key(tenant_id="acme", api_key=Secret(self._sandbox.owner_token))
            by_oauth = (await connected(house, RITA, "globex")).id
        self._owner = Connected(id=by_key.id, who=OWNER, refreshes=False)
        self._rita = Connected(id=by_oauth, who=RITA, refreshes=True)
        self._token = token.reveal()

    def serve(self, adapter: Watched) -> None:
        self._adapter = adapter
        accounts, town, sandbox = [self._owner, self._rita], self._town, self._sandbox
        self.asker = Asker(adapter.url, self._token, self._random)
        hands, raw_hands = town.hands, town.raw_hands
        self._writers = [
            Writer(self.asker, town, accounts[n % 2], hands[4 * n : 4 * n + 4]) for n in range(len(hands) // 4)
        ]
        raw = [
            RawWriter(self.asker, town, account, raw_hands[n::2]) for n, account in enumerate(accounts)
        ]  # fmt: skip
        self._clerk, self._guest = Clerk(self.asker, accounts), Guest(self.asker, sandbox)
        self._meddler, self._founder = Meddler(self.asker, town, sandbox), Founder(self.asker, town, self._owner)
        callers: list[Any] = [
            *(Reader(self.asker, town, accounts) for _ in range(5)), *self._writers, *raw, self._clerk, self._guest,
            self._meddler, self._founder, Leaver(self.asker, town, accounts),
        ]  # fmt: skip
        self._acts: list[Callable[[], Awaitable[None]]] = [caller.act for caller in callers]
        self._ledger = Ledger(
            adapter.url, self._token, sandbox, town, [account.id for account in accounts], list(hands)
        )

    def close(self) -> None:
        self._ledger.close()

    async def round(self, seconds: float, still: float = 0.0) -> None:
        """Everybody asks for so long, first without any fault; then it is calm, and everything has to be right."""
        await self.asker.open()
        over = asyncio.Event()
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._blow(still, over))
            for act in self._acts:
                group.create_task(self._repeat(act, over))
            await asyncio.sleep(seconds)
            over.set()
        await self.asker.close()
        self._rounds.append((began, time.monotonic()))
        self.seconds += time.monotonic() - began
        assert self._adapter.is_alive, "the adapter ended by itself"
        self.asker.wrong += await asyncio.to_thread(self._ledger.check, self._named)
        self.rests.append(await self._rest())

    async def _blow(self, still: float, over: asyncio.Event) -> None:
        await asyncio.sleep(still)
        await self._weather.blow(over)

    async def _repeat(self, act: Callable[[], Awaitable[None]], over: asyncio.Event) -> None:
        while not over.is_set():
            await act()
            await asyncio.sleep(self._random.uniform(0, 0.05))

    @property
    def _named(self) -> set[str]:
        return set().union(*(writer.known for writer in self._writers))

    async def _rest(self) -> Rest:
        port = urlsplit(self._sandbox.url).port
        assert port is not None
        rows, backends = await counted(self._settings.database_url)
        inside = await asyncio.to_thread(self._adapter.inside)
        return Rest(inside=inside, outside=self._adapter.outside(port), rows=rows, backends=backends)

    def found(self) -> Found:
        asker, ledger = self.asker, self._ledger
        for began, ended in self._founder.deleted:
            self._weather.note_vanished(began, ended)
        calm = sum(self._weather.calm_share(*round_) * (round_[1] - round_[0]) for round_ in self._rounds)
        calm_share = calm / self.seconds
        told: dict[str, object] = {
            "faults struck": dict(Counter(window.kind for window in self._weather.windows)),
            "share of the time in which nothing explains an error": f"{calm_share:.2f}",
            "failed answers, by code": dict(Counter(failure.code for failure in asker.failures)),
            "hung up": dict(asker.hung_up),
            "writes said to be done, and found so": sum(writer.done for writer in self._writers) + self._founder.done,
            "writes that went on without their caller": asker.accepted,
            "operations by their end": dict(ledger.statuses),
            "steps by their end": dict(ledger.steps),
            "refreshes": self._sandbox.request_count(method="POST", path="/oauth/token"),
            "requests to Heroku": self._sandbox.request_count(),
            "tokens, links, guests": (self._clerk.tokens, self._clerk.links, self._guest.stays),
            "changes behind our back": self._meddler.changes,
            "longest answer": f"{asker.longest[0]:.1f} s ({asker.longest[1]})",
            "longest until all was right again": f"{ledger.well_after:.1f} s",
        }
        return Found(
            dialect=self._settings.database_url.partition(":")[0],
            seconds=self.seconds,
            answered=asker.answered,
            failures=asker.failures,
            unexplained=self._weather.unexplained(asker.failures),
            wrong=asker.wrong,
            rests=self.rests,
            calm_share=calm_share,
            told=told,
        )


@contextmanager
def soaking(database_url: str, directory: Path, seed: int, calm: tuple[float, float] = CALM_S) -> Iterator[Soak]:
    """A soak that has not begun."""
    town = Town()
    mappings = directory / "mappings" / "heroku"
    mappings.mkdir(parents=True)
    (mappings / "provider.yaml").write_text(PROVIDER, encoding="utf-8")
    with RunningSandbox(town.world, options=OPTIONS) as sandbox:
        settings = msgspec.structs.replace(
            settings_for(sandbox, database_url),
            mappings_dir=str(mappings.parent),
            port=_free_port(),
            upstream_timeout=UPSTREAM_TIMEOUT_S,
            directory_max_age=3.0,
            directory_reserve=100,
            log_level="error",
        )
        soak = Soak(settings, sandbox, town, seed, calm)
        asyncio.run(soak.connect())
        with Watched(settings) as adapter:
            soak.serve(adapter)
            try:
                yield soak
            finally:
                soak.close()


def soak(
    seconds: float,
    seed: int,
    database_url: str,
    directory: Path,
    tell: Callable[[str], None],
    *,
    rounds: int = ROUNDS,
    calm: tuple[float, float] = CALM_S,
    still: float = 0.0,
) -> Found:
    """So many seconds in so many rounds, of which the first warms up.

    `calm`: how long it is between two faults; `still`: until the first of all may come.
    """
    with soaking(database_url, directory, seed, calm) as made:
        for number in range(rounds):
            asyncio.run(made.round(seconds / rounds, 0.0 if number else still))
            rest = made.rests[-1]
            tell(
                f"{number + 1}/{rounds}: {made.asker.answered.total()} answers, {len(made.asker.failures)} failed, "
                f"{rest.inside.resident_trimmed / MB:.0f} MB, {rest.outside.all} open files"
            )
        return made.found()


def table(found: Found) -> Iterator[str]:
    """The summary: what was asked, what came of it, what was held after each round."""
    total, failed = found.answered.total(), len(found.failures)
    yield f"soak on {found.dialect}: {found.seconds:.0f} s, {total} whole answers, {failed} failed ones"
    yield from (f"  {what}: {value}" for what, value in found.told.items())
    yield "  answers: " + ", ".join(f"{count} {what}" for what, count in found.answered.most_common())
    yield "  after each round:"
    yield from _rests(found.rests)


def _rests(rests: Sequence[Rest]) -> Iterator[str]:
    lines: list[tuple[str, Sequence[object]]] = [
        ("MB resident", [f"{rest.inside.resident / MB:.1f}" for rest in rests]),
        ("MB, freed memory given back", [f"{rest.inside.resident_trimmed / MB:.1f}" for rest in rests]),
        ("MB of answers kept in it", [f"{rest.inside.kept_pages / MB:.1f}" for rest in rests]),
        ("objects", [rest.inside.objects for rest in rests]),
        ("tasks", [sum(rest.inside.tasks.values()) for rest in rests]),
        ("threads", [rest.inside.threads for rest in rests]),
        ("connections to Heroku", [rest.outside.heroku for rest in rests]),
        ("open files", [rest.outside.all for rest in rests]),
        ("connections of the database", [rest.backends for rest in rests]),
        *((f"rows of {name}", [*(rest.rows[name] for rest in rests)]) for name in rests[0].rows),
    ]
    yield from (f"    {what:28}" + "".join(f"{value!s:>10}" for value in values) for what, values in lines)
