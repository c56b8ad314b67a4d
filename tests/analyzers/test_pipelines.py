from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from maskdet.analyzers.aizoo import Aizoo
from maskdet.analyzers.onepass import N_CHANNELS, FeatureMap, Refiner
from maskdet.analyzers.pipelines import (
    ANALYZERS,
    AUTO,
    DEFAULT_ANALYZER,
    TwoStage,
    analyzer_model_name,
    has_refinement,
    load_analyzer,
    register_analyzer,
    resolve_analyzer,
)
from maskdet.classifier import DEFAULT_CLASSIFIER
from maskdet.cli import main
from maskdet.detectors import DETECTORS, load_detector
from maskdet.media import write_image
from maskdet.serving.preferences import Preferences
from maskdet.settings import Settings
from maskdet.types import Image, Label
from maskdet.web import session
from tests.helpers.fake_networks.weights import (
    parametrize_kinds,
    use_stand_ins,
    use_weights,
)
from tests.helpers.fakes import FakeClassifier, FakeDetector, make_grey_image

ROOT = Path(__file__).resolve().parents[2]
ALL = Settings.permissive()

BOXES = [[5, 5, 25, 30], [6, 5, 26, 30], [40, 10, 50, 20], [0, 0, 3, 3]]
SCORES = [0.9, 0.8, 0.4, 0.7]


def make_two_stage() -> tuple[TwoStage, FakeClassifier]:
    classifier = FakeClassifier()
    return TwoStage(FakeDetector(BOXES, SCORES), classifier), classifier


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(min_score=0.1, min_face_px=1, nms_iou=1),
        Settings(min_score=1),
        Settings(min_score=0.3, min_face_px=5, min_confidence=0.95),
    ],
)
def test_filtering_before_classification_equals_filtering_after(settings) -> None:
    analyzer, _ = make_two_stage()
    before = analyzer.analyze(make_grey_image(), settings)
    after = analyzer.analyze(make_grey_image(), ALL).filter(settings)
    assert before.faces.boxes.tolist() == after.faces.boxes.tolist()
    assert before.probs.tolist() == after.probs.tolist()
    assert before.labels == after.labels
    assert before.blur_boxes.tolist() == after.blur_boxes.tolist()


def test_dropped_faces_are_not_classified() -> None:
    analyzer, classifier = make_two_stage()
    scene = analyzer.analyze(make_grey_image(), Settings(min_score=0.5))
    assert classifier.boxes[-1].tolist() == [BOXES[0]]
    assert scene.labels == (Label.MASK,)


def test_default_settings_apply_and_permissive_keeps_all() -> None:
    analyzer, _ = make_two_stage()
    default_scene = analyzer.analyze(make_grey_image())
    assert (
        default_scene.boxes.tolist()
        == analyzer.analyze(make_grey_image(), Settings()).boxes.tolist()
    )
    assert len(default_scene) < len(analyzer.analyze(make_grey_image(), ALL)) == 4


def test_every_stage_is_timed() -> None:
    analyzer, _ = make_two_stage()
    stage_ms = analyzer.analyze(make_grey_image(), ALL).stage_ms
    assert set(stage_ms) == {"detect", "classify"}
    assert min(stage_ms.values()) >= 0


def test_an_image_without_faces_is_an_empty_scene() -> None:
    image = make_grey_image()
    scene = TwoStage(FakeDetector(), FakeClassifier()).analyze(image, Settings())
    assert len(scene) == 0
    np.testing.assert_array_equal(image, make_grey_image())


def test_unknown_names_are_rejected_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"mtcnn.*not 'best'"):
        load_analyzer("best")
    with pytest.raises(ValueError, match=r"haar.*not 'best'"):
        load_detector("best")


def test_the_chosen_classifier_is_loaded(monkeypatch) -> None:
    loaded_names: list[str] = []

    def load(name: str) -> FakeClassifier:
        loaded_names.append(name)
        return FakeClassifier()

    monkeypatch.setattr("maskdet.analyzers.pipelines.load_classifier", load)
    monkeypatch.setattr(
        "maskdet.analyzers.pipelines.load_detector", lambda name: FakeDetector()
    )
    load_analyzer("mtcnn")
    load_analyzer("haar", "tutorial")
    assert loaded_names == [DEFAULT_CLASSIFIER, "tutorial"]


