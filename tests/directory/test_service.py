"""What a caller is told: how old, how complete, at what cost; and never an empty list that only looks like one."""

import asyncio
from typing import Any

import pytest

from adapter.directory import service
from adapter.directory.assembly import assemble
from adapter.directory.views import View
from adapter.errors import (
    AdapterError,
    BadRequest,
    BudgetReserved,
    InvalidCursor,
    InvalidParameter,
    NeedsReauth,
    NotFound,
    RemoteError,
    RemoteForbidden,
    RemoteRateLimited,
    RemoteUnauthorized,
    UpstreamNonsense,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from tests.directory.fakes import (
    app,
    entity,
    forbidden,
    invitation,
    member,
    missing,
    nothing,
    of_team,
    team,
    two_teams,
)
from tests.directory.house import EVERYBODY, INVITED, House, gaps, keys

# --- lists


async def test_a_list_is_everybody_once_by_id() -> None:
    answer = await House(two_teams()).ask()

    assert keys(answer) == sorted([*EVERYBODY, INVITED])
    assert (answer.next_cursor, answer.missing) == (None, ())


async def test_a_walk_goes_through_the_cursors_to_the_end() -> None:
    house = House(two_teams())
    met: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = await house.ask(f"limit=2&sort_by=-username&next_cursor={cursor}")
        met += keys(answer)
        cursor = answer.next_cursor

    assert sorted(met) == sorted([*EVERYBODY, INVITED])


@pytest.mark.parametrize(
    ("other", "more"),
    [
        ("status=active", {}),
        ("sort_by=name", {}),
        ("", {"name": "groups"}),
        ("", {"account": "another"}),
    ],
)
async def test_a_cursor_belongs_to_its_account_resource_and_filters(other: str, more: dict[str, Any]) -> None:
    house = House(two_teams())
    cursor = (await house.ask("limit=1")).next_cursor

    with pytest.raises(InvalidCursor):
        await house.ask(f"{other}&next_cursor={cursor}", **more)
    assert await house.ask(f"limit=3&next_cursor={cursor}")


async def test_a_bad_cursor_costs_no_request() -> None:
    house = House(two_teams())

    with pytest.raises(InvalidCursor):
        await house.ask("next_cursor=nonsense")
    assert house.provider.calls == []


async def test_a_cursor_outlives_the_snapshot_that_it_was_made_on() -> None:
    house = House(two_teams())
    first = await house.ask("limit=3")
    house.provider.answers["/teams/t1/members"] = [member("aaa"), member("bob")]
    house.clock.tick(3600)

    rest = await house.ask(f"next_cursor={first.next_cursor}")

    assert keys(first) + keys(rest) == sorted([*EVERYBODY, INVITED])


def test_an_unknown_resource_is_refused_with_the_known_ones() -> None:
    with pytest.raises(NotFound, match=r"There is no resource `user`; known are: .*users"):
        House({}).directory.resource("user")


# --- how old


async def test_an_answer_says_how_old_its_oldest_unit_is() -> None:
    house = House(two_teams())
    assert (await house.ask()).age == 0
    house.clock.tick(20)
    await house.touched("/teams/t2/members")
    assert (await house.ask()).age == 20
    house.clock.tick(30)
    assert (await house.ask("limit=1")).age == 50


async def test_an_answer_says_when_it_last_changed_and_not_when_it_was_last_read() -> None:
    house = House(two_teams())
    first = await house.ask()
    house.clock.tick(100)
    second = await house.ask()
    house.provider.answers["/teams/t2/members"] = []
    house.clock.tick(100)
    third = await house.ask()

    assert second.last_modified == first.last_modified
    assert second.age == 0
    assert third.last_modified == first.last_modified + 200


async def test_answers_may_be_as_old_as_the_deployment_allows() -> None:
    house = House(two_teams(), max_age=10.0, refill=0.001)
    await house.ask()
    house.clock.tick(10)
    assert await house.calls() == []
    house.clock.tick(1)
    assert len(await house.calls()) == 10


async def test_a_gather_is_not_repeated_before_what_it_cost_has_flowed_back() -> None:
    house = House(two_teams(), max_age=10.0, refill=3.0)
    first = await house.calls()
    house.clock.tick(3 * len(first))
    assert await house.calls() == []
    house.clock.tick(1)
    assert len(await house.calls()) == len(first) - 1, "the proof is made once a day"


async def test_a_caller_may_insist_on_a_fresher_answer() -> None:
    house = House(two_teams())
    await house.ask()
    house.clock.tick(5)
    assert await house.calls(max_age=10.0) == []
    house.clock.tick(6)
    assert len(await house.calls(max_age=10.0)) == 10
    house.clock.tick(1)
    assert len(await house.calls(max_age=0.0)) == 10
    assert (await house.ask()).age == 0


@pytest.mark.parametrize(("remaining", "expected"), [(510, 0), (511, 10), (None, 10)])
async def test_insisting_does_not_reach_into_the_reserve(remaining: int | None, expected: int) -> None:
    house = House(two_teams(), reserve=500)
    await house.ask()
    house.provider.budget.remaining = remaining
    house.clock.tick(30)

    calls = await house.calls(max_age=0.0)

    assert len(calls) == expected
    assert (await house.ask()).age == (0 if expected else 30)


async def test_a_list_of_one_team_is_no_measure_of_what_a_gather_costs() -> None:
    house = House(two_teams(), max_age=10.0, refill=3.0)
    await house.ask("group_id=t1")
    house.clock.tick(11)

    assert len(await house.calls("group_id=t1")) > 0


# --- what could not be read


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/teams/t1/members", "team_members"),
        ("/teams/t1/permissions", "team_permissions"),
        ("/teams", "teams"),
        ("/apps", "apps"),
        ("/enterprise-accounts", "enterprise_accounts"),
    ],
)
async def test_what_is_closed_makes_every_page_partial(path: str, unit: str) -> None:
    house = House({**two_teams(), path: forbidden()})
    first = await house.ask("limit=1")
    second = await house.ask(f"limit=1&next_cursor={first.next_cursor}")

    assert gaps(first) == gaps(second) == [(unit, "forbidden")]


