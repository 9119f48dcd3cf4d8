"""What several processes share: what was read, the request budget, fresh credentials, and who may call."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from adapter.app import open_house
from tests.e2e.consent import consented
from tests.long.many.fleet import Answer, Line, together
from tests.long.many.load import HEROKU, OF_LOAD, Watch
from tests.long.many.trial import Trial

RESERVE = 500
LEFT = RESERVE + 60
OVERDRAWN = 8
"""Requests by which each process may go below the reserve: what it sends before it hears of the others'."""
ACTS_WITHIN_S = 5.0
"""What the contract says of revoking and blocking, on every process."""
REFUSALS = {
    "token": {"401 unauthorized"},
    "API token": {"401 unauthorized"},
    "blocked": {"503 account_blocked"},
    "deleted": {"404 account_not_found"},
    "token of the deleted": {"401 unauthorized", "404 account_not_found"},
}
"""What a process says, and nothing else, once it stops letting somebody in."""
_PATIENCE_S = 120.0


# --- what was read


def asks_once(trial: Trial) -> str:
    """A directory that nobody has yet, then one that is too old, is asked for through all at once."""
    trial.sandbox.reset_requests()
    account = trial.connected(trial.chosen()[0], f"cold-{trial.number()}")
    cold = _read_by_all(trial, account, None)
    time.sleep(trial.old_s + 0.1)
    trial.sandbox.reset_requests()
    again = _read_by_all(trial, account, trial.old_s)
    return f"cold {cold} requests, too old {again}; none twice"


def _read_by_all(trial: Trial, account: str, max_age: int | None) -> int:
    """How many requests it took."""
    truth = trial.truth()
    expected = {truth.by_email.get(email) for email in truth.by_email if not email.startswith(OF_LOAD)} & truth.people
    for pid, answer in trial.fleet.at_once(6, lambda line: trial.users(line, max_age=max_age, account_id=account)):
        assert answer.status == 200, f"process {pid}: {answer.body!r}"
        body = answer.json()
        assert not body.get("missing"), f"process {pid}: {body['missing'][:3]}"
        lacking = expected - {user["id"] for user in body["result"]}
        assert not lacking, f"process {pid} lacks {lacking}"
    lists = [entry for entry in trial.asked() if entry["path"] != "/account"]
    counts = Counter(f"{entry['method']} {entry['path']} {entry['range']}" for entry in lists)
    twice = {what: count for what, count in counts.items() if count > 1}
    assert not twice, f"asked for more than once: {twice}"
    return len(lists)


# --- the budget


def keeps_the_reserve(trial: Trial) -> str:
    """One Heroku account, connected once for each process, and each gathers for itself: more than it can give."""
    accounts: dict[int, str] = {}

    def connect() -> None:
        accounts.update({pid: trial.connected(pid, f"poor-{trial.number()}") for pid in trial.fleet.pids()})
        _complete(trial, accounts, None)

    trial.sandbox.budget(LEFT)
    cold = _short_of_budget(trial, connect)
    trial.sandbox.budget(1_000_000)
    _complete(trial, accounts, 1)
    time.sleep(trial.old_s)
    # Others spend nearly all of it, and no process has heard of that when it begins.
    trial.sandbox.budget(LEFT)
    unheard = _short_of_budget(trial, lambda: _complete(trial, accounts, trial.old_s))
    trial.sandbox.budget(1_000_000)
    return f"with {LEFT} left: {cold}; spent by others unheard: {unheard}"


def _short_of_budget(trial: Trial, gather: Callable[[], None]) -> str:
    trial.sandbox.reset_requests()
    began = time.monotonic()
    gather()
    seconds = time.monotonic() - began
    asked = trial.asked()
    lowest = min(entry["remaining"] for entry in asked if entry["remaining"] is not None)
    refused = sum(entry["status"] == 429 for entry in asked)
    told = f"{len(asked)} requests in {seconds:.0f} s, {lowest} left at the least, {refused} refused"
    assert refused == 0, told
    assert lowest >= RESERVE - trial.fleet.count * OVERDRAWN, told
    return told


def _complete(trial: Trial, accounts: Mapping[int, str], max_age: int | None) -> None:
    """Have each process complete the directory of its account."""

    def ask(pid: int) -> None:
        over = time.monotonic() + _PATIENCE_S
        with trial.fleet.line(pid) as line:
            while not _is_complete(trial.users(line, account_id=accounts[pid], max_age=max_age)):
                assert time.monotonic() < over, "the directory does not complete"
                time.sleep(0.5)

    together([*accounts], ask)


def _is_complete(answer: Answer) -> bool:
    assert answer.status in {200, 503}, answer.body
    return answer.status == 200 and not answer.json().get("is_partial_response")


# --- credentials


