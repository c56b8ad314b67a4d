from __future__ import annotations

import io
import random
import stat
import struct
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
    """Return a zip of entries whose names and kinds no honest tool would write."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        for entry, content in entries:
            made.writestr(entry, content)
    return target.getvalue()


def entry(name: str, mode: int = 0) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo("x")
    made.filename = name  # past the constructor, which tidies names
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
def test_a_path_that_leads_out_is_left_out_and_the_rest_is_read(name: str) -> None:
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


def test_a_name_with_a_null_byte_or_a_bell_is_left_out() -> None:
    content = make_zip({"aXb.jpg": "evil", "cYd.jpg": "evil", "good.txt": "good"})
    content = content.replace(b"aXb.jpg", b"a\0b.jpg").replace(b"cYd.jpg", b"c\ad.jpg")
    files = ZipFiles(content)
    assert files.names == ("good.txt",)
    assert files.notes[0].isprintable()


def test_backslashes_of_other_tools_are_folders() -> None:
    assert ZipFiles(named((entry("mask\\a.jpg"), b"x"))).names == ("mask/a.jpg",)


def test_hidden_files_of_systems_are_not_even_mentioned() -> None:
    files = ZipFiles(
        make_zip(
            {"__MACOSX/._a.jpg": "x", ".DS_Store": "x", "a.txt": "a", "./b.txt": ""}
        )
    )
    assert files.names == ("a.txt", "b.txt")
    assert files.notes == ()


def test_the_first_of_two_files_of_one_name_counts() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        content = named((entry("a.txt"), b"first"), (entry("a.txt"), b"second"))
    files = ZipFiles(content)
    assert files.read("a.txt", 10) == b"first"
    assert "there already is one of that name" in files.notes[0]


def test_archives_within_are_left_out() -> None:
    inner = make_zip({"a.jpg": "x"})
    files = ZipFiles(make_zip({"more.zip": inner, "a.txt": "a"}))
    assert files.names == ("a.txt",)
    assert "please unpack it first" in files.notes[0]
    with pytest.raises(DatasetError, match="archive within the zip"):
        ZipFiles(make_zip({"more.zip": inner}))


def test_a_locked_zip_says_so() -> None:
    content = bytearray(make_zip({"a.txt": "secret"}))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    with pytest.raises(DatasetError, match="password, please pack it without"):
        ZipFiles(bytes(content))


def test_an_unusual_packing_is_left_out() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        made.writestr("a.txt", "a" * 1000, zipfile.ZIP_LZMA)
        made.writestr("b.txt", "b")
    files = ZipFiles(target.getvalue())
    assert files.names == ("b.txt",)
    assert "plain zip" in files.notes[0]


def test_a_bomb_is_refused_by_its_ratio() -> None:
    content = make_zip({"a.txt": bytes(60_000_000)})
    assert len(content) < 100_000
    with pytest.raises(DatasetError, match="times its size, as no images do"):
        ZipFiles(content)
    assert ZipFiles(content, ArchiveLimits(ratio_exempt_bytes=60_000_000)).names == (
        "a.txt",
    )


def test_a_bomb_is_refused_by_its_total() -> None:
    content = make_zip({f"{i}.bin": random.Random(i).randbytes(500) for i in range(5)})
    assert len(ZipFiles(content, ArchiveLimits(max_total_bytes=2500)).names) == 5
    with pytest.raises(DatasetError, match="unpacks to more than"):
        ZipFiles(content, ArchiveLimits(max_total_bytes=2499))


def test_too_many_files_are_refused_before_they_are_listed() -> None:
    content = make_zip({f"{i}.txt": "" for i in range(11)})
    assert len(ZipFiles(content, ArchiveLimits(max_files=11)).names) == 11
    with pytest.raises(DatasetError, match="more than 10 files"):
        ZipFiles(content, ArchiveLimits(max_files=10))


def test_marks_across_blocks_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    for shift in range(4):
        filler = {"filler": random.Random(1).randbytes((1 << 20) - 100 + shift)}
        path.write_bytes(make_zip({**filler, **{f"{i}.txt": "" for i in range(9)}}))
        with pytest.raises(DatasetError, match="more than 9 files"):
            ZipFiles(path, ArchiveLimits(max_files=9))
        assert len(ZipFiles(path, ArchiveLimits(max_files=10)).names) == 10


def test_a_table_that_lies_about_a_size_unpacks_no_more_than_it_says() -> None:
    content = bytearray(make_zip({"a.txt": bytes(1_000_000), "b.txt": "b"}))
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = content.index(mark) + offset
        assert struct.unpack_from("<I", content, place) == (1_000_000,)
        struct.pack_into("<I", content, place, 10)
    files = ZipFiles(bytes(content))
    with pytest.raises(DatasetError, match="damaged in the zip"):
        files.read("a.txt", 100)
    assert files.read("b.txt", 10) == b"b"


def test_a_file_larger_than_wanted_is_not_unpacked() -> None:
    files = ZipFiles(make_zip({"a.txt": bytes(2_000_000)}))
    with pytest.raises(DatasetError, match=r"larger than 1 MB"):
        files.read("a.txt", 1_000_000)
    assert len(files.read("a.txt", 2_000_000)) == 2_000_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "this is not a zip"),
        (b"hello", "this is not a zip"),
        (make_zip({"a.txt": "abc"})[:-30], "damaged or incomplete"),
        (make_zip({}), "the zip is empty"),
    ],
)
def test_what_is_no_zip_is_refused_in_one_line(content: bytes, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        ZipFiles(content)


def test_any_damage_is_refused_or_read_but_never_raises_anything_else() -> None:
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


def test_a_folder_gives_its_files_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("a.txt", "b/c.txt", ".hidden/d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    files = FolderFiles(tmp_path)
    assert files.names == ("a.txt", "b/c.txt")
    assert files.read("b/c.txt", 10) == b"b/c.txt"


@pytest.mark.parametrize("kind", ["folder", "memory", "zip"])
def test_what_is_missing_or_too_large_is_said(kind: str, tmp_path: Path) -> None:
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
        with pytest.raises(DatasetError, match="no such file"):
            files.read(name, 3)
