from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from maskdet.cli import main
from maskdet.model_files import model_zoo
from maskdet.model_files.model_zoo import (
    MODEL_DIR_VARIABLE,
    MODEL_FILES,
    ModelFile,
    fetch_model,
    model_path,
    sha256_of,
)
from tests.helpers.fake_networks.weights import is_present, use_stand_ins

ROOT = Path(__file__).resolve().parents[2]
CONTENT = b"fake weights"


@pytest.fixture
def folders(tmp_path, monkeypatch) -> tuple[Path, Path, Path]:
    """Replace the searched folders by three empty ones."""
    folders = tuple(tmp_path / name for name in ("models", "extra", "cache"))
    for folder in folders:
        folder.mkdir()
    monkeypatch.setattr(model_zoo, "model_folders", lambda: folders)
    monkeypatch.setattr(model_zoo, "cache_folder", lambda: folders[2])
    return folders


@pytest.fixture
def toy(monkeypatch) -> ModelFile:
    """Add a file to the manifest whose URL cannot be reached."""
    row = ModelFile(
        name="toy",
        file_name="toy.onnx",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        n_bytes=len(CONTENT),
        licence="MIT",
        url="https://localhost:1/toy.onnx",
        note="A toy.",
    )
    monkeypatch.setitem(MODEL_FILES, "toy", row)
    return row


BUNDLED = [name for name, row in MODEL_FILES.items() if row.is_bundled]


@pytest.mark.parametrize("name", BUNDLED)
def test_every_bundled_file_matches_the_manifest(name):
    path = ROOT / "models" / MODEL_FILES[name].file_name
    content = path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == MODEL_FILES[name].sha256
    assert len(content) == MODEL_FILES[name].n_bytes


def test_no_external_weights_are_in_the_repository():
    file_names = {path.name for path in (ROOT / "models").iterdir()}
    assert file_names.isdisjoint(
        row.file_name for row in MODEL_FILES.values() if not row.is_bundled
    )


@pytest.mark.parametrize("name", MODEL_FILES)
def test_every_row_is_complete(name):
    row = MODEL_FILES[name]
    assert row.name == name
    assert row.licence in {"Apache-2.0", "MIT"}
    assert row.note.endswith(".")
    assert set(row.requires) <= set(MODEL_FILES)
    assert row.n_bytes > 0
    assert len(row.sha256) == 64
    assert set(row.sha256) <= set("0123456789abcdef")
    if not row.is_bundled:
        # The URL must name a commit, because the content of a branch can change.
        commit = row.url.removeprefix("https://raw.githubusercontent.com/").split("/")
        assert len(commit[2]) == 40


@pytest.mark.weights
@pytest.mark.parametrize("name", ["yunet", "centerface", "ssd", "aizoo"])
def test_the_published_weights_match_the_manifest(name):
    """Skipped if the file is missing; then no test runs the published weights."""
    if not is_present(name):
        pytest.skip(
            f"the published weights of {name} are missing: only a stand-in is tested; "
            f"fetch them or name their folder in {MODEL_DIR_VARIABLE}"
        )
    for file in (name, *MODEL_FILES[name].requires):
        assert model_path(file).stat().st_size == MODEL_FILES[file].n_bytes


def test_all_external_weights_have_stand_ins():
    external = {name for name in MODEL_FILES if name not in BUNDLED}
    companions = {file for name in external for file in MODEL_FILES[name].requires}
    assert external - companions == {"yunet", "centerface", "ssd", "aizoo"}
    published = {name: MODEL_FILES[name].sha256 for name in external}
    with use_stand_ins():
        for name in external:
            assert sha256_of(model_path(name)) != published[name]


