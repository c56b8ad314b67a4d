from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from maskdet import model_zoo
from maskdet.cli import main
from maskdet.model_zoo import (
    MODEL_DIR_VARIABLE,
    MODEL_FILES,
    ModelFile,
    fetch_model,
    model_path,
    sha256_of,
)
from tests.helpers.fake_networks.weights import is_present, use_stand_ins

ROOT = Path(__file__).resolve().parents[2]
CONTENT = b"weights of nobody"


@pytest.fixture
def shelves(tmp_path, monkeypatch) -> tuple[Path, Path, Path]:
    """Three empty folders in the place of those that are searched."""
    folders = tuple(tmp_path / name for name in ("models", "extra", "cache"))
    for folder in folders:
        folder.mkdir()
    monkeypatch.setattr(model_zoo, "model_folders", lambda: folders)
    monkeypatch.setattr(model_zoo, "cache_folder", lambda: folders[2])
    return folders


@pytest.fixture
def toy(monkeypatch) -> ModelFile:
    """A file of the table whose address nobody answers."""
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


SHIPPED = [name for name, row in MODEL_FILES.items() if row.is_bundled]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_file_is_the_one_in_the_table(name):
    path = ROOT / "models" / MODEL_FILES[name].file_name
    content = path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == MODEL_FILES[name].sha256
    assert len(content) == MODEL_FILES[name].n_bytes


def test_no_weights_of_other_people_are_in_the_repository():
    lying = {path.name for path in (ROOT / "models").iterdir()}
    assert lying.isdisjoint(
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
        # A branch moves on; a commit is what it was when the sum was taken.
        commit = row.url.removeprefix("https://raw.githubusercontent.com/").split("/")
        assert len(commit[2]) == 40


@pytest.mark.weights
@pytest.mark.parametrize("name", ["yunet", "ssd", "aizoo"])
def test_the_published_weights_are_those_in_the_table(name):
    """Skipped if the file is missing; then no test runs the published weights."""
    if not is_present(name):
        pytest.skip(
            f"the published weights of {name} are missing: only a stand-in is tested; "
            f"fetch them or name their folder in {MODEL_DIR_VARIABLE}"
        )
    for file in (name, *MODEL_FILES[name].requires):
        assert model_path(file).stat().st_size == MODEL_FILES[file].n_bytes


def test_the_weights_that_do_not_ship_are_those_that_have_stand_ins():
    foreign = {name for name in MODEL_FILES if name not in SHIPPED}
    companions = {one for name in foreign for one in MODEL_FILES[name].requires}
    assert foreign - companions == {"yunet", "ssd", "aizoo"}
    published = {name: MODEL_FILES[name].sha256 for name in foreign}
    with use_stand_ins():
        for name in foreign:
            assert sha256_of(model_path(name)) != published[name]


@pytest.mark.parametrize("value", [None, ""])
def test_without_the_variable_only_our_folders_are_searched(monkeypatch, value):
    monkeypatch.delenv(MODEL_DIR_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(MODEL_DIR_VARIABLE, value)
    assert model_zoo.model_folders() == (ROOT / "models", model_zoo.cache_folder())


def test_the_folder_that_the_variable_names_is_searched_before_the_cache(
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
def test_a_value_that_is_not_a_folder_is_one_line(
    tmp_path, monkeypatch, capsys, kind, words
):
    wrong = tmp_path / "weights"
    if kind == "file":
        wrong.touch()
    monkeypatch.setenv(MODEL_DIR_VARIABLE, str(wrong))
    assert main(["models", *words]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert f"{MODEL_DIR_VARIABLE} is '{wrong}', which is not a folder" in said.err


def test_the_first_folder_that_has_the_file_wins(shelves, toy):
    for folder in reversed(shelves):
        (folder / toy.file_name).write_bytes(CONTENT)
        assert model_path("toy") == folder / toy.file_name


def test_a_missing_file_says_how_to_get_it(shelves, toy):
    with pytest.raises(FileNotFoundError) as caught:
        model_path("toy")
    line = str(caught.value)
    assert "toy.onnx is missing" in line
    assert line.endswith("maskdet models fetch toy")
    assert "\n" not in line


def test_a_missing_file_of_ours_is_not_fetched_but_restored(shelves):
    with pytest.raises(FileNotFoundError, match=r"restore models/classifier\.tflite"):
        fetch_model("classifier")


def test_a_damaged_file_is_refused_with_both_sums(shelves, toy):
    (shelves[2] / toy.file_name).write_bytes(CONTENT + b"!")
    with pytest.raises(RuntimeError) as caught:
        model_path("toy")
    line = str(caught.value)
    found = hashlib.sha256(CONTENT + b"!").hexdigest()
    assert found[:12] in line
    assert toy.sha256[:12] in line
    assert "delete it, then: maskdet models fetch toy" in line


def test_a_file_changed_between_two_calls_is_noticed(shelves, toy):
    path = shelves[0] / toy.file_name
    path.write_bytes(CONTENT)
    assert model_path("toy") == path
    path.write_bytes(CONTENT[::-1])
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(RuntimeError, match="damaged"):
        model_path("toy")


def test_an_unchanged_file_is_read_only_once(shelves, toy, monkeypatch):
    path = shelves[0] / toy.file_name
    path.write_bytes(CONTENT)
    first = sha256_of(path)
    monkeypatch.setattr(Path, "open", None)
    assert sha256_of(path) == first


@pytest.mark.parametrize("call", [model_path, fetch_model])
def test_an_unknown_name_lists_the_known_ones(call):
    with pytest.raises(ValueError, match=r"must be one of classifier, .*, not 'gpt'"):
        call("gpt")


def test_fetch_without_a_network_says_what_to_try(shelves, toy):
    with pytest.raises(ConnectionError) as caught:
        fetch_model("toy")
    line = str(caught.value)
    assert "could not fetch toy.onnx from https://localhost:1/toy.onnx" in line
    assert f"put the file into {shelves[2]}" in line
    assert not list(shelves[2].iterdir())


def test_fetch_takes_what_is_already_there(shelves, toy):
    (shelves[1] / toy.file_name).write_bytes(CONTENT)
    assert fetch_model("toy") == shelves[1] / toy.file_name


def test_fetch_replaces_a_damaged_download(shelves, toy):
    broken = shelves[2] / toy.file_name
    broken.write_bytes(b"half")
    with pytest.raises(ConnectionError):
        fetch_model("toy")
    assert not broken.exists()


def test_fetch_gets_what_belongs_to_it_first(shelves, toy, monkeypatch):
    monkeypatch.setitem(
        MODEL_FILES,
        "pair",
        ModelFile("pair", "p", "0" * 64, 1, "MIT", "", ".", requires=("toy",)),
    )
    with pytest.raises(ConnectionError, match=r"toy\.onnx"):
        fetch_model("pair")
