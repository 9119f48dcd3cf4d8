"""A served adapter before a world with every kind of place, for tests that write."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapter.sandbox import Options, RunningSandbox, World
from tests.directory.writing import worlds
from tests.e2e.serving import Connected, serving
from tests.storage.servers import PostgresServer

CONTROLS, INVITES = "org-access-controls", "team-invite-acceptance"
DIRECTORY = "/unified/user-directory"
OWNER = "owner@example.com"

_numbers = count(1)


def every_kind() -> World:
    """Teams that invite and that don't, with access controls and without; an app in each, a space, a personal app.

    The owner runs it all, Rita with her; Zoe alone runs `solo`, of which the owner's enterprise account is in charge.
    """
    world = World()
    owner, rita = world.add_account(OWNER, "Olga Owner"), world.add_account("rita@example.com", "Rita")
    zoe, other = world.add_account("zoe@example.com", "Zoe"), world.add_account("other@example.com", "Otto")
    corp = world.add_enterprise("corp")
    for manager in (owner, rita):
        world.add_enterprise_member(corp, manager, "view", "create", "manage")
    world.add_team("inviting", admins=[owner, rita], features={INVITES})
    plain = world.add_team("plain", admins=[owner, rita])
    bare = world.add_team("bare", kind="enterprise", admins=[owner, rita], enterprise=corp)
    big = world.add_team("big", kind="enterprise", admins=[owner, rita], features={CONTROLS}, enterprise=corp)
    world.add_team("solo", kind="enterprise", admins=[zoe], features={CONTROLS}, enterprise=corp)
    foreign = world.add_team("foreign", admins=[other])
    world.add_member(foreign, owner, "member")
    world.add_space("vault", big)
    for name, team in (("big-app", big), ("bare-app", bare), ("plain-app", plain)):
        world.add_app(name, team=team)
    world.add_app("mine", owner=owner)
    world.grant(world.add_app("theirs", owner=zoe), owner)
    return world


@dataclass(kw_only=True)
class Door:
    """The adapter's writes, and the world behind it."""

    connected: Connected

    def ask(
        self, method: str, path: str, body: Any = None, *, account_id: str | None = None, **more: Any
    ) -> httpx.Response:
        params = {"integrated_account_id": account_id or self.connected.account_id, **more.pop("params", {})}
        with self.connected.client() as client:
            return client.request(method, path, json=body, params=params, **more)

    def write(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.ask(method, DIRECTORY + path, body, **more)

    def done(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        answer = self.write(method, path, body, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def operation(self, id_: str) -> Any:
        answer = self.ask("GET", f"/operations/{id_}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def allow_admins(self, account_id: str | None = None) -> None:
        with self.connected.client() as client:
            path = f"/integrated-account/{account_id or self.connected.account_id}"
            assert client.patch(path, json={"allow_admin_grants": True}).status_code == 200

    # --- the world

    @property
    def world(self) -> World:
        return self.connected.sandbox.world

    def place(self, name: str) -> Any:
        tables: tuple[Mapping[str, Any], ...] = (
            self.world.teams, self.world.apps, self.world.spaces, self.world.enterprises,
        )  # fmt: skip
        return next(place for table in tables for place in table.values() if place.name == name)

    def somebody(self) -> Any:
        """An account that nobody else has to do with."""
        number = next(_numbers)
        account = self.world.add_account(f"person-{number}@example.com", f"Person {number}")
        self.world.touch()
        return account

    def held(self, email: str) -> dict[str, set[str]]:
        """What the world says that somebody has: place name -> roles; an invitation's ends in `?`.

        Without what Heroku shows of a team to which one belongs by its apps alone.
        """
        found = worlds.held(self.connected.sandbox, email)
        teams = {team.name for team in self.world.teams.values()}
        return {name: roles for name, roles in found.items() if roles != {"collaborator"} or name not in teams}

    def writes(self) -> list[dict[str, Any]]:
        """The requests that were to change something."""
        return [entry for entry in self.connected.sandbox.requests() if entry["method"] != "GET"]


def new_database(request: pytest.FixtureRequest, directory: Path) -> str:
    """A migrated database of the engine that a fixture's parameter names, for more than one test."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), directory / "adapter.db")
        return f"sqlite:///{directory / 'adapter.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.create(template=request.getfixturevalue("migrated_postgres"))


@contextmanager
def opened(
    world: Callable[[], World], directory: Path, database_url: str, *, options: Options | None = None, **settings: Any
) -> Iterator[Door]:
    with (
        RunningSandbox(world, options=options or Options(consistency_s=0)) as sandbox,
        serving(sandbox, directory, database_url=database_url, **settings) as connected,
    ):
        yield Door(connected=connected)
