from __future__ import annotations

import pytest

from maskdet.evaluation.operating_point import (
    FALSE_POSITIVE,
    MISSED,
    NO_FACE,
    Evaluator,
)
from maskdet.settings import Settings
from maskdet.tuning.curves import compute_histogram
from maskdet.types import Label
from tests.helpers.counting_fakes import (
    A,
    B,
    DetectedFace,
    TrueFace,
    make_counted_predictions,
    make_probs,
    make_random_predictions,
)

MASK = Label.MASK
SETTINGS = Settings(min_score=0.35, min_confidence=0.6, min_face_px=1)


def test_histogram_counts_agree_with_the_confusion_matrix():
    evaluator = Evaluator(make_random_predictions(8))
    result = evaluator(Settings(min_score=0.5, min_confidence=0.6, min_face_px=1))
    scores = compute_histogram(result, "score", bins=20)
    assert scores.threshold == 0.5
    assert len(scores.edges) == 21
    above = scores.counts[:, 10:].sum(axis=1)
    assert above.tolist() == result.confusion[:, :MISSED].sum(axis=1).tolist()
    assert scores.counts[:, :10].sum() > 0
    confidences = compute_histogram(result, "confidence", bins=20)
    confident_counts = result.confusion[:, :NO_FACE].sum(axis=1)
    assert confidences.counts[:, 12:].sum(axis=1).tolist() == confident_counts.tolist()
    assert (
        confidences.counts[NO_FACE].sum()
        == (result.matched_ground_truth == FALSE_POSITIVE).sum()
    )


def test_a_bin_includes_its_lower_edge_and_the_last_both():
    detections = [
        DetectedFace(0, A, 0.5, make_probs(MASK, 0.5)),
        DetectedFace(0, B, 1.0, make_probs(MASK, 1.0)),
    ]
    result = Evaluator(make_counted_predictions([TrueFace(0, A, MASK)], detections))(
        SETTINGS
    )
    counts = compute_histogram(result, "score", bins=2).counts
    assert counts.tolist() == [[0, 1], [0, 0], [0, 0], [0, 1]]
    with pytest.raises(
        ValueError, match="quantity must be score or confidence, not 'size'"
    ):
        compute_histogram(result, "size")
    with pytest.raises(ValueError, match="bins must be at least 1"):
        compute_histogram(result, bins=0)
