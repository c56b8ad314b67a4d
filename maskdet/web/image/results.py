"""Results of analyzed images: totals, tables, tips and downloads."""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath

import numpy as np

from maskdet import results_io
from maskdet.analyzers.tiles import Tiling
from maskdet.boxes import sizes_px
from maskdet.settings import Settings
from maskdet.style import DEFAULT_STYLE, Style, format_percent
from maskdet.types import CLASSES, Label, Scene
from maskdet.web.image.cache import (
    AnalyzedImage,
    ImageView,
    SourceImage,
    render_result_png,
)
from maskdet.wording import format_count

TILES_TITLE = "Detect small faces (tiled, slower)"
"""Title of the toggle of tiled analysis."""

_MAX_ARCHIVE_BYTES = 500_000_000

_MAX_NAME_LENGTH = 60
"""Displayed characters of a file name; longer names would break the layout."""


@dataclass(frozen=True, eq=False)
class ImageResult:
    """The result of one image with the current settings.

    Attributes:
        source: the image file.
        analyzed: its cached analysis.
        settings: the thresholds.
    """

    source: SourceImage
    analyzed: AnalyzedImage
    settings: Settings

    @cached_property
    def scene(self) -> Scene:
        """The faces that the settings accept, in pixels of the original."""
        return self.analyzed.raw_scene.filter(self.settings)

    def select_crops(self, view: ImageView) -> list[bytes]:
        """Return one JPEG of a view per face of `scene`."""
        rows = self.analyzed.select_rows(self.settings)
        return [view.crops[row] for row in rows]

    @property
    def record(self) -> results_io.ImageRecord:
        """The record of this image in the JSON and CSV files."""
        if self.analyzed.error:
            return results_io.error_record(self.source.name, self.analyzed.error)
        size_wh = self.analyzed.width, self.analyzed.height
        return results_io.image_record(self.source.name, size_wh, self.scene)


@dataclass(frozen=True)
class ImageTotals:
    """Counts over several images.

    Attributes:
        n_images: readable images.
        n_without_face: images without a detected face.
        label_counts: number of faces by label; every label has an entry.
    """

    n_images: int
    n_without_face: int
    label_counts: Mapping[Label, int]

    @property
    def mask_rate_text(self) -> str:
        """Percentage of masked faces, unsure faces excluded, or a dash."""
        n_classified = sum(self.label_counts[label] for label in CLASSES)
        return (
            format_percent(self.label_counts[Label.MASK] / n_classified)
            if n_classified
            else "-"
        )


def compute_totals(results: Sequence[ImageResult]) -> ImageTotals:
    """Count images and faces; unreadable files are excluded."""
    scenes = [result.scene for result in results if not result.analyzed.error]
    counts = Counter(label for scene in scenes for label in scene.labels)
    return ImageTotals(
        n_images=len(scenes),
        n_without_face=sum(len(scene) == 0 for scene in scenes),
        label_counts={label: counts[label] for label in Label},
    )


def summarize_scene(scene: Scene, style: Style = DEFAULT_STYLE) -> str:
    """Summarize the faces of an image, as in "1 face: 1 Unsure"."""
    counts = Counter(scene.labels)
    parts = [
        f"{counts[label]} {style.title(label)}" for label in Label if counts[label]
    ]
    if not parts:
        return "no face detected"
    return f"{format_count(len(scene), 'face')}: {', '.join(parts)}"


def suggest_changes(
    analyzed: AnalyzedImage, settings: Settings, *, tiles: bool = False
) -> list[str]:
    """Return tips for an image without a detected face, the most useful first.

    Args:
        analyzed: the analysis, of which no face passes `settings`.
        settings: the current thresholds.
        tiles: whether tiled analysis is on.
    """
    size = f"{analyzed.width} x {analyzed.height} pixels"
    lines = [_suggest_threshold(analyzed, settings)]
    lines.append("Choose another **Analyzer** in the sidebar: they differ in recall.")
    lines.append("Light the face from the front, not from behind.")
    smallest = f"faces below {settings.min_face_px:g} pixels are ignored"
    if max(analyzed.width, analyzed.height) <= Tiling.side_px:
        lines.append(
            f"Move closer, or use a larger image: this one is {size}, and {smallest}."
        )
    elif tiles:
        lines.append(f"Move closer: this image is {size}, and {smallest}.")
    else:
        lines.append(
            f"Switch on **{TILES_TITLE}** above: this image is {size}, and small faces "
            "are lost when it is scaled down for the analysis."
        )
    return lines


