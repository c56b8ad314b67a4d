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
from maskdet.media import read_image
from maskdet.model_zoo import model_path
from maskdet.settings import Settings
from maskdet.tuning.labelled_set import (
    CancelledError,
    ImageStore,
    ImportedDataset,
    import_dataset,
)
from maskdet.tuning.predictions import MIN_STORED_SCORE, AnalyzerPredictions
from maskdet.tuning.scoring import (
    PERMISSIVE_SETTINGS,
    DetectionCache,
    analyzer_key,
    predict_dataset,
)
from maskdet.types import Faces, Scene
from tests.helpers.fakes import ScriptedAnalyzer, ScriptedFace
from tests.helpers.zipped_datasets import make_jpeg, make_zip

SAMPLES = Path(__file__).resolve().parents[2] / "samples"

WEAK = ScriptedFace((1, 1, 21, 21), (0.2, 0.7, 0.1), score=0.03)
TWIN = ScriptedFace((2, 1, 22, 21), (0.6, 0.3, 0.1), score=0.8)
SURE = ScriptedFace((40, 10, 70, 50), (0.1, 0.2, 0.7), score=0.9)
HOPELESS = ScriptedFace((5, 5, 9, 9), (1, 0, 0), score=0.01)


def faces_of(n: int) -> ImportedDataset:
    return import_dataset(make_zip({f"mask/{i}.jpg": make_jpeg(i) for i in range(n)}))


def scene_of(scored: AnalyzerPredictions, picture: int) -> Scene:
    """Return what is stored of an image as an analyzer would have given it."""
    rows = np.flatnonzero(scored.faces.image_indices == picture)
    faces = Faces(scored.faces.boxes[rows], scored.scores[rows])
    return Scene(faces, scored.probs[rows])


def test_weak_faces_and_twins_are_kept_for_the_sliders() -> None:
    analyzer = ScriptedAnalyzer(lambda _: [WEAK, HOPELESS, SURE, TWIN])
    scored = predict_dataset(faces_of(2), analyzer, "fake")
    assert scored.analyzer == "fake"
    assert scored.faces.image_indices.tolist() == [0, 0, 0, 1, 1, 1]
    assert scored.scores.tolist() == pytest.approx([0.9, 0.8, 0.03] * 2)
    assert scored.faces.boxes[2].tolist() == list(WEAK.box)
    assert scored.probs[0].tolist() == pytest.approx(SURE.probs)
    assert (scored.faces.lights > 0).all()
    assert (scored.faces.sharpness > 0).all()


def test_a_set_in_which_nothing_is_found_is_scored_too() -> None:
    scored = predict_dataset(faces_of(2), ScriptedAnalyzer(lambda _: []), "fake")
    assert len(scored.faces) == 0
    assert scored.probs.shape == (0, 3)
    assert len(scored.ground_truth.faces) == 2


def test_what_is_in_the_cache_is_not_looked_at_again() -> None:
    cache: DetectionCache = {}
    first = ScriptedAnalyzer(lambda _: [SURE])
    before = predict_dataset(faces_of(2), first, "fake", cache=cache)
    assert len(first.requested_settings) == 2
    second = ScriptedAnalyzer(lambda _: [SURE])
    after = predict_dataset(faces_of(3), second, "fake", cache=cache)
    assert len(second.requested_settings) == 1  # only the image that is new
    assert np.array_equal(after.faces.boxes[:2], before.faces.boxes)
    assert np.array_equal(after.faces.sharpness[:2], before.faces.sharpness)


def test_another_analyzer_does_not_get_its_answers() -> None:
    cache: DetectionCache = {}
    predict_dataset(
        faces_of(1), ScriptedAnalyzer(lambda _: [SURE]), "fake", cache=cache
    )
    other = ScriptedAnalyzer(lambda _: [TWIN])
    scored = predict_dataset(
        faces_of(1), other, "fake", cache=cache, key="other weights"
    )
    assert scored.scores.tolist() == pytest.approx([0.8])
    assert len(cache) == 2


