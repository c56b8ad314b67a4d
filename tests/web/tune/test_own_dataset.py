"""The Tune page with files that somebody sends, run without a browser."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from streamlit.runtime.uploaded_file_manager import UploadedFile
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import FileUploader

from maskdet.analyzers.pipelines import Analyzer
from maskdet.tuning import predictions
from maskdet.tuning.predictions import encode_predictions
from maskdet.web import session
from maskdet.web.preferences import Preferences
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
def stored(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_predictions(monkeypatch)


def sent(app: AppTest, name: str, content: bytes) -> AppTest:
    """Send a file as a set of one's own."""
    select_segment(app, "where", "My own set")
    uploader_of(app, 0).set_value((name, content, "application/octet-stream"))
    return run_app(app)


def test_scores_that_were_stored_are_tuned_on_again() -> None:
    app = sent(
        open_tune_page(), "mine.npz", encode_predictions(make_page_predictions())
    )
    assert "onepass on village: 60 images, 180 faces" in page_texts(app)
    assert app.main.button(key="tune.propose")
    assert "does not say which mask model labelled" in page_texts(app)
    chosen = app.session_state["maskdet.preferences"]
    app.main.button(key="tune.use").click()
    run_app(app)
    in_force = app.session_state["maskdet.preferences"]
    assert in_force.analyzer == "onepass"
    assert in_force.classifier == chosen.classifier


def test_a_small_file_that_would_take_all_memory_is_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(predictions, "MAX_FACES_PER_IMAGE", 3)
    app = sent(
        open_tune_page(), "mine.npz", encode_predictions(make_page_predictions())
    )
    (line,) = (one.value for one in app.main.error)
    assert "more than 3 found faces in one image" in line


@pytest.mark.parametrize(
    "content", [b"", b"no scores", encode_predictions(make_page_predictions())[:-99]]
)
def test_a_broken_file_of_scores_is_a_line(content: bytes) -> None:
    app = sent(open_tune_page(), "mine.npz", content)
    (line,) = (one.value for one in app.main.error)
    assert "is no file of stored scores" in line


def uploader_of(app: AppTest, number: int) -> FileUploader:
    """Return the place for a zip, 0, or that for a folder, 1."""
    places = [one for one in app.main if one.type == "file_uploader"]
    place = places[number]
    assert isinstance(place, FileUploader)
    return place


def set_of(n: int) -> dict[str, bytes]:
    return {f"set/mask/{at}.jpg": make_jpeg(at) for at in range(n)}


def look_with(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], Analyzer]
) -> list[Preferences]:
    """Let an analyzer of ours look at sets; return what it was loaded for."""
    asked: list[Preferences] = []

    def own(name: str, chosen: Preferences) -> Analyzer:
        asked.append(chosen)
        return make()

    monkeypatch.setattr(session, "load_private_analyzer", own)
    return asked


def test_unknown_classes_can_be_said_on_the_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    look_with(monkeypatch, lambda: ScriptedAnalyzer(lambda _: [FACE]))
    faces = {"a.jpg": [([1.0, 1, 60, 60], kind) for kind in (1, 2, 3)]}
    labels = make_coco_json(faces, classes=("cap", "hat", "Person"), size_wh=(180, 160))
    app = sent(
        open_tune_page(), "set.zip", make_zip({"x.json": labels, "a.jpg": make_jpeg()})
    )
    (line,) = (one.value for one in app.main.error)
    assert "3 faces (cap, hat, Person): unknown class" in line.replace("\\", "")
    boxes = {one.label.partition(" ")[0]: one for one in app.main.selectbox[:3]}
    assert {one.value for one in boxes.values()} == {"ignore"}
    boxes["cap"].set_value("mask")
    boxes["Person"].set_value("none")
    press_button(app, "Read the set with these classes")
    assert not app.main.error
    assert (
        "1 image, 2 faces: 1 Mask, 0 No mask, 0 Incorrect, 1 of unknown"
        in page_texts(app)
    )
    shown = page_texts(app)
    assert "1 face (hat): ignored class" in shown.replace("\\", "")
    line = "1 image (a.jpg: 90 x 80, annotated as 180 x 160): size differs"
    assert line in shown.replace("\\", "")
    press_button(app, "Look at 1 image")
    assert app.main.button(key="tune.propose")


