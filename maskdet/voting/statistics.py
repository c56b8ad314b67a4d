"""Five ways to make one row of probabilities from many views of a person.

All are means, weighted and divided by the weights, so that the first view already
says what it says; sums that start from zero would need seconds to rise to it. A view
weighs what it tells times what is new in it, see `Observation.share`.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

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
            share of the time after which a view is a whole new one. So ten pictures
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
