"""Showing a vote one face after the other."""

from __future__ import annotations

import numpy as np

from maskdet.voting import Vote

MASK = (0.95, 0.04, 0.01)
BARE = (0.04, 0.95, 0.01)
WAVERING = (0.40, 0.35, 0.25)


def see(vote: Vote, probs, time_s: float, weight: float = 1.0, who: int = 7):
    """Show one face; return its probabilities, evidence and age."""
    verdicts = vote.update(
        np.array([who]),
        np.array([probs], np.float32),
        np.array([weight], np.float32),
        time_s,
    )
    return verdicts.probs[0], float(verdicts.evidence[0]), float(verdicts.ages_s[0])


def label(vote: Vote, probs, time_s: float) -> int:
    return int(see(vote, probs, time_s)[0].argmax())


def times(per_s: float, seconds: float, start_s: float = 0.0) -> list[float]:
    return [start_s + n / per_s for n in range(round(per_s * seconds))]