async def test_a_record_that_can_not_be_read_is_told_with_its_unit() -> None:
    answer = await House({**two_teams(), "/teams/t2/members": ["nonsense"]}).ask()

    assert gaps(answer) == [("team_members", "record_unreadable")]
    assert "bob" in keys(answer)


FAILURES = [
    UpstreamUnreachable(),
    UpstreamTimeout(),
    UpstreamNonsense(),
    RemoteError(500),
    RemoteError(503),
]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: f"{type(error).__name__} {error.status}")
@pytest.mark.parametrize("path", ["/teams", "/teams/t1/members", "/apps/p1/collaborators"])
async def test_a_failure_of_the_moment_is_an_error_and_the_next_answer_is_whole(path: str, error: AdapterError) -> None:
    house = House({**two_teams(), path: error})

    with pytest.raises(type(error)) as raised:
        await house.ask()
    assert raised.value.status == error.status
    house.provider.answers[path] = two_teams()[path]
    assert keys(await house.ask()) == sorted([*EVERYBODY, INVITED])


async def test_a_provider_account_out_of_budget_makes_the_answer_partial_and_says_when_to_come_again() -> None:
    limited = RemoteRateLimited(429, remote_id="rate_limit", headers={"retry-after": "7"})
    house = House({**two_teams(), "/teams/t1/members": limited})

    answer = await house.ask()
    await house.directory.close()

    assert "dan" in keys(answer)
    assert ("team_members", "rate_limit", 7) in [(gap.unit, gap.reason, gap.retry_after) for gap in answer.missing]


async def test_somebody_who_may_only_be_unseen_for_want_of_budget_is_not_said_to_be_absent() -> None:
    limited = RemoteRateLimited(429, remote_id="rate_limit", headers={"retry-after": "7"})
    house = House({**two_teams(), "/teams/t1/members": limited})

    with pytest.raises(BudgetReserved) as refused:
        await house.get("nobody-that-was-seen")
    await house.directory.close()

    assert refused.value.headers["retry-after"] == "7"
    assert [gap["missing"]["unit"] for gap in refused.value.details] == ["team_members"]


async def test_a_provider_account_out_of_budget_from_the_start_is_an_error() -> None:
    limited = RemoteRateLimited(429, headers={"retry-after": "7"})
    house = House(dict.fromkeys(["/teams", "/apps", "/enterprise-accounts"], limited))

    with pytest.raises(RemoteRateLimited):
        await house.ask()
    await house.directory.close()


async def test_a_dead_provider_is_an_error_for_whoever_takes_part_of_an_answer_too() -> None:
    house = House(dict.fromkeys(["/teams", "/apps", "/enterprise-accounts"], UpstreamUnreachable()))

    with pytest.raises(UpstreamUnreachable):
        await house.ask("allow_partial=true")


async def test_part_of_an_answer_names_what_failed_for_the_moment() -> None:
    house = House({**two_teams(), "/teams/t1/members": UpstreamTimeout()})

    part = await house.ask("allow_partial=true")

    assert ("team_members", "upstream_timeout") in gaps(part)
    assert "dan" in keys(part)


