"""Callers who write: each has people of their own, looks at what they have, asks for a change, and holds the answer
against the world. Some hang up and ask again.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import httpx
import msgspec

from adapter.directory.writing.model import UNFINISHED
from adapter.sandbox.records import Account
from tests.long.soaking.asking import DIRECTORY, HEROKU, WRITES, Asker, Connected
from tests.long.soaking.town import PASSING, Held, Spot, Town

ENDS_S = 60.0
"""Seconds in which a write that goes on without its caller has to end."""
HANGS_UP = 0.12
DONE = (200, 202)
PLAN_IS_OLD = 412


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """One write, and what has to be so once it was said to be done."""

    method: str
    path: str
    body: Any = None
    params: Mapping[str, str] = {}
    plan_first: bool = False
    granted: Callable[[Held], bool]


class Writer:
    """Writes through one account about its own people, one thing after another."""

    def __init__(self, asker: Asker, town: Town, account: Connected, people: Sequence[Account]) -> None:
        self._asker = asker
        self._town = town
        self._account = account
        self._people = people
        self._random = asker.random
        self._spots = town.spots(account.who)
        self._by_place = {spot.place: spot for spot in self._spots}
        self.known: set[str] = set()
        """The operations that answers named."""
        self.done = 0

    async def act(self) -> None:
        who = self._random.choice(self._people)
        wish = self._wish(who, self._town.held_by(who))
        if await self._carried_out(wish):
            self.done += 1
            has = self._town.held_by(who)
            if not wish.granted(has):
                self._asker.wrong.append(f"{wish.method} {wish.path} {wish.body}: said to be done, and {has} is held")

    # --- what is wished for

    def _wish(self, who: Account, has: Held) -> Wish:
        chance = self._random.random()
        if not has or (len(has) < 4 and chance < 0.6):
            return self._given(who, known=bool(has))
        if chance < 0.2 and len(has) > 1:
            return self._gone(who)
        place = self._random.choice(sorted(has))
        spot = self._by_place[place]
        if spot.kind == "app" and len(spot.roles) > 1 and chance < 0.7:
            return self._changed(who, spot, has[place])
        return self._taken(who, spot, has[place])

    def _given(self, who: Account, *, known: bool) -> Wish:
        """By id only whoever the directory can know."""
        spots = self._random.sample(self._spots, self._random.choice([1, 1, 2, 3]))
        roles = [{"id": f"{spot.kind}:{spot.roles[0]}", spot.word: {"id": spot.id}} for spot in spots]

        def granted(has: Held) -> bool:
            return all(spot.place in has for spot in spots)

        if len(spots) > 1:
            return Wish(method="POST", path="/users", body={"email": who.email, "roles": roles}, granted=granted)
        spot = spots[0]
        person: dict[str, Any] = {"user_id": who.id} if known and self._random.random() < 0.5 else {"email": who.email}
        if spot.kind == "team" and self._random.random() < 0.5:
            return Wish(
                method="POST", path="/groups/add-user", body={**person, "group_id": spot.id}, granted=granted
            )  # fmt: skip
        body = {**person, "role_id": f"{spot.kind}:{spot.roles[0]}", f"{spot.word}_id": spot.id}
        return Wish(method="POST", path="/role_assignments", body=body, granted=granted)

    def _changed(self, who: Account, spot: Spot, roles: frozenset[str]) -> Wish:
        """Another permission on an app; or just these."""
        if self._random.random() < 0.5:
            wanted = sorted(self._random.sample(spot.roles, self._random.randint(1, 2)))
            entries = [{"id": f"app:{role}", "workspace": {"id": spot.id}} for role in wanted]
            return Wish(
                method="PATCH",
                path=f"/users/{who.id}",
                body={"roles": entries},
                granted=lambda has: set(wanted) <= has.get(spot.place, frozenset()),
            )
        old, new = self._random.choice(sorted(roles)), self._random.choice(spot.roles)
        return Wish(
            method="PATCH",
            path=f"/role_assignments/app:{spot.id}:{who.id}:{old}",
            body={"role_id": f"app:{new}"},
            granted=lambda has: new in has.get(spot.place, frozenset()),
        )

    def _taken(self, who: Account, spot: Spot, roles: frozenset[str]) -> Wish:
        if spot.kind == "team" and self._random.random() < 0.5:
            body = {"email": who.email, "group_id": spot.id}
            return Wish(
                method="POST", path="/groups/remove-user", body=body, granted=lambda has: spot.place not in has
            )  # fmt: skip
        if self._random.random() < 0.5:
            return Wish(
                method="DELETE",
                path=f"/users/{who.id}",
                params={f"{spot.word}_id": spot.id},
                granted=lambda has: spot.place not in has,
            )
        role = self._random.choice(sorted(roles)).rstrip("?")
        return Wish(
            method="DELETE",
            path=f"/role_assignments/{spot.kind}:{spot.id}:{who.id}:{role}",
            granted=lambda has: role not in {each.rstrip("?") for each in has.get(spot.place, frozenset())},
        )

    def _gone(self, who: Account) -> Wish:
        """From everywhere: shown first, and what was shown carried out."""
        return Wish(
            method="POST",
            path="/users/offboard",
            body={"email": who.email},
            plan_first=self._random.random() < 0.7,
            granted=lambda has: not has,
        )

    # --- how it is asked for

    async def _carried_out(self, wish: Wish) -> bool:
        """Whether it was said to be done; what was said instead is a failure."""
        headers: dict[str, str] = {}
        if wish.plan_first:
            planned = await self._send(wish, headers, {"dry_run": "true"})
            if planned is None:
                return False
            headers["if-match"] = planned.headers["etag"]
        leaves = self._random.random() < HANGS_UP
        if leaves or self._random.random() < 0.4:
            headers["idempotency-key"] = uuid4().hex
        began = time.monotonic()
        answer = None
        if leaves:
            hung_up = asyncio.Event()
            seconds = self._random.uniform(0.001, 0.3)
            answer = await self._send(wish, headers, {}, hang_up=seconds, on_hang_up=hung_up.set)
            if answer is None and not hung_up.is_set():
                return False
        answer = await self._by_the_newest_plan(wish, headers, answer or await self._send(wish, headers, {}))
        if answer is None:
            return False
        if answer.status_code == 202:
            return await self._ended(answer.headers["location"], began)
        return not self._is_incomplete(answer.json())

    async def _by_the_newest_plan(
        self, wish: Wish, headers: Mapping[str, str], answer: httpx.Response | None
    ) -> httpx.Response | None:
        """The answer; where what a plan rested on has been read anew since, the one to the plan that this shows."""
        for more in ({}, {}, {"allowed": DONE}):
            if answer is None or answer.status_code != PLAN_IS_OLD:
                break
            answer = await self._send(wish, {**headers, "if-match": answer.headers["etag"]}, {}, **more)
        return answer

    def _is_incomplete(self, body: Any) -> bool:
        """Whether a report of a removal says itself that it can't vouch for everything."""
        report = body.get("result", body) if isinstance(body, Mapping) else {}
        return isinstance(report, Mapping) and report.get("is_complete") is False

    async def _send(self, wish: Wish, headers: Mapping[str, str], params: Mapping[str, str], **more: Any) -> Any:
        allowed = (*DONE, PLAN_IS_OLD) if "if-match" in headers else DONE
        what = f"write {wish.method} {'/'.join(wish.path.split('/')[: 3 if wish.method == 'POST' else 2])}"
        return await self._asker.ask(
            f"{what} (plan)" if params else what,
            wish.method,
            f"{DIRECTORY}{wish.path}",
            self._account,
            params={**wish.params, **params},
            headers=dict(headers),
            json=wish.body,
            methods=WRITES,
            **{"allowed": allowed, **more},
        )

    async def _ended(self, location: str, began: float) -> bool:
        """Follow what goes on without us to its end."""
        self._asker.accepted += 1
        self.known.add(location.rpartition("/")[2])
        while time.monotonic() < began + ENDS_S:
            answer = await self._asker.ask("operation", "GET", location, self._account)
            if answer is not None and (operation := answer.json())["status"] not in UNFINISHED:
                if operation["status"] == "succeeded":
                    return not self._is_incomplete(operation["result"] or {})
                code = str((operation["error"] or {}).get("code", "write_failed"))
                self._asker.fail("operation", code, began, self._account, WRITES, f"{location} {operation['status']}")
                return False
            await asyncio.sleep(0.25)
        self._asker.fail("operation", "no_end", began, self._account, WRITES, location)
        return False


