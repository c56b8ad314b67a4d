from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from maskdet.cli import main
from maskdet.model_files import model_zoo

OURS = Path(__file__).resolve().parents[2] / "models" / "classifier.tflite"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Look for models in one empty folder only."""
    monkeypatch.setattr(model_zoo, "model_folders", lambda: (tmp_path,))
    monkeypatch.setattr(model_zoo, "cache_folder", lambda: tmp_path)
    return tmp_path


def test_the_bundled_classifier_has_the_known_checksum(capsys) -> None:
    assert main(["models", "verify", "classifier"]) == 0
    assert "classifier: sha256 matches" in capsys.readouterr().out


def test_list_names_every_file_and_its_state(folder, capsys) -> None:
    assert main(["models", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(model_zoo.MODEL_FILES)
    assert all("missing" in line for line in lines)


def test_list_as_json_has_what_a_script_needs(folder, capsys) -> None:
    assert main(["models", "list", "--json", "-"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in rows} == set(model_zoo.MODEL_FILES)
    assert all(len(row["sha256"]) == 64 for row in rows)


def test_a_missing_file_of_ours_fails_but_one_of_others_does_not(
    folder, capsys
) -> None:
    assert main(["models", "verify"]) == 1
    out, err = capsys.readouterr()
    ours = [
        asset.file_name for asset in model_zoo.MODEL_FILES.values() if asset.is_bundled
    ]
    assert err.count("\n") == len(ours)
    assert all(f"restore models/{name}" in err for name in ours)
    assert "yunet: not present" in out


def test_a_changed_file_fails_in_one_line(folder, capsys) -> None:
    copy = folder / OURS.name
    shutil.copy(OURS, copy)
    with copy.open("r+b") as file:
        file.seek(1000)
        file.write(b"changed")
    assert main(["models", "verify", "classifier"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "sha256" in err


def test_an_unknown_name_is_rejected(capsys) -> None:
    assert main(["models", "verify", "best"]) == 1
    assert "not 'best'" in capsys.readouterr().err


def test_fetch_goes_on_after_a_failure(folder, capsys, monkeypatch) -> None:
    def refuse(model_file: model_zoo.ModelFile, target: Path, *_: object) -> None:
        raise ConnectionError(f"could not fetch {target.name} from {model_file.url}")

    monkeypatch.setattr(model_zoo, "download", refuse)
    assert main(["models", "fetch", "best", "yunet"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "not 'best'" in lines[0]
    assert "could not fetch yunet_n_dynamic.onnx from https://" in lines[1]
