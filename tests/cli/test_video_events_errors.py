"""`maskdet video`: invalid event options, and camera names."""

from __future__ import annotations

import pytest

from maskdet.cli import video_events
from tests.cli.video_events import fake_unmasked_person, run_video
from tests.media.test_cameras import FakeCamera
from tests.media.video_files import write_video

ALERT_OPTIONS = ("--alert", "no_mask", "--alert-for", 0.5)


@pytest.fixture(autouse=True)
def unmasked_person(monkeypatch, tmp_path):
    """Let every video show one person without a mask, and use temporary databases."""
    fake_unmasked_person(monkeypatch, tmp_path)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--webhook", "https://a.example/"), "add a kind, such as --alert no_mask"),
        (("--mqtt", "mqtt://a.example"), "add a kind, such as --alert no_mask"),
        ((*ALERT_OPTIONS, "--webhook", "ftp://u:pw@a"), "invalid webhook URL"),
        ((*ALERT_OPTIONS, "--mqtt", "http://u:pw@a"), "invalid MQTT URL"),
        (
            (*ALERT_OPTIONS, "--alert-for", -1),
            "for_s must be a number from 0 to 3600, not -1",
        ),
        (
            (*ALERT_OPTIONS, "--alert-min-confidence", "nan"),
            "min_confidence must be a number from 0 to 1",
        ),
        (("--alert", "close"), "needs distances"),
        ((*ALERT_OPTIONS, "--webhook-secret", "x"), "--webhook-secret needs --webhook"),
        (
            (
                *ALERT_OPTIONS,
                "--webhook",
                "http://a.example",
                "--webhook-secret",
                "{empty}",
            ),
            "the file with the secret is empty",
        ),
        (("--keep-days", 3), "--keep-days needs --record"),
        (("--record", "{a}"), "would overwrite an input file"),
        (("--record", "{folder}"), "is a folder"),
        (("--record", "postgresql://u:pw@:x/y"), "is not an SQLAlchemy URL"),
        (("--record", "{empty}/e.sqlite3"), "cannot be created"),
        (("--events", "no/e.csv"), "there is no folder no"),
        (("--events", "{a}"), "would overwrite an input file"),
    ],
)
def test_bad_options_are_one_line_before_the_work(
    tmp_path, capsys, words, line
) -> None:
    (tmp_path / "empty").write_text("\n")
    places = {"a": write_video(tmp_path / "a.mp4"), "empty": tmp_path / "empty"}
    filled = [str(one).format(folder=tmp_path, **places) for one in words]
    assert run_video(tmp_path / "a.mp4", *filled) == 1
    shown = capsys.readouterr()
    assert line in shown.err
    assert (shown.err.count("\n"), shown.out) == (1, "")
    assert "pw" not in shown.err


@pytest.mark.parametrize(
    "words",
    [
        ("--start-time", "noon"),
        ("--start-time", "9999-12-31T23:59:59-12:00"),
        ("--keep-days", "0"),
        ("--keep-days", "x"),
        ("--alert", "everything"),
        ("--alert-crowd", "1.5"),
    ],
)
def test_bad_values_are_usage_errors(words) -> None:
    with pytest.raises(SystemExit) as caught:
        run_video("a.mp4", *words)
    assert caught.value.code == 2


def test_a_start_time_is_for_one_video(tmp_path, capsys, monkeypatch) -> None:
    write_video(tmp_path / "a.mp4")
    assert run_video(tmp_path, "--start-time", "2026-03-01") == 1
    assert "not for a folder" in capsys.readouterr().err
    camera = FakeCamera(1, size_wh=(96, 64))
    monkeypatch.setattr("maskdet.media.cameras.Webcam", lambda *how: camera)
    assert run_video(0, "--start-time", "2026-03-01") == 1
    assert "--start-time is not for cameras" in capsys.readouterr().err
    assert camera.closed


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("3", "Camera 3"),
        ("videos/lobby.mp4", "lobby.mp4"),
        ("rtsp://u:pw@cam.example:554/live/1?token=t", "cam.example:554/live/1"),
        ("https://cam.example/", "cam.example"),
    ],
)
def test_the_camera_name_comes_from_the_source(source, name) -> None:
    assert video_events.default_camera_name(source) == name
