"""The Image page, run without a browser."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from PIL import Image as Pillow
from streamlit.testing.v1 import AppTest

from maskdet.analyzers.pipelines import ANALYZERS, DEFAULT_ANALYZER, TwoStage
from maskdet.analyzers.tiles import Tiling
from maskdet.media import IMAGE_FORMATS, encode_jpeg, encode_png
from maskdet.web import session
from maskdet.web.image import uploads
from maskdet.wording import PERCENT
from tests.helpers.analyzed_images import BOXES, SCORES, make_ramp_image
from tests.helpers.app import component_data, face_titles
from tests.helpers.fakes import FakeClassifier, FakeDetector, make_grey_image
from tests.helpers.waiting import WAIT_S
from tests.media.image_files import (
    encode_16_bit,
    encode_image,
    make_animation,
    make_png,
)

IMAGE_CACHE = "maskdet.image_cache"
APP = Path(__file__).resolve().parents[3] / "app.py"


@pytest.fixture(autouse=True)
def analyzer(monkeypatch: pytest.MonkeyPatch) -> TwoStage:
    """Replace all models by fakes; return the analyzer of every page."""
    fake = TwoStage(FakeDetector(BOXES, SCORES), FakeClassifier((0.7, 0.2, 0.1)))
    monkeypatch.setattr(session, "load_analyzer", lambda *names, **how: fake)
    monkeypatch.setattr(session, "model_path", lambda name: APP)
    st.cache_resource.clear()  # every AppTest has the same session
    return fake


def opened() -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=WAIT_S)
    app.switch_page("pages/image.py").run()
    assert not app.exception
    return app


def upload(app: AppTest, *files: tuple[str, bytes]) -> AppTest:
    uploader = next(one for one in app.main if one.type == "file_uploader")
    uploader.set_value([(name, content, "") for name, content in files])
    return run(app)


def run(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception
    return app


def move(app: AppTest, label: str, value: float) -> AppTest:
    next(one for one in app.sidebar.slider if one.label == label).set_value(value)
    return run(app)


def summary(app: AppTest) -> str:
    return str(component_data(app, "overlay").get("alt", ""))


def shown_names(app: AppTest) -> list[str]:
    return [item["name"] for item in component_data(app, "thumbnails").get("items", ())]


def texts(parts: Sequence[object]) -> str:
    return "\n".join(str(part.value) for part in parts)


def test_the_first_visit_shows_a_sample_with_its_result(analyzer) -> None:
    app = opened()
    assert app.title[0].value == "Image"
    assert summary(app) == "Faces of the image: 1 face: 1 Mask"
    assert face_titles(app) == ["Mask"]
    assert "Sample image" in texts(app.caption)
    assert component_data(app, "thumbnails") == {}
    assert analyzer.detector.calls == 1


def test_a_moved_slider_changes_labels_without_inference(analyzer) -> None:
    app = upload(opened(), ("a.png", encode_png(make_ramp_image())))
    seen = analyzer.detector.calls
    assert face_titles(app) == ["Mask"]
    move(app, "Minimum confidence", 0.8)
    assert face_titles(app) == ["Unsure"]
    assert summary(app) == "Faces of the image: 1 face: 1 Unsure"
    move(app, "Face detection threshold", 0.3)
    assert face_titles(app) == ["Unsure", "Unsure"]
    move(app, "Minimum confidence", 0.5)
    assert face_titles(app) == ["Mask", "Mask"]
    assert analyzer.detector.calls == seen


def test_another_analyzer_analyzes_the_image_again(analyzer) -> None:
    app = opened()
    others = [name for name in ANALYZERS if name != DEFAULT_ANALYZER]
    app.sidebar.selectbox(key="choice.analyzer").set_value(others[0])
    run(app)
    assert analyzer.detector.calls == 2


def test_tiles_are_analyzed_once_in_addition_to_the_image(analyzer) -> None:
    app = upload(opened(), ("far.png", encode_png(make_grey_image(1000, 700))))
    seen = analyzer.detector.calls
    tiles = app.main.toggle(key="image.tiles")
    assert tiles.value is False, "it takes longer, so it is off by default"
    tiles.set_value(True)
    run(app)
    # The whole image, and two rows of two tiles of 640 px.
    assert analyzer.detector.calls == seen + 5
    for value in (False, True):
        app.main.toggle(key="image.tiles").set_value(value)
        run(app)
    move(app, "Minimum confidence", 0.8)
    assert analyzer.detector.calls == seen + 5


def test_tiles_find_faces_that_the_whole_image_misses(monkeypatch) -> None:
    class Near:
        """Detects a face in the corner of a tile, but none in a larger image."""

        def detect(self, image):
            boxes = BOXES[:1] if image.shape[1] <= Tiling.side_px else []
            return FakeDetector(boxes, [0.9] * len(boxes)).detect(image)

    near = TwoStage(Near(), FakeClassifier())
    monkeypatch.setattr(session, "load_analyzer", lambda *names, **how: near)
    app = upload(opened(), ("far.png", encode_png(make_grey_image(1000, 600))))
    assert "No face detected" in texts(app.warning)
    app.main.toggle(key="image.tiles").set_value(True)
    run(app)
    assert face_titles(app) == ["Mask", "Mask"]
    run(app.switch_page("pages/about.py"))
    run(app.switch_page("pages/image.py"))
    assert app.main.toggle(key="image.tiles").value is True


def test_a_broken_file_is_reported_beside_the_result_of_a_good_one() -> None:
    good, evil = encode_png(make_ramp_image()), "<b>`x`</b>.jpg"
    app = upload(
        opened(), (evil, encode_jpeg(make_ramp_image())[:300]), ("good.png", good)
    )
    assert len(app.error) == 1
    assert "`<b>'x'</b>.jpg`: " in app.error[0].value
    assert "damaged" in app.error[0].value
    assert shown_names(app)[1] == "good.png"
    assert component_data(app, "thumbnails")["items"][0]["kinds"] == ["error"]
    assert component_data(app, "overlay") == {}, "the broken file is selected"
    app.session_state["image.selected"] = 1
    assert face_titles(run(app)) == ["Mask"]


def test_broken_files_alone_are_reported_in_one_line_each() -> None:
    wide = make_png(struct.pack(">IIBBBBB", 1, 40_000_000, 8, 0, 0, 0, 0), b"\0" * 99)
    heic = b"\0\0\0\x18ftypheic" + bytes(40)
    app = upload(
        opened(),
        ("a.png", b""),
        ("b.gif", make_animation()),
        ("c", heic),
        ("d.png", wide),
    )
    assert app.error[0].value.split("\n\n") == [
        "`a.png`: the file is empty.",
        "`b.gif`: this is an animation; use one frame of it, or analyze it as a video.",
        "`c`: this is a HEIC photo; save it as JPEG or PNG (accepted are "
        f"{IMAGE_FORMATS}).",
        "`d.png`: the image has 1 x 40000000 pixels; a side may have at most 65500: "
        "crop it.",
    ]
    assert component_data(app, "overlay") == {}


def test_images_of_any_name_and_depth_are_analyzed(download_data) -> None:
    image = Pillow.fromarray(make_ramp_image()[..., ::-1].copy())
    files = [
        ("saved-by-edge.jfif", encode_image(image, "JPEG")),
        ("none", encode_image(image, "PNG")),
        ("wrong.txt", encode_image(image, "WEBP")),
        ("phone.avif", encode_image(image, "AVIF")),
        ("scan.tif", encode_image(image, "TIFF")),
        ("infrared.png", encode_16_bit(make_ramp_image()[..., 0], bits=12)),
    ]
    app = upload(opened(), *files)
    assert len(app.error) == 0
    items = component_data(app, "thumbnails")["items"]
    assert [item["kinds"] for item in items] == [["mask"]] * len(files)
    thumbnails = [
        kept.thumbnail for kept in app.session_state[IMAGE_CACHE]._images.values()
    ]
    for thumbnail in thumbnails[-len(files) :]:
        assert 100 < np.asarray(Pillow.open(io.BytesIO(thumbnail))).mean() < 160


def test_boxes_of_a_very_large_photo_are_in_original_pixels(download_data) -> None:
    photo = encode_image(Pillow.new("L", (12000, 9000), 128), "JPEG")
    upload(opened(), ("phone.jpg", photo))
    (record,) = json.loads(download_data["JSON"])["images"]
    assert (record["width"], record["height"]) == (12000, 9000)
    x1, y1, x2, y2 = BOXES[0]
    assert record["faces"][0]["box"] == [2 * x1, 2 * y1, 2 * x2, 2 * y2]
    annotated = Pillow.open(io.BytesIO(download_data["Annotated image (PNG)"]()))
    assert annotated.size == (6000, 4500)


def test_tiles_use_the_singular_for_one_image_and_one_face() -> None:
    app = upload(opened(), ("a.png", b""), ("b.png", encode_png(make_ramp_image())))
    shown = texts(app.main.get("html"))
    assert "<dt>Image</dt><dd>1</dd>" in shown
    assert "<dt>Face</dt><dd>1</dd>" in shown
    assert "<dt>No face detected</dt><dd>0</dd>" in shown


def test_a_long_image_without_a_face_gets_the_tip_of_tiles(monkeypatch) -> None:
    nobody = TwoStage(FakeDetector(), FakeClassifier())
    monkeypatch.setattr(session, "load_analyzer", lambda *names, **how: nobody)
    app = upload(opened(), ("long.png", encode_png(make_grey_image(6000, 200))))
    assert "larger image" not in texts(app.warning)
    assert "Switch on **Detect small faces" in texts(app.warning)
    assert "6000 x 200 pixels" in texts(app.warning)
    app.main.toggle(key="image.tiles").set_value(True)
    run(app)
    assert "Move closer: this image is 6000 x 200" in texts(app.warning)
    app = upload(opened(), ("line.png", encode_png(make_grey_image(300, 1))))
    assert "use a larger image: this one is 300 x 1 pixels" in texts(app.warning)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_rotated_photo_is_shown_and_analyzed_upright(
    orientation, download_data
) -> None:
    upright = Pillow.fromarray(make_ramp_image(240, 120)[..., ::-1].copy())
    # What a camera held that way stores: the operation that orientation undoes.
    undo = {
        2: Pillow.Transpose.FLIP_LEFT_RIGHT,
        3: Pillow.Transpose.ROTATE_180,
        4: Pillow.Transpose.FLIP_TOP_BOTTOM,
        5: Pillow.Transpose.TRANSPOSE,
        6: Pillow.Transpose.ROTATE_90,
        7: Pillow.Transpose.TRANSVERSE,
        8: Pillow.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    stored.save(file, "JPEG", quality=95, exif=exif)
    app = upload(opened(), ("phone.jpg", file.getvalue()))
    record = json.loads(download_data["JSON"])["images"][0]
    assert (record["width"], record["height"]) == (240, 120)
    image_cache = app.session_state[IMAGE_CACHE]
    shown = Pillow.open(io.BytesIO(list(image_cache._views.values())[-1].preview))
    small = np.asarray(shown.resize((240, 120)), np.int16)
    assert np.abs(small - np.asarray(upright, np.int16)).mean() < 12


def test_several_images_get_totals_and_a_selection(download_data) -> None:
    files = [(f"{n}.png", encode_png(make_ramp_image(200 + n, 100))) for n in range(3)]
    app = upload(opened(), *files)
    assert "<dd>3</dd>" in texts(app.main.get("html"))
    assert shown_names(app) == ["0.png", "1.png", "2.png"]
    assert [
        choice["title"] for choice in component_data(app, "thumbnails")["filters"]
    ] == [
        "All",
        "Mask",
    ]
    with zipfile.ZipFile(io.BytesIO(download_data["Download all (ZIP)"]())) as archive:
        assert len(archive.namelist()) == 5
    app.session_state["image.selected"] = 2
    run(app)
    assert component_data(app, "thumbnails")["selected"] == 2
    assert json.loads(download_data["JSON"])["images"][0]["path"] == "2.png"


def test_too_many_files_are_reported(monkeypatch) -> None:
    monkeypatch.setattr(uploads, "MAX_IMAGES", 3)
    blank = encode_png(np.zeros((8, 8, 3), np.uint8))
    files = [(f"{n}.png", blank) for n in range(5)]
    app = upload(opened(), *files)
    assert "5 images are too many: the last 2 were left out" in texts(app.error)
    assert len(shown_names(app)) == 3
    app = upload(app, ("more.png", blank))
    assert "4 images are too many: the last 1 were left out" in texts(app.error)


def test_the_images_of_a_zip_are_read_one_by_one(download_data) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        for n in range(40):
            packed.writestr(f"day/{n:02d}.png", encode_png(make_ramp_image(100 + n)))
        packed.writestr("day/damaged.jpg", b"\xff\xd8\xff none")
        packed.writestr("notes.txt", "not an image")
        packed.writestr("../escape.png", encode_png(make_ramp_image()))
    app = upload(opened(), ("week.zip", archive.getvalue()))
    assert len(shown_names(app)) == 41
    assert shown_names(app)[0] == "day/00.png"
    lines = texts(app.error)
    assert "the path leads out of the zip" in lines
    assert "1 file without an image" in lines
    assert "`day/damaged.jpg`: " in lines
    with zipfile.ZipFile(io.BytesIO(download_data["Download all (ZIP)"]())) as done:
        assert len(done.namelist()) == 42


def test_a_zip_that_cannot_be_read_gets_one_line() -> None:
    app = upload(opened(), ("a.zip", b"PK\x03\x04 but no more"))
    (line,) = [error.value for error in app.error]
    assert line.startswith("a\\.zip: the zip is damaged or incomplete")
    assert "Sample image" in texts(app.caption)


def test_uploads_stay_when_another_page_or_source_is_opened() -> None:
    app = upload(opened(), ("a.png", encode_png(make_ramp_image())))
    app = upload(app, ("b.png", encode_png(make_ramp_image(90, 80))))
    assert shown_names(app) == ["a.png", "b.png"]
    assert component_data(app, "thumbnails")["selected"] == 1, "the newest is shown"
    run(app.switch_page("pages/about.py"))
    run(app.switch_page("pages/image.py"))
    assert shown_names(app) == ["a.png", "b.png"]
    app.main.button_group(key="image.origin").set_value("Samples")
    assert shown_names(run(app)) == []
    app.main.button_group(key="image.origin").set_value("Files")
    assert shown_names(run(app)) == ["a.png", "b.png"]


def test_an_image_without_a_face_gets_tips() -> None:
    app = move(opened(), "Face detection threshold", 0.95)
    assert "No face detected" in texts(app.warning)
    assert "the threshold is 0.95" in texts(app.warning)
    assert summary(app) == "Faces of the image: no face detected"


def test_the_overlay_has_boxes_in_pixels_of_the_original(monkeypatch) -> None:
    app = upload(opened(), ("a.png", encode_png(make_ramp_image(2500, 1200))))
    overlay = component_data(app, "overlay")
    assert (overlay["width"], overlay["height"]) == (2500, 1200)
    (face,) = overlay["faces"]
    assert face["box"] == BOXES[0]
    percentages = [f"{number}{PERCENT}" for number in (70, 20, 10)]
    assert [prob[1] for prob in face["probs"]] == percentages
    assert face["size"] == "50 x 60 pixels"


def test_samples_and_camera_can_be_chosen() -> None:
    app = opened()
    where = app.main.button_group(key="image.origin")
    where.set_value("Samples")
    run(app)
    assert summary(app)
    assert "NASA, Eileen Collins, public domain" in texts(app.main.caption)
    app.main.button_group(key="image.origin").set_value("Camera")
    run(app)
    assert component_data(app, "overlay") == {}
    app.main.get("camera_input")[0].set_value(
        ("photo.jpg", encode_jpeg(make_ramp_image()), "image/jpeg")
    )
    run(app)
    assert summary(app) == "Faces of the image: 1 face: 1 Mask"
    assert shown_names(app) == ["photo.jpg"]


def test_settings_survive_a_visit_to_another_page() -> None:
    app = opened()
    app.main.button_group(key="image.origin").set_value("Samples")
    run(app)
    move(app, "Minimum confidence", 0.8)
    run(app.switch_page("pages/about.py"))
    run(app.switch_page("pages/image.py"))
    assert app.main.button_group(key="image.origin").value == "Samples"
    assert set(face_titles(app)) == {"Unsure"}


def test_nothing_is_written_to_disk(tmp_path, monkeypatch) -> None:
    opened_for_writing: list[str] = []
    real = io.open

    def watched(file, mode="r", *args, **kwargs):
        if set(mode) & set("wax+"):
            opened_for_writing.append(str(file))
        return real(file, mode, *args, **kwargs)

    app = opened()
    monkeypatch.setattr("builtins.open", watched)
    monkeypatch.setattr("io.open", watched)
    upload(app, ("a.png", encode_png(make_ramp_image())))
    assert opened_for_writing == []
