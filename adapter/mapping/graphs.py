"""The graph: which unified records are its nodes and edges, as `graph.yaml` says, and the two put together. Pure.

records of each resource -> GraphBuilder: all nodes, then all edges, as declared -> each thing once, in that order
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Protocol

import msgspec

from adapter.declarations import decode
from adapter.errors import DeclarationError
from adapter.mapping.expressions import Expression, compile_expression, reader
from adapter.mapping.schema import FieldDecl, Name

ROOT = "_root"
"""What an edge calls the account that everything was read through."""

_REMOTE = "remote_data"
_OWN = frozenset({"id", "type", "name"})
"""What a node says itself, so that no field of the record can stand there."""
_Relationship = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]+(_[A-Z]+)*$")]
_End = Annotated[dict[Name, str], msgspec.Meta(min_length=1, max_length=1)]


class _Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    pass


class NodeDecl(_Strict, frozen=True, kw_only=True):
    kind: Name
    type: Name
    shape: Name = "ellipse"
    resource: Name
    where: str | None = None
    id: str = "id"
    name: str = "name"
    fields: list[Name] = []


class EdgeDecl(_Strict, frozen=True, kw_only=True):
    relationship: _Relationship
    resource: Name
    where: str | None = None
    each: Name | None = None
    as_: Name | None = msgspec.field(name="as", default=None)
    from_: _End = msgspec.field(name="from")
    to: _End
    role: str | None = None
    inherited: str | None = None
    otherwise: bool = False


class GraphFile(_Strict, frozen=True, kw_only=True):
    description: str = ""
    root: NodeDecl
    nodes: Annotated[list[NodeDecl], msgspec.Meta(min_length=1)]
    edges: list[EdgeDecl] = []
    optional: list[Name] = []


class NodePlan(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    type: str
    shape: str
    resource: str
    where: Expression | None
    id: Expression
    name: Expression
    fields: tuple[str, ...]


class EdgePlan(msgspec.Struct, frozen=True, kw_only=True):
    relationship: str
    resource: str
    where: Expression | None
    each: str | None
    as_: str | None
    from_kind: str
    from_: Expression
    to_kind: str
    to: Expression
    role: Expression | None
    inherited: Expression | None
    otherwise: bool


class GraphPlan(msgspec.Struct, frozen=True, kw_only=True):
    """`root` and `nodes` make the nodes, `edges` what connects them; `optional` resources are read when asked for."""

    root: NodePlan
    nodes: tuple[NodePlan, ...]
    """The root's first."""
    edges: tuple[EdgePlan, ...]
    optional: frozenset[str]

    def resources(self, *, optional: bool = True) -> tuple[str, ...]:
        """The resources whose records make the graph, in the order in which they are read."""
        names = [*(node.resource for node in self.nodes), *(edge.resource for edge in self.edges)]
        return tuple(dict.fromkeys(name for name in names if optional or name not in self.optional))


class Node(msgspec.Struct, kw_only=True, frozen=True):
    """`fields` are the record's own; of what is only pointed at, nothing but a name is known."""

    id: str
    type: str
    shape: str
    name: str
    fields: Mapping[str, Any] = {}
    is_reference: bool = False

    def shown(self) -> dict[str, Any]:
        """As it is written: a reference says so."""
        marks = {"is_reference": True} if self.is_reference else {}
        return {"id": self.id, "type": self.type, "name": self.name, **self.fields, **marks}


class Edge(msgspec.Struct, kw_only=True):
    """A relationship of two nodes; `roles` are the ids of the roles that it stands for, in the order of the records."""

    id: str
    from_: str
    to: str
    relationship: str
    roles: list[str]
    is_inherited: bool = False

    def shown(self) -> dict[str, Any]:
        """As it is written: the mark of inheritance only where there is any."""
        marks = {"is_inherited": True} if self.is_inherited else {}
        parts = {"from": self.from_, "to": self.to, "relationship": self.relationship}
        return {"id": self.id, **parts, "roles": self.roles, **marks}


class Source(Protocol):
    """A unified record: its fields, and the provider's objects that it was built from."""

    @property
    def data(self) -> dict[str, Any]: ...
    @property
    def remote(self) -> Mapping[str, Any]: ...


