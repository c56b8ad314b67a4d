"""Votes: many views of each person, one verdict that fades while nobody sees them.

The three example programs of ami-a/MaskDetection, as presets.

It is "Mask and Proximity Detection" (https://github.com/ami-a/MaskDetection) on
TrackEverything 1.7.2. Its numbers are translated:

- Frames become seconds at 30 frames per second: it does not say how fast its videos
  are, and 30 is what most cameras give.
- Its uncertainty threshold `u` is compared with a statistic that grows from 0, where
  nothing is known, to 1, where one of two classes is certain. With three classes the
  probability of the likeliest is 1/3 where nothing is known, so a threshold of 0.1
  could never act. The same fraction of the way is `1/3 + u * (1 - 1/3)`: 0.1 becomes
  0.40, and 0.5 becomes 0.67.

How much one view of a face tells: nothing where it cannot be read.

Five ways to make one row of probabilities from many views of a person.

All are means, weighted and divided by the weights, so that the first view already
says what it says; sums that start from zero would need seconds to rise to it. A view
weighs what it tells times what is new in it, see `Observation.share`.

What all that was seen of a person says together: one verdict, and how sure it is.

vote = Vote("log_pool", window_s=2.0, memory_s=3.0)
verdicts = vote.update(ids, probs, view_weights(faces, probs), time_s)
kept = vote.recall(ids_of_turned_heads, time_s)
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import sizes_px
from maskdet.settings import SMOOTHING_METHODS, Settings
from maskdet.types import CLASSES, UNTRACKED, Faces

FRAMES_PER_S: Final = 30.0
"""The rate at which the frames of the presets are seconds."""


@dataclass(frozen=True)
class TrackingPreset:
    """Everything that an example program sets.

    Attributes:
        title: a word for a button.
        analyzer: name of the analyzer that comes closest to its detector.
        settings: its thresholds and its label smoothing.
        description: one line that says what the preset does.
        refine: whether the classifier may check faces again.
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
    """Return the `smoothing_window_s` of an exponential mean that keeps `beta` a frame.

    It keeps beta = exp(-2 dt / window) of what it knew after dt seconds.
    """
    return -2 / (frames_per_s * math.log(beta))


def uncertainty_to_confidence(u: float) -> float:
    """Return the `min_confidence` that stands for an uncertainty threshold `u`.

    With n classes that is 1/n + u (1 - 1/n), to two digits: `u` of the way from
    nothing known to certain.
    """
    chance = 1 / len(CLASSES)
    return round(chance + u * (1 - chance), 2)


_COMMON: Final = Settings(
    min_confidence=uncertainty_to_confidence(0.1),
    nms_iou=0.3,
    # A face is gone with the tenth frame that misses it, and boxes need 2 pixels.
    memory_s=frames_to_window_s(10),
    min_face_px=2,
)


TRACKING_PRESETS: Final[dict[str, TrackingPreset]] = {
    "track-head": TrackingPreset(
        "Heads",
        "onepass",
        replace(
            _COMMON,
            min_score=0.4,
            smoothing="window",
            smoothing_window_s=frames_to_window_s(10),
        ),
        "Example 1, heads: onepass on large images, as maskdet has no head detector, "
        "from score 0.4; mean of the last 10 frames; unsure below 40 %.",
    ),
    "track-face": TrackingPreset(
        "Faces",
        "ssd",
        replace(_COMMON, min_score=0.12, smoothing="latest"),
        "Example 2, faces: ResNet-10 SSD detects from score 0.12, the classifier "
        "classifies; each frame alone; unsure below 40 %.",
    ),
    "track-onepass": TrackingPreset(
        "One pass",
        "onepass-fast",
        replace(
            _COMMON,
            min_score=0.4,
            min_confidence=uncertainty_to_confidence(0.5),
            smoothing="ema",
            smoothing_window_s=beta_to_window_s(0.9),
        ),
        "Example 3, one network: onepass-fast on small images without refinement, "
        "from score 0.4; exponential mean (0.9 a frame); unsure below 67 %.",
        refine=False,
    ),
}
"""Name to preset.

TrackEverything compares its uncertainty threshold with face score times probability;
`min_confidence` is compared with the probability alone.
"""


