from __future__ import annotations

import io
import random
import stat
import struct
import sys
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from maskdet.datasets.archives import (
    ArchiveLimits,
    DatasetError,
    FileSource,
    FolderFiles,
    MemoryFiles,
    ZipFiles,
)
from tests.helpers.zipped_datasets import make_zip


def named(*entries: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    """Return a zip with entries of invalid names and kinds."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        for entry, content in entries:
            made.writestr(entry, content)
    return target.getvalue()


def entry(name: str, mode: int = 0) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo("x")
    made.filename = name  # bypasses the constructor, which cleans names
    made.external_attr = mode << 16
    return made


def test_files_of_a_zip_are_read_by_name() -> None:
    files = ZipFiles(make_zip({"b/a.txt": "one", "a.txt": "two"}))
    assert files.names == ("a.txt", "b/a.txt")
    assert files.notes == ()
    assert files.read("b/a.txt", 10) == b"one"
    assert files.exists("a.txt")
    assert not files.exists("b")


@pytest.mark.parametrize(
    "name",
    [
        "../evil.txt",
        "a/../../evil.txt",
        "/etc/evil.txt",
        "C:/evil.txt",
        "C:evil.txt",
        "..\\evil.txt",
        "\\\\host\\evil.txt",
    ],
)
def test_paths_outside_the_zip_are_left_out(name: str) -> None:
    files = ZipFiles(named((entry(name), b"evil"), (entry("good.txt"), b"good")))
    assert files.names == ("good.txt",)
    assert files.read("good.txt", 10) == b"good"
    assert len(files.notes) == 1
    assert "1 file (" in files.notes[0]
    assert "leads out of the zip" in files.notes[0]


def test_links_and_devices_are_left_out() -> None:
    files = ZipFiles(
        named(
            (entry("link.jpg", stat.S_IFLNK | 0o777), b"/etc/passwd"),
            (entry("pipe.jpg", stat.S_IFIFO | 0o666), b""),
            (entry("good.txt", stat.S_IFREG | 0o644), b"good"),
        )
    )
    assert files.names == ("good.txt",)
    assert files.notes == (
        "2 files (link.jpg, pipe.jpg): a link or device, not a file; left out",
    )


def test_unprintable_names_are_left_out() -> None:
    content = make_zip({"aXb.jpg": "evil", "cYd.jpg": "evil", "good.txt": "good"})
    content = content.replace(b"aXb.jpg", b"a\0b.jpg").replace(b"cYd.jpg", b"c\ad.jpg")
    files = ZipFiles(content)
    assert files.names == ("good.txt",)
    assert files.notes[0].isprintable()


def test_backslashes_separate_folders() -> None:
    assert ZipFiles(named((entry("mask\\a.jpg"), b"x"))).names == ("mask/a.jpg",)


def test_hidden_files_are_not_noted() -> None:
    files = ZipFiles(
        make_zip(
            {"__MACOSX/._a.jpg": "x", ".DS_Store": "x", "a.txt": "a", "./b.txt": ""}
        )
    )
    assert files.names == ("a.txt", "b.txt")
    assert files.notes == ()


def test_the_first_of_two_equal_names_is_read() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        content = named((entry("a.txt"), b"first"), (entry("a.txt"), b"second"))
    files = ZipFiles(content)
    assert files.read("a.txt", 10) == b"first"
    assert "duplicate name" in files.notes[0]


def test_nested_archives_are_left_out() -> None:
    inner = make_zip({"a.jpg": "x"})
    files = ZipFiles(make_zip({"more.zip": inner, "a.txt": "a"}))
    assert files.names == ("a.txt",)
    assert "unpack it first" in files.notes[0]
    with pytest.raises(DatasetError, match="nested archive"):
        ZipFiles(make_zip({"more.zip": inner}))


def test_encrypted_files_are_reported() -> None:
    content = bytearray(make_zip({"a.txt": "secret"}))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    with pytest.raises(DatasetError, match="remove the password"):
        ZipFiles(bytes(content))


def test_unsupported_compression_is_left_out() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        made.writestr("a.txt", "a" * 1000, zipfile.ZIP_LZMA)
        made.writestr("b.txt", "b")
    files = ZipFiles(target.getvalue())
    assert files.names == ("b.txt",)
    assert "unsupported compression" in files.notes[0]


def test_a_decompression_bomb_is_rejected_by_ratio() -> None:
    content = make_zip({"a.txt": bytes(60_000_000)})
    assert len(content) < 100_000
    with pytest.raises(DatasetError, match="times its size"):
        ZipFiles(content)
    assert ZipFiles(content, ArchiveLimits(ratio_exempt_bytes=60_000_000)).names == (
        "a.txt",
    )


def test_a_decompression_bomb_is_rejected_by_total_size() -> None:
    content = make_zip({f"{i}.bin": random.Random(i).randbytes(500) for i in range(5)})
    assert len(ZipFiles(content, ArchiveLimits(max_total_bytes=2500)).names) == 5
    with pytest.raises(DatasetError, match="unpacks to more than"):
        ZipFiles(content, ArchiveLimits(max_total_bytes=2499))


def test_too_many_files_are_rejected() -> None:
    content = make_zip({f"{i}.txt": "" for i in range(11)})
    assert len(ZipFiles(content, ArchiveLimits(max_files=11)).names) == 11
    with pytest.raises(DatasetError, match="more than 10 files"):
        ZipFiles(content, ArchiveLimits(max_files=10))


def test_signatures_across_blocks_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    for shift in range(4):
        filler = {"filler": random.Random(1).randbytes((1 << 20) - 100 + shift)}
        path.write_bytes(make_zip({**filler, **{f"{i}.txt": "" for i in range(9)}}))
        with pytest.raises(DatasetError, match="more than 9 files"):
            ZipFiles(path, ArchiveLimits(max_files=9))
        assert len(ZipFiles(path, ArchiveLimits(max_files=10)).names) == 10


def test_no_more_than_the_stated_size_is_unpacked() -> None:
    content = bytearray(make_zip({"a.txt": bytes(1_000_000), "b.txt": "b"}))
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = content.index(mark) + offset
        assert struct.unpack_from("<I", content, place) == (1_000_000,)
        struct.pack_into("<I", content, place, 10)
    files = ZipFiles(bytes(content))
    with pytest.raises(DatasetError, match="damaged in the zip"):
        files.read("a.txt", 100)
    assert files.read("b.txt", 10) == b"b"


def test_a_file_above_the_limit_is_not_unpacked() -> None:
    files = ZipFiles(make_zip({"a.txt": bytes(2_000_000)}))
    with pytest.raises(DatasetError, match=r"larger than 1 MB"):
        files.read("a.txt", 1_000_000)
    assert len(files.read("a.txt", 2_000_000)) == 2_000_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a zip file"),
        (b"hello", "not a zip file"),
        (make_zip({"a.txt": "abc"})[:-30], "damaged or incomplete"),
        (make_zip({}), "the zip is empty"),
    ],
)
def test_a_file_that_is_not_a_zip_is_rejected_in_one_line(
    content: bytes, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        ZipFiles(content)


def test_damaged_zips_raise_only_dataset_errors() -> None:
    whole = make_zip({f"{i}.txt": f"{i}" * 50 for i in range(6)})
    rng = random.Random(7)
    refused: list[str] = []
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(rng.choice((1, 3, 20))):
            content[rng.randrange(len(content))] = rng.randrange(256)
        try:
            files = ZipFiles(bytes(content))
            for name in files.names:
                files.read(name, 1000)
        except DatasetError as error:
            refused.append(str(error))
    assert 0 < len(refused) < 400
    assert all(message.isprintable() for message in refused)


def test_hidden_files_of_a_folder_are_not_listed(tmp_path: Path) -> None:
    for name in ("a.txt", "b/c.txt", ".hidden/d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    files = FolderFiles(tmp_path)
    assert files.names == ("a.txt", "b/c.txt")
    assert files.read("b/c.txt", 10) == b"b/c.txt"


@pytest.mark.parametrize("kind", ["folder", "memory", "zip"])
def test_missing_and_too_large_files_are_reported(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abc")
    every: dict[str, FileSource] = {
        "folder": FolderFiles(tmp_path),
        "memory": MemoryFiles({"a.txt": b"abc"}),
        "zip": ZipFiles(make_zip({"a.txt": "abc"})),
    }
    files = every[kind]
    assert files.read("a.txt", 3) == b"abc"
    with pytest.raises(DatasetError, match="larger"):
        files.read("a.txt", 2)
    for name in ("b.txt", "a\0b", "x" * 5000):
        assert not files.exists(name)
        with pytest.raises(DatasetError, match="there is no such file"):
            files.read(name, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_file_whose_size_is_not_reported_is_read_whole():
    assert Path("/proc/version").stat().st_size == 0
    content = FolderFiles(Path("/proc")).read("version", 10_000)
    assert content == Path("/proc/version").read_bytes()


def test_reading_a_small_file_reserves_no_more_memory_than_it_has(tmp_path) -> None:
    (tmp_path / "a.txt").write_bytes(b"1 2 3")
    files = FolderFiles(tmp_path)
    tracemalloc.start()
    content = files.read("a.txt", 100_000_000)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert content == b"1 2 3"
    assert peak_bytes < 10_000_000
