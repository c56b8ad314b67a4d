"""Images without faces: synthesis, crops and counts of false positives."""

from __future__ import annotations

import json
from functools import partial

import cv2
import numpy as np
import pytest

from maskdet.boxes import iou_matrix
from maskdet.cli import main, robustness
from maskdet.datasets import Example
from maskdet.media import encode_png
from maskdet.metrics.intervals import poisson_rate
from maskdet.robustness.false_positives import (
    MIN_PART_PX,
    SCENE_PARTS,
    evaluate_false_positives,
    face_free_windows,
)
from maskdet.settings import Settings
from maskdet.synthetic import render_occluder
from maskdet.synthetic.backgrounds import (
    CARTOON_KINDS,
    ROUND_OBJECT_KINDS,
    SIZE_WH,
    WALL_PATTERNS,
    draw_cartoon,
    draw_round_objects,
    draw_wall,
)
from maskdet.training.onepass.data import is_held_out
from maskdet.types import Faces, Label, Scene

DRAWN = [
    *((draw_wall, kind) for kind in WALL_PATTERNS),
    *((draw_round_objects, kind) for kind in ROUND_OBJECT_KINDS),
    *((draw_cartoon, kind) for kind in CARTOON_KINDS),
]
UNKNOWN = np.array([[230, 60, 330, 140], [20, 60, 80, 140]], np.float32)
FACE = np.array([[120, 0, 160, 60]], np.float32)


class SeesInLarge:
    """Detects two faces in every image of a minimal width."""

    def __init__(self, wide: int = 0):
        self.wide = wide
        self.seen = []

    def analyze(self, image, settings=None):
        self.seen.append(image)
        n = 2 if image.shape[1] >= self.wide else 0
        boxes = np.array([[0, 0, 40, 40], [50, 0, 90, 40]], np.float32)[:n]
        scene = Scene(Faces(boxes, np.full(n, 0.9)), np.tile([0.8, 0.1, 0.1], (n, 1)))
        return scene.filter(settings)


@pytest.fixture
def scene(tmp_path):
    """Return an image of 400 x 200 px with one face on its left."""
    (tmp_path / "images").mkdir()
    path = tmp_path / "images" / "a.png"
    path.write_bytes(encode_png(np.full((200, 400, 3), 90, np.uint8)))
    return Example(path, FACE, (Label.MASK,))


