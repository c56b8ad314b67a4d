from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from maskdet.analyzer import Analyzer, TwoStage, load_analyzer
from maskdet.assets import asset_path
from maskdet.classifier import load_classifier
from maskdet.datasets.archives import DatasetError, MemoryFiles
from maskdet.detectors.haar import Haar
from maskdet.media import read_image
from maskdet.onepass import OnePass
from maskdet.tune.scored import FLOOR_SCORE, Scored
from maskdet.tune.scoring import LAX, Cache, analyzer_key, score_set
from maskdet.tune.sets import Loaded, Pictures, Stopped, read_set
from maskdet.types import Faces, Scene, Settings
from tests.fakes import ScriptedAnalyzer, ScriptedFace
from tests.tune_fakes import jpeg, packed

SAMPLES = Path(__file__).resolve().parents[2] / "samples"

WEAK = ScriptedFace((1, 1, 21, 21), (0.2, 0.7, 0.1), score=0.03)
TWIN = ScriptedFace((2, 1, 22, 21), (0.6, 0.3, 0.1), score=0.8)
SURE = ScriptedFace((40, 10, 70, 50), (0.1, 0.2, 0.7), score=0.9)
HOPELESS = ScriptedFace((5, 5, 9, 9), (1, 0, 0), score=0.01)


def faces_of(n: int) -> Loaded:
    return read_set(packed({f"mask/{i}.jpg": jpeg(i) for i in range(n)}))


def scene_of(scored: Scored, picture: int) -> Scene:
    """Return what is stored of a picture as an analyzer would have given it."""
    rows = np.flatnonzero(scored.faces.pictures == picture)
    faces = Faces(scored.faces.boxes[rows], scored.scores[rows])
    return Scene(faces, scored.probs[rows])


def test_weak_faces_and_twins_are_kept_for_the_sliders() -> None:
    analyzer = ScriptedAnalyzer(lambda _: [WEAK, HOPELESS, SURE, TWIN])
    scored = score_set(faces_of(2), analyzer, "fake")
    assert scored.analyzer == "fake"
    assert scored.faces.pictures.tolist() == [0, 0, 0, 1, 1, 1]
    assert scored.scores.tolist() == pytest.approx([0.9, 0.8, 0.03] * 2)
    assert scored.faces.boxes[2].tolist() == list(WEAK.box)
    assert scored.probs[0].tolist() == pytest.approx(SURE.probs)
    assert (scored.faces.lights > 0).all()
    assert (scored.faces.sharpness > 0).all()


def test_a_set_in_which_nothing_is_found_is_scored_too() -> None:
    scored = score_set(faces_of(2), ScriptedAnalyzer(lambda _: []), "fake")
    assert len(scored.faces) == 0
    assert scored.probs.shape == (0, 3)
    assert len(scored.truth.faces) == 2


def test_what_is_in_the_cache_is_not_looked_at_again() -> None:
    cache: Cache = {}
    first = ScriptedAnalyzer(lambda _: [SURE])
    before = score_set(faces_of(2), first, "fake", cache=cache)
    assert len(first.asked) == 2
    second = ScriptedAnalyzer(lambda _: [SURE])
    after = score_set(faces_of(3), second, "fake", cache=cache)
    assert len(second.asked) == 1  # only the picture that is new
    assert np.array_equal(after.faces.boxes[:2], before.faces.boxes)
    assert np.array_equal(after.faces.sharpness[:2], before.faces.sharpness)


def test_another_analyzer_does_not_get_its_answers() -> None:
    cache: Cache = {}
    score_set(faces_of(1), ScriptedAnalyzer(lambda _: [SURE]), "fake", cache=cache)
    other = ScriptedAnalyzer(lambda _: [TWIN])
    scored = score_set(faces_of(1), other, "fake", cache=cache, key="other weights")
    assert scored.scores.tolist() == pytest.approx([0.8])
    assert len(cache) == 2


