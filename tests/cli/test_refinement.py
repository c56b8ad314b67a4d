"""Analyzer and refinement that `detect` loads."""

from __future__ import annotations

from maskdet.analyzers.pipelines import DEFAULT_ANALYZER, TwoStage
from maskdet.cli import detect, main
from maskdet.media import encode_png
from maskdet.serving.preferences import Preferences
from tests.helpers.fakes import FakeClassifier, FakeDetector, make_grey_image


def test_untouched_settings_mean_the_default_analyzer(tmp_path, monkeypatch):
    loaded = []

    def load(name, classifier, *, refine):
        loaded.append((name, refine))
        return TwoStage(FakeDetector(), FakeClassifier())

    monkeypatch.setattr(detect, "load_analyzer", load)
    image_file = tmp_path / "a.png"
    image_file.write_bytes(encode_png(make_grey_image()))
    saved = tmp_path / "untouched.json"
    saved.write_text(Preferences().to_json())
    assert main(["detect", str(image_file), "--settings", str(saved)]) == 0
    saved.write_text(Preferences(refine=False).to_json())
    assert main(["detect", str(image_file), "--settings", str(saved)]) == 0
    assert (
        main(["detect", str(image_file), "--no-refinement", "--analyzer", "auto"]) == 0
    )
    assert loaded == [(DEFAULT_ANALYZER, refine) for refine in (True, False, False)]
