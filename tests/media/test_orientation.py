"""Orientation of frames: that of the file, then `rotate`."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from maskdet.media import open_video, open_video_file, rotate_image
from maskdet.types import Image
from tests.media.image_files import make_corners_image, mean_difference
from tests.media.video_files import rotate_in_header, write_video

# The eight matrices a, b, c, d that rotate or mirror without scaling.
MATRICES = [
    matrix
    for matrix in itertools.product((-1, 0, 1), repeat=4)
    if abs(matrix[0] * matrix[3] - matrix[1] * matrix[2]) == 1
    and sum(map(abs, matrix)) == 2
]


def apply_matrix(image: Image, matrix: tuple[int, int, int, int]) -> Image:
    """Return an image transformed by a matrix, pixel by pixel."""
    a, b, c, d = matrix
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    to_x, to_y = a * x + c * y, b * x + d * y
    to_x, to_y = to_x - to_x.min(), to_y - to_y.min()
    result = np.zeros((to_y.max() + 1, to_x.max() + 1, 3), np.uint8)
    result[to_y, to_x] = image
    return result


@pytest.mark.parametrize("matrix", MATRICES)
def test_all_eight_orientations_are_applied(
    tmp_path: Path, matrix: tuple[int, int, int, int]
) -> None:
    path = rotate_in_header(write_video(tmp_path / "a.mp4"), matrix)
    with open_video_file(path) as opened:
        info = opened.info
        image, _ = next(iter(opened))
    expected = apply_matrix(make_corners_image(96, 64), matrix)
    assert image.shape == (info.height, info.width, 3)
    assert mean_difference(image, expected) < 8
    assert info.mirrored == (matrix[0] * matrix[3] - matrix[1] * matrix[2] < 0)


def test_there_are_eight_orientations() -> None:
    assert len(MATRICES) == 8


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("matrix", [(1, 0, 0, 1), (-1, 0, 0, 1), (0, 1, -1, 0)])
def test_rotate_is_applied_after_the_orientation_of_the_file(
    tmp_path: Path, matrix: tuple[int, int, int, int], rotate: int
) -> None:
    path = rotate_in_header(write_video(tmp_path / "a.mp4"), matrix)
    with open_video(path, rotate=rotate) as opened:
        size_wh = opened.info.width, opened.info.height
        image, _ = next(iter(opened))
    expected = np.rot90(apply_matrix(make_corners_image(96, 64), matrix), -rotate // 90)
    assert image.shape[1::-1] == size_wh
    assert mean_difference(image, expected) < 8


def test_rotation_is_clockwise() -> None:
    image = make_corners_image(4, 2)
    rotated = rotate_image(image, 90)
    assert rotated.shape == (4, 2, 3)
    assert (rotated[0, -1] == image[0, 0]).all(), "top left is now top right"
    assert rotated.flags.c_contiguous
    assert rotate_image(image, 0) is image


@pytest.mark.parametrize("rotate", [45, -90, 360, 90.5, True])
def test_other_angles_are_rejected(tmp_path: Path, rotate: int) -> None:
    line = "rotate must be one of 0, 90, 180, 270 degrees"
    with pytest.raises(ValueError, match=line):
        open_video(write_video(tmp_path / "a.mp4"), rotate=rotate)
