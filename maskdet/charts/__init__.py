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
from maskdet.charts.curves import precision_recall_chart, roc_chart
from maskdet.charts.spec import VegaSpec, render_png, render_svg
from maskdet.charts.training import QUANTITIES, is_logged, learning_curves

__all__ = [
    "QUANTITIES",
    "VegaSpec",
    "confusion_matrix_chart",
    "cost_chart",
    "is_logged",
    "learning_curves",
    "precision_recall_chart",
    "reliability_chart",
    "render_png",
    "render_svg",
    "roc_chart",
    "slices_chart",
]
