from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from maskdet.datasets import read_dataset
from maskdet.evaluation.labelled_set import import_dataset
from maskdet.tuning.annotation import Draft, create_draft
from maskdet.types import Label
from tests.helpers.fakes import ScriptedAnalyzer, ScriptedFace
from tests.helpers.zipped_datasets import make_jpeg

CONFIDENT = ScriptedFace((10, 10, 40, 50), (0.95, 0.03, 0.02), score=0.9)
UNSURE = ScriptedFace((50, 10, 80, 50), (0.3, 0.45, 0.25), score=0.8)


def make_draft(*names: str) -> Draft:
    analyzer = ScriptedAnalyzer(lambda _: [CONFIDENT, UNSURE])
    return create_draft(
        [(name, make_jpeg(i)) for i, name in enumerate(names)], analyzer
    )


def test_a_draft_has_the_faces_of_the_analyzer() -> None:
    draft = make_draft("a.jpg")
    image = draft.images[0]
    assert image.size_wh == (90, 80)
    assert [face.label for face in image.faces] == [Label.MASK, Label.NO_MASK]
    assert image.faces[1].box == (50, 10, 80, 50)
    assert image.faces[0].confidence == pytest.approx(0.95)
    assert not any(face.confirmed for face in image.faces)
    assert draft.load_image(0).shape == (80, 90, 3)


def test_unconfirmed_faces_are_ranked_by_uncertainty() -> None:
    draft = make_draft("a.jpg", "b.jpg")
    assert draft.rank_unconfirmed() == ((0, 1), (1, 1), (0, 0), (1, 0))
    assert draft.relabel_face(0, 1, Label.MASK).rank_unconfirmed() == (
        (1, 1),
        (0, 0),
        (1, 0),
    )
    assert draft.rank_unconfirmed() == (
        (0, 1),
        (1, 1),
        (0, 0),
        (1, 0),
    )  # drafts are immutable


def test_only_confirmed_faces_with_a_class_are_counted() -> None:
    draft = make_draft("a.jpg", "b.jpg")
    assert draft.count_labelled() == 0
    draft = draft.relabel_face(0, 1, Label.MASK).remove_face(0, 0)
    assert draft.count_labelled() == 1
    assert draft.relabel_face(1, 0, Label.UNKNOWN).count_labelled() == 1
    assert draft.complete_image(1).count_labelled() == 3


def test_a_person_can_correct_the_faces() -> None:
    draft = make_draft("a.jpg").relabel_face(0, 1, Label.INCORRECT).remove_face(0, 0)
    draft = draft.add_face(0, (30, 70, 5, 60), Label.NO_MASK)
    faces = draft.images[0].faces
    assert [face.label for face in faces] == [Label.INCORRECT, Label.NO_MASK]
    assert faces[1].box == (5, 60, 30, 70)
    assert all(face.confirmed and face.confidence == 1 for face in faces)
    assert draft.rank_unconfirmed() == ()


@pytest.mark.parametrize(
    "box", [(5, 5, 5, 20), (100, 5, 120, 20), (float("nan"), 5, 9, 9)]
)
def test_an_empty_box_is_rejected(
    box: tuple[float, float, float, float],
) -> None:
    with pytest.raises(ValueError, match="empty or outside the image"):
        make_draft("a.jpg").add_face(0, box, Label.MASK)


def test_a_box_over_the_border_is_clipped() -> None:
    face = (
        make_draft("a.jpg").add_face(0, (-5, 5, 20, 200), Label.MASK).images[0].faces[2]
    )
    assert face.box == (0, 5, 20, 80)


def test_unconfirmed_faces_are_unknown_and_unreviewed_images_left_out() -> None:
    draft = make_draft("a.jpg", "b.jpg").relabel_face(0, 0, Label.MASK)
    loaded = draft.to_dataset("mine")
    assert loaded.ground_truth.name == "mine"
    assert loaded.ground_truth.names == ("a.jpg",)
    assert loaded.ground_truth.labels.tolist() == [Label.MASK, Label.UNKNOWN]
    assert loaded.notes == ("1 image (b.jpg): no label in it is confirmed; left out",)
    assert loaded.images.read_bytes(0) == make_jpeg(0)


def test_a_complete_image_without_a_face_is_in_the_set() -> None:
    draft = (
        make_draft("a.jpg", "b.jpg")
        .relabel_face(0, 0, Label.MASK)
        .remove_face(1, 0)
        .remove_face(1, 0)
    )
    loaded = draft.complete_image(1).to_dataset()
    assert loaded.ground_truth.names == ("a.jpg", "b.jpg")
    assert loaded.ground_truth.faces.image_indices.tolist() == [0, 0]


def test_a_draft_without_confirmed_faces_has_no_dataset() -> None:
    with pytest.raises(ValueError, match="no face is confirmed; confirm or correct"):
        make_draft("a.jpg").to_dataset()


def test_the_strict_reader_reads_the_coco_file(tmp_path: Path) -> None:
    draft = make_draft("a.jpg").relabel_face(0, 0, Label.INCORRECT)
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


def test_the_zip_of_a_draft_can_be_imported() -> None:
    draft = make_draft("a.jpg", "b.jpg", "c.jpg").complete_image(0)
    draft = draft.relabel_face(2, 1, Label.NO_MASK)
    expected, imported = draft.to_dataset(), import_dataset(draft.to_zip())
    assert (
        imported.ground_truth.names == expected.ground_truth.names == ("a.jpg", "c.jpg")
    )
    known = expected.ground_truth.labels != Label.UNKNOWN
    assert sorted(imported.ground_truth.labels) == sorted(expected.ground_truth.labels)
    assert expected.ground_truth.labels[known].tolist() == [0, 1, 1]
    assert np.array_equal(
        imported.ground_truth.faces.boxes[imported.ground_truth.labels >= 0],
        expected.ground_truth.faces.boxes[known],
    )
    assert imported.notes == ()


def test_image_names_have_no_folders_and_are_unique() -> None:
    draft = make_draft("a.jpg", "x/a.jpg", "C:\\me\\a.jpg", "../../etc/p.jpg", "\n.png")
    names = [image.name for image in draft.images]
    assert names == ["a.jpg", "a-2.jpg", "a-3.jpg", "p.jpg", "png.jpg"]


def test_unreadable_images_are_noted_and_an_empty_draft_is_rejected() -> None:
    analyzer = ScriptedAnalyzer(lambda _: [CONFIDENT])
    draft = create_draft([("a.jpg", make_jpeg()), ("b.gif", b"GIF89a")], analyzer)
    assert len(draft.images) == 1
    assert draft.notes[0].startswith("1 image (b.gif): the image is damaged")
    with pytest.raises(ValueError, match="no image can be read; 1 image"):
        create_draft([("b.gif", b"GIF89a")], analyzer)


def test_drafting_reports_progress() -> None:
    done: list[int] = []
    create_draft(
        [(f"{i}.jpg", make_jpeg(i)) for i in range(3)],
        ScriptedAnalyzer(lambda _: []),
        progress=lambda n, total: done.append(n),
    )
    assert done == [1, 2, 3]