async def test_part_of_an_answer_is_never_kept_for_others() -> None:
    house = House({**two_teams(), "/teams/t1/members": UpstreamTimeout()})
    await house.ask("allow_partial=true")

    with pytest.raises(UpstreamTimeout):
        await house.ask()


async def test_where_nothing_at_all_could_be_read_the_reason_is_the_answer() -> None:
    house = House(dict.fromkeys(["/teams", "/apps", "/enterprise-accounts"], forbidden("global")))

    with pytest.raises(RemoteForbidden) as refused:
        await house.ask()
    assert refused.value.insight == {"forbidden_error": {"missing_scopes": ["global"]}}
    assert {reason for _, reason in gaps(await house.ask("allow_partial=true"))} == {"missing_scope"}


async def test_a_kept_refusal_is_not_raised_itself_for_it_would_gather_a_traceback_with_each_answer() -> None:
    house = House(dict.fromkeys(["/teams", "/apps", "/enterprise-accounts"], forbidden("global")))
    refusals = []
    for _ in range(2):
        with pytest.raises(RemoteForbidden) as refused:
            await house.ask()
        refusals.append(refused.value)

    first, second = refusals
    assert first is not second
    assert vars(first) == vars(second)


async def test_an_account_without_anything_is_an_empty_list_and_not_an_error() -> None:
    answer = await House(nothing()).ask()

    assert (keys(answer), answer.missing) == ([], ())


async def test_a_refused_credential_asks_for_a_new_connection() -> None:
    house = House({**two_teams(), "/teams": RemoteUnauthorized(401), "/enterprise-accounts": RemoteUnauthorized(401)})

    for query, name in (("", "users"), ("remote_query[a]=b", "organizations")):
        with pytest.raises(NeedsReauth):
            await house.ask(query, name)


# --- after a write


async def test_after_a_write_what_it_touched_is_read_again_and_nothing_else() -> None:
    house = House(two_teams())
    await house.ask()
    house.provider.answers["/teams/t2/members"] = []

    assert await house.touched("/teams/t2/members/bob@example.com?x=1") > 0
    calls = await house.calls()

    assert "/teams/t2/members" in calls
    assert not [path for path in calls if path.startswith("/teams/t1")]


@pytest.mark.parametrize(
    ("method", "path", "times"),
    [
        pytest.param("PATCH", "/teams/t2", 1, id="nobody is taken out"),
        pytest.param("DELETE", "/teams/t2/members/bob@example.com", 3, id="somebody is taken out every time"),
    ],
)
async def test_a_question_is_answered_though_writes_never_end(
    monkeypatch: pytest.MonkeyPatch, method: str, path: str, times: int
) -> None:
    house, made = House(two_teams()), []

    async def meanwhile(*about: Any, **more: Any) -> View:
        made.append(await assemble(*about, **more))
        await house.directory.touched("acc", house.provider, path, method=method)
        return made[-1]

    monkeypatch.setattr(service, "assemble", meanwhile)

    assert set(keys(await asyncio.wait_for(house.ask(), 10))) >= {"ada", "cyd"}
    assert len(made) == times


async def test_a_gather_begun_before_a_write_does_not_answer_whoever_asks_after_it() -> None:
    house = House(two_teams())
    gate = house.provider.block("/teams/t2/members")
    early = asyncio.create_task(house.ask())
    await house.provider.begun["/teams/t2/members"].wait()
    await house.touched("/teams/t2/members")
    late = asyncio.create_task(house.ask())
    await asyncio.sleep(0)
    house.provider.answers["/teams/t2/members"] = [member("zoe")]
    gate.set()

    assert "zoe" in keys(await late)
    await early
    assert "zoe" in keys(await house.ask())


async def test_an_answer_that_a_write_overtook_is_not_kept() -> None:
    house = House(two_teams())
    gate = house.provider.block("/apps/p1/collaborators")
    early = asyncio.create_task(house.ask())
    await house.provider.begun["/apps/p1/collaborators"].wait()
    for _ in range(50):
        await asyncio.sleep(0)
    await house.touched("/teams/t2/members")
    gate.set()
    await early
    house.provider.answers["/teams/t2/members"] = [member("zoe")]

    assert "zoe" in keys(await house.ask())


async def test_a_write_through_one_account_leaves_the_others_as_they_are() -> None:
    house = House(two_teams())
    await house.ask(account="other")
    await house.touched("/teams/t2/members")

    assert await house.calls(account="other") == []


