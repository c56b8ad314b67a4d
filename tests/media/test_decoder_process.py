"""Decoders that crash, hang or take too much memory: one error, no resources left."""

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
request = json.loads(os.read(0, 9999))
def send(kind, value, time_s, body=b""):
    os.write(1, struct.pack("<cId", kind, value, time_s) + body)
def begin():
    os.ftruncate(request["fd"], 72)
    body = {INFO!r}.encode()
    send(b"I", len(body), 0.0, body)
    send(b"F", 0, 0.0)
"""


def list_children() -> list[int]:
    """Return the IDs of the child processes that have not been waited for."""
    pids = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = stat.read_text().rsplit(")", 1)[1].split()[1]
        except OSError:
            continue
        if int(parent) == os.getpid():
            pids.append(int(stat.parent.name))
    return pids


def count_open_files() -> int:
    gc.collect()  # garbage of earlier tests must not change the count
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def fake_decoder(tmp_path, monkeypatch):
    """Return a function that replaces the decoder by a small program."""

    def replace(code: str) -> Path:
        path = tmp_path / "decoder.py"
        path.write_text(HEAD + code)
        monkeypatch.setattr(decoder_client, "DECODER_SCRIPT", path)
        (tmp_path / "video.mp4").touch()
        return tmp_path / "video.mp4"

    return replace


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "the decoder crashed"),
        ("sys.exit(3)", "the decoder crashed"),
        ("os.write(1, b'nonsense' * 9)", "the decoder crashed"),
        ("send(b'I', 4_000_000_000, 0.0)", "the decoder crashed"),
        ("send(b'F', 0, 0.0)", "the decoder crashed"),
        ("send(b'E', 5, 0.0, b'hello')", "the decoder crashed"),
        ("send(b'E', 6, 0.0, b'memory')", "more memory than is allowed"),
        ("time.sleep(60)", "takes too long"),
    ],
)
def test_every_failure_is_one_error(fake_decoder, code, message) -> None:
    path = fake_decoder(code)
    files, children = count_open_files(), list_children()
    with pytest.raises(VideoReadError, match=message) as error_info:
        open_video_file(
            path, VideoLimits(frame_timeout_s=0.5 if "sleep" in code else WAIT_S)
        )
    assert "\n" not in str(error_info.value)
    assert list_children() == children
    assert count_open_files() == files


def test_a_crash_is_raised_after_the_frames_before_it(fake_decoder) -> None:
    path = fake_decoder("begin(); os.kill(os.getpid(), signal.SIGSEGV)")
    frames = iter(open_video_file(path))
    image, time_s = next(frames)
    assert (image.shape, time_s) == ((2, 4, 3), 0.0)
    with pytest.raises(VideoReadError, match="crash"):
        next(frames)


def test_the_cpu_limit_ends_a_decoder(fake_decoder) -> None:
    path = fake_decoder(
        "from maskdet.media import decoder_process\n"
        "decoder_process.limit_resources(10**9, 1)\nwhile True: pass"
    )
    with pytest.raises(VideoReadError, match="takes too long"):
        open_video_file(path, VideoLimits(frame_timeout_s=WAIT_S))


def test_the_memory_limit_is_enforced(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", size_wh=(1920, 1080), times_ms=(0, 100, 200))
    with pytest.raises(VideoReadError):
        list(open_video_file(path, VideoLimits(memory_bytes=4_000_000)))
    assert len(list(open_video_file(path))) == 3


@pytest.mark.parametrize("ending", ["close", "drop", "break", "stop", "end"])
def test_no_resources_are_left_after_reading(tmp_path: Path, ending: str) -> None:
    path = write_video(tmp_path / "a.mp4")
    files, children = count_open_files(), list_children()
    opened = open_video_file(path)
    assert len(list_children()) == len(children) + 1
    if ending == "close":
        opened.close()
        opened.close()
    elif ending == "break":
        for _ in opened:
            break
    elif ending == "stop":
        frames = iter(opened)
        next(frames)
        opened.stop()
        assert list(frames) == []
    elif ending == "end":
        list(opened)
    del opened
    if ending == "stop":
        del frames
    assert list_children() == children
    assert count_open_files() == files
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def test_frames_are_not_overwritten_by_later_ones(tmp_path: Path) -> None:
    images, copies = [], []
    for image, _ in open_video_file(write_video(tmp_path / "a.mp4")):
        images.append(image)
        copies.append(image.copy())
    assert all(np.array_equal(*pair) for pair in zip(images, copies, strict=True))
    assert images[-1].mean() > images[0].mean() + 0.5


def test_a_decoder_ends_with_its_parent(tmp_path: Path) -> None:
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
    pid = int(parent.stdout.readline())
    assert Path(f"/proc/{pid}").exists()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not is_alive(pid), "the decoder to end")


def is_alive(pid: int) -> bool:
    """Return whether a process runs and is not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] not in "ZX"
