"""Every fault at every kind of write, over sockets: whatever is answered and written down is true of the world."""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import msgspec
import pytest

from adapter.directory.writing.model import UNFINISHED
from adapter.sandbox import World
from tests.e2e.writing import CONTROLS, INVITES, OWNER, Door, new_database, opened

# All writes are made once for all these tests, which takes a while: one worker does it.
pytestmark = pytest.mark.xdist_group("write faults")

TIMEOUT_S = 2.0
AT_ONCE = 16
PATIENCE_S = 60
FAULTS: Mapping[str, Mapping[str, Any]] = {
    "broken": {"kind": "status", "status": 500},
    "broken after all": {"kind": "status", "status": 500, "carried_out": True},
    "bad gateway after all": {"kind": "status", "status": 502, "carried_out": True},
    "reset": {"kind": "reset"},
    "reset after all": {"kind": "reset", "carried_out": True},
    "late": {"kind": "latency", "seconds": 2 * TIMEOUT_S},
    "late after all": {"kind": "latency", "seconds": 2 * TIMEOUT_S, "carried_out": True},
    "forbidden": {"kind": "status", "status": 403},
    "not found": {"kind": "status", "status": 404},
    "conflict": {"kind": "status", "status": 409},
    "unprocessable": {"kind": "status", "status": 422},
    "busy": {"kind": "rate_limit", "retry_after": "1", "times": 1},
    "nonsense": {"kind": "nonsense"},
    "nonsense after all": {"kind": "nonsense", "carried_out": True},
    "half an answer": {"kind": "cut_json"},
    "broken once": {"kind": "status", "status": 503, "times": 1},
    "reset once": {"kind": "reset", "times": 1},
    "reset once after all": {"kind": "reset", "carried_out": True, "times": 1},
}
NOT_DONE = {"broken", "reset", "forbidden", "not found", "conflict", "unprocessable", "nonsense"}
SOON_OVER = {"busy", "broken once", "reset once"}


KINDS = (
    ("/teams/apps/", "app", "workspace"),
    ("/teams/", "team", "group"),
    ("/enterprise-accounts/", "enterprise", "organization"),
)
"""By the beginning of a path: the kind of place it is about, and the word by which callers name it."""


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """A write to a place of its own: who may be there before, what is asked, and what is had once it is done."""

    call: str
    path: str
    before: tuple[str, ...] | None
    after: set[str]

    def ask(self, place: Any, who: Any) -> tuple[str, str, Any]:
        kind, word = next((kind, word) for start, kind, word in KINDS if self.path.startswith(start))
        roles = [{"id": f"{kind}:{role.rstrip('?')}", word: {"id": place.id}} for role in self.after]
        if self.before is None:
            return "POST", "/users", {"email": who.email, "roles": roles}
        if self.after:
            return "PATCH", f"/users/{who.id}", {"roles": roles}
        return "DELETE", f"/users/{who.id}?{word}_id={place.id}", None


WRITES = {
    "invite": Write(call="PUT", path="/teams/{id}/invitations", before=None, after={"member?"}),
    "add": Write(call="PUT", path="/teams/{id}/members", before=None, after={"member"}),
    "leave": Write(call="DELETE", path="/teams/{id}/members/*", before=("member",), after=set()),
    "grant": Write(call="POST", path="/teams/apps/{id}/collaborators", before=None, after={"view", "deploy"}),
    "regrant": Write(call="PATCH", path="/teams/apps/{id}/collaborators/*", before=("view",), after={"deploy"}),
    "collect": Write(call="POST", path="/enterprise-accounts/{id}/members", before=None, after={"view"}),
}


def named(write: str, fault: str) -> str:
    return f"{write} {fault}".replace(" ", "-")


def a_world() -> World:
    """A place for each write and each fault, so that many of them can happen at once."""
    world = World()
    owner = world.add_account(OWNER, "Olga Owner")
    corp = world.add_enterprise("corp")
    world.add_enterprise_member(corp, owner, "view", "create", "manage")
    works = world.add_team("works", kind="enterprise", admins=[owner], features={CONTROLS}, enterprise=corp)
    for name, write in WRITES.items():
        for fault in FAULTS:
            place = a_place(world, write, named(name, fault), owner, works)
            who = world.add_account(f"{named(name, fault)}@example.com", "Somebody")
            if write.before == ("member",):
                world.add_member(place, who, "member")
            elif write.before is not None:
                world.grant(place, who, *write.before)
    return world


def a_place(world: World, write: Write, name: str, owner: Any, works: Any) -> Any:
    if write.path.startswith("/teams/apps"):
        return world.add_app(name, team=works)
    if write.path.startswith("/teams"):
        return world.add_team(name, admins=[owner], features={INVITES} if "invit" in write.path else set())
    place = world.add_enterprise(name)
    world.add_enterprise_member(place, owner, "view", "manage")
    return place


