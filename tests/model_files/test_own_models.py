"""Tests of the user's models: reading the folder, errors, and use for every face."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import streamlit as st

import maskdet
from maskdet.analyzers.onepass import SingleStage
from maskdet.analyzers.pipelines import (
    ANALYZERS,
    TwoStage,
    describe_pipeline,
    get_pipeline,
    has_refinement,
    list_own_model_problems,
    load_analyzer,
)
from maskdet.classifier import CLASSIFIERS, load_classifier
from maskdet.cli import main
from maskdet.datasets import Example
from maskdet.evaluation.scoring import analyzer_key
from maskdet.media import read_image
from maskdet.model_files.model_zoo import MODEL_DIR_VARIABLE, model_path, sha256_of
from maskdet.model_files.own_models import get_own_models, read_own_models
from maskdet.resources import resource_path
from maskdet.web.widgets import IMAGE_SAMPLES
from tests.helpers.app import face_titles, open_page, run_app

GROUP = resource_path("samples/group.jpg")


def make_facts(path: Path, **more: object) -> str:
    return json.dumps(
        {"title": "Mine", "input": {"context": 1.0}, "sha256": sha256_of(path), **more}
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder as `export --out` writes it: a classifier and a network."""
    out = tmp_path / "exported"
    (out / "runs" / "mine").mkdir(parents=True)
    shutil.copyfile(model_path("tutorial"), out / "mine.tflite")
    (out / "runs" / "mine" / "facts.json").write_text(make_facts(out / "mine.tflite"))
    shutil.copyfile(model_path("onepass"), out / "net.tflite")
    monkeypatch.setenv(MODEL_DIR_VARIABLE, str(out))
    return out


def test_user_models_are_listed_after_the_bundled_ones(folder: Path) -> None:
    assert set(get_own_models("classifier")) == {"mine"}
    assert set(get_own_models("network")) == {"net"}
    assert next(iter(CLASSIFIERS)) == "maskdet"
    assert list(CLASSIFIERS)[-1] == "mine"
    assert {"net", "net-fast"} <= set(ANALYZERS)
    assert load_classifier("mine").context == 1.0
    assert list_own_model_problems() == ()


def test_without_the_variable_there_are_no_user_models(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(MODEL_DIR_VARIABLE, raising=False)
    assert read_own_models().models == {}
    assert "mine" not in CLASSIFIERS


def test_a_user_network_works_like_the_bundled_one(folder: Path) -> None:
    image = read_image(GROUP)
    mine, ours = load_analyzer("net-fast"), load_analyzer("onepass-fast")
    np.testing.assert_array_equal(mine.analyze(image).boxes, ours.analyze(image).boxes)
    assert get_pipeline(mine) == (
        "net-fast detects and classifies, classifier maskdet re-checks "
        "low-confidence faces"
    )
    assert has_refinement("net")
    assert has_refinement("net-fast")
    assert isinstance(load_analyzer("net", refine=False), SingleStage)
    assert analyzer_key("net") != analyzer_key("mtcnn")


@pytest.mark.parametrize("analyzer", ["onepass", "onepass-fast", "net"])
def test_a_chosen_classifier_classifies_every_face(folder: Path, analyzer: str) -> None:
    image = read_image(GROUP)
    scene = load_analyzer(analyzer, "mine").analyze(image)
    alone = load_analyzer(analyzer, refine=False).analyze(image)
    np.testing.assert_array_equal(scene.boxes, alone.boxes)
    predicted = load_classifier("mine").predict(image, scene.boxes)
    np.testing.assert_allclose(scene.probs, predicted, atol=1e-5)
    assert np.abs(scene.probs - alone.probs).max() > 0.01


def test_no_refinement_does_not_disable_a_chosen_classifier(folder: Path) -> None:
    assert isinstance(load_analyzer("onepass", "mine", refine=False), TwoStage)


def test_filtering_before_classification_equals_filtering_after(folder: Path) -> None:
    analyzer, image = load_analyzer("onepass", "mine"), read_image(GROUP)
    settings = maskdet.Settings(min_score=0.7, min_face_px=60)
    before = analyzer.analyze(image, settings)
    after = analyzer.analyze(image, maskdet.Settings.permissive()).filter(settings)
    np.testing.assert_array_equal(before.boxes, after.boxes)
    np.testing.assert_allclose(before.probs, after.probs, atol=1e-5)


def test_a_chosen_classifier_applies_to_a_registered_analyzer(folder: Path) -> None:
    class EmptyAnalyzer:
        def analyze(self, image, settings=None):
            return maskdet.Scene.empty()

    maskdet.register_analyzer("nobody", EmptyAnalyzer)
    try:
        assert isinstance(load_analyzer("nobody", "mine"), TwoStage)
        assert isinstance(load_analyzer("nobody"), EmptyAnalyzer)
    finally:
        del ANALYZERS["nobody"]


@pytest.mark.parametrize(
    ("name", "classifier", "refine", "line"),
    [
        (
            "mtcnn",
            "maskdet",
            True,
            "mtcnn detects, classifier maskdet classifies every",
        ),
        ("aizoo", "maskdet", True, "aizoo detects and classifies"),
        ("aizoo", "tutorial", True, "aizoo detects, classifier tutorial classifies ev"),
        ("onepass", "maskdet", False, "onepass detects and classifies"),
        (
            "onepass",
            "maskdet",
            True,
            "onepass detects and classifies, classifier maskd",
        ),
        (
            "onepass",
            "tutorial",
            True,
            "onepass detects, classifier tutorial classifies",
        ),
    ],
)
def test_describe_pipeline_names_detector_and_classifier(
    name, classifier, refine, line
) -> None:
    assert describe_pipeline(name, classifier, refine=refine).startswith(line)


def test_analyze_accepts_a_classifier_name(folder: Path) -> None:
    scene = maskdet.analyze(GROUP, classifier="mine")
    image = read_image(GROUP)
    expected = load_analyzer("onepass", "mine").analyze(image)
    np.testing.assert_allclose(scene.probs, expected.probs, atol=1e-5)
    with pytest.raises(ValueError, match="can only be combined with an analyzer name"):
        maskdet.analyze(image, analyzer=TwoStage(EmptyDetector()), classifier="mine")


class EmptyDetector:
    def detect(self, image):
        return maskdet.Faces.empty()


def test_a_changed_file_is_reloaded(folder: Path) -> None:
    before = maskdet.analyze(GROUP, classifier="mine")
    shutil.copyfile(model_path("classifier"), folder / "mine.tflite")
    facts = folder / "runs" / "mine" / "facts.json"
    facts.write_text(make_facts(folder / "mine.tflite"))
    stat = (folder / "mine.tflite").stat()
    os.utime(folder / "mine.tflite", ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))
    after = maskdet.analyze(GROUP, classifier="mine")
    assert np.abs(before.probs - after.probs).max() > 0.01


