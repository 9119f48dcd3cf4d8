"""The tables and the JSON of `python -m tests.bench`, made from figures that nobody measured."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from tests.bench.aims import Aim, at_least, at_most
from tests.bench.reporting import Figure, Part, as_json, judged, lacking, table

AIMS = {"ours/theirs": at_least(0.85), "large, wall/bound": at_most(1), "ours/absent": at_least(20)}


def a_part(aims: Mapping[str, Aim]) -> Part:
    said = SimpleNamespace(WHAT="ours against theirs", AIMS=aims, OTHERWISE={"large, ": "one run"})
    return cast("Part", said)


def judged_figures() -> dict[str, Figure]:
    return judged(a_part(AIMS), {"ours/theirs": 0.62, "ours, requests": 226.0, "large, wall/bound": 0.97}, rounds=3)


@pytest.mark.parametrize(
    ("aim", "value", "reached"),
    [
        (at_least(0.85), 0.84, False),
        (at_least(0.85), 0.85, True),
        (at_least(20), 32.0, True),
        (at_most(1), 0.2, True),
        (at_most(1), 1.0, True),
        (at_most(250), 250.5, False),
    ],
)
def test_an_aim_is_reached_from_its_bound_on_and_on_one_side_only(aim: Aim, value: float, reached: bool) -> None:
    assert aim.reached(value) is reached


def test_each_figure_is_judged_by_its_own_aim_and_says_of_how_many_rounds_it_is() -> None:
    assert judged_figures() == {
        "ours/theirs": Figure(0.62, "median of 3", "at least 0.85", reached=False),
        "ours, requests": Figure(226.0, "median of 3", None, None),
        "large, wall/bound": Figure(0.97, "one run", "at most 1", reached=True),
        "ours/absent": Figure(None, "not measured", "at least 20", None),
    }


def test_the_table_has_the_aim_and_whether_it_is_reached_beside_each_figure() -> None:
    assert table("invented: ours against theirs", judged_figures()).splitlines() == [
        "invented: ours against theirs",
        "                     value  aim            reached  of",
        "  ours/theirs         0.62  at least 0.85  no       median of 3",
        "  ours, requests       226  -              -        median of 3",
        "  large, wall/bound   0.97  at most 1      yes      one run",
        "  ours/absent            -  at least 20    -        not measured",
    ]


def test_the_json_is_one_line_with_the_aim_and_whether_it_is_reached() -> None:
    line = as_json({"invented": judged_figures()})
    figures: dict[str, dict[str, Any]] = msgspec.json.decode(line)["invented"]

    assert line.count("\n") == 1
    assert figures["ours/theirs"] == {"value": 0.62, "of": "median of 3", "aim": "at least 0.85", "reached": False}
    assert figures["ours, requests"] == {"value": 226.0, "of": "median of 3", "aim": None, "reached": None}


def test_what_is_left_out_is_told_with_how_to_install_it() -> None:
    assert list(lacking({"pages": ["wrk", "taskset"]}, ["mitmproxy: pip install mitmproxy"])) == [
        "Without pages, for want of wrk, taskset. On Debian: apt-get install wrk util-linux",
        "raw goes without mitmproxy: pip install mitmproxy",
    ]
