"""Callers who read: pages, filters, searches, records, the graph, and the raw doors."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tests.long.soaking.asking import DIRECTORY, HEROKU, WRITES, Asker, Connected
from tests.long.soaking.town import Town

FRESH = {"cache-control": "no-cache"}
LISTS = ("users", "groups", "role_assignments", "workspaces", "organizations", "roles", "licenses", "me")
LARGE = 256 * 1024
"""Bytes that an app's config vars hold, both ways."""
UPLOAD = 1024 * 1024


class Reader:
    """Asks one account, one thing after another."""

    def __init__(self, asker: Asker, town: Town, accounts: Sequence[Connected]) -> None:
        self._asker = asker
        self._town = town
        self._accounts = accounts
        self._random = asker.random
        self._actions: tuple[Callable[[Connected], Awaitable[None]], ...] = (
            self._walk, self._walk, self._filter, self._filter, self._one, self._list, self._list, self._graph,
            self._stream, self._raw, self._raw, self._raw_list, self._raw_walk, self._large,
        )  # fmt: skip

    async def act(self) -> None:
        await self._random.choice(self._actions)(self._random.choice(self._accounts))

    # --- unified

    async def _walk(self, account: Connected) -> None:
        """Pages of people, each of them once; not always to the end."""
        cursor, seen, headers = "", [], FRESH if self._random.random() < 0.05 else {}
        limit = self._random.choice([20, 50, 100])
        for _ in range(self._random.randint(1, 8)):
            params = {"limit": limit, "next_cursor": cursor}
            answer = await self._asker.ask("page", "GET", f"{DIRECTORY}/users", account, params=params, headers=headers)
            if answer is None:
                return
            page = answer.json()
            seen += [user["id"] for user in page["result"]]
            cursor, headers = page["next_cursor"], {}
            if not cursor:
                break
        if len(seen) != len(set(seen)):
            self._asker.wrong.append("a walk through the users met somebody twice")

    async def _filter(self, account: Connected) -> None:
        team, role = self._random.choice(self._town.teams), self._random.choice(["team:member", "app:deploy"])
        params: dict[str, Any] = self._random.choice(
            [
                {"q": f"resident-{self._random.randint(0, 30)}"},
                {"status": "invited"},
                {"group_id": team.id},
                {"role_id": role, "sort_by": "name"},
                {"q": "hand", "limit": 10},
                {"user_type": "admin"},
            ]
        )
        await self._asker.ask("filter", "GET", f"{DIRECTORY}/users", account, params=params)

    async def _one(self, account: Connected) -> None:
        """Somebody who is there all the time."""
        who = self._random.choice(self._town.admins)
        answer = await self._asker.ask("record", "GET", f"{DIRECTORY}/users/{who.id}", account)
        if answer is not None and answer.json()["emails"][0]["email"] != who.email:
            self._asker.wrong.append(f"{who.email} was answered as somebody else")

    async def _list(self, account: Connected) -> None:
        name = self._random.choice(LISTS)
        inherited = {"include_inherited": "true"} if name == "role_assignments" and self._random.random() < 0.3 else {}
        await self._asker.ask("list", "GET", f"{DIRECTORY}/{name}", account, params={"limit": 200, **inherited})

    async def _graph(self, account: Connected) -> None:
        await self._asker.ask("graph", "GET", "/graph", account)

    async def _stream(self, account: Connected) -> None:
        params = {"truto_response_format": "stream"}
        answer = await self._asker.ask("stream", "GET", f"{DIRECTORY}/users", account, params=params)
        if answer is not None and not json.loads(answer.text.splitlines()[-1]).get("end"):
            self._asker.wrong.append("a stream ended without its end, and as if it were whole")

    # --- raw

    async def _raw(self, account: Connected) -> None:
        path = self._random.choice(["/account", f"/apps/{self._town.mine.id}", f"/teams/{self._town.plain[0].id}"])
        answer = await self._asker.ask("custom", "GET", f"/custom{path}", account, headers=HEROKU)
        if answer is not None and "json" not in answer.headers.get("content-type", ""):
            self._asker.answered["custom"] -= 1
            # It is handed on as it came.
            self._asker.answered["custom, nonsense handed on"] += 1

    async def _raw_list(self, account: Connected) -> None:
        path = f"/custom/teams/{self._random.choice(self._town.plain).id}/members"
        await self._asker.ask(
            "custom list", "GET", path, account, headers={**HEROKU, "range": "id ..; max=1000"}, allowed=(200, 206)
        )

    async def _raw_walk(self, account: Connected) -> None:
        path, cursor = f"/proxy/teams/{self._random.choice(self._town.plain).id}/members", ""
        for _ in range(self._random.randint(1, 4)):
            params = {"limit": 20, "next_cursor": cursor}
            answer = await self._asker.ask("proxy", "GET", path, account, params=params, headers=HEROKU)
            if answer is None or "json" not in answer.headers.get("content-type", ""):
                return
            cursor = answer.json()["next_cursor"]
            if not cursor:
                return

    async def _large(self, account: Connected) -> None:
        """Large bodies both ways: the config vars of an app, as long as they stood before."""
        path = f"/custom/apps/{self._town.big.id}/config-vars"
        if self._random.random() < 0.5:
            await self._asker.ask("large answer", "GET", path, account, headers=HEROKU)
            return
        body = {"LARGE": "x" * LARGE, "GONE": None}
        await self._asker.ask("large body", "PATCH", path, account, headers=HEROKU, json=body, methods=WRITES)


class Leaver:
    """Hangs up: before an answer, in the middle of one, in the middle of a body of its own."""

    def __init__(self, asker: Asker, town: Town, accounts: Sequence[Connected]) -> None:
        self._asker = asker
        self._town = town
        self._accounts = accounts
        self._random = asker.random

    async def act(self) -> None:
        account = self._random.choice(self._accounts)
        query = f"integrated_account_id={account.id}"
        big = f"/custom/apps/{self._town.big.id}/config-vars?{query}"
        method, target, body = self._random.choice(
            [
                ("GET", f"{DIRECTORY}/users?limit=1000&{query}", 0),
                ("GET", f"/graph?{query}", 0),
                ("GET", f"/custom/teams?{query}", 0),
                ("GET", big, 0),
                ("PATCH", big, UPLOAD),
                ("GET", f"/proxy/teams?{query}", 0),
            ]
        )
        await self._leave(method, target, body)
        await asyncio.sleep(self._random.uniform(0.05, 0.4))

    async def _leave(self, method: str, target: str, body: int) -> None:
        host, _, port = self._asker.url.rpartition("//")[2].partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        lines = [
            f"{method} {target} HTTP/1.1", "host: adapter", f"authorization: Bearer {self._asker.token}",
            f"accept: {HEROKU['accept']}", "content-type: application/json",
            f"content-length: {body}",
        ]  # fmt: skip
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + b"x" * int(body * self._random.random()))
        try:
            await writer.drain()
            async with asyncio.timeout(self._random.uniform(0.001, 0.2)):
                await reader.read(100)
        except (TimeoutError, ConnectionError):
            pass
        if self._random.random() < 0.5:
            writer.transport.abort()
        writer.close()
        self._asker.hung_up["in the middle"] += 1
