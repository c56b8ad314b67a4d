"""An image in windows: every face once, none of them cut."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.analyzers.onepass import Resize, SingleStage
from maskdet.analyzers.pipelines import TwoStage
from maskdet.analyzers.tiles import TiledAnalyzer, Tiling
from maskdet.boxes import iou_matrix
from maskdet.settings import Settings
from maskdet.types import Faces, Image
from tests.helpers.fakes import FakeClassifier, make_grey_image


class Squares:
    """Finds white rectangles up to a size, as far as the image shows them.

    The score is the share of the image's side, so that windows score better.
    """

    def __init__(self, at_least: float = 0.05) -> None:
        self.sizes_wh: list[tuple[int, int]] = []
        self._at_least = at_least

    def detect(self, image: Image) -> Faces:
        import cv2

        height, width = image.shape[:2]
        self.sizes_wh.append((width, height))
        white = (image[..., 0] > 200).astype(np.uint8)
        rows = cv2.connectedComponentsWithStats(white)[2][1:, :4].astype(np.float32)
        boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:]], axis=1)
        scores = np.clip(rows[:, 2:].max(axis=1) / max(width, height), 0, 1)
        wanted = scores >= self._at_least
        return Faces(boxes[wanted].reshape(-1, 4), scores[wanted])


def scene_of(*boxes: list[int], width: int = 1000, height: int = 600) -> Image:
    image = make_grey_image(width, height)
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2] = 255
    return image


def tiled(side_px: int = 400, overlap: float = 0.25) -> tuple[TiledAnalyzer, Squares]:
    finder = Squares()
    looks = TwoStage(finder, FakeClassifier())
    return TiledAnalyzer(looks, Tiling(side_px, overlap)), finder


ALL = Settings(min_score=0, min_face_px=1, nms_iou=0.5)


@pytest.mark.parametrize("size_wh", [(1000, 600), (401, 400), (2000, 90), (333, 1999)])
def test_windows_cover_the_picture_and_overlap_enough(size_wh):
    width, height = size_wh
    windows = Tiling(400, 0.25).split(width, height)
    covered = np.zeros((height, width), np.int64)
    for x1, y1, x2, y2 in windows:
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        assert (x2 - x1, y2 - y1) == (min(400, width), min(400, height))
        covered[y1:y2, x1:x2] += 1
    assert covered.min() == 1
    for ends, starts in (
        (sorted({one[2] for one in windows}), sorted({one[0] for one in windows})),
        (sorted({one[3] for one in windows}), sorted({one[1] for one in windows})),
    ):
        for end, start in zip(ends, starts[1:], strict=False):
            assert end - start >= 100


def test_a_small_picture_is_looked_at_once():
    looks, finder = tiled()
    image = scene_of([10, 10, 60, 60], width=400, height=300)
    seen = looks.analyze(image, ALL)
    assert finder.sizes_wh == [(400, 300)]
    assert seen.faces.boxes.tolist() == [[10, 10, 60, 60]]


def test_every_face_is_found_once_and_whole():
    boxes = [
        [20, 20, 60, 60],  # too small for the whole image
        [290, 180, 370, 260],  # across the ends of several windows
        [940, 540, 1000, 600],  # at the image's own corner
        [450, 100, 850, 500],  # larger than the overlap
    ]
    seen = tiled()[0].analyze(scene_of(*boxes), ALL)
    assert sorted(seen.faces.boxes.tolist()) == sorted(boxes)
    assert len(seen.probs) == len(boxes)


def test_small_faces_are_found_only_in_windows():
    image = scene_of([20, 20, 60, 60])
    whole = TwoStage(Squares(), FakeClassifier()).analyze(image, ALL)
    assert len(whole) == 0
    assert len(tiled()[0].analyze(image, ALL)) == 1


@pytest.mark.parametrize(
    "settings",
    [Settings(), ALL, Settings(min_score=0.15, min_face_px=50), Settings(min_score=1)],
)
def test_choosing_early_equals_choosing_late(settings):
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 500, (30, 2))
    boxes = [[x, y, x + 30 + y % 90, y + 30 + x % 80] for x, y in corners.tolist()]
    image = scene_of(*boxes)
    early = tiled()[0].analyze(image, settings)
    late = tiled()[0].analyze(image, ALL).filter(settings)
    assert early.faces.boxes.tolist() == late.faces.boxes.tolist()
    assert early.labels == late.labels
    # Boxes of one face may be joined before or after they are refused.
    for one, other in ((early, late), (late, early)):
        covered = np.concatenate([other.blur_boxes, other.faces.boxes])
        assert (iou_matrix(one.blur_boxes, covered).max(axis=1, initial=0) > 0.5).all()


def test_no_face_is_told_twice():
    rng = np.random.default_rng(1)
    corners = rng.integers(0, 500, (20, 2))
    image = scene_of(*([x, y, x + 25, y + 25] for x, y in corners.tolist()))
    boxes = tiled()[0].analyze(image, ALL).faces.boxes
    overlaps = iou_matrix(boxes, boxes)
    np.fill_diagonal(overlaps, 0)
    assert len(boxes) > 5
    assert overlaps.max() <= 0.5


def test_times_are_those_of_all_windows_and_the_picture_is_not_changed():
    looks, finder = tiled()
    image = scene_of([20, 20, 60, 60])
    before = image.copy()
    seen = looks.analyze(image, ALL)
    assert set(seen.stage_ms) == {"find", "label"}
    assert len(finder.sizes_wh) == 1 + len(Tiling(400, 0.25).split(1000, 600))
    np.testing.assert_array_equal(image, before)


class Details:
    """Takes parts of a white square for faces wherever no border of it shows.

    That is what networks do in a window that shows nothing but a part of a face, or
    cloth: a box in the middle of what is all white.
    """

    def detect(self, image: Image) -> Faces:
        height, width = image.shape[:2]
        if not (image > 200).all():
            return Squares(at_least=0.05).detect(image)
        middle = [[width / 4, height / 4, width * 3 / 4, height * 3 / 4]]
        return Faces(np.array(middle, np.float32), np.array([0.95], np.float32))


def test_a_face_larger_than_a_window_is_one_face():
    image = scene_of([100, 100, 1500, 1300], width=2000, height=1500)
    looks = TiledAnalyzer(TwoStage(Details(), FakeClassifier()), Tiling(400, 0.25))
    seen = looks.analyze(image, ALL)
    assert seen.faces.boxes.tolist() == [[100, 100, 1500, 1300]]
    # What windows took for faces may be some: it is blurred where faces are blurred.
    assert len(seen.blur_boxes)


def test_a_large_face_needs_a_guess_in_the_whole_image_not_more():
    class Timid(Squares):
        """Is sure of nothing that fills little of an image."""

        def detect(self, image: Image) -> Faces:
            faces = super().detect(image)
            return Faces(faces.boxes, np.clip(faces.scores, 0, 1) ** 0.9)

    face, neighbour = [700, 700, 950, 950], [1000, 700, 1030, 730]
    image = scene_of(face, neighbour, width=2000, height=1500)
    looks = TiledAnalyzer(TwoStage(Timid(), FakeClassifier()), Tiling(600, 0.5))
    whole = looks.analyzer.analyze(image, Settings(min_score=0.5))
    assert len(whole) == 0
    seen = looks.analyze(image, Settings(min_score=0.4, min_face_px=1))
    assert seen.faces.boxes.tolist() == [face]
    # Small neighbours need none.
    seen = looks.analyze(image, Settings(min_score=0.05, min_face_px=1))
    assert sorted(seen.faces.boxes.tolist()) == [face, neighbour]


def test_a_network_that_sees_more_vouches_for_smaller_faces():
    def visible_px(long_side_px: int) -> float:
        network = SingleStage(None, Resize(long_side_px))  # type: ignore[arg-type]
        return TiledAnalyzer(network)._visible_px(3200)

    assert visible_px(640) == 45
    assert visible_px(320) == 90
    assert tiled()[0]._visible_px(3200) == 320


@pytest.mark.parametrize(
    ("values", "says"), [((10, 0.2), "side_px"), ((640, 0.9), "overlap")]
)
def test_tilings_that_make_no_sense_are_refused(values, says):
    with pytest.raises(ValueError, match=says):
        Tiling(*values)