def test_stopping_keeps_what_is_done() -> None:
    cache: Cache = {}
    done: list[int] = []
    with pytest.raises(Stopped):
        score_set(
            faces_of(3),
            ScriptedAnalyzer(lambda _: [SURE]),
            "fake",
            cache=cache,
            progress=lambda n, total: done.append(n),
            cancelled=lambda: len(done) == 2,
        )
    assert done == [1, 2]
    rest = ScriptedAnalyzer(lambda _: [SURE])
    scored = score_set(faces_of(3), rest, "fake", cache=cache)
    assert len(rest.asked) == 1
    assert len(scored.faces) == 3


def test_a_picture_that_is_gone_is_named() -> None:
    loaded = faces_of(2)
    gone = Pictures(MemoryFiles({}), loaded.pictures.places)
    broken = dataclasses.replace(loaded, pictures=gone)
    with pytest.raises(ValueError, match=r"mask/0\.jpg: there is no such file"):
        score_set(broken, ScriptedAnalyzer(lambda _: []), "fake")
    with pytest.raises(DatasetError):
        gone.image(0)


def test_keys_differ_where_answers_may() -> None:
    keys = {
        analyzer_key("onepass"),
        analyzer_key("onepass-fast"),
        analyzer_key("onepass", second_look=False),
        analyzer_key("onepass", "tutorial"),
        analyzer_key("haar"),
        analyzer_key("haar", "tutorial"),
        analyzer_key("mtcnn"),
    }
    assert len(keys) == 7
    fast = analyzer_key("onepass-fast", "tutorial", second_look=False)
    assert fast == analyzer_key("onepass-fast", "tutorial")
    assert fast != analyzer_key("onepass-fast", second_look=False)
    same_file = str(asset_path("classifier"))
    assert analyzer_key("onepass", same_file) != analyzer_key("onepass")
    with pytest.raises(ValueError, match="classifier must be one of"):
        analyzer_key("haar", "nobody")


@pytest.fixture(scope="module")
def samples() -> Loaded:
    names = ("group.jpg", "portrait-bare.jpg", "portrait-below-nose.jpg")
    return read_set(
        packed({f"mask/{name}": (SAMPLES / name).read_bytes() for name in names})
    )


@pytest.fixture(scope="module", params=["onepass", "onepass-fast", "haar"])
def judged(request: pytest.FixtureRequest, samples: Loaded) -> tuple[Analyzer, Scored]:
    analyzer: Analyzer = (
        TwoStage(Haar("live"), load_classifier())
        if request.param == "haar"
        else load_analyzer(request.param)
    )
    return analyzer, score_set(samples, analyzer, request.param)


def _read_again_at_least(analyzer: Analyzer, n: int) -> int:
    """Return how many of `n` faces, best first, Live reads as `score_set` does."""
    look = analyzer.second_look if isinstance(analyzer, OnePass) else None
    return n if look is None or look.most is None else look.most


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(min_score=FLOOR_SCORE, min_face_px=1, min_confidence=0, nms_iou=1),
        Settings(min_score=0.1, nms_iou=0.05, min_face_px=30, min_confidence=0.9),
        Settings(min_score=0.3, nms_iou=0.2),
    ],
)
def test_what_is_stored_judged_later_is_what_the_analyzer_shows(
    judged: tuple[Analyzer, Scored], samples: Loaded, settings: Settings
) -> None:
    analyzer, scored = judged
    for picture in range(len(samples.pictures)):
        shown = analyzer.analyze(samples.pictures.image(picture), settings)
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


def test_the_second_look_is_not_spent_on_what_sliders_drop(samples: Loaded) -> None:
    live = load_analyzer("onepass-fast")
    assert isinstance(live, OnePass)
    assert live.second_look is not None
    one, free = (
        OnePass(
            live._network,
            live.scaling,
            second_look=dataclasses.replace(live.second_look, sure=1.0, most=most),
        )
        for most in (1, None)
    )
    scored = score_set(samples, one, "onepass-fast")
    assert one.second_look is not None
    assert one.second_look.most == 1, "the analyzer itself stays as it was"
    for picture in range(len(samples.pictures)):
        shown = free.analyze(samples.pictures.image(picture), LAX)
        assert np.allclose(scene_of(scored, picture).probs, shown.probs, atol=1e-5)


def test_pictures_are_those_of_the_set(samples: Loaded) -> None:
    image = read_image(SAMPLES / "group.jpg")
    assert np.array_equal(samples.pictures.image(0), image)
