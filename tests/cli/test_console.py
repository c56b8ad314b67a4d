from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from maskdet.atomic_file import write_file
from maskdet.cli.console import (
    check_output_path,
    iterate_with_progress_bar,
    write_text,
)

ROOT = Path(__file__).resolve().parents[2]


def test_a_terminal_gets_a_progress_bar_and_stdout_stays_clean():
    code = (
        "from maskdet.cli.console import iterate_with_progress_bar, print_line\n"
        "for item in iterate_with_progress_bar(['a', 'b', 'c'], 'image'): "
        "print_line(item)"
    )
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs
    )
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    os.close(theirs)
    assert "0/3" in shown
    assert "image/s" in shown
    assert done.stdout == b"a\nb\nc\n"


def test_without_a_terminal_there_is_no_progress_bar(capsys):
    assert list(iterate_with_progress_bar([1, 2, 3], "image")) == [1, 2, 3]
    assert capsys.readouterr() == ("", "")


def test_a_file_is_written_atomically(tmp_path, monkeypatch):
    target = tmp_path / "r.json"
    target.write_text("before")
    write_file(target, b"after")
    assert target.read_bytes() == b"after"

    def fail(source, destination):
        raise OSError(28, "No space left on device", str(source))

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match=r"No space left on device: '.*r\.json'"):
        write_file(target, b"lost")
    assert target.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [target]


def test_writing_says_where_except_on_stdout(tmp_path, capsys):
    write_text("-", "口罩\n")
    assert capsys.readouterr() == ("口罩\n", "")
    write_text(str(tmp_path / "r.csv"), "口罩\n")
    assert capsys.readouterr() == ("", f"wrote {tmp_path / 'r.csv'}\n")
    assert (tmp_path / "r.csv").read_text(encoding="utf-8") == "口罩\n"


def test_targets_are_checked_before_the_work(tmp_path):
    source = tmp_path / "a.jpg"
    source.touch()
    link = tmp_path / "link.json"
    link.symlink_to(source)
    check_output_path("--json", None, [source])
    check_output_path("--json", "-", [source])
    check_output_path("--json", str(tmp_path / "r.json"), [source])
    for target in source, link:
        with pytest.raises(ValueError, match="would overwrite an input file"):
            check_output_path("--json", str(target), [source])


def test_output_is_utf_8_whatever_the_locale():
    code = (
        "from maskdet.cli.console import print_line, configure_output\n"
        "configure_output(); print_line('口罩')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
    )
    assert done.stdout.decode("utf-8") == "口罩\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_named_wherever_the_writing_fails():
    for size in (10, 1_000_000):
        with pytest.raises(OSError, match="No space left") as caught:
            write_file(Path("/dev/full"), b"x" * size)
        assert caught.value.filename == "/dev/full"
