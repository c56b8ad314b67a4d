"""Label smoothing: combine the class probabilities of a track over time.

- `compute_observation_weights` weights each observation by its information.
- Five aggregators combine observations. All are weighted means, so the first
  observation counts in full.
- `LabelSmoother` keeps one aggregator per track and lets old labels fade:

        smoother = LabelSmoother(settings)
        weights = compute_observation_weights(faces, probs)
        labels = smoother.update(ids, probs, weights, time_s)
        coasting = smoother.predict_unseen(coasting_ids, time_s)

- `TRACKING_PRESETS` translates the three example programs of "Mask and Proximity
  Detection" (https://github.com/ami-a/MaskDetection, on TrackEverything 1.7.2):
  - Frames become seconds at 30 frames per second. It does not state a frame rate; 30
    is what most cameras deliver.
  - Its uncertainty threshold `u` is compared with a statistic from 0 (nothing known)
    to 1 (one of two classes is certain). With three classes the largest probability
    is at least 1/3, so a threshold of 0.1 would have no effect. The equivalent is
    `1/3 + u * (1 - 1/3)`: 0.1 becomes 0.40, and 0.5 becomes 0.67.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import sizes_px
from maskdet.settings import Settings
from maskdet.types import CLASSES, UNTRACKED, Faces

FRAMES_PER_S: Final = 30.0
"""Frame rate that converts the presets' frame counts to seconds."""

MIN_READABLE_PX: Final = 10.0

FULLY_READABLE_PX: Final = 32.0
"""Shorter side up to which a face has weight 0, and from which it has full weight: a
mask then covers about 5 by 3, or 16 by 10 pixels (by eye)."""

MIN_INFORMATION: Final = 0.05
"""Observations with less information have weight 0: about 45 %, 30 % and 25 %."""

ProbRow: TypeAlias = NDArray[np.float64]
"""`(3,)` probabilities, or sums of such rows."""

_TIME_EPSILON_S: Final = 1e-6
"""Times closer than this are equal: sums of frame times are not exact."""

_MIN_PROB: Final = 0.02
"""Lower bound of probabilities in the log-pool: log(0) would outweigh everything."""

_VIEW_CORRELATION: Final = 0.5
"""Correlation of the errors in two observations of the same face.

Light, angle and mask stay the same between observations, so they are not independent:
any number counts as at most two. A choice, not measured.
"""

_INDEPENDENT_VIEW_S: Final = 0.2
"""Time after which an observation counts in full: heads turn and nod in about that
time, and frames that follow each other faster are nearly identical."""

_UNIFORM_PROB: Final = 1 / len(CLASSES)


@dataclass(frozen=True)
class TrackingPreset:
    """The configuration of one example program.

    Attributes:
        title: label of its button.
        analyzer: name of the analyzer that is closest to its detector.
        settings: its thresholds and its label smoothing.
        description: what the preset does, in one line.
        refine: whether the classifier re-checks low-confidence faces.
    """

    title: str
    analyzer: str
    settings: Settings
    description: str
    refine: bool = True


def frames_to_window_s(n: int, frames_per_s: float = FRAMES_PER_S) -> float:
    """Return the `smoothing_window_s` of a moving window over `n` frames."""
    return n / frames_per_s


def beta_to_window_s(beta: float, frames_per_s: float = FRAMES_PER_S) -> float:
    """Return the `smoothing_window_s` of an exponential mean with decay `beta` a frame.

    The decay after dt seconds is beta = exp(-2 dt / window).
    """
    return -2 / (frames_per_s * math.log(beta))


def uncertainty_to_confidence(u: float) -> float:
    """Return the `min_confidence` that corresponds to an uncertainty threshold `u`.

    With n classes that is 1/n + u (1 - 1/n), to two digits: the fraction `u` of the
    way from a uniform distribution to certainty.
    """
    return round(_UNIFORM_PROB + u * (1 - _UNIFORM_PROB), 2)


_COMMON: Final = Settings(
    min_confidence=uncertainty_to_confidence(0.1),
    nms_iou=0.3,
    # A track is removed at the tenth frame without a detection; boxes need 2 pixels.
    memory_s=frames_to_window_s(10),
    min_face_px=2,
)


