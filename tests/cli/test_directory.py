import csv
import io
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest

from adapter.cli.directory import warn
from adapter.sandbox import Options, RunningSandbox, SeedOptions
from tests.cli.conftest import Terminal
from tests.cli.running import Running, clean_environment

NOUNS = ("users", "groups", "roles", "grants", "apps")


def names(truth: dict[str, Any], what: str) -> set[str]:
    return {thing["name"] for thing in truth[what]}


@pytest.mark.parametrize("noun", NOUNS)
def test_a_list_is_a_table_csv_or_json_of_the_same_records(connected: Terminal, noun: str) -> None:
    shown = connected(noun, "list")
    envelope = connected(noun, "list", "--json").json
    rows = list(csv.DictReader(io.StringIO(connected(noun, "list", "--csv").out)))

    ids = [record["id"] for record in envelope["result"]]
    assert (shown.code, shown.err) == (0, "")
    assert set(envelope) == {"result", "result_count"}
    assert envelope["result_count"] == len(ids) > 0
    assert len(shown.out.splitlines()) == len(ids) + 1
    assert all(id_ in shown.out for id_ in ids)
    assert [row["id"] for row in rows] == ids
    assert "remote_data" in envelope["result"][0]


def test_every_team_and_app_of_heroku_is_listed(connected: Terminal, heroku: RunningSandbox) -> None:
    truth = heroku.truth()

    assert {group["name"] for group in connected("groups", "list", "--json").json["result"]} == names(truth, "teams")
    assert names(truth, "apps") <= {app["name"] for app in connected("apps", "list", "--json").json["result"]}


@pytest.mark.parametrize("noun", NOUNS)
def test_one_record_is_shown_by_its_id(connected: Terminal, noun: str) -> None:
    record = connected(noun, "list", "--limit", "1", "--json").json["result"][0]

    shown = connected(noun, "show", record["id"])

    assert (shown.code, shown.err) == (0, "")
    assert record["id"] in shown.out
    assert "remote_data" not in shown.out
    assert connected(noun, "show", record["id"], "--json").json == record


def test_what_is_not_there_is_said(connected: Terminal) -> None:
    ended = connected("users", "show", "00000000-0000-0000-0000-000000000000")

    assert (ended.code, ended.out) == (1, "")
    assert "users" in ended.err


def test_grants_name_people_and_places(connected: Terminal, heroku: RunningSandbox) -> None:
    rows = list(csv.DictReader(io.StringIO(connected("grants", "list", "--inherited", "--csv").out)))

    truth = heroku.truth()
    places = names(truth, "teams") | names(truth, "apps") | names(truth, "spaces")
    assert "owner@example.com" in {row["user"] for row in rows}
    assert all("@" in row["user"] for row in rows)
    assert places & {row["where"] for row in rows} == {row["where"] for row in rows} - {"acme-corp-1"}
    assert {row["is_inherited"] for row in rows} == {"true", "false"}


def test_flags_and_filters_narrow_a_list(connected: Terminal) -> None:
    invited = connected("users", "list", "--status", "invited", "--json").json["result"]
    admins = connected("users", "list", "--filter", "user_type=admin", "--q", "EXAMPLE", "--json").json["result"]
    later = connected("users", "list", "--filter", "created_at[gt]=2999-01-01", "--json").json["result"]

    assert {user["status"] for user in invited} == {"invited"}
    assert {user["user_type"] for user in admins} == {"admin"}
    assert later == []


def test_a_team_is_found_by_id_before_name(connected: Terminal) -> None:
    """The seeded world's last team is named like the first one's id."""
    groups = connected("groups", "list", "--json").json["result"]
    alias = next(group for group in groups if group["name"] in {other["id"] for other in groups})
    meant = next(group for group in groups if group["id"] == alias["name"])

    by_id = connected("users", "list", "--group", meant["id"], "--json").json["result"]
    by_name = connected("users", "list", "--group", meant["name"], "--json").json["result"]

    assert [user["id"] for user in by_id] == [user["id"] for user in by_name]
    assert all(meant["id"] in {group["id"] for group in user["groups"]} for user in by_id)


