"""What else goes on: tokens minted and revoked, links, accounts that come and go, and the world behind our back."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import httpx

from adapter.sandbox import RunningSandbox
from tests.long.soaking.asking import DIRECTORY, HEROKU, WRITES, Asker, Connected
from tests.long.soaking.town import RITA, SPARE, Town

MOST_GIVEN = 24
"""What residents hold at one time of what was given to them behind our back."""


class Clerk:
    """Tokens, links and settings."""

    def __init__(self, asker: Asker, accounts: Sequence[Connected]) -> None:
        self._asker = asker
        self._accounts = accounts
        self._random = asker.random
        self._actions: tuple[Callable[[Connected], Awaitable[None]], ...] = (
            self._token, self._token, self._link, self._settings, self._operations,
        )  # fmt: skip
        self.tokens = 0
        self.links = 0
        self.visits = 0

    async def act(self) -> None:
        await self._random.choice(self._actions)(self._random.choice(self._accounts))
        await asyncio.sleep(self._random.uniform(0.05, 0.3))

    async def _token(self, account: Connected) -> None:
        """A token that is made, used at three doors, revoked, and no good from then on."""
        ask = self._asker.ask
        scopes = ["directory:read", "raw:read"]
        minted = await ask(
            "token", "POST", "/integrated-account/token", json={"integrated_account_id": account.id, "scopes": scopes}
        )
        if minted is None:
            return
        self.tokens += 1
        token, token_id = minted.json()["token"], minted.json()["id"]
        await ask("token used", "GET", f"{DIRECTORY}/me", account, token=token)
        await ask("token used", "GET", "/teams", account, token=token, headers=HEROKU, allowed=(200, 206))
        await ask("token used", "GET", "/integrated-account/me", account, token=token)
        path = f"/integrated-account/{account.id}/tokens"
        if await ask("token revoked", "DELETE", path, params={"token_id": token_id}) is not None:
            await ask("token dead", "GET", f"{DIRECTORY}/me", account, token=token, allowed=(401,))

    async def _link(self, account: Connected) -> None:
        """A link that is made and visited, and not used."""
        ask = self._asker.ask
        made = await ask("link", "POST", "/link-token", json={"integrated_account_id": account.id})
        if made is None:
            return
        self.links += 1
        params = {"link_token": made.json()["link_token"]}
        arrived = await ask("link visited", "GET", "/connect-account", params=params, allowed=(303,))
        if arrived is None:
            return
        self.visits += 1
        cookie = arrived.headers["set-cookie"].partition(";")[0]
        await ask("link visited", "GET", "/connect-account", headers={"cookie": cookie})

    async def _settings(self, account: Connected) -> None:
        path = f"/integrated-account/{account.id}"
        context = {"seen": self._random.randint(0, 10)}
        await self._asker.ask("account", "PATCH", path, json={"context": context})
        await self._asker.ask("account", "GET", path)
        await self._asker.ask("status", "GET", f"{path}/directory", params={"limit": 100})

    async def _operations(self, account: Connected) -> None:
        await self._asker.ask("operations", "GET", "/operations", account, params={"limit": 20})


class Guest:
    """An account that is connected, asked, blocked, unblocked and removed, again and again."""

    def __init__(self, asker: Asker, sandbox: RunningSandbox) -> None:
        self._asker = asker
        self._key = sandbox.token(["global"], account=SPARE)
        self.stays = 0

    async def act(self) -> None:
        ask = self._asker.ask
        body = {"tenant_id": "guests", "authentication_method": "api_key", "context": {"api_key": self._key}}
        made = await ask("guest connected", "POST", "/integrated-account", json=body, methods=WRITES)
        if made is not None:
            self.stays += 1
            await self._stay(Connected(id=made.json()["id"], who=SPARE, refreshes=False))
        await asyncio.sleep(self._asker.random.uniform(0.2, 1.0))

    async def _stay(self, account: Connected) -> None:
        ask, path = self._asker.ask, f"/integrated-account/{account.id}"
        await ask("guest asked", "GET", f"{DIRECTORY}/users", account)
        if await ask("guest blocked", "PATCH", path, json={"is_blocked": True}) is not None:
            await ask("guest refused", "GET", f"{DIRECTORY}/users", account, allowed=(503,))
        await ask("guest unblocked", "PATCH", path, json={"is_blocked": False})
        await ask("guest asked", "GET", f"{DIRECTORY}/groups", account)
        await ask("guest removed", "DELETE", path, methods=WRITES)


class Meddler:
    """Rita, at Heroku itself: residents join and leave, are given apps, are invited; apps get other names."""

    def __init__(self, asker: Asker, town: Town, sandbox: RunningSandbox) -> None:
        self._random = asker.random
        self._town = town
        self._url = sandbox.url
        self._token = sandbox.token(["global"], account=RITA)
        self.changes = 0
        self._given: deque[str] = deque()
        """What takes back what was given, oldest first: who goes through this for minutes leaves the town no larger."""

    async def act(self) -> None:
        method, path, body = self._change()
        headers = {**HEROKU, "authorization": f"Bearer {self._token}"}
        # What Heroku refuses her, or breaks off, is her own affair.
        with suppress(httpx.HTTPError):
            async with httpx.AsyncClient(base_url=self._url, trust_env=False, headers=headers) as http:
                self.changes += (await http.request(method, path, json=body)).is_success
        await asyncio.sleep(self._random.uniform(0.05, 0.3))

    def _change(self) -> tuple[str, str, Any]:
        if self._random.random() < 0.1:
            return "PATCH", f"/apps/{self._town.mine.id}", {"name": f"mine-{self._random.randint(0, 9)}"}
        if self._given and self._random.random() < len(self._given) / MOST_GIVEN:
            return "DELETE", self._given.popleft(), None
        method, path, body, back = self._gift()
        self._given.append(back)
        return method, path, body

    def _gift(self) -> tuple[str, str, Any, str]:
        """Something that a resident lacks, and what takes it back."""
        who, town = self._random.choice(self._town.residents), self._town
        teams, cores = [*town.plain, *town.works], town.cores
        team = self._random.choice([one for one in teams if who.id not in one.members] or teams)
        app = self._random.choice([one for one in cores if who.id not in one.grants] or cores)
        invites = f"/teams/{self._random.choice(town.inviting).id}/invitations"
        members, grants = f"/teams/{team.id}/members", f"/teams/apps/{app.id}/collaborators"
        return self._random.choice(
            [
                ("PUT", members, {"email": who.email, "role": "member"}, f"{members}/{who.id}"),
                ("PUT", invites, {"email": who.email, "role": "member"}, f"{invites}/{who.email}"),
                ("POST", grants, {"user": who.email, "permissions": ["view"]}, f"{grants}/{who.id}"),
            ]
        )
