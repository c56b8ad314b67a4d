"""Charts as Vega-Lite specifications, for pages and report files.

Each chart has tooltips, and can be rendered as SVG and PNG. Background and fonts are
left to the page.
"""

from __future__ import annotations

from maskdet.charts.classification import (
    confusion_matrix_chart,
    cost_chart,
    reliability_chart,
    slices_chart,
)
from maskdet.charts.curves import (
    MAX_CURVE_POINTS,
    precision_recall_chart,
    roc_chart,
    simplify_line,
)
from maskdet.charts.spec import VegaSpec, assign_run_colours, render_png, render_svg
from maskdet.charts.training import QUANTITIES, is_logged, learning_curves

__all__ = [
    "MAX_CURVE_POINTS",
    "QUANTITIES",
    "VegaSpec",
    "assign_run_colours",
    "confusion_matrix_chart",
    "cost_chart",
    "is_logged",
    "learning_curves",
    "precision_recall_chart",
    "reliability_chart",
    "render_png",
    "render_svg",
    "roc_chart",
    "simplify_line",
    "slices_chart",
]