def test_an_unknown_classifier_is_rejected_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"classifier must be one of maskdet.*'best'"):
        load_analyzer("haar", "best")


def test_every_detector_has_an_analyzer() -> None:
    single_stage = {"aizoo", "onepass", "onepass-fast"}
    assert set(ANALYZERS) == set(DETECTORS) | single_stage
    assert DEFAULT_ANALYZER == "onepass"


@parametrize_kinds("aizoo")
def test_the_aizoo_analyzer_is_loaded_by_its_name(kind) -> None:
    with use_weights(kind):
        analyzer = load_analyzer("aizoo")
    assert isinstance(analyzer, Aizoo)


@pytest.mark.parametrize("name", ["centerface", "ssd", "yunet"])
def test_a_detector_with_downloaded_weights_makes_a_two_stage_analyzer(name) -> None:
    with use_stand_ins():
        analyzer = load_analyzer(name)
    scene = analyzer.analyze(make_grey_image(300, 300), Settings())
    assert set(scene.stage_ms) == {"detect", "classify"}
    assert len(scene) == 0


@pytest.fixture
def single_stage(monkeypatch) -> FakeClassifier:
    """Use a fake network in the single-stage analyzers; return their classifier."""
    classifier = FakeClassifier((0, 0, 1))
    for name in ("onepass", "onepass-fast"):
        monkeypatch.setitem(ANALYZERS, name, "being tested")
    monkeypatch.setattr("maskdet.analyzers.pipelines.model_path", lambda asset: asset)
    monkeypatch.setattr("maskdet.analyzers.pipelines.SingleStageNetwork", OneLargeFace)
    monkeypatch.setattr(
        "maskdet.analyzers.pipelines.load_classifier", lambda name: classifier
    )
    return classifier


@pytest.mark.parametrize(
    ("name", "network_wh"), [("onepass", (640, 480)), ("onepass-fast", (320, 240))]
)
def test_one_network_is_used_at_two_sizes(single_stage, name, network_wh) -> None:
    analyzer = load_analyzer(name)
    scene = analyzer.analyze(make_grey_image(1280, 960), Settings())
    assert scene.faces.boxes.shape == (1, 4)
    assert OneLargeFace.sizes_wh[-1] == network_wh
    assert len(single_stage.boxes) == has_refinement(name)


def test_refinement_follows_the_table_of_refiners(single_stage, monkeypatch) -> None:
    rules = {"onepass-fast": partial(Refiner, min_px=50, weight=0.25)}
    monkeypatch.setattr("maskdet.analyzers.pipelines._REFINERS", rules)
    assert (has_refinement("onepass-fast"), has_refinement("onepass")) == (True, False)
    plain_scene = load_analyzer("onepass-fast", refine=False).analyze(
        make_grey_image(640, 480), ALL
    )
    refined_scene = load_analyzer("onepass-fast").analyze(
        make_grey_image(640, 480), ALL
    )
    blended = 0.75 * plain_scene.probs[0] + 0.25 * np.array([0, 0, 1])
    np.testing.assert_allclose(refined_scene.probs[0], blended, rtol=1e-6)


def test_without_a_refinement_no_classifier_is_loaded(
    single_stage, monkeypatch
) -> None:
    def load(name: str) -> FakeClassifier:
        raise FileNotFoundError(f"{name} is missing")

    monkeypatch.setattr("maskdet.analyzers.pipelines.load_classifier", load)
    assert len(
        load_analyzer("onepass", refine=False).analyze(make_grey_image(1280, 960), ALL)
    )
    with pytest.raises(FileNotFoundError, match="maskdet is missing"):
        load_analyzer("onepass")


def test_a_detector_keeps_its_classifier_without_refinement(
    single_stage, monkeypatch
) -> None:
    detector = FakeDetector(BOXES, SCORES)
    monkeypatch.setattr(
        "maskdet.analyzers.pipelines.load_detector", lambda name: detector
    )
    scene = load_analyzer("haar", refine=False).analyze(make_grey_image(), Settings())
    assert scene.labels == (Label.INCORRECT,)


def test_auto_is_fast_for_video_and_thorough_for_images() -> None:
    assert resolve_analyzer(AUTO, live=True) == "onepass-fast"
    assert resolve_analyzer(AUTO, live=False) == "onepass"
    assert (
        resolve_analyzer("haar", live=True)
        == resolve_analyzer("haar", live=False)
        == "haar"
    )


