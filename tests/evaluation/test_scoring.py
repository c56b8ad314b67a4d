from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from maskdet.analyzers.onepass import SingleStage
from maskdet.analyzers.pipelines import Analyzer, TwoStage, load_analyzer
from maskdet.classifier import load_classifier
from maskdet.datasets.archives import DatasetError, MemoryFiles
from maskdet.detectors.haar import Haar
from maskdet.evaluation.labelled_set import (
    ImageStore,
    ImportedDataset,
    import_dataset,
)
from maskdet.evaluation.predictions import MIN_STORED_SCORE, AnalyzerPredictions
from maskdet.evaluation.scoring import (
    PERMISSIVE_SETTINGS,
    DetectionCache,
    analyzer_key,
    predict_dataset,
)
from maskdet.media import read_image
from maskdet.model_files.model_zoo import model_path
from maskdet.settings import Settings
from maskdet.types import Faces, Scene
from tests.helpers.fakes import ScriptedAnalyzer, ScriptedFace
from tests.helpers.zipped_datasets import make_jpeg, make_zip

SAMPLES = Path(__file__).resolve().parents[2] / "samples"

WEAK = ScriptedFace((1, 1, 21, 21), (0.2, 0.7, 0.1), score=0.03)
OVERLAPPING = ScriptedFace((2, 1, 22, 21), (0.6, 0.3, 0.1), score=0.8)
CONFIDENT = ScriptedFace((40, 10, 70, 50), (0.1, 0.2, 0.7), score=0.9)
BELOW_MINIMUM = ScriptedFace((5, 5, 9, 9), (1, 0, 0), score=0.01)


def faces_of(n: int) -> ImportedDataset:
    return import_dataset(make_zip({f"mask/{i}.jpg": make_jpeg(i) for i in range(n)}))


def scene_of(stored: AnalyzerPredictions, image_index: int) -> Scene:
    """Return the stored predictions of an image as a scene."""
    rows = np.flatnonzero(stored.faces.image_indices == image_index)
    faces = Faces(stored.faces.boxes[rows], stored.scores[rows])
    return Scene(faces, stored.probs[rows])


def test_low_scores_and_overlapping_boxes_are_kept() -> None:
    analyzer = ScriptedAnalyzer(lambda _: [WEAK, BELOW_MINIMUM, CONFIDENT, OVERLAPPING])
    stored = predict_dataset(faces_of(2), analyzer, "fake")
    assert stored.analyzer == "fake"
    assert stored.faces.image_indices.tolist() == [0, 0, 0, 1, 1, 1]
    assert stored.scores.tolist() == pytest.approx([0.9, 0.8, 0.03] * 2)
    assert stored.faces.boxes[2].tolist() == list(WEAK.box)
    assert stored.probs[0].tolist() == pytest.approx(CONFIDENT.probs)
    assert (stored.faces.lights > 0).all()
    assert (stored.faces.sharpness > 0).all()


def test_a_set_without_detections_has_predictions() -> None:
    stored = predict_dataset(faces_of(2), ScriptedAnalyzer(lambda _: []), "fake")
    assert len(stored.faces) == 0
    assert stored.probs.shape == (0, 3)
    assert len(stored.ground_truth.faces) == 2


def test_cached_images_are_not_analyzed_again() -> None:
    cache: DetectionCache = {}
    first = ScriptedAnalyzer(lambda _: [CONFIDENT])
    before = predict_dataset(faces_of(2), first, "fake", cache=cache)
    assert len(first.requested_settings) == 2
    second = ScriptedAnalyzer(lambda _: [CONFIDENT])
    after = predict_dataset(faces_of(3), second, "fake", cache=cache)
    assert len(second.requested_settings) == 1  # only the image that is new
    assert np.array_equal(after.faces.boxes[:2], before.faces.boxes)
    assert np.array_equal(after.faces.sharpness[:2], before.faces.sharpness)


def test_the_cache_separates_analyzers() -> None:
    cache: DetectionCache = {}
    predict_dataset(
        faces_of(1), ScriptedAnalyzer(lambda _: [CONFIDENT]), "fake", cache=cache
    )
    other = ScriptedAnalyzer(lambda _: [OVERLAPPING])
    stored = predict_dataset(
        faces_of(1), other, "fake", cache=cache, key="other weights"
    )
    assert stored.scores.tolist() == pytest.approx([0.8])
    assert len(cache) == 2


def test_an_interrupted_run_keeps_its_cache() -> None:
    cache: DetectionCache = {}

    def stop_after_two(n_done: int, n: int) -> None:
        if n_done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_dataset(
            faces_of(3),
            ScriptedAnalyzer(lambda _: [CONFIDENT]),
            "fake",
            cache=cache,
            progress=stop_after_two,
        )
    rest = ScriptedAnalyzer(lambda _: [CONFIDENT])
    stored = predict_dataset(faces_of(3), rest, "fake", cache=cache)
    assert len(rest.requested_settings) == 1
    assert len(stored.faces) == 3


