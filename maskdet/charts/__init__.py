"""Charts of runs and their answers, the same on the pages and in report files.

Each is made of numbers only, has tooltips, says how many faces it is made of, and
leaves background and fonts to where it is shown. Several runs go into one chart.
"""

from __future__ import annotations

from maskdet.charts.cost import cost_chart
from maskdet.charts.curves import precision_recall_chart, roc_chart
from maskdet.charts.learning import QUANTITIES, is_logged, learning_curves
from maskdet.charts.look import assign_run_colours
from maskdet.charts.parts import confusion_matrix_chart, reliability_chart, slices_chart
from maskdet.charts.thinning import MAX_CURVE_POINTS, simplify_line

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
