"""Charts of training runs and their predictions, for pages and report files.

Each chart has tooltips and the number of faces in its subtitle, and can compare several
runs. Background and fonts are left to the page or report.
"""

from __future__ import annotations

from maskdet.charts.classification import (
    confusion_matrix_chart,
    cost_chart,
    precision_recall_chart,
    reliability_chart,
    roc_chart,
    slices_chart,
)
from maskdet.charts.theme import MAX_CURVE_POINTS, assign_run_colours, simplify_line
from maskdet.charts.training import QUANTITIES, is_logged, learning_curves

__all__ = [
    "MAX_CURVE_POINTS",
    "QUANTITIES",
    "assign_run_colours",
    "confusion_matrix_chart",
    "cost_chart",
    "is_logged",
    "learning_curves",
    "precision_recall_chart",
    "reliability_chart",
    "roc_chart",
    "simplify_line",
    "slices_chart",
]