def _suggest_threshold(analyzed: AnalyzedImage, settings: Settings) -> str:
    """Suggest the threshold change that accepts the best rejected candidate."""
    scores, sizes = (
        analyzed.raw_scene.faces.scores,
        sizes_px(analyzed.raw_scene.faces.boxes),
    )
    large_enough = sizes >= settings.min_face_px
    confident = scores >= settings.min_score
    if not len(scores):
        return (
            "No candidate was found even at a **Face detection threshold** of "
            f"{analyzed.base_settings.min_score:.2f}, so lowering it will hardly help."
        )
    if large_enough.any():
        best = float(scores[large_enough].max())
        return (
            f"Lower **Face detection threshold** to {_floor_to_hundredth(best):.2f}: "
            f"the best candidate has {best:.2f}, the threshold is "
            f"{settings.min_score:.2f}."
        )
    best_row = (
        int(np.flatnonzero(confident)[sizes[confident].argmax()])
        if confident.any()
        else 0
    )
    size, score = float(sizes[best_row]), float(scores[best_row])
    line = f"Lower **Minimum face size** to {math.floor(size)} px"
    if not confident.any():
        line += f" and **Face detection threshold** to {_floor_to_hundredth(score):.2f}"
    return f"{line}: the best candidate has {size:.0f} px and a score of {score:.2f}."


def _floor_to_hundredth(score: float) -> float:
    """Round down to 0.01, the step of the slider."""
    return math.floor(100 * score) / 100


def shorten_name(name: str) -> str:
    """Return a file name on one line, without control characters, shortened."""
    line = results_io.escape_unprintable(name)
    if len(line) <= _MAX_NAME_LENGTH:
        return line
    half = _MAX_NAME_LENGTH // 2
    return f"{line[: half - 1]}…{line[-half:]}"


def to_code_markdown(name: str) -> str:
    """Return Markdown that shows an untrusted file name literally.

    A code span contains no markup, neither links nor HTML; only a backtick could end
    it.
    """
    literal = shorten_name(name).replace("`", "'")
    return f"`{literal}`"


def to_file_stem(name: str) -> str:
    """Return a safe file name without folder and suffix for a download."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", PurePath(name).stem).strip("-")
    return stem[:_MAX_NAME_LENGTH] or "image"


def results_json(results: Sequence[ImageResult]) -> str:
    """Return the results as JSON; see `maskdet.results_io`."""
    return results_io.format_results_json(result.record for result in results)


def results_csv(results: Sequence[ImageResult]) -> str:
    """Return the results as CSV; see `maskdet.results_io`."""
    return results_io.format_results_csv(result.record for result in results)


def annotated_png(result: ImageResult, style: Style) -> bytes:
    """Return the image in full size with its faces drawn, as PNG."""
    return render_result_png(result.source, result.analyzed, result.settings, style)


def build_results_zip(results: Sequence[ImageResult], style: Style) -> bytes:
    """Return a ZIP of all annotated images, `results.json` and `results.csv`.

    The archive is in memory, so it has a limit; a text file in it says what is missing.
    """
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
        files.writestr("results.json", results_json(results))
        files.writestr("results.csv", results_csv(results))
        for number, result in enumerate(results, start=1):
            if not result.analyzed.error:
                # The number distinguishes files of the same name.
                name = f"{number:03d}-{to_file_stem(result.source.name)}-annotated.png"
                content = annotated_png(result, style)
                if archive.tell() + len(content) > _MAX_ARCHIVE_BYTES:
                    line = (
                        f"Images from number {number} on are left out: the archive has "
                        f"at most {_MAX_ARCHIVE_BYTES / 1e6:g} MB. Remove images and "
                        "download again. results.json and results.csv have all.\n"
                    )
                    files.writestr("README.txt", line)
                    break
                files.writestr(name, content, compress_type=zipfile.ZIP_STORED)
    return archive.getvalue()
