"""A provider as a table of paths, with a log of what was asked; a clock that moves when it is told to."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from adapter.declarations import bundled_dir
from adapter.errors import RemoteForbidden, RemoteNotFound
from adapter.mapping.loading import load_model
from adapter.mapping.model import Model

NOON = 1_700_000_000.0 - 1_700_000_000.0 % 86_400 + 43_200
SHIPPED: Model = load_model([bundled_dir() / "heroku"])


class Clock:
    """Seconds since the epoch, from noon of some day on."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += seconds


class Budget:
    def __init__(self, remaining: int | None) -> None:
        self.remaining = remaining

    def headers(self) -> list[tuple[str, str]]:
        return []


class Listed(msgspec.Struct):
    records: list[Any]
    requests: int
    etag: str | None = None
    not_modified: bool = False


class Sent(msgspec.Struct):
    body: bytes


class Provider:
    """Answers each path with its records, or raises what stands there; `calls` are the paths in order."""

    account_key = "me"

    def __init__(self, answers: Mapping[str, Any], *, remaining: int | None = 4500) -> None:
        self.answers = dict(answers)
        self.calls: list[str] = []
        self.asked: list[tuple[str, Mapping[str, str] | None, Mapping[str, str] | None, str | None]] = []
        self.budget = Budget(remaining)
        self.gates: dict[str, asyncio.Event] = {}
        self.begun: dict[str, asyncio.Event] = {}
        self.pages = 1
        """Upstream requests that each list costs."""

    def block(self, path: str) -> asyncio.Event:
        """Hold answers to a path back until the event is set; `begun[path]` is set once it is asked for."""
        self.begun[path] = asyncio.Event()
        self.gates[path] = asyncio.Event()
        return self.gates[path]

    def forget_calls(self) -> None:
        self.calls.clear()
        self.asked.clear()

    async def iterate(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        order: str | None = None,
        etag: str | None = None,
    ) -> Listed:
        assert etag is None, "nothing was given to ask with"
        self.asked.append((path, query, headers, order))
        return Listed(records=await self._answer(path), requests=self.pages)

    async def send(self, method: str, path: str, *, query: Mapping[str, str] | None = None) -> Any:
        assert method == "GET"
        self.asked.append((path, query, None, None))
        answer = await self._answer(path)
        return Sent(body=answer if isinstance(answer, bytes) else msgspec.json.encode(answer))

    async def _answer(self, path: str) -> Any:
        self.calls.append(path)
        if path in self.gates:
            self.begun[path].set()
            await self.gates[path].wait()
        else:
            await asyncio.sleep(0)
        answer = self.answers.get(path, missing())
        if isinstance(answer, Exception):
            raise answer
        # Each answer is decoded anew: two reads of one list never share their objects.
        return answer if isinstance(answer, bytes) else msgspec.json.decode(msgspec.json.encode(answer))


def missing() -> RemoteNotFound:
    return RemoteNotFound(404, "Couldn't find that.", remote_id="not_found")


def forbidden(*scopes: str) -> RemoteForbidden:
    insight = {"forbidden_error": {"missing_scopes": list(scopes)}} if scopes else None
    return RemoteForbidden(403, "You do not have access.", remote_id="forbidden", insight=insight)


# --- a world in the provider's words


def member(who: str, role: str | None = "member", **more: Any) -> dict[str, Any]:
    mail = f"{who}@example.com"
    return {"id": f"m-{who}", "email": mail, "role": role, "user": {"id": who, "email": mail, "name": None}, **more}


def invitation(address: str, role: str = "member") -> dict[str, Any]:
    return {"id": f"i-{address}", "role": role, "user": {"email": address, "name": None}}


def entity(app: str, users: Mapping[str, Iterable[str]], kind: str = "app") -> dict[str, Any]:
    """What a team's permissions say of one app or space: who has which permissions there."""
    return {
        "id": app,
        "name": f"name-{app}",
        "type": kind,
        "users": [{"id": who, "email": f"{who}@example.com", "permissions": list(what)} for who, what in users.items()],
    }


def collaborator(who: str, *permissions: str, role: str | None = "collaborator") -> dict[str, Any]:
    return {
        "id": f"c-{who}",
        "role": role,
        "permissions": [{"name": name, "description": ""} for name in permissions],
        "user": {"id": who, "email": f"{who}@example.com", "federated": False},
    }


def app(key: str, team: str | None = None) -> dict[str, Any]:
    owner = {"id": team, "email": f"{team}@herokumanager.com"} if team else {"id": "me", "email": "me@example.com"}
    return {
        "id": key,
        "name": f"name-{key}",
        "owner": owner,
        "team": {"id": team, "name": f"name-{team}"} if team else None,
    }


def team(key: str, kind: str = "team", enterprise: str | None = None) -> dict[str, Any]:
    corp = {"id": enterprise, "name": f"name-{enterprise}"} if enterprise else None
    return {"id": key, "name": f"name-{key}", "type": kind, "enterprise_account": corp}


def of_team(
    key: str,
    *,
    members: Iterable[Any] = (),
    invitations: Iterable[Any] = (),
    entities: Any = (),
    apps: Iterable[Any] = (),
) -> dict[str, Any]:
    """The lists of one team, by path."""
    return {
        f"/teams/{key}/members": list(members),
        f"/teams/{key}/invitations": list(invitations),
        f"/teams/{key}/permissions": entities if isinstance(entities, Exception) else list(entities),
        f"/teams/{key}/apps": list(apps),
    }


def nothing() -> dict[str, Any]:
    """A personal account without anything."""
    return {"/account": {"id": "me", "email": "me@example.com"}, "/teams": [], "/enterprise-accounts": [], "/apps": [],
            "/spaces": []}  # fmt: skip


def two_teams() -> dict[str, Any]:
    """A team with two members, an invitation and an app; another with one member; a personal app with a guest."""
    return {
        **nothing(),
        "/teams": [team("t1"), team("t2")],
        **of_team(
            "t1",
            members=[member("ada", "admin"), member("bob")],
            invitations=[invitation("new@example.com")],
            entities=[entity("a1", {"bob": ["view"], "cyd": ["view", "deploy"]})],
            apps=[app("a1", "t1")],
        ),
        "/apps/a1/collaborators": [
            collaborator("bob", "view"),
            collaborator("cyd", "view", "deploy"),
            {"id": "c-t1", "role": "owner", "user": {"id": "t1", "email": "t1@herokumanager.com"}},
        ],
        **of_team("t2", members=[member("bob", "viewer")]),
        "/apps": [app("a1", "t1"), app("p1")],
        "/apps/p1/collaborators": [collaborator("me", role="owner"), collaborator("dan", role=None)],
    }
