"""What `python -m tests.long` says of its trials, and what it hands them; nothing is tried meanwhile."""

from typing import Any

import pytest

from tests.long import __main__ as long


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the trial was run with that was asked for; it finds something untrue."""
    found: dict[str, Any] = {}

    def run(**options: Any) -> int:
        found.update(options)
        return 1

    monkeypatch.setattr(long, "TRIALS", {name: kind._replace(run=run) for name, kind in long.TRIALS.items()})
    return found


def test_help_says_of_each_trial_what_it_does_how_long_it_takes_and_what_it_heeds() -> None:
    told = " ".join(long.parser().format_help().split())

    for kind in long.TRIALS.values():
        heeds = ", ".join(f"--{option} ({long.OPTIONS[option]['shown']})" for option in kind.heeds) or "no option"
        assert f"{kind.what}. Takes {kind.takes}. Heeds {heeds}." in told


@pytest.mark.parametrize("trial", long.TRIALS)
def test_the_help_of_a_trial_explains_each_of_its_options(trial: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        long.main([trial, "--help"])

    told = " ".join(capsys.readouterr().out.split())
    for option, how in long.OPTIONS.items():
        told_of = (how["help"] % how if "default" in how else how["help"]) in told
        assert told_of is (option in long.TRIALS[trial].heeds)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["kill-gather", "--runs", "3", "--seed", "7"], {"runs": 3, "seed": 7}),
        (["faults", "--seed", "7"], {"runs": 200, "seed": 7}),
        (["two-processes"], {}),
        (["many-processes", "--seed", "7"], {"seconds": 60.0, "seed": 7}),
        (["soak", "--minutes", "0.5", "--seed", "7", "--sqlite"], {"minutes": 0.5, "seed": 7, "sqlite": True}),
    ],
)
def test_a_trial_is_run_with_what_it_heeds_and_ends_the_program(
    handed: dict[str, Any], arguments: list[str], options: dict[str, Any]
) -> None:
    assert long.main(arguments) == 1
    assert handed == options


@pytest.mark.parametrize(
    "arguments",
    [
        ["flow", "--runs", "3"],
        ["two-processes", "--seed", "7"],
        ["soak", "--seconds", "5"],
        ["kill-gather", "--sqlite"],
        ["kill-gather", "--runs", "0"],
        ["soak", "--minutes", "-1"],
        ["no-such-trial"],
        [],
    ],
)
def test_what_a_trial_would_not_heed_is_refused(handed: dict[str, Any], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        long.main(arguments)

    assert ended.value.code == 2
    assert not handed