def test_two_analyzers_use_one_model_file() -> None:
    assert (
        analyzer_model_name("onepass")
        == analyzer_model_name("onepass-fast")
        == "onepass"
    )
    assert analyzer_model_name("yunet") == "yunet"


class OneLargeFace:
    """A network that detects one face of 100 pixels in all but tiny images."""

    sizes_wh: ClassVar[list[tuple[int, int]]] = []

    def __init__(self, asset: str) -> None:
        assert asset == "onepass"

    def forward(self, image: Image) -> list[FeatureMap]:
        height, width = image.shape[:2]
        self.sizes_wh.append((width, height))
        rows, columns = -(-height // 32), -(-width // 32)
        maps = [
            np.full((rows * n, columns * n, N_CHANNELS), -20, np.float32)
            for n in (4, 2, 1)
        ]
        if width > 200:
            maps[2][2, 3] = [9, 9, 0, 0, np.log(100 / 32), np.log(100 / 32), 0, 0, 0]
        return maps


@pytest.fixture
def registered(monkeypatch):
    """Register an analyzer as `mine` for one test."""
    analyzer, _ = make_two_stage()
    register_analyzer("mine", lambda: analyzer, "made by a test")
    yield analyzer
    del ANALYZERS["mine"]


def test_a_registered_analyzer_is_known_by_its_name(registered, tmp_path, capsys):
    assert ANALYZERS["mine"] == "made by a test"
    assert load_analyzer("mine") is registered
    path = tmp_path / "a.png"
    write_image(path, make_grey_image())
    assert main(["detect", str(path), "--analyzer", "mine", "--json", "-"]) == 0
    assert '"label": "mask"' in capsys.readouterr().out
    assert Preferences(analyzer="mine").analyzer == "mine"
    assert "mine" not in session.list_unavailable_analyzers()


@pytest.mark.parametrize("name", ["onepass", "haar", AUTO])
def test_built_in_names_cannot_be_registered(name):
    with pytest.raises(ValueError, match="ships with maskdet; choose another name"):
        register_analyzer(name, lambda: make_two_stage()[0])
    assert name == AUTO or ANALYZERS[name]


@pytest.mark.parametrize(
    ("name", "factory", "error", "line"),
    [
        (" ", lambda: None, ValueError, "name must not be empty"),
        ("mine", "not a function", TypeError, "must be callable without arguments"),
    ],
)
def test_invalid_registrations_are_rejected(name, factory, error, line):
    with pytest.raises(error, match=line):
        register_analyzer(name, factory)
    assert name not in ANALYZERS


def test_a_factory_with_an_invalid_result_is_named():
    register_analyzer("mine", FakeDetector)  # type: ignore[arg-type]
    try:
        with pytest.raises(RuntimeError, match=r"'mine': .* not FakeDetector"):
            load_analyzer("mine")
    finally:
        del ANALYZERS["mine"]


PLUGIN = """
import maskdet

class EmptyAnalyzer:
    def analyze(self, image, settings=None):
        return maskdet.Scene.empty()
"""


def test_an_installed_package_adds_analyzers_by_entry_points(tmp_path):
    """Run in a separate process, because entry points are discovered once."""
    (tmp_path / "plugin.py").write_text(PLUGIN)
    info_folder = tmp_path / "plugin-1.0.dist-info"
    info_folder.mkdir()
    (info_folder / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n"
    )
    (info_folder / "entry_points.txt").write_text(
        "[maskdet.analyzers]\nnobody = plugin:EmptyAnalyzer\nbroken = plugin:Missing\n"
    )
    code = (
        "import sys, maskdet\n"
        "assert 'plugin' not in sys.modules\n"
        "print(maskdet.ANALYZERS['nobody'], list(maskdet.ANALYZERS)[-2:])\n"
        "assert 'plugin' not in sys.modules\n"
        "print(maskdet.load_analyzer('nobody').analyze(None))\n"
        "try:\n"
        "    maskdet.load_analyzer('broken')\n"
        "except RuntimeError as error:\n"
        "    print(error)\n"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    completed = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.splitlines() == [
        "added by plugin ['nobody', 'broken']",
        "<Scene: 0 faces>",
        "analyzer 'broken' cannot be created: module 'plugin' has no attribute "
        "'Missing'",
    ]
