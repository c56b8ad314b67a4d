"""Compare our tracker with other trackers on synthetic videos with ground truth.

Run `python benchmarks/tracking.py` from the root of the project. It prints the tracking
metrics at several frame rates (see `benchmarks.tracking_metrics`), the time per frame,
and what the trackers make of real videos. All get the same detections.

The ground truth of the rows "faces" are all heads that show a face and are not
occluded; the row "heads" also includes turned heads. Plain matching assigns IDs like
TrackEverything (https://github.com/ami-a/TrackEverything): Hungarian assignment on the
IoU with the last box of each person, and a new ID for every unmatched face. ByteTrack
(https://github.com/roboflow/trackers) and norfair (https://github.com/tryolabs/norfair)
run with their defaults, and as "tuned" with the settings of the highest IDF1 in
`--sweep`. The sweep uses other videos than the tables. A baseline whose package is
missing is skipped; `requirements-benchmarks.txt` says how to install them.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.crowd_video import (
    BASE_HZ,
    GroundTruthFrame,
    draw_crowd_frame,
    generate_crowd_video,
)
from benchmarks.tracking_metrics import (
    TrackingFrame,
    TrackingScore,
    combine_tracking_scores,
    evaluate_tracking,
)
from maskdet.analyzers.pipelines import load_analyzer
from maskdet.boxes import Boxes, iou_matrix
from maskdet.media import open_video
from maskdet.settings import Settings
from maskdet.tracking import Tracker
from maskdet.tracking.association import UNMATCHED, max_weight_assignment
from maskdet.types import UNTRACKED, Faces, Image

_SAMPLE = Path(__file__).resolve().parents[1] / "samples/video.mp4"

MEMORY_S = 3.0
_MIN_SCORE = 0.5
_FIRST_SEED = 300
"""Videos with smaller seeds were used during the development of the tracker."""

_SWEEP_SEEDS = range(200, 206)
_SWEEP_HZ = 15

_MAX_HIDDEN = 0.5
"""Heads that are occluded by more are not in the ground truth."""

_ANALYZER = "onepass-fast"
_WEAK_SCORE = 0.25
_SHORT_TRACK_S = 1.0

TrackIds = np.ndarray
CrowdVideo = list[GroundTruthFrame]


class FaceTracker(Protocol):
    """A tracker of the benchmark."""

    def update(
        self, faces: Faces, time_s: float, image: Image | None = None
    ) -> tuple[TrackIds, Boxes]:
        """Return the IDs and the boxes of the tracked faces of a frame."""


class IouTracker:
    """Assigns IDs by the IoU with the last boxes only; ignores low scores."""

    def __init__(self, memory_s: float = MEMORY_S, min_iou: float = 0.05) -> None:
        """Start without tracks; the default IoU is that of TrackEverything."""
        self._memory_s, self._min_iou = memory_s, min_iou
        self._boxes = np.zeros((0, 4), np.float32)
        self._ids = np.zeros(0, np.int64)
        self._seen_s = np.zeros(0)
        self._next_id = 1

    def update(
        self, faces: Faces, time_s: float, image: Image | None = None
    ) -> tuple[TrackIds, Boxes]:
        """Return the IDs and the boxes of the faces with a high score."""
        faces = faces[faces.scores >= _MIN_SCORE]
        keep = time_s - self._seen_s <= self._memory_s
        self._boxes, self._ids = self._boxes[keep], self._ids[keep]
        self._seen_s = self._seen_s[keep]
        overlaps = iou_matrix(faces.boxes, self._boxes).astype(np.float64)
        pairs = max_weight_assignment(
            np.where(overlaps >= self._min_iou, overlaps, 0.0)
        )
        new = pairs == UNMATCHED
        new_ids = np.arange(np.count_nonzero(new)) + self._next_id
        self._next_id += len(new_ids)
        ids = np.zeros(len(faces), np.int64)
        ids[new], ids[~new] = new_ids, self._ids[pairs[~new]]
        self._boxes[pairs[~new]] = faces.boxes[~new]
        self._seen_s[pairs[~new]] = time_s
        self._boxes = np.concatenate([self._boxes, faces.boxes[new]])
        self._ids = np.concatenate([self._ids, new_ids])
        self._seen_s = np.concatenate([self._seen_s, np.full(len(new_ids), time_s)])
        return ids, faces.boxes


class OurTracker:
    """The tracker of maskdet; tentative tracks are not counted."""

    def __init__(self, *, include_coasting: bool = False) -> None:
        """Start without tracks.

        Args:
            include_coasting: whether heads without a face are included.
        """
        self._tracker, self._include_coasting = Tracker(MEMORY_S), include_coasting

    def update(
        self, faces: Faces, time_s: float, image: Image | None = None
    ) -> tuple[TrackIds, Boxes]:
        """Return the IDs and the boxes of the tracked faces, or heads."""
        tracks = self._tracker.update(faces, time_s, image)
        has_id = tracks.ids != UNTRACKED
        ids, boxes = tracks.ids[has_id], faces.boxes[has_id]
        if self._include_coasting:
            ids = np.concatenate([ids, tracks.coasting_ids])
            boxes = np.concatenate([boxes, tracks.coasting_boxes])
        return ids, boxes


class ByteTrack:
    """ByteTrack of the package `trackers`."""

    def __init__(self, rate_hz: float, **settings: Any) -> None:
        """Start without tracks.

        Args:
            rate_hz: frames per second.
            settings: settings of `trackers.ByteTrackTracker`.
        """
        import supervision
        import trackers

        self._make_detections = supervision.Detections
        self._tracker = trackers.ByteTrackTracker(frame_rate=rate_hz, **settings)

    def update(
        self, faces: Faces, time_s: float, image: Image | None = None
    ) -> tuple[TrackIds, Boxes]:
        """Return the IDs and the boxes of the tracked faces."""
        tracked = self._tracker.update(
            self._make_detections(
                xyxy=faces.boxes,
                confidence=faces.scores,
                class_id=np.zeros(len(faces), int),
            )
        )
        has_id = tracked.tracker_id != -1
        return tracked.tracker_id[has_id].astype(np.int64), tracked.xyxy[has_id]


class Norfair:
    """The tracker of the package `norfair`, with the IoU of boxes as distance."""

    def __init__(
        self, *, min_score: float = 0.0, max_distance: float = 0.7, **settings: Any
    ) -> None:
        """Start without tracks.

        Args:
            min_score: detections with a lower score are left out.
            max_distance: largest 1 - IoU of a match; that of norfair's examples.
            settings: settings of `norfair.Tracker`.
        """
        import norfair

        self._min_score, self._make_detection = min_score, norfair.Detection
        self._tracker = norfair.Tracker(
            distance_function="iou", distance_threshold=max_distance, **settings
        )

    def update(
        self, faces: Faces, time_s: float, image: Image | None = None
    ) -> tuple[TrackIds, Boxes]:
        """Return the IDs and the boxes of the tracked faces."""
        detections = [
            self._make_detection(
                points=box.reshape(2, 2).astype(float),
                scores=np.full(2, score),
                data=(time_s, row),
            )
            for row, (box, score) in enumerate(
                zip(faces.boxes, faces.scores, strict=True)
            )
            if score >= self._min_score
        ]
        tracked = [
            (tracked_object.id, tracked_object.last_detection.data[1])
            for tracked_object in self._tracker.update(detections)
            if tracked_object.last_detection.data[0] == time_s
        ]
        ids, rows = np.array(tracked, np.int64).reshape(-1, 2).T
        return ids, faces.boxes[rows]


@dataclass(frozen=True)
class Candidate:
    """A tracker to compare.

    Attributes:
        make: makes it for a frame rate in frames per second.
        heads: whether turned heads are in its ground truth.
        images: whether it gets the images.
    """

    make: Callable[[float], FaceTracker]
    heads: bool = False
    images: bool = True


def _make_tuned_byte_track(rate_hz: float) -> FaceTracker:
    return ByteTrack(rate_hz, lost_track_buffer=90, minimum_iou_threshold=0.02)


def _make_timed_norfair(
    rate_hz: float, *, memory_s: float = 2.0, delay_s: float = 0.25, **settings: float
) -> FaceTracker:
    """Return norfair with times in seconds instead of frames."""
    settings = {"max_distance": 0.98, **settings}
    return Norfair(
        hit_counter_max=round(memory_s * rate_hz),
        initialization_delay=round(delay_s * rate_hz),
        **settings,
    )


_CANDIDATES: dict[str, Candidate] = {
    "plain IoU, faces": Candidate(lambda _: IouTracker()),
    "plain IoU 0.3, faces": Candidate(lambda _: IouTracker(min_iou=0.3)),
    "ByteTrack, faces": Candidate(ByteTrack),
    "ByteTrack tuned, faces": Candidate(_make_tuned_byte_track),
    "norfair, faces": Candidate(lambda _: Norfair()),
    "norfair tuned, faces": Candidate(_make_timed_norfair),
    "ours, faces, no images": Candidate(lambda _: OurTracker(), images=False),
    "ours, faces": Candidate(lambda _: OurTracker()),
    "ours, heads, no images": Candidate(
        lambda _: OurTracker(include_coasting=True), heads=True, images=False
    ),
    "ours, heads": Candidate(lambda _: OurTracker(include_coasting=True), heads=True),
}

_PACKAGES = {
    "ByteTrack": ("trackers", "pip install -r requirements-benchmarks.txt"),
    "norfair": ("norfair", "pip install --no-deps norfair==2.3.0"),
}


def list_candidates() -> dict[str, Candidate]:
    """Return the trackers whose packages are installed; print which are skipped."""
    missing = {
        name: (package, command)
        for name, (package, command) in _PACKAGES.items()
        if importlib.util.find_spec(package) is None
    }
    for name, (package, command) in missing.items():
        print(f"{name} is skipped, it needs the package {package}: {command}")
    return {
        title: candidate
        for title, candidate in _CANDIDATES.items()
        if not title.startswith(tuple(missing))
    }


@dataclass(frozen=True)
class ComparedTracker:
    """Result of a tracker.

    Attributes:
        score: the metrics over all videos.
        update_ms: median time of an update, with the conversion of the detections.
    """

    score: TrackingScore
    update_ms: float


def track_crowd(
    video: CrowdVideo,
    images: Iterable[Image | None],
    candidate: Candidate,
    rate_hz: float,
    times_ms: list[float],
) -> Iterator[TrackingFrame]:
    """Track a video.

    Args:
        video: ground truth of the frames.
        images: the frames, or None for each.
        candidate: the tracker.
        rate_hz: frames per second.
        times_ms: gets the time of each update.
    """
    tracker = candidate.make(rate_hz)
    for gt_frame, image in zip(video, images, strict=True):
        started_s = perf_counter()
        ids, boxes = tracker.update(
            gt_frame.detections, gt_frame.time_s, image if candidate.images else None
        )
        times_ms.append((perf_counter() - started_s) * 1e3)
        is_counted = gt_frame.occlusions <= _MAX_HIDDEN
        if not candidate.heads:
            is_counted &= gt_frame.turn_fractions < 0.5
        yield TrackingFrame(
            gt_frame.person_ids[is_counted], gt_frame.head_boxes[is_counted], ids, boxes
        )


def compare_trackers(
    seeds: Iterable[int], rate_hz: int, candidates: Mapping[str, Candidate]
) -> dict[str, ComparedTracker]:
    """Return the result of each tracker over videos of several seeds."""
    scores: dict[str, list[TrackingScore]] = {}
    times_ms: dict[str, list[float]] = {}
    for seed in seeds:
        video = list(generate_crowd_video(seed, frame_step=BASE_HZ // rate_hz))
        images = [draw_crowd_frame(gt_frame, seed) for gt_frame in video]
        for name, candidate in candidates.items():
            frames = track_crowd(
                video, images, candidate, rate_hz, times_ms.setdefault(name, [])
            )
            scores.setdefault(name, []).append(evaluate_tracking(frames))
    return {
        name: ComparedTracker(
            combine_tracking_scores(parts), statistics.median(times_ms[name])
        )
        for name, parts in scores.items()
    }


def list_sweep_settings() -> dict[str, Candidate]:
    """Return ByteTrack and norfair with many settings; times are in seconds."""
    grids: dict[
        str, tuple[Callable[..., FaceTracker], dict[str, tuple[float, ...]]]
    ] = {
        "ByteTrack": (
            ByteTrack,
            {
                "lost_track_buffer": (30, 90),  # at 30 frames per second
                "track_activation_threshold": (0.5, 0.6, 0.7),
                "high_conf_det_threshold": (0.5, 0.6),
                "minimum_iou_threshold": (0.02, 0.1, 0.2, 0.3),
                "minimum_consecutive_frames": (1, 2, 3),
            },
        ),
        "norfair": (
            _make_timed_norfair,
            {
                "memory_s": (0.5, 1.0, 2.0, 3.0),
                "delay_s": (0.0, 0.1, 0.25),
                "min_score": (0.0, 0.5),
                "max_distance": (0.7, 0.8, 0.9, 0.98),
            },
        ),
    }
    candidates = {}
    for name, (make, grid) in grids.items():
        for values in itertools.product(*grid.values()):
            settings = dict(zip(grid, values, strict=True))
            candidates[f"{name} {settings}"] = Candidate(partial(make, **settings))
    return candidates


def _make_still_video(people: int, *, turn_away: bool) -> CrowdVideo:
    """Return 100 frames of people who stand side by side and may turn away."""
    rows, video = np.arange(people), []
    centres = np.stack([40 + rows % 10 * 60.0, 60 + rows // 10 * 120.0], axis=1)
    heads = np.concatenate([centres - 20, centres + 20], axis=1).astype(np.float32)
    for frame in range(100):
        away = turn_away and frame >= 20
        faces = Faces(heads, np.full(people, 0.9)) if not away else Faces.empty()
        turned = np.full(people, float(away))
        video.append(
            GroundTruthFrame(
                frame / 30, rows + 1, heads, turned, np.zeros(people), faces
            )
        )
    return video


def _time_still_ms(candidate: Candidate, video: CrowdVideo) -> float:
    """Return the median milliseconds of an update, from the 30th frame."""
    first, last = draw_crowd_frame(video[0], 0), draw_crowd_frame(video[-1], 0)
    images = [last if frame.turn_fractions.any() else first for frame in video]
    times_ms: list[float] = []
    for _ in track_crowd(video, images, candidate, BASE_HZ, times_ms):
        pass
    return statistics.median(times_ms[30:])


def _print_quality(
    seeds: range, rates_hz: list[int], candidates: Mapping[str, Candidate]
) -> None:
    print(f"{len(seeds)} videos of 20 s with 6 people each, memory {MEMORY_S:g} s")
    print(
        f"{'':28}{'rate':>6}{'MOTA':>8}{'IDF1':>8}{'switches':>10}{'fragm.':>8}"
        f"{'missed':>8}{'FP':>8}{'people':>8}{'ms':>7}"
    )
    for rate_hz in rates_hz:
        for name, result in compare_trackers(seeds, rate_hz, candidates).items():
            score = result.score
            print(
                f"{name:28}{rate_hz:>6}{score.mota:>8.3f}{score.idf1:>8.3f}"
                f"{score.id_switches:>10}{score.fragmentations:>8}"
                f"{score.false_negatives:>8}{score.false_positives:>8}"
                f"{score.n_ground_truth:>8}{result.update_ms:>7.2f}"
            )


def _print_times(candidates: Mapping[str, Candidate]) -> None:
    print("\nms per frame of 640x480")
    columns = [(people, turn) for people in (4, 20) for turn in (False, True)]
    titles = [f"{people} {'backs' if turn else 'faces'}" for people, turn in columns]
    print(" " * 28 + "".join(f"{title:>10}" for title in titles))
    videos = [_make_still_video(people, turn_away=turn) for people, turn in columns]
    for name, candidate in candidates.items():
        times_ms = [_time_still_ms(candidate, video) for video in videos]
        print(f"{name:28}" + "".join(f"{ms:>10.2f}" for ms in times_ms))


def _print_real_video(file: Path, candidates: Mapping[str, Candidate]) -> None:
    """Print how many tracks the trackers make of a video without ground truth."""
    analyzer, settings = load_analyzer(_ANALYZER), Settings(min_score=_WEAK_SCORE)
    with open_video(file) as video:
        frames = [
            (time_s, image, analyzer.analyze(image, settings).faces)
            for image, time_s in video
        ]
    duration_s = frames[-1][0] - frames[0][0]
    rate_hz = (len(frames) - 1) / max(duration_s, 1e-3)
    n_faces = sum(int((faces.scores >= _MIN_SCORE).sum()) for _, _, faces in frames)
    print(
        f"\n{file.name}: {duration_s:.1f} s, {len(frames)} frames, {n_faces} faces "
        f"with a score of at least {_MIN_SCORE:g}; no ground truth"
    )
    print(f"{'':28}{'tracks':>8}{'< 1 s':>8}{'faces':>8}{'gaps':>8}{'ms':>7}")
    for name, candidate in candidates.items():
        if candidate.heads:
            continue
        tracker, times_ms = candidate.make(rate_hz), []
        seen: dict[int, list[int]] = {}
        for index, (time_s, image, faces) in enumerate(frames):
            started_s = perf_counter()
            ids, _ = tracker.update(faces, time_s, image if candidate.images else None)
            times_ms.append((perf_counter() - started_s) * 1e3)
            for track_id in ids.tolist():
                seen.setdefault(track_id, []).append(index)
        short = sum(len(rows) < _SHORT_TRACK_S * rate_hz for rows in seen.values())
        gaps = sum(int((np.diff(rows) > 1).sum()) for rows in seen.values())
        print(
            f"{name:28}{len(seen):>8}{short:>8}{sum(map(len, seen.values())):>8}"
            f"{gaps:>8}{statistics.median(times_ms):>7.2f}"
        )


def _print_sweep() -> None:
    """Print the settings of each baseline with the highest IDF1."""
    results = compare_trackers(_SWEEP_SEEDS, _SWEEP_HZ, list_sweep_settings())
    ranked = sorted(results.items(), key=lambda item: -item[1].score.idf1)
    for name in _PACKAGES:
        own = [item for item in ranked if item[0].startswith(name)]
        for title, result in own[:3]:
            print(f"IDF1 {result.score.idf1:.3f} MOTA {result.score.mota:.3f} {title}")


def main() -> None:
    """Print all tables, or the results of the sweep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=10, help="number of videos")
    parser.add_argument(
        "--video",
        type=Path,
        nargs="*",
        default=[_SAMPLE],
        metavar="FILE",
        help="real videos (default: the sample)",
    )
    parser.add_argument(
        "--sweep", action="store_true", help="choose settings of the baselines"
    )
    args = parser.parse_args()
    candidates = list_candidates()
    if args.sweep:
        _print_sweep()
        return
    _print_quality(
        range(_FIRST_SEED, _FIRST_SEED + args.seeds), [10, 15, 30], candidates
    )
    _print_times(candidates)
    for file in args.video:
        _print_real_video(file, candidates)


if __name__ == "__main__":
    main()
