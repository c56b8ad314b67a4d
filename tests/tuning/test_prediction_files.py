"""Stored scores: what goes in comes out, and a broken file is one line."""

from __future__ import annotations

import dataclasses
import io
import zipfile

import numpy as np
import pytest

from maskdet.settings import Settings
from maskdet.tuning import predictions
from maskdet.tuning import predictions as bundle
from maskdet.tuning.operating_point import Evaluator
from maskdet.tuning.predictions import (
    AnalyzerPredictions,
    FaceRows,
    LabelledSet,
    anonymize_image_names,
    decode_predictions,
    encode_predictions,
    quantize_predictions,
    read_predictions,
)
from maskdet.types import Label
from tests.tuning.goals_fakes import make_crowded_set, make_goal_predictions

FIELDS = ("image_indices", "boxes", "lights", "sharpness")


def assert_same(one, other):
    assert (one.analyzer, one.ground_truth.name) == (
        other.analyzer,
        other.ground_truth.name,
    )
    assert one.ground_truth.names == other.ground_truth.names
    assert one.ground_truth.has_boxes is other.ground_truth.has_boxes
    pairs = [
        (one.scores, other.scores),
        (one.probs, other.probs),
        (one.ground_truth.labels, other.ground_truth.labels),
        (one.ground_truth.sizes_wh, other.ground_truth.sizes_wh),
        *((getattr(one.faces, at), getattr(other.faces, at)) for at in FIELDS),
        *(
            (getattr(one.ground_truth.faces, at), getattr(other.ground_truth.faces, at))
            for at in FIELDS
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
    np.savez(out, **{name: one for name, one in kept.items() if one is not None})
    return out.getvalue()


@pytest.mark.parametrize(
    "given",
    [
        make_crowded_set(8),
        make_goal_predictions([], 0),
        make_goal_predictions([], 3),
        make_goal_predictions(
            [(0, Label.UNKNOWN, None, (1, 0, 0))], boxed=False, name="Плац “7”"
        ),
    ],
)
def test_what_goes_in_comes_out(given, tmp_path):
    content = encode_predictions(given)
    assert_same(decode_predictions(content), given)
    (tmp_path / "a.npz").write_bytes(content)
    assert_same(read_predictions(tmp_path / "a.npz"), given)
    assert encode_predictions(given) == content, "the same numbers make the same file"


def test_names_of_pictures_become_numbers():
    given = make_crowded_set(3)
    assert anonymize_image_names(given).ground_truth.names == ("1", "2", "3")
    assert given.ground_truth.names[0] == "0.png"
    assert b"0.png" not in encode_predictions(anonymize_image_names(given))


def test_rounding_changes_next_to_nothing():
    given = make_crowded_set(60)
    rounded = quantize_predictions(given)
    assert np.abs(rounded.probs - given.probs).max() < 2e-4
    assert np.abs(rounded.scores - given.scores).max() < 2e-4
    assert np.abs(rounded.faces.boxes - given.faces.boxes).max() <= 1 / 32
    one, other = (Evaluator(each)(Settings()).confusion for each in (given, rounded))
    assert np.abs(one - other).sum() <= 2
    assert len(encode_predictions(rounded)) < 0.8 * len(encode_predictions(given))


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"version": None}, "of version 1"),
        ({"version": np.array("2")}, "of version 1"),
        ({"scores": None}, "scores is missing"),
        ({"true/boxes": None}, "true/boxes is missing"),
        ({"scores": np.zeros(2, np.float32)}, "needs a score"),
        ({"scores": np.full(4, 1.5, np.float32)}, "from 0 to 1"),
        ({"scores": np.full(4, np.nan, np.float32)}, "finite numbers"),
        ({"scores": np.array(list("abcd"))}, "finite numbers"),
        ({"probs": np.full((4, 3), 0.5, np.float32)}, "do not sum to 1"),
        ({"probs": np.full((4, 2), 0.5, np.float32)}, "this file: "),
        ({"labels": np.array([0, 1, 5, 0])}, "a label that is none"),
        ({"labels": np.array([0, 1])}, "needs a label"),
        ({"names": np.array(["a"])}, "a name and a size"),
        ({"found/pictures": np.array([0, 1, 2, 9])}, "does not have"),
        ({"found/pictures": np.array([-1, 1, 2, 3])}, "in no image"),
        ({"found/pictures": np.array([3, 2, 1, 0])}, "sorted by image"),
        ({"sizes_wh": np.zeros((4, 2), np.int32)}, "without a size"),
        ({"scores": np.zeros((2, 2, 1), np.float32)}, "numbers and text"),
    ],
)
def test_a_file_that_does_not_fit_is_one_line(arrays, complaint):
    given = make_goal_predictions(
        [(at, Label(at % 3), 0.9, (0.5, 0.3, 0.2)) for at in range(4)]
    )
    with pytest.raises(ValueError, match=complaint) as caught:
        decode_predictions(changed(encode_predictions(given), **arrays))
    assert str(caught.value).startswith("this file: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no zip at all", b"\0" * 99])
def test_what_is_no_file_of_scores_is_one_line(content):
    with pytest.raises(ValueError, match=r"this file: is no file of stored scores"):
        decode_predictions(content)


