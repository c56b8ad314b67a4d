"""Tests of atomic writing: files, symbolic links, pipes and devices."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from maskdet.atomic_file import AtomicFile
from tests.helpers.waiting import WAIT_S


def test_an_old_file_stays_until_the_new_one_is_committed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    with AtomicFile(path) as file:
        file.stream.write("half")
    assert path.read_text() == "old"
    with AtomicFile(path) as file:
        file.stream.write("a,口罩\r\n")
        file.commit()
    assert path.read_bytes() == "a,口罩\r\n".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    path, read = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: read.append(path.read_text()))
    reader.start()
    with AtomicFile(path) as file:
        file.stream.write("all of it")
        file.commit()
    reader.join(WAIT_S)
    assert read == ["all of it"]
    assert path.is_fifo()


def test_a_symbolic_link_is_kept(tmp_path: Path) -> None:
    link, real = tmp_path / "link", tmp_path / "there" / "real.csv"
    real.parent.mkdir()
    link.symlink_to(real)
    with AtomicFile(link) as file:
        file.stream.write("through")
        file.commit()
    assert link.is_symlink()
    assert real.read_text() == "through"


def test_a_link_to_an_open_pipe_is_followed() -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system has no links to open files")
    out, into = os.pipe()
    with AtomicFile(f"/proc/self/fd/{into}") as file:
        file.stream.write("as to /dev/stdout")
        file.commit()
    os.close(into)
    with open(out) as pipe:
        assert pipe.read() == "as to /dev/stdout"


def test_an_error_for_a_full_disk_names_the_target(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no device that is always full")
    file = AtomicFile("/dev/full")
    file.stream.write("some")
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        file.commit()


class _FullStream:
    """A stream that fails when it is closed."""

    def close(self) -> None:
        raise OSError(28, "No space left on device")


def test_no_temporary_file_remains_if_closing_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    file = AtomicFile(path)
    file.stream.close()
    with pytest.raises(OSError, match="No space left on device") as caught, file:
        file.stream = _FullStream()
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []
