"""What all that was seen of a person says together: one verdict, and how sure it is.

vote = Vote("log_pool", window_s=2.0, memory_s=3.0)
verdicts = vote.update(ids, probs, view_weights(faces, probs), time_s)
kept = vote.recall(ids_of_turned_heads, time_s)
"""

from maskdet.voting.presets import (
    TRACKING_PRESETS,
    TrackingPreset,
    beta_to_window_s,
    frames_to_window_s,
    uncertainty_to_confidence,
)
from maskdet.voting.views import compute_observation_weights
from maskdet.voting.vote import LabelSmoother, SmoothedLabels

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