def test_stopping_keeps_what_is_done() -> None:
    cache: DetectionCache = {}
    done: list[int] = []
    with pytest.raises(CancelledError):
        predict_dataset(
            faces_of(3),
            ScriptedAnalyzer(lambda _: [SURE]),
            "fake",
            cache=cache,
            progress=lambda n, total: done.append(n),
            cancelled=lambda: len(done) == 2,
        )
    assert done == [1, 2]
    rest = ScriptedAnalyzer(lambda _: [SURE])
    scored = predict_dataset(faces_of(3), rest, "fake", cache=cache)
    assert len(rest.requested_settings) == 1
    assert len(scored.faces) == 3


def test_a_picture_that_is_gone_is_named() -> None:
    loaded = faces_of(2)
    gone = ImageStore(MemoryFiles({}), loaded.images.paths)
    broken = dataclasses.replace(loaded, images=gone)
    with pytest.raises(ValueError, match=r"mask/0\.jpg: there is no such file"):
        predict_dataset(broken, ScriptedAnalyzer(lambda _: []), "fake")
    with pytest.raises(DatasetError):
        gone.load_image(0)


def test_keys_differ_where_answers_may() -> None:
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
def judged(
    request: pytest.FixtureRequest, samples: ImportedDataset
) -> tuple[Analyzer, AnalyzerPredictions]:
    analyzer: Analyzer = (
        TwoStage(Haar("live"), load_classifier())
        if request.param == "haar"
        else load_analyzer(request.param)
    )
    return analyzer, predict_dataset(samples, analyzer, request.param)


def _read_again_at_least(analyzer: Analyzer, n: int) -> int:
    """Return how many of `n` faces, best first, Live reads as `predict_dataset` does."""
    look = analyzer.refiner if isinstance(analyzer, SingleStage) else None
    return n if look is None or look.max_faces is None else look.max_faces


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
def test_what_is_stored_judged_later_is_what_the_analyzer_shows(
    judged: tuple[Analyzer, AnalyzerPredictions],
    samples: ImportedDataset,
    settings: Settings,
) -> None:
    analyzer, scored = judged
    for picture in range(len(samples.images)):
        shown = analyzer.analyze(samples.images.load_image(picture), settings)
        later = scene_of(scored, picture).filter(settings)
        assert len(later) == len(shown)
        # Networks on two threads, and batches of another size, round otherwise.
        assert np.allclose(later.faces.boxes, shown.faces.boxes, atol=1e-3)
        assert np.allclose(later.faces.scores, shown.faces.scores, atol=1e-5)
        same = np.abs(later.probs - shown.probs).max(axis=1, initial=0) < 2e-5
        assert same[: _read_again_at_least(analyzer, len(shown))].all()
        assert [one for one, is_ in zip(later.labels, same, strict=True) if is_] == [
            one for one, is_ in zip(shown.labels, same, strict=True) if is_
        ]


def test_the_refinement_is_not_spent_on_what_sliders_drop(
    samples: ImportedDataset,
) -> None:
    live = load_analyzer("onepass-fast")
    assert isinstance(live, SingleStage)
    assert live.refiner is not None
    one, free = (
        SingleStage(
            live._network,
            live.resize,
            refiner=dataclasses.replace(live.refiner, skip_above=1.0, max_faces=most),
        )
        for most in (1, None)
    )
    scored = predict_dataset(samples, one, "onepass-fast")
    assert one.refiner is not None
    assert one.refiner.max_faces == 1, "the analyzer itself stays as it was"
    for picture in range(len(samples.images)):
        shown = free.analyze(samples.images.load_image(picture), PERMISSIVE_SETTINGS)
        assert np.allclose(scene_of(scored, picture).probs, shown.probs, atol=1e-5)


def test_pictures_are_those_of_the_set(samples: ImportedDataset) -> None:
    image = read_image(SAMPLES / "group.jpg")
    assert np.array_equal(samples.images.load_image(0), image)