class Fielded(Protocol):
    @property
    def fields(self) -> Mapping[str, FieldDecl]: ...


def plan_graph(data: Any, path: str, resources: Mapping[str, Fielded]) -> GraphPlan:
    """The graph's declaration, checked against the resources and compiled; DeclarationError shows the fault."""
    file = decode(data, GraphFile, path)
    root = _node(file.root, path, "root", resources)
    nodes = [root, *(_node(decl, path, f"nodes[{i}]", resources) for i, decl in enumerate(file.nodes))]
    kinds = {node.kind for node in nodes}
    edges = [_edge(decl, path, f"edges[{i}]", resources, kinds) for i, decl in enumerate(file.edges)]
    plan = GraphPlan(root=root, nodes=tuple(nodes), edges=tuple(edges), optional=frozenset(file.optional))
    for i, name in enumerate(file.optional):
        _known(name, plan.resources(), "resource", path, f"optional[{i}]")
    return plan


class GraphBuilder:
    """Takes the records, first for the plan's nodes, then for its edges; a thing seen twice is there once."""

    def __init__(self, plan: GraphPlan, root: str) -> None:
        """`root` is the provider's own id of the account that everything was read through."""
        self.root = f"{plan.root.kind}:{root}"
        self._root = root
        self._of_kind = {node.kind: node for node in reversed(plan.nodes)}
        self._nodes: dict[str, Node] = {self.root: self._reference(plan.root.kind, root, None)}
        self._edges: dict[str, Edge] = {}
        self._pairs: set[tuple[str, str]] = set()

    def add_nodes(self, plan: NodePlan, records: Iterable[Source]) -> None:
        """One of the plan's nodes for each of its resource's records."""
        made = _Made(plan)
        for record in records:
            node = made.of(record.data)
            if node and (node.id not in self._nodes or self._nodes[node.id].is_reference):
                self._nodes[node.id] = node

    def add_edges(self, plan: EdgePlan, records: Iterable[Source]) -> None:
        """What one of the plan's edges connects, when all nodes and the edges before it are there."""
        drawn = _Drawn(plan, self._root)
        for record in records:
            for from_, to, role, inherited in drawn.of(record):
                start, end = self._end(plan.from_kind, from_), self._end(plan.to_kind, to)
                if not (plan.otherwise and (start, end) in self._pairs):
                    self._connect(plan.relationship, start, end, role, inherited=inherited)

    def nodes(self) -> Iterable[Node]:
        return self._nodes.values()

    def edges(self) -> Iterable[Edge]:
        return self._edges.values()

    def _connect(self, relationship: str, start: str, end: str, role: str | None, *, inherited: bool) -> None:
        edge_id = f"{start} {relationship} {end}" + (" inherited" if inherited else "")
        edge = self._edges.get(edge_id)
        if edge is None:
            edge = self._edges[edge_id] = Edge(
                id=edge_id, from_=start, to=end, relationship=relationship, roles=[], is_inherited=inherited
            )
            self._pairs.add((start, end))
        if role and role not in edge.roles:
            edge.roles.append(role)

    def _end(self, kind: str, thing: Any) -> str:
        """The id of the node at one end; one that nothing else tells of is known by the name it is pointed at with."""
        own, name = (thing["id"], thing.get("name")) if isinstance(thing, Mapping) else (thing, None)
        node_id = f"{kind}:{own}"
        if node_id not in self._nodes:
            self._nodes[node_id] = self._reference(kind, own, name)
        return node_id

    def _reference(self, kind: str, own: Any, name: Any) -> Node:
        plan = self._of_kind[kind]
        return Node(id=f"{kind}:{own}", type=plan.type, shape=plan.shape, name=str(name or own), is_reference=True)


class _Made:
    """One declared node with its expressions made ready."""

    def __init__(self, plan: NodePlan) -> None:
        self._plan = plan
        self._id = reader(plan.id)
        self._name = reader(plan.name)

    def of(self, data: dict[str, Any]) -> Node | None:
        plan = self._plan
        own = self._id(data) if plan.where is None or plan.where(data) else None
        if not own:
            return None
        return Node(
            id=f"{plan.kind}:{own}",
            type=plan.type,
            shape=plan.shape,
            name=str(self._name(data) or own),
            fields={name: data.get(name) for name in plan.fields},
        )


