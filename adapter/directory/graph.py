"""The graph of an account: the directory's own lists, put together as `graph.yaml` says; as JSON or Graphviz."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from adapter.directory.lists import Client, Missing, lasting
from adapter.directory.query import Query
from adapter.directory.service import Answer, Directory
from adapter.errors import AdapterError, NotFound, RemoteRateLimited, TooManyRequests
from adapter.mapping.graphs import Edge, GraphBuilder, GraphPlan, Node

Form = Literal["json", "dot"]
T = TypeVar("T")

_CHUNK = 500
"""Records, nodes or edges after which others get their turn."""

_ENCODER = msgspec.json.Encoder()


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller wants of the graph."""

    addons: bool = True
    include_inherited: bool = False
    allow_partial: bool = False
    max_age: float | None = None
    """Seconds, where the caller insists on a fresher answer than usual."""


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """`age` in seconds, `last_modified` since the epoch; `missing` is what could not be read."""

    root: str
    nodes: Sequence[Node]
    edges: Sequence[Edge]
    missing: tuple[Missing, ...]
    age: float
    last_modified: float


async def read_graph(directory: Directory, account_id: str, client: Client, asked: Asked) -> Graph:
    """The account's graph. DirectoryGathering, or what the upstream client raises where nothing at all can be read."""
    plan = directory.model.graph
    if plan is None:
        raise NotFound("No mapping file declares a graph.")
    names = plan.resources(optional=asked.addons)
    answers = await _answers(directory, account_id, client, names, asked)
    builder = await _built(plan, client.account_key, answers)
    return Graph(
        root=builder.root,
        nodes=list(builder.nodes()),
        edges=list(builder.edges()),
        missing=_gaps(answers.values()),
        age=max(answer.age for answer in answers.values()),
        last_modified=max(answer.last_modified for answer in answers.values()),
    )


def chunks(graph: Graph, form: Form) -> AsyncIterator[bytes]:
    """The graph as text, part by part."""
    return _paced(_json(graph) if form == "json" else _dot(graph))


# --- reading


async def _answers(
    directory: Directory, account_id: str, client: Client, names: Sequence[str], asked: Asked
) -> dict[str, Answer]:
    """Every list that the graph is made of, at once: they share the units that they are made of."""
    query = Query(ignore_limit=True, allow_partial=asked.allow_partial, max_age=asked.max_age)
    found = await asyncio.gather(*(_answer(directory, account_id, client, name, query, asked) for name in names))
    refusals = [refusal for _, refusal in found if refusal is not None]
    if len(refusals) == len(names):
        raise refusals[0]
    return {name: answer for name, (answer, _) in zip(names, found, strict=True)}


async def _answer(
    directory: Directory, account_id: str, client: Client, name: str, query: Query, asked: Asked
) -> tuple[Answer, AdapterError | None]:
    """A whole list; of one that nothing of can be read now, what it lacks: the others may still be open."""
    resource = directory.resource(name)
    inherited = asked.include_inherited and resource.inherited is not None
    whole = msgspec.structs.replace(query, include_inherited=inherited)
    try:
        return await directory.list_records(account_id, client, resource, whole), None
    except AdapterError as error:
        if not (lasting(error) or isinstance(error, TooManyRequests | RemoteRateLimited)):
            raise
        # What was refused is remembered: asking for what there is costs nothing more.
        partial = msgspec.structs.replace(whole, allow_partial=True, max_age=None)
        return await directory.list_records(account_id, client, resource, partial), error


def _gaps(answers: Iterable[Answer]) -> tuple[Missing, ...]:
    """What any of the lists lacks, once."""
    gaps: list[Missing] = []
    for answer in answers:
        gaps += [gap for gap in answer.missing if gap not in gaps]
    return tuple(gaps)


async def _built(plan: GraphPlan, root: str, answers: dict[str, Answer]) -> GraphBuilder:
    builder = GraphBuilder(plan, root)
    for node in plan.nodes:
        await _in_turns(builder.add_nodes, node, answers)
    for edge in plan.edges:
        await _in_turns(builder.add_edges, edge, answers)
    return builder


async def _in_turns(add: Callable[[Any, Any], None], part: Any, answers: dict[str, Answer]) -> None:
    records = answers[part.resource].records if part.resource in answers else ()
    for start in range(0, len(records), _CHUNK):
        add(part, records[start : start + _CHUNK])
        await asyncio.sleep(0)


async def _paced(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
        await asyncio.sleep(0)


def _chunked(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))


# --- JSON


def _json(graph: Graph) -> Iterator[bytes]:
    yield b'{"root":' + _ENCODER.encode(graph.root)
    yield from _json_list(b"nodes", graph.nodes)
    yield from _json_list(b"edges", graph.edges)
    counts = {"node_count": len(graph.nodes), "edge_count": len(graph.edges)}
    gaps = {"is_partial_response": True, "missing": graph.missing} if graph.missing else {}
    yield b"," + _ENCODER.encode({**counts, **gaps})[1:]


class _Shown(Protocol):
    def shown(self) -> dict[str, Any]: ...


def _json_list(name: bytes, items: Sequence[_Shown]) -> Iterator[bytes]:
    yield b',"' + name + b'":['
    for n, chunk in enumerate(_chunked(items)):
        yield (b"," if n else b"") + b",".join(_ENCODER.encode(item.shown()) for item in chunk)
    yield b"]"


# --- Graphviz: https://graphviz.org/doc/info/lang.html


def _dot(graph: Graph) -> Iterator[bytes]:
    yield from _comments(graph)
    yield b"digraph directory {\n  rankdir=LR;\n"
    for nodes in _chunked(graph.nodes):
        yield "".join(map(_dot_node, nodes)).encode(errors="replace")
    for edges in _chunked(graph.edges):
        yield "".join(map(_dot_edge, edges)).encode(errors="replace")
    yield b"}\n"


def _comments(graph: Graph) -> Iterator[bytes]:
    yield f"// {len(graph.nodes)} nodes, {len(graph.edges)} edges\n".encode()
    for gap in graph.missing:
        where = "".join(f" of {kind} {place.get('name') or place.get('id')}" for kind, place in gap.place.items())
        count = f" ({gap.count} lists)" if gap.count > 1 else ""
        line = f"missing: {gap.unit}{where}{count}: {gap.reason}: {gap.message}"
        yield f"// {_plain(line)}\n".encode(errors="replace")


def _dot_node(node: Node) -> str:
    style = ", style=dashed" if node.is_reference else ""
    tooltip = f", tooltip={_label(node.type)}"
    return f"  {_quoted(node.id)} [label={_label(node.name)}, shape={node.shape}{tooltip}{style}];\n"


def _dot_edge(edge: Edge) -> str:
    roles = ", ".join(role.partition(":")[2] or role for role in edge.roles)
    label = f"{edge.relationship} {roles}".strip()
    style = ", style=dashed" if edge.is_inherited else ""
    return f"  {_quoted(edge.from_)} -> {_quoted(edge.to)} [label={_label(label)}{style}];\n"


def _quoted(text: str) -> str:
    """An id: within quotes only the quote itself is special, and a backslash at the end, which would escape it."""
    return '"' + _plain(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _label(text: str) -> str:
    """A label: in it a backslash begins an escape too, and an ampersand an HTML entity."""
    return _quoted(_plain(text).replace("&", "&amp;"))


def _plain(text: str) -> str:
    """The text on one line, with nothing that steers a terminal: names are other people's words."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
