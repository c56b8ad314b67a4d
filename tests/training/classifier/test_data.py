"""Training data, validation metrics and input checks of `maskdet train classifier`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskdet.classifier import DEFAULT_CONTEXT, crop_face
from maskdet.cli import main
from maskdet.datasets import Example
from maskdet.metrics.classification import ClassificationResult
from maskdet.training.checkpoint import open_arrays, save_arrays
from maskdet.training.classifier.augment import PACKED_CONTEXT, augment_crop
from maskdet.training.classifier.batches import (
    CLASS_FRACTIONS,
    ORIGIN_FRACTIONS,
    UNDECIDABLE_FRACTION,
    ClassifierSampler,
    compute_crop_probabilities,
    to_network_input,
)
from maskdet.training.classifier.crops import (
    DRAWN_COVERS,
    DRAWN_MASKS,
    HARD_NEGATIVES,
    MIN_VALIDATION_PX,
    NO_FACE,
    UNDECIDABLE,
    PackedCrops,
    cut_crops,
    draw_on_face,
    pack_crops,
    read_packed_crops,
    save_crops,
    to_class_targets,
)
from maskdet.training.classifier.validation import (
    compute_classifier_metrics,
    compute_metrics_by_source,
    format_class_report,
    mean_loss,
)
from maskdet.training.run_log import (
    append_row,
    drop_epochs_after,
    epochs_since_lowest_loss,
    read_epochs,
)
from maskdet.types import Label
from tests.helpers.fakes import FakeDetector
from tests.training.classifier.fakes import make_samples


def packed_face(side: int = 96) -> np.ndarray:
    """Return a packed crop with a ramp, a light oval and a dark band."""
    ramp = np.linspace(30, 200, side, dtype=np.uint8)
    image = np.repeat(np.tile(ramp, (side, 1))[..., None], 3, axis=2).copy()
    middle = (side // 2, side // 2)
    cv2.ellipse(image, middle, (side // 5, side // 4), 0, 0, 360, (150, 180, 230), -1)
    cv2.rectangle(image, (40, 52), (56, 62), (200, 90, 20), -1)
    return image


@pytest.mark.parametrize("size_px", [64, 96])
def test_augmentation_is_reproducible(size_px):
    packed = packed_face()
    before = packed.copy()
    for seed in range(60):
        first = augment_crop(packed, size_px, np.random.default_rng(seed))
        again = augment_crop(packed, size_px, np.random.default_rng(seed))
        assert first.shape == (size_px, size_px, 3)
        assert first.dtype == np.uint8
        np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(packed, before)


def test_augmentation_varies_and_keeps_some_contrast():
    views = [
        augment_crop(packed_face(), 64, np.random.default_rng(seed))
        for seed in range(60)
    ]
    assert len({view.tobytes() for view in views}) == 60
    # The darkest have a mean of 6; the face still differs from its background.
    assert min(view.max() for view in views) > 6
    assert min(view.std() for view in views) > 1


def test_augmentation_without_changes_is_the_run_time_crop(monkeypatch):
    """The middle of a packed crop is what `crop_face` gives for the same box."""
    image = cv2.GaussianBlur(
        np.random.default_rng(1).integers(0, 256, (400, 400, 3), dtype=np.uint8),
        (0, 0),
        6,
    )
    box = np.array([150, 150, 250, 250], np.float32)
    packed = crop_face(image, box, 220, context=PACKED_CONTEXT)
    for name, unchanged in (
        ("_SCALES", (1.0, 1.0)),
        ("_MAX_SHIFT", 0.0),
        ("_MAX_ANGLE_DEG", 0.0),
    ):
        monkeypatch.setattr(f"maskdet.training.classifier.augment.{name}", unchanged)
    rng = np.random.default_rng(0)
    monkeypatch.setattr(
        "maskdet.training.classifier.augment._degrade_image", lambda image, *_: image
    )
    monkeypatch.setattr(
        "maskdet.training.classifier.augment._vary_light", lambda image, *_: image
    )
    monkeypatch.setattr(
        "maskdet.training.classifier.augment._paint_upper_patch", lambda image, _: image
    )
    monkeypatch.setattr(
        "maskdet.training.classifier.augment._replicate_border", lambda image, _: image
    )
    view = augment_crop(packed, 130, rng).astype(int)
    expected = crop_face(image, box, 130, context=DEFAULT_CONTEXT).astype(int)
    differences = [np.abs(image - expected).mean() for image in (view, view[:, ::-1])]
    assert min(differences) < 1  # the other of the two is its mirror image
    assert max(differences) > 2


def scene(folder: Path) -> Example:
    image = np.random.default_rng(5).integers(0, 256, (100, 160, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / "scene.png"), image)
    boxes = np.array([[10, 10, 40, 50], [60, 20, 76, 36], [90, 5, 95, 10]], np.float32)
    labels = (Label.NO_MASK, Label.MASK, Label.INCORRECT)
    return Example(folder / "scene.png", boxes, labels, "town")


def portrait(folder: Path) -> Example:
    cv2.imwrite(str(folder / "one.png"), np.full((80, 60, 3), 90, np.uint8))
    return Example(folder / "one.png", np.zeros((0, 4)), (Label.MASK,), "real")


def test_packing_skips_small_faces(tmp_path):
    train = pack_crops([scene(tmp_path)], None, iter)
    assert train.labels.tolist() == [Label.NO_MASK, Label.MASK]
    options = {"context": DEFAULT_CONTEXT, "min_px": MIN_VALIDATION_PX}
    held_out = cut_crops([scene(tmp_path)], iter, 64, **options)
    assert held_out.labels.tolist() == [Label.NO_MASK]


def test_validation_crops_are_cut_as_at_run_time(tmp_path):
    example = scene(tmp_path)
    held_out = cut_crops(
        [example], iter, 64, context=DEFAULT_CONTEXT, min_px=MIN_VALIDATION_PX
    )
    image = cv2.imread(str(example.path))
    expected = crop_face(image, example.boxes[0], 64)
    np.testing.assert_array_equal(held_out.images[0], expected)


def test_a_portrait_gives_the_image_and_a_confident_box(tmp_path):
    confident = FakeDetector([[10, 10, 50, 60], [0, 0, 9, 9]], [0.95, 0.7])
    uncertain = FakeDetector([[10, 10, 50, 60]], [0.6])
    crowd = FakeDetector([[10, 10, 40, 60], [30, 10, 58, 60]], [0.95, 0.9])
    counts = [
        len(pack_crops([portrait(tmp_path)], detector, iter))
        for detector in (None, confident, uncertain, crowd)
    ]
    assert counts == [1, 2, 1, 1]


def test_an_unreadable_image_is_skipped_and_logged(tmp_path, caplog):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    broken = Example(tmp_path / "broken.jpg", np.zeros((0, 4)), (Label.MASK,))
    assert len(pack_crops([broken, portrait(tmp_path)], None, iter)) == 1
    assert "skipped" in caplog.text
    with pytest.raises(ValueError, match="none of 1 images"):
        pack_crops([broken], None, iter)


def test_packed_crops_survive_a_round_trip(tmp_path):
    stored = make_samples({(Label.MASK, False): 2, (Label.INCORRECT, True): 1})
    save_crops(stored, tmp_path / "crops.npz", "abc")
    loaded = read_packed_crops(tmp_path / "crops.npz", "abc")
    for field in dataclasses.fields(PackedCrops):
        np.testing.assert_array_equal(
            getattr(loaded, field.name), getattr(stored, field.name)
        )
    assert read_packed_crops(tmp_path / "crops.npz", "other") is None
    assert read_packed_crops(tmp_path / "none.npz", "abc") is None
    (tmp_path / "crops.npz").write_bytes(b"damaged")
    assert read_packed_crops(tmp_path / "crops.npz", "abc") is None


def test_classes_and_origins_are_sampled_in_their_fractions():
    mixed = make_samples(
        {
            (Label.MASK, False): 30,
            (Label.MASK, True): 3,
            (Label.NO_MASK, False): 2,
            (Label.NO_MASK, True): 20,
            (Label.INCORRECT, False): 1,
        }
    )
    probabilities = compute_crop_probabilities(mixed)
    assert probabilities.sum() == pytest.approx(1)
    for label, fraction in CLASS_FRACTIONS.items():
        assert probabilities[mixed.labels == label].sum() == pytest.approx(fraction)
    no_mask = mixed.labels == Label.NO_MASK
    of_scenes = (
        probabilities[no_mask & ~mixed.whole].sum() / probabilities[no_mask].sum()
    )
    scene, whole, _ = ORIGIN_FRACTIONS[
        Label.NO_MASK
    ]  # without synthetic crops, the two are rescaled
    assert of_scenes == pytest.approx(scene / (scene + whole), abs=1e-4)


def test_batches_are_rgb_one_hot_and_reproducible():
    mixed = make_samples({(Label.MASK, False): 4, (Label.NO_MASK, True): 4})
    sampler = ClassifierSampler(mixed, 32, 6, seed=1)
    batches = list(sampler.iter_batches(0, 9))
    assert len(batches) == 9
    assert batches[0].images.shape == (6, 32, 32, 3)
    assert batches[0].images.dtype == np.uint8
    np.testing.assert_array_equal(batches[0].targets.sum(axis=1), 1)
    np.testing.assert_array_equal(batches[3].images, sampler.make_batch(0, 3).images)
    assert not np.array_equal(batches[3].images, sampler.make_batch(1, 3).images)
    blue = np.zeros((1, 2, 2, 3), np.uint8)
    blue[..., 0] = 9
    assert to_network_input(blue)[0, 0, 0].tolist() == [0, 0, 9]


def test_metrics_count_an_incorrect_mask_as_a_mask():
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    predicted = [0, 2, 0, 1, 1, 0, 2, 0]
    probs = np.eye(3, dtype=np.float32)[predicted]
    result = compute_classifier_metrics(labels, probs)
    assert result.n == 8
    assert result.worn == pytest.approx(5 / 6)
    assert result.bare == pytest.approx(1 / 2)
    assert result.mask_or_not == pytest.approx(6 / 8)
    assert result.balanced == pytest.approx((2 / 4 + 1 / 2 + 1 / 2) / 3)
    argmax_no_mask = compute_classifier_metrics(
        np.array([0]), np.array([[0.3, 0.45, 0.25]], np.float32)
    )
    assert (argmax_no_mask.worn, argmax_no_mask.balanced) == (1, 0)
    parts = compute_metrics_by_source(np.array(list("aaaabbbb")), labels, probs)
    assert [parts["a"].worn, parts["a"].bare, parts["b"].bare] == [0.75, 1.0, 0.5]
    scores = [parts[source].selection_score for source in "ab"]
    assert scores == pytest.approx([(0.75 + 1) / 4 + 0.5 / 2, (1 + 0.5) / 4 + 0.5 / 2])


def test_metrics_agree_with_the_evaluation():
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 3, 300)
    probs = rng.dirichlet([1, 1, 1], 300).astype(np.float32)
    ours, theirs = (
        compute_classifier_metrics(labels, probs),
        ClassificationResult(labels, probs),
    )
    assert ours.mask_or_not == pytest.approx(theirs.binary_confusion.accuracy.value)
    assert ours.balanced == pytest.approx(
        theirs.class_confusion.balanced_accuracy().value
    )


def test_mean_loss_agrees_with_scikit_learn():
    from sklearn.metrics import log_loss

    rng = np.random.default_rng(8)
    labels = rng.integers(0, 3, 200)
    probs = rng.dirichlet([1, 1, 1], 200).astype(np.float32)
    equal_weights = np.ones(3, np.float32)
    reference = log_loss(labels, probs, labels=[0, 1, 2])
    assert mean_loss(labels, probs, equal_weights) == pytest.approx(reference, abs=1e-5)
    weights = np.array([1, 2, 0], np.float32)
    one_sided = np.array([[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]], np.float32)
    weighted = mean_loss(np.array([0, 1, 2]), one_sided, weights)
    assert weighted == pytest.approx((1 + 2 + 0) * np.log(2) / 3)
    wrong = mean_loss(np.array([2]), one_sided[:1], equal_weights)
    assert np.isfinite(wrong)
    assert wrong > 10


def test_class_report_agrees_with_scikit_learn():
    from sklearn.metrics import classification_report

    rng = np.random.default_rng(8)
    labels = rng.integers(0, 3, 120)
    probs = rng.dirichlet([1, 1, 1], 120).astype(np.float32)
    reference = classification_report(labels, probs.argmax(axis=1), output_dict=True)
    rows = [line.split() for line in format_class_report(labels, probs)]
    assert rows[0] == ["precision", "recall", "F1", "n"]
    for row, label in zip(rows[1:4], Label, strict=False):
        expected_row = reference[str(int(label))]
        assert row[0] == label.key
        for cell, name in zip(
            row[1:], ("precision", "recall", "f1-score"), strict=False
        ):
            assert float(cell) == pytest.approx(expected_row[name], abs=6e-4)
        assert int(row[4]) == expected_row["support"]
    assert float(rows[4][1]) == pytest.approx(reference["accuracy"], abs=6e-4)
    two = format_class_report(np.array([0, 1]), np.eye(3, dtype=np.float32)[[0, 1]])
    assert [line.split()[0] for line in two[1:]] == ["mask", "no_mask", "accuracy"]


def command(folder: Path, *words: str) -> list[str]:
    return ["train", "classifier", "--out", str(folder / "run"), *words]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "nowhere.csv"], "nowhere.csv"),
        (["--data", "nowhere.json"], "nowhere.json"),
        (["--data", ".", "--weights", "nowhere.h5"], "nowhere.h5"),
        (["--data", ".", "--size-px", "100"], "multiple of 16, not 100"),
        (["--data", ".", "--epochs", "0"], "--epochs 0: epochs must be at least 1"),
        (["--data", ".", "--steps", "-4"], "--steps -4: steps must be at least 1"),
        (["--data", ".", "--seed", "-1"], "--seed -1: seed must be at least 0"),
        (["--data", ".", "--drawn", "-1"], "--drawn -1: drawn must be at least 0"),
        (["--data", ".", "--size-px", "16"], "at least 32, not 16"),
        (["--data", ".", "--size-px", "99200"], "at most 1024, not 99200"),
        (["--data", ".", "--val", "nowhere"], "--val nowhere: there is no such path"),
        (["--data", ".", "--corrections", "no.csv"], "--corrections no.csv"),
        (["--data", ".", "--resume"], "nothing to resume"),
    ],
)
def test_train_reports_invalid_arguments_in_one_line(tmp_path, capsys, words, message):
    assert main(command(tmp_path, *words)) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "run").exists()


def test_an_existing_run_and_a_file_as_folder_are_rejected(tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / "last.npz").write_bytes(b"an earlier run")
    append_row(run, {"epoch": 1})
    assert main(command(tmp_path, "--data", ".")) == 1
    message = capsys.readouterr().err
    assert (
        f"--out {run}: contains a run of 1 epoch; continue it with --resume" in message
    )
    assert (run / "last.npz").read_bytes() == b"an earlier run"
    (tmp_path / "file").touch()
    words = ["train", "onepass", "--data", ".", "--out", str(tmp_path / "file" / "run")]
    assert main(words) == 1
    assert "file is a file, not a folder" in capsys.readouterr().err


def test_an_unwritable_folder_is_rejected(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, _: path != tmp_path)
    assert main(command(tmp_path, "--data", ".")) == 1
    assert f"no permission to write in {tmp_path}" in capsys.readouterr().err


@pytest.fixture
def full_disk():
    """Limit the file size to 20 kB, as on a nearly full disk."""
    resource = pytest.importorskip("resource", reason="limits of this kind are POSIX")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_arrays_are_written_atomically(tmp_path, full_disk):
    path = tmp_path / "last.npz"
    save_arrays(path, {"old": np.arange(9)})
    noise = np.random.default_rng(1).random(9_000)
    with pytest.raises(OSError, match=r"last\.npz"):
        save_arrays(path, {"new": noise, "other": noise})
    assert [path.name for path in tmp_path.iterdir()] == ["last.npz"]
    with open_arrays(path) as stored:
        assert stored["old"].tolist() == list(range(9))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match="file is damaged"), open_arrays(path):
        pass
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="file is damaged"), open_arrays(path):
        pass


def test_logs_survive_a_full_disk_and_report_damage(tmp_path, full_disk):
    append_row(tmp_path, {"epoch": 1, "val_loss": 0.5})
    append_row(tmp_path, {"epoch": 2, "val_loss": 0.4})
    with pytest.raises(OSError, match=r"log\.json"):
        append_row(tmp_path, {f"long-{n:03}" * 10: 1.0 for n in range(1_000)})
    assert [row["epoch"] for row in read_epochs(tmp_path)] == [1, 2]
    assert epochs_since_lowest_loss(read_epochs(tmp_path)) == 0
    drop_epochs_after(tmp_path, 1)
    assert (tmp_path / "log.csv").read_text().splitlines() == [
        "epoch,val_loss",
        "1,0.5",
    ]
    (tmp_path / "log.json").write_text("[{")
    with pytest.raises(ValueError, match=r"log\.json: file is damaged"):
        read_epochs(tmp_path)


def test_undecidable_faces_have_their_fraction_and_equal_targets():
    faces = make_samples({(Label.MASK, False): 4, (Label.NO_MASK, True): 4})
    covered = make_samples({(Label.NO_MASK, False): 2})
    covered.labels[:] = UNDECIDABLE
    combined = faces.concat(covered)
    probabilities = compute_crop_probabilities(combined)
    assert probabilities.sum() == pytest.approx(1)
    fraction = probabilities[combined.labels == UNDECIDABLE].sum()
    assert fraction == pytest.approx(UNDECIDABLE_FRACTION)
    batch = ClassifierSampler(combined, 32, 200, seed=1).make_batch(0, 0)
    assert batch.targets.shape == (200, 3)
    equal = np.isclose(batch.targets, 1 / 3).all(axis=1)
    assert equal.mean() == pytest.approx(UNDECIDABLE_FRACTION, abs=0.06)
    assert equal.any()
    assert (batch.targets[~equal].max(axis=1) == 1).all()


def test_targets_have_a_column_without_a_face_only_if_the_network_has():
    labels = np.array([Label.INCORRECT, NO_FACE, UNDECIDABLE])
    third = np.float32(1 / 3)
    assert to_class_targets(labels, 4).tolist() == [
        [0, 0, 1, 0],
        [0, 0, 0, 1],
        [third, third, third, 0],
    ]
    assert to_class_targets(labels[::2], 3).tolist() == [[0, 0, 1], [third] * 3]


def test_everything_is_drawn_on_faces_with_its_label():
    image = np.full((200, 200, 3), (150, 170, 210), np.uint8)
    points = np.float32([[82, 85], [118, 85], [100, 106], [85, 125], [115, 125]])
    box = np.float32([60, 50, 140, 150])
    labels: dict[str, set[int]] = {}
    for seed in range(150):
        rng = np.random.default_rng(seed)
        drawn, label, name = draw_on_face(image, box, points, rng)
        assert (drawn != image).any()
        labels.setdefault(name, set()).add(int(label))
    expected = {name: {int(label)} for name, (label, _) in DRAWN_MASKS.items()}
    expected |= {name: {int(Label.NO_MASK)} for name in HARD_NEGATIVES}
    expected |= {name: {int(label)} for name, (label, _) in DRAWN_COVERS.items()}
    assert labels == expected