class _Drawn:
    """One declared edge with its expressions made ready: the ends are looked at first, since most records have none."""

    def __init__(self, plan: EdgePlan, root: str) -> None:
        self.plan = plan
        self._remote = any(_REMOTE in part.text for part in (plan.from_, plan.to))
        self._from = _end_reader(plan.from_, root)
        self._to = _end_reader(plan.to, root)
        self._role = reader(plan.role) if plan.role else None
        self._inherited = reader(plan.inherited) if plan.inherited else None

    def of(self, record: Source) -> Iterator[tuple[Any, Any, str | None, bool]]:
        for context in self._contexts(record):
            start, end = self._from(context), self._to(context)
            if _points(start) and _points(end) and (self.plan.where is None or self.plan.where(context)):
                role = self._role(context) if self._role else None
                yield start, end, role, bool(self._inherited and self._inherited(context))

    def _contexts(self, record: Source) -> Iterable[dict[str, Any]]:
        data = {**record.data, _REMOTE: record.remote} if self._remote else record.data
        if self.plan.each is None:
            return (data,)
        items = data.get(self.plan.each) or ()
        return ({**item, f"_{self.plan.as_}": data} for item in items if isinstance(item, dict))


def _end_reader(expression: Expression, root: str) -> Any:
    return (lambda _: root) if expression.text == ROOT else reader(expression)


def _points(thing: Any) -> bool:
    return bool(thing.get("id") if isinstance(thing, Mapping) else thing)


# --- the declaration


def _node(decl: NodeDecl, path: str, at: str, resources: Mapping[str, Fielded]) -> NodePlan:
    _known(decl.resource, resources, "resource", path, f"{at}.resource")
    for i, name in enumerate(decl.fields):
        _known(name, set(resources[decl.resource].fields) - _OWN, "field", path, f"{at}.fields[{i}]")
    return NodePlan(
        kind=decl.kind,
        type=decl.type,
        shape=decl.shape,
        resource=decl.resource,
        where=_optional(decl.where, path, f"{at}.where"),
        id=compile_expression(decl.id, path, f"{at}.id"),
        name=compile_expression(decl.name, path, f"{at}.name"),
        fields=tuple(decl.fields),
    )


def _edge(decl: EdgeDecl, path: str, at: str, resources: Mapping[str, Fielded], kinds: set[str]) -> EdgePlan:
    _known(decl.resource, resources, "resource", path, f"{at}.resource")
    if bool(decl.each) != bool(decl.as_):
        raise DeclarationError(path, f"{at}.each", "`each` and `as` go together")
    if decl.each:
        _known(decl.each, resources[decl.resource].fields, "field", path, f"{at}.each")
    from_kind, from_ = next(iter(decl.from_.items()))
    to_kind, to = next(iter(decl.to.items()))
    _known(from_kind, kinds, "kind", path, f"{at}.from")
    _known(to_kind, kinds, "kind", path, f"{at}.to")
    return EdgePlan(
        relationship=decl.relationship,
        resource=decl.resource,
        where=_optional(decl.where, path, f"{at}.where"),
        each=decl.each,
        as_=decl.as_,
        from_kind=from_kind,
        from_=compile_expression(from_, path, f"{at}.from.{from_kind}"),
        to_kind=to_kind,
        to=compile_expression(to, path, f"{at}.to.{to_kind}"),
        role=_optional(decl.role, path, f"{at}.role"),
        inherited=_optional(decl.inherited, path, f"{at}.inherited"),
        otherwise=decl.otherwise,
    )


def _known(word: str, known: Iterable[str], kind: str, path: str, at: str) -> None:
    if word not in known:
        raise DeclarationError(path, at, f"unknown {kind} `{word}`", sorted(known))


def _optional(text: str | None, path: str, at: str) -> Expression | None:
    return None if text is None else compile_expression(text, path, at)