class RawWriter:
    """Writes through the raw doors, about people of its own."""

    def __init__(self, asker: Asker, town: Town, account: Connected, people: Sequence[Account]) -> None:
        self._asker = asker
        self._town = town
        self._account = account
        self._people = people

    async def act(self) -> None:
        who, team = self._asker.random.choice(self._people), self._asker.random.choice(self._town.plain)
        place = ("team", team.id)
        is_in = place in self._town.held_by(who)
        path = f"/custom/teams/{team.id}/members"
        if is_in:
            answer = await self._ask("DELETE", f"{path}/{who.email}")
        else:
            answer = await self._ask("PUT", path, json={"email": who.email, "role": "member"})
        # Nonsense is handed on as it came, and says nothing.
        is_told = answer is not None and "json" in answer.headers.get("content-type", "")
        if is_told and is_in == (place in self._town.held_by(who)):
            self._asker.wrong.append(f"a raw write about {who.email} was answered as done, and was not")
        await asyncio.sleep(self._asker.random.uniform(0.1, 0.6))

    async def _ask(self, method: str, path: str, **more: Any) -> Any:
        return await self._asker.ask(
            f"custom {method}", method, path, self._account, methods=WRITES, headers=HEROKU, allowed=(200, 201), **more
        )


class Founder:
    """Makes teams, renames them and deletes them: places that come and go."""

    def __init__(self, asker: Asker, town: Town, account: Connected) -> None:
        self._asker = asker
        self._town = town
        self._account = account
        self._corp = town.corp.id
        self._number = 0
        self._said = False
        self.done = 0
        self.deleted: list[tuple[float, float]] = []
        """Between when and when teams went, by the monotonic clock."""

    async def act(self) -> None:
        teams = self._town.passing_teams()
        if not teams:
            self._number += 1
            name = f"{PASSING}{self._number}"
            await self._write("POST", "/groups", {"name": name, "organization_id": self._corp})
            self._check(name, there=True)
        elif teams[0].name.endswith("-renamed"):
            began = time.monotonic()
            await self._write("DELETE", f"/groups/{teams[0].id}", None)
            self.deleted.append((began, time.monotonic() + (0 if self._said else ENDS_S)))
            self._check(teams[0].name, there=False)
        else:
            name = f"{teams[0].name}-renamed"
            await self._write("PATCH", f"/groups/{teams[0].id}", {"name": name})
            self._check(name, there=True)
        await asyncio.sleep(self._asker.random.uniform(0.5, 2.0))

    async def _write(self, method: str, path: str, body: Any) -> None:
        answer = await self._asker.ask(
            f"write {method} /groups",
            method,
            f"{DIRECTORY}{path}",
            self._account,
            json=body,
            headers={"idempotency-key": uuid4().hex},
            methods=WRITES,
            allowed=DONE,
        )
        self._said = answer is not None and answer.status_code == httpx.codes.OK

    def _check(self, name: str, *, there: bool) -> None:
        if self._said:
            self.done += 1
            if there != self._town.has_team(name):
                self._asker.wrong.append(f"team {name}: said to be {'there' if there else 'gone'}, and is not")
