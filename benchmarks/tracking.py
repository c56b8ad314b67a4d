"""Our tracker beside plain overlap matching, on drawn films where the truth is known.

Run `python benchmarks/tracking.py` from the root of the project. First it prints how
well each tells people apart at several frame rates (see `maskdet.metrics.tracking`),
then how long one image takes.

Truth, for the rows about faces, are all heads that show a face and are not hidden;
for the row about heads, turned ones as well. Plain matching gives IDs as
TrackEverything (https://github.com/ami-a/TrackEverything) does: Hungarian assignment
on the overlap with the last box of each person, and a new ID at once for every face
that is not matched.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from time import perf_counter

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from maskdet.assignment import NOBODY, assign
from maskdet.boxes import iou_matrix
from maskdet.metrics.tracking import (
    Sighting,
    TrackingScore,
    total_score,
    tracking_score,
)
from maskdet.synthetic.crowd import BASE_HZ, Moment, crowd_film, draw_moment
from maskdet.tracking import Tracker, TrackRules
from maskdet.types import UNTRACKED, Faces, Image

MEMORY_S = 3.0
_MIN_SCORE = 0.5
_FIRST_SEED = 300
"""Films with smaller seeds were looked at while the tracker was built."""

_HIDDEN = 0.5
"""Heads that are covered by more do not count as truth."""

Ids = np.ndarray
Film = list[Moment]


class PlainMatching:
    """Numbers by overlap with the last box alone."""

    def __init__(self, memory_s: float = MEMORY_S, min_iou: float = 0.05) -> None:
        """Start with nobody; the overlap is that of TrackEverything."""
        self._memory_s, self._min_iou = memory_s, min_iou
        self._boxes = np.zeros((0, 4), np.float32)
        self._ids = np.zeros(0, np.int64)
        self._seen_s = np.zeros(0)
        self._next_id = 1

    def update(self, faces: Faces, time_s: float) -> Ids:
        """Return the number of each face."""
        keep = time_s - self._seen_s <= self._memory_s
        self._boxes, self._ids = self._boxes[keep], self._ids[keep]
        self._seen_s = self._seen_s[keep]
        overlaps = iou_matrix(faces.boxes, self._boxes).astype(np.float64)
        pairs = assign(np.where(overlaps >= self._min_iou, overlaps, 0.0))
        new = pairs == NOBODY
        fresh = np.arange(np.count_nonzero(new)) + self._next_id
        self._next_id += len(fresh)
        ids = np.zeros(len(faces), np.int64)
        ids[new], ids[~new] = fresh, self._ids[pairs[~new]]
        self._boxes[pairs[~new]] = faces.boxes[~new]
        self._seen_s[pairs[~new]] = time_s
        self._boxes = np.concatenate([self._boxes, faces.boxes[new]])
        self._ids = np.concatenate([self._ids, fresh])
        self._seen_s = np.concatenate([self._seen_s, np.full(len(fresh), time_s)])
        return ids


def _sighting(moment: Moment, ids: Ids, boxes: np.ndarray, *, turned: bool) -> Sighting:
    counts = moment.hidden <= _HIDDEN
    if not turned:
        counts &= moment.turned < 0.5
    return Sighting(moment.people[counts], moment.heads[counts], ids, boxes)


def plain(film: Film, min_iou: float = 0.05) -> Iterator[Sighting]:
    """Track a film by plain matching; doubtful faces are left out."""
    tracker = PlainMatching(min_iou=min_iou)
    for moment in film:
        faces = moment.faces[moment.faces.scores >= _MIN_SCORE]
        ids = tracker.update(faces, moment.time_s)
        yield _sighting(moment, ids, faces.boxes, turned=False)


def ours(
    film: Film,
    images: Iterable[Image | None],
    *,
    carried: bool,
    rules: TrackRules | None = None,
) -> Iterator[Sighting]:
    """Track a film our way; faces without a number yet do not count as found.

    Args:
        film: its images.
        images: their pictures, or nothing for each.
        carried: whether heads without a face count, as truth and as found.
        rules: the tracker's.
    """
    tracker = Tracker(MEMORY_S, rules)
    for moment, image in zip(film, images, strict=True):
        tracks = tracker.update(moment.faces, moment.time_s, image)
        known = tracks.ids != UNTRACKED
        ids, boxes = tracks.ids[known], moment.faces.boxes[known]
        if carried:
            ids = np.concatenate([ids, tracks.carried_ids])
            boxes = np.concatenate([boxes, tracks.carried_boxes])
        yield _sighting(moment, ids, boxes, turned=carried)


def compare(seeds: Iterable[int], rate_hz: int) -> dict[str, TrackingScore]:
    """Return the score of each way over films of several seeds."""
    scores: dict[str, list[TrackingScore]] = {}
    for seed in seeds:
        film = list(crowd_film(seed, every=BASE_HZ // rate_hz))
        pictures = [draw_moment(moment, seed) for moment in film]
        nothing = [None] * len(film)
        ways = {
            "plain overlap, faces": plain(film),
            "plain overlap 0.3, faces": plain(film, 0.3),
            "ours, faces": ours(film, pictures, carried=False),
            "ours, heads, no pictures": ours(film, nothing, carried=True),
            "ours, heads": ours(film, pictures, carried=True),
        }
        for name, way in ways.items():
            scores.setdefault(name, []).append(tracking_score(way))
    return {name: total_score(parts) for name, parts in scores.items()}


def _film_of(people: int, *, turn: bool) -> Film:
    """Return 100 images of people who stand side by side and may turn away."""
    rows, film = np.arange(people), []
    place = np.stack([40 + rows % 10 * 60.0, 60 + rows // 10 * 120.0], axis=1)
    heads = np.concatenate([place - 20, place + 20], axis=1).astype(np.float32)
    for frame in range(100):
        away = turn and frame >= 20
        faces = Faces(heads, np.full(people, 0.9)) if not away else Faces.empty()
        turned = np.full(people, float(away))
        film.append(
            Moment(frame / 30, rows + 1, heads, turned, np.zeros(people), faces)
        )
    return film


def _ms(film: Film) -> float:
    """Return the median milliseconds of an update, beginning with the 30th image."""
    first, last = draw_moment(film[0], 0), draw_moment(film[-1], 0)
    tracker, times = Tracker(10.0), []
    for moment in film:
        picture = last if moment.turned.any() else first
        started = perf_counter()
        tracker.update(moment.faces, moment.time_s, picture)
        times.append((perf_counter() - started) * 1e3)
    return statistics.median(times[30:])


def _print_quality(
    seeds: range, rates_hz: list[int], show: Callable[..., None]
) -> None:
    show(f"{len(seeds)} films of 20 s with 6 people each, memory {MEMORY_S:g} s")
    show(
        f"{'':28}{'rate':>6}{'MOTA':>8}{'IDF1':>8}{'switches':>10}{'missed':>8}"
        f"{'alarms':>8}{'people':>8}"
    )
    for rate_hz in rates_hz:
        for name, score in compare(seeds, rate_hz).items():
            show(
                f"{name:28}{rate_hz:>6}{score.mota:>8.3f}{score.idf1:>8.3f}"
                f"{score.switches:>10}{score.missed:>8}{score.false_alarms:>8}"
                f"{score.truths:>8}"
            )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=10, help="how many films")
    count = parser.parse_args().seeds
    seeds = range(_FIRST_SEED, _FIRST_SEED + count)
    _print_quality(seeds, [10, 15, 30], print)
    print()
    for people in (4, 20):
        for turn in (False, True):
            what = "backs turned" if turn else "faces"
            ms = _ms(_film_of(people, turn=turn))
            print(f"{people:>3} {what:14}{ms:6.2f} ms an image of 640x480")


if __name__ == "__main__":
    main()