TRACKING_PRESETS: Final[dict[str, TrackingPreset]] = {
    "track-head": TrackingPreset(
        "Accurate, averaged",
        "onepass",
        replace(
            _COMMON,
            min_score=0.4,
            smoothing="window",
            smoothing_window_s=frames_to_window_s(10),
        ),
        "Example 1, heads: onepass, as maskdet has no head detector; detection "
        "threshold 0.4; mean of the last 10 frames; unsure below 40%.",
    ),
    "track-face": TrackingPreset(
        "SSD, frame by frame",
        "ssd",
        replace(_COMMON, min_score=0.12, smoothing="latest"),
        "Example 2, faces: ssd detects, the classifier classifies; detection "
        "threshold 0.12; each frame alone; unsure below 40%.",
    ),
    "track-onepass": TrackingPreset(
        "Fast, smoothed",
        "onepass-fast",
        replace(
            _COMMON,
            min_score=0.4,
            min_confidence=uncertainty_to_confidence(0.5),
            smoothing="ema",
            smoothing_window_s=beta_to_window_s(0.9),
        ),
        "Example 3, one network: onepass-fast without refinement; detection "
        "threshold 0.4; exponential mean (0.9 a frame); unsure below 67%.",
        refine=False,
    ),
}
"""Presets by name.

TrackEverything compares its uncertainty threshold with detection score times
probability; `min_confidence` is compared with the probability alone.
"""


