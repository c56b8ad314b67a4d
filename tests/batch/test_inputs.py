"""Files of folders, zips and lists."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from maskdet.batch.inputs import BatchInputs, collect_files
from maskdet.media import encode_jpeg, encode_png
from tests.helpers.fakes import make_grey_image
from tests.media.video_files import write_video

JPEG = encode_jpeg(make_grey_image())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """A folder with an image, a video, a zip of both, and another file."""
    monkeypatch.chdir(tmp_path)
    folder = Path("in")
    (folder / "sub").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(JPEG)
    (folder / "no-suffix").write_bytes(encode_png(make_grey_image()))
    video = write_video(folder / "sub" / "v.mp4")
    (folder / "sub" / "notes.md").write_text("notes")
    with zipfile.ZipFile(folder / "z.zip", "w") as archive:
        archive.writestr("b/c.jpg", JPEG)
        archive.write(video, "w.mp4")
        archive.writestr("readme.md", "notes")
    return folder


def list_files(inputs: BatchInputs) -> list[tuple[str, str]]:
    return [(file.path, file.kind) for file in inputs.files]


def test_a_folder_is_searched_with_its_zips(folder: Path) -> None:
    inputs = collect_files(["in"])
    assert list_files(inputs) == [
        ("in/a.jpg", "image"),
        ("in/no-suffix", "image"),
        ("in/sub/v.mp4", "video"),
        ("in/z.zip/b/c.jpg", "image"),
        ("in/z.zip/w.mp4", "video"),
    ]
    assert inputs.left_out == [Path("in/sub/notes.md"), Path("in/z.zip/readme.md")]
    assert inputs.problems == {}
    in_zip = inputs.files[3]
    assert in_zip.member == "b/c.jpg"
    assert in_zip.absolute_path == str(folder.resolve() / "z.zip")
    assert in_zip.modified_ns == (folder / "z.zip").stat().st_mtime_ns


def test_the_path_of_a_zip_is_resolved_once(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(5):
            archive.writestr(f"{number}.jpg", JPEG)
    resolved = []
    realpath = os.path.realpath

    def resolve(path, **options):
        resolved.append(path)
        return realpath(path, **options)

    monkeypatch.setattr("os.path.realpath", resolve)
    assert len(collect_files([str(path)]).files) == 5
    assert resolved.count(path) == 1


def test_a_list_has_a_path_on_each_line(folder: Path) -> None:
    Path("list.txt").write_text("in/a.jpg\n\n in/sub \nmissing.jpg\nother.txt\n")
    Path("other.txt").write_text("in/a.jpg\n")
    inputs = collect_files(["list.txt"])
    assert list_files(inputs) == [("in/a.jpg", "image"), ("in/sub/v.mp4", "video")]
    assert inputs.problems == {
        "missing.jpg": "there is no such file",
        "other.txt": "a list cannot contain lists",
    }


def test_a_file_of_two_sources_is_analyzed_once(folder: Path) -> None:
    os.symlink("a.jpg", "in/link.jpg")
    inputs = collect_files(["in/a.jpg", "in", str(folder.resolve())])
    assert [path for path, _ in list_files(inputs)].count("in/a.jpg") == 1
    assert len(inputs.files) == 5


def test_the_folder_of_the_results_is_left_out(folder: Path) -> None:
    (folder / "results").mkdir()
    (folder / "results" / "contact-sheet.jpg").write_bytes(JPEG)
    assert len(collect_files(["in"], exclude=folder / "results").files) == 5


def test_problems_are_one_line_each(tmp_path: Path) -> None:
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\x03\x04" + bytes(100))
    inputs = collect_files([str(broken), "rtsp://camera/1", str(tmp_path / "no")])
    assert inputs.files == []
    assert inputs.problems == {
        str(broken): "the zip is damaged or incomplete; create it again",
        "rtsp://camera/1": "is not a file; `maskdet video` reads cameras and URLs",
        str(tmp_path / "no"): "there is no such file",
    }


def test_the_day_is_that_of_the_last_change(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(JPEG)
    os.utime(path, ns=(0, 1_700_000_000 * 10**9))
    (file,) = collect_files([str(path)]).files
    assert file.day == "2023-11-14"