def test_sorting_and_a_limit_say_what_is_left(connected: Terminal) -> None:
    everybody = connected("users", "list", "--sort=-username", "--json").json["result"]

    some = connected("users", "list", "--sort=-username", "--limit", "3", "--json")

    assert some.json["result"] == everybody[:3]
    assert some.err == f"The first 3 of {len(everybody)}.\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("users", "list", "--filter", "colour=red"), "colour"),
        (("users", "list", "--filter", "status"), "name=value"),
        (("users", "list", "--status", "asleep"), "invited"),
        (("users", "list", "--sort", "shoe_size"), "username"),
        (("users", "list", "--json", "--csv"), "--csv"),
        (("grants", "show", "nonsense"), "<user>"),
    ],
)
def test_a_question_that_cant_be_understood_is_refused(
    connected: Terminal, arguments: tuple[str, ...], told: str
) -> None:
    ended = connected(*arguments)

    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err


def test_an_unknown_team_is_no_empty_list(connected: Terminal) -> None:
    ended = connected("users", "list", "--group", "nobody")

    assert (ended.code, ended.out) == (1, "")
    assert "adapter groups list" in ended.err


def test_without_an_account_the_way_to_one_is_shown(terminal: Terminal) -> None:
    ended = terminal("users", "list")

    assert ended.code == 1
    assert "adapter account add" in ended.err


def test_of_several_accounts_one_is_to_be_named(connected: Terminal, heroku: RunningSandbox) -> None:
    other = connected("account", "add", "--tenant", "globex", "--json", stdin=heroku.owner_token).json["id"]

    assert connected("groups", "list").code == 2
    assert "--account" in connected("groups", "list").err
    assert connected("groups", "list", "--account", other).code == 0
    assert connected("groups", "list", ADAPTER_ACCOUNT=other).code == 0


def test_a_blocked_or_dead_upstream_is_never_an_empty_list(terminal: Terminal, heroku: RunningSandbox) -> None:
    terminal("account", "add", "--tenant", "acme", stdin=heroku.owner_token)

    ended = terminal("users", "list", "--json", HEROKU_API_URL="http://127.0.0.1:1")

    assert (ended.code, ended.out) == (1, "")
    assert '"code":"upstream_unreachable"' in ended.err


def test_what_could_not_be_read_is_said_and_the_rest_is_shown(terminal: Terminal) -> None:
    with RunningSandbox(seed=SeedOptions(teams=2, members=15, apps=3)) as heroku:
        added = terminal("account", "add", "--tenant", "acme", stdin=heroku.owner_token, HEROKU_API_URL=heroku.url)
        heroku.faults([{"kind": "status", "status": 403, "match": {"method": "GET", "path": "/teams/*/members"}}])
        shown = terminal("users", "list", HEROKU_API_URL=heroku.url)
        envelope = terminal("users", "list", "--json", HEROKU_API_URL=heroku.url)

    assert (added.code, shown.code) == (0, 0)
    assert "not everything" in shown.err
    assert "team_members of team" in shown.err
    assert envelope.json["is_partial_response"] is True
    assert {gap["unit"] for gap in envelope.json["missing"]} >= {"team_members"}
    assert envelope.json["result_count"] > 0


def test_gaps_too_many_to_name_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    warn(({"unit": "team_members", "reason": "missing_scope", "scopes": ("global",), "count": 25}, _gap("t1")))

    assert capsys.readouterr().err.splitlines() == [
        "warning: this is not everything; 26 lists could not be read:",
        "  team_members of 25 places: missing_scope (needs global)",
        "  team_permissions of team t1: forbidden",
    ]


def _gap(team: str) -> dict[str, Any]:
    return {"unit": "team_permissions", "reason": "forbidden", "place": {"team": {"id": team}}}


def test_a_gather_that_takes_long_shows_how_far_it_is(tmp_path: Path) -> None:
    options = Options(latency_ms=150)
    with RunningSandbox(seed=SeedOptions(teams=4, members=15, apps=3), options=options) as heroku:
        env = clean_environment(
            DATABASE_URL=f"sqlite:///{tmp_path / 'adapter.db'}", HEROKU_API_URL=heroku.url, TERM="xterm"
        )
        with Running("account", "add", "--tenant", "acme", env=env, stdin=subprocess.PIPE) as adding:
            adding.process.communicate(heroku.owner_token, timeout=60)
        ours, theirs = pty.openpty()
        try:
            with Running("users", "list", "--json", env=env, stderr=theirs) as listing:
                out, _ = listing.process.communicate(timeout=60)
                shown = os.read(ours, 1 << 16).decode()
        finally:
            os.close(ours)
            os.close(theirs)

    assert listing.process.returncode == 0
    assert "lists read" in shown
    assert "lists read" not in out
