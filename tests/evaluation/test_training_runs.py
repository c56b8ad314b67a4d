"""The runs that ship: what a folder holds comes back, and a broken one is named."""

from __future__ import annotations

import json

import numpy as np
import pytest

from maskdet.evaluation.training_runs import (
    EVALUATION_SETS,
    list_training_runs,
    read_training_run,
)
from maskdet.metrics.classification import Predictions, save_class_predictions


def answers(n: int = 3) -> Predictions:
    ones = np.ones(n, np.float32)
    probs = np.tile(np.array([0.2, 0.7, 0.1], np.float32), (n, 1))
    return Predictions(
        np.arange(n) % 3, probs, ones, ones, ones, np.array(["real"] * n)
    )


def write(folder, log="epoch,loss,val_loss\n1,0.5,0.6\n2,0.25,\n"):
    folder.mkdir(parents=True)
    (folder / "facts.json").write_text(json.dumps({"title": "Mine", "file": None}))
    (folder / "log.csv").write_text(log)
    (folder / "card.md").write_text("# Mine\n")
    save_class_predictions(folder / "answers.npz", {"kaggle-val/true": answers()})


def test_a_run_comes_back_as_it_was_written(tmp_path):
    write(tmp_path / "mine")
    run = read_training_run("mine", tmp_path)
    assert (run.name, run.facts["title"], run.card) == ("mine", "Mine", "# Mine\n")
    assert run.log == (
        {"epoch": 1, "loss": 0.5, "val_loss": 0.6},
        {"epoch": 2, "loss": 0.25},
    )
    kept = run.predictions["kaggle-val/true"]
    np.testing.assert_array_equal(kept.probs, answers().probs)
    assert set(run.predictions) <= set(EVALUATION_SETS)


def test_our_own_run_comes_first(tmp_path):
    for name in ("early-stop", "tutorial", "maskdet"):
        write(tmp_path / name)
    (tmp_path / "empty").mkdir()
    assert list_training_runs(tmp_path) == ["maskdet", "early-stop", "tutorial"]
    assert list_training_runs(tmp_path / "none") == []


@pytest.mark.parametrize("name", ["facts.json", "log.csv", "card.md", "answers.npz"])
def test_a_missing_file_is_named(tmp_path, name):
    write(tmp_path / "mine")
    (tmp_path / "mine" / name).unlink()
    with pytest.raises(FileNotFoundError, match=name.replace(".", r"\.")):
        read_training_run("mine", tmp_path)


def test_a_broken_file_is_said(tmp_path):
    write(tmp_path / "log", "epoch,loss\n1,much\n")
    with pytest.raises(ValueError, match="no run that can be read"):
        read_training_run("log", tmp_path)
    write(tmp_path / "facts")
    (tmp_path / "facts" / "facts.json").write_text("{")
    with pytest.raises(ValueError, match="no run that can be read"):
        read_training_run("facts", tmp_path)
    write(tmp_path / "answers")
    (tmp_path / "answers" / "answers.npz").write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match="no answers that can be read"):
        read_training_run("answers", tmp_path)
