"""The training itself: it learns, stops, goes on where it stopped, and says so."""

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
    """Put a network of one layer in the place of the real ones."""
    for room in ("fit", "export"):
        monkeypatch.setattr(
            f"maskdet.training.{room}.build_network", build_tiny_network
        )


def rows_of(path):
    with path.open(newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


# With two outputs, as published, the custom network has 92,254,594 parameters; the
# third output adds 257.
@pytest.mark.parametrize(
    ("name", "total", "learning"),
    [
        ("tutorial", 2_422_339, [164_355]),
        ("early-stop", 2_422_339, [164_355]),
        ("finetune", 2_261_827, [3_843, 1_865_283]),
        ("maskdet", 2_261_827, [2_227_715]),
        ("custom-cnn", 92_254_594 + 257, [92_253_698 + 257]),
    ],
)
def test_networks_have_the_parameters_of_the_systems(name, total, learning):
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
    for stage, wanted in enumerate(learning):
        compile_stage(model, recipe, stage, 10)
        assert count_parameters(model) == (wanted, total - wanted)


def test_the_body_of_the_second_stage_learns_from_layer_100():
    from maskdet.training.classifier.fit import compile_stage
    from maskdet.training.classifier.network import build_classifier, find_body

    model = build_classifier(RECIPES["finetune"])
    compile_stage(model, RECIPES["finetune"], 1, 10)
    layers = find_body(model).layers
    learns = [any(one.trainable for one in layer.weights) for layer in layers]
    assert learns == [
        number >= 100 and bool(layer.weights) for number, layer in enumerate(layers)
    ]


def statistics(layers):
    return [layer.get_weights()[2:] for layer in layers]


def steps(model, recipe, stage, count=3):
    """Do real steps of a stage on crops unlike those that the weights know."""
    from maskdet.training.classifier.fit import compile_stage

    compile_stage(model, recipe, stage, 5)
    model.run_eagerly = True  # done before a graph would be built
    rng = np.random.default_rng(stage)
    for _ in range(count):
        images = rng.uniform(0, 255, (8, 32, 32, 3)).astype(np.float32)
        model.train_on_batch(images, np.eye(3, dtype=np.float32)[np.arange(8) % 3])


@pytest.mark.parametrize("name", ["finetune", "tutorial", "early-stop", "maskdet"])
def test_only_a_recipe_that_says_so_moves_the_statistics_of_the_body(name):
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
        before = statistics(norms)
        offsets = [layer.beta.numpy() for layer in norms]
        steps(model, recipe, stage)
        moved = [
            not np.array_equal(one, new)
            for old, now in zip(before, statistics(norms), strict=True)
            for one, new in zip(old, now, strict=True)
        ]
        assert moved == [recipe.norm_learns] * 104
        learnt = [
            not np.array_equal(layer.beta.numpy(), offset)
            for layer, offset in zip(norms, offsets, strict=True)
        ]
        first = recipe.stages[stage].train_from
        number = {layer: n for n, layer in enumerate(find_body(model).layers)}
        assert learnt == [
            first is not None and number[layer] >= first for layer in norms
        ]


def test_the_second_stage_trains_the_function_that_runs():
    import keras

    from maskdet.training.classifier.fit import compile_stage
    from maskdet.training.classifier.network import build_classifier, find_body

    keras.utils.set_random_seed(1)
    model = build_classifier(make_small_recipe("finetune"))
    compile_stage(model, make_small_recipe("finetune"), 1, 5)
    images = np.random.default_rng(1).uniform(-1, 1, (8, 32, 32, 3)).astype("f4")
    body = find_body(model)
    runs, trains = (np.asarray(body(images, training=t)) for t in (False, True))
    np.testing.assert_array_equal(runs, trains)
    # Back in the first stage nothing of the body learns.
    compile_stage(model, make_small_recipe("finetune"), 0, 5)
    assert len(model.trainable_weights) == 2


@pytest.mark.usefixtures("eager_tensorflow")
def test_a_two_stage_run_resumes_and_loads_as_it_was(tmp_path, monkeypatch):
    from maskdet.training.classifier.fit import (
        TrainingStart,
        fit_classifier,
        predict_probabilities,
    )
    from maskdet.training.classifier.network import build_classifier
    from maskdet.training.run_log import BEST_FILE

    one = replace(RECIPES["finetune"].stages[0], epochs=1)
    two = replace(RECIPES["finetune"].stages[1], epochs=1)
    recipe = make_small_recipe("finetune", stages=(one, two))
    whole = fit_classifier(make_training_data(), tmp_path / "whole", recipe)
    with monkeypatch.context() as patch:
        stop_in_epoch(patch, 1)
        fit_classifier(make_training_data(), tmp_path / "parted", recipe)
    parted = fit_classifier(
        make_training_data(), tmp_path / "parted", recipe, TrainingStart(resume=True)
    )
    np.testing.assert_allclose(parted, whole, atol=1e-5)
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
        replace(one, learning_rate=1e-3, warm_up=None) for one in recipe.stages
    )
    recipe = replace(recipe, stages=stages)
    model = build_classifier(recipe)
    compile_stage(model, recipe, stage, 5)
    model.run_eagerly = True  # five steps are done before a graph would be built
    eight = make_crops()
    targets = np.eye(3, dtype=np.float32)[eight.labels]
    losses = []
    for _ in range(5):
        model.reset_metrics()
        losses.append(model.train_on_batch(to_network_input(eight.images), targets)[0])
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