async def test_what_is_forgotten_is_read_anew() -> None:
    house = House(two_teams())
    await house.ask()
    house.directory.forget("acc")

    assert len(await house.calls()) == 11


# --- one record


async def test_one_record_is_found_by_its_id() -> None:
    answer = await House(two_teams()).get("bob")

    (record,) = answer.records
    assert [role["id"] for role in record.data["roles"]] == ["team:member", "team:viewer", "app:view"]


async def test_somebody_who_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound) as refused:
        await House(two_teams()).get("zoe")

    assert refused.value.message == "There is no `zoe` among the users."
    assert refused.value.details == []


async def test_somebody_who_may_only_be_out_of_sight_is_not_found_and_that_is_said() -> None:
    with pytest.raises(NotFound) as refused:
        await House({**two_teams(), "/teams/t1/members": forbidden()}).get("zoe")

    assert "could be read" in refused.value.message
    (detail,) = refused.value.details
    assert detail["missing"]["unit"] == "team_members"


async def test_an_invitations_id_goes_on_leading_to_the_person_after_they_accept() -> None:
    house = House(two_teams())
    invited = await house.get(INVITED)
    house.provider.answers |= {"/teams/t1/invitations": [], "/teams/t1/members": [member("u9")]}
    house.provider.answers["/teams/t1/members"][0]["user"]["email"] = "New@example.com"
    house.provider.answers["/teams/t1/members"][0]["email"] = "New@example.com"
    house.clock.tick(100)
    accepted = await house.get(INVITED)

    assert (keys(invited), invited.records[0].data["status"]) == ([INVITED], "invited")
    assert (keys(accepted), accepted.records[0].data["status"]) == (["u9"], "active")


@pytest.mark.parametrize(
    "key", ["u1", "team:t1", "team:t1:bob:member:x", "city:t1:bob:member", "team:t1:bob:", "team: :b:m"]
)
async def test_an_id_that_is_none_is_refused_before_anything_is_asked(key: str) -> None:
    house = House(two_teams())

    with pytest.raises(InvalidParameter) as refused:
        await house.get(key, "role_assignments")
    assert refused.value.details[0]["expected"] == "<team|app|space|enterprise>:<place>:<user>:<role>"
    assert house.provider.calls == []


async def test_a_changed_role_is_a_new_id_and_the_old_one_is_gone() -> None:
    house = House(two_teams())
    await house.get("team:t2:bob:viewer", "role_assignments")
    house.provider.answers["/teams/t2/members"] = [member("bob", "admin")]
    await house.touched("/teams/t2/members")

    assert keys(await house.get("team:t2:bob:admin", "role_assignments")) == ["team:t2:bob:admin"]
    with pytest.raises(NotFound):
        await house.get("team:t2:bob:viewer", "role_assignments")


async def test_one_group_asks_only_for_that_group() -> None:
    house = House(two_teams())
    answer = await house.get("t2", "groups")

    assert answer.records[0].data["member_count"] == 1
    assert sorted(house.provider.calls) == ["/enterprise-accounts", "/teams", "/teams/t2/members"]


# --- scope


async def test_a_list_of_one_team_asks_only_for_that_team() -> None:
    house = House(two_teams())

    assert [path for path in await house.calls("group_id=t2") if path.startswith("/teams/")] == [
        "/teams/t2/invitations", "/teams/t2/members", "/teams/t2/permissions",
    ]  # fmt: skip
    assert keys(await house.ask("group_id=t2")) == ["bob"]


async def test_a_list_of_two_teams_is_whoever_is_in_either() -> None:
    assert keys(await House(two_teams()).ask("group_id=t1,t2")) == sorted(["ada", "bob", INVITED])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("group_id[eq]=t1&group_id[in]=t2", ["bob"]),
        ("group_id=t1&group=t2", ["bob"]),
        ("group_id=t2&group[ne]=t1", []),
        ("group[ne]=t1", ["cyd", "dan", "me"]),
        ("group_id=t1&group[ne]=t2", sorted(["ada", INVITED])),
    ],
)
async def test_what_is_asked_of_other_teams_beside_is_answered_from_them_too(query: str, expected: list[str]) -> None:
    assert keys(await House(two_teams()).ask(query)) == expected


async def test_a_team_that_is_closed_makes_only_its_own_list_partial() -> None:
    house = House({**two_teams(), "/teams/t1/members": forbidden()})

    assert gaps(await house.ask("group_id=t2")) == []
    assert gaps(await house.ask("group_id=t1")) == [("team_members", "forbidden")]


# --- inherited


