"""What all that was seen of a person says together: one verdict, and how sure it is.

vote = Vote("log_pool", window_s=2.0, memory_s=3.0)
verdicts = vote.update(ids, probs, view_weights(faces, probs), time_s)
kept = vote.recall(ids_of_turned_heads, time_s)
"""

from maskdet.voting.presets import (
    PRESETS,
    TrackingPreset,
    confidence_of_uncertainty,
    window_of_beta,
    window_of_frames,
)
from maskdet.voting.views import view_weights
from maskdet.voting.vote import Verdicts, Vote

__all__ = [
    "PRESETS",
    "TrackingPreset",
    "Verdicts",
    "Vote",
    "confidence_of_uncertainty",
    "view_weights",
    "window_of_beta",
    "window_of_frames",
]
