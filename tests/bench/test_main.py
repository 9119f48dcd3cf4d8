"""What `python -m tests.bench` says before it measures, what it ends with, and nothing measured meanwhile."""

from types import SimpleNamespace

import msgspec
import pytest

from tests.bench import __main__ as bench
from tests.bench import rivals, servers
from tests.bench.aims import at_least


def measuring(told: dict[str, float], seen: list[tuple[int, float]], *needs: str) -> SimpleNamespace:
    """A part that knows its figures beforehand."""

    def measure(rounds: int, seconds: float) -> dict[str, float]:
        seen.append((rounds, seconds))
        return told

    return SimpleNamespace(
        WHAT="nothing in particular", TAKES="no time", NEEDS=needs, AIMS={}, OTHERWISE={}, measure=measure
    )


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """What the parts were asked for; of these `raw` can be measured, `pages` lacks its tool."""
    asked: list[tuple[int, float]] = []
    parts = {"raw": measuring({"ours/bare": 0.5}, asked), "pages": measuring({}, asked, "no-such-tool-anywhere")}
    monkeypatch.setattr(bench, "PARTS", parts)
    monkeypatch.setattr(rivals, "found", lambda: ({}, ["a rival: how to install it"]))
    return asked


def test_help_explains_every_part_option_variable_and_exit_code() -> None:
    told = " ".join(bench.parser().format_help().split())

    for name, part in bench.PARTS.items():
        assert f"{name} {part.WHAT}. Takes {part.TAKES}." in told
        assert not part.NEEDS or f"Needs {', '.join(part.NEEDS)}." in told
    for said in ("default 5, which figures are quoted from", "BENCH_NODE", "BENCH_VENV", str(rivals.VENV), "exit code"):
        assert said in told


@pytest.mark.parametrize("asked", [["--rounds", "0"], ["--seconds", "0.5"], ["--rounds", "many"], ["nonsense"]])
def test_what_can_not_be_measured_is_refused(asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.parser().parse_args(asked)

    assert ended.value.code == 2
    assert asked[-1] in capsys.readouterr().err


def test_what_is_missing_is_told_before_measuring_begins(
    seen: list[tuple[int, float]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(_rounds: int, _seconds: float) -> dict[str, float]:
        raise RuntimeError("measuring")

    monkeypatch.setattr(bench.PARTS["raw"], "measure", breaks)
    with pytest.raises(RuntimeError, match="measuring"):
        bench.main([])

    told = capsys.readouterr().err
    assert "Without pages, for want of no-such-tool-anywhere. On Debian: apt-get install no-such-tool" in told
    assert "raw goes without a rival: how to install it" in told
    assert not seen


def test_rivals_are_told_of_only_where_raw_is_measured(
    seen: list[tuple[int, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main(["pages"]) == 2

    told = capsys.readouterr()
    assert "Without pages" in told.err
    assert "rival" not in told.err
    assert not told.out
    assert not seen


def test_an_aim_that_is_missed_is_a_figure_and_no_failure(
    seen: list[tuple[int, float]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench.PARTS["raw"], "AIMS", {"ours/bare": at_least(0.85)})

    assert bench.main(["--json", "--rounds", "3", "--seconds", "2"]) == 0

    assert seen == [(3, 2.0)]
    figure = {"value": 0.5, "of": "median of 3", "aim": "at least 0.85", "reached": False}
    assert msgspec.json.decode(capsys.readouterr().out) == {"raw": {"ours/bare": figure}}


def test_tools_are_looked_for_where_they_are_started_from() -> None:
    assert servers.missing_tools(["sh", "no-such-tool-anywhere"]) == ["no-such-tool-anywhere"]