def test_learns_and_writes_its_logs(tmp_path, tiny):
    from maskdet.training.classifier.fit import TrainingStart, fit_classifier
    from maskdet.training.run_log import read_recipe

    recipe = replace(TINY_RECIPE, keep="merit", average_decay=0.9)
    about = {"command": "maskdet train ...", "data": ["eight"], "crops": 8}
    probs = fit_classifier(
        make_training_data(steps=40), tmp_path, recipe, TrainingStart(metadata=about)
    )
    assert probs.argmax(axis=1).tolist() == make_crops().labels.tolist()
    rows = rows_of(tmp_path / "log.csv")
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[0]["loss"] > rows[2]["loss"]
    assert rows[2]["accuracy"] == rows[2]["val_accuracy"] == 1
    assert rows[2]["learning_rate"] == pytest.approx(0.1)
    assert {"stage", "val_loss", "took_s", "merit", "even_bare"} <= set(rows[0])
    assert json.loads((tmp_path / "log.json").read_text()) == rows
    back, known = read_recipe(tmp_path)
    assert back == recipe
    assert known["command"] == about["command"]
    with pytest.raises(FileNotFoundError, match="is no run"):
        read_recipe(tmp_path / "none")


def val_losses(monkeypatch, values):
    """Let validation say these losses, one an epoch."""
    left = iter(values)
    monkeypatch.setattr(
        "maskdet.training.classifier.fit.mean_loss", lambda *_: next(left)
    )


@pytest.mark.usefixtures("eager_tensorflow")
def test_early_stopping_waits_twice_and_restores_the_best(tmp_path, tiny, monkeypatch):
    from maskdet.training.classifier.fit import TrainingStart, fit_classifier

    recipe = replace(
        TINY_RECIPE, keep="loss", patience=2, stages=(Stage(9, "adam", 0.1, 0),)
    )
    val_losses(monkeypatch, [0.9, 0.5, 0.7, 0.6, 0.1])
    stopped = fit_classifier(make_training_data(), tmp_path / "a", recipe)
    assert len(rows_of(tmp_path / "a" / "log.csv")) == 4
    val_losses(monkeypatch, [0.9, 0.5])
    two = fit_classifier(
        make_training_data(),
        tmp_path / "b",
        replace(recipe, stages=(Stage(2, "adam", 0.1, 0),)),
    )
    np.testing.assert_allclose(stopped, two, atol=1e-6)
    val_losses(monkeypatch, [0.1])
    fit_classifier(
        make_training_data(), tmp_path / "a", recipe, TrainingStart(resume=True)
    )  # it had ended
    assert len(rows_of(tmp_path / "a" / "log.csv")) == 4


def stop_in_epoch(monkeypatch, number: int) -> None:
    from maskdet.training.classifier.fit import _TrainingLoop

    train = _TrainingLoop._train_epoch

    def stopped(self, epoch):
        if epoch == number:
            raise KeyboardInterrupt
        return train(self, epoch)

    monkeypatch.setattr(_TrainingLoop, "_train_epoch", stopped)


TWO = (Stage(2, "adam", 0.05, 0), Stage(2, "rmsprop", 0.01, 0, decay=1e-3))


@pytest.mark.usefixtures("eager_tensorflow")
@pytest.mark.parametrize("broken_in", [1, 2, 3])
@pytest.mark.parametrize("average_decay", [None, 0.9])
def test_resume_ends_where_an_unbroken_training_does(
    tmp_path, monkeypatch, tiny, broken_in, average_decay
):
    from maskdet.training.classifier.fit import TrainingStart, fit_classifier

    recipe = replace(TINY_RECIPE, stages=TWO, average_decay=average_decay)
    fit_classifier(make_training_data(4), tmp_path / "unbroken", recipe)
    with monkeypatch.context() as patch:
        stop_in_epoch(patch, broken_in)
        fit_classifier(make_training_data(4), tmp_path / "broken", recipe)
    with np.load(tmp_path / "broken" / "last.npz") as state:
        assert state["epochs_done"] == broken_in
    fit_classifier(
        make_training_data(4), tmp_path / "broken", recipe, TrainingStart(resume=True)
    )
    with (
        np.load(tmp_path / "broken" / "last.npz") as broken,
        np.load(tmp_path / "unbroken" / "last.npz") as unbroken,
    ):
        assert set(broken.files) == set(unbroken.files)
        for name in unbroken.files:
            np.testing.assert_allclose(broken[name], unbroken[name], atol=1e-5)
    rows = rows_of(tmp_path / "broken" / "log.csv")
    assert [(row["epoch"], row["stage"]) for row in rows] == [
        (1, 1),
        (2, 1),
        (3, 2),
        (4, 2),
    ]


