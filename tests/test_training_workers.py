"""Work on other cores: in order, bounded, the same as without them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from maskdet.training.sampling import Sampler
from maskdet.training.workers import ahead, mapped
from maskdet.types import CLASSES
from tests.training_fakes import samples

MANY = range(100)


def test_many_items_are_done_by_other_processes_in_order() -> None:
    def slow_at_first(number: int) -> tuple[int, int]:
        time.sleep(0.05 * (number == 0))
        return number, os.getpid()

    done = list(mapped(slow_at_first, MANY))
    assert [number for number, _ in done] == list(MANY)
    processes = {process for _, process in done}
    if len(os.sched_getaffinity(0)) > 1:
        assert os.getpid() not in processes


def test_a_few_items_are_done_here_and_what_they_change_stays() -> None:
    seen: list[int] = []
    assert list(mapped(seen.append, range(5))) == [None] * 5
    assert seen == list(range(5))


def test_progress_sees_every_item() -> None:
    shown: list[int] = []

    def progress(items):
        for item in items:
            shown.append(item)
            yield item

    assert list(mapped(abs, MANY, progress)) == list(MANY)
    assert shown == list(MANY)


@pytest.mark.parametrize("workers", [0, 2])
def test_no_more_than_wanted_is_made_ahead(workers: int, tmp_path: Path) -> None:
    def make(number: int) -> int:
        (tmp_path / str(number)).touch()
        return number

    made = ahead(make, 1000, workers)
    assert [next(made) for _ in range(3)] == [0, 1, 2]
    made.close()
    assert len(list(tmp_path.iterdir())) < 30


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_a_worker_is_raised_here(workers: int) -> None:
    def fail(number: int) -> int:
        raise ValueError(f"no {number}")

    with pytest.raises(ValueError, match="no 0"):
        next(ahead(fail, 9, workers))


def test_processes_make_the_batches_of_the_thread() -> None:
    eight = samples({(label, False): 3 for label in CLASSES})
    one, other = (
        list(Sampler(eight, 32, 6, seed=1, workers=workers).epoch(2, 5))
        for workers in (0, 3)
    )
    assert len(one) == len(other) == 5
    for batch, again in zip(one, other, strict=True):
        np.testing.assert_array_equal(batch.images, again.images)
        np.testing.assert_array_equal(batch.targets, again.targets)
