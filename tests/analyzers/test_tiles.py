"""Tests of tiled analysis."""

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


class SquareDetector:
    """Detects white rectangles, as far as they are visible.

    The score is the side as a fraction of the image's side, so it is higher in tiles.
    """

    def __init__(self, min_score: float = 0.05) -> None:
        self.sizes_wh: list[tuple[int, int]] = []
        self._min_score = min_score

    def detect(self, image: Image) -> Faces:
        import cv2

        height, width = image.shape[:2]
        self.sizes_wh.append((width, height))
        white = (image[..., 0] > 200).astype(np.uint8)
        rows = cv2.connectedComponentsWithStats(white)[2][1:, :4].astype(np.float32)
        boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:]], axis=1)
        scores = np.clip(rows[:, 2:].max(axis=1) / max(width, height), 0, 1)
        is_kept = scores >= self._min_score
        return Faces(boxes[is_kept].reshape(-1, 4), scores[is_kept])


def make_image(*boxes: list[int], width: int = 1000, height: int = 600) -> Image:
    image = make_grey_image(width, height)
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2] = 255
    return image


def tiled(
    side_px: int = 400, overlap: float = 0.25
) -> tuple[TiledAnalyzer, SquareDetector]:
    detector = SquareDetector()
    analyzer = TwoStage(detector, FakeClassifier())
    return TiledAnalyzer(analyzer, Tiling(side_px, overlap)), detector


ALL = Settings(min_score=0, min_face_px=1, nms_iou=0.5)


@pytest.mark.parametrize("size_wh", [(1000, 600), (401, 400), (2000, 90), (333, 1999)])
def test_tiles_cover_the_image_and_overlap(size_wh):
    width, height = size_wh
    tiles = Tiling(400, 0.25).split(width, height)
    covered = np.zeros((height, width), np.int64)
    for x1, y1, x2, y2 in tiles:
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        assert (x2 - x1, y2 - y1) == (min(400, width), min(400, height))
        covered[y1:y2, x1:x2] += 1
    assert covered.min() == 1
    for ends, starts in (
        (sorted({tile[2] for tile in tiles}), sorted({tile[0] for tile in tiles})),
        (sorted({tile[3] for tile in tiles}), sorted({tile[1] for tile in tiles})),
    ):
        for end, start in zip(ends, starts[1:], strict=False):
            assert end - start >= 100


def test_a_small_image_is_analyzed_once():
    analyzer, detector = tiled()
    image = make_image([10, 10, 60, 60], width=400, height=300)
    scene = analyzer.analyze(image, ALL)
    assert detector.sizes_wh == [(400, 300)]
    assert scene.faces.boxes.tolist() == [[10, 10, 60, 60]]


def test_every_face_is_detected_once_and_complete():
    boxes = [
        [20, 20, 60, 60],  # too small for the whole image
        [290, 180, 370, 260],  # across the borders of several tiles
        [940, 540, 1000, 600],  # at the image's own corner
        [450, 100, 850, 500],  # larger than the overlap
    ]
    scene = tiled()[0].analyze(make_image(*boxes), ALL)
    assert sorted(scene.faces.boxes.tolist()) == sorted(boxes)
    assert len(scene.probs) == len(boxes)


def test_small_faces_are_detected_only_in_tiles():
    image = make_image([20, 20, 60, 60])
    image_scene = TwoStage(SquareDetector(), FakeClassifier()).analyze(image, ALL)
    assert len(image_scene) == 0
    assert len(tiled()[0].analyze(image, ALL)) == 1


@pytest.mark.parametrize(
    "settings",
    [Settings(), ALL, Settings(min_score=0.15, min_face_px=50), Settings(min_score=1)],
)
def test_filtering_in_analyze_equals_filtering_later(settings):
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 500, (30, 2))
    boxes = [[x, y, x + 30 + y % 90, y + 30 + x % 80] for x, y in corners.tolist()]
    image = make_image(*boxes)
    filtered_early = tiled()[0].analyze(image, settings)
    filtered_late = tiled()[0].analyze(image, ALL).filter(settings)
    assert filtered_early.faces.boxes.tolist() == filtered_late.faces.boxes.tolist()
    assert filtered_early.labels == filtered_late.labels
    # Boxes of one face may be merged before or after they are dropped.
    for scene, other in (
        (filtered_early, filtered_late),
        (filtered_late, filtered_early),
    ):
        covered = np.concatenate([other.blur_boxes, other.faces.boxes])
        assert (
            iou_matrix(scene.blur_boxes, covered).max(axis=1, initial=0) > 0.5
        ).all()


