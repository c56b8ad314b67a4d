"""The report of a batch: an HTML page and a contact sheet, both without other files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np

from maskdet.atomic_file import write_file
from maskdet.batch.analysis import read_source
from maskdet.batch.store import CONTACT_SHEET, REPORT_PAGE, BatchStore
from maskdet.batch.summary import (
    CASE_KINDS,
    BatchCase,
    BatchCounts,
    BatchSummary,
    CaseKind,
)
from maskdet.classifier import crop_face
from maskdet.evaluation.report import CELL_PX, image_grid
from maskdet.html_templates import encode_data_url, render_html_file
from maskdet.media import decode_image, encode_jpeg
from maskdet.style import DEFAULT_STYLE, Style, format_percent
from maskdet.types import Image, Label
from maskdet.wording import format_count

_MAX_ROWS: Final = 500
"""Folders and days in the page; Parquet has all."""

_CASE_TITLES: Final[Mapping[CaseKind, str]] = {
    "no_mask": "No mask, with the highest confidence",
    "incorrect": "Incorrectly worn, with the highest confidence",
    "unsure": "Unsure: the lowest confidence",
}

_COLUMNS: Final = 6


def write_batch_report(
    store: BatchStore,
    summary: BatchSummary,
    *,
    rotate: int = 0,
    sheet: bool = True,
    style: Style = DEFAULT_STYLE,
) -> None:
    """Write `report.html`, and `contact-sheet.jpg` if there is something to show.

    Without, the contact sheet of an earlier run is deleted.

    Args:
        store: the results.
        summary: their summary.
        rotate: clockwise rotation of the images before the analysis, in degrees.
        sheet: whether faces are shown.
        style: names of the classes.

    Raises:
        OSError: a file cannot be written.
    """
    cases = _read_cases(summary, rotate, style) if sheet else {}
    images = [image for group in cases.values() for image, _ in group]
    captions = [caption for group in cases.values() for _, caption in group]
    if images:
        grid = image_grid(images, captions, columns=_COLUMNS)
        write_file(store.folder / CONTACT_SHEET, encode_jpeg(grid))
    else:  # that of an earlier run shows faces that are not in these results
        (store.folder / CONTACT_SHEET).unlink(missing_ok=True)
    page = render_html_file(
        "batch/report.html.jinja",
        size=describe_size(summary.total),
        cost=summary.describe_cost(),
        classes=_count_classes(summary.total, style),
        tables=[
            (title, _count_rows(title, counts, style), max(0, len(counts) - _MAX_ROWS))
            for title, counts in (("Folder", summary.folders), ("Day", summary.days))
        ],
        sheets=[
            {
                "title": _CASE_TITLES[kind],
                "source": encode_data_url(_encode_group(group)),
                "names": [caption.replace("\n", ": ") for _, caption in group],
            }
            for kind, group in cases.items()
        ],
        errors=summary.errors,
        n_errors=summary.total.n_errors,
    )
    write_file(store.folder / REPORT_PAGE, page.encode("utf-8"))


def describe_size(counts: BatchCounts) -> str:
    """Return the numbers of files in one line."""
    parts = []
    if counts.n_images:
        faces_text = format_count(counts.faces.total(), "face")
        parts.append(f"{format_count(counts.n_images, 'image')} with {faces_text}")
    if counts.n_videos:
        people_text = format_count(counts.people.total(), "person", "people")
        parts.append(
            f"{format_count(counts.n_videos, 'video')} of {counts.video_s / 60:,.1f} "
            f"min with {people_text}"
        )
    if counts.n_errors:
        parts.append(f"{format_count(counts.n_errors, 'file')} with an error")
    return ", ".join(parts)


def describe_classes(counts: BatchCounts, style: Style = DEFAULT_STYLE) -> list[str]:
    """Return faces and people by class, a line each."""
    return [
        f"{title}: "
        + ", ".join(f"{style.title(label)} {labels[label]:,}" for label in Label)
        for title, labels in (("faces", counts.faces), ("people", counts.people))
        if labels
    ]


def _count_classes(counts: BatchCounts, style: Style) -> list[Sequence[str]]:
    """Return a table of faces and people by class."""
    return [
        ("Class", "Faces in images", "People in videos"),
        *(
            (
                style.title(label),
                f"{counts.faces[label]:,}",
                f"{counts.people[label]:,}",
            )
            for label in Label
        ),
    ]


def _count_rows(
    title: str, counts_by_name: Mapping[str, BatchCounts], style: Style
) -> list[Sequence[str]]:
    """Return a table with a row for each folder or day, and a head."""
    head = (
        *(title, "Images", "Videos", "Video min", "Errors"),
        *(style.title(label) for label in Label),
    )
    return [
        head,
        *(
            (
                name,
                f"{counts.n_images:,}",
                f"{counts.n_videos:,}",
                f"{counts.video_s / 60:,.1f}",
                f"{counts.n_errors:,}",
                *(f"{counts.faces[label] + counts.people[label]:,}" for label in Label),
            )
            for name, counts in sorted(counts_by_name.items())[:_MAX_ROWS]
        ),
    ]


_Cell: TypeAlias = "tuple[Image, str]"
"""An image and its caption."""


def _read_cases(
    summary: BatchSummary, rotate: int, style: Style
) -> dict[CaseKind, list[_Cell]]:
    """Return the faces of the cases with their captions, without empty groups."""
    drawable = style.to_drawable()
    groups: dict[CaseKind, list[_Cell]] = {}
    for kind in CASE_KINDS:
        cells = list(_iterate_cells(summary.cases.get(kind, ()), rotate, drawable))
        if cells:
            groups[kind] = cells
    return groups


def _iterate_cells(
    cases: Iterable[BatchCase], rotate: int, style: Style
) -> Iterable[_Cell]:
    for case in cases:
        try:
            image = _read_face(case, rotate)
        except (ValueError, OSError):  # the file has been deleted meanwhile
            continue
        time_text = "" if case.box is not None else f" at {case.time_s:.0f} s"
        name = case.path.replace("\\", "/").rpartition("/")[2]
        title = style.title(case.likeliest)
        if case.likeliest is not Label.UNKNOWN:
            title = f"{title} {format_percent(case.confidence)}"
        yield image, f"{title}\n{name}{time_text}"


def _read_face(case: BatchCase, rotate: int) -> Image:
    """Return the face of a case as a square image."""
    if case.box is None:
        return decode_image(case.crop).pixels
    image = decode_image(read_source(case.path, case.member, case.modified_ns))
    image = image.rotate(rotate)
    box = np.array(case.box, np.float32) / np.tile(image.scale_factors, 2)
    return np.asarray(crop_face(image.pixels, box.astype(np.float32), CELL_PX))


def _encode_group(group: Sequence[_Cell]) -> bytes:
    images, captions = zip(*group, strict=True)
    return encode_jpeg(image_grid(images, captions, columns=_COLUMNS))
