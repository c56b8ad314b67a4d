"""Files that are whole or not there; devices and pipes stay what they are."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from maskdet.atomic_file import AtomicFile
from tests.helpers.waiting import WAIT_S


def test_an_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
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


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    link, real = tmp_path / "link", tmp_path / "there" / "real.csv"
    real.parent.mkdir()
    link.symlink_to(real)
    with AtomicFile(link) as file:
        file.stream.write("through")
        file.commit()
    assert link.is_symlink()
    assert real.read_text() == "through"


def test_a_link_to_a_pipe_without_a_name_leads_there() -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system has no links to open files")
    out, into = os.pipe()
    with AtomicFile(f"/proc/self/fd/{into}") as file:
        file.stream.write("as to /dev/stdout")
        file.commit()
    os.close(into)
    with open(out) as pipe:
        assert pipe.read() == "as to /dev/stdout"


def test_a_full_disk_is_told_of_the_file_that_was_asked_for(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no device that is always full")
    file = AtomicFile("/dev/full")
    file.stream.write("some")
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        file.commit()


class _Full:
    """A stream whose last bytes find no room."""

    def close(self) -> None:
        raise OSError(28, "No space left on device")


def test_no_part_is_left_where_its_end_finds_no_room(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    file = AtomicFile(path)
    file.stream.close()
    with pytest.raises(OSError, match="No space left on device") as caught, file:
        file.stream = _Full()
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []
