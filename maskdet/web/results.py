"""What is said about analysed pictures: totals, tables, advice, files to download."""

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

from maskdet import records
from maskdet.boxes import sizes_px
from maskdet.style import DEFAULT_STYLE, Style, percent, percent_number
from maskdet.tiles import Tiling
from maskdet.types import CLASSES, Label, Scene, Settings
from maskdet.web.pictures import Picture, Source, blurred_crop, result_png
from maskdet.wording import counted

TILES = "Far camera: look closer, in tiles"
"""Title of the switch that also analyzes the parts of an image."""

_LONGEST_NAME = 60
"""Characters of a file name that are shown; more would break the layout."""


@dataclass(frozen=True, eq=False)
class Result:
    """One picture as the settings of the moment see it.

    Attributes:
        source: the file as it was given.
        picture: the file after its one pass through the networks.
        settings: what counts as a face and as a sure label.
    """

    source: Source
    picture: Picture
    settings: Settings

    @property
    def scene(self) -> Scene:
        """The faces that the settings accept, in pixels of the original."""
        return self.picture.raw.filter(self.settings)

    def crops(self, style: Style) -> list[bytes]:
        """Return one JPEG a face of `scene`, blurred if `style` says so."""
        crops = [self.picture.crops[row] for row in self.picture.rows(self.settings)]
        return [blurred_crop(crop) for crop in crops] if style.blur else crops

    @property
    def record(self) -> records.ImageRecord:
        """What the downloaded files say about this picture."""
        if self.picture.error:
            return records.error_record(self.source.name, self.picture.error)
        size_wh = self.picture.width, self.picture.height
        return records.image_record(self.source.name, size_wh, self.scene)


@dataclass(frozen=True)
class Totals:
    """Counts over several pictures.

    Attributes:
        pictures: how many could be read.
        without_face: how many of them show no face.
        faces: how many faces carry each label; every label has an entry.
    """

    pictures: int
    without_face: int
    faces: Mapping[Label, int]

    @property
    def share_masked(self) -> str:
        """Masked faces in percent of those with a sure label; a dash without any."""
        sure = sum(self.faces[label] for label in CLASSES)
        return percent(self.faces[Label.MASK] / sure) if sure else "-"


def totals(results: Sequence[Result]) -> Totals:
    """Count pictures and faces; files that could not be read are left out."""
    scenes = [result.scene for result in results if not result.picture.error]
    counts = Counter(label for scene in scenes for label in scene.labels)
    return Totals(
        pictures=len(scenes),
        without_face=sum(len(scene) == 0 for scene in scenes),
        faces={label: counts[label] for label in Label},
    )


def summary(scene: Scene, style: Style = DEFAULT_STYLE) -> str:
    """Return what is in a picture in a few words, as in "1 face (1 Unsure)"."""
    counts = Counter(scene.labels)
    parts = [
        f"{counts[label]} {style.title(label)}" for label in Label if counts[label]
    ]
    if not parts:
        return "no face found"
    return f"{counted(len(scene), 'face')} ({', '.join(parts)})"


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
            percent_number(float(confidence)) for confidence in scene.confidences
        ],
        "Face score": [percent_number(float(score)) for score in scene.faces.scores],
        "Size (px)": [f"{width} x {height}" for width, height in sides],
    }


def picture_table(
    results: Sequence[Result], style: Style = DEFAULT_STYLE
) -> dict[str, list[int] | list[str]]:
    """Return the columns of the table of pictures that could be read."""
    read = [result for result in results if not result.picture.error]
    labels = [Counter(result.scene.labels) for result in read]
    columns: dict[str, list[int] | list[str]] = {
        "Picture": [short_name(result.source.name) for result in read],
        "Faces": [count.total() for count in labels],
    }
    columns.update(
        {style.title(label): [count[label] for count in labels] for label in Label}
    )
    return columns


