"""Write evaluation reports: JSON, charts, and grids of images.

JSON and charts contain metrics and file names only. Grids of samples, mistakes and
automatic labels show faces, so they are only written to a folder that the user gives.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from maskdet import charts
from maskdet.auto_label import REASON_UNREADABLE, AutoLabel
from maskdet.boxes import sizes_px
from maskdet.charts import VegaSpec
from maskdet.charts.training import TrainingLog
from maskdet.classifier import crop_face
from maskdet.datasets import Example
from maskdet.datasets.files import read_text
from maskdet.drawing.text import draw_text, measure_text
from maskdet.evaluation import LARGE_PX
from maskdet.evaluation.classification import read_example
from maskdet.evaluation.scoring import FacePredictions
from maskdet.extras import require_libraries
from maskdet.media import read_image, resize_image
from maskdet.metrics.classification import Json, Predictions
from maskdet.metrics.slices import evaluate_slices
from maskdet.metrics.summary import summarize_classification
from maskdet.style import DEFAULT_STYLE, Style, format_percent, is_drawable
from maskdet.types import CLASSES, Image, Label

CELL_PX = 128
"""Side of the square that each image is fitted into."""

_LINE_PX = 15

_GAP_PX = 6

_BACKGROUND = 255

_TEXT_COLOUR = (30, 30, 30)

MAX_MISTAKES = 36
"""Default limit of mistakes in a grid."""

REPORT_NAME = "report.json"

_INTERVALS = (
    "low and high: 95 % interval; Wilson for proportions, Newcombe for their "
    "differences, bootstrap over faces for others"
)


REVIEW_COLUMNS = (
    "number",
    "path",
    "label",
    "doubt",
    "score",
    "agreement",
    "box",
    "keep",
)
"""The columns of the review list; the reviewer fills in `keep`."""

_IMAGES_PER_SHEET = 96

_SHEET_COLUMNS = 12

_KEEP_WORDS = {"yes": True, "y": True, "1": True, "no": False, "n": False, "0": False}


def save_chart(
    chart: VegaSpec,
    folder: Path,
    name: str,
    *,
    png_chart: VegaSpec | None = None,
) -> list[Path]:
    """Write a chart as `NAME.svg` and `NAME.png`, on white, and return the two files.

    Args:
        chart: the chart.
        folder: the folder.
        name: of the files.
        png_chart: chart for the PNG, if it needs other texts because the fonts of this
            machine lack some letters.

    Raises:
        MissingExtraError: the library that renders charts is not installed.
    """
    svg, png = folder / f"{name}.svg", folder / f"{name}.png"
    svg.write_text(charts.render_svg(chart), encoding="utf-8")
    png.write_bytes(charts.render_png(png_chart or chart))
    return [svg, png]


_CAP_PX = 9
"""Height of capital letters in the captions of a grid, in pixels."""


def image_grid(
    images: Sequence[Image],
    captions: Sequence[str],
    *,
    columns: int = 6,
    cell_px: int = CELL_PX,
) -> Image:
    """Arrange images row by row on white, each with its caption below it.

    Args:
        images: of any size, BGR; not changed. Each keeps its shape.
        captions: one per image, of one or more lines; long lines are cut, and letters
            other than Latin, Greek and Cyrillic become "?".
        columns: images in a row.
        cell_px: side of the square that an image is fitted into.

    Returns:
        The grid, BGR; one empty cell for no images.

    Raises:
        ValueError: the numbers of captions and images differ, or a number is below 1.
    """
    if len(images) != len(captions):
        raise ValueError(
            f"{len(images)} images need {len(images)} captions, got {len(captions)}"
        )
    if columns < 1 or cell_px < 1:
        raise ValueError(
            f"columns and cell_px must be above 0, got {columns}, {cell_px}"
        )
    columns = max(1, min(columns, len(images)))
    rows = max(1, -(-len(images) // columns))
    lines = [caption.split("\n") for caption in captions]
    text_px = _LINE_PX * max(map(len, lines), default=1)
    step_x, step_y = cell_px + _GAP_PX, cell_px + text_px + _GAP_PX
    shape = (rows * step_y + _GAP_PX, columns * step_x + _GAP_PX, 3)
    grid = np.full(shape, _BACKGROUND, np.uint8)
    for index, (image, caption_lines) in enumerate(zip(images, lines, strict=True)):
        top = _GAP_PX + index // columns * step_y
        left = _GAP_PX + index % columns * step_x
        fitted = resize_image(image, cell_px / max(image.shape[:2]))
        _draw_cell(grid[top:, left : left + cell_px], fitted, caption_lines)
    return grid


def _draw_cell(cell: Image, image: Image, lines: Sequence[str]) -> None:
    """Draw an image and its caption into a cell, which is a view of the grid."""
    side_px = cell.shape[1]
    height, width = image.shape[:2]
    x, y = (side_px - width) // 2, (side_px - height) // 2
    cell[y : y + height, x : x + width] = image
    for index, line in enumerate(lines, start=1):
        text, baseline = _truncate_caption(line, side_px), side_px + index * _LINE_PX
        draw_text(cell, text, (0, baseline - 4), _CAP_PX, _TEXT_COLOUR)


def samples_grid(
    examples: Sequence[Example],
    *,
    n_per_class: int = 12,
    columns: int = 6,
    seed: int = 0,
    style: Style = DEFAULT_STYLE,
) -> Image:
    """Return a grid of up to `n_per_class` random faces of every class with captions.

    Args:
        examples: labelled images; of scenes, true boxes of at least `LARGE_PX`.
        n_per_class: faces per class; with a multiple of `columns`, each class has rows
            of its own.
        columns: images in a row.
        seed: random seed.
        style: names of the classes.
    """
    style = style.to_drawable()
    rng = np.random.default_rng(seed)
    images, captions = [], []
    for label in CLASSES:
        faces = [
            (example, row) for example in examples for row in _face_rows(example, label)
        ]
        for index in rng.permutation(len(faces))[:n_per_class]:
            example, row = faces[index]
            image = read_example(example)
            if not example.is_crop:
                image = crop_face(image, example.boxes[row], CELL_PX)
            images.append(image)
            name = style.title(label)
            captions.append("\n".join(filter(None, (name, example.source))))
    return image_grid(images, captions, columns=columns)


def _face_rows(example: Example, label: Label) -> list[int]:
    """Return the indices of the large faces of an image with this label."""
    rows = [row for row, face_label in enumerate(example.labels) if face_label == label]
    if example.is_crop:
        return rows
    large = sizes_px(example.boxes) >= LARGE_PX
    return [row for row in rows if large[row]]


def _truncate_caption(caption: str, width_px: int) -> str:
    """Return as much of a caption as fits, in letters that can be drawn."""
    text = "".join(char if is_drawable(char) else "?" for char in caption)
    while text and measure_text(text, _CAP_PX) > width_px:
        text = text[:-1]
    return text


@dataclass(frozen=True)
class Mistake:
    """A face with a wrong prediction.

    Attributes:
        path: its image.
        box: `x1, y1, x2, y2` in pixels.
        ground_truth: the true class.
        predicted: the predicted class.
        probability: of the predicted class, in [0, 1].
    """

    path: Path
    box: tuple[float, float, float, float]
    ground_truth: Label
    predicted: Label
    probability: float

    def to_json(self) -> Json:
        """Return the mistake for JSON with its file name only, as paths are private."""
        return {
            "file": self.path.name,
            "box": [round(side, 1) for side in self.box],
            "ground_truth": self.ground_truth.key,
            "predicted": self.predicted.key,
            "probability": round(self.probability, 4),
        }


def worst_mistakes(
    face_predictions: FacePredictions, *, limit: int = MAX_MISTAKES
) -> list[Mistake]:
    """Return the misclassified faces, highest wrong probability first."""
    probs = face_predictions.predictions.probs
    ground_truth = face_predictions.predictions.ground_truth
    predicted = probs.argmax(axis=1)
    wrong = np.flatnonzero(predicted != ground_truth)
    order = wrong[np.argsort(-probs[wrong, predicted[wrong]], kind="stable")]
    mistakes = []
    for row in order[:limit]:
        x1, y1, x2, y2 = (float(side) for side in face_predictions.boxes[row])
        mistakes.append(
            Mistake(
                path=face_predictions.paths[row],
                box=(x1, y1, x2, y2),
                ground_truth=CLASSES[ground_truth[row]],
                predicted=CLASSES[predicted[row]],
                probability=float(probs[row, predicted[row]]),
            )
        )
    return mistakes


def mistakes_grid(
    mistakes: Sequence[Mistake], *, style: Style = DEFAULT_STYLE
) -> Image:
    """Return a grid of the classifier crops of mistakes with captions.

    Args:
        mistakes: the faces.
        style: names of the classes.

    Raises:
        ValueError: an image cannot be read.
    """
    crops, captions, style = [], [], style.to_drawable()
    for mistake in mistakes:
        box = np.array(mistake.box, np.float32)
        crops.append(crop_face(read_image(mistake.path), box, CELL_PX))
        percent, predicted = format_percent(mistake.probability), mistake.predicted
        captions.append(
            f"{style.title(mistake.ground_truth)}, predicted\n"
            f"{percent} {style.title(predicted)}"
        )
    return image_grid(crops, captions)


def summarize_predictions(predictions: Predictions) -> Json:
    """Return all metrics of one data set and its slices, with interval and n."""
    counts = predictions.classification.class_confusion.counts[:, : len(CLASSES)]
    return {
        **summarize_classification(predictions.classification).to_json(),
        "confusion": counts.tolist(),
        "slices": [part.to_json() for part in evaluate_slices(predictions)],
    }


def write_report(
    folder: Path,
    predictions: Mapping[str, Predictions],
    *,
    log: TrainingLog | None = None,
    title: str = "",
    mistakes: Sequence[Mistake] = (),
    style: Style = DEFAULT_STYLE,
) -> list[Path]:
    """Write `report.json` and the charts of one run, and return the written files.

    Args:
        folder: created if it does not exist; existing files are replaced.
        predictions: predictions by name of the data set. With several sets, the names
            of the chart files begin with the name of the set.
        log: training log, for the learning curves.
        title: of the report, one line.
        mistakes: listed in the JSON by file and box.
        style: names and colours of the classes in the charts; the JSON has their keys.

    Raises:
        OSError: the folder cannot be written.
        MissingExtraError: a library that renders the charts is not installed.
    """
    require_libraries("a report with charts", "vl_convert")
    folder.mkdir(parents=True, exist_ok=True)
    content: Json = {
        "version": 2,
        "title": title,
        "intervals": _INTERVALS,
        "labels": [label.key for label in CLASSES],
        "sets": {
            name: summarize_predictions(item) for name, item in predictions.items()
        },
        "mistakes": [item.to_json() for item in mistakes],
        "log": None if log is None else [_replace_nan(row) for row in log],
    }
    path = folder / REPORT_NAME
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    written = [path]
    plain_style = style.to_drawable()
    plain_charts = (
        {} if plain_style == style else _build_charts(predictions, plain_style)
    )
    for name, chart in _build_charts(predictions, style).items():
        written += save_chart(chart, folder, name, png_chart=plain_charts.get(name))
    return [*written, *write_curves(folder, log or (), title)]


def write_curves(folder: Path, log: TrainingLog, title: str = "") -> list[Path]:
    """Write the learning curves of one run, `learning-loss.svg` and so on.

    Args:
        folder: the folder; existing files are replaced.
        log: the training log.
        title: name of the run.

    Raises:
        OSError: the folder cannot be written.
        MissingExtraError: a library that renders the charts is not installed.
    """
    require_libraries("learning curves", "vl_convert")
    logs = {title or "training": log}
    written = []
    for quantity in charts.QUANTITIES:
        if charts.is_logged(log, quantity):
            chart = charts.learning_curves(logs, quantity=quantity)
            written += save_chart(chart, folder, f"learning-{quantity}")
    return written


def _replace_nan(row: Mapping[str, float]) -> Json:
    """Return a row with None instead of NaN, which JSON does not have."""
    return {k: v if math.isfinite(v) else None for k, v in row.items()}


def _build_charts(
    predictions: Mapping[str, Predictions], style: Style
) -> dict[str, VegaSpec]:
    """Return the charts by file name."""
    charts_by_name: dict[str, VegaSpec] = {}
    for name, item in predictions.items():
        if not len(item):
            continue
        prefix = f"{name.replace('/', '-')}-" if len(predictions) > 1 else ""
        one = {name: item}
        set_charts = {
            "confusion": charts.confusion_matrix_chart(item, style=style),
            "roc": charts.roc_chart(one),
            "roc-classes": charts.roc_chart(one, task="classes", style=style),
            "precision-recall": charts.precision_recall_chart(
                one, task="classes", style=style
            ),
            "reliability": charts.reliability_chart(one),
            "reliability-mask": charts.reliability_chart(one, target="wearing"),
            "slices": charts.slices_chart(one),
        }
        charts_by_name |= {
            f"{prefix}{kind}": chart for kind, chart in set_charts.items()
        }
    return charts_by_name


_GREEN, _GREY = (0, 200, 0), (128, 128, 128)


def render_review_sheets(doubtful: Sequence[AutoLabel]) -> list[Image]:
    """Draw sheets of the images with their boxes, numbered as in the review list.

    The labelled face is green, faces of unknown class are grey.
    """
    sheets: list[Image] = []
    for start in range(0, len(doubtful), _IMAGES_PER_SHEET):
        page = doubtful[start : start + _IMAGES_PER_SHEET]
        captions = [
            f"{number} {item.example.labels[0].key} "
            f"{item.score:.2f}\n{item.review_reason}"
            for number, item in enumerate(page, start=start + 1)
        ]
        images = [_draw_outlines(item) for item in page]
        sheets.append(image_grid(images, captions, columns=_SHEET_COLUMNS))
    return sheets


def _draw_outlines(boxed: AutoLabel) -> Image:
    if boxed.review_reason == REASON_UNREADABLE:
        return np.full((1, 1, 3), 255, np.uint8)
    image = read_example(boxed.example).copy()
    line_px = max(1, max(boxed.image_wh) // 100)
    for boxes, colour in ((boxed.other_boxes, _GREY), (boxed.boxes, _GREEN)):
        for x1, y1, x2, y2 in boxes.astype(int).tolist():
            cv2.rectangle(image, (x1, y1), (x2, y2), colour, line_px)
    return np.asarray(image, np.uint8)


def format_review_csv(doubtful: Sequence[AutoLabel]) -> str:
    """Return the review list as CSV with an empty column `keep`."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(REVIEW_COLUMNS)
    for number, item in enumerate(doubtful, start=1):
        box = " ".join(f"{corner:.1f}" for corner in item.boxes.reshape(-1))
        score, agreement = f"{item.score:.3f}", f"{item.agreement:.3f}"
        image_path, label = item.example.path.resolve(), item.example.labels[0].key
        rows.writerow(
            [number, image_path, label, item.review_reason, score, agreement, box, ""]
        )
    return text.getvalue()


def read_review(path: str | Path) -> Mapping[Path, bool]:
    """Return for each image of a review list whether its box is kept.

    Images with an empty `keep` are left out.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: a column is missing, or `keep` is neither yes nor no.
    """
    rows = csv.DictReader(io.StringIO(read_text(Path(path))))
    for column in ("path", "keep"):
        if column not in (rows.fieldnames or ()):
            raise ValueError(f"{path}: the column {column!r} is missing")
    decisions: dict[Path, bool] = {}
    for line, row in enumerate(rows, start=2):
        word = (row["keep"] or "").strip().lower()
        if word and word not in _KEEP_WORDS:
            raise ValueError(
                f"{path}:{line}: keep must be yes, no or empty, got {word!r}"
            )
        if word:
            decisions[Path(row["path"])] = _KEEP_WORDS[word]
    return decisions