def test_stopped_at_once_leaves_a_model_and_resume_needs_a_state(
    tmp_path, monkeypatch, tiny
):
    from maskdet.training.classifier.fit import TrainingStart, fit_classifier
    from maskdet.training.run_log import BEST_FILE

    stop_in_epoch(monkeypatch, 0)
    probs = fit_classifier(make_training_data(), tmp_path, TINY_RECIPE)
    assert probs.shape == (8, 3)
    assert (tmp_path / BEST_FILE).is_file()
    with pytest.raises(FileNotFoundError, match="--resume"):
        fit_classifier(
            make_training_data(), tmp_path, TINY_RECIPE, TrainingStart(resume=True)
        )


@pytest.mark.usefixtures("eager_tensorflow")
def test_a_resumed_run_of_another_length_says_so(tmp_path, tiny):
    from maskdet.training.classifier.fit import TrainingStart, fit_classifier

    fit_classifier(make_training_data(), tmp_path, TINY_RECIPE)
    fit_classifier(
        make_training_data(),
        tmp_path,
        TINY_RECIPE.with_epochs(4),
        TrainingStart(resume=True),
    )
    known = json.loads((tmp_path / "recipe.json").read_text())
    assert known["planned_before"] == [[3, 3]]
    assert known["epochs"] == 4
    with pytest.raises(ValueError, match="has done 4 epochs already, more than 2"):
        fit_classifier(
            make_training_data(),
            tmp_path,
            TINY_RECIPE.with_epochs(2),
            TrainingStart(resume=True),
        )
    assert json.loads((tmp_path / "recipe.json").read_text()) == known
    other = replace(TINY_RECIPE, stages=(Stage(5, "rmsprop", 0.1, 0),))
    with pytest.raises(ValueError, match="another network or optimizer"):
        fit_classifier(
            make_training_data(), tmp_path, other, TrainingStart(resume=True)
        )


def test_settling_keeps_the_function_and_serves_training():
    import keras

    from maskdet.training.classifier.network import (
        build_classifier,
        find_body,
        recalibrate_batchnorm,
    )

    keras.utils.set_random_seed(4)
    model = build_classifier(make_small_recipe("maskdet"))
    pictures = np.random.default_rng(2).uniform(0, 255, (32, 32, 32, 3)).astype("f4")
    before = model.predict_on_batch(pictures)
    recalibrate_batchnorm(model, [pictures])
    np.testing.assert_allclose(model.predict_on_batch(pictures), before, atol=1e-4)
    body = find_body(model)
    scaled = pictures / 127.5 - 1
    runs = np.asarray(body(scaled, training=False))
    trains = np.asarray(body(scaled, training=True))
    assert np.corrcoef(runs.ravel(), trains.ravel())[0, 1] > 0.99


def test_weights_that_are_not_there_are_refused(tmp_path):
    from maskdet.training.classifier.network import build_classifier

    with pytest.raises(FileNotFoundError, match="imagenet"):
        build_classifier(make_small_recipe("maskdet"), tmp_path / "none.weights.h5")
    with pytest.raises(ValueError, match="leave out --weights"):
        build_classifier(make_small_recipe("custom-cnn"), tmp_path / "none.weights.h5")