def compute_observation_weights(
    faces: Faces, probs: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the `(n,)` weights of observations, in [0, 1].

    A weight is the product of the detection score, a factor for the size of the face,
    and the information of its probabilities: 1 - entropy / ln 3 (C. E. Shannon,
    1948), which is 0 if all classes are equally likely and 1 if one has probability
    1. Blurred, dark and occluded faces need no extra rule, because their
    probabilities are close to uniform.

    Args:
        faces: the faces of one image.
        probs: `(n, 3)` class probabilities, rows sum to 1.
    """
    range_px = FULLY_READABLE_PX - MIN_READABLE_PX
    readable = np.clip((sizes_px(faces.boxes) - MIN_READABLE_PX) / range_px, 0, 1)
    information = np.clip(1 - _compute_entropies(probs) / math.log(len(CLASSES)), 0, 1)
    weights = (
        faces.scores
        * readable
        * np.where(information < MIN_INFORMATION, 0, information)
    )
    result: NDArray[np.float32] = weights.astype(np.float32)
    return result


def _compute_entropies(probs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the `(n,)` entropies in nats; 0 log 0 is 0."""
    rows = np.asarray(probs, np.float64).reshape(-1, len(CLASSES))
    logs = np.log(rows, out=np.zeros_like(rows), where=rows > 0)
    result: NDArray[np.float64] = -(rows * logs).sum(axis=1)
    return result


class Observation(NamedTuple):
    """One observation of a person with a weight above 0.

    Attributes:
        probs: class probabilities.
        weight: see `compute_observation_weights`; above 0 and up to 1.
        novelty: time since the last observation, as a fraction of
            `_INDEPENDENT_VIEW_S`, in [0, 1]. With it, ten frames within one second
            weigh as much as thirty.
        time_s: time of the frame, in seconds.
    """

    probs: ProbRow
    weight: float
    novelty: float
    time_s: float


class MeanAggregator:
    """The weighted mean of all observations, however old (`mean`).

    It is the base of the other aggregators, which combine the observations of one
    person in other ways.

    Attributes:
        n_effective_views: sum of the observations' weights.
    """

    def __init__(self) -> None:
        """Start without observations."""
        self.n_effective_views = 0.0
        self._sums: ProbRow = np.zeros(3)
        self._time_s = -math.inf

    def add(self, observation: Observation, window_s: float) -> None:
        """Add the next observation.

        Args:
            observation: the observation.
            window_s: how far back observations count, in seconds.
        """
        decay = self._compute_decay(observation.time_s - self._time_s, window_s)
        weight = observation.weight * observation.novelty
        self.n_effective_views = decay * self.n_effective_views + weight
        self._sums = decay * self._sums + weight * self._transform(observation.probs)
        self._time_s = observation.time_s

    def compute_probs(self) -> ProbRow:
        """Return the combined probabilities; they sum to 1."""
        return self._sums / self.n_effective_views

    def _compute_decay(self, elapsed_s: float, window_s: float) -> float:
        """Return the factor on the older observations after `elapsed_s` seconds."""
        return 1.0

    def _transform(self, probs: ProbRow) -> ProbRow:
        return probs


class LatestAggregator(MeanAggregator):
    """The latest observation alone (`latest`)."""

    def add(self, observation: Observation, window_s: float) -> None:
        """Replace the last observation."""
        self.n_effective_views, self._sums = observation.weight, observation.probs

    def compute_probs(self) -> ProbRow:
        """Return the probabilities of the last observation."""
        return self._sums


class EmaAggregator(MeanAggregator):
    """An exponential moving average (`ema`).

    Weights fall to 1/e within half the window: the mean age of observations is then
    that of a moving window of this length.
    """

    def _compute_decay(self, elapsed_s: float, window_s: float) -> float:
        return math.exp(-elapsed_s / (window_s / 2))


class LogPoolAggregator(EmaAggregator):
    """A logarithmic opinion pool with exponential decay (`log_pool`, the default).

    Averages the logarithms of probabilities (C. Genest & J. V. Zidek, "Combining
    Probability Distributions", Statistical Science 1986) with the weights of
    `EmaAggregator`, so that one confident observation outweighs several uncertain
    ones. Observations that agree raise the confidence by the effective sample size of
    `n` correlated observations, n / (1 + (n - 1) r) (L. Kish, "Survey Sampling",
    1965).
    """

    def compute_probs(self) -> ProbRow:
        """Return the pooled probabilities."""
        n = max(1.0, self.n_effective_views)
        n_effective = n / (1 + (n - 1) * _VIEW_CORRELATION)
        logs = n_effective * super().compute_probs()
        odds: ProbRow = np.exp(logs - logs.max())
        pooled: ProbRow = odds / odds.sum()
        return pooled

    def _transform(self, probs: ProbRow) -> ProbRow:
        floored = np.maximum(probs, _MIN_PROB)
        logs: ProbRow = np.log(floored / floored.sum())
        return logs


class WindowAggregator(MeanAggregator):
    """The weighted mean of the observations in a moving window (`window`)."""

    def __init__(self) -> None:
        """Start without observations."""
        super().__init__()
        self._observations: deque[Observation] = deque()

    def add(self, observation: Observation, window_s: float) -> None:
        """Add an observation and drop old ones."""
        oldest_s = observation.time_s - window_s + _TIME_EPSILON_S
        while self._observations and self._observations[0].time_s <= oldest_s:
            self._accumulate(self._observations.popleft(), -1)
        if not self._observations:
            # The only observation in the window counts in full.
            observation = observation._replace(novelty=1.0)
            self.n_effective_views, self._sums = 0.0, np.zeros(3)
        if observation.novelty > 0:
            self._observations.append(observation)
            self._accumulate(observation, 1)

    def _accumulate(self, observation: Observation, sign: int) -> None:
        weight = sign * observation.weight * observation.novelty
        self.n_effective_views += weight
        self._sums = self._sums + weight * observation.probs


AGGREGATORS: Final[dict[str, type[MeanAggregator]]] = {
    "log_pool": LogPoolAggregator,
    "latest": LatestAggregator,
    "mean": MeanAggregator,
    "window": WindowAggregator,
    "ema": EmaAggregator,
}
"""The aggregator of each method in `maskdet.settings.SMOOTHING_METHODS`."""


@dataclass(frozen=True, eq=False)
class SmoothedLabels:
    """Smoothed class probabilities; row i belongs to the ID in row i of the call.

    Attributes:
        probs: `(n, 3)` float32, rows sum to 1; close to 1/3 each after `memory_s`
            without an observation. The largest value of a row is its confidence.
        n_effective_views: `(n,)` float32, sum of the weights of the observations.
        ages_s: `(n,)` float32, seconds since the last observation.
    """

    probs: NDArray[np.float32]
    n_effective_views: NDArray[np.float32]
    ages_s: NDArray[np.float32]


@dataclass
class _PersonState:
    """The aggregator of one track and the time of its last observation."""

    method: str
    aggregator: MeanAggregator
    last_view_s: float


class LabelSmoother:
    """Smooths the class probabilities of each track in a stream.

    Without new observations, probabilities fade towards uniform: their distance from
    it is multiplied by 1 - (age / memory_s)^2. Little is lost in the first half, so
    that short gaps are not visible, and everything at the end. With the default
    threshold of 60 %, a confidence of 100 % becomes `UNKNOWN` after 77 % of
    `memory_s`, and one of 80 % after 65 %.

    Attributes:
        settings: may change at any time; another method keeps the current
            probabilities. After `memory_s` without an observation probabilities are
            uniform.
    """

    def __init__(self, settings: Settings) -> None:
        """Start without tracks; see the attribute."""
        self.settings = settings
        self._people: dict[int, _PersonState] = {}
        self._time_s = -math.inf

    def __len__(self) -> int:
        """Return the number of tracks."""
        return len(self._people)

    def update(
        self,
        ids: NDArray[np.int64],
        probs: NDArray[np.float32],
        weights: NDArray[np.float32],
        time_s: float,
    ) -> SmoothedLabels:
        """Add the observations of one frame and return the smoothed probabilities.

        Args:
            ids: `(n,)` track IDs; `UNTRACKED` rows are returned unchanged.
            probs: `(n, 3)` class probabilities in this frame, rows sum to 1.
            weights: `(n,)` weights from `compute_observation_weights`. A row with
                weight 0 adds nothing; if its track has no other observation, its
                probabilities are returned unchanged.
            time_s: time of the frame; not earlier than the last one.
        """
        self._time_s = time_s
        frame_probs = np.asarray(probs, np.float64).reshape(len(ids), len(CLASSES))
        class_weighted = np.asarray(weights, np.float64) * (
            frame_probs @ self.settings.class_weights
        )
        for track_id, row, weight in zip(ids, frame_probs, class_weighted, strict=True):
            if track_id != UNTRACKED and weight > 0:
                self._add_observation(int(track_id), row, float(weight))
        rows = [
            self._predict_row(int(track_id)) or (row, float(weight), 0.0)
            for track_id, row, weight in zip(
                ids, frame_probs, class_weighted, strict=True
            )
        ]
        return _stack_rows(rows)

    def predict_unseen(self, ids: Iterable[int], time_s: float) -> SmoothedLabels:
        """Return the faded probabilities of tracks without a detection.

        Args:
            ids: track IDs; unknown ones get uniform probabilities.
            time_s: current time; not earlier than the last one.
        """
        self._time_s = time_s
        unknown_row = (
            np.full(len(CLASSES), _UNIFORM_PROB),
            0.0,
            self.settings.memory_s,
        )
        return _stack_rows(
            [self._predict_row(int(track_id)) or unknown_row for track_id in ids]
        )

    def forget(self, ids: Iterable[int]) -> None:
        """Delete tracks; unknown IDs are ignored."""
        for track_id in ids:
            self._people.pop(int(track_id), None)

    def _add_observation(self, track_id: int, probs: ProbRow, weight: float) -> None:
        """Add an observation with a weight above 0."""
        person, method = self._people.get(track_id), self.settings.smoothing
        novelty = 1.0
        if person is None:
            person = _PersonState(method, AGGREGATORS[method](), self._time_s)
            self._people[track_id] = person
        else:
            novelty = min(
                1.0, (self._time_s - person.last_view_s) / _INDEPENDENT_VIEW_S
            )
        if person.method != method:
            self._switch_method(person)
        person.aggregator.add(
            Observation(probs, weight, novelty, self._time_s),
            self.settings.smoothing_window_s,
        )
        person.last_view_s = self._time_s

    def _switch_method(self, person: _PersonState) -> None:
        """Change the method; the old result is the first observation of the new one."""
        method, old_aggregator = self.settings.smoothing, person.aggregator
        new_aggregator = AGGREGATORS[method]()
        new_aggregator.add(
            Observation(
                old_aggregator.compute_probs(),
                old_aggregator.n_effective_views,
                1.0,
                person.last_view_s,
            ),
            1.0,
        )
        person.method, person.aggregator = method, new_aggregator

    def _predict_row(self, track_id: int) -> tuple[ProbRow, float, float] | None:
        """Return probabilities, weight and age, or None for an unknown track."""
        person = self._people.get(track_id)
        if person is None:
            return None
        age_s = self._time_s - person.last_view_s
        retained = max(0.0, 1 - (age_s / self.settings.memory_s) ** 2)
        probs = (
            retained * person.aggregator.compute_probs()
            + (1 - retained) * _UNIFORM_PROB
        )
        return probs, person.aggregator.n_effective_views, age_s


def _stack_rows(rows: list[tuple[ProbRow, float, float]]) -> SmoothedLabels:
    """Return the rows as arrays."""
    probs = np.array([row[0] for row in rows], np.float32).reshape(-1, len(CLASSES))
    values = np.array([row[1:] for row in rows], np.float32).reshape(-1, 2)
    return SmoothedLabels(probs, values[:, 0], values[:, 1])
