from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from maskdet.datasets import read_dataset
from maskdet.tuning.annotation import Draft, create_draft
from maskdet.tuning.labelled_set import CancelledError, import_dataset
from maskdet.types import Label
from tests.helpers.fakes import ScriptedAnalyzer, ScriptedFace
from tests.helpers.zipped_datasets import make_jpeg

SURE = ScriptedFace((10, 10, 40, 50), (0.95, 0.03, 0.02), score=0.9)
UNSURE = ScriptedFace((50, 10, 80, 50), (0.3, 0.45, 0.25), score=0.8)


def drafted(*names: str) -> Draft:
    analyzer = ScriptedAnalyzer(lambda _: [SURE, UNSURE])
    return create_draft(
        [(name, make_jpeg(i)) for i, name in enumerate(names)], analyzer
    )


def test_a_draft_holds_what_the_analyzer_sees() -> None:
    draft = drafted("a.jpg")
    picture = draft.images[0]
    assert picture.size_wh == (90, 80)
    assert [face.label for face in picture.faces] == [Label.MASK, Label.NO_MASK]
    assert picture.faces[1].box == (50, 10, 80, 50)
    assert picture.faces[0].confidence == pytest.approx(0.95)
    assert not any(face.confirmed for face in picture.faces)
    assert draft.load_image(0).shape == (80, 90, 3)


def test_the_most_doubtful_face_comes_first_and_leaves_once_confirmed() -> None:
    draft = drafted("a.jpg", "b.jpg")
    assert draft.rank_unconfirmed() == ((0, 1), (1, 1), (0, 0), (1, 0))
    assert draft.confirm_face(0, 1).rank_unconfirmed() == ((1, 1), (0, 0), (1, 0))
    assert draft.rank_unconfirmed() == (
        (0, 1),
        (1, 1),
        (0, 0),
        (1, 0),
    )  # not changed itself


def test_a_person_has_the_last_word() -> None:
    draft = drafted("a.jpg").relabel_face(0, 1, Label.INCORRECT).remove_face(0, 0)
    draft = draft.add_face(0, (30, 70, 5, 60), Label.NO_MASK)
    faces = draft.images[0].faces
    assert [face.label for face in faces] == [Label.INCORRECT, Label.NO_MASK]
    assert faces[1].box == (5, 60, 30, 70)
    assert all(face.confirmed and face.confidence == 1 for face in faces)
    assert draft.rank_unconfirmed() == ()


@pytest.mark.parametrize(
    "box", [(5, 5, 5, 20), (100, 5, 120, 20), (float("nan"), 5, 9, 9)]
)
def test_a_box_that_shows_nothing_is_refused(
    box: tuple[float, float, float, float],
) -> None:
    with pytest.raises(ValueError, match="empty or outside the image"):
        drafted("a.jpg").add_face(0, box, Label.MASK)


def test_a_box_over_the_border_is_cut() -> None:
    face = drafted("a.jpg").add_face(0, (-5, 5, 20, 200), Label.MASK).images[0].faces[2]
    assert face.box == (0, 5, 20, 80)


def test_unconfirmed_faces_are_unknown_and_untouched_pictures_left_out() -> None:
    loaded = drafted("a.jpg", "b.jpg").confirm_face(0, 0).to_dataset("mine")
    assert loaded.ground_truth.name == "mine"
    assert loaded.ground_truth.names == ("a.jpg",)
    assert loaded.ground_truth.labels.tolist() == [Label.MASK, Label.UNKNOWN]
    assert loaded.notes == (
        "1 image (b.jpg): nobody confirmed anything in it; left out",
    )
    assert loaded.images.read_bytes(0) == make_jpeg(0)


def test_a_complete_picture_counts_without_a_face() -> None:
    draft = (
        drafted("a.jpg", "b.jpg").confirm_face(0, 0).remove_face(1, 0).remove_face(1, 0)
    )
    loaded = draft.complete_image(1).to_dataset()
    assert loaded.ground_truth.names == ("a.jpg", "b.jpg")
    assert loaded.ground_truth.faces.image_indices.tolist() == [0, 0]


def test_nothing_confirmed_is_nothing_to_tune_on() -> None:
    with pytest.raises(ValueError, match="no face is confirmed yet"):
        drafted("a.jpg").to_dataset()


def test_the_coco_file_is_read_by_the_strict_reader(tmp_path: Path) -> None:
    draft = drafted("a.jpg").relabel_face(0, 0, Label.INCORRECT)
    (tmp_path / "labels.json").write_bytes(draft.to_coco())
    (tmp_path / "a.jpg").write_bytes(make_jpeg(0))
    (example,) = read_dataset(tmp_path / "labels.json")
    assert example.labels == (Label.INCORRECT,)
    assert example.boxes.tolist() == [[10, 10, 40, 50]]
    assert example.ignore_boxes.tolist() == [[50, 10, 80, 50]]
    assert (
        str(tmp_path.anchor)
        not in json.loads(draft.to_coco())["images"][0]["file_name"]
    )


def test_a_packed_draft_comes_back_the_same() -> None:
    draft = drafted("a.jpg", "b.jpg", "c.jpg").complete_image(0).confirm_face(2, 1)
    there, back = draft.to_dataset(), import_dataset(draft.to_zip())
    assert back.ground_truth.names == there.ground_truth.names == ("a.jpg", "c.jpg")
    known = there.ground_truth.labels != Label.UNKNOWN
    assert sorted(back.ground_truth.labels) == sorted(there.ground_truth.labels)
    assert there.ground_truth.labels[known].tolist() == [0, 1, 1]
    assert np.array_equal(
        back.ground_truth.faces.boxes[back.ground_truth.labels >= 0],
        there.ground_truth.faces.boxes[known],
    )
    assert back.notes == ()


def test_names_lose_their_folders_and_stay_apart() -> None:
    draft = drafted("a.jpg", "x/a.jpg", "C:\\me\\a.jpg", "../../etc/p.jpg", "\n.png")
    names = [picture.name for picture in draft.images]
    assert names == ["a.jpg", "a-2.jpg", "a-3.jpg", "p.jpg", "png.jpg"]


def test_unreadable_pictures_are_noted_and_none_left_is_refused() -> None:
    analyzer = ScriptedAnalyzer(lambda _: [SURE])
    draft = create_draft([("a.jpg", make_jpeg()), ("b.gif", b"GIF89a")], analyzer)
    assert len(draft.images) == 1
    assert draft.notes[0].startswith("1 image (b.gif): the image is damaged")
    with pytest.raises(ValueError, match="no image can be read; 1 image"):
        create_draft([("b.gif", b"GIF89a")], analyzer)


def test_drafting_tells_how_far_it_is_and_can_be_stopped() -> None:
    done: list[int] = []
    with pytest.raises(CancelledError):
        create_draft(
            [(f"{i}.jpg", make_jpeg(i)) for i in range(3)],
            ScriptedAnalyzer(lambda _: []),
            progress=lambda n, total: done.append(n),
            cancelled=lambda: len(done) == 2,
        )
    assert done == [1, 2]
