"""What is said about analysed images: totals, tables, advice, files to download."""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from maskdet import results_io
from maskdet.analyzers.tiles import Tiling
from maskdet.boxes import sizes_px
from maskdet.settings import Settings
from maskdet.style import DEFAULT_STYLE, Style, format_percent, to_display_percent
from maskdet.types import CLASSES, Label, Scene
from maskdet.web.image.cache import (
    AnalyzedImage,
    SourceImage,
    blur_crop,
    render_result_png,
)
from maskdet.wording import format_count

TILES_TITLE = "Far camera: look closer, in tiles"
"""Title of the switch that also analyzes the parts of an image."""

_MAX_NAME_LENGTH = 60
"""Characters of a file name that are shown; more would break the layout."""


@dataclass(frozen=True, eq=False)
class ImageResult:
    """One image as the settings of the moment see it.

    Attributes:
        source: the file as it was given.
        analyzed: the file after its one pass through the networks.
        settings: what counts as a face and as a sure label.
    """

    source: SourceImage
    analyzed: AnalyzedImage
    settings: Settings

    @property
    def scene(self) -> Scene:
        """The faces that the settings accept, in pixels of the original."""
        return self.analyzed.raw_scene.filter(self.settings)

    def crops(self, style: Style) -> list[bytes]:
        """Return one JPEG a face of `scene`, blurred if `style` says so."""
        crops = [
            self.analyzed.crops[row] for row in self.analyzed.select_rows(self.settings)
        ]
        return [blur_crop(crop) for crop in crops] if style.blur else crops

    @property
    def record(self) -> results_io.ImageRecord:
        """What the downloaded files say about this image."""
        if self.analyzed.error:
            return results_io.error_record(self.source.name, self.analyzed.error)
        size_wh = self.analyzed.width, self.analyzed.height
        return results_io.image_record(self.source.name, size_wh, self.scene)


@dataclass(frozen=True)
class ImageTotals:
    """Counts over several images.

    Attributes:
        n_images: how many could be read.
        n_without_face: how many of them show no face.
        label_counts: how many faces carry each label; every label has an entry.
    """

    n_images: int
    n_without_face: int
    label_counts: Mapping[Label, int]

    @property
    def mask_rate_text(self) -> str:
        """Masked faces in percent of those with a sure label; a dash without any."""
        n_classified = sum(self.label_counts[label] for label in CLASSES)
        return (
            format_percent(self.label_counts[Label.MASK] / n_classified)
            if n_classified
            else "-"
        )


def compute_totals(results: Sequence[ImageResult]) -> ImageTotals:
    """Count images and faces; files that could not be read are left out."""
    scenes = [result.scene for result in results if not result.analyzed.error]
    counts = Counter(label for scene in scenes for label in scene.labels)
    return ImageTotals(
        n_images=len(scenes),
        n_without_face=sum(len(scene) == 0 for scene in scenes),
        label_counts={label: counts[label] for label in Label},
    )


def summarize_scene(scene: Scene, style: Style = DEFAULT_STYLE) -> str:
    """Return what is in an image in a few words, as in "1 face (1 Unsure)"."""
    counts = Counter(scene.labels)
    parts = [
        f"{counts[label]} {style.title(label)}" for label in Label if counts[label]
    ]
    if not parts:
        return "no face found"
    return f"{format_count(len(scene), 'face')} ({', '.join(parts)})"


def face_table(
    scene: Scene, style: Style = DEFAULT_STYLE
) -> dict[str, list[int] | list[float] | list[str]]:
    """Return the columns of the table of faces, shares in percent, counted from 1."""
    boxes = scene.faces.boxes
    sides = np.rint(boxes[:, 2:] - boxes[:, :2]).astype(int)
    return {
        "Face": list(range(1, len(scene) + 1)),
        "Label": [style.title(label) for label in scene.labels],
        "Confidence": [
            to_display_percent(float(confidence)) for confidence in scene.confidences
        ],
        "Face score": [
            to_display_percent(float(score)) for score in scene.faces.scores
        ],
        "Size (px)": [f"{width} x {height}" for width, height in sides],
    }


def image_table(
    results: Sequence[ImageResult], style: Style = DEFAULT_STYLE
) -> dict[str, list[int] | list[str]]:
    """Return the columns of the table of images that could be read."""
    readable = [result for result in results if not result.analyzed.error]
    labels = [Counter(result.scene.labels) for result in readable]
    columns: dict[str, list[int] | list[str]] = {
        "Image": [shorten_name(result.source.name) for result in readable],
        "Faces": [count.total() for count in labels],
    }
    columns.update(
        {style.title(label): [count[label] for count in labels] for label in Label}
    )
    return columns


