"""The scratch folder of a video: private, in memory if possible, always deleted."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from maskdet.serving import video_job as job
from maskdet.serving.video_job import ScratchFolder
from tests.helpers.waiting import wait_until


def test_the_folder_is_private_and_deleted_by_close() -> None:
    scratch = ScratchFolder(1000)
    assert stat.S_IMODE(scratch.path.stat().st_mode) == 0o700
    (scratch.path / "video").write_bytes(b"video")
    (scratch.path / "more").mkdir()
    scratch.close()
    assert not scratch.path.exists()
    scratch.close()


def test_the_folder_is_deleted_with_its_object() -> None:
    scratch = ScratchFolder(1000)
    path = scratch.path
    del scratch
    wait_until(lambda: not path.exists(), "the folder to go")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_the_folder_is_deleted_if_the_program_is_killed() -> None:
    code = (
        "import sys, time; from maskdet.serving.video_job import ScratchFolder; "
        "scratch = ScratchFolder(1); (scratch.path / 'video').write_bytes(b'video'); "
        "print(scratch.path, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as one:
        assert one.stdout is not None
        path = Path(one.stdout.readline().decode().strip())
        assert (path / "video").read_bytes() == b"video"
        os.kill(one.pid, signal.SIGKILL)
    wait_until(lambda: not path.exists(), "the folder to go")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such a folder")
def test_the_folder_is_in_memory_only_if_there_is_room(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(job, "SHARED_MEMORY", tmp_path)
    small, large = ScratchFolder(1), ScratchFolder(10**15)
    try:
        assert (small.in_memory, small.path.parent) == (True, tmp_path)
        assert (large.in_memory, large.path.parent == tmp_path) == (False, False)
    finally:
        small.close()
        large.close()


def test_without_shared_memory_a_temporary_folder_is_used(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(job, "SHARED_MEMORY", tmp_path / "none")
    scratch = ScratchFolder(1)
    assert not scratch.in_memory
    assert scratch.path.is_dir()
    scratch.close()
