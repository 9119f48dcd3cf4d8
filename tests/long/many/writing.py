"""Writes through several processes at once, and a process that is killed while it writes."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from adapter.directory.writing.model import UNFINISHED
from tests.directory.writing.worlds import held
from tests.long.many.fleet import Answer, LineLostError, together
from tests.long.many.trial import Trial

PLACES = 12
ENDS_WITHIN_S = 60.0
"""A lease lasts 30 s, and those that have lapsed are looked for every 3."""
_SLOW = {"kind": "latency", "seconds": 2.0, "match": {"method": "DELETE", "path": "/teams/*"}}
_OFF_BOARD = "/users/offboard"


# --- once


def writes_once(trial: Trial) -> str:
    """The same with one key through all at once, and another body with that key; then the same without a key."""
    sent = _one_write(trial, {"idempotency-key": uuid4().hex}) + _one_write(trial, {})
    return f"2 writes asked for {sent} times, with a key and without: written once each, one answer to the key"


def _one_write(trial: Trial, key: Mapping[str, str]) -> int:
    who, (team, other) = trial.person(), trial.random.sample(trial.teams, 2)
    body, another = ({"email": who, "roles": [_member(one)]} for one in (team, other))
    trial.sandbox.reset_requests()
    answers = trial.fleet.at_once(4, lambda line: trial.write(line, "/users", body, headers=key))
    wrong = [f"{pid}: {answer.status} {answer.body!r}" for pid, answer in answers if answer.status != 200]
    assert not wrong, wrong[:2]
    if key:
        told = {answer.body for _, answer in answers}
        assert len(told) == 1, f"{len(told)} answers to one key: {list(told)[:2]}"
        refused = trial.fleet.at_once(1, lambda line: trial.write(line, "/users", another, headers=key))
        assert {(answer.status, answer.code) for _, answer in refused} == {(422, "idempotency_key_reused")}
    writes = [f"{one['method']} {one['path']}" for one in trial.writes()]
    assert len(writes) == 1, f"written {len(writes)} times: {writes}"
    assert held(trial.sandbox, who) == {team["name"]: {"member"}}
    return len(answers)


# --- at once


def reads_what_was_written(trial: Trial) -> str:
    """What is given through one is seen by all in the next moment, and what is taken is not."""
    pids = trial.fleet.pids()
    looks = 0
    for pid in pids:
        who, team = trial.person(), trial.random.choice(trial.teams)["id"]
        looks += _seen_by_all(trial, pid, "/groups/add-user", who, team, there=True)
        looks += _seen_by_all(trial, pid, "/groups/remove-user", who, team, there=False)
    return f"{2 * len(pids)} writes, {looks} looks through {len(pids)} processes right after them, none behind"


def _seen_by_all(trial: Trial, pid: int, path: str, who: str, team: str, *, there: bool) -> int:
    """How many looks it was."""
    with ExitStack() as stack:
        lines = [stack.enter_context(line) for line in trial.fleet.lines(2)]
        together(lines, lambda line: trial.users(line, group_id=team))  # so that each has it at hand as it was
        answer = trial.written(pid, path, {"group_id": team, "email": who})
        assert answer.status == 200, answer.body
        seen = together(lines, lambda line: trial.users(line, group_id=team))
    for line, page in zip(lines, seen, strict=True):
        names = {user["username"] for user in page.json()["result"]}
        assert (who in names) == there, f"after {path} through {pid}: process {line.pid} tells otherwise"
    return len(seen)


# --- operations


def refuses_what_conflicts(trial: Trial) -> str:
    """While somebody is taken out everywhere through one, the others are asked to let them in, and to take them out."""
    who = _hired(trial)
    victim, _ = trial.chosen()
    grant = {"email": who, "roles": [_member(trial.load_teams[0])]}
    with ExitStack() as stack:
        lines = [stack.enter_context(line) for line in trial.fleet.lines(2) if line.pid != victim]
        with _Removal(trial, victim, who) as removal:
            shown = [line.ask("GET", f"/operations/{removal.id}", trial.token) for line in lines]
            refused = together(lines[::2], lambda line: trial.write(line, "/users", grant))
            joined = together(lines, lambda line: trial.write(line, _OFF_BOARD, {"email": who}))
    assert {(answer.status, answer.json()["status"]) for answer in shown} == {(200, "running")}
    for answer in refused:
        assert (answer.status, answer.code) == (409, "removal_under_way"), answer.body
        assert answer.json()["details"] == [{"operation_id": removal.id}]
    operation = ended(trial, removal.id)
    assert operation["status"] == "succeeded", told(operation)
    assert {answer.status for answer in joined} == {200}, [answer.body for answer in joined]
    assert len({answer.body for answer in joined}) == 1, "those who joined are told differently"
    assert _off_boardings(trial, who) == [removal.id], "one removal, one operation"
    assert held(trial.sandbox, who) == {}
    return f"shown by {len(shown)}, {len(refused)} grants refused, {len(joined)} removals joined; {_once(trial)}"


def resumes_elsewhere(trial: Trial) -> str:
    """A removal of which Heroku refused a part is gone on with through all at once: one of them does."""
    who = _hired(trial)
    place = {"method": "DELETE", "path": f"/teams/{_teams(trial)[3]['id']}/members/*"}
    trial.sandbox.faults([{"kind": "status", "status": 403, "match": place}])
    trial.sandbox.reset_requests()
    answer = trial.written(trial.chosen()[0], _OFF_BOARD, {"email": who})
    trial.sandbox.clear_faults()
    assert (answer.status, answer.code) == (403, "write_failed"), answer.body
    id_, before = answer.json()["operation_id"], _taken(trial)
    resumed = trial.fleet.at_once(2, lambda line: line.ask("POST", f"/operations/{id_}/resume", trial.token))
    codes = Counter(str(answer.code or "taken") for _, answer in resumed)
    operation = ended(trial, id_)
    assert codes == {"taken": 1, "not_resumable": len(resumed) - 1}, codes
    assert operation["status"] == "succeeded", told(operation)
    assert held(trial.sandbox, who) == {}
    assert len(_taken(trial) - before) == 1, "what was done was done again"
    return f"{len(resumed)} resumes, 1 taken; {_once(trial)}"


def takes_over(trial: Trial) -> str:
    """The process that takes somebody out everywhere is killed in the middle of it: another one goes on."""
    who = _hired(trial)
    victim, _ = trial.chosen()
    with _Removal(trial, victim, who) as removal:
        done = _taken(trial).total()
        trial.fleet.kill(victim)
        killed = time.monotonic()
    restarted = trial.fleet.restart()
    assert restarted == (0 if trial.fleet.layout == "workers" else 1), "a server replaces its worker and goes on"
    operation = ended(trial, removal.id)
    seconds = time.monotonic() - killed
    assert operation["status"] == "succeeded", told(operation)
    assert operation["result"]["is_complete"], told(operation)
    assert held(trial.sandbox, who) == {}
    steps, servers = len(operation["steps"]), "its server started again, " if restarted else ""
    return f"killed after {done} of {steps} steps; {servers}ended {seconds:.0f} s after the kill; {_once(trial)}"


class _Removal:
    """Somebody is taken out everywhere through a process; the `with` begins in the middle of it."""

    def __init__(self, trial: Trial, pid: int, who: str) -> None:
        self._trial = trial
        self._who = who
        self._line = trial.fleet.line(pid)
        self._asking = threading.Thread(target=self._ask, daemon=True)
        self._answer: Answer | None = None
        self.id = ""

    def _ask(self) -> None:
        try:
            self._answer = self._trial.write(self._line, _OFF_BOARD, {"email": self._who})
        except LineLostError:
            return  # it was killed; what became of it the journal tells

    def __enter__(self) -> Self:
        self._trial.sandbox.faults([_SLOW])
        self._trial.sandbox.reset_requests()
        self._asking.start()
        _until(lambda: _taken(self._trial).total() > 0, lambda: f"the first step: {self._answer}")
        (self.id,) = _off_boardings(self._trial, self._who)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._trial.sandbox.clear_faults()
        self._asking.join(ENDS_WITHIN_S)
        self._line.close()


# --- who, where


def _teams(trial: Trial) -> list[dict[str, Any]]:
    return trial.teams[:PLACES]


def _member(team: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": "team:member", "group": {"id": team["id"]}}


def _hired(trial: Trial) -> str:
    """Somebody in many teams, by a write through one process."""
    who = trial.person()
    body = {"email": who, "roles": [_member(team) for team in _teams(trial)]}
    answer = trial.written(trial.chosen()[0], "/users", body)
    assert answer.status == 200, answer.body
    assert len(held(trial.sandbox, who)) == len(body["roles"])
    return who


# --- what became of it


def _off_boardings(trial: Trial, who: str) -> list[str]:
    """The operations that took somebody out everywhere, as some process shows them."""
    query = {"integrated_account_id": trial.account_id, "limit": 20}
    with trial.fleet.any_line() as line:
        answer = line.ask("GET", "/operations", trial.token, **query)
    assert answer.status == 200, answer.body
    found = [one for one in answer.json()["result"] if one["kind"] == "users.offboard"]
    return [one["id"] for one in found if who in one["person"]["emails"]]


def ended(trial: Trial, operation_id: str) -> dict[str, Any]:
    """The operation at its end, as one process or another shows it."""

    def operation() -> dict[str, Any]:
        with trial.fleet.any_line() as line:
            found: dict[str, Any] = line.ask("GET", f"/operations/{operation_id}", trial.token).json()
            return found

    _until(lambda: operation()["status"] not in UNFINISHED, lambda: f"its end: {told(operation())}")
    return operation()


def told(operation: Mapping[str, Any]) -> str:
    steps = Counter(state["status"] for state in operation["steps"])
    return f"operation {operation['id']} {operation['status']}, {dict(steps)}, {operation['error']}"


def _taken(trial: Trial) -> Counter[str]:
    """What Heroku was asked to take away, and did."""
    return Counter(one["path"] for one in trial.writes() if one["method"] == "DELETE" and one["status"] < 300)


def _once(trial: Trial) -> str:
    taken = _taken(trial)
    twice = {what: count for what, count in taken.items() if count > 1}
    assert not twice, f"done twice: {twice}"
    return f"{len(taken)} places left, each once"


def _until(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    over = time.monotonic() + ENDS_WITHIN_S
    while not condition():
        assert time.monotonic() < over, f"in vain: {what()}"
        time.sleep(0.1)
