"""Interleaved benchmarks: turns, medians and ratios."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.evaluation.timing import (
    LatencyStats,
    benchmark_interleaved,
    make_analyze_and_draw,
)
from maskdet.settings import Settings
from maskdet.types import Scene
from tests.helpers.fakes import FakeClassifier, FakeDetector, make_grey_image


def timing(*whole_ms: float, **stages: tuple[float, ...]) -> LatencyStats:
    return LatencyStats(1, whole_ms, stages)


def test_median_and_p95():
    one = timing(*range(1, 101), detect=(1, 5, 3))
    assert one.median_ms == 50.5
    assert one.p95_ms == 95
    assert one.median_stages_ms == {"detect": 3}


def test_the_ratio_is_computed_by_round():
    # A round that is ten times slower for both does not change the ratio.
    assert timing(2, 20, 4).ratio_to(timing(1, 10, 2)) == 2
    assert timing(1, 1, 9).ratio_to(timing(2, 2, 2)) == 0.5


def test_candidates_take_turns_and_each_is_first_once():
    asked: list[str] = []

    def look(name: str):
        def one(image) -> Scene:
            asked.append(name)
            return Scene.empty()

        return one

    timings = benchmark_interleaved(
        {name: look(name) for name in "abc"}, make_grey_image(), range(3)
    )
    assert "".join(asked[-9:]) == "abcbcacab"
    assert list(timings) == ["a", "b", "c"]
    assert all(len(one.total_ms) == 3 for one in timings.values())
    assert timings["a"].n_faces == 0


def test_analyze_and_draw_has_all_stages():
    boxes = [[5, 5, 25, 30], [30, 5, 50, 30]]
    analyzer = TwoStage(FakeDetector(boxes, [0.9, 0.8]), FakeClassifier())
    look = make_analyze_and_draw(analyzer, Settings())
    image = make_grey_image()
    (one,) = benchmark_interleaved({"both": look}, image, range(4)).values()
    assert one.n_faces == 2
    assert list(one.stages_ms) == ["detect", "classify", "draw"]
    assert all(len(times) == 4 for times in one.stages_ms.values())
    stages = np.array(list(one.stages_ms.values())).sum(axis=0)
    assert (stages <= np.array(one.total_ms)).all()
    np.testing.assert_array_equal(image, make_grey_image())


def test_the_median_of_no_rounds_is_an_error():
    with pytest.raises(ValueError, match="median"):
        _ = timing().median_ms