@pytest.mark.parametrize("value", [None, ""])
def test_without_the_variable_only_the_default_folders_are_searched(monkeypatch, value):
    monkeypatch.delenv(MODEL_DIR_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(MODEL_DIR_VARIABLE, value)
    assert model_zoo.model_folders() == (ROOT / "models", model_zoo.cache_folder())


def test_the_folder_of_the_variable_is_searched_before_the_cache(
    tmp_path, monkeypatch, toy
):
    cache, extra = tmp_path / "cache", tmp_path / "extra"
    for folder in (cache, extra):
        folder.mkdir()
        (folder / toy.file_name).write_bytes(CONTENT)
    monkeypatch.setattr(model_zoo, "cache_folder", lambda: cache)
    monkeypatch.setenv(MODEL_DIR_VARIABLE, str(extra))
    assert model_path("toy") == extra / toy.file_name
    assert model_path("classifier").parent == ROOT / "models"
    (extra / toy.file_name).unlink()
    assert model_path("toy") == cache / toy.file_name


@pytest.mark.parametrize("words", [("list",), ("verify",), ("verify", "classifier")])
@pytest.mark.parametrize("kind", ["file", "nothing"])
def test_a_value_that_is_not_a_folder_gives_one_line(
    tmp_path, monkeypatch, capsys, kind, words
):
    not_a_folder = tmp_path / "weights"
    if kind == "file":
        not_a_folder.touch()
    monkeypatch.setenv(MODEL_DIR_VARIABLE, str(not_a_folder))
    assert main(["models", *words]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert (
        f"{MODEL_DIR_VARIABLE} is '{not_a_folder}', which is not a folder"
        in captured.err
    )


def test_the_first_folder_with_the_file_is_used(folders, toy):
    for folder in reversed(folders):
        (folder / toy.file_name).write_bytes(CONTENT)
        assert model_path("toy") == folder / toy.file_name


def test_a_missing_file_gives_the_fetch_command(folders, toy):
    with pytest.raises(FileNotFoundError) as caught:
        model_path("toy")
    line = str(caught.value)
    assert "toy.onnx is missing" in line
    assert line.endswith("maskdet models fetch toy")
    assert "\n" not in line


def test_a_missing_bundled_file_is_not_downloaded(folders):
    with pytest.raises(FileNotFoundError, match=r"restore models/classifier\.tflite"):
        fetch_model("classifier")


def test_a_damaged_file_is_rejected_with_both_checksums(folders, toy):
    (folders[2] / toy.file_name).write_bytes(CONTENT + b"!")
    with pytest.raises(RuntimeError) as caught:
        model_path("toy")
    line = str(caught.value)
    actual_sha256 = hashlib.sha256(CONTENT + b"!").hexdigest()
    assert actual_sha256[:12] in line
    assert toy.sha256[:12] in line
    assert "delete it, then: maskdet models fetch toy" in line


def test_a_changed_file_is_verified_again(folders, toy):
    path = folders[0] / toy.file_name
    path.write_bytes(CONTENT)
    assert model_path("toy") == path
    path.write_bytes(CONTENT[::-1])
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(RuntimeError, match="damaged"):
        model_path("toy")


def test_an_unchanged_file_is_hashed_once(folders, toy, monkeypatch):
    path = folders[0] / toy.file_name
    path.write_bytes(CONTENT)
    first = sha256_of(path)
    monkeypatch.setattr(Path, "open", None)
    assert sha256_of(path) == first


@pytest.mark.parametrize("call", [model_path, fetch_model])
def test_an_unknown_name_lists_the_known_ones(call):
    with pytest.raises(ValueError, match=r"must be one of classifier, .*, not 'gpt'"):
        call("gpt")


def test_fetch_without_a_connection_gives_a_hint(folders, toy):
    with pytest.raises(ConnectionError) as caught:
        fetch_model("toy")
    line = str(caught.value)
    assert "could not download toy.onnx from https://localhost:1/toy.onnx" in line
    assert f"copy the file to {folders[2]}" in line
    assert not list(folders[2].iterdir())


def test_fetch_uses_an_existing_file(folders, toy):
    (folders[1] / toy.file_name).write_bytes(CONTENT)
    assert fetch_model("toy") == folders[1] / toy.file_name


def test_fetch_replaces_a_damaged_download(folders, toy):
    damaged = folders[2] / toy.file_name
    damaged.write_bytes(b"half")
    with pytest.raises(ConnectionError):
        fetch_model("toy")
    assert not damaged.exists()


def test_fetch_downloads_required_files_first(folders, toy, monkeypatch):
    monkeypatch.setitem(
        MODEL_FILES,
        "pair",
        ModelFile("pair", "p", "0" * 64, 1, "MIT", "", ".", requires=("toy",)),
    )
    with pytest.raises(ConnectionError, match=r"toy\.onnx"):
        fetch_model("pair")
