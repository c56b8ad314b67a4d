"""A made-up comparison of analyzers."""

from __future__ import annotations

from maskdet.comparison import PRECISIONS, SHARES, Measured
from maskdet.metrics.estimate import Estimate

SETS = ("kaggle-val", "ilc-val")


def estimate(value: float, n: int = 100) -> Estimate:
    return Estimate(value, value - 0.05, value + 0.04, n)


def measured(
    analyzer: str = "mtcnn",
    set_name: str = "kaggle-val",
    *,
    best: float = 0.9,
    median_ms: float = 40.0,
) -> Measured:
    """Return a row whose numbers fall by 0.05 from `best`, larger faces 0.01 up."""
    steps = {name: best - 0.05 * place for place, name in enumerate(PRECISIONS)}
    return Measured(
        analyzer=analyzer,
        set_name=set_name,
        images=20,
        ap={name: estimate(value) for name, value in steps.items()},
        ap_large={name: estimate(value + 0.01, 80) for name, value in steps.items()},
        shares={
            name: estimate(best - 0.3 - 0.05 * place, 80)
            for place, name in enumerate(SHARES)
        },
        median_ms=median_ms,
    )


def rows(*names: str) -> list[Measured]:
    """Return a row for each analyzer and set; later ones are better and slower."""
    return [
        measured(name, set_name, best=0.6 + 0.1 * place, median_ms=10.0 * (place + 1))
        for place, name in enumerate(names)
        for set_name in SETS
    ]