def test_folders_of_any_name_can_be_classes() -> None:
    contents = {
        f"set/{name}/a.jpg": make_jpeg(n) for n, name in enumerate(("on", "off"))
    }
    app = sent(open_tune_page(), "set.zip", make_zip(contents))
    boxes = {one.label.partition(" ")[0]: one for one in app.main.selectbox[:2]}
    boxes["on"].set_value("mask")
    boxes["off"].set_value("no_mask")
    press_button(app, "Read the set with these classes")
    assert "2 images, one face each: 1 Mask, 1 No mask" in page_texts(app)


@pytest.mark.parametrize("declared", ["rot13", "zip"])
def test_a_set_that_cannot_be_read_is_a_line(declared: str) -> None:
    xml = f'<?xml version="1.0" encoding="{declared}"?><annotation/>'
    app = sent(
        open_tune_page(), "set.zip", make_zip({"a.xml": xml, "a.jpg": make_jpeg()})
    )
    (line,) = (one.value for one in app.main.error)
    assert f"not text in {declared}" in line
    assert not app.exception


FACE = ScriptedFace((1, 1, 60, 60), (0.9, 0.05, 0.05))


def test_a_set_is_looked_at_and_live_labels_as_was_looked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = look_with(monkeypatch, lambda: ScriptedAnalyzer(lambda _: [FACE]))
    app = sent(open_tune_page(), "set.zip", make_zip(set_of(2)))
    assert "2 images, one face each: 2 Mask" in page_texts(app)
    press_button(app, "Look at 2 images")
    assert len(asked) == 1
    material = app.session_state["tune.material"]
    assert material.classified_by == (asked[0].classifier, asked[0].refine)
    assert app.main.button(key="tune.propose")


def test_what_cannot_be_looked_at_is_told_once_and_not_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken() -> Analyzer:
        raise ValueError("an image is gone")

    asked = look_with(monkeypatch, broken)
    app = sent(open_tune_page(), "set.zip", make_zip(set_of(2)))
    press_button(app, "Look at 2 images")
    assert [one.value for one in app.main.error] == ["set\\: an image is gone\\."]
    run_app(run_app(app))
    assert len(asked) == 1
    assert app.session_state["maskdet.tuning"].running == ""
    press_button(app, "Look at 2 images")
    assert len(asked) == 2


def test_another_set_takes_what_was_found_in_the_first_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    look_with(monkeypatch, lambda: ScriptedAnalyzer(lambda _: [FACE]))
    app = sent(open_tune_page(), "set.zip", make_zip(set_of(2)))
    press_button(app, "Look at 2 images")
    desk = app.session_state["maskdet.tuning"]
    assert len(desk.detection_cache) == 2
    sent(app, "other.zip", make_zip(set_of(3)))
    assert not desk.detection_cache
    assert not desk.tuning_sets.keys() - {"onepass on village", "mtcnn on village"}


def test_a_set_with_more_faces_than_any_real_one_is_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(predictions, "MAX_FACES", 1)
    app = sent(open_tune_page(), "set.zip", make_zip(set_of(2)))
    (line,) = (one.value for one in app.main.error)
    assert line.replace("\\", "") == "set: holds more than 1 true faces."
    assert app.session_state["maskdet.tuning"].dataset is None


def test_a_folder_is_packed_and_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    pack = data._zip_files

    def counted(files: Sequence[UploadedFile]) -> bytes:
        made.append(len(files))
        return pack(files)

    monkeypatch.setattr(data, "_zip_files", counted)
    app = select_segment(open_tune_page(), "where", "My own set")
    files_ = [(name, content, "image/jpeg") for name, content in set_of(3).items()]
    uploader_of(app, 1).set_value(files_)
    assert "3 images, one face each: 3 Mask" in page_texts(run_app(app))
    run_app(run_app(app))
    assert made == [3]


def test_a_folder_that_is_too_large_as_a_whole_is_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(data, "MAX_ZIP_MB", 1)
    app = select_segment(open_tune_page(), "where", "My own set")
    half = b"x" * 600_000
    names = ("set/mask/a.jpg", "set/mask/b.jpg")
    uploader_of(app, 1).set_value([(name, half, "image/jpeg") for name in names])
    run_app(app)
    (line,) = (one.value for one in app.main.error)
    assert "the folder is larger than 1 MB" in line