def test_no_face_is_returned_twice():
    rng = np.random.default_rng(1)
    corners = rng.integers(0, 500, (20, 2))
    image = make_image(*([x, y, x + 25, y + 25] for x, y in corners.tolist()))
    boxes = tiled()[0].analyze(image, ALL).faces.boxes
    ious = iou_matrix(boxes, boxes)
    np.fill_diagonal(ious, 0)
    assert len(boxes) > 5
    assert ious.max() <= 0.5


def test_stage_times_cover_all_tiles_and_the_image_is_not_changed():
    analyzer, detector = tiled()
    image = make_image([20, 20, 60, 60])
    before = image.copy()
    scene = analyzer.analyze(image, ALL)
    assert set(scene.stage_ms) == {"detect", "classify"}
    assert len(detector.sizes_wh) == 1 + len(Tiling(400, 0.25).split(1000, 600))
    np.testing.assert_array_equal(image, before)


class FragmentDetector:
    """Detects a face in the middle of an image that is all white.

    Networks have such false positives in a tile that only shows a part of a face or
    cloth.
    """

    def detect(self, image: Image) -> Faces:
        height, width = image.shape[:2]
        if not (image > 200).all():
            return SquareDetector(min_score=0.05).detect(image)
        middle = [[width / 4, height / 4, width * 3 / 4, height * 3 / 4]]
        return Faces(np.array(middle, np.float32), np.array([0.95], np.float32))


def test_a_face_larger_than_a_tile_is_detected_once():
    image = make_image([100, 100, 1500, 1300], width=2000, height=1500)
    analyzer = TiledAnalyzer(
        TwoStage(FragmentDetector(), FakeClassifier()), Tiling(400, 0.25)
    )
    scene = analyzer.analyze(image, ALL)
    assert scene.faces.boxes.tolist() == [[100, 100, 1500, 1300]]
    # Detections that were dropped as fragments are still blurred.
    assert len(scene.blur_boxes)


def test_a_large_face_needs_a_weak_detection_in_the_whole_image():
    class LowScoreDetector(SquareDetector):
        """Gives low scores to faces that are small in the image."""

        def detect(self, image: Image) -> Faces:
            faces = super().detect(image)
            return Faces(faces.boxes, np.clip(faces.scores, 0, 1) ** 0.9)

    face, neighbour = [700, 700, 950, 950], [1000, 700, 1030, 730]
    image = make_image(face, neighbour, width=2000, height=1500)
    analyzer = TiledAnalyzer(
        TwoStage(LowScoreDetector(), FakeClassifier()), Tiling(600, 0.5)
    )
    image_scene = analyzer.analyzer.analyze(image, Settings(min_score=0.5))
    assert len(image_scene) == 0
    scene = analyzer.analyze(image, Settings(min_score=0.4, min_face_px=1))
    assert scene.faces.boxes.tolist() == [face]
    # Small faces do not need a detection in the whole image.
    scene = analyzer.analyze(image, Settings(min_score=0.05, min_face_px=1))
    assert sorted(scene.faces.boxes.tolist()) == [face, neighbour]


def test_visible_px_depends_on_the_input_size():
    def visible_px(long_side_px: int) -> float:
        network = SingleStage(None, Resize(long_side_px))  # type: ignore[arg-type]
        return TiledAnalyzer(network)._visible_px(3200)

    assert visible_px(640) == 45
    assert visible_px(320) == 90
    assert tiled()[0]._visible_px(3200) == 320


@pytest.mark.parametrize(
    ("values", "message"), [((10, 0.2), "side_px"), ((640, 0.9), "overlap")]
)
def test_invalid_tilings_are_rejected(values, message):
    with pytest.raises(ValueError, match=message):
        Tiling(*values)
