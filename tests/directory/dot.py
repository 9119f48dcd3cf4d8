"""A reader of Graphviz's DOT, as far as the graphs here go: strict about quotes, so that no name breaks out of its own.

Grammar: https://graphviz.org/doc/info/lang.html
"""

import re

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<comment>//[^\n]*\n)
      | (?P<text>"(?:[^"\\]|\\.)*")
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<sign>->|[{}\[\]=,;])
    )""",
    re.VERBOSE | re.DOTALL,
)

Nodes = dict[str, dict[str, str]]
Edges = list[tuple[str, str, dict[str, str]]]


def read_dot(text: str) -> tuple[Nodes, Edges, list[str]]:
    """Nodes with their attributes, edges with theirs, and the comments; AssertionError where it is no DOT."""
    tokens, comments = _tokens(text)
    assert tokens[0] == "digraph"
    assert tokens[2] == "{"
    assert tokens[-1] == "}"
    nodes: Nodes = {}
    edges: Edges = []
    for statement in _statements(tokens[3:-1]):
        ends, attributes = _parts(statement)
        if len(ends) == 3:
            edges.append((ends[0], ends[2], attributes))
        elif attributes:
            nodes[ends[0]] = attributes
    return nodes, edges, comments


def _tokens(text: str) -> tuple[list[str], list[str]]:
    tokens, comments, at = [], [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        assert match, f"no DOT at {text[at : at + 40]!r}"
        at = match.end()
        if match["comment"]:
            comments.append(match["comment"][2:].strip())
        else:
            tokens.append(match["text"] or match["word"] or match["sign"])
    return tokens, comments


def _statements(tokens: list[str]) -> list[list[str]]:
    statements: list[list[str]] = [[]]
    for token in tokens:
        if token == ";":
            statements.append([])
        else:
            statements[-1].append(token)
    assert statements.pop() == [], "the last statement does not end"
    return statements


def _parts(statement: list[str]) -> tuple[list[str], dict[str, str]]:
    if "[" not in statement:
        assert len(statement) == 3
        assert statement[1] == "="
        return [statement[0], "=", statement[2]][:1], {}
    opened = statement.index("[")
    ends, inner = statement[:opened], statement[opened + 1 : -1]
    assert statement[-1] == "]"
    assert len(ends) in {1, 3}
    assert len(ends) == 1 or ends[1] == "->"
    attributes = {}
    for n in range(0, len(inner), 4):
        name, equals, value, *comma = inner[n : n + 4]
        assert equals == "="
        assert comma in ([], [","])
        attributes[name] = value
    return [_plain(end) for end in ends], {name: _plain(value) for name, value in attributes.items()}


def _plain(token: str) -> str:
    return token[1:-1].replace('\\"', '"').replace("\\\\", "\\") if token.startswith('"') else token