def advice(picture: Picture, settings: Settings, *, tiles: bool = False) -> list[str]:
    """Return what to try when no face was found, the likeliest help first.

    Args:
        picture: of which nothing was accepted.
        settings: which accepted nothing.
        tiles: whether its parts were looked at, too.
    """
    size = f"{picture.width} x {picture.height} pixels"
    lines = [_nearest_miss(picture, settings)]
    lines.append("Choose another **Analyzer** in the sidebar: each finds other faces.")
    lines.append("Bring more light on the face, and none from behind it.")
    smallest = f"faces below {settings.min_face_px:g} pixels are left out"
    if max(picture.width, picture.height) <= Tiling.side_px:
        lines.append(
            f"Come closer, or use a larger image: this one is {size}, and {smallest}."
        )
    elif tiles:
        lines.append(f"Come closer: this image is {size}, and {smallest}.")
    else:
        lines.append(
            f"Switch on **{TILES}** above: this image is {size}, and small faces "
            "are lost when it is scaled down for the analysis."
        )
    return lines


def _nearest_miss(picture: Picture, settings: Settings) -> str:
    """Say which threshold to move, and how far, for the best refused guess."""
    scores, sizes = picture.raw.faces.scores, sizes_px(picture.raw.faces.boxes)
    large = sizes >= settings.min_face_px
    sure = scores >= settings.min_score
    if not len(scores):
        return (
            "Nothing in this picture looks like a face, not even at a **Face score** "
            f"of {picture.floor.min_score:.2f}, so lowering it will hardly help."
        )
    if large.any():
        best = float(scores[large].max())
        return (
            f"Lower **Face score** to {_down(best):.2f}: the best guess has "
            f"{best:.2f}, and {settings.min_score:.2f} is asked."
        )
    nearest = int(np.flatnonzero(sure)[sizes[sure].argmax()]) if sure.any() else 0
    size, score = float(sizes[nearest]), float(scores[nearest])
    line = f"Lower **Smallest face** to {math.floor(size)} pixels"
    if not sure.any():
        line += f" and **Face score** to {_down(score):.2f}"
    return f"{line}: the best guess measures {size:.0f} and has {score:.2f}."


def _down(score: float) -> float:
    """Round down to a hundredth, the step of the slider."""
    return math.floor(100 * score) / 100


def short_name(name: str) -> str:
    """Return a file name on one line, without control characters, not too long."""
    line = records.printable(name)
    if len(line) <= _LONGEST_NAME:
        return line
    half = _LONGEST_NAME // 2
    return f"{line[: half - 1]}…{line[-half:]}"


def as_code(name: str) -> str:
    """Return Markdown that shows a stranger's file name literally.

    Inside a code span nothing is markup, neither links nor HTML; only the backtick
    could end it.
    """
    literal = short_name(name).replace("`", "'")
    return f"`{literal}`"


def file_stem(name: str) -> str:
    """Return a harmless file name without folder and suffix for a download."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", PurePath(name).stem).strip("-")
    return stem[:_LONGEST_NAME] or "picture"


def json_text(results: Sequence[Result]) -> str:
    """Return what was found as JSON; see `maskdet.records`."""
    return records.to_json(result.record for result in results)


def csv_text(results: Sequence[Result]) -> str:
    """Return what was found as CSV; see `maskdet.records`."""
    return records.to_csv(result.record for result in results)


def marked_png(result: Result, style: Style) -> bytes:
    """Return the picture in full size with its faces drawn, as PNG."""
    return result_png(result.source, result.picture, result.settings, style)


def everything_zip(results: Sequence[Result], style: Style) -> bytes:
    """Return a zip with every marked picture, `results.json` and `results.csv`."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
        files.writestr("results.json", json_text(results))
        files.writestr("results.csv", csv_text(results))
        for number, result in enumerate(results, start=1):
            if not result.picture.error:
                # The number keeps apart files of the same name.
                name = f"{number:02d}-{file_stem(result.source.name)}-marked.png"
                content = marked_png(result, style)
                files.writestr(name, content, compress_type=zipfile.ZIP_STORED)
    return archive.getvalue()