@pytest.mark.parametrize(("draw", "kind"), DRAWN, ids=[kind for _, kind in DRAWN])
def test_images_depend_on_the_seed_only(draw, kind):
    first, again, other = (draw(kind, np.random.default_rng(n)) for n in (1, 1, 2))
    assert first.shape == (SIZE_WH[1], SIZE_WH[0], 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_stripes_repeat_along_one_axis_only():
    # All rows of upright stripes are equal; some seed gives upright ones.
    spreads = []
    for seed in range(6):
        image = draw_wall("stripes", np.random.default_rng(seed))
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(float)
        rough = cv2.GaussianBlur(grey, (0, 0), 2)
        down, across = (np.abs(np.diff(rough, axis=axis)).mean() for axis in (0, 1))
        spreads.append(across / down)
    assert max(spreads) > 4


def test_hands_may_have_a_given_colour():
    green, skin = (40, 160, 40), (120, 150, 205)
    sheet = np.full((200, 200, 3), green, np.uint8)
    points = np.array([[82, 80], [118, 80], [100, 100], [85, 121], [115, 121]])
    with_hand, without = (
        render_occluder(sheet, points, "hand", skin=tone, rng=np.random.default_rng(3))
        for tone in (skin, None)
    )
    redder = [int((one[..., 2] > one[..., 1]).sum()) for one in (with_hand, without)]
    assert redder[0] > 500
    assert redder[1] == 0, "the colour of the wall is the default"


def test_windows_touch_no_face_and_do_not_overlap():
    found = face_free_windows((400, 200), FACE, np.random.default_rng(0))
    assert len(found) == 2
    sides = [x2 - x1 for x1, _, x2, _ in found]
    # right of the face and its margin (174 to 400) the whole height is free
    assert sides[0] == 200
    assert min(sides) >= MIN_PART_PX
    boxes = np.array([*found, *FACE], np.float32)
    assert (iou_matrix(boxes, boxes) > 0).sum() == 3
    assert all(
        x1 >= 0 and x2 <= 400 and y1 >= 0 and y2 <= 200 for x1, y1, x2, y2 in found
    )


def test_full_images_have_no_window_and_empty_ones_are_one():
    rng = np.random.default_rng(0)
    middle = np.array([[60, 60, 140, 140]], np.float32)
    assert face_free_windows((200, 200), middle, rng) == []
    none = np.zeros((0, 4), np.float32)
    assert face_free_windows((200, 200), none, rng) == [(0, 0, 200, 200)]
    assert face_free_windows((90, 90), none, rng) == []


def test_false_positives_are_counted_by_kind_without_cartoons(scene):
    analyzer = SeesInLarge(SIZE_WH[0])
    report = evaluate_false_positives(
        analyzer, [scene, scene], Settings(), n_per_kind=3
    )
    assert (report.by_kind[SCENE_PARTS].value, report.by_kind[SCENE_PARTS].n) == (0, 4)
    drawn = len(report.by_kind) - 1
    assert drawn == len(WALL_PATTERNS) + len(ROUND_OBJECT_KINDS) + 4
    assert {
        one.value for name, one in report.by_kind.items() if name != SCENE_PARTS
    } == {2}
    assert report.overall.n == 4 + 3 * drawn
    assert report.overall.value == pytest.approx(6 * drawn / (4 + 3 * drawn))
    assert report.fraction_with_any.value == pytest.approx(3 * drawn / (4 + 3 * drawn))
    assert list(report.cartoons) == list(CARTOON_KINDS)
    assert {one.n for one in report.cartoons.values()} == {3}
    again = SeesInLarge()
    evaluate_false_positives(again, [scene, scene], Settings(), n_per_kind=3)
    pairs = zip(analyzer.seen, again.seen, strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


def test_detections_below_the_thresholds_do_not_count(scene):
    report = evaluate_false_positives(
        SeesInLarge(), [scene], Settings(min_score=0.95), n_per_kind=1
    )
    assert report.overall.value == 0


def test_unknown_faces_are_avoided_and_portraits_skipped(scene):
    unknown = Example(scene.path, FACE, (Label.MASK,), ignore_boxes=UNKNOWN)
    whole = Example(scene.path, np.zeros((0, 4), np.float32), (Label.MASK,))
    analyzer = SeesInLarge()
    report = evaluate_false_positives(
        analyzer, [unknown, whole], Settings(), n_per_kind=1
    )
    assert report.by_kind[SCENE_PARTS].n == 0


@pytest.mark.parametrize(
    ("counts", "value", "low", "high"),
    [
        # exact: 3.689, 4.795 and 18.39 of a Poisson count of 0 and of 10
        ([0] * 100, 0, 0, 0.0368),
        ([1] * 10, 1, 0.4795, 1.839),
    ],
)
def test_a_rate_has_the_interval_of_a_poisson_count(counts, value, low, high):
    found = poisson_rate(counts)
    assert found.n == len(counts)
    assert found.value == value
    assert found.low == pytest.approx(low, rel=0.01)
    assert found.high == pytest.approx(high, rel=0.01)


def test_clustered_false_positives_widen_the_interval():
    spread, heaped = poisson_rate([1] * 10 + [0] * 90), poisson_rate([10] + [0] * 99)
    assert spread.value == heaped.value == pytest.approx(0.1)
    assert heaped.low < spread.low
    assert heaped.high > spread.high
    assert heaped.low >= 0
    assert poisson_rate([]).n == 0


def test_the_command_reports_false_positives_on_request(
    scene, tmp_path, capsys, monkeypatch
):
    loaded = []

    def load(name, classifier, *, refine):
        loaded.append((name, classifier))
        return SeesInLarge()

    monkeypatch.setattr(robustness, "load_analyzer", load)
    monkeypatch.setattr(
        robustness,
        "evaluate_false_positives",
        partial(evaluate_false_positives, n_per_kind=1),
    )
    coco = {
        "images": [{"id": 1, "file_name": "a.png", "width": 400, "height": 200}],
        "annotations": [],
        "categories": [{"id": 1, "name": "mask"}],
    }
    file = tmp_path / "hall-val.json"
    file.write_text(json.dumps(coco))
    assert main(["robustness", str(file), "--analyzer", "haar"]) == 0
    out = capsys.readouterr().out
    assert "false positives per image, haar" in out
    assert "  bricks                          2.000" in out
    assert "detected cartoon faces per image" in out
    assert loaded == [("haar", "maskdet")]
    assert main(["robustness", str(file), "--analyzer", "haar", "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["analyzer"] == "haar"
    assert report["false_positives"]["by_kind"][SCENE_PARTS]["n"] == 2
    assert report["false_positives"]["overall"]["value"] == 2
    assert main(["robustness", str(file), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["false_positives"] is None


def test_own_images_are_counted_and_broken_files_listed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        robustness, "load_analyzer", lambda *names, **how: SeesInLarge(wide=300)
    )
    below = tmp_path / "hall" / "wall"
    below.mkdir(parents=True)
    for folder, wide in ((tmp_path, 400), (below, 400), (below.parent, 100)):
        image = np.full((200, wide, 3), 90, np.uint8)
        (folder / f"{wide}.png").write_bytes(encode_png(image))
    (below / "torn.png").write_bytes(b"no image")
    words = ["robustness", "--analyzer", "haar", "--without-faces", str(tmp_path)]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "  false positives per image       1.333" in out
    assert "  fraction of images with one     0.667" in out
    assert "torn.png" in out
    assert "faces without mask" not in out
    assert main([*words, "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["without_faces"]["per_image"]["n"] == 3


def test_only_held_out_images_of_a_file_are_counted(
    tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(
        robustness, "load_analyzer", lambda *names, **how: SeesInLarge(wide=300)
    )
    rows = []
    for number in range(40):
        wide, kind = (400, "house") if number < 4 else (100, "tool")
        image = np.full((200, wide, 3), 90, np.uint8)
        (tmp_path / f"{number}.png").write_bytes(encode_png(image))
        rows.append({"file_name": f"{number}.png", "kind": kind})
    listed = tmp_path / "things.json"
    listed.write_text(json.dumps({"images": rows, "annotations": []}))
    words = ["robustness", "--analyzer", "haar", "--without-faces", str(listed)]
    assert main([*words, "--held-out-kinds", "house", "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)["without_faces"]
    apart = sum(is_held_out(f"{number}.png") for number in range(4, 40))
    assert 0 < apart < 36
    assert report["fraction_with_any"]["n"] == 4 + apart
    kinds = report["by_kind"]
    assert (kinds["house"]["n"], kinds["house"]["value"]) == (4, 1)
    assert (kinds["tool"]["n"], kinds["tool"]["value"]) == (apart, 0)
    assert main([*words, "--held-out-kinds", "castle"]) == 1
    assert "no negative image has the kind 'castle'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give files"),
        (("--without-faces", "."), "needs --analyzer"),
        (("--analyzer", "haar", "--without-faces", "no-such"), "no such folder"),
    ],
)
def test_invalid_options_are_reported(words, message, capsys, monkeypatch):
    monkeypatch.setattr(
        robustness, "load_analyzer", lambda *names, **how: SeesInLarge()
    )
    assert main(["robustness", *words]) != 0
    assert message in capsys.readouterr().err


def test_a_folder_without_images_is_reported(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        robustness, "load_analyzer", lambda *names, **how: SeesInLarge()
    )
    words = ["--analyzer", "haar", "--without-faces", str(tmp_path)]
    assert main(["robustness", *words]) != 0
    assert "no images found" in capsys.readouterr().err