def suggest_changes(
    analyzed: AnalyzedImage, settings: Settings, *, tiles: bool = False
) -> list[str]:
    """Return what to try when no face was found, the likeliest help first.

    Args:
        analyzed: of which nothing was accepted.
        settings: which accepted nothing.
        tiles: whether its parts were looked at, too.
    """
    size = f"{analyzed.width} x {analyzed.height} pixels"
    lines = [_suggest_threshold(analyzed, settings)]
    lines.append("Choose another **Analyzer** in the sidebar: each finds other faces.")
    lines.append("Bring more light on the face, and none from behind it.")
    smallest = f"faces below {settings.min_face_px:g} pixels are left out"
    if max(analyzed.width, analyzed.height) <= Tiling.side_px:
        lines.append(
            f"Come closer, or use a larger image: this one is {size}, and {smallest}."
        )
    elif tiles:
        lines.append(f"Come closer: this image is {size}, and {smallest}.")
    else:
        lines.append(
            f"Switch on **{TILES_TITLE}** above: this image is {size}, and small faces "
            "are lost when it is scaled down for the analysis."
        )
    return lines


def _suggest_threshold(analyzed: AnalyzedImage, settings: Settings) -> str:
    """Say which threshold to move, and how far, for the best refused guess."""
    scores, sizes = (
        analyzed.raw_scene.faces.scores,
        sizes_px(analyzed.raw_scene.faces.boxes),
    )
    large_enough = sizes >= settings.min_face_px
    confident = scores >= settings.min_score
    if not len(scores):
        return (
            "Nothing in this image looks like a face, not even at a **Face score** "
            f"of {analyzed.base_settings.min_score:.2f}, so lowering it will hardly "
            "help."
        )
    if large_enough.any():
        best = float(scores[large_enough].max())
        return (
            f"Lower **Face score** to {_floor_to_hundredth(best):.2f}: the best guess "
            "has "
            f"{best:.2f}, and {settings.min_score:.2f} is asked."
        )
    best_row = (
        int(np.flatnonzero(confident)[sizes[confident].argmax()])
        if confident.any()
        else 0
    )
    size, score = float(sizes[best_row]), float(scores[best_row])
    line = f"Lower **Smallest face** to {math.floor(size)} pixels"
    if not confident.any():
        line += f" and **Face score** to {_floor_to_hundredth(score):.2f}"
    return f"{line}: the best guess measures {size:.0f} and has {score:.2f}."


def _floor_to_hundredth(score: float) -> float:
    """Round down to a hundredth, the step of the slider."""
    return math.floor(100 * score) / 100


def shorten_name(name: str) -> str:
    """Return a file name on one line, without control characters, not too long."""
    line = results_io.escape_unprintable(name)
    if len(line) <= _MAX_NAME_LENGTH:
        return line
    half = _MAX_NAME_LENGTH // 2
    return f"{line[: half - 1]}…{line[-half:]}"


def to_code_markdown(name: str) -> str:
    """Return Markdown that shows a stranger's file name literally.

    Inside a code span nothing is markup, neither links nor HTML; only the backtick
    could end it.
    """
    literal = shorten_name(name).replace("`", "'")
    return f"`{literal}`"


def to_file_stem(name: str) -> str:
    """Return a harmless file name without folder and suffix for a download."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", PurePath(name).stem).strip("-")
    return stem[:_MAX_NAME_LENGTH] or "image"


def results_json(results: Sequence[ImageResult]) -> str:
    """Return what was found as JSON; see `maskdet.results_io`."""
    return results_io.format_results_json(result.record for result in results)


def results_csv(results: Sequence[ImageResult]) -> str:
    """Return what was found as CSV; see `maskdet.results_io`."""
    return results_io.format_results_csv(result.record for result in results)


def annotated_png(result: ImageResult, style: Style) -> bytes:
    """Return the image in full size with its faces drawn, as PNG."""
    return render_result_png(result.source, result.analyzed, result.settings, style)


def build_results_zip(results: Sequence[ImageResult], style: Style) -> bytes:
    """Return a zip with every marked image, `results.json` and `results.csv`."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
        files.writestr("results.json", results_json(results))
        files.writestr("results.csv", results_csv(results))
        for number, result in enumerate(results, start=1):
            if not result.analyzed.error:
                # The number keeps apart files of the same name.
                name = f"{number:02d}-{to_file_stem(result.source.name)}-marked.png"
                content = annotated_png(result, style)
                files.writestr(name, content, compress_type=zipfile.ZIP_STORED)
    return archive.getvalue()
