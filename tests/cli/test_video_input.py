"""`maskdet video` with damaged, unusual, rotated or oddly named files."""

from __future__ import annotations

import csv
import http.server
import json
import os
import signal
import threading
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.cli import main, video
from maskdet.media import encode_jpeg, open_video_file
from maskdet.video import analysis
from tests.helpers.fakes import FakeClassifier, FakeDetector
from tests.media.image_files import make_corners_image, mean_difference
from tests.media.video_files import N_FRAMES, write_video


@pytest.fixture(autouse=True)
def analyzer(monkeypatch):
    fake = TwoStage(FakeDetector([[5, 5, 45, 55]], [0.9]), FakeClassifier())
    monkeypatch.setattr(video, "load_analyzer", lambda *names, **how: fake)


def run(*words: object) -> int:
    return main(["video", *map(str, words)])


def half(path: Path) -> Path:
    """Write the first three quarters of a video whose index is at the start."""
    whole = write_video(path, "libx264", options={"movflags": "faststart"}).read_bytes()
    path.write_bytes(whole[: len(whole) * 3 // 4])
    return path


def test_an_incomplete_video_is_reported_in_every_output(tmp_path, capsys) -> None:
    source = half(tmp_path / "half.mp4")
    rows, summary, out = (tmp_path / name for name in ("o.csv", "o.json", "o.mp4"))
    assert run(source, "--csv", rows, "--json", summary, "--out", out) == 1
    shown = capsys.readouterr()
    line = "the video is incomplete or damaged at its end"
    assert f"maskdet: {source}: {line}" in shown.err
    assert f"wrote {out} (only the first 0." in shown.err
    assert "1 person in the first 0." in shown.out
    (report,) = json.loads(summary.read_text())["videos"]
    assert report["is_complete"] is False
    assert report["error"].startswith(line)
    assert 0 < report["n_frames"] < N_FRAMES
    *before, last = list(csv.DictReader(rows.open()))
    assert last["error"].startswith(line)
    assert (last["time_s"], last["person"]) == (before[-1]["time_s"], "")
    assert {row["error"] for row in before} == {""}
    assert len(list(open_video_file(out))) == report["n_frames"]


def test_an_unreadable_video_has_a_row(tmp_path, capsys) -> None:
    write_video(tmp_path / "b.mp4")
    (tmp_path / "a.mp4").write_text("no video")
    rows = tmp_path / "o" / "rows.csv"
    rows.parent.mkdir()
    assert run(tmp_path, "--csv", rows) == 1
    first, *rest = list(csv.DictReader(rows.open()))
    assert (first["video"], first["time_s"]) == (str(tmp_path / "a.mp4"), "")
    assert first["error"].startswith("this is not a video")
    assert len(rest) == N_FRAMES


@pytest.mark.parametrize(
    "name", ["2026-11-26T07:50:00/a.mp4", "file:a.mp4", "a%d.mp4", "-a.mp4", "ä b?.mp4"]
)
@pytest.mark.parametrize("sound", ["", "aac"])
def test_the_name_of_the_annotated_video_is_only_a_name(
    tmp_path, monkeypatch, name, sound
) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(Path("in.mp4"), audio_codec=sound)
    Path(name).parent.mkdir(exist_ok=True)
    assert run("in.mp4", f"--out={name}") == 0
    with open_video_file(name) as opened:
        assert opened.info.has_audio == bool(sound)
        assert len(list(opened)) == N_FRAMES
    left = sorted(str(one) for one in tmp_path.rglob("*") if one.is_file())
    assert left == sorted([str(tmp_path / "in.mp4"), str(tmp_path / name)])


def test_unusual_file_names_are_read(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("07:50:00")
    folder.mkdir()
    write_video(tmp_path / folder / "a.mp4").rename(folder / "http:b%03d.mp4")
    assert run(folder, "--out", "to:") == 0
    assert (tmp_path / "to:" / "http:b%03d.mp4").is_file()


def test_a_frame_that_cannot_be_encoded_costs_one_file(tmp_path, capsys) -> None:
    """H.264 knows no frames of more than 16,384 pixels a side."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    write_video(
        folder / "a.avi", "mjpeg", rate=20, size_wh=(17_000, 16), times_ms=(0, 100)
    )
    write_video(folder / "b.mp4")
    assert run(folder, "--out", out) == 1
    warnings = [
        line for line in capsys.readouterr().err.splitlines() if "maskdet:" in line
    ]
    assert len(warnings) == 1
    assert "a.avi" in warnings[0]
    assert "cannot be encoded or written" in warnings[0]
    assert [path.name for path in out.iterdir()] == ["b.mp4"]


def test_a_frame_rate_near_zero_costs_one_line(tmp_path, capsys) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    path = write_video(folder / "a.avi", rate=20)
    content = bytearray(path.read_bytes())
    at = content.index(b"strh") + 8 + 20
    content[at : at + 8] = (684_510_413).to_bytes(4, "little") + b"\x04\0\0\0"
    path.write_bytes(content)
    write_video(folder / "b.mp4")
    assert run(folder, "--out", out) == 1
    shown = capsys.readouterr()
    assert shown.err.count("maskdet:") == 1
    assert f"{path}: the video is longer than is allowed" in shown.err
    assert f"{folder / 'b.mp4'}: 1 person in 1.2 s" in shown.out


def test_content_decides_what_a_video_is(tmp_path, capsys) -> None:
    for name, codec in (("a.3gp", "mpeg4"), ("b.ts", "libx264"), ("c.wmv", "wmv2")):
        write_video(tmp_path / name, codec, size_wh=(176, 144))
    write_video(tmp_path / "d.m2ts", "libx264", options={"mpegts_m2ts_mode": "1"})
    write_video(tmp_path / "e.mpg", "mpeg1video", rate=25)
    write_video(tmp_path / "f.flv", "flv")
    write_video(tmp_path / "g.ogv", "libvpx")
    write_video(tmp_path / "h.mjpeg", "mjpeg", rate=25)
    write_video(tmp_path / "i.h264", "libx264", rate=25)
    write_video(tmp_path / "j.mp4").rename(tmp_path / "j")
    write_video(tmp_path / "k.mkv").rename(tmp_path / "k.backup")
    (tmp_path / "l.txt").write_text("Good morning")
    (tmp_path / "m.ts").write_text("export const x = 1;\n" * 50)
    (tmp_path / "n.jpg").write_bytes(encode_jpeg(make_corners_image()))
    (tmp_path / ".hidden").write_text("")
    (tmp_path / "more").mkdir()
    rows = tmp_path / "more" / "o.json"
    assert run(tmp_path, "--json", rows) == 0
    films = json.loads(rows.read_text())["videos"]
    assert [Path(one["video"]).name[0] for one in films] == list("abcdefghijk")
    assert {one["n_frames"] for one in films} == {N_FRAMES}
    assert (
        f"{tmp_path}: left out 3 files that are not videos and 1 folder "
        "(l.txt, m.ts, n.jpg, more/)"
    ) in capsys.readouterr().err


def test_a_jump_of_the_timestamps_does_not_lengthen_a_video(tmp_path) -> None:
    hours = tuple(range(36_000_000, 36_001_200, 100))
    parts = [write_video(tmp_path / "b.ts", "libx264")]
    parts.append(write_video(tmp_path / "c.ts", "libx264", times_ms=hours))
    path, summary = tmp_path / "a.ts", tmp_path / "o.json"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert run(path, "--json", summary) == 0
    (report,) = json.loads(summary.read_text())["videos"]
    assert (report["duration_s"], report["analyzed_s"]) == (2.4, 2.4)


def test_a_folder_without_a_video_says_what_is_there(tmp_path, capsys) -> None:
    (tmp_path / "a.txt").write_text("Good morning")
    assert run(tmp_path) == 1
    assert capsys.readouterr().err == (
        f"maskdet: {tmp_path}: no videos in this folder, only 1 file that is "
        "not a video (a.txt)\n"
    )


def test_an_assumed_frame_rate_is_reported(tmp_path, capsys) -> None:
    path, summary = (
        write_video(tmp_path / "a.mjpeg", "mjpeg", rate=25),
        tmp_path / "o.json",
    )
    assert run(path, "--json", summary) == 0
    line = f"{path}: the file has no timestamps; 25 frames per second are assumed"
    assert line in capsys.readouterr().err
    (report,) = json.loads(summary.read_text())["videos"]
    assert report["rate_is_assumed"] is True


def test_frames_can_be_rotated(tmp_path) -> None:
    source, out = write_video(tmp_path / "a.mp4"), tmp_path / "o.mp4"
    assert run(source, "--out", out, "--rotate", 90) == 0
    image, _ = next(iter(open_video_file(out)))
    assert image.shape == (96, 64, 3)
    plain = np.rot90(make_corners_image(96, 64), -1)
    assert mean_difference(image[70:], plain[70:]) < 20, "no face is drawn there"
    with pytest.raises(SystemExit):
        run(source, "--rotate", 45)


def test_the_device_of_a_camera_is_a_source(monkeypatch, capsys, tmp_path) -> None:
    requests = []

    class NoCapture:
        def __init__(self, number: int) -> None:
            requests.append(number)

        def read(self) -> tuple[bool, None]:
            return False, None

        def release(self) -> None:
            pass

    monkeypatch.setattr(cv2, "VideoCapture", NoCapture)
    assert run("/dev/video99") == 1
    assert "/dev/video99: there is no such file" in capsys.readouterr().err
    assert run("/dev/null") == 1
    assert "/dev/null: this device is not a camera" in capsys.readouterr().err
    link = tmp_path / "usb-Door-index0"
    link.symlink_to("/dev/video99")
    monkeypatch.setattr(Path, "is_char_device", lambda path: True)
    for name in ("/dev/video99", link):
        assert run(name) == 1
        line = f"maskdet: {name}: there is no camera 99, or another program uses it"
        assert capsys.readouterr().err == f"{line}\n"
    assert requests == [99, 99]


class Snapshots(http.server.BaseHTTPRequestHandler):
    """A camera that returns a brighter image for each request."""

    requests: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.requests.append(self.path)
        image = np.full((64, 96, 3), 30 * len(self.requests) % 250, np.uint8)
        content = encode_jpeg(image)
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words: object) -> None:
        pass


@pytest.mark.parametrize("path", ["snap.jpg", "cgi-bin/snap?a=b", "snap%25d.jpg"])
def test_the_address_of_a_snapshot_is_a_slow_camera(
    tmp_path, capsys, monkeypatch, path
) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Snapshots)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(Snapshots, "requests", [])
    seen = []

    def step(stream, image, time_s):
        seen.append((int(image[32, 48].mean()), time_s))
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return whole_step(stream, image, time_s)

    whole_step = analysis.Stream.step
    monkeypatch.setattr(analysis.Stream, "step", step)
    address = f"http://127.0.0.1:{server.server_port}/{path}"
    try:
        assert run(address, "--json", tmp_path / "o.json") == 0
    finally:
        server.shutdown()
        server.server_close()
    values, times = zip(*seen, strict=True)
    assert list(values) == sorted(set(values)), "a new image each time"
    assert times[-1] > 1.5
    assert len(Snapshots.requests) <= 5
    assert "single images; one is read every second" in capsys.readouterr().err
    (report,) = json.loads((tmp_path / "o.json").read_text())["videos"]
    assert (report["n_frames"], report["error"]) == (3, None)
