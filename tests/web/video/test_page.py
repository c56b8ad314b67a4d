"""The Video page, run without a browser."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.serving import video_job
from maskdet.serving.video_job import VideoAnalysisJob
from maskdet.web import session
from maskdet.web.video import upload as video_upload
from maskdet.web.widgets import Sample
from tests.helpers.app import component_data
from tests.helpers.fakes import FakeClassifier, FakeDetector
from tests.helpers.waiting import WAIT_S
from tests.media.video_files import N_FRAMES, SIZE_WH, write_video
from tests.serving.test_video_job import BOX, Gate

APP = Path(__file__).resolve().parents[3] / "app.py"


@pytest.fixture(autouse=True)
def analyzer(monkeypatch: pytest.MonkeyPatch) -> TwoStage:
    """Replace all models by fakes; return the analyzer of every video."""
    fake = TwoStage(FakeDetector([BOX], [0.9]), FakeClassifier((0.7, 0.2, 0.1)))
    monkeypatch.setattr(session, "load_analyzer", lambda *names, **how: fake)
    monkeypatch.setattr(session, "model_path", lambda name: APP)
    st.cache_resource.clear()  # every AppTest has the same session
    return fake


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    """The page with a short sample; its job is closed afterwards."""
    sample = Sample("Video", write_video(tmp_path / "a.mp4"), "credit")
    monkeypatch.setattr(video_upload, "VIDEO_SAMPLE", sample)
    opened = AppTest.from_file(str(APP), default_timeout=WAIT_S)
    run(opened.switch_page("pages/video.py"))
    yield opened
    if "maskdet.video" in opened.session_state:
        opened.session_state["maskdet.video"].close()


def run(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception
    return app


def job(app: AppTest) -> VideoAnalysisJob:
    current = app.session_state["maskdet.video"]
    assert isinstance(current, VideoAnalysisJob)
    return current


def press(app: AppTest, label: str) -> AppTest:
    next(one for one in app.main.button if one.label == label).click()
    return run(app)


def finished(app: AppTest) -> AppTest:
    assert job(app).join(WAIT_S)
    return run(app)


def upload(app: AppTest, name: str, content: bytes, kind: str = "") -> AppTest:
    uploader = next(one for one in app.main if one.type == "file_uploader")
    assert list(uploader.proto.type) == [], "a browser would reject some videos"
    uploader.set_value((name, content, kind))
    return run(app)


def analyze(app: AppTest, name: str, content: bytes, kind: str = "") -> AppTest:
    return finished(press(upload(app, name, content, kind), "Analyze video"))


def texts(parts: Sequence[object]) -> str:
    return "\n".join(str(part.value) for part in parts)


def buttons(app: AppTest) -> list[str]:
    return [one.label for one in app.main.button]


def test_the_sample_can_be_analyzed(app: AppTest, download_data) -> None:
    assert app.title[0].value == "Video"
    assert "Analyze video" not in buttons(app)
    finished(press(app, "Analyze sample"))
    (people,) = [one.value for one in app.main.dataframe]
    assert list(people["Label"]) == ["Mask"]
    assert "Thumbnail" not in people
    assert "<dd>1</dd>" in texts(app.main.get("html"))
    assert "not measured" in texts(app.caption)
    document = json.loads(download_data["Summary (JSON)"]())["videos"][0]
    assert (document["video"], document["n_frames"]) == ("a.mp4", N_FRAMES)
    rows = download_data["Per-frame data (CSV)"]().decode().splitlines()
    assert len(rows) == 1 + N_FRAMES
    assert download_data["Annotated video (MP4)"]()[4:8] == b"ftyp"
    player = component_data(app, "player")
    assert [event["text"] for event in player["events"]] == [
        "Person 1 entered",
        "Person 1 left after 1 s, Unsure",
    ]
    assert (player["width"], player["height"]) == SIZE_WH
    assert player["offersOriginal"]
    (lane,) = player["lanes"]
    assert lane["title"] == "Person 1"
    shown = {player["classes"][label]["key"] for _, _, label in lane["spans"]}
    assert shown == {"mask"}
    lines = list(csv.DictReader(download_data["Events (CSV)"]().splitlines()))
    assert [line["kind"] for line in lines] == ["entered", "left"]
    assert {line["camera"] for line in lines} == {"a.mp4"}
    assert "Record these events" not in [one.label for one in app.toggle]


def choose(app: AppTest, key: str, value: object) -> AppTest:
    parts = [one for one in app.main if getattr(one, "key", None) == key]
    parts[0].set_value(value)
    return run(app)


def test_distances_add_a_top_view_of_each_moment(
    app: AppTest,
) -> None:
    choose(app, "distance.distance", "pinhole")
    finished(press(app, "Analyze sample"))
    captions = [text for one in app.main.get("image") for text in one.captions]
    assert "Bird's-eye view" in captions
    html = texts(app.main.get("html"))
    assert "Highest-risk contact" in html
    assert "over the limit" in html
    assert "not measured" not in texts(app.caption)
    moment = job(app).scenes.find(1.0)
    assert moment is not None
    assert moment.positions.shape == (1, 2)
    assert moment.positions[0, 1] > 0.2


def test_missing_floor_points_are_reported_and_the_video_is_still_analyzed(
    app: AppTest,
) -> None:
    choose(app, "distance.distance", "ground_plane")
    assert "Distances are off until then" in texts(app.warning)
    assert "marked on a frame" in texts(app.caption)
    finished(press(app, "Analyze sample"))
    assert job(app).options.preferences.settings.distance == "off"
    assert "Distances were not measured" in texts(app.caption)
    # Now there is a frame to mark the points on.
    assert "marked on a frame" not in texts(app.caption)


def test_thumbnails_are_shown_only_if_requested(app: AppTest) -> None:
    app.main.checkbox(key="video.crops").check()
    finished(press(run(app), "Analyze sample"))
    (thumbnail,) = app.main.dataframe[0].value["Thumbnail"]
    assert thumbnail.startswith("data:image/jpeg;base64,")


def test_the_analysis_continues_on_another_page(app: AppTest, monkeypatch) -> None:
    gate = Gate()
    monkeypatch.setattr(session, "load_analyzer", lambda *names, **how: gate)
    press(app, "Analyze sample")
    assert gate.called.wait(WAIT_S)
    assert {"Stop and show results", "Cancel"} <= set(buttons(run(app)))
    assert "data:image/jpeg" in texts(app.main.get("html"))
    run(app.switch_page("pages/about.py"))
    gate.open.set()
    assert job(app).join(WAIT_S)
    run(app.switch_page("pages/video.py"))
    assert len(app.main.dataframe) == 1
    assert {"Re-analyze", "Choose another video"} <= set(buttons(app))


def test_cancel_deletes_everything_and_restores_the_page(
    app: AppTest, monkeypatch
) -> None:
    gate = Gate()
    monkeypatch.setattr(session, "load_analyzer", lambda *names, **how: gate)
    press(app, "Analyze sample")
    assert gate.called.wait(WAIT_S)
    current = job(app)
    press(app, "Cancel")
    gate.open.set()
    assert current.join(WAIT_S)
    assert "maskdet.video" not in app.session_state
    assert not current.rows_path.parent.exists()
    assert "Analyze sample" in buttons(app)


def test_stopping_shows_the_results_so_far(app: AppTest, monkeypatch) -> None:
    gate = Gate()
    monkeypatch.setattr(session, "load_analyzer", lambda *names, **how: gate)
    press(app, "Analyze sample")
    assert gate.called.wait(WAIT_S)
    press(run(app), "Stop and show results")
    gate.open.set()
    finished(app)
    assert "Stopped at" in texts(app.info)
    assert component_data(app, "player")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "The file is empty."),
        (b"no video at all", "`<b>'x'</b>.mp4`: This is not a video"),
    ],
)
def test_an_unreadable_video_is_reported_in_one_line(
    app: AppTest, content: bytes, line: str
) -> None:
    upload(app, "<b>`x`</b>.mp4", content)
    assert "Analyze video" not in buttons(app)
    (error,) = app.error
    assert error.value.replace("\\", "").startswith(line)
    assert any(one.type == "file_uploader" for one in app.main)


def test_half_a_video_is_reported_and_shows_its_part(
    app: AppTest, tmp_path: Path, download_data
) -> None:
    front = {"movflags": "faststart"}
    whole = write_video(tmp_path / "b.mp4", "libx264", options=front).read_bytes()
    analyze(app, "half.mp4", whole[: len(whole) * 3 // 4])
    (warning,) = app.main.warning
    text = warning.value.replace("\\", "")
    assert text.startswith("Could not read the video after 0:00.")
    assert "the video is incomplete or damaged at its end" in text
    assert component_data(app, "player")["lanes"]
    document = json.loads(download_data["Summary (JSON)"]())["videos"][0]
    assert document["is_complete"] is False
    *_, last = csv.DictReader(
        download_data["Per-frame data (CSV)"]().decode().splitlines()
    )
    assert last["error"]


@pytest.mark.parametrize(
    ("name", "codec", "kind"),
    [
        ("a.ts", "libx264", "text/vnd.trolltech.linguist"),
        ("a.3gp", "mpeg4", "video/3gpp"),
        ("a", "libx264", ""),
        ("a.jpeg", "mpeg4", "image/jpeg"),
    ],
)
def test_the_content_of_an_upload_decides(
    app: AppTest, tmp_path: Path, name: str, codec: str, kind: str
) -> None:
    ending = ".ts" if name.endswith(".ts") else ".mp4"
    path = write_video(tmp_path / f"b{ending}", codec, size_wh=(176, 144))
    analyze(app, name, path.read_bytes(), kind)
    assert not app.error
    assert f"`{name}`: 176 x 144, 0:01.2, 12 frames" in texts(app.main.markdown)


def test_the_rotation_option_turns_the_video(app: AppTest) -> None:
    choose(app, "video.rotate", 90)
    finished(press(app, "Analyze sample"))
    assert "`a.mp4`: 64 x 96" in texts(app.main.markdown)


def test_an_assumed_frame_rate_is_reported(app: AppTest, tmp_path: Path) -> None:
    path = write_video(tmp_path / "b.mjpeg", "mjpeg", rate=25)
    analyze(app, "b.mjpeg", path.read_bytes())
    assert "no time stamps; assuming 25 fps" in texts(app.caption)


def test_one_frame_is_counted_in_the_singular(app: AppTest, tmp_path: Path) -> None:
    path = write_video(tmp_path / "b.mp4", times_ms=(0,))
    analyze(app, "b.mp4", path.read_bytes())
    assert ", 1 frame, without sound" in texts(app.main.markdown)


def test_changed_settings_and_another_video(app: AppTest, tmp_path: Path) -> None:
    analyze(app, "mine.mkv", write_video(tmp_path / "b.mkv").read_bytes())
    assert "`mine.mkv`" in texts(app.main.markdown)
    assert "Settings have changed" not in texts(app.info)
    next(
        one for one in app.sidebar.slider if one.label == "Minimum confidence"
    ).set_value(0.8)
    run(app)
    assert "Settings have changed" in texts(app.info)
    finished(press(app, "Re-analyze"))
    assert list(app.main.dataframe[0].value["Label"]) == ["Unsure"]
    there = job(app).rows_path.parent
    press(app, "Choose another video")
    assert not there.exists()
    assert "Analyze sample" in buttons(app)


def test_video_times_have_hours_minutes_and_seconds() -> None:
    assert [video_job.format_video_time(s) for s in (0, 7.24, 59.96, 65, 3725.5)] == [
        "0:00",
        "0:07.2",
        "1:00",
        "1:05",
        "1:02:05.5",
    ]


def test_an_upload_is_kept_until_it_is_started_or_removed(
    app: AppTest, tmp_path: Path
) -> None:
    upload(app, "mine.mp4", write_video(tmp_path / "b.mp4").read_bytes())
    choose(app, "video.every", 2)
    run(app.switch_page("pages/about.py"))
    run(app.switch_page("pages/video.py"))
    assert "`mine.mp4`: 96 x 64, 0:01" in texts(app.main.markdown)
    assert "kB" in texts(app.main.markdown)
    assert "First frame of the video" in texts(app.main.get("html"))
    assert "kept in memory only" in texts(app.caption) or "disk" in texts(app.caption)
    assert app.main.selectbox(key="video.every").value == 2
    assert job(app).options.every == 2
    folder = job(app).rows_path.parent
    assert folder.exists()
    press(app, "Choose another video")
    assert not folder.exists()
    assert "Analyze sample" in buttons(app)


def test_blur_hides_the_first_frame_and_the_original(
    app: AppTest, tmp_path: Path
) -> None:
    app.sidebar.toggle(key="choice.blur").set_value(True)
    upload(app, "mine.mp4", write_video(tmp_path / "b.mp4").read_bytes())
    assert "First frame of the video" not in texts(app.main.get("html"))
    assert "first frame is not shown" in texts(app.info)
    finished(press(app, "Analyze video"))
    player = component_data(app, "player")
    assert not player["offersOriginal"]
    assert "Faces are blurred" in player["note"]


def test_blur_switched_on_later_hides_the_original_too(app: AppTest) -> None:
    finished(press(app, "Analyze sample"))
    assert component_data(app, "player")["offersOriginal"]
    app.sidebar.toggle(key="choice.blur").set_value(True)
    assert not component_data(run(app), "player")["offersOriginal"]


def test_floor_points_can_be_marked_before_the_analysis(
    app: AppTest, tmp_path: Path
) -> None:
    upload(app, "mine.mp4", write_video(tmp_path / "b.mp4").read_bytes())
    choose(app, "distance.distance", "ground_plane")
    assert component_data(app, "point_editor")["image"]
