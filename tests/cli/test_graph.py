"""`adapter graph`, run as people run it."""

import msgspec

from tests.cli.conftest import Terminal
from tests.directory.dot import read_dot


def test_the_graph_is_json_unless_said_otherwise(connected: Terminal) -> None:
    ended = connected("graph")
    body = msgspec.json.decode(ended.out)

    assert ended.code == 0
    assert body["node_count"] == len(body["nodes"]) > 0
    assert ended.out.endswith("}\n")
    assert "warning" not in ended.err


def test_graphviz_gets_its_own_form_and_add_ons_can_be_left_out(connected: Terminal) -> None:
    everything = read_dot(connected("graph", "--format", "dot").out)[0]
    without = read_dot(connected("graph", "--format", "dot", "--no-addons").out)[0]

    assert {key for key in everything if key.startswith("addon:")}
    assert set(without) == {key for key in everything if not key.startswith("addon:")}


def test_inherited_access_is_marked(connected: Terminal) -> None:
    assert [edge for edge in connected("graph", "--inherited").json["edges"] if edge.get("is_inherited")]


def test_an_unknown_form_is_refused_with_the_known_ones(connected: Terminal) -> None:
    ended = connected("graph", "--format", "svg")

    assert ended.code == 2
    assert "json" in ended.err
    assert "dot" in ended.err
