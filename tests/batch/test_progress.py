"""Rate and time left."""

from __future__ import annotations

import pytest

from maskdet.batch.analysis import make_error_result
from maskdet.batch.progress import BatchProgress
from tests.batch.batch_files import make_file, make_image_result


def test_the_time_left_is_known_once_each_kind_has_a_result() -> None:
    now_s = [100.0]
    images = [make_file(f"{number}.jpg") for number in range(10)]
    video = make_file("a.mp4", "video", size_bytes=1000)
    progress = BatchProgress([*images, video], 2, clock=lambda: now_s[0])
    assert progress.remaining_s is None
    now_s[0] = 104.0
    progress.add(make_image_result(file, cpu_s=2.0) for file in images[:4])
    assert progress.remaining_s is None  # no video yet
    assert progress.describe() == "4 of 11 files, 1.0 images/s"
    progress.add([make_error_result(video, "broken")])
    assert progress.remaining_s == pytest.approx(6 * 2.0 / 2)
    assert progress.describe() == "5 of 11 files, 1 failed, 1.0 images/s, 6 s left"
