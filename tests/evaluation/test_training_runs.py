"""Reading of training runs: round trip and broken folders."""

from __future__ import annotations

import json

import numpy as np
import pytest

from maskdet.evaluation.training_runs import (
    EVALUATION_SETS,
    PREDICTIONS_NAME,
    list_training_runs,
    read_training_run,
)
from maskdet.metrics.classification import Predictions, save_class_predictions


def make_predictions(n: int = 3) -> Predictions:
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
    save_class_predictions(
        folder / PREDICTIONS_NAME, {"kaggle-val/true": make_predictions()}
    )


def test_round_trip_of_a_training_run(tmp_path):
    write(tmp_path / "mine")
    run = read_training_run("mine", tmp_path)
    assert (run.name, run.facts["title"], run.card) == ("mine", "Mine", "# Mine\n")
    assert run.log == (
        {"epoch": 1, "loss": 0.5, "val_loss": 0.6},
        {"epoch": 2, "loss": 0.25},
    )
    kept = run.predictions["kaggle-val/true"]
    np.testing.assert_array_equal(kept.probs, make_predictions().probs)
    assert set(run.predictions) <= set(EVALUATION_SETS)


def test_the_maskdet_run_is_listed_first(tmp_path):
    for name in ("early-stop", "tutorial", "maskdet"):
        write(tmp_path / name)
    (tmp_path / "empty").mkdir()
    assert list_training_runs(tmp_path) == ["maskdet", "early-stop", "tutorial"]
    assert list_training_runs(tmp_path / "none") == []


@pytest.mark.parametrize("name", ["facts.json", "log.csv", "card.md", PREDICTIONS_NAME])
def test_a_missing_file_is_named(tmp_path, name):
    write(tmp_path / "mine")
    (tmp_path / "mine" / name).unlink()
    with pytest.raises(FileNotFoundError, match=name.replace(".", r"\.")):
        read_training_run("mine", tmp_path)


def test_a_broken_file_is_reported(tmp_path):
    write(tmp_path / "log", "epoch,loss\n1,much\n")
    with pytest.raises(ValueError, match="cannot read the run"):
        read_training_run("log", tmp_path)
    write(tmp_path / "facts")
    (tmp_path / "facts" / "facts.json").write_text("{")
    with pytest.raises(ValueError, match="cannot read the run"):
        read_training_run("facts", tmp_path)
    write(tmp_path / "broken")
    (tmp_path / "broken" / PREDICTIONS_NAME).write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match="cannot read predictions"):
        read_training_run("broken", tmp_path)