async def test_inherited_roles_are_computed_only_when_asked_for() -> None:
    house = House(two_teams())
    own = await house.ask("", "role_assignments")
    with_inherited = await house.ask("include_inherited=true", "role_assignments")

    inherited = [record for record in with_inherited.records if record.data["is_inherited"]]
    assert [record.key for record in inherited] == [f"app:a1:ada:{p}" for p in ("deploy", "manage", "operate", "view")]
    assert set(keys(own)) == set(keys(with_inherited)) - {record.key for record in inherited}
    assert keys(await house.ask("", "role_assignments")) == keys(own)


async def test_inherited_roles_in_a_team_that_fell_back_stand_there_once() -> None:
    house = House({**two_teams(), "/teams/t1/permissions": missing()})

    answer = await house.ask("include_inherited=true", "role_assignments")

    assert len(keys(answer)) == len(set(keys(answer)))
    assert "app:a1:cyd:deploy" in keys(answer)
    assert all(len(record.remote["team_apps"]) == 1 for record in answer.records if record.data["is_inherited"])


# --- in the provider's own words


async def test_a_remote_query_goes_to_the_one_list_behind_a_resource_and_is_never_kept() -> None:
    house = House({**nothing(), "/enterprise-accounts": [{"id": "e1", "name": "corp"}]})
    first = await house.ask("remote_query[x]=1&remote_query[y]=2", "organizations")
    again = await house.calls("remote_query[x]=1", "organizations")

    assert keys(first) == ["e1"]
    assert again == ["/enterprise-accounts"]
    assert house.provider.asked == [("/enterprise-accounts", {"x": "1"}, None, "id")]
    assert await house.calls("", "organizations") == ["/enterprise-accounts"]


async def test_a_remote_query_takes_filters_and_cursors_like_any_list() -> None:
    house = House({**nothing(), "/enterprise-accounts": [{"id": f"e{n}", "name": f"corp{n}"} for n in range(3)]})
    first = await house.ask("remote_query[x]=1&limit=2", "organizations")
    rest = await house.ask(f"remote_query[x]=1&limit=2&next_cursor={first.next_cursor}", "organizations")

    assert keys(first) + keys(rest) == ["e0", "e1", "e2"]
    assert keys(await house.ask("remote_query[x]=1&name=corp1", "organizations")) == ["e1"]


async def test_a_remote_query_of_a_single_object_is_sent_along() -> None:
    house = House(nothing())

    assert keys(await house.ask("remote_query[x]=1", "me")) == ["me"]
    assert house.provider.asked == [("/account", {"x": "1"}, None, None)]


@pytest.mark.parametrize("name", ["users", "groups", "role_assignments", "workspaces", "licenses", "roles"])
async def test_a_remote_query_is_refused_where_no_one_list_serves(name: str) -> None:
    house = House(two_teams())

    with pytest.raises(BadRequest, match="remote_query"):
        await house.ask("remote_query[x]=1", name)
    assert house.provider.calls == []


async def test_a_failure_of_a_remote_query_is_an_error() -> None:
    house = House({"/enterprise-accounts": forbidden()})

    with pytest.raises(RemoteForbidden):
        await house.ask("remote_query[x]=1", "organizations")


# --- every resource


async def test_every_resource_of_a_small_world_is_what_it_is() -> None:
    house = House({**two_teams(), "/apps": [app("p1")]})

    assert keys(await house.ask("", "groups")) == ["t1", "t2"]
    assert keys(await house.ask("", "workspaces")) == ["a1", "p1"]
    assert keys(await house.ask("", "me")) == ["me"]
    assert keys(await house.ask("", "organizations")) == []
    assert keys(await house.ask("applicable_in=organization", "roles")) == [
        "enterprise:billing", "enterprise:create", "enterprise:manage", "enterprise:view",
    ]  # fmt: skip
    assert [r.data["assigned_quantity"] for r in (await house.ask("", "licenses")).records] == [2, 1]


async def test_a_resource_that_needs_no_unit_needs_no_provider() -> None:
    assert await House({}).calls("", "roles") == []


async def test_a_team_that_is_named_like_anothers_id_stays_itself() -> None:
    house = House({
        **nothing(),
        "/teams": [team("t1"), {**team("t2"), "name": "t1"}],
        **of_team("t1", members=[member("ada")], invitations=[invitation("x@example.com")]),
        **of_team("t2", members=[member("bob")], entities=[entity("a2", {})]),
        "/apps/a2/collaborators": [],
    })  # fmt: skip

    assert keys(await house.ask("group_id=t2")) == ["bob"]
    assert (await house.get("t1", "groups")).records[0].data["member_count"] == 1