def test_the_folder_of_a_training_run_is_one_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = folder / "second"
    run.mkdir()
    shutil.copyfile(model_path("early-stop"), run / "int8.tflite")
    shutil.copyfile(model_path("tutorial"), run / "float16.tflite")
    facts = make_facts(run / "float16.tflite", weights="float16")
    (run / "facts.json").write_text(facts)
    assert get_own_models()["second"].path == run / "float16.tflite"
    monkeypatch.setenv(MODEL_DIR_VARIABLE, str(run))
    assert list(get_own_models()) == ["second"]
    assert list_own_model_problems() == ()


def write_invalid_file(folder: Path) -> None:
    (folder / "bad.tflite").write_bytes(b"no network")


def write_without_facts(folder: Path) -> None:
    shutil.copyfile(model_path("tutorial"), folder / "bad.tflite")


def write_wrong_checksum(folder: Path) -> None:
    shutil.copyfile(model_path("tutorial"), folder / "bad.tflite")
    (folder / "runs" / "bad").mkdir()
    (folder / "runs" / "bad" / "facts.json").write_text(
        json.dumps({"input": {"context": 1.0}, "sha256": "0" * 64})
    )


def write_invalid_facts(folder: Path) -> None:
    shutil.copyfile(model_path("tutorial"), folder / "bad.tflite")
    (folder / "runs" / "bad").mkdir()
    (folder / "runs" / "bad" / "facts.json").write_text("[1")


def write_invalid_name(folder: Path) -> None:
    shutil.copyfile(model_path("onepass"), folder / "bad <b>.tflite")


def write_bundled_name(folder: Path) -> None:
    shutil.copyfile(model_path("onepass"), folder / "tutorial.tflite")


def write_known_name(folder: Path) -> None:
    shutil.copyfile(model_path("onepass"), folder / "haar.tflite")


