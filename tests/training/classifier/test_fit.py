"""Training of the classifiers: networks, stages, early stopping, resuming, errors."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from maskdet.training.classifier.recipes import RECIPES, Stage
from tests.training.classifier.fakes import (
    EIGHT_CROPS,
    TINY_RECIPE,
    build_tiny_network,
    make_crops,
    make_samples,
    make_small_recipe,
    make_training_data,
    write_class_folders,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def tiny(monkeypatch):
    """Replace the real networks with one of a single layer."""
    for module in ("fit", "export"):
        monkeypatch.setattr(
            f"maskdet.training.classifier.{module}.build_classifier", build_tiny_network
        )


def read_rows(path):
    with path.open(newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


# The published custom network has two outputs and 92,254,594 parameters; the third
# output adds 257.
@pytest.mark.parametrize(
    ("name", "total", "trainable_counts"),
    [
        ("tutorial", 2_422_339, [164_355]),
        ("early-stop", 2_422_339, [164_355]),
        ("finetune", 2_261_827, [3_843, 1_865_283]),
        ("maskdet", 2_261_827, [2_227_715]),
        ("custom-cnn", 92_254_594 + 257, [92_253_698 + 257]),
    ],
)
def test_networks_have_the_published_numbers_of_parameters(
    name, total, trainable_counts
):
    from maskdet.training.classifier.fit import compile_stage
    from maskdet.training.classifier.network import (
        build_classifier,
        count_parameters,
        format_layer_table,
    )

    recipe = RECIPES[name]
    model = build_classifier(recipe)
    assert model.count_params() == total
    assert (
        f"{2_257_984:,}" in "".join(format_layer_table(model)) or name == "custom-cnn"
    )
    for stage, n_trainable in enumerate(trainable_counts):
        compile_stage(model, recipe, stage, 10)
        assert count_parameters(model) == (n_trainable, total - n_trainable)


def test_the_second_stage_trains_the_body_from_layer_100():
    from maskdet.training.classifier.fit import compile_stage
    from maskdet.training.classifier.network import build_classifier, find_body

    model = build_classifier(RECIPES["finetune"])
    compile_stage(model, RECIPES["finetune"], 1, 10)
    layers = find_body(model).layers
    is_trainable = [
        any(weight.trainable for weight in layer.weights) for layer in layers
    ]
    assert is_trainable == [
        number >= 100 and bool(layer.weights) for number, layer in enumerate(layers)
    ]


def get_statistics(layers):
    return [layer.get_weights()[2:] for layer in layers]


def train_steps(model, recipe, stage, count=3):
    """Train some steps of a stage on random images."""
    from maskdet.training.classifier.fit import compile_stage

    compile_stage(model, recipe, stage, 5)
    model.run_eagerly = True  # faster than building a graph
    rng = np.random.default_rng(stage)
    for _ in range(count):
        images = rng.uniform(0, 255, (8, 32, 32, 3)).astype(np.float32)
        model.train_on_batch(images, np.eye(3, dtype=np.float32)[np.arange(8) % 3])


@pytest.mark.parametrize("name", ["finetune", "tutorial", "early-stop", "maskdet"])
def test_only_a_recipe_with_norm_learns_updates_the_statistics_of_the_body(name):
    import keras

    from maskdet.training.classifier.network import build_classifier, find_body

    keras.utils.set_random_seed(1)
    recipe = make_small_recipe(name)
    model = build_classifier(recipe)
    norms = [
        layer
        for layer in find_body(model).layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert len(norms) == 52
    for stage in range(len(recipe.stages)):
        before = get_statistics(norms)
        offsets = [layer.beta.numpy() for layer in norms]
        train_steps(model, recipe, stage)
        changed = [
            not np.array_equal(before_array, after_array)
            for old, new in zip(before, get_statistics(norms), strict=True)
            for before_array, after_array in zip(old, new, strict=True)
        ]
        assert changed == [recipe.norm_learns] * 104
        trained = [
            not np.array_equal(layer.beta.numpy(), offset)
            for layer, offset in zip(norms, offsets, strict=True)
        ]
        first = recipe.stages[stage].train_from
        number = {layer: n for n, layer in enumerate(find_body(model).layers)}
        assert trained == [
            first is not None and number[layer] >= first for layer in norms
        ]


def test_the_second_stage_trains_the_run_time_function():
    import keras

    from maskdet.training.classifier.fit import compile_stage
    from maskdet.training.classifier.network import build_classifier, find_body

    keras.utils.set_random_seed(1)
    model = build_classifier(make_small_recipe("finetune"))
    compile_stage(model, make_small_recipe("finetune"), 1, 5)
    images = np.random.default_rng(1).uniform(-1, 1, (8, 32, 32, 3)).astype("f4")
    body = find_body(model)
    at_run_time, in_training = (
        np.asarray(body(images, training=t)) for t in (False, True)
    )
    np.testing.assert_array_equal(at_run_time, in_training)
    # In the first stage the body is frozen.
    compile_stage(model, make_small_recipe("finetune"), 0, 5)
    assert len(model.trainable_weights) == 2


@pytest.mark.usefixtures("eager_tensorflow")
def test_a_two_stage_run_can_be_resumed_and_loaded(tmp_path, monkeypatch):
    from maskdet.training.classifier.fit import (
        fit_classifier,
        predict_probabilities,
    )
    from maskdet.training.classifier.network import build_classifier
    from maskdet.training.run_log import BEST_FILE

    first = replace(RECIPES["finetune"].stages[0], epochs=1)
    second = replace(RECIPES["finetune"].stages[1], epochs=1)
    recipe = make_small_recipe("finetune", stages=(first, second))
    whole = fit_classifier(make_training_data(), tmp_path / "whole", recipe)
    with monkeypatch.context() as patch:
        stop_in_epoch(patch, 1)
        fit_classifier(make_training_data(), tmp_path / "resumed", recipe)
    resumed = fit_classifier(
        make_training_data(), tmp_path / "resumed", recipe, resume=True
    )
    np.testing.assert_allclose(resumed, whole, atol=1e-5)
    model = build_classifier(recipe)
    model.load_weights(tmp_path / "whole" / BEST_FILE)
    np.testing.assert_array_equal(
        predict_probabilities(model, make_crops().images), whole
    )


@pytest.mark.parametrize(
    ("name", "stage"),
    [("tutorial", 0), ("custom-cnn", 0), ("finetune", 1), ("maskdet", 0)],
)
def test_a_few_steps_lower_the_loss(name, stage):
    import keras

    from maskdet.training.classifier.batches import to_network_input
    from maskdet.training.classifier.fit import compile_stage
    from maskdet.training.classifier.network import build_classifier

    keras.utils.set_random_seed(1)
    recipe = make_small_recipe(name, smoothing=0.0)
    stages = tuple(
        replace(part, learning_rate=1e-3, warm_up=None) for part in recipe.stages
    )
    recipe = replace(recipe, stages=stages)
    model = build_classifier(recipe)
    compile_stage(model, recipe, stage, 5)
    model.run_eagerly = True  # faster than building a graph for five steps
    crops = make_crops()
    targets = np.eye(3, dtype=np.float32)[crops.labels]
    losses = []
    for _ in range(5):
        model.reset_metrics()
        losses.append(model.train_on_batch(to_network_input(crops.images), targets)[0])
    assert losses[-1] < losses[0]


def test_the_learning_rate_follows_its_stage():
    from maskdet.training.classifier.fit import compile_stage

    model = build_tiny_network(TINY_RECIPE)
    rates = []
    for stage in (
        Stage(20, "adam", 1e-4, None, decay=5e-6),
        Stage(2, "rmsprop", 1e-5, None),
        Stage(10, "adamw", 1e-3, 0, warm_up=0.1, weight_decay=0.02),
    ):
        compile_stage(model, replace(TINY_RECIPE, stages=(stage,)), 0, 34)
        model.optimizer.iterations.assign(34)
        rates.append(float(model.optimizer.learning_rate))
    assert rates == pytest.approx([1e-4 / (1 + 5e-6 * 34), 1e-5, 1e-3], rel=1e-4)


def test_training_learns_and_writes_its_logs(tmp_path, tiny):
    from maskdet.training.classifier.fit import fit_classifier
    from maskdet.training.classifier.recipes import read_recipe

    recipe = replace(TINY_RECIPE, keep="merit", average_decay=0.9)
    metadata = {"command": "maskdet train ...", "data": ["eight"], "crops": 8}
    probs = fit_classifier(
        make_training_data(steps=40), tmp_path, recipe, metadata=metadata
    )
    assert probs.argmax(axis=1).tolist() == make_crops().labels.tolist()
    rows = read_rows(tmp_path / "log.csv")
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[0]["loss"] > rows[2]["loss"]
    assert rows[2]["accuracy"] == rows[2]["val_accuracy"] == 1
    assert rows[2]["learning_rate"] == pytest.approx(0.1)
    assert {"stage", "val_loss", "took_s", "merit", "even_bare"} <= set(rows[0])
    assert json.loads((tmp_path / "log.json").read_text()) == rows
    stored_recipe, stored = read_recipe(tmp_path)
    assert stored_recipe == recipe
    assert stored["command"] == metadata["command"]
    with pytest.raises(FileNotFoundError, match="is not a training run"):
        read_recipe(tmp_path / "none")


def replace_validation_losses(monkeypatch, values):
    """Replace the validation losses, one per epoch."""
    losses = iter(values)
    monkeypatch.setattr(
        "maskdet.training.classifier.fit.mean_loss", lambda *_: next(losses)
    )


@pytest.mark.usefixtures("eager_tensorflow")
def test_early_stopping_waits_and_keeps_the_best_weights(tmp_path, tiny, monkeypatch):
    from maskdet.training.classifier.fit import fit_classifier

    recipe = replace(
        TINY_RECIPE, keep="loss", patience=2, stages=(Stage(9, "adam", 0.1, 0),)
    )
    replace_validation_losses(monkeypatch, [0.9, 0.5, 0.7, 0.6, 0.1])
    stopped = fit_classifier(make_training_data(), tmp_path / "a", recipe)
    assert len(read_rows(tmp_path / "a" / "log.csv")) == 4
    replace_validation_losses(monkeypatch, [0.9, 0.5])
    best = fit_classifier(
        make_training_data(),
        tmp_path / "b",
        replace(recipe, stages=(Stage(2, "adam", 0.1, 0),)),
    )
    np.testing.assert_allclose(stopped, best, atol=1e-6)
    replace_validation_losses(monkeypatch, [0.1])
    fit_classifier(
        make_training_data(), tmp_path / "a", recipe, resume=True
    )  # already finished
    assert len(read_rows(tmp_path / "a" / "log.csv")) == 4


def stop_in_epoch(monkeypatch, number: int) -> None:
    from maskdet.training import loop

    train = loop._run_steps

    def stopped(network, epoch):
        if epoch == number:
            raise KeyboardInterrupt
        return train(network, epoch)

    monkeypatch.setattr(loop, "_run_steps", stopped)


TWO_STAGES = (Stage(2, "adam", 0.05, 0), Stage(2, "rmsprop", 0.01, 0, decay=1e-3))


@pytest.mark.usefixtures("eager_tensorflow")
@pytest.mark.parametrize("stop_epoch", [1, 2, 3])
@pytest.mark.parametrize("average_decay", [None, 0.9])
def test_a_resumed_training_gives_the_result_of_an_uninterrupted_one(
    tmp_path, monkeypatch, tiny, stop_epoch, average_decay
):
    from maskdet.training.classifier.fit import fit_classifier

    recipe = replace(TINY_RECIPE, stages=TWO_STAGES, average_decay=average_decay)
    fit_classifier(make_training_data(4), tmp_path / "uninterrupted", recipe)
    with monkeypatch.context() as patch:
        stop_in_epoch(patch, stop_epoch)
        fit_classifier(make_training_data(4), tmp_path / "broken", recipe)
    with np.load(tmp_path / "broken" / "last.npz") as state:
        assert state["epochs_done"] == stop_epoch
    fit_classifier(make_training_data(4), tmp_path / "broken", recipe, resume=True)
    with (
        np.load(tmp_path / "broken" / "last.npz") as broken,
        np.load(tmp_path / "uninterrupted" / "last.npz") as uninterrupted,
    ):
        assert set(broken.files) == set(uninterrupted.files)
        for name in uninterrupted.files:
            np.testing.assert_allclose(broken[name], uninterrupted[name], atol=1e-5)
    rows = read_rows(tmp_path / "broken" / "log.csv")
    assert [(row["epoch"], row["stage"]) for row in rows] == [
        (1, 1),
        (2, 1),
        (3, 2),
        (4, 2),
    ]


def test_an_immediate_stop_leaves_a_model_but_nothing_to_resume(
    tmp_path, monkeypatch, tiny
):
    from maskdet.training.classifier.fit import fit_classifier
    from maskdet.training.run_log import BEST_FILE

    stop_in_epoch(monkeypatch, 0)
    probs = fit_classifier(make_training_data(), tmp_path, TINY_RECIPE)
    assert probs.shape == (8, 3)
    assert (tmp_path / BEST_FILE).is_file()
    with pytest.raises(FileNotFoundError, match="--resume"):
        fit_classifier(make_training_data(), tmp_path, TINY_RECIPE, resume=True)


@pytest.mark.usefixtures("eager_tensorflow")
def test_a_run_resumed_with_other_epochs_records_the_plan(tmp_path, tiny):
    from maskdet.training.classifier.fit import fit_classifier

    fit_classifier(make_training_data(), tmp_path, TINY_RECIPE)
    fit_classifier(
        make_training_data(),
        tmp_path,
        TINY_RECIPE.with_epochs(4),
        resume=True,
    )
    stored = json.loads((tmp_path / "recipe.json").read_text())
    assert stored["planned_before"] == [[3, 3]]
    assert stored["epochs"] == 4
    with pytest.raises(ValueError, match="the run has 4 epochs, more than 2"):
        fit_classifier(
            make_training_data(),
            tmp_path,
            TINY_RECIPE.with_epochs(2),
            resume=True,
        )
    assert json.loads((tmp_path / "recipe.json").read_text()) == stored
    other = replace(TINY_RECIPE, stages=(Stage(5, "rmsprop", 0.1, 0),))
    with pytest.raises(ValueError, match="does not match this network and optimizer"):
        fit_classifier(make_training_data(), tmp_path, other, resume=True)


def test_recalibration_keeps_the_function_and_fits_training():
    import keras

    from maskdet.training.classifier.network import (
        build_classifier,
        find_body,
        recalibrate_batchnorm,
    )

    keras.utils.set_random_seed(4)
    model = build_classifier(make_small_recipe("maskdet"))
    images = np.random.default_rng(2).uniform(0, 255, (32, 32, 32, 3)).astype("f4")
    before = model.predict_on_batch(images)
    recalibrate_batchnorm(model, [images])
    np.testing.assert_allclose(model.predict_on_batch(images), before, atol=1e-4)
    body = find_body(model)
    scaled = images / 127.5 - 1
    at_run_time = np.asarray(body(scaled, training=False))
    in_training = np.asarray(body(scaled, training=True))
    assert np.corrcoef(at_run_time.ravel(), in_training.ravel())[0, 1] > 0.99


def test_missing_weights_are_rejected(tmp_path):
    from maskdet.training.classifier.network import build_classifier

    with pytest.raises(FileNotFoundError, match="imagenet"):
        build_classifier(make_small_recipe("maskdet"), tmp_path / "none.weights.h5")
    with pytest.raises(ValueError, match="remove --weights"):
        build_classifier(make_small_recipe("custom-cnn"), tmp_path / "none.weights.h5")


def test_the_command_trains_on_an_own_folder(tmp_path, tiny, capsys):
    from maskdet.cli import main

    data, out = write_class_folders(tmp_path / "mine"), tmp_path / "run"
    words = ["train", "classifier", "--recipe", "tutorial", "--data", str(data)]
    words += ["--weights", "none", "--epochs", "2", "--size-px", "32", "--seed", "7"]
    assert main([*words, "--out", str(out)]) == 0
    output = capsys.readouterr().out
    assert "precision" in output
    assert "8 train, 8 validation, 0 test" in output
    names = "log.csv log.json recipe.json report.txt samples.png views.png "
    names += "learning-loss.png learning-accuracy.svg"
    assert all((out / name).is_file() for name in names.split())
    stored = json.loads((out / "recipe.json").read_text())
    assert stored["command"].startswith("maskdet train classifier --recipe")
    assert stored["command"].endswith(f"--seed 7 --out {out}")
    assert (stored["seed"], stored["epochs"], stored["crops"]) == (7, 2, 8)
    assert (stored["start"], stored["class_counts"]) == (None, [4, 4, 0])
    assert main([*words, "--epochs", "3", "--out", str(out)]) == 1
    assert "contains a run of 2 epochs" in capsys.readouterr().err
    more = [*words, "--steps", "5", "--out", str(out), "--resume"]
    assert main(more) == 1
    assert "began with steps null, not 5" in capsys.readouterr().err
    assert main([*words, "--epochs", "3", "--out", str(out), "--resume"]) == 0
    assert len(read_rows(out / "log.csv")) == 3


def train_words(folder, *more):
    words = ["train", "classifier", "--recipe", "tutorial", "--size-px", "32"]
    words += ["--data", str(write_class_folders(folder / "mine")), "--epochs", "3"]
    return [*words, "--out", str(folder / "run"), *more]


@pytest.mark.usefixtures("eager_tensorflow")
def test_ctrl_c_prints_one_line_and_the_run_can_be_resumed(
    tmp_path, tiny, capsys, monkeypatch
):
    from maskdet.cli import main

    words, out = train_words(tmp_path, "--weights", "none"), tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_in_epoch(patch, 0)
        assert main(words) == 130
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("maskdet: ")] == [
        "maskdet: stopped in the first epoch; there is nothing to continue, train anew"
    ]
    assert main(["export", str(out)]) == 1
    assert "the run has no completed epoch" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        stop_in_epoch(patch, 2)
        assert main(words) == 130
    output = capsys.readouterr()
    assert "stopped after 2 of 3 epochs; the same command with --resume" in output.err
    assert "next:" not in output.out
    assert (out / "learning-loss.svg").is_file()
    (out / "learning-loss.svg").unlink()
    assert main([*words, "--resume"]) == 0
    assert f"next: maskdet export {out}" in capsys.readouterr().out
    assert [row["epoch"] for row in read_rows(out / "log.csv")] == [1, 2, 3]
    assert (out / "learning-loss.svg").is_file()


def test_a_failed_download_is_reported_in_one_line(tmp_path, capsys, monkeypatch):
    import keras

    from maskdet.cli import main

    real = keras.applications.MobileNetV2

    def offline(*args, weights, **options):
        if weights == "imagenet":
            raise Exception("URL fetch failure on https://a.b: None -- no such name")
        return real(*args, weights=weights, **options)

    monkeypatch.setattr(keras.applications, "MobileNetV2", offline)
    words = train_words(tmp_path)
    assert main(words) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    for part in ("cannot be downloaded (no such name)", "--weights FILE", "none"):
        assert part in line
    for name in ("junk.weights.h5", "junk.npz"):
        (tmp_path / name).write_bytes(b"junk")
        assert main([*words, "--weights", str(tmp_path / name)]) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert f"{name}: weights do not match this network" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("eager_tensorflow")
def test_a_nan_loss_stops_the_training_and_keeps_earlier_epochs(
    tmp_path, tiny, monkeypatch
):
    from maskdet.training import loop
    from maskdet.training.classifier.fit import fit_classifier

    train = loop._run_steps
    diverged = [{"loss": np.nan, "accuracy": 0.5}]
    with monkeypatch.context() as patch:
        patch.setattr(
            loop,
            "_run_steps",
            lambda network, n: (diverged, 8) if n else train(network, n),
        )
        with pytest.raises(RuntimeError, match="epoch 2: the loss is nan"):
            fit_classifier(make_training_data(), tmp_path, TINY_RECIPE)
    assert [row["epoch"] for row in read_rows(tmp_path / "log.csv")] == [1]
    fit_classifier(make_training_data(), tmp_path, TINY_RECIPE, resume=True)
    assert [row["epoch"] for row in read_rows(tmp_path / "log.csv")] == [1, 2, 3]


@pytest.mark.usefixtures("eager_tensorflow")
def test_a_stop_between_log_and_state_does_not_duplicate_an_epoch(
    tmp_path, tiny, monkeypatch
):
    from maskdet.training import loop
    from maskdet.training.classifier.fit import fit_classifier

    save = loop.save_state

    def stopped(path, model, average, optimizer, progress):
        if progress.epochs_done == 2:
            raise KeyboardInterrupt
        save(path, model, average, optimizer, progress)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_state", stopped)
        fit_classifier(make_training_data(), tmp_path, TINY_RECIPE)
    fit_classifier(make_training_data(), tmp_path, TINY_RECIPE, resume=True)
    assert [row["epoch"] for row in read_rows(tmp_path / "log.csv")] == [1, 2, 3]


def test_a_failed_write_keeps_the_old_weights(tmp_path, monkeypatch):
    from maskdet.training.checkpoint import load_weights, save_best

    model, path = build_tiny_network(TINY_RECIPE), tmp_path / "best.weights.h5"
    save_best(path, model, None)
    old = path.read_bytes()

    def broken(part):
        part.write_bytes(old[:50])
        raise OSError("Unable to extend file\nerrno = 5")

    monkeypatch.setattr(model, "save_weights", broken)
    with pytest.raises(OSError, match="Unable to extend file"):
        save_best(path, model, None)
    monkeypatch.undo()
    resource = pytest.importorskip("resource", reason="limits of this kind are POSIX")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: .*best\.weights\.h5"):
            save_best(path, model, None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == old
    path.write_bytes(old[:50])
    with pytest.raises(ValueError, match="weights do not match this network"):
        load_weights(path, model)


def test_our_own_sampler_can_be_trained_with(tmp_path, tiny):
    from maskdet.training.classifier.batches import ClassifierSampler
    from maskdet.training.classifier.fit import fit_classifier

    camera = make_small_recipe(
        "maskdet", stages=(Stage(3, "adamw", 0.1, 0, warm_up=0.1),)
    )
    training_data = replace(
        make_training_data(20),
        batch_source=ClassifierSampler(make_samples(EIGHT_CROPS), 32, 8, 1),
    )
    probs = fit_classifier(training_data, tmp_path, camera)
    rows = read_rows(tmp_path / "log.csv")
    assert rows[2]["loss"] < 0.8 * rows[0]["loss"]
    accuracy = (probs.argmax(axis=1) == make_crops().labels).mean()
    assert accuracy == max(row["val_accuracy"] for row in rows)
    assert accuracy >= 0.75
