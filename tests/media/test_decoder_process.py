"""Decoders that crash, hang or eat memory cost one line and leave nothing behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from maskdet.media import VideoLimits, VideoReadError, decoder_client, open_video_file
from tests.helpers.waiting import WAIT_S, wait_until
from tests.media.video_files import write_video

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="looks at processes under /proc"
)

INFO = (
    '{"width": 4, "height": 2, "duration_s": 1, "frame_rate": [1, 1], "n_frames": 1,'
    ' "has_audio": false, "rotation_deg": 0, "start_s": 0, "taken_at": "", "tag": ""}'
)
HEAD = f"""
import json, mmap, os, signal, struct, sys, time
sys.path.insert(0, {str(Path(decoder_client.__file__).parents[2])!r})
order = json.loads(os.read(0, 9999))
def send(kind, value, time_s, body=b""):
    os.write(1, struct.pack("<cId", kind, value, time_s) + body)
def begin():
    os.ftruncate(order["fd"], 72)
    body = {INFO!r}.encode()
    send(b"I", len(body), 0.0, body)
    send(b"F", 0, 0.0)
"""


def decoders() -> list[int]:
    """Return the children of this process that have not been waited for."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = stat.read_text().rsplit(")", 1)[1].split()[1]
        except OSError:
            continue
        if int(parent) == os.getpid():
            found.append(int(stat.parent.name))
    return found


def open_files() -> int:
    gc.collect()  # what an earlier test left must not be closed in this one
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Put a small program in the decoder's place; returns how to."""

    def replace(code: str) -> Path:
        path = tmp_path / "decoder.py"
        path.write_text(HEAD + code)
        monkeypatch.setattr(decoder_client, "DECODER_SCRIPT", path)
        (tmp_path / "video.mp4").touch()
        return tmp_path / "video.mp4"

    return replace


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "made its decoder crash"),
        ("sys.exit(3)", "made its decoder crash"),
        ("os.write(1, b'nonsense' * 9)", "made its decoder crash"),
        ("send(b'I', 4_000_000_000, 0.0)", "made its decoder crash"),
        ("send(b'F', 0, 0.0)", "made its decoder crash"),
        ("send(b'E', 5, 0.0, b'hello')", "made its decoder crash"),
        ("send(b'E', 6, 0.0, b'memory')", "more memory than is allowed"),
        ("time.sleep(60)", "takes too long to read"),
    ],
)
def test_whatever_happens_costs_one_line(program, code, words) -> None:
    path = program(code)
    files, children = open_files(), decoders()
    with pytest.raises(VideoReadError, match=words) as caught:
        open_video_file(
            path, VideoLimits(frame_timeout_s=0.5 if "sleep" in code else WAIT_S)
        )
    assert "\n" not in str(caught.value)
    assert decoders() == children
    assert open_files() == files


def test_a_crash_in_the_middle_comes_after_what_was_read(program) -> None:
    path = program("begin(); os.kill(os.getpid(), signal.SIGSEGV)")
    frames = iter(open_video_file(path))
    image, time_s = next(frames)
    assert (image.shape, time_s) == ((2, 4, 3), 0.0)
    with pytest.raises(VideoReadError, match="crash"):
        next(frames)


def test_a_film_that_works_too_long_is_ended(program) -> None:
    path = program(
        "from maskdet.media import decoder_process\n"
        "decoder_process.limit_resources(10**9, 1)\nwhile True: pass"
    )
    with pytest.raises(VideoReadError, match="takes too long"):
        open_video_file(path, VideoLimits(frame_timeout_s=WAIT_S))


def test_a_film_may_not_take_more_memory_than_allowed(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", size_wh=(1920, 1080), times_ms=(0, 100, 200))
    with pytest.raises(VideoReadError):
        list(open_video_file(path, VideoLimits(memory_bytes=4_000_000)))
    assert len(list(open_video_file(path))) == 3


@pytest.mark.parametrize("how", ["close", "drop", "break", "stop", "end"])
def test_nothing_is_left_when_a_film_is_let_go(tmp_path: Path, how: str) -> None:
    path = write_video(tmp_path / "a.mp4")
    files, children = open_files(), decoders()
    opened = open_video_file(path)
    assert len(decoders()) == len(children) + 1
    if how == "close":
        opened.close()
        opened.close()
    elif how == "break":
        for _ in opened:
            break
    elif how == "stop":
        frames = iter(opened)
        next(frames)
        opened.stop()
        assert list(frames) == []
    elif how == "end":
        list(opened)
    del opened
    if how == "stop":
        del frames
    assert decoders() == children
    assert open_files() == files
    assert [one.name for one in tmp_path.iterdir()] == ["a.mp4"]


def test_pictures_stay_as_they_were_when_later_ones_come(tmp_path: Path) -> None:
    images, copies = [], []
    for image, _ in open_video_file(write_video(tmp_path / "a.mp4")):
        images.append(image)
        copies.append(image.copy())
    assert all(np.array_equal(*pair) for pair in zip(images, copies, strict=True))
    assert images[-1].mean() > images[0].mean() + 0.5


def test_a_decoder_goes_with_its_parent(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    code = (
        "import sys, time\nfrom maskdet.media import open_video_file\n"
        f"video = open_video_file({str(path)!r})\n"
        "print(video._decoder._process.pid, flush=True)\ntime.sleep(600)"
    )
    root = Path(decoder_client.__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True
    )
    number = int(parent.stdout.readline())
    assert Path(f"/proc/{number}").exists()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not alive(number), "the decoder to end")


def alive(number: int) -> bool:
    """Whether a process runs; one that only waits to be counted does not."""
    try:
        stat = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] not in "ZX"
