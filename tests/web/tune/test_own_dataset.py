"""Uploads on the Tune page, run without a browser."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from streamlit.runtime.uploaded_file_manager import UploadedFile
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import FileUploader

from maskdet.analyzers.pipelines import Analyzer
from maskdet.evaluation import predictions
from maskdet.evaluation.predictions import encode_predictions
from maskdet.serving.preferences import Preferences
from maskdet.web import session
from maskdet.web.tune import data
from tests.helpers.app import run_app
from tests.helpers.fakes import ScriptedAnalyzer, ScriptedFace
from tests.helpers.tune_page import (
    open_tune_page,
    page_texts,
    press_button,
    select_segment,
    use_fake_predictions,
)
from tests.helpers.tune_predictions import make_page_predictions
from tests.helpers.zipped_datasets import make_coco_json, make_jpeg, make_zip


@pytest.fixture(autouse=True)
def fake_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_predictions(monkeypatch)


def upload(app: AppTest, name: str, content: bytes) -> AppTest:
    """Upload a file as the visitor's dataset."""
    select_segment(app, "source", "My dataset")
    uploader_of(app, 0).set_value((name, content, "application/octet-stream"))
    return run_app(app)


def test_stored_predictions_can_be_uploaded() -> None:
    app = upload(
        open_tune_page(), "mine.npz", encode_predictions(make_page_predictions())
    )
    assert "Accurate on village: 60 images, 180 faces" in page_texts(app)
    assert app.main.button(key="tune.propose")
    assert "does not name its classifier" in page_texts(app)
    before = app.session_state["maskdet.preferences"]
    app.main.button(key="tune.use").click()
    run_app(app)
    app.button(key="tune.confirm").click()
    run_app(app)
    applied = app.session_state["maskdet.preferences"]
    assert applied.analyzer == "onepass"
    assert applied.classifier == before.classifier


def test_uploaded_predictions_are_compared_and_dropped_when_removed() -> None:
    app = open_tune_page()
    for seed in range(6):
        content = encode_predictions(make_page_predictions(seed=seed))
        app = upload(app, f"{seed}.npz", content)
    state = app.session_state["maskdet.tuning"]
    assert len(state.uploaded_scores) == len({*state.uploaded_scores}) == 4
    assert {*state.uploaded_scores} < {*state.tuning_sets}
    select_segment(app, "view", "Compare")
    # The other sets have the same analyzer: each is an option of its own.
    titles = app.main.selectbox(key="tune.compare_with").options
    assert len(titles) == len({*titles}) >= 3
    uploader_of(app, 0).set_value(None)
    run_app(app)
    state = app.session_state["maskdet.tuning"]
    assert not state.uploaded_scores
    assert not [name for name in state.tuning_sets if " on " not in name]


def test_a_file_with_too_many_detections_gives_one_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(predictions, "MAX_FACES_PER_IMAGE", 3)
    app = upload(
        open_tune_page(), "mine.npz", encode_predictions(make_page_predictions())
    )
    (line,) = (error.value for error in app.main.error)
    assert "more than 3 detected faces in one image" in line


@pytest.mark.parametrize(
    "content", [b"", b"no scores", encode_predictions(make_page_predictions())[:-99]]
)
def test_a_broken_predictions_file_gives_one_error(content: bytes) -> None:
    app = upload(open_tune_page(), "mine.npz", content)
    (line,) = (error.value for error in app.main.error)
    assert "not a predictions file" in line


def uploader_of(app: AppTest, number: int) -> FileUploader:
    """Return the uploader of a zip, 0, or that of a folder, 1."""
    uploaders = [part for part in app.main if part.type == "file_uploader"]
    uploader = uploaders[number]
    assert isinstance(uploader, FileUploader)
    return uploader


def make_mask_images(n: int) -> dict[str, bytes]:
    return {f"set/mask/{index}.jpg": make_jpeg(index) for index in range(n)}


def use_analyzer(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], Analyzer]
) -> list[Preferences]:
    """Replace the analyzer; return the preferences of each load."""
    loaded_for: list[Preferences] = []

    def load(name: str, preferences: Preferences) -> Analyzer:
        loaded_for.append(preferences)
        return make()

    monkeypatch.setattr(session, "load_private_analyzer", load)
    return loaded_for


def test_unknown_class_names_can_be_mapped_on_the_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_analyzer(monkeypatch, lambda: ScriptedAnalyzer(lambda _: [FACE]))
    faces = {"a.jpg": [([1.0, 1, 60, 60], kind) for kind in (1, 2, 3)]}
    labels = make_coco_json(faces, classes=("cap", "hat", "Person"), size_wh=(180, 160))
    app = upload(
        open_tune_page(), "set.zip", make_zip({"x.json": labels, "a.jpg": make_jpeg()})
    )
    (line,) = (error.value for error in app.main.error)
    assert "3 faces (cap, hat, Person): unknown class" in line.replace("\\", "")
    boxes = {box.label.partition(" ")[0]: box for box in app.main.selectbox[:3]}
    assert {box.value for box in boxes.values()} == {"ignore"}
    boxes["cap"].set_value("mask")
    boxes["Person"].set_value("none")
    press_button(app, "Import with these classes")
    assert not app.main.error
    assert (
        "1 image, 2 faces: 1 Mask, 0 No mask, 0 Incorrect, 1 of unknown"
        in page_texts(app)
    )
    shown = page_texts(app)
    assert "1 face (hat): ignored class" in shown.replace("\\", "")
    line = "1 image (a.jpg: 90 x 80, annotated as 180 x 160): size differs"
    assert line in shown.replace("\\", "")
    press_button(app, "Run on 1 image")
    assert app.main.button(key="tune.propose")


