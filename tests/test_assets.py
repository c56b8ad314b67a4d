from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from maskdet import assets
from maskdet.assets import ASSETS, Asset, asset_path, fetch, sha256_of

ROOT = Path(__file__).resolve().parents[1]
CONTENT = b"weights of nobody"


@pytest.fixture
def shelves(tmp_path, monkeypatch) -> tuple[Path, Path, Path]:
    """Three empty folders in the place of those that are searched."""
    folders = tuple(tmp_path / name for name in ("models", "cache", "shared"))
    for folder in folders:
        folder.mkdir()
    monkeypatch.setattr(assets, "folders", lambda: folders)
    monkeypatch.setattr(assets, "cache_folder", lambda: folders[1])
    return folders


@pytest.fixture
def toy(monkeypatch) -> Asset:
    """A file of the table whose address nobody answers."""
    row = Asset(
        name="toy",
        file_name="toy.onnx",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        n_bytes=len(CONTENT),
        licence="MIT",
        url="https://localhost:1/toy.onnx",
        note="A toy.",
    )
    monkeypatch.setitem(ASSETS, "toy", row)
    return row


SHIPPED = [name for name, row in ASSETS.items() if row.ships]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_file_is_the_one_in_the_table(name):
    path = ROOT / "models" / ASSETS[name].file_name
    content = path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == ASSETS[name].sha256
    assert len(content) == ASSETS[name].n_bytes


def test_no_weights_of_other_people_are_in_the_repository():
    lying = {path.name for path in (ROOT / "models").iterdir()}
    assert lying.isdisjoint(row.file_name for row in ASSETS.values() if not row.ships)


@pytest.mark.parametrize("name", ASSETS)
def test_every_row_is_complete(name):
    row = ASSETS[name]
    assert row.name == name
    assert row.licence in {"Apache-2.0", "MIT"}
    assert row.note.endswith(".")
    assert set(row.also) <= set(ASSETS)
    assert row.n_bytes > 0
    assert len(row.sha256) == 64
    assert set(row.sha256) <= set("0123456789abcdef")
    if not row.ships:
        # A branch moves on; a commit is what it was when the sum was taken.
        commit = row.url.removeprefix("https://raw.githubusercontent.com/").split("/")
        assert len(commit[2]) == 40


@pytest.mark.shared
@pytest.mark.parametrize("name", [name for name in ASSETS if name not in SHIPPED])
def test_the_copy_at_hand_is_the_one_in_the_table(name):
    try:
        path = asset_path(name)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    assert path.stat().st_size == ASSETS[name].n_bytes


def test_the_first_folder_that_has_the_file_wins(shelves, toy):
    for folder in reversed(shelves):
        (folder / toy.file_name).write_bytes(CONTENT)
        assert asset_path("toy") == folder / toy.file_name


def test_a_missing_file_says_how_to_get_it(shelves, toy):
    with pytest.raises(FileNotFoundError) as caught:
        asset_path("toy")
    line = str(caught.value)
    assert "toy.onnx is missing" in line
    assert line.endswith("maskdet models fetch toy")
    assert "\n" not in line


def test_a_missing_file_of_ours_is_not_fetched_but_restored(shelves):
    with pytest.raises(FileNotFoundError, match=r"restore models/classifier\.tflite"):
        fetch("classifier")


def test_a_damaged_file_is_refused_with_both_sums(shelves, toy):
    (shelves[2] / toy.file_name).write_bytes(CONTENT + b"!")
    with pytest.raises(RuntimeError) as caught:
        asset_path("toy")
    line = str(caught.value)
    found = hashlib.sha256(CONTENT + b"!").hexdigest()
    assert found[:12] in line
    assert toy.sha256[:12] in line
    assert "delete it, then: maskdet models fetch toy" in line


def test_a_file_changed_between_two_calls_is_noticed(shelves, toy):
    path = shelves[0] / toy.file_name
    path.write_bytes(CONTENT)
    assert asset_path("toy") == path
    path.write_bytes(CONTENT[::-1])
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(RuntimeError, match="damaged"):
        asset_path("toy")


def test_an_unchanged_file_is_read_only_once(shelves, toy, monkeypatch):
    path = shelves[0] / toy.file_name
    path.write_bytes(CONTENT)
    first = sha256_of(path)
    monkeypatch.setattr(Path, "open", None)
    assert sha256_of(path) == first


@pytest.mark.parametrize("call", [asset_path, fetch])
def test_an_unknown_name_lists_the_known_ones(call):
    with pytest.raises(ValueError, match=r"must be one of classifier, .*, not 'gpt'"):
        call("gpt")


def test_fetch_without_a_network_says_what_to_try(shelves, toy):
    with pytest.raises(ConnectionError) as caught:
        fetch("toy")
    line = str(caught.value)
    assert "could not fetch toy.onnx from https://localhost:1/toy.onnx" in line
    assert f"put the file into {shelves[1]}" in line
    assert not list(shelves[1].iterdir())


def test_fetch_takes_what_is_already_there(shelves, toy):
    (shelves[2] / toy.file_name).write_bytes(CONTENT)
    assert fetch("toy") == shelves[2] / toy.file_name


def test_fetch_replaces_a_damaged_download(shelves, toy):
    broken = shelves[1] / toy.file_name
    broken.write_bytes(b"half")
    with pytest.raises(ConnectionError):
        fetch("toy")
    assert not broken.exists()


def test_fetch_gets_what_belongs_to_it_first(shelves, toy, monkeypatch):
    monkeypatch.setitem(
        ASSETS, "pair", Asset("pair", "p", "0" * 64, 1, "MIT", "", ".", also=("toy",))
    )
    with pytest.raises(ConnectionError, match=r"toy\.onnx"):
        fetch("pair")