def write_unknown_outputs(folder: Path) -> None:
    # A network of another project, whose output names are not class names.
    content = model_path("tutorial").read_bytes()
    (folder / "bad.tflite").write_bytes(
        content.replace(b"mask__no_mask__incorrect", b"cats__dogs__hamsters____")
    )


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (write_invalid_file, "exported/bad.tflite: is not a LiteRT model"),
        (write_without_facts, "exported/bad.tflite: facts.json is missing"),
        (write_wrong_checksum, "exported/bad.tflite: does not match its facts.json"),
        (write_invalid_facts, "is not a JSON object as `maskdet export` writes it"),
        (write_invalid_name, "its name must be at most 40 letters"),
        (write_bundled_name, "tutorial is the name of a model that maskdet knows"),
        (write_known_name, "haar is the name of a model that ships with maskdet"),
        (write_unknown_outputs, "neither a classifier nor a single-stage network"),
    ],
)
def test_an_invalid_file_gives_one_line_and_the_others_are_usable(
    folder: Path, make, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make(folder)
    (problem,) = list_own_model_problems()
    assert line in problem
    assert "\n" not in problem
    assert "mine" in CLASSIFIERS
    assert "net" in ANALYZERS
    assert main(["models", "list"]) == 1
    shown = capsys.readouterr()
    assert "Your classifier; --classifier mine" in shown.out
    assert shown.err.count("\n") == 1
    assert line in shown.err


def test_the_command_line_lists_and_uses_a_folder(
    folder: Path, monkeypatch, capsys, tmp_path
) -> None:
    monkeypatch.delenv(MODEL_DIR_VARIABLE)
    monkeypatch.setenv(MODEL_DIR_VARIABLE, "")  # undoes what the command sets
    assert main(["models", "list", "--json", "-", "--models", str(folder)]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["mine"]["licence"] == rows["net"]["licence"] == "own"
    assert rows["mine"]["file"] == str(folder / "mine.tflite")
    monkeypatch.setenv(MODEL_DIR_VARIABLE, "")
    words = ["detect", str(GROUP), "--models", str(folder)]
    assert main([*words, "--classifier", "mine", "--json", "-"]) == 0
    shown = capsys.readouterr()
    assert shown.err == (
        "pipeline: onepass detects, classifier mine classifies every face\n"
    )
    by_name = json.loads(shown.out)
    assert (
        main(["detect", str(GROUP), "--classifier", str(folder / "mine.tflite")]) == 0
    )
    assert main([*words, "--analyzer", "net", "--json", "-"]) == 0
    by_network = json.loads(capsys.readouterr().out.split("\n", 8)[-1])
    assert by_name != by_network


def test_a_missing_folder_gives_one_line(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv(MODEL_DIR_VARIABLE, "")
    assert main(["models", "list", "--models", str(tmp_path / "none")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("maskdet: --models is ")
    assert "which is not a folder" in line


def test_contradictory_options_are_rejected(folder: Path, capsys) -> None:
    words = ["detect", str(GROUP), "--classifier", "mine", "--no-refinement"]
    assert main(words) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("maskdet: --no-refinement: onepass detects, classifier")


def test_the_dashboard_offers_user_models_and_shows_the_pipeline(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_invalid_file(folder)
    st.cache_resource.clear()
    st.cache_data.clear()
    app = open_page("models")
    app.main.button_group(key="models.section").set_value("Classifiers")
    run_app(app)
    warnings = [warning.value.replace("\\", "") for warning in app.main.warning]
    assert "Own model not available: exported/bad.tflite: is not a Lite" in warnings[0]
    app.main.button_group(key="models.run").set_value("mine")
    run_app(app)
    app.main.button(key="models.use.mine").click()
    run_app(app)
    line = "Accurate detects, classifier mine classifies every face"
    shown = [part.value.replace("\\", "") for part in app.main.markdown]
    assert any(line in text for text in shown)
    run_app(app.switch_page("pages/image.py"))
    captions = [part.value.replace("\\", "") for part in app.sidebar.caption]
    assert f"Pipeline: {line}." in captions
    assert "mine" in app.sidebar.selectbox(key="choice.classifier").options
    assert {"net", "net-fast"} <= set(
        app.sidebar.selectbox(key="choice.analyzer").options
    )
    image = read_image(IMAGE_SAMPLES[0].path)
    expected = load_analyzer("onepass", "mine").analyze(image)
    predicted = face_titles(app)
    assert predicted == [label.title for label in expected.labels]


def test_removing_a_model_in_use_gives_a_warning(folder: Path) -> None:
    st.cache_resource.clear()
    app = open_page("about", classifier="mine")
    assert app.session_state["maskdet.preferences"].classifier == "mine"
    (folder / "mine.tflite").unlink()
    run_app(app)
    assert app.session_state["maskdet.preferences"].classifier == "maskdet"
    assert "mine is no longer in your models folder" in app.main.warning[0].value


def test_reports_of_video_and_evaluation_name_the_pipeline(folder: Path) -> None:
    video = resource_path("samples/video.mp4")
    report = maskdet.analyze_video(video, every=100, classifier="mine")
    line = "onepass-fast detects, classifier mine classifies every face"
    assert report.pipeline == report.to_dict()["pipeline"] == line
    example = Example(GROUP, (), np.zeros((0, 4), np.float32))
    report = maskdet.evaluate([example], classifier="mine")
    assert report.pipeline == report.to_json()["pipeline"] == line.replace("-fast", "")
