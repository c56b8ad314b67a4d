"""A made-up comparison of analyzers."""

from __future__ import annotations

from maskdet.evaluation.comparison import AP_NAMES, RATE_NAMES, AnalyzerMetrics
from maskdet.metrics.intervals import Estimate

SETS = ("kaggle-val", "ilc-val")


def make_estimate(value: float, n: int = 100) -> Estimate:
    return Estimate(value, value - 0.05, value + 0.04, n)


def make_analyzer_result(
    analyzer: str = "mtcnn",
    set_name: str = "kaggle-val",
    *,
    best: float = 0.9,
    median_ms: float = 40.0,
) -> AnalyzerMetrics:
    """Return a row whose numbers fall by 0.05 from `best`, larger faces 0.01 up."""
    steps = {name: best - 0.05 * index for index, name in enumerate(AP_NAMES)}
    return AnalyzerMetrics(
        analyzer=analyzer,
        set_name=set_name,
        n_images=20,
        ap={name: make_estimate(value) for name, value in steps.items()},
        ap_large={
            name: make_estimate(value + 0.01, 80) for name, value in steps.items()
        },
        rates={
            name: make_estimate(best - 0.3 - 0.05 * index, 80)
            for index, name in enumerate(RATE_NAMES)
        },
        median_ms=median_ms,
    )


def make_analyzer_results(*names: str) -> list[AnalyzerMetrics]:
    """Return a row for each analyzer and set; later ones are better and slower."""
    return [
        make_analyzer_result(
            name, set_name, best=0.6 + 0.1 * index, median_ms=10.0 * (index + 1)
        )
        for index, name in enumerate(names)
        for set_name in SETS
    ]
