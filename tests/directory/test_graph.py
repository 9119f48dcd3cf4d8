"""The graph from the directory's lists: what it asks for, what it lacks and says, how it is written."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from adapter.directory.cursors import Cursors
from adapter.directory.graph import Asked, Graph, chunks, read_graph
from adapter.directory.service import Directory
from adapter.errors import NotFound, RemoteError, RemoteForbidden, UpstreamTimeout
from adapter.mapping.graphs import Edge, Node
from tests.directory.dot import read_dot
from tests.directory.fakes import SHIPPED, Clock, Provider, app, collaborator, entity, forbidden, member


def world() -> dict[str, Any]:
    """A team without an enterprise account, an app of its own with an add-on behind it, and a personal app."""
    return {
        "/account": {"id": "me", "email": "me@example.com"},
        "/teams": [{"id": "t1", "name": "acme", "type": "team"}, {"id": "t2", "name": "bolt", "type": "team"}],
        "/enterprise-accounts": [],
        "/teams/t1/members": [member("ada", "admin"), member("bob")],
        "/teams/t2/members": [member("carl", "admin")],
        "/teams/t1/invitations": [],
        "/teams/t2/invitations": [],
        "/teams/t1/permissions": [entity("a1", {"eve": ["view", "deploy"]})],
        "/teams/t2/permissions": [],
        "/apps/a1/collaborators": [collaborator("eve", "view", "deploy")],
        "/teams/t1/apps": [app("a1", "t1")],
        "/teams/t2/apps": [],
        "/apps": [app("a2")],
        "/apps/a2/collaborators": [collaborator("me", role="owner")],
        "/teams/t1/addons": [addon("d1", "a1")],
        "/teams/t2/addons": [],
        "/addons": [addon("d2", "a2")],
    }


def addon(key: str, app_id: str) -> dict[str, Any]:
    return {"id": key, "name": f"name-{key}", "app": {"id": app_id, "name": f"name-{app_id}"}, "state": "provisioned"}


@pytest.fixture
async def directory() -> AsyncIterator[Directory]:
    made = Directory(SHIPPED, Cursors([b"k" * 32]), clock=Clock())
    yield made
    await made.close()


async def drawn(directory: Directory, provider: Provider, **asked: Any) -> Graph:
    return await read_graph(directory, "a", provider, Asked(**asked))


def edges(graph: Graph) -> set[str]:
    return {edge.id for edge in graph.edges}


async def written(graph: Graph, form: Any = "json") -> bytes:
    return b"".join([chunk async for chunk in chunks(graph, form)])


async def test_without_an_enterprise_account_everything_hangs_on_the_account_itself(directory: Directory) -> None:
    graph = await drawn(directory, Provider(world()))

    assert graph.missing == ()
    assert graph.root == "account:me"
    assert {node.id for node in graph.nodes} == {
        "account:me", "team:t1", "team:t2", "user:me", "user:ada", "user:bob", "user:carl", "user:eve", "app:a1",
        "app:a2", "addon:d1", "addon:d2",
    }  # fmt: skip
    assert edges(graph) == {
        "account:me HAS team:t1", "account:me HAS team:t2", "account:me HAS user:me", "account:me HAS user:ada",
        "account:me HAS user:bob", "account:me HAS user:carl", "account:me HAS user:eve", "team:t1 HAS user:ada",
        "team:t1 HAS user:bob", "team:t2 HAS user:carl", "team:t1 OWNS app:a1", "user:me OWNS app:a2",
        "user:eve ACCESSES app:a1", "app:a1 HAS addon:d1", "app:a2 HAS addon:d2",
    }  # fmt: skip


async def test_add_ons_are_asked_for_only_when_they_are_wanted(directory: Directory) -> None:
    provider = Provider(world())
    graph = await drawn(directory, provider, addons=False)

    assert not [path for path in provider.calls if "addons" in path]
    assert not [node for node in graph.nodes if node.type == "heroku_addon"]

    provider.forget_calls()
    await drawn(directory, provider)

    assert sorted(provider.calls) == ["/addons", "/teams/t1/addons", "/teams/t2/addons"]


async def test_each_list_is_asked_for_once_and_identity_providers_never(directory: Directory) -> None:
    provider = Provider(world())
    await drawn(directory, provider, include_inherited=True)

    assert len(provider.calls) == len(set(provider.calls))
    assert not [path for path in provider.calls if "identity-providers" in path]


async def test_a_team_that_is_closed_does_not_end_the_rest(directory: Directory) -> None:
    answers = world() | {f"/teams/t2/{part}": forbidden() for part in ("members", "permissions", "apps", "addons")}
    graph = await drawn(directory, Provider(answers))

    assert {"user:ada", "user:eve", "team:t2"} <= {node.id for node in graph.nodes}
    assert "user:carl" not in {node.id for node in graph.nodes}
    told = {gap.unit for gap in graph.missing if gap.place.get("team", {}).get("id") == "t2"}
    assert told == {"team_members", "team_permissions", "team_apps", "team_addons"}


async def test_a_list_that_is_closed_as_a_whole_leaves_the_others(directory: Directory) -> None:
    graph = await drawn(directory, Provider(world() | {"/account": forbidden("identity")}))

    assert {"account:me", "user:ada"} <= {node.id for node in graph.nodes}
    assert next(node for node in graph.nodes if node.id == "account:me").is_reference
    assert [gap.unit for gap in graph.missing] == ["account"]


async def test_where_nothing_can_be_read_the_refusal_is_told(directory: Directory) -> None:
    with pytest.raises(RemoteForbidden):
        await drawn(directory, Provider(dict.fromkeys(world(), forbidden())))


@pytest.mark.parametrize("error", [UpstreamTimeout(), RemoteError(503, "Down.")])
async def test_a_failure_of_the_moment_is_no_smaller_graph(directory: Directory, error: Exception) -> None:
    with pytest.raises(type(error)):
        await drawn(directory, Provider(world() | {"/teams/t2/members": error}))


async def test_what_the_budget_does_not_allow_is_missing_and_the_rest_is_there(directory: Directory) -> None:
    provider = Provider(world())
    await drawn(directory, provider, addons=False)
    provider.budget.remaining = 500
    graph = await drawn(directory, provider)

    assert {"user:ada", "app:a1"} <= {node.id for node in graph.nodes}
    assert {(gap.unit, gap.reason) for gap in graph.missing} == {
        ("team_addons", "budget_reserved"),
        ("addons", "budget_reserved"),
    }


async def test_a_model_without_a_graph_has_none() -> None:
    directory = Directory(msgspec.structs.replace(SHIPPED, graph=None), Cursors([b"k" * 32]))

    with pytest.raises(NotFound):
        await drawn(directory, Provider(world()))


async def test_inherited_access_is_marked_and_stands_apart(directory: Directory) -> None:
    graph = await drawn(directory, Provider(world()), include_inherited=True)
    inherited = {edge.id: edge.roles for edge in graph.edges if edge.is_inherited}

    assert inherited == {
        "user:ada ACCESSES app:a1 inherited": ["app:deploy", "app:manage", "app:operate", "app:view"],
        "user:bob ACCESSES app:a1 inherited": ["app:view"],
    }


async def test_the_same_lists_give_the_same_bytes(directory: Directory) -> None:
    provider = Provider(world())
    one = await written(await drawn(directory, provider))
    other = await written(await drawn(Directory(SHIPPED, Cursors([b"k" * 32]), clock=Clock()), Provider(world())))

    assert one == other
    body = msgspec.json.decode(one)
    assert body["node_count"] == len(body["nodes"])
    assert body["edge_count"] == len(body["edges"])
    assert "missing" not in body


async def test_what_is_missing_stands_in_both_forms(directory: Directory) -> None:
    graph = await drawn(directory, Provider(world() | {"/teams/t2/members": forbidden()}))
    body = msgspec.json.decode(await written(graph))
    _, _, comments = read_dot((await written(graph, "dot")).decode())

    assert body["is_partial_response"] is True
    assert [gap["unit"] for gap in body["missing"]] == ["team_members"]
    assert [c for c in comments if c.startswith("missing: team_members of team bolt: forbidden")]


async def test_dot_has_every_node_and_edge_with_its_style(directory: Directory) -> None:
    graph = await drawn(directory, Provider(world()), include_inherited=True)
    nodes, lines, comments = read_dot((await written(graph, "dot")).decode())

    assert set(nodes) == {node.id for node in graph.nodes}
    assert len(lines) == len(graph.edges)
    assert comments == [f"{len(graph.nodes)} nodes, {len(graph.edges)} edges"]
    assert ("team:t1", "user:ada", {"label": "HAS admin"}) in lines
    assert (
        "user:bob",
        "app:a1",
        {"label": "ACCESSES view", "style": "dashed"},
    ) in lines
    assert nodes["addon:d1"] == {"label": "name-d1", "shape": "component", "tooltip": "heroku_addon"}


HOSTILE = [
    'quote " inside',
    "ends with a backslash \\",
    'closes "]; "x" -> "y" [label="',
    "<b>html</b>",
    "&lt;entity&gt;",
    "\\N \\G \\l",
    "line\nbreak\r// comment",
    "\u202eturned around",
    "zoë \U0001f600",
    "*/ /* {}",
]


@pytest.mark.parametrize("name", HOSTILE)
async def test_no_name_breaks_out_of_its_quotes(name: str) -> None:
    node = Node(id=f"team:{name}", type="t", shape="box", name=name)
    edge = Edge(id="e", from_=node.id, to="user:u", relationship="HAS", roles=[name])
    graph = Graph(root="r", nodes=[node], edges=[edge], missing=(), age=0, last_modified=0)
    text = (await written(graph, "dot")).decode()
    nodes, lines, _ = read_dot(text)

    assert len(nodes) == len(lines) == 1
    assert next(iter(nodes)) == lines[0][0]
    assert text.count("\n") == 6
    assert not [c for c in text.replace("\n", "") if not c.isprintable()]
    shown = next(iter(nodes.values()))["label"].replace("&amp;", "&")
    assert shown == name or not name.isprintable()


async def test_a_long_graph_is_written_in_turns_with_others() -> None:
    nodes = [Node(id=f"user:{n}", type="t", shape="box", name=str(n)) for n in range(5000)]
    graph = Graph(root="r", nodes=nodes, edges=[], missing=(), age=0, last_modified=0)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    body = await written(graph)
    task.cancel()

    assert turns >= 10
    assert msgspec.json.decode(body)["node_count"] == 5000
