"""`maskdet video`: which words on events are refused, and what sources are called."""

from __future__ import annotations

import pytest

from maskdet.cli import video_events
from tests.cli.video_events import fake_unmasked_person, run_video
from tests.media.test_cameras import FakeCamera
from tests.media.video_files import write_video

TOLD = ("--alert", "no_mask", "--alert-for", 0.5)


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """Let every video show one person without a mask, and no test touch my events."""
    fake_unmasked_person(monkeypatch, tmp_path)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--webhook", "https://a.example/"), "say of what, as --alert no_mask"),
        (("--mqtt", "mqtt://a.example"), "say of what, as --alert no_mask"),
        ((*TOLD, "--webhook", "ftp://u:pw@a"), "a webhook is an address such as"),
        ((*TOLD, "--mqtt", "http://u:pw@a"), "an MQTT address looks like"),
        ((*TOLD, "--alert-for", -1), "for_s must lie from 0.0 to 3600.0, not -1"),
        ((*TOLD, "--alert-sure", "nan"), "min_confidence must lie from"),
        (("--alert", "close"), "needs distances"),
        ((*TOLD, "--webhook-secret", "x"), "goes with --webhook only"),
        (
            (*TOLD, "--webhook", "http://a.example", "--webhook-secret", "{empty}"),
            "is empty, wanted a secret",
        ),
        (("--keep-days", 3), "goes with --record only"),
        (("--record", "{a}"), "would write into what is read"),
        (("--record", "{folder}"), "is a folder"),
        (("--record", "postgresql://u:pw@:x/y"), "is no SQLAlchemy URL"),
        (("--record", "{empty}/e.sqlite3"), "cannot be made"),
        (("--events", "no/e.csv"), "there is no folder no"),
        (("--events", "{a}"), "would overwrite what is read"),
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
        ("--began", "noon"),
        ("--began", "9999-12-31T23:59:59-12:00"),
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


def test_one_beginning_is_for_one_film(tmp_path, capsys, monkeypatch) -> None:
    write_video(tmp_path / "a.mp4")
    assert run_video(tmp_path, "--began", "2026-03-01") == 1
    assert "not a folder" in capsys.readouterr().err
    camera = FakeCamera(1, size_wh=(96, 64))
    monkeypatch.setattr("maskdet.media.cameras.Webcam", lambda *how: camera)
    assert run_video(0, "--began", "2026-03-01") == 1
    assert "leave out --began" in capsys.readouterr().err
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
def test_what_a_source_is_called(source, name) -> None:
    assert video_events.default_camera_name(source) == name
