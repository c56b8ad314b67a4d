"""Counts of a batch by folder, day and class; its worst and least certain cases."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from maskdet.batch.store import BatchStore
from maskdet.types import CLASSES, Label

CaseKind: TypeAlias = Literal["no_mask", "incorrect", "unsure"]

CASE_KINDS: Final[tuple[CaseKind, ...]] = ("no_mask", "incorrect", "unsure")
"""No mask and incorrectly worn with the highest confidence, and those with the lowest
confidence."""

N_CASES: Final = 12
"""Cases of each kind."""

_MAX_UNSURE_CONFIDENCE: Final = 0.75
_MAX_ERRORS: Final = 1000

_LABELS: Final[Mapping[str, Label]] = {label.key: label for label in Label}


@dataclass
class BatchCounts:
    """Counts of some files.

    Attributes:
        n_images: number of images, with those that could not be read.
        n_videos: number of videos, with those that could not be read.
        n_errors: number of files that could not be read, or broke off.
        video_s: analyzed time of videos, in seconds.
        faces: faces in images, by class.
        people: people in videos, by the class they had for most of the time.
    """

    n_images: int = 0
    n_videos: int = 0
    n_errors: int = 0
    video_s: float = 0.0
    faces: Counter[Label] = field(default_factory=Counter)
    people: Counter[Label] = field(default_factory=Counter)


@dataclass(frozen=True)
class BatchCase:
    """A face or person that the contact sheet shows.

    Attributes:
        path: path of the file.
        member: name in a zip, if the file is in one.
        modified_ns: time of the last change of the file, in ns.
        confidence: probability of the likeliest class.
        likeliest: the likeliest class.
        box: face in pixels of the image; None in a video.
        time_s: when the person was first seen in a video.
        crop: JPEG of a person in a video, if it was kept.
    """

    path: str
    member: str
    modified_ns: int
    confidence: float
    likeliest: Label
    box: tuple[float, ...] | None = None
    time_s: float = 0.0
    crop: bytes = b""


@dataclass
class BatchSummary:
    """What a report shows.

    Attributes:
        total: counts of all files.
        folders: counts by folder.
        days: counts by day.
        errors: error by file, at most 1,000.
        cases: the cases of each kind, most important first.
        image_cpu_s: processor time of all images, in seconds.
        video_cpu_s: processor time of all videos, in seconds.
        n_frames: analyzed frames of videos.
    """

    total: BatchCounts = field(default_factory=BatchCounts)
    folders: dict[str, BatchCounts] = field(
        default_factory=lambda: defaultdict(BatchCounts)
    )
    days: dict[str, BatchCounts] = field(
        default_factory=lambda: defaultdict(BatchCounts)
    )
    errors: dict[str, str] = field(default_factory=dict)
    cases: dict[CaseKind, list[BatchCase]] = field(default_factory=dict)
    image_cpu_s: float = 0.0
    video_cpu_s: float = 0.0
    n_frames: int = 0

    def describe_cost(self) -> list[str]:
        """Return the cost of an image and of a minute of video, a line each.

        The cost is processor time of one core, which does not depend on the number of
        workers.
        """
        lines = []
        if self.total.n_images:
            cost_ms = 1e3 * self.image_cpu_s / self.total.n_images
            lines.append(f"cost: {cost_ms:.1f} ms of a core per image")
        if self.total.video_s:
            cost_s = 60 * self.video_cpu_s / self.total.video_s
            frame_ms = 1e3 * self.video_cpu_s / max(1, self.n_frames)
            lines.append(
                f"cost: {cost_s:.1f} s of a core per minute of video, {frame_ms:.1f} "
                "ms per analyzed frame"
            )
        return lines


def summarize_batch(store: BatchStore) -> BatchSummary:
    """Read all results once, and return their summary."""
    summary = BatchSummary()
    cases = _Cases()
    for row in store.iterate_rows("image"):
        summary.image_cpu_s += row["cpu_s"]
        labels = Counter(_LABELS[face["label"]] for face in row["faces"])
        for counts in _select_counts(summary, row):
            counts.n_images += 1
            counts.faces += labels
        cases.add_image(row)
    columns = [
        *("path", "folder", "member", "modified_ns", "error", "cpu_s"),
        *("analyzed_s", "n_frames", "people"),
    ]
    for row in store.iterate_rows("video", columns):
        summary.video_cpu_s += row["cpu_s"]
        summary.n_frames += row["n_frames"]
        labels = Counter(_LABELS[person["label"]] for person in row["people"])
        for counts in _select_counts(summary, row):
            counts.n_videos += 1
            counts.video_s += row["analyzed_s"]
            counts.people += labels
        cases.add_video(row)
    summary.cases = cases.select()
    return summary


def _select_counts(summary: BatchSummary, row: Mapping[str, Any]) -> list[BatchCounts]:
    """Return the counts to which a file belongs; count its error."""
    selected = [
        summary.total,
        summary.folders[row["folder"]],
        summary.days[row["day"]],
    ]
    if row["error"] is not None:
        if len(summary.errors) < _MAX_ERRORS:
            summary.errors[row["path"]] = row["error"]
        for counts in selected:
            counts.n_errors += 1
    return selected


class _Cases:
    """Keeps the most important cases of each kind."""

    def __init__(self) -> None:
        self._heaps: dict[CaseKind, list[tuple[float, int, BatchCase]]] = {
            kind: [] for kind in CASE_KINDS
        }
        self._n_added = 0

    def add_image(self, row: Mapping[str, Any]) -> None:
        """Add the faces of an image."""
        for face in row["faces"]:
            probs = face["probs"]
            likeliest = max(CLASSES, key=lambda label: probs[label.key])
            case = BatchCase(
                *(row["path"], row["member"], row["modified_ns"]),
                probs[likeliest.key],
                likeliest,
                tuple(face["box"]),
            )
            self._add(case, _LABELS[face["label"]])

    def add_video(self, row: Mapping[str, Any]) -> None:
        """Add the people of a video of whom there is a crop."""
        for person in row["people"]:
            if person["crop"]:
                label = _LABELS[person["label"]]
                case = BatchCase(
                    *(row["path"], row["member"], row["modified_ns"]),
                    *(person["confidence"], label),
                    time_s=person["first_s"],
                    crop=person["crop"],
                )
                self._add(case, label)

    def select(self) -> dict[CaseKind, list[BatchCase]]:
        """Return the cases, most important first."""
        return {
            kind: [case for _, _, case in sorted(heap, reverse=True)]
            for kind, heap in self._heaps.items()
        }

    def _add(self, case: BatchCase, label: Label) -> None:
        if label in (Label.NO_MASK, Label.INCORRECT):
            kind: CaseKind = "no_mask" if label is Label.NO_MASK else "incorrect"
            self._push(kind, case.confidence, case)
        if case.confidence < _MAX_UNSURE_CONFIDENCE:
            self._push("unsure", -case.confidence, case)

    def _push(self, kind: CaseKind, importance: float, case: BatchCase) -> None:
        # The number keeps the order of equal cases: the first ones stay.
        self._n_added += 1
        item = importance, -self._n_added, case
        heap = self._heaps[kind]
        if len(heap) < N_CASES:
            heapq.heappush(heap, item)
        else:
            heapq.heappushpop(heap, item)