def refreshes_once(trial: Trial) -> str:
    """A token that has lapsed, first unheard, then known to be over; the refresh token is replaced with each."""
    return asyncio.run(_refreshed_once(trial))


async def _refreshed_once(trial: Trial) -> str:
    async with consented([trial.settings], trial.sandbox) as made:
        trial.sandbox.options(rotate_refresh_tokens=True)
        # Connected again, the account has another token; by then no process sends the one before, which lapses too.
        await asyncio.sleep(ACTS_WITHIN_S)

        def call(line: Line) -> list[int]:
            answers = [trial.get(line, "/custom/account", headers=HEROKU, account_id=made.account_id) for _ in range(4)]
            return [answer.status for answer in answers]

        calls, slowest = 0, 0.0
        for known in (False, True):
            await asyncio.to_thread(trial.fleet.at_once, 1, call)  # each process holds the token that lapses
            await made.lapse(known=known)
            began = time.monotonic()
            answers = await asyncio.to_thread(trial.fleet.at_once, 12, call)
            slowest = max(slowest, time.monotonic() - began)
            statuses = Counter(status for _, found in answers for status in found)
            calls += statuses[200]
            assert set(statuses) == {200}, f"{statuses}; {await made.account()}"
            assert made.refreshes() == 1, f"{made.refreshes()} refreshes"
    return f"2 tokens lapsed, {calls} calls: one refresh each, no failed call, at most {slowest:.1f} s for all"


# --- who may call


def forgets_in_time(trial: Trial) -> str:
    """Tokens are revoked, and accounts blocked and deleted, through one process or by none of them."""
    n = trial.number()
    by = {name: trial.chosen()[0] for name in ("token", "blocked", "deleted")}
    blocked, deleted = (trial.connected(by[name], f"{name}-{n}") for name in ("blocked", "deleted"))
    token_id, minted = _minted(trial, by["token"], trial.account_id)
    api_id, api_token = asyncio.run(_api_token(trial))
    subjects = {
        "token": (minted, trial.account_id),
        "API token": (api_token, trial.account_id),
        "blocked": (trial.token, blocked),
        "deleted": (trial.token, deleted),
        "token of the deleted": (_minted(trial, by["deleted"], deleted)[1], deleted),
    }
    prefix = "/integrated-account"
    with ExitStack() as stack:
        watches = [Watch(trial.fleet, pid, name, *one) for pid in trial.fleet.pids() for name, one in subjects.items()]
        for watch in watches:
            stack.callback(watch.stop)
        for watch in watches:
            watch.until_accepted()
        tokens = f"{prefix}/{trial.account_id}/tokens"
        ended = {
            "token": _done(trial, by["token"], "DELETE", tokens, token_id=token_id),
            "API token": asyncio.run(_revoked(trial, api_id)),
            "blocked": _done(trial, by["blocked"], "PATCH", f"{prefix}/{blocked}", json={"is_blocked": True}),
            "deleted": _done(trial, by["deleted"], "DELETE", f"{prefix}/{deleted}"),
        }
        ended["token of the deleted"] = ended["deleted"]
        time.sleep(ACTS_WITHIN_S + 1)
    lags = dict.fromkeys(subjects, 0.0)
    for watch in watches:
        lags[watch.name] = max(lags[watch.name], watch.last_accepted - ended[watch.name])
        assert lags[watch.name] <= ACTS_WITHIN_S, f"{watch.name}: process {watch.pid} took it {lags[watch.name]:.2f} s"
        assert watch.refusals, f"{watch.name}: never refused by process {watch.pid}"
        assert watch.refusals <= REFUSALS[watch.name], f"{watch.name}: refused with {watch.refusals}"
    return "last let in after " + ", ".join(f"{lag:.1f} s ({name})" for name, lag in lags.items())


def _minted(trial: Trial, pid: int, account_id: str) -> tuple[str, str]:
    """The id of an account token, and the token."""
    body = {"integrated_account_id": account_id, "scopes": ["directory:read", "raw:read"]}
    made = trial.fleet.ask(pid, "POST", "/integrated-account/token", trial.token, json=body).json()
    return made["id"], made["token"]


def _done(trial: Trial, pid: int, method: str, path: str, **more: object) -> float:
    """When it was answered as done."""
    answer = trial.fleet.ask(pid, method, path, trial.token, **more)
    assert answer.status == 200, answer.body
    return time.monotonic()


async def _api_token(trial: Trial) -> tuple[str, str]:
    async with open_house(trial.settings) as house:
        info, token = await house.tokens.create_api()
        return info.id, token.reveal()


async def _revoked(trial: Trial, token_id: str) -> float:
    """As `adapter token revoke` does it, in a process of its own."""
    async with open_house(trial.settings) as house:
        await house.tokens.revoke(token_id)
        return time.monotonic()
