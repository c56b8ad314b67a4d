"""The optimal assignment, compared with an exhaustive search."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from maskdet.tracking.association import UNMATCHED, max_weight_assignment


def best_sum(gains: np.ndarray) -> float:
    """Return the best sum over all assignments; extra columns mean unmatched."""
    n, m = gains.shape
    padded = np.concatenate([np.maximum(gains, 0), np.zeros((n, n))], axis=1)
    return max(
        padded[np.arange(n), list(columns)].sum()
        for columns in permutations(range(n + m), n)
    )


def test_the_best_sum_is_chosen_over_the_best_pair() -> None:
    np.testing.assert_array_equal(
        max_weight_assignment(np.array([[5.0, 4.0], [4.0, 1.0]])), [1, 0]
    )


def test_pairs_without_a_gain_are_not_made() -> None:
    gains = np.array([[0.0, -1.0], [2.0, 0.0], [1.0, 0.0]])
    np.testing.assert_array_equal(
        max_weight_assignment(gains), [UNMATCHED, 0, UNMATCHED]
    )


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_empty_matrices(shape) -> None:
    np.testing.assert_array_equal(
        max_weight_assignment(np.zeros(shape)), [UNMATCHED] * shape[0]
    )


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 2), (1, 4)])
def test_the_sum_of_gains_is_maximal(shape) -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        gains = rng.uniform(-1, 2, shape)
        pairs = max_weight_assignment(gains)
        matched = np.flatnonzero(pairs != UNMATCHED)
        assert len(set(pairs[matched])) == len(matched)
        assert gains[matched, pairs[matched]].sum() == pytest.approx(best_sum(gains))