def test_the_error_names_a_missing_image() -> None:
    loaded = faces_of(2)
    missing_images = ImageStore(MemoryFiles({}), loaded.images.paths)
    broken = dataclasses.replace(loaded, images=missing_images)
    with pytest.raises(ValueError, match=r"mask/0\.jpg: there is no such file"):
        predict_dataset(broken, ScriptedAnalyzer(lambda _: []), "fake")
    with pytest.raises(DatasetError):
        missing_images.load_image(0)


def test_cache_keys_differ_where_predictions_may_differ() -> None:
    keys = {
        analyzer_key("onepass"),
        analyzer_key("onepass-fast"),
        analyzer_key("onepass", refinement=False),
        analyzer_key("onepass", "tutorial"),
        analyzer_key("haar"),
        analyzer_key("haar", "tutorial"),
        analyzer_key("mtcnn"),
    }
    assert len(keys) == 7
    fast = analyzer_key("onepass-fast", "tutorial", refinement=False)
    assert fast == analyzer_key("onepass-fast", "tutorial")
    assert fast != analyzer_key("onepass-fast", refinement=False)
    same_file = str(model_path("classifier"))
    assert analyzer_key("onepass", same_file) != analyzer_key("onepass")
    with pytest.raises(ValueError, match="classifier must be one of"):
        analyzer_key("haar", "nobody")


@pytest.fixture(scope="module")
def samples() -> ImportedDataset:
    names = ("group.jpg", "portrait-bare.jpg", "portrait-below-nose.jpg")
    return import_dataset(
        make_zip({f"mask/{name}": (SAMPLES / name).read_bytes() for name in names})
    )


@pytest.fixture(scope="module", params=["onepass", "onepass-fast", "haar"])
def predicted(
    request: pytest.FixtureRequest, samples: ImportedDataset
) -> tuple[Analyzer, AnalyzerPredictions]:
    analyzer: Analyzer = (
        TwoStage(Haar(), load_classifier())
        if request.param == "haar"
        else load_analyzer(request.param)
    )
    return analyzer, predict_dataset(samples, analyzer, request.param)


def _n_refined(analyzer: Analyzer, n: int) -> int:
    """Return how many of `n` faces, best first, Live refines."""
    refiner = analyzer.refiner if isinstance(analyzer, SingleStage) else None
    return n if refiner is None or refiner.max_faces is None else refiner.max_faces


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(
            min_score=MIN_STORED_SCORE, min_face_px=1, min_confidence=0, nms_iou=1
        ),
        Settings(min_score=0.1, nms_iou=0.05, min_face_px=30, min_confidence=0.9),
        Settings(min_score=0.3, nms_iou=0.2),
    ],
)
def test_filtered_predictions_equal_the_analyzer_output(
    predicted: tuple[Analyzer, AnalyzerPredictions],
    samples: ImportedDataset,
    settings: Settings,
) -> None:
    analyzer, stored = predicted
    for image_index in range(len(samples.images)):
        shown = analyzer.analyze(samples.images.load_image(image_index), settings)
        later = scene_of(stored, image_index).filter(settings)
        assert len(later) == len(shown)
        # Rounding depends on the number of threads and the batch size.
        assert np.allclose(later.faces.boxes, shown.faces.boxes, atol=1e-3)
        assert np.allclose(later.faces.scores, shown.faces.scores, atol=1e-5)
        same = np.abs(later.probs - shown.probs).max(axis=1, initial=0) < 2e-5
        assert same[: _n_refined(analyzer, len(shown))].all()
        assert [
            label for label, is_ in zip(later.labels, same, strict=True) if is_
        ] == [label for label, is_ in zip(shown.labels, same, strict=True) if is_]


def test_refinement_has_no_face_limit(
    samples: ImportedDataset,
) -> None:
    live = load_analyzer("onepass-fast")
    assert isinstance(live, SingleStage)
    assert live.refiner is not None
    limited, unlimited = (
        SingleStage(
            live._network,
            live.resize,
            refiner=dataclasses.replace(live.refiner, skip_above=1.0, max_faces=most),
        )
        for most in (1, None)
    )
    stored = predict_dataset(samples, limited, "onepass-fast")
    assert limited.refiner is not None
    assert limited.refiner.max_faces == 1, "the analyzer is not modified"
    for image_index in range(len(samples.images)):
        shown = unlimited.analyze(
            samples.images.load_image(image_index), PERMISSIVE_SETTINGS
        )
        assert np.allclose(scene_of(stored, image_index).probs, shown.probs, atol=1e-5)


def test_images_are_loaded_from_the_set(samples: ImportedDataset) -> None:
    image = read_image(SAMPLES / "group.jpg")
    assert np.array_equal(samples.images.load_image(0), image)