def test_folders_with_any_names_can_be_mapped_to_classes() -> None:
    contents = {
        f"set/{name}/a.jpg": make_jpeg(n) for n, name in enumerate(("on", "off"))
    }
    app = upload(open_tune_page(), "set.zip", make_zip(contents))
    boxes = {box.label.partition(" ")[0]: box for box in app.main.selectbox[:2]}
    boxes["on"].set_value("mask")
    boxes["off"].set_value("no_mask")
    press_button(app, "Import with these classes")
    assert "2 images, one face each: 1 Mask, 1 No mask" in page_texts(app)


@pytest.mark.parametrize("declared", ["rot13", "zip"])
def test_an_unreadable_dataset_gives_one_error(declared: str) -> None:
    xml = f'<?xml version="1.0" encoding="{declared}"?><annotation/>'
    app = upload(
        open_tune_page(), "set.zip", make_zip({"a.xml": xml, "a.jpg": make_jpeg()})
    )
    (line,) = (error.value for error in app.main.error)
    assert f"not text in {declared}" in line
    assert not app.exception


FACE = ScriptedFace((1, 1, 60, 60), (0.9, 0.05, 0.05))


def test_an_analyzed_dataset_remembers_its_classifier(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded_for = use_analyzer(monkeypatch, lambda: ScriptedAnalyzer(lambda _: [FACE]))
    app = upload(open_tune_page(), "set.zip", make_zip(make_mask_images(2)))
    assert "2 images, one face each: 2 Mask" in page_texts(app)
    press_button(app, "Run on 2 images")
    assert len(loaded_for) == 1
    tuning_set = app.session_state["tune.tuning_set"]
    assert tuning_set.classified_by == (loaded_for[0].classifier, loaded_for[0].refine)
    assert app.main.button(key="tune.propose")


def test_a_failed_run_is_reported_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken() -> Analyzer:
        raise ValueError("an image is gone")

    loaded_for = use_analyzer(monkeypatch, broken)
    app = upload(open_tune_page(), "set.zip", make_zip(make_mask_images(2)))
    press_button(app, "Run on 2 images")
    assert [error.value for error in app.main.error] == ["set\\: an image is gone\\."]
    run_app(run_app(app))
    assert len(loaded_for) == 1
    assert app.session_state["maskdet.tuning"].running == ""
    press_button(app, "Run on 2 images")
    assert len(loaded_for) == 2


def test_another_dataset_clears_the_cached_detections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_analyzer(monkeypatch, lambda: ScriptedAnalyzer(lambda _: [FACE]))
    app = upload(open_tune_page(), "set.zip", make_zip(make_mask_images(2)))
    press_button(app, "Run on 2 images")
    state = app.session_state["maskdet.tuning"]
    assert len(state.detection_cache) == 2
    upload(app, "other.zip", make_zip(make_mask_images(3)))
    assert not state.detection_cache
    assert not state.tuning_sets.keys() - {"onepass on village", "mtcnn on village"}


def test_a_dataset_with_too_many_faces_gives_one_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(predictions, "MAX_SET_FACES", 1)
    app = upload(open_tune_page(), "set.zip", make_zip(make_mask_images(2)))
    (line,) = (error.value for error in app.main.error)
    assert line.replace("\\", "") == "set: more than 1 true faces."
    assert app.session_state["maskdet.tuning"].dataset is None


def test_a_folder_is_zipped_and_imported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    file_counts: list[int] = []
    zip_files = data._zip_files

    def count_and_zip(files: Sequence[UploadedFile]) -> bytes:
        file_counts.append(len(files))
        return zip_files(files)

    monkeypatch.setattr(data, "_zip_files", count_and_zip)
    app = select_segment(open_tune_page(), "source", "My dataset")
    files_ = [
        (name, content, "image/jpeg") for name, content in make_mask_images(3).items()
    ]
    uploader_of(app, 1).set_value(files_)
    assert "3 images, one face each: 3 Mask" in page_texts(run_app(app))
    run_app(run_app(app))
    assert file_counts == [3]


def test_a_folder_that_is_too_large_gives_one_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(data, "MAX_ZIP_MB", 1)
    app = select_segment(open_tune_page(), "source", "My dataset")
    half = b"x" * 600_000
    names = ("set/mask/a.jpg", "set/mask/b.jpg")
    uploader_of(app, 1).set_value([(name, half, "image/jpeg") for name in names])
    run_app(app)
    (line,) = (error.value for error in app.main.error)
    assert "the folder is larger than 1 MB" in line
