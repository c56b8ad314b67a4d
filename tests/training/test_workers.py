"""Parallel work: results in order, bounded queues, the same batches."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from maskdet.cli import main
from maskdet.training import workers
from maskdet.training.classifier.batches import ClassifierSampler
from maskdet.training.workers import map_parallel, prefetch
from maskdet.types import CLASSES
from tests.training.classifier.fakes import make_samples

MANY = range(100)


def test_results_come_in_the_order_of_the_items(monkeypatch) -> None:
    monkeypatch.setattr(workers, "count_cores", lambda: 2)
    second_is_done = threading.Event()

    def wait_for_second_item(number: int) -> int:
        if number == 0:
            assert second_is_done.wait(60), (
                "no item was processed in parallel to the first"
            )
        second_is_done.set()
        return number

    assert list(map_parallel(wait_for_second_item, MANY)) == list(MANY)


def test_there_is_one_thread_for_each_core_that_the_process_may_use(
    monkeypatch,
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    threads = {*map_parallel(lambda _: threading.get_ident(), MANY)}
    assert len(threads) == 1


def test_progress_sees_every_item() -> None:
    shown: list[int] = []

    def progress(items):
        for item in items:
            shown.append(item)
            yield item

    assert list(map_parallel(abs, MANY, progress)) == list(MANY)
    assert shown == list(MANY)


@pytest.mark.parametrize("workers", [0, 2])
def test_prefetching_is_bounded(workers: int, tmp_path: Path) -> None:
    def make(number: int) -> int:
        (tmp_path / str(number)).touch()
        return number

    results = prefetch(make, 1000, workers)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    results.close()
    assert len(list(tmp_path.iterdir())) < 30


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_a_worker_is_raised(workers: int) -> None:
    def fail(number: int) -> int:
        raise ValueError(f"no {number}")

    with pytest.raises(ValueError, match="no 0"):
        next(prefetch(fail, 9, workers))


@pytest.mark.parametrize("count", ["-1", "two", "1000"])
def test_an_invalid_number_of_workers_is_rejected(count, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["train", "onepass", "--data", "town.json", f"--workers={count}"])
    assert "must be a whole number from 0 to 256" in capsys.readouterr().err


def test_processes_and_threads_make_the_same_batches() -> None:
    crops = make_samples({(label, False): 3 for label in CLASSES})
    thread_batches, process_batches = (
        list(
            ClassifierSampler(crops, 32, 6, seed=1, workers=workers).iter_batches(2, 5)
        )
        for workers in (0, 3)
    )
    assert len(thread_batches) == len(process_batches) == 5
    for batch, other in zip(thread_batches, process_batches, strict=True):
        np.testing.assert_array_equal(batch.images, other.images)
        np.testing.assert_array_equal(batch.targets, other.targets)
