"""Tests of reading `models/manifest.json` and of `pin_checksum`."""

from __future__ import annotations

import json
import shutil

import pytest

from maskdet.model_files.model_zoo import MANIFEST_FILE, pin_checksum, read_manifest

LINES = MANIFEST_FILE.read_text(encoding="utf-8").splitlines()


@pytest.fixture
def copy(tmp_path):
    return shutil.copy(MANIFEST_FILE, tmp_path / "manifest.json")


def change(path, edit) -> None:
    """Apply `edit` to the parsed manifest in `path`."""
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_pin_checksum_keeps_the_format_of_the_file(copy):
    row = read_manifest(copy)["classifier"]
    pin_checksum(copy, "classifier", row.sha256, row.n_bytes)
    assert copy.read_text(encoding="utf-8").splitlines() == LINES


def test_pin_checksum_changes_two_lines(copy):
    pin_checksum(copy, "tutorial", "a" * 64, 7)
    pin_checksum(copy, "tutorial", "b" * 64, 8)
    lines = copy.read_text(encoding="utf-8").splitlines()
    changed = [new for old, new in zip(LINES, lines, strict=True) if old != new]
    assert changed == [f'      "sha256": "{"b" * 64}",', '      "bytes": 8,']
    row = read_manifest(copy)["tutorial"]
    assert (row.sha256, row.n_bytes, row.is_bundled) == ("b" * 64, 8, True)


def test_a_new_model_is_appended(copy):
    pin_checksum(copy, "mine", "c" * 64, 9)
    *others, row = read_manifest(copy).values()
    assert others == list(read_manifest().values())
    assert (row.name, row.file_name, row.is_bundled) == ("mine", "mine.tflite", True)


@pytest.mark.parametrize(("sha256", "n_bytes"), [("c" * 63, 9), ("c" * 64, 0)])
def test_invalid_values_are_not_pinned(copy, sha256, n_bytes):
    with pytest.raises(ValueError, match="must be"):
        pin_checksum(copy, "mine", sha256, n_bytes)
    assert copy.read_text(encoding="utf-8").splitlines() == LINES


def test_a_missing_manifest_gives_a_hint(tmp_path):
    for call in (read_manifest, lambda path: pin_checksum(path, "mine", "c" * 64, 9)):
        with pytest.raises(FileNotFoundError, match="reinstall maskdet"):
            call(tmp_path / "manifest.json")


@pytest.mark.parametrize("text", ["", "[1", "[" * 100_000])
def test_invalid_json_is_rejected(copy, text):
    copy.write_text(text)
    with pytest.raises(ValueError, match=r"manifest\.json: is not valid JSON"):
        read_manifest(copy)


@pytest.mark.parametrize("content", [{"version": 2, "files": []}, {}])
def test_another_version_is_rejected(copy, content):
    copy.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="is not a model manifest of version 1"):
        read_manifest(copy)


def test_files_must_be_a_list(copy):
    copy.write_text("[]")
    with pytest.raises(ValueError, match=r"\.json: must be a JSON object, not list"):
        read_manifest(copy)
    copy.write_text('{"version": 1, "files": {"yunet": {}}}')
    with pytest.raises(ValueError, match="files must be a list"):
        read_manifest(copy)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("sha256", "a" * 63, "sha256 must be 64 hex digits"),
        ("sha256", "A" * 64, "sha256 must be 64 hex digits"),
        ("bytes", "9", "bytes must be int, not '9'"),
        ("bytes", True, "bytes must be int, not True"),
        ("bytes", 0, "bytes must be at least 1, not 0"),
        ("file", "../classifier.tflite", "file must be a name without folder"),
        ("file", "", "file must be a name without folder"),
        ("ships", 1, "ships must be bool, not 1"),
        ("also", "none", "also must be list"),
        ("also", ["nobody"], "classifier: also must name files of the manifest"),
        ("also", [["tutorial"]], "also must be a list of names"),
        ("name", "tutorial", "duplicate name 'tutorial'"),
        ("extra", 1, "must have the fields name, file, sha256,"),
    ],
)
def test_an_invalid_row_is_named(copy, field, value, message):
    change(copy, lambda content: content["files"][0].update({field: value}))
    with pytest.raises(ValueError, match=message) as caught:
        read_manifest(copy)
    assert str(caught.value).startswith(f"{copy}: ")
    assert "\n" not in str(caught.value)


def test_a_row_without_a_field_is_named(copy):
    change(copy, lambda content: content["files"][2].pop("licence"))
    with pytest.raises(
        ValueError, match=r"file 3: must have the fields name, .*, not name"
    ):
        read_manifest(copy)
    copy.write_text('{"version": 1, "files": ["classifier"]}')
    with pytest.raises(
        ValueError, match=r"file 1: must have the fields name, .*, not 'classi"
    ):
        read_manifest(copy)
