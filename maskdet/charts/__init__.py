"""Charts of runs and their answers, the same on the pages and in report files.

Each is made of numbers only, has tooltips, says how many faces it is made of, and
leaves background and fonts to where it is shown. Several runs go into one chart.
"""

from __future__ import annotations

from maskdet.charts.cost import cost_chart
from maskdet.charts.curves import precision_recall, roc
from maskdet.charts.learning import QUANTITIES, is_logged, learning_curves
from maskdet.charts.look import run_colours
from maskdet.charts.parts import confusion_matrix, reliability_chart, slices_chart
from maskdet.charts.thinning import MOST_POINTS, thinned

__all__ = [
    "MOST_POINTS",
    "QUANTITIES",
    "confusion_matrix",
    "cost_chart",
    "is_logged",
    "learning_curves",
    "precision_recall",
    "reliability_chart",
    "roc",
    "run_colours",
    "slices_chart",
    "thinned",
]
