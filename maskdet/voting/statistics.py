"""Five ways to make one row of probabilities from many views of a person.

All are means, weighted and divided by the weights, so that the first view already
says what it says; sums that start from zero would need seconds to rise to it. A view
weighs what it tells times what is new in it, see `View.share`.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Row: TypeAlias = NDArray[np.float64]
"""`(3,)` probabilities, or sums of such rows."""

_SAME_TIME_S: Final = 1e-6
"""Times closer than this are the same: sums of frame times are not exact."""

_FLOOR: Final = 0.02
"""No view rules a label out: at 0 its logarithm would silence all others."""

_ALIKE: Final = 0.5
"""How much two views of the same face agree in their mistakes, as a correlation.

The light, the angle and the mask stay the same from view to view, so a hundred views
are far from a hundred witnesses: here never more than two. A choice, not measured.
"""


class View(NamedTuple):
    """One readable view of a person.

    Attributes:
        probs: what it says.
        weight: how much of a whole readable view it is, above 0 and up to 1.
        share: how much of it is new, in [0, 1]: the time since the view before, as a
            share of the time after which a view is a whole new one. So ten pictures
            of one second weigh as much as thirty.
        time_s: when it was taken, in seconds.
    """

    probs: Row
    weight: float
    share: float
    time_s: float


class Statistic(Protocol):
    """What is known of one person."""

    evidence: float

    def add(self, view: View, window_s: float) -> None:
        """Take in the next view, given how far back views count, in seconds."""
        ...

    def verdict(self) -> Row:
        """Return what all views say together; rows sum to 1."""
        ...


class Latest:
    """No memory: what the last view says (`none`)."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.evidence = 0.0
        self._probs: Row = np.zeros(3)

    def add(self, view: View, window_s: float) -> None:
        """Forget the view before; see `Statistic.add`."""
        self.evidence = view.weight
        self._probs = view.probs

    def verdict(self) -> Row:
        """Return the last view."""
        return self._probs


class Cumulative:
    """The mean of all views, however old (`cumulative`)."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.evidence = 0.0
        self._sums: Row = np.zeros(3)
        self._time_s = -math.inf

    def add(self, view: View, window_s: float) -> None:
        """Add a view; see `Statistic.add`."""
        kept = self._kept(view.time_s - self._time_s, window_s)
        weight = view.weight * view.share
        self.evidence = kept * self.evidence + weight
        self._sums = kept * self._sums + weight * self._said(view.probs)
        self._time_s = view.time_s

    def verdict(self) -> Row:
        """Return the mean."""
        return self._sums / self.evidence

    def _kept(self, passed_s: float, window_s: float) -> float:
        """Return how much of the older views still counts after some seconds."""
        return 1.0

    def _said(self, probs: Row) -> Row:
        return probs


class Exponential(Cumulative):
    """A mean in which a view counts less the older it is (`exponential`).

    Weights fall to 1/e within half the window: then views are on average as old as
    in a moving window of that length.
    """

    def _kept(self, passed_s: float, window_s: float) -> float:
        return math.exp(-passed_s / (window_s / 2))


class Sure(Exponential):
    """Witnesses who forget and are never quite independent (`sure`, the default).

    The logarithmic opinion pool (C. Genest & J. V. Zidek, "Combining Probability
    Distributions", Statistical Science 1986): logarithms of probabilities are
    averaged, so that a certain view outweighs several that waver, with the weights of
    `Exponential`. Views that agree make more certain than each is alone: by as much
    as `n` witnesses do whose mistakes correlate, n / (1 + (n - 1) r) (the effective
    sample size of L. Kish, "Survey Sampling", 1965).
    """

    def verdict(self) -> Row:
        """Return the pool."""
        n = max(1.0, self.evidence)
        n_effective = n / (1 + (n - 1) * _ALIKE)
        logs = n_effective * super().verdict()
        odds: Row = np.exp(logs - logs.max())
        pooled: Row = odds / odds.sum()
        return pooled

    def _said(self, probs: Row) -> Row:
        floored = np.maximum(probs, _FLOOR)
        logs: Row = np.log(floored / floored.sum())
        return logs


class Window:
    """The mean of the views within the window (`window`)."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.evidence = 0.0
        self._sums: Row = np.zeros(3)
        self._views: deque[View] = deque()

    def add(self, view: View, window_s: float) -> None:
        """Add a view and drop those that are too old; see `Statistic.add`."""
        oldest_s = view.time_s - window_s + _SAME_TIME_S
        while self._views and self._views[0].time_s <= oldest_s:
            self._count(self._views.popleft(), -1)
        if not self._views:
            # Alone it is all that is known, however soon it came after another.
            view = view._replace(share=1.0)
            self.evidence, self._sums = 0.0, np.zeros(3)
        if view.share > 0:
            self._views.append(view)
            self._count(view, 1)

    def verdict(self) -> Row:
        """Return the mean."""
        return self._sums / self.evidence

    def _count(self, view: View, sign: int) -> None:
        weight = sign * view.weight * view.share
        self.evidence += weight
        self._sums = self._sums + weight * view.probs


STATISTICS: Final[dict[str, type[Latest | Cumulative | Window]]] = {
    "log_pool": Sure,
    "latest": Latest,
    "mean": Cumulative,
    "window": Window,
    "ema": Exponential,
}
"""Every way in `maskdet.settings.SMOOTHINGS`."""
