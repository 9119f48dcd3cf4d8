"""What becomes of the runs of a gather."""

import pytest

from tests.bench.gathering import Run, large_figures, small_figures


def a_run(wall: float, again: float = 1.0) -> Run:
    return {
        "wall": wall, "cpu": 0.5, "requests": 64.0, "peak_mb": 100.0, "page_wall": 0.001, "page_requests": 0.0,
        "again_wall": again, "again_cpu": 0.2, "again_requests": 60.0, "again_not_modified": 50.0,
    }  # fmt: skip


def test_the_ratio_of_both_ways_is_that_of_their_medians() -> None:
    ours = [a_run(wall, again) for wall, again in ((1.0, 0.4), (2.0, 0.5), (90.0, 9.0))]
    theirs = [{"wall": wall, "requests": 128.0} for wall in (30.0, 1.0, 20.0)]

    figures = small_figures(list(zip(ours, theirs, strict=True)))

    assert figures["small, sequential/ours, time"] == pytest.approx(10)
    assert figures["small, sequential/ours, requests"] == pytest.approx(2)
    assert figures["small, gathered again, wall s"] == pytest.approx(0.5)
    assert figures["small, again/cold, time"] == pytest.approx(0.25)


def test_the_large_gather_is_held_against_what_latency_and_processor_leave_no_choice_in() -> None:
    # 64 requests by 32 workers at 50 ms: 0.1 s, a fifth more allowed, and 0.5 s of processor time.
    assert large_figures(a_run(wall=1.24))["large, wall/bound"] == pytest.approx(2)
