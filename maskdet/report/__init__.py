"""What was measured, as files in a folder: JSON, charts, and grids of pictures.

JSON and charts hold numbers and file names only. Grids show faces: they are for the
person who has the pictures, and are written only to a folder that person names.
"""

from __future__ import annotations

from maskdet.report.figures import save_chart
from maskdet.report.files import summarize_predictions, write_curves, write_report
from maskdet.report.grids import image_grid, samples_grid
from maskdet.report.mistakes import Mistake, mistakes_grid, worst_mistakes

__all__ = [
    "Mistake",
    "image_grid",
    "mistakes_grid",
    "samples_grid",
    "save_chart",
    "summarize_predictions",
    "worst_mistakes",
    "write_curves",
    "write_report",
]
