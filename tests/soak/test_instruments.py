"""The instruments of the reliability tests find what they look for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskdet.media import encode_jpeg, read_image
from maskdet.resources import resource_path
from tests.soak import mutations
from tests.soak.figures import Series, format_table, write_charts
from tests.soak.hostile import split_seeds
from tests.soak.hostile_worker import HostileError, check_line, check_messages
from tests.soak.marker import count_marked_places, make_marked_image, read_memory
from tests.soak.written_files import (
    make_trace_command,
    parse_call,
    read_written_files,
)

MARKED = make_marked_image()


@pytest.mark.parametrize(
    "content",
    [
        MARKED.tobytes(),
        MARKED[:1, ::-1, 0].tobytes(),
        read_image(encode_jpeg(MARKED, 60)).tobytes(),
        cv2.resize(MARKED, (320, 240), interpolation=cv2.INTER_AREA).tobytes(),
        cv2.cvtColor(MARKED, cv2.COLOR_BGR2YUV_I420).tobytes(),
        (MARKED[:1] / np.float32(255)).astype(np.float32).tobytes(),
        b"abc" + (MARKED[:1] / np.float32(127.5) - 1).astype(np.float32).tobytes()[3:],
    ],
    ids=["BGR", "mirrored", "JPEG", "small", "YUV", "0 to 1", "-1 to 1"],
)
def test_the_pattern_is_found_in_each_form_of_an_image(content: bytes) -> None:
    assert count_marked_places(content)


def test_the_pattern_is_not_found_in_other_content() -> None:
    image = read_image(resource_path("samples/group.jpg"))
    noise = np.random.default_rng(0).bytes(100_000)
    for content in (b"", b"a", image.tobytes(), noise, bytes(100_000)):
        assert not count_marked_places(content)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_memory_of_another_process_is_read() -> None:
    code = (
        "import numpy, sys; from tests.soak.marker import make_marked_image; "
        "image = make_marked_image() if sys.argv[1] == '1' else None; "
        "print(1, flush=True); input()"
    )
    for is_marked in (True, False):
        with subprocess.Popen(
            [sys.executable, "-c", code, str(int(is_marked))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).resolve().parents[2],
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            contents = read_memory(process.pid)
            assert any(count_marked_places(part) for _, part in contents) == is_marked
            process.kill()


@pytest.mark.parametrize(
    ("call", "paths"),
    [
        ('openat(AT_FDCWD</w>, "a", O_RDONLY) = 3</w/a>', []),
        ('openat(AT_FDCWD</w>, "a", O_WRONLY|O_CREAT, 0666) = 3</w/a>', ["/w/a"]),
        ('openat(AT_FDCWD</w>, "a", O_WRONLY) = -1 ENOENT (No such file)', []),
        ('open("a", O_RDWR) = 4</tmp/x>(deleted)', []),
        ('openat(5</d>, "b", O_RDWR|O_TRUNC) = 4</d/b>', ["/d/b"]),
        ('mkdir("out", 0777)                      = 0', ["out"]),
        ('mkdir("out", 0777)                      = -1 EEXIST (File exists)', []),
        ('rename("/w/a", "/w/b")                  = 0', ["/w/a", "/w/b"]),
        ('renameat(5</d>, "a", 6</e>, "b")        = 0', ["/d/a", "/e/b"]),
        ('symlink("../x", "/w/link")              = 0', ["/w/link"]),
    ],
)
def test_only_calls_that_write_have_paths(call: str, paths: list[str]) -> None:
    assert list(parse_call(call)) == paths


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_files_of_a_program_are_found(tmp_path: Path) -> None:
    code = (
        "import os, threading, cv2, numpy; os.mkdir('made'); open('/dev/null').close();"
        "threading.Thread(target=lambda: open('made/a', 'w').close()).start();"
        "cv2.imwrite('native.png', numpy.zeros((4, 4, 3), numpy.uint8));"
        "os.rename('native.png', '../moved.png')"
    )
    work, prefix = tmp_path / "work", tmp_path / "trace"
    work.mkdir()
    command = [*make_trace_command(prefix), sys.executable, "-B", "-c", code]
    subprocess.run(command, cwd=work, check=True)
    inside = {str(work / name) for name in ("made", "made/a", "native.png")}
    written = {
        path
        for path in read_written_files(prefix, work)
        if path.startswith(str(tmp_path))
    }
    assert written == {*inside, str(tmp_path / "moved.png")}


@pytest.mark.parametrize("seed", [0, 1, 20])
def test_a_seed_always_makes_the_same_input(seed: int) -> None:
    for make in (mutations.make_hostile_image, mutations.make_hostile_settings):
        assert make(seed) == make(seed)
        assert make(seed) != make(seed + 1)


def test_no_worker_is_without_seeds() -> None:
    assert split_seeds(range(7, 8), 4) == [range(7, 8, 4)]
    assert split_seeds(range(0), 2) == []
    parts = split_seeds(range(5), 2)
    assert [[*part] for part in parts] == [[0, 2, 4], [1, 3]]


def test_a_message_of_two_lines_is_a_problem() -> None:
    assert check_line("a file is damaged") == "rejected"
    for line in ("two\nlines", "\x1b[2J"):
        with pytest.raises(HostileError, match="not one printable line"):
            check_line(line)


def test_a_command_writes_messages_of_one_line() -> None:
    message = "maskdet: a.jpg: the image is damaged\n"
    check_messages(f"{message}wrote out.json\n", "a.jpg", is_rejected=True)
    for text in ("", "wrote out.json\n", f"{message}in the second row\n"):
        with pytest.raises(HostileError, match="message"):
            check_messages(text, "a.jpg", is_rejected=True)


def test_the_table_has_start_maximum_and_end(tmp_path: Path) -> None:
    series = Series()
    for threads, fps in ((10, 3.25), (14, 12.5)):
        series.add({"threads": threads, "frames/s": fps})
    table = format_table(series, {"threads": 9}, {"threads": 11})
    assert table.splitlines()[2:] == [
        "| threads | 9 | 14 | 11 |",
        "| frames/s | 3.25 | 12.5 | 12.5 |",
    ]
    write_charts(tmp_path / "charts.html", series)
    page = (tmp_path / "charts.html").read_text()
    assert page.count("<svg") == 2
    assert "frames/s" in page