MIN_READABLE_PX: Final = 10.0
FULLY_READABLE_PX: Final = 32.0
"""Shorter side up to which a face tells nothing, and from which it tells all: a mask
is then a patch of some 5 by 3, or 16 by 10 pixels (by eye)."""

MIN_INFORMATION: Final = 0.05
"""Who says less than so much of what could be said says nothing: about 45 %, 30 %
and 25 %."""


def compute_observation_weights(
    faces: Faces, probs: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return `(n,)` how much of a whole readable view each face is, in [0, 1].

    It is the product of three shares: how sure the detector is that it is a face, how
    large the face is, and how certain its label is. The last is what a row tells,
    1 - entropy / ln 3 (C. E. Shannon, 1948): 0 where all labels are equally likely, 1
    where one is certain. Blurred, dark and half hidden faces need no rule of their
    own: their labels are uncertain.

    Args:
        faces: the faces of one image.
        probs: `(n, 3)` their probabilities, rows sum to 1.
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


ProbRow: TypeAlias = NDArray[np.float64]
"""`(3,)` probabilities, or sums of such rows."""

_TIME_EPSILON_S: Final = 1e-6
"""Times closer than this are the same: sums of frame times are not exact."""

_MIN_PROB: Final = 0.02
"""No view rules a label out: at 0 its logarithm would silence all others."""

_VIEW_CORRELATION: Final = 0.5
"""How much two views of the same face agree in their mistakes, as a correlation.

The light, the angle and the mask stay the same from view to view, so a hundred views
are far from a hundred witnesses: here never more than two. A choice, not measured.
"""


class Observation(NamedTuple):
    """One readable view of a person.

    Attributes:
        probs: what it says.
        weight: how much of a whole readable view it is, above 0 and up to 1.
        novelty: how much of it is new, in [0, 1]: the time since the view before, as a
            share of the time after which a view is a whole new one. So ten images
            of one second weigh as much as thirty.
        time_s: when it was taken, in seconds.
    """

    probs: ProbRow
    weight: float
    novelty: float
    time_s: float


class Aggregator(Protocol):
    """What is known of one person."""

    n_effective_views: float

    def add(self, observation: Observation, window_s: float) -> None:
        """Take in the next view, given how far back views count, in seconds."""
        ...

    def compute_probs(self) -> ProbRow:
        """Return what all views say together; rows sum to 1."""
        ...


class LatestAggregator:
    """No memory: what the last view says (`none`)."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.n_effective_views = 0.0
        self._probs: ProbRow = np.zeros(3)

    def add(self, observation: Observation, window_s: float) -> None:
        """Forget the view before; see `Aggregator.add`."""
        self.n_effective_views = observation.weight
        self._probs = observation.probs

    def compute_probs(self) -> ProbRow:
        """Return the last view."""
        return self._probs


class MeanAggregator:
    """The mean of all views, however old (`cumulative`)."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.n_effective_views = 0.0
        self._sums: ProbRow = np.zeros(3)
        self._time_s = -math.inf

    def add(self, observation: Observation, window_s: float) -> None:
        """Add a view; see `Aggregator.add`."""
        decay = self._compute_decay(observation.time_s - self._time_s, window_s)
        weight = observation.weight * observation.novelty
        self.n_effective_views = decay * self.n_effective_views + weight
        self._sums = decay * self._sums + weight * self._transform(observation.probs)
        self._time_s = observation.time_s

    def compute_probs(self) -> ProbRow:
        """Return the mean."""
        return self._sums / self.n_effective_views

    def _compute_decay(self, elapsed_s: float, window_s: float) -> float:
        """Return how much of the older views still counts after some seconds."""
        return 1.0

    def _transform(self, probs: ProbRow) -> ProbRow:
        return probs


class EmaAggregator(MeanAggregator):
    """A mean in which a view counts less the older it is (`exponential`).

    Weights fall to 1/e within half the window: then views are on average as old as
    in a moving window of that length.
    """

    def _compute_decay(self, elapsed_s: float, window_s: float) -> float:
        return math.exp(-elapsed_s / (window_s / 2))


class LogPoolAggregator(EmaAggregator):
    """Witnesses who forget and are never quite independent (`sure`, the default).

    The logarithmic opinion pool (C. Genest & J. V. Zidek, "Combining Probability
    Distributions", Statistical Science 1986): logarithms of probabilities are
    averaged, so that a certain view outweighs several that waver, with the weights of
    `EmaAggregator`. Views that agree make more certain than each is alone: by as much
    as `n` witnesses do whose mistakes correlate, n / (1 + (n - 1) r) (the effective
    sample size of L. Kish, "Survey Sampling", 1965).
    """

    def compute_probs(self) -> ProbRow:
        """Return the pool."""
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


class WindowAggregator:
    """The mean of the views within the window (`window`)."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.n_effective_views = 0.0
        self._sums: ProbRow = np.zeros(3)
        self._observations: deque[Observation] = deque()

    def add(self, observation: Observation, window_s: float) -> None:
        """Add a view and drop those that are too old; see `Aggregator.add`."""
        oldest_s = observation.time_s - window_s + _TIME_EPSILON_S
        while self._observations and self._observations[0].time_s <= oldest_s:
            self._accumulate(self._observations.popleft(), -1)
        if not self._observations:
            # Alone it is all that is known, however soon it came after another.
            observation = observation._replace(novelty=1.0)
            self.n_effective_views, self._sums = 0.0, np.zeros(3)
        if observation.novelty > 0:
            self._observations.append(observation)
            self._accumulate(observation, 1)

    def compute_probs(self) -> ProbRow:
        """Return the mean."""
        return self._sums / self.n_effective_views

    def _accumulate(self, observation: Observation, sign: int) -> None:
        weight = sign * observation.weight * observation.novelty
        self.n_effective_views += weight
        self._sums = self._sums + weight * observation.probs


AGGREGATORS: Final[
    dict[str, type[LatestAggregator | MeanAggregator | WindowAggregator]]
] = {
    "log_pool": LogPoolAggregator,
    "latest": LatestAggregator,
    "mean": MeanAggregator,
    "window": WindowAggregator,
    "ema": EmaAggregator,
}
"""Every way in `maskdet.settings.SMOOTHING_METHODS`."""


_INDEPENDENT_VIEW_S: Final = 0.2
"""After so long a view of a face is a whole new one: heads turn and nod in about that
time, and images that follow each other faster show nearly the same."""

_UNIFORM_PROB: Final = 1 / len(CLASSES)


@dataclass(frozen=True, eq=False)
class SmoothedLabels:
    """What is known of some people; row i is the person asked for in row i.

    Attributes:
        probs: `(n, 3)` float32, rows sum to 1; near 1/3 each where nothing is known
            any more. The largest of a row is its confidence.
        n_effective_views: `(n,)` float32, how many whole readable views it rests on.
        ages_s: `(n,)` float32, seconds since the last view that counted.
    """

    probs: NDArray[np.float32]
    n_effective_views: NDArray[np.float32]
    ages_s: NDArray[np.float32]


@dataclass
class _PersonState:
    """One person: by which method they are judged, and when last seen readably."""

    method: str
    aggregator: Aggregator
    last_view_s: float


class LabelSmoother:
    """One stream's memory of what was seen of each person.

    A verdict that no new view supports fades: of its distance from "all labels
    equally likely" the share 1 - (age / memory_s)^2 is left. That is little lost in
    the first half, lest a blink show, and all at the end. With the usual threshold
    of 60 % the surest verdict gets unsure after 77 % of `memory_s`, and one of 80 %
    after 65 %.

    Attributes:
        method: one of `SMOOTHING_METHODS`; a change keeps what is known.
        window_s: how far back views count, in seconds.
        memory_s: after so long without a view nothing is known, in seconds.
        class_weights: how much a view counts that shows each of `CLASSES`, in [0, 1]:
            its weight is multiplied by the sum of probability times class weight.
    """

    def __init__(
        self,
        method: str = "log_pool",
        window_s: float = 2.0,
        memory_s: float = 3.0,
        *,
        class_weights: tuple[float, ...] = (1.0, 1.0, 1.0),
    ) -> None:
        """Start with nobody known; the arguments are the attributes.

        Raises:
            ValueError: an argument is out of its range.
        """
        if method not in SMOOTHING_METHODS:
            raise ValueError(
                f"smoothing must be one of {', '.join(SMOOTHING_METHODS)}, not "
                f"{method!r}"
            )
        for name, seconds in (("window_s", window_s), ("memory_s", memory_s)):
            if not 0 < seconds < math.inf:
                raise ValueError(f"{name} must be above 0 seconds, not {seconds!r}")
        weights = tuple(class_weights)
        if len(weights) != len(CLASSES) or not all(
            0 <= weight <= 1 for weight in weights
        ):
            raise ValueError(
                f"class_weights must be {len(CLASSES)} numbers from 0 to 1, "
                f"not {class_weights!r}"
            )
        self.method = method
        self.window_s = window_s
        self.memory_s = memory_s
        self.class_weights = class_weights
        self._people: dict[int, _PersonState] = {}
        self._time_s = -math.inf

    def __len__(self) -> int:
        """Return how many people are known."""
        return len(self._people)

    def update(
        self,
        ids: NDArray[np.int64],
        probs: NDArray[np.float32],
        weights: NDArray[np.float32],
        time_s: float,
    ) -> SmoothedLabels:
        """Take in one image and return what is known of the people in it.

        Args:
            ids: `(n,)` who each face is; an `UNTRACKED` face comes back as it is.
            probs: `(n, 3)` what this image says of each, rows sum to 1.
            weights: `(n,)` how much of a whole readable view each is, as
                `view_weights` tells; 0 is no vote, and whoever had none yet comes
                back as they are, without evidence.
            time_s: when it was taken; never earlier than the last time given.

        Raises:
            ValueError: time went back or is not a number.
        """
        self._advance_time(time_s)
        frame_probs = np.asarray(probs, np.float64).reshape(len(ids), len(CLASSES))
        class_weighted = np.asarray(weights, np.float64) * (
            frame_probs @ self.class_weights
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
        """Return what is known of people whose face is not seen: nothing new.

        Args:
            ids: who; of strangers nothing is known.
            time_s: the time now; never earlier than the last time given.

        Raises:
            ValueError: time went back or is not a number.
        """
        self._advance_time(time_s)
        unknown_row = (np.full(len(CLASSES), _UNIFORM_PROB), 0.0, self.memory_s)
        return _stack_rows(
            [self._predict_row(int(track_id)) or unknown_row for track_id in ids]
        )

    def forget(self, ids: Iterable[int]) -> None:
        """Drop all that is known of some people; strangers are no error."""
        for track_id in ids:
            self._people.pop(int(track_id), None)

    def _advance_time(self, time_s: float) -> None:
        if not time_s >= self._time_s:
            raise ValueError(
                f"time must not go back: {time_s} s after {self._time_s} s"
            )
        self._time_s = time_s

    def _add_observation(self, track_id: int, probs: ProbRow, weight: float) -> None:
        """Add a view that counts."""
        person = self._people.get(track_id)
        novelty = 1.0
        if person is None:
            person = _PersonState(self.method, AGGREGATORS[self.method](), self._time_s)
            self._people[track_id] = person
        else:
            novelty = min(
                1.0, (self._time_s - person.last_view_s) / _INDEPENDENT_VIEW_S
            )
        if person.method != self.method:
            self._switch_method(person)
        person.aggregator.add(
            Observation(probs, weight, novelty, self._time_s), self.window_s
        )
        person.last_view_s = self._time_s

    def _switch_method(self, person: _PersonState) -> None:
        """Change the method; what was known is the first view of the new one."""
        old_aggregator, new_aggregator = person.aggregator, AGGREGATORS[self.method]()
        new_aggregator.add(
            Observation(
                old_aggregator.compute_probs(),
                old_aggregator.n_effective_views,
                1.0,
                person.last_view_s,
            ),
            1.0,
        )
        person.method, person.aggregator = self.method, new_aggregator

    def _predict_row(self, track_id: int) -> tuple[ProbRow, float, float] | None:
        """Return probabilities, evidence and age, or None for a stranger."""
        person = self._people.get(track_id)
        if person is None:
            return None
        age_s = self._time_s - person.last_view_s
        retained = max(0.0, 1 - (age_s / self.memory_s) ** 2)
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


__all__ = [
    "TRACKING_PRESETS",
    "LabelSmoother",
    "SmoothedLabels",
    "TrackingPreset",
    "beta_to_window_s",
    "compute_observation_weights",
    "frames_to_window_s",
    "uncertainty_to_confidence",
]
