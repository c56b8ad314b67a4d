"""Prediction files: round trip, validation and bundled files."""

from __future__ import annotations

import dataclasses
import io
import zipfile

import numpy as np
import pytest

from maskdet.evaluation import predictions
from maskdet.evaluation.operating_point import Evaluator
from maskdet.evaluation.predictions import (
    AnalyzerPredictions,
    FaceRows,
    LabelledSet,
    anonymize_image_names,
    decode_predictions,
    encode_predictions,
    quantize_predictions,
    read_predictions,
)
from maskdet.settings import Settings
from maskdet.types import Label
from tests.tuning.goals_fakes import make_crowded_set, make_goal_predictions

FIELDS = ("image_indices", "boxes", "lights", "sharpness")


def assert_same(first, second):
    assert (first.analyzer, first.ground_truth.name) == (
        second.analyzer,
        second.ground_truth.name,
    )
    assert first.ground_truth.names == second.ground_truth.names
    assert first.ground_truth.has_boxes is second.ground_truth.has_boxes
    pairs = [
        (first.scores, second.scores),
        (first.probs, second.probs),
        (first.ground_truth.labels, second.ground_truth.labels),
        (first.ground_truth.sizes_wh, second.ground_truth.sizes_wh),
        *(
            (getattr(first.faces, field), getattr(second.faces, field))
            for field in FIELDS
        ),
        *(
            (
                getattr(first.ground_truth.faces, field),
                getattr(second.ground_truth.faces, field),
            )
            for field in FIELDS
        ),
    ]
    for left, right in pairs:
        assert left.dtype == right.dtype
        assert np.array_equal(left, right)


def changed(content, **arrays):
    """Return the file with some arrays replaced, or left out where None."""
    with np.load(io.BytesIO(content)) as stored:
        kept = {name: stored[name] for name in stored.files} | arrays
    out = io.BytesIO()
    np.savez(out, **{name: array for name, array in kept.items() if array is not None})
    return out.getvalue()


@pytest.mark.parametrize(
    "original",
    [
        make_crowded_set(8),
        make_goal_predictions([], 0),
        make_goal_predictions([], 3),
        make_goal_predictions(
            [(0, Label.UNKNOWN, None, (1, 0, 0))], boxed=False, name="Плац “7”"
        ),
    ],
)
def test_predictions_survive_encoding_and_decoding(original, tmp_path):
    content = encode_predictions(original)
    assert_same(decode_predictions(content), original)
    (tmp_path / "a.npz").write_bytes(content)
    assert_same(read_predictions(tmp_path / "a.npz"), original)
    assert encode_predictions(original) == content, (
        "the same numbers make the same file"
    )


def test_image_names_are_replaced_by_numbers():
    original = make_crowded_set(3)
    assert anonymize_image_names(original).ground_truth.names == ("1", "2", "3")
    assert original.ground_truth.names[0] == "0.png"
    assert b"0.png" not in encode_predictions(anonymize_image_names(original))


def test_quantization_hardly_changes_the_results():
    original = make_crowded_set(60)
    rounded = quantize_predictions(original)
    assert np.abs(rounded.probs - original.probs).max() < 2e-4
    assert np.abs(rounded.scores - original.scores).max() < 2e-4
    assert np.abs(rounded.faces.boxes - original.faces.boxes).max() <= 1 / 32
    before, after = (
        Evaluator(case)(Settings()).confusion for case in (original, rounded)
    )
    assert np.abs(before - after).sum() <= 2
    assert len(encode_predictions(rounded)) < 0.8 * len(encode_predictions(original))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"version": None}, "of version 1"),
        ({"version": np.array("2")}, "of version 1"),
        ({"scores": None}, "scores is missing"),
        ({"true/boxes": None}, "true/boxes is missing"),
        ({"scores": np.zeros(2, np.float32)}, "needs a score"),
        ({"scores": np.full(4, 1.5, np.float32)}, "range from 0 to 1"),
        ({"scores": np.full(4, np.nan, np.float32)}, "finite numbers"),
        ({"scores": np.array(list("abcd"))}, "finite numbers"),
        ({"probs": np.full((4, 3), 0.5, np.float32)}, "do not sum to 1"),
        ({"probs": np.full((4, 2), 0.5, np.float32)}, "this file: "),
        ({"labels": np.array([0, 1, 5, 0])}, "a label is not a known class"),
        ({"labels": np.array([0, 1])}, "needs a label"),
        ({"names": np.array(["a"])}, "a name and a size"),
        ({"found/pictures": np.array([0, 1, 2, 9])}, "does not have"),
        ({"found/pictures": np.array([-1, 1, 2, 3])}, "is negative"),
        ({"found/pictures": np.array([3, 2, 1, 0])}, "sorted by image"),
        ({"sizes_wh": np.zeros((4, 2), np.int32)}, "is not positive"),
        ({"scores": np.zeros((2, 2, 1), np.float32)}, "numbers or text"),
    ],
)
def test_an_inconsistent_file_gives_a_one_line_error(arrays, message):
    original = make_goal_predictions(
        [(index, Label(index % 3), 0.9, (0.5, 0.3, 0.2)) for index in range(4)]
    )
    with pytest.raises(ValueError, match=message) as caught:
        decode_predictions(changed(encode_predictions(original), **arrays))
    assert str(caught.value).startswith("this file: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no zip at all", b"\0" * 99])
