"""Random class predictions with known statistics."""

from __future__ import annotations

import numpy as np

from maskdet.metrics.classification import Predictions


def random_predictions(
    n: int = 200, *, seed: int = 0, skill: float = 2.0
) -> Predictions:
    """Return predictions whose accuracy grows with `skill`."""
    rng = np.random.default_rng(seed)
    ground_truth = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    logits = rng.normal(size=(n, 3))
    logits[np.arange(n), ground_truth] += skill
    powers = np.exp(logits)
    probs = powers / powers.sum(axis=1, keepdims=True)
    return Predictions(
        ground_truth=ground_truth,
        probs=probs.astype(np.float32),
        sizes_px=rng.uniform(20, 200, n).astype(np.float32),
        lights=rng.uniform(0, 255, n).astype(np.float32),
        sharpness=rng.uniform(0, 900, n).astype(np.float32),
        sources=rng.choice(np.array(["kaggle", "ilc"]), n),
    )