def test_every_cut_of_a_file_is_refused():
    content = encode_predictions(make_crowded_set(2))
    for n in range(0, len(content), 97):
        with pytest.raises(ValueError, match=r"^cut: "):
            decode_predictions(content[:n], "cut")


def test_flipped_bytes_never_get_further_than_one_line():
    content, rng = encode_predictions(make_crowded_set(2)), np.random.default_rng(0)
    told = []
    for _ in range(300):
        broken = bytearray(content)
        for place in rng.integers(0, len(content), rng.integers(1, 6)):
            broken[place] = rng.integers(0, 256)
        try:
            decode_predictions(bytes(broken), "broken")
        except ValueError as error:
            told.append(str(error))
    assert len(told) > 200
    assert all(line.startswith("broken: ") and "\n" not in line for line in told)


def test_nothing_in_a_file_is_run():
    harm = io.BytesIO()
    np.savez(harm, version=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="something else than numbers and text"):
        decode_predictions(harm.getvalue())


def test_a_file_too_large_is_refused_before_it_is_unpacked(monkeypatch):
    content = encode_predictions(make_crowded_set(2))
    monkeypatch.setattr(predictions, "MAX_UNPACKED_BYTES", 1000)
    monkeypatch.setattr(predictions, "_read_array", None)
    with pytest.raises(ValueError, match="is too large"):
        decode_predictions(content)


def test_an_array_that_claims_more_than_there_is_takes_no_memory():
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**14,)}
    member, out = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(member, header)
    with zipfile.ZipFile(out, "w") as stored:
        stored.writestr("scores.npy", member.getvalue())
    with pytest.raises(ValueError, match="cut off"):
        decode_predictions(out.getvalue())


def crowded(found, true):
    """Scores with so many found and true faces in each image."""

    def rows(counts):
        pictures = np.repeat(np.arange(len(counts)), counts)
        n = len(pictures)
        return FaceRows(pictures, np.tile([0, 0, 9, 9], (n, 1)), np.ones(n), np.ones(n))

    truth = LabelledSet(
        "crowd",
        tuple(str(at) for at in range(len(found))),
        np.full((len(found), 2), 9),
        rows(true),
        np.zeros(sum(true)),
    )
    n = sum(found)
    return AnalyzerPredictions(
        truth, "fake", rows(found), np.ones(n), np.tile([1, 0, 0], (n, 1))
    )


@pytest.mark.parametrize(
    ("found", "true", "complaint"),
    [
        ([2001], [1], "more than 2,000 found faces in one image"),
        ([0, 1], [1, 2001], "more than 2,000 true faces in one image"),
        ([400] * 251, [0] * 251, "more than 100,000 found faces"),
        ([0] * 251, [400] * 251, "more than 100,000 true faces"),
        ([2000] * 2, [2000] * 2, "crowded as no real ones"),
    ],
)
def test_a_small_file_that_would_take_all_memory_is_one_line(found, true, complaint):
    content = encode_predictions(crowded(found, true))
    assert len(content) < 400_000
    with pytest.raises(ValueError, match=rf"^small\.npz: .*{complaint}") as caught:
        decode_predictions(content, "small.npz")
    assert "\n" not in str(caught.value)


def test_a_true_crowd_is_read():
    stored = decode_predictions(encode_predictions(crowded([2000, 1], [400, 1])))
    assert len(stored.faces) == 2001


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_predictions(tmp_path / "none.npz")


def test_what_is_bundled_goes_by_name(tmp_path):
    for analyzer, name in (("haar", "b"), ("onepass", "b"), ("own", "a.c")):
        given = dataclasses.replace(
            make_goal_predictions([], 2, name=name), analyzer=analyzer
        )
        file, content = bundle.encode_bundled_file(given)
        (tmp_path / file).write_bytes(content)
    (tmp_path / "README.md").write_text("no scores")
    names = bundle.list_bundled(tmp_path)
    assert names == ("onepass on b", "haar on b", "own on a.c")
    loaded = bundle.load_bundled_predictions("own on a.c", tmp_path)
    assert (loaded.analyzer, loaded.ground_truth.name) == ("own", "a.c")
    assert loaded.ground_truth.names == ("1", "2")
    with pytest.raises(ValueError, match="there are onepass on b, haar on b"):
        bundle.load_bundled_predictions("ssd on b", tmp_path)
    assert bundle.list_bundled(tmp_path / "none") == ()


@pytest.mark.parametrize("name", bundle.list_bundled())
def test_what_ships_can_be_judged_and_names_nothing(name):
    stored = bundle.load_bundled_predictions(name)
    assert name == f"{stored.analyzer} on {stored.ground_truth.name}"
    assert all(one.isdigit() for one in stored.ground_truth.names)
    assert len(stored.ground_truth.faces) > 100
    assert Evaluator(stored)(Settings()).confusion[:3, :3].trace() > 50


def test_ours_ship_on_both_sets():
    wanted = {f"{name} on {place}-val" for name in ("onepass", "onepass-fast")
              for place in ("ilc", "kaggle")}  # fmt: skip
    assert wanted <= set(bundle.list_bundled())
    sizes = [path.stat().st_size for path in bundle.BUNDLED_DIR.glob("*.npz")]
    assert max(sizes) < 600_000
