"""Helpers that feed single observations to a label smoother."""

from __future__ import annotations

import numpy as np

from maskdet.settings import Settings
from maskdet.smoothing import LabelSmoother

MASK = (0.95, 0.04, 0.01)
NO_MASK = (0.04, 0.95, 0.01)
UNCERTAIN = (0.40, 0.35, 0.25)


def make_smoother(
    method="log_pool", window_s=2.0, memory_s=3.0, *, class_weights=(1.0, 1.0, 1.0)
) -> LabelSmoother:
    return LabelSmoother(
        Settings(
            smoothing=method,
            smoothing_window_s=window_s,
            memory_s=memory_s,
            class_weights=class_weights,
        )
    )


def update_smoother(
    smoother: LabelSmoother,
    probs,
    time_s: float,
    weight: float = 1.0,
    track_id: int = 7,
):
    """Add one observation; return probabilities, sum of weights and age."""
    smoothed = smoother.update(
        np.array([track_id]),
        np.array([probs], np.float32),
        np.array([weight], np.float32),
        time_s,
    )
    return (
        smoothed.probs[0],
        float(smoothed.n_effective_views[0]),
        float(smoothed.ages_s[0]),
    )


def update_label(smoother: LabelSmoother, probs, time_s: float) -> int:
    return int(update_smoother(smoother, probs, time_s)[0].argmax())


def frame_times_at_rate(
    per_s: float, seconds: float, start_s: float = 0.0
) -> list[float]:
    return [start_s + n / per_s for n in range(round(per_s * seconds))]
