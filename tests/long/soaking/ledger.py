"""Whether nothing was lost: the journal against the world, and the directory against the world."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from adapter.directory.writing.model import UNFINISHED
from adapter.sandbox import RunningSandbox
from adapter.sandbox.records import Account
from tests.e2e.worlds import Truth
from tests.long.soaking.asking import DIRECTORY, PATIENCE_S
from tests.long.soaking.town import Place, Town

WELL_S = 45.0
"""Seconds in which everything that goes on by itself has to end, and the directory to be right, once it is calm."""
_TOLD = 24
"""Lines of what led to a contradiction."""
_OVER = frozenset({"done", "already"})


class Ledger:
    """Every operation that the journal knows, and every account's directory. Blocking; between two rounds."""

    def __init__(
        self, url: str, token: str, sandbox: RunningSandbox, town: Town, accounts: Sequence[str], people: list[Account]
    ) -> None:
        self._http = httpx.Client(
            base_url=url, headers={"authorization": f"Bearer {token}"}, trust_env=False, timeout=PATIENCE_S
        )
        self._sandbox = sandbox
        self._town = town
        self._accounts = accounts
        self._people = people
        self._ended: dict[str, dict[str, Any]] = {}
        self.statuses: Counter[str] = Counter()
        self.steps: Counter[str] = Counter()
        self.well_after = 0.0
        """The longest that it took for all to be right again."""

    @property
    def operations(self) -> int:
        return len(self._ended)

    def close(self) -> None:
        self._http.close()

    def check(self, named: set[str]) -> list[str]:
        """What is lost or untrue; waits for what goes on by itself."""
        began = time.monotonic()
        wrong = self._read_journal(began + WELL_S)
        if lost := named - set(self._ended):
            wrong.append(f"operations that an answer named, and that the journal does not know: {sorted(lost)}")
        wrong += self._journal_against_world()
        wrong += [fault for account in self._accounts for fault in self._directory(account, began + WELL_S)]
        self.well_after = max(self.well_after, time.monotonic() - began)
        return wrong

    # --- the journal

    def _read_journal(self, until: float) -> list[str]:
        open_: list[str] = []
        for account in self._accounts:
            for operation_id in self._listed(account):
                operation = self._got(f"/operations/{operation_id}")
                while operation["status"] in UNFINISHED and time.monotonic() < until:
                    time.sleep(0.2)
                    operation = self._got(f"/operations/{operation_id}")
                if operation["status"] in UNFINISHED:
                    open_.append(f"operation {operation_id} does not end: {_told(operation)}")
                    continue
                self._ended[operation_id] = operation
                self.statuses[operation["status"]] += 1
                self.steps.update(state["status"] for state in operation["steps"])
        return open_

    def _listed(self, account: str) -> list[str]:
        """The operations that have not been seen at their end, the oldest first."""
        found: list[str] = []
        cursor = ""
        while True:
            page = self._got("/operations", integrated_account_id=account, limit=200, next_cursor=cursor)
            ids = [one["id"] for one in page["result"]]
            found += [id_ for id_ in ids if id_ not in self._ended]
            cursor = page["next_cursor"]
            if not cursor or (ids and ids[-1] in self._ended and set(ids) <= set(self._ended)):
                return found[::-1]

    def _journal_against_world(self) -> list[str]:
        """For each person that only writes are about: what the last word on each place says, and what is so."""
        words = self._words()
        wrong = []
        for person in self._people:
            said, held = words.get(person.email, {}), self._town.held_by(person)
            for place in sorted(set(said) | set(held)):
                wanted = said.get(place, frozenset())
                found = held.get(place, frozenset())
                if wanted is not None and found != wanted:
                    history = "".join(f"\n    {line}" for line in self._history(person.email, place))
                    wrong.append(
                        f"{person.email} at {place}: the journal says {set(wanted)}, the world {set(found)}{history}"
                    )
        return wrong

    def _history(self, email: str, place: Place) -> list[str]:
        """What the journal and the provider's log say of somebody's last steps at a place, in the order of time."""
        there = {place} | {("team", team) for team in self._town.world.teams if place in self._town.in_team(team)}
        told = [
            (str(state["sent_at"]), f"{_step(state)} of {operation['kind']} {operation['id']}")
            for operation in self._ended.values()
            for state in operation["steps"]
            if _about(operation, state)[0] == email and _about(operation, state)[1] in there
        ]
        entries = self._sandbox.sandbox.log.entries.copy()
        told += [
            (entry.time, f"Heroku: {entry.method} {entry.path} {entry.status} {entry.fault or ''}")
            for entry in entries
            if entry.method != "GET" and any(id_ in entry.path for _, id_ in there)
        ]
        return [f"{at} {what}" for at, what in sorted(told)[-_TOLD:]]

    def _words(self) -> dict[str, dict[Place, frozenset[str] | None]]:
        """By person and place: the roles that the last step left, None where the journal says that it can't tell."""
        steps = sorted(
            (
                (str(state["finished_at"] or operation["finished_at"]), operation, state)
                for operation in self._ended.values()
                for state in operation["steps"]
            ),
            key=lambda each: each[0],
        )
        words: dict[str, dict[Place, frozenset[str] | None]] = {}
        for _, operation, state in steps:
            email, place = _about(operation, state)
            if email is None or place is None:
                continue
            said = words.setdefault(email, {})
            if state["status"] in {"unknown", "sending"}:
                said[place] = None
            elif state["status"] in _OVER:
                said[place] = _roles(state["step"]["after"])
                self._go_with(said, place)
        return words

    def _go_with(self, said: dict[Place, frozenset[str] | None], place: Place) -> None:
        """Who leaves a team leaves its apps and spaces."""
        if place[0] == "team" and not said[place]:
            for inside in self._town.in_team(place[1]) & set(said):
                said[inside] = frozenset()

    # --- the directory

    def _directory(self, account: str, until: float) -> list[str]:
        """Read anew until it is what the world says."""
        while True:
            wrong = self._compared(account)
            if not wrong or time.monotonic() > until:
                return wrong
            time.sleep(0.5)

    def _compared(self, account: str) -> list[str]:
        users = self._all("users", account)
        grants = self._all("role_assignments", account)
        truth = Truth(self._sandbox.truth())
        if isinstance(users, str) or isinstance(grants, str):
            return [f"account {account}: {users if isinstance(users, str) else grants}"]
        found = {"people": (users, truth.people), "grants": (grants, truth.grants)}
        return [
            f"account {account}, {name}: too many {sorted(shown - true)[:5]}, missing {sorted(true - shown)[:5]}"
            for name, (shown, true) in found.items()
            if shown != true
        ]

    def _all(self, resource: str, account: str) -> set[str] | str:
        """The ids of all records, or why there are none."""
        found: set[str] = set()
        cursor, headers = "", {"cache-control": "no-cache"}
        while True:
            params: dict[str, str | int] = {"integrated_account_id": account, "limit": 1000, "next_cursor": cursor}
            answer = self._http.get(f"{DIRECTORY}/{resource}", params=params, headers=headers)
            body = answer.json()
            if answer.status_code != 200 or body.get("is_partial_response"):
                return answer.text[:300]
            found |= {record["id"] for record in body["result"]}
            cursor, headers = body["next_cursor"], {}
            if not cursor:
                return found

    def _got(self, path: str, **params: str | int) -> Any:
        answer = self._http.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()


def _about(operation: Mapping[str, Any], state: Mapping[str, Any]) -> tuple[str | None, Place | None]:
    person, place = operation["plan"]["person"], state["step"]["place"]
    email = person["emails"][0] if person and person["emails"] else None
    return email, (place["kind"], place["id"]) if place else None


def _step(state: Mapping[str, Any]) -> str:
    asked = f"{state['step']['method']} {state['step']['path']}"
    return f"{asked}: {state['status']} {state['http_status']} {state['note'] or ''} ({state['finished_at']})"


def _roles(holding: Mapping[str, Any] | None) -> frozenset[str]:
    if holding is None or holding["state"] == "none":
        return frozenset()
    mark = "?" if holding["state"] == "pending" else ""
    return frozenset(f"{role}{mark}" for role in holding["roles"])


def _told(operation: Mapping[str, Any]) -> str:
    steps = Counter(state["status"] for state in operation["steps"])
    events = [event["what"] for event in operation["events"]]
    return f"{operation['kind']} {operation['status']}, steps {dict(steps)}, events {events}"