def test_one_command_trains_on_a_folder_of_ones_own(tmp_path, tiny, capsys):
    from maskdet.cli import main

    data, out = write_class_folders(tmp_path / "mine"), tmp_path / "run"
    words = ["train", "classifier", "--recipe", "tutorial", "--data", str(data)]
    words += ["--weights", "none", "--epochs", "2", "--size-px", "32", "--seed", "7"]
    assert main([*words, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "precision" in said
    assert "8 train, 8 validation, 0 test" in said
    names = "log.csv log.json recipe.json report.txt samples.png views.png "
    names += "learning-loss.png learning-accuracy.svg"
    assert all((out / name).is_file() for name in names.split())
    known = json.loads((out / "recipe.json").read_text())
    assert known["command"].startswith("maskdet train classifier --recipe")
    assert known["command"].endswith(f"--seed 7 --out {out}")
    assert (known["seed"], known["epochs"], known["crops"]) == (7, 2, 8)
    assert (known["start"], known["class_counts"]) == (None, [4, 4, 0])
    assert main([*words, "--epochs", "3", "--out", str(out)]) == 1
    assert "holds a run of 2 epochs" in capsys.readouterr().err
    more = [*words, "--steps", "5", "--out", str(out), "--resume"]
    assert main(more) == 1
    assert "began with steps null, not 5" in capsys.readouterr().err
    assert main([*words, "--epochs", "3", "--out", str(out), "--resume"]) == 0
    assert len(rows_of(out / "log.csv")) == 3


def train_words(folder, *more):
    words = ["train", "classifier", "--recipe", "tutorial", "--size-px", "32"]
    words += ["--data", str(write_class_folders(folder / "mine")), "--epochs", "3"]
    return [*words, "--out", str(folder / "run"), *more]


@pytest.mark.usefixtures("eager_tensorflow")
def test_ctrl_c_is_one_line_and_the_run_goes_on(tmp_path, tiny, capsys, monkeypatch):
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
    assert "not one epoch of it is whole" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        stop_in_epoch(patch, 2)
        assert main(words) == 130
    said = capsys.readouterr()
    assert "stopped after 2 of 3 epochs; the same command with --resume" in said.err
    assert "next:" not in said.out
    assert (out / "learning-loss.svg").is_file()
    (out / "learning-loss.svg").unlink()
    assert main([*words, "--resume"]) == 0
    assert f"next: maskdet export {out}" in capsys.readouterr().out
    assert [row["epoch"] for row in rows_of(out / "log.csv")] == [1, 2, 3]
    assert (out / "learning-loss.svg").is_file()


def test_without_a_network_one_line_says_what_to_do(tmp_path, capsys, monkeypatch):
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
        assert f"{name}: holds no weights of this network" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("eager_tensorflow")
def test_a_loss_that_is_no_number_ends_it_and_keeps_what_was(
    tmp_path, tiny, monkeypatch
):
    from maskdet.training.classifier.fit import (
        TrainingStart,
        _TrainingLoop,
        fit_classifier,
    )

    train = _TrainingLoop._train_epoch
    with monkeypatch.context() as patch:
        patch.setattr(
            _TrainingLoop,
            "_train_epoch",
            lambda run, n: (np.nan, 0.5) if n else train(run, n),
        )
        with pytest.raises(RuntimeError, match="epoch 2: the loss is nan"):
            fit_classifier(make_training_data(), tmp_path, TINY_RECIPE)
    assert [row["epoch"] for row in rows_of(tmp_path / "log.csv")] == [1]
    fit_classifier(
        make_training_data(), tmp_path, TINY_RECIPE, TrainingStart(resume=True)
    )
    assert [row["epoch"] for row in rows_of(tmp_path / "log.csv")] == [1, 2, 3]


@pytest.mark.usefixtures("eager_tensorflow")
def test_stopped_between_log_and_state_no_epoch_is_there_twice(
    tmp_path, tiny, monkeypatch
):
    from maskdet.training.classifier import fit as module

    save = module.save_state

    def stopped(path, model, average, progress):
        if progress.epochs_done == 2:
            raise KeyboardInterrupt
        save(path, model, average, progress)

    with monkeypatch.context() as patch:
        patch.setattr(module, "save_state", stopped)
        module.fit_classifier(make_training_data(), tmp_path, TINY_RECIPE)
    module.fit_classifier(
        make_training_data(), tmp_path, TINY_RECIPE, module.TrainingStart(resume=True)
    )
    assert [row["epoch"] for row in rows_of(tmp_path / "log.csv")] == [1, 2, 3]


def test_weights_that_cannot_be_written_leave_the_old_ones(tmp_path, monkeypatch):
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
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == old
    path.write_bytes(old[:50])
    with pytest.raises(ValueError, match="holds no weights of this network"):
        load_weights(path, model)


def test_our_own_sampler_teaches_too(tmp_path, tiny):
    from maskdet.training.classifier.batches import ClassifierSampler
    from maskdet.training.classifier.fit import fit_classifier

    camera = make_small_recipe(
        "maskdet", stages=(Stage(3, "adamw", 0.1, 0, warm_up=0.1),)
    )
    made = replace(
        make_training_data(20),
        batch_source=ClassifierSampler(make_samples(EIGHT_CROPS), 32, 8, 1),
    )
    probs = fit_classifier(made, tmp_path, camera)
    rows = rows_of(tmp_path / "log.csv")
    assert rows[2]["loss"] < 0.8 * rows[0]["loss"]
    right = (probs.argmax(axis=1) == make_crops().labels).mean()
    assert right == max(row["val_accuracy"] for row in rows)
    assert right >= 0.75
