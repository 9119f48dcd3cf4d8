"""Lists read again until they show somebody no more: by a provider as a table, and a clock that waiting moves."""

from typing import Any

import pytest

from adapter.directory.settling import settling_after
from adapter.directory.units import AccountUnits
from adapter.directory.writing.atlas import Atlas, Listing, listing
from adapter.directory.writing.desk import Desk
from adapter.directory.writing.model import PersonRef, PlaceRef
from adapter.directory.writing.people import Whom
from adapter.directory.writing.watching import Patience, Watch
from adapter.errors import RemoteError, RemoteRateLimited, UpstreamTimeout
from adapter.mapping.removals import written
from tests.directory.fakes import SHIPPED, Clock, Provider, forbidden, member

MEMBERS = "/teams/acme/members"
ACME = {"id": "acme", "name": "acme", "type": "team"}


class Scene:
    """One team's members, watched for Bob."""

    def __init__(self, *, patience: Patience | None = None, halted: bool = False) -> None:
        self.clock = Clock()
        self.provider = Provider({MEMBERS: [member("ada", "admin"), member("bob")]})
        self.desk = Desk(account_id="a", client=self.provider, units=AccountUnits(self.clock), model=SHIPPED)
        self.slept: list[float] = []
        self.clock_goes_back = 0.0
        """By how much, in the first pause."""
        self.on_sleep: dict[int, Any] = {}
        """What the provider says from so many pauses on."""
        self.watch = Watch(
            self.desk,
            Whom(PersonRef(email="Bob@Example.com"), None),
            since=self.clock.now,
            patience=patience or Patience(),
            sleep=self._sleep,
            halted=lambda: halted,
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.tick(seconds - (self.clock_goes_back if len(self.slept) == 1 else 0.0))
        if len(self.slept) in self.on_sleep:
            self.provider.answers[MEMBERS] = self.on_sleep[len(self.slept)]

    def members(self) -> Listing:
        return listing(self.desk, SHIPPED.units["team_members"], {"team": ACME})

    async def settle(self, *, awaited: bool = True) -> None:
        await self.watch.settle([self.members(), self.members()], lambda *_: awaited)

    async def shown(self) -> list[str]:
        return [entry.place_id for _, _, entry in await self.watch.found()]


async def test_a_list_that_shows_nobody_is_read_once() -> None:
    scene = Scene()
    scene.provider.answers[MEMBERS] = [member("ada", "admin")]
    await scene.settle()

    assert scene.provider.calls == [MEMBERS]
    assert scene.slept == []
    assert await scene.shown() == []
    assert scene.watch.read_at([MEMBERS]) == scene.clock.now
    assert scene.watch.requests == 1


async def test_a_clock_that_is_set_back_makes_nobody_wait_for_as_long_again() -> None:
    usual, scene = Scene(), Scene()
    await usual.settle()
    scene.clock_goes_back = 3600.0
    await scene.settle()

    assert scene.slept == usual.slept


async def test_a_list_that_lags_behind_is_read_until_it_has_caught_up() -> None:
    scene = Scene()
    scene.on_sleep[3] = [member("ada", "admin")]
    await scene.settle()

    assert scene.slept == [0.5, 1.0, 2.0]
    assert len(scene.provider.calls) == scene.watch.requests == 4
    assert await scene.shown() == []


async def test_a_list_that_does_not_catch_up_is_read_for_as_long_as_it_may_lag() -> None:
    scene = Scene()
    await scene.settle()

    lag = scene.members().lag
    assert lag <= sum(scene.slept) < lag + 3.0
    assert await scene.shown() == ["acme"]


async def test_whom_nobody_waits_to_be_gone_is_read_once() -> None:
    scene = Scene()
    await scene.settle(awaited=False)

    assert len(scene.provider.calls) == 1
    assert await scene.shown() == ["acme"]


async def test_the_provider_is_believed_and_not_the_directory_that_hides_whom_a_removal_took_out() -> None:
    scene = Scene(halted=True)
    desk = scene.desk
    removal = written(SHIPPED.removals, "DELETE", "/teams/acme/members/bob@example.com", b"")
    assert removal is not None
    await desk.units.make_stale(lambda _: True, settling_after(SHIPPED, desk.units.states, removal, desk.units.now()))
    await scene.settle()

    hidden = await desk.fresh(SHIPPED.units["team_members"], {"team": ACME})
    assert [record["user"]["id"] for record in hidden.instance().records] == ["ada"]
    assert await scene.shown() == ["acme"]


async def test_what_was_read_before_the_removal_says_nothing() -> None:
    scene = Scene()
    await scene.desk.fresh(SHIPPED.units["team_members"], {"team": ACME})
    scene.provider.answers[MEMBERS] = [member("ada", "admin")]
    scene.desk.units.states[MEMBERS].stale = True
    await scene.settle()

    assert await scene.shown() == []
    assert len(scene.provider.calls) == 2


async def test_nothing_is_read_again_once_nobody_waits_for_it() -> None:
    scene = Scene(halted=True)
    await scene.settle()

    assert len(scene.provider.calls) == 1
    assert await scene.shown() == ["acme"]


@pytest.mark.parametrize("error", [RemoteError(500, "Oops."), UpstreamTimeout()])
async def test_a_failure_of_the_moment_is_waited_out(error: Exception) -> None:
    scene = Scene()
    scene.provider.answers[MEMBERS] = error
    scene.on_sleep[2] = []
    await scene.settle()

    assert scene.watch.missing() == []
    assert scene.watch.gap([MEMBERS]) is None
    assert scene.watch.read_at([MEMBERS]) == scene.clock.now


async def test_a_failure_that_stays_is_told_and_nothing_counts_that_was_read_before() -> None:
    scene = Scene()
    scene.on_sleep[1] = UpstreamTimeout()
    await scene.settle()

    assert [gap.reason for gap in scene.watch.missing()] == ["upstream_timeout"]
    assert scene.watch.read_at([MEMBERS]) is None
    assert await scene.shown() == []


async def test_a_list_that_is_closed_is_asked_once() -> None:
    scene = Scene()
    scene.provider.answers[MEMBERS] = forbidden()
    await scene.settle()

    assert scene.provider.calls == [MEMBERS]
    gap = scene.watch.gap([MEMBERS])
    assert gap is not None
    assert (gap.reason, gap.place["team"]["id"]) == ("forbidden", "acme")


def limited(seconds: int) -> RemoteRateLimited:
    return RemoteRateLimited(429, "Slow down.", remote_id="rate_limit", headers={"retry-after": str(seconds)})


async def test_an_empty_budget_is_waited_for_as_long_as_the_provider_asks() -> None:
    scene = Scene()
    scene.provider.answers[MEMBERS] = limited(20)
    scene.on_sleep[1] = []
    await scene.settle()

    assert scene.slept == [20]
    assert scene.watch.missing() == []


async def test_a_budget_that_takes_too_long_is_not_waited_for() -> None:
    scene = Scene(patience=Patience(budget=10))
    scene.provider.answers[MEMBERS] = limited(20)
    await scene.settle()

    assert scene.slept == []
    assert [gap.reason for gap in scene.watch.missing()] == ["rate_limit"]


async def test_a_record_that_can_not_be_read_hides_nobody() -> None:
    scene = Scene()
    scene.provider.answers[MEMBERS] = [
        {**member("bob"), "role": "member", "user": {"id": "bob"}, "email": 7},
        "bob@example.com",
    ]
    await scene.settle()
    await scene.shown()

    assert [gap.reason for gap in scene.watch.missing()] == ["unprocessable"]
    assert scene.watch.read_at([MEMBERS]) is None


async def test_two_lists_were_read_when_the_older_one_was() -> None:
    scene = Scene()
    scene.provider.answers |= {MEMBERS: [], "/teams/acme/invitations": []}
    begun = scene.clock.now
    await scene.settle()
    scene.clock.tick(5)
    invitations = listing(scene.desk, SHIPPED.units["team_invitations"], {"team": ACME})
    await scene.watch.settle([invitations], lambda *_: True)

    assert scene.watch.read_at([MEMBERS, invitations.path]) == begun
    assert scene.watch.read_at([MEMBERS, "/teams/other/members"]) is None
    assert scene.watch.read_at([]) is None


# --- which lists those are


async def atlas_of(**answers: Any) -> Atlas:
    scene = Scene()
    scene.provider.answers |= answers
    for name, lineage in (("teams", {}), ("spaces", {}), ("team_permissions", {"team": ACME})):
        await scene.desk.fresh(SHIPPED.units[name], lineage)
    return await Atlas.opened(scene.desk)


@pytest.mark.parametrize(
    ("place", "paths"),
    [
        (PlaceRef(kind="team", id="acme"), ["/teams/acme/members", "/teams/acme/invitations"]),
        (PlaceRef(kind="team", id="corp-team"), ["/teams/corp-team/members"]),
        (PlaceRef(kind="app", id="web"), ["/apps/web/collaborators"]),
        (PlaceRef(kind="space", id="s"), ["/spaces/s/members"]),
        (PlaceRef(kind="enterprise", id="corp"), ["/enterprise-accounts/corp/members"]),
    ],
)
async def test_a_places_own_lists(place: PlaceRef, paths: list[str]) -> None:
    teams = [ACME, {"id": "corp-team", "name": "c", "type": "enterprise"}]
    atlas = await atlas_of(**{"/teams": teams})

    assert [one.path for one in atlas.lists(place)] == paths


@pytest.mark.parametrize(("answer", "path"), [([], "/teams/acme/permissions"), (forbidden(), None)])
async def test_an_overview_is_used_where_it_can_be_read(answer: Any, path: str | None) -> None:
    atlas = await atlas_of(**{"/teams": [ACME], "/teams/acme/permissions": answer})
    found = atlas.overview(PlaceRef(kind="team", id="acme"))

    assert (found.path if found else None) == path
    assert atlas.overview(PlaceRef(kind="app", id="web")) is None