class Came(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a write: its answer, its operation, and what the world shows."""

    answer: httpx.Response
    operation: Mapping[str, Any]
    held: set[str]

    @property
    def step(self) -> Mapping[str, Any]:
        (state,) = self.operation["steps"]
        found: Mapping[str, Any] = state
        return found


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def came(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Came]]:
    directory = tmp_path_factory.mktemp("adapter")
    url = new_database(request, directory)
    with opened(a_world, directory, url, upstream_timeout=TIMEOUT_S) as door:
        cases = [(write, fault) for write in WRITES for fault in FAULTS]
        door.connected.sandbox.faults([struck(door, write, fault) for write, fault in cases])
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(lambda case: asked(door, *case), cases))
        listed = door.ask("GET", "/operations", params={"limit": 1000}).json()["result"]
        yield {
            named(*case): Came(
                answer=answer,
                operation=operation_of(door, listed, named(*case), answer),
                held=door.held(f"{named(*case)}@example.com").get(named(*case), set()),
            )
            for case, answer in zip(cases, answers, strict=True)
        }


def struck(door: Door, write: str, fault: str) -> dict[str, Any]:
    path = WRITES[write].path.replace("{id}", door.place(named(write, fault)).id)
    return {**FAULTS[fault], "match": {"method": WRITES[write].call, "path": path}}


def asked(door: Door, write: str, fault: str) -> httpx.Response:
    name = named(write, fault)
    method, path, body = WRITES[write].ask(door.place(name), door.world.account(f"{name}@example.com"))
    path, _, query = path.partition("?")
    params = dict([query.split("=")]) if query else {}
    return door.write(method, path, body, params=params)


def operation_of(
    door: Door, listed: Sequence[Mapping[str, Any]], name: str, answer: httpx.Response
) -> Mapping[str, Any]:
    """The one operation about somebody, once it has ended."""
    mine = [one["id"] for one in listed if f"{name}@example.com" in one["person"]["emails"]]
    assert len(mine) == 1, f"{name}: {answer.text}"
    over = time.monotonic() + PATIENCE_S
    while (found := door.operation(mine[0]))["status"] in UNFINISHED:
        assert time.monotonic() < over, f"{name}: does not end"
        time.sleep(0.1)
    ended: Mapping[str, Any] = found
    return ended


cases = pytest.mark.parametrize(("write", "fault"), [(write, fault) for write in WRITES for fault in FAULTS])


@cases
def test_answer_and_journal_say_what_is_so(came: dict[str, Came], write: str, fault: str) -> None:
    found = came[named(write, fault)]
    done = found.held == WRITES[write].after
    assert done or found.held == set(WRITES[write].before or ())

    if found.answer.status_code == 202:
        assert (write, fault) == ("leave", "not found"), "it is looked again and again whether they are gone"
        assert found.operation["status"] == "failed"
        return
    if found.answer.status_code == 200:
        assert done
        assert (found.operation["status"], found.step["status"]) == ("succeeded", "done")
        return
    told = found.answer.json()
    assert told["code"] == "write_failed", found.answer.text
    assert found.answer.status_code == (403 if fault == "forbidden" else 502)
    assert found.operation["id"] == told["operation_id"]
    assert found.operation["status"] in {"failed", "partial"}
    ((where, (state,)),) = [
        (name, told[name]) for name in ("completed", "failed", "remaining", "unknown") if told[name]
    ]
    assert state == found.step
    assert where != "completed"
    assert state["status"] == where
    assert where == "unknown" or not done, "called failed, and it was done"
    assert state["error"]["message"]


@cases
def test_what_can_be_known_is_known(came: dict[str, Came], write: str, fault: str) -> None:
    found = came[named(write, fault)]
    if fault in NOT_DONE:
        assert found.step["status"] == "failed"
    elif fault.endswith("after all") or fault == "half an answer":
        assert found.step["status"] == "done", "its answer was lost, and a look shows it"
    elif fault in SOON_OVER and (fault == "busy" or WRITES[write].call in {"PUT", "DELETE"}):
        assert found.step["status"] == "done", "it was sent again"
    elif fault in SOON_OVER:
        assert found.step["status"] == "failed", "what may not be done twice is not sent twice"


@cases
def test_the_providers_own_words_and_request_are_kept(came: dict[str, Came], write: str, fault: str) -> None:
    step = came[named(write, fault)].step
    if FAULTS[fault]["kind"] == "status" and step["status"] == "failed":
        assert step["http_status"] == FAULTS[fault]["status"]
        assert step["error"]["message"]
        assert step["request_id"]
    if step["status"] == "failed":
        assert step["sent_at"] <= step["finished_at"]