def test_other_files_give_a_one_line_error(content):
    with pytest.raises(ValueError, match=r"this file: not a predictions file"):
        decode_predictions(content)


def test_truncated_files_are_rejected():
    content = encode_predictions(make_crowded_set(2))
    for n in range(0, len(content), 97):
        with pytest.raises(ValueError, match=r"^cut: "):
            decode_predictions(content[:n], "cut")


def test_corrupted_bytes_give_one_line_errors():
    content, rng = encode_predictions(make_crowded_set(2)), np.random.default_rng(0)
    messages = []
    for _ in range(300):
        broken = bytearray(content)
        for position in rng.integers(0, len(content), rng.integers(1, 6)):
            broken[position] = rng.integers(0, 256)
        try:
            decode_predictions(bytes(broken), "broken")
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 200
    assert all(line.startswith("broken: ") and "\n" not in line for line in messages)


def test_pickled_objects_are_not_loaded():
    content = io.BytesIO()
    np.savez(content, version=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="arrays must be numbers or text"):
        decode_predictions(content.getvalue())


def test_a_large_file_is_rejected_before_unpacking(monkeypatch):
    content = encode_predictions(make_crowded_set(2))
    monkeypatch.setattr(predictions, "MAX_UNPACKED_BYTES", 1000)
    monkeypatch.setattr(predictions, "_read_array", None)
    with pytest.raises(ValueError, match="too large"):
        decode_predictions(content)


def test_a_wrong_array_size_does_not_allocate_memory():
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**14,)}
    member, out = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(member, header)
    with zipfile.ZipFile(out, "w") as stored:
        stored.writestr("scores.npy", member.getvalue())
    with pytest.raises(ValueError, match="truncated"):
        decode_predictions(out.getvalue())


def crowded(detected, true):
    """Return predictions with these numbers of faces in each image."""

    def rows(counts):
        image_indices = np.repeat(np.arange(len(counts)), counts)
        n = len(image_indices)
        return FaceRows(
            image_indices, np.tile([0, 0, 9, 9], (n, 1)), np.ones(n), np.ones(n)
        )

    ground_truth = LabelledSet(
        "crowd",
        tuple(str(index) for index in range(len(detected))),
        np.full((len(detected), 2), 9),
        rows(true),
        np.zeros(sum(true)),
    )
    n = sum(detected)
    return AnalyzerPredictions(
        ground_truth, "fake", rows(detected), np.ones(n), np.tile([1, 0, 0], (n, 1))
    )


@pytest.mark.parametrize(
    ("detected", "true", "message"),
    [
        ([2001], [1], "more than 2,000 detected faces in one image"),
        ([0, 1], [1, 2001], "more than 2,000 true faces in one image"),
        ([400] * 251, [0] * 251, "more than 100,000 detected faces"),
        ([0] * 251, [400] * 251, "more than 100,000 true faces"),
        ([2000] * 2, [2000] * 2, "an implausible number of faces"),
    ],
)
def test_a_small_file_that_would_exhaust_memory_is_rejected(detected, true, message):
    content = encode_predictions(crowded(detected, true))
    assert len(content) < 400_000
    with pytest.raises(ValueError, match=rf"^small\.npz: .*{message}") as caught:
        decode_predictions(content, "small.npz")
    assert "\n" not in str(caught.value)


def test_a_realistic_crowd_is_read():
    stored = decode_predictions(encode_predictions(crowded([2000, 1], [400, 1])))
    assert len(stored.faces) == 2001


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_predictions(tmp_path / "none.npz")


def test_bundled_predictions_are_loaded_by_name(tmp_path):
    for analyzer, name in (("haar", "b"), ("onepass", "b"), ("own", "a.c")):
        original = dataclasses.replace(
            make_goal_predictions([], 2, name=name), analyzer=analyzer
        )
        file, content = predictions.encode_bundled_file(original)
        (tmp_path / file).write_bytes(content)
    (tmp_path / "README.md").write_text("no scores")
    names = predictions.list_bundled(tmp_path)
    assert names == ("onepass on b", "haar on b", "own on a.c")
    loaded = predictions.load_bundled_predictions("own on a.c", tmp_path)
    assert (loaded.analyzer, loaded.ground_truth.name) == ("own", "a.c")
    assert loaded.ground_truth.names == ("1", "2")
    with pytest.raises(ValueError, match="available: onepass on b, haar on b"):
        predictions.load_bundled_predictions("ssd on b", tmp_path)
    assert predictions.list_bundled(tmp_path / "none") == ()


@pytest.mark.parametrize("name", predictions.list_bundled())
def test_bundled_predictions_can_be_evaluated_and_are_anonymous(name):
    stored = predictions.load_bundled_predictions(name)
    assert name == f"{stored.analyzer} on {stored.ground_truth.name}"
    assert all(image_name.isdigit() for image_name in stored.ground_truth.names)
    assert len(stored.ground_truth.faces) > 100
    assert Evaluator(stored)(Settings()).confusion[:3, :3].trace() > 50


def test_predictions_of_our_models_are_bundled_for_both_sets():
    expected = {f"{name} on {dataset}-val" for name in ("onepass", "onepass-fast")
              for dataset in ("ilc", "kaggle")}  # fmt: skip
    assert expected <= set(predictions.list_bundled())
    sizes = [path.stat().st_size for path in predictions.BUNDLED_DIR.glob("*.npz")]
    assert max(sizes) < 600_000
