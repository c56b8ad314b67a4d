"""Class names of data sets and their custom mapping."""

from __future__ import annotations

import pytest

from maskdet.cli import main
from maskdet.datasets import (
    ClassNames,
    Issues,
    label_from_name,
    parse_class_names,
    read_dataset,
)
from maskdet.datasets.reading import ClassesError
from maskdet.evaluation.labelled_set import import_dataset
from maskdet.types import Label
from tests.helpers.datasets import write_image, write_text
from tests.helpers.zipped_datasets import make_coco_json, make_jpeg, make_zip

MASK, NO_MASK, INCORRECT = Label.MASK, Label.NO_MASK, Label.INCORRECT


@pytest.mark.parametrize(
    ("names", "label"),
    [
        (["masked_face", "CMFD", "Masked Face", "with-mask"], MASK),
        (["unmasked_face", "NO-Mask", "face_unmasked"], NO_MASK),
        (
            ["incorrectly_masked_face", "IMFD", "Mask_Chin", "Mask_Nose_Mouth"],
            INCORRECT,
        ),
        (["avec masque", "con mascarilla", "mit Maske", "com máscara"], MASK),
        (["SANS MASQUE", "sin_mascarilla", "ohne Maske", "sem máscara"], NO_MASK),
        (["mal porté", "mascarilla incorrecta", "Maske falsch"], INCORRECT),
        (["戴口罩", "マスクあり", "в маске", "마스크", "Đeo khẩu trang"], MASK),
        (["未戴口罩", "マスクなし", "без маски", "không đeo khẩu trang"], NO_MASK),
    ],
)
def test_names_of_public_data_sets_and_languages_are_known(names, label) -> None:
    assert [label_from_name(name) for name in names] == [label] * len(names)


def test_unknown_names_are_rejected() -> None:
    for name in ("helmet", "", "invalid_face", "person"):
        with pytest.raises(ValueError, match="unknown class"):
            label_from_name(name)
    assert ClassNames().target("invalid_face") == "ignore"


def test_custom_mapping_overrides_known_names() -> None:
    classes = parse_class_names(["Hard Hat=none, a=b=mask", "mask=no_mask"])
    assert classes.label("hard-hat") is None
    assert classes.label("A=B") is MASK
    assert classes.label("Mask") is NO_MASK
    assert classes.label("no_mask") is NO_MASK
    assert classes.label("person") is Label.UNKNOWN


@pytest.mark.parametrize("text", ["helmet", "=mask", "a=scarf", "a=", ""])
def test_invalid_mappings_are_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="mask, no_mask, incorrect, ignore, none"):
        parse_class_names([text])


PPE = make_coco_json(
    {"a.jpg": [([1.0, 1, 20, 20], kind) for kind in (1, 2, 3)]},
    classes=("Mask", "Hardhat", "Person", "Safety Cone"),
)


def test_an_unknown_name_stops_in_one_line(tmp_path) -> None:
    write_text(tmp_path / "x.json", PPE)
    write_image(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="unknown class") as stopped:
        read_dataset(tmp_path)
    line = str(stopped.value)
    assert "2 faces (Hardhat, Person): unknown class; first in x.json" in line
    assert '--classes "Hardhat=ignore,Person=ignore"' in line
    assert "Cone" not in line


def test_ignored_boxes_are_kept_and_none_boxes_discarded(tmp_path) -> None:
    write_text(tmp_path / "x.json", PPE)
    write_image(tmp_path / "a.jpg")
    issues = Issues()
    classes = ClassNames({"hardhat": "ignore", "person": "none"})
    (only,) = read_dataset(tmp_path, classes=classes, issues=issues)
    assert only.labels == (MASK,)
    assert len(only.ignore_boxes) == 1
    assert issues.notes() == ("1 face (Hardhat): ignored class",)
    loaded = import_dataset(
        make_zip({"x.json": PPE, "a.jpg": make_jpeg()}), classes=classes
    )
    assert loaded.ground_truth.labels.tolist() == [MASK, Label.UNKNOWN]
    assert loaded.class_word_counts == {"Mask": 1, "Hardhat": 1, "Person": 1}


def test_whole_images_of_an_ignored_class_are_left_out(tmp_path) -> None:
    for name in ("mask/a.jpg", "cats/b.jpg", "dogs/c.jpg"):
        write_image(tmp_path / name)
    classes = ClassNames({"cats": "ignore", "dogs": "none"})
    assert [one.path.name for one in read_dataset(tmp_path, classes=classes)] == [
        "a.jpg"
    ]


def test_folders_may_have_any_name(tmp_path) -> None:
    write_image(tmp_path / "photos" / "a.jpg")
    (only,) = read_dataset(tmp_path, classes=ClassNames({"photos": "incorrect"}))
    assert only.labels == (INCORRECT,)


def test_classes_without_names_can_be_mapped(tmp_path) -> None:
    write_image(tmp_path / "images" / "a.jpg")
    write_text(tmp_path / "labels" / "a.txt", "0 0.5 0.5 0.4 0.4\n7 0.5 0.5 0.2 0.2\n")
    with pytest.raises(ValueError, match='"class 0=ignore,class 7=ignore"'):
        read_dataset(tmp_path)
    classes = ClassNames({"class 0": "mask", "class 7": "none"})
    assert read_dataset(tmp_path, classes=classes)[0].labels == (MASK,)


def test_a_data_set_without_a_known_class_lists_its_names() -> None:
    content = make_zip(
        {"x.json": make_coco_json({"a.jpg": [([1.0, 1, 9, 9], 1)]}, ("cap",))}
    )
    content = make_zip(
        {
            "x.json": make_coco_json({"a.jpg": [([1.0, 1, 9, 9], 1)]}, ("cap",)),
            "a.jpg": make_jpeg(),
        }
    )
    with pytest.raises(ClassesError, match=r"1 face \(cap\): unknown class") as stopped:
        import_dataset(content)
    assert stopped.value.name_counts == {"cap": 1}


@pytest.mark.parametrize(
    "words",
    [["data"], ["evaluate", "scenes"], ["evaluate"], ["evaluate", "analyzers"]],
)
def test_commands_take_classes(tmp_path, capsys, words) -> None:
    write_text(tmp_path / "x.json", PPE)
    write_image(tmp_path / "a.jpg")
    data = [*words, str(tmp_path)]
    if words[-1] == "analyzers":
        data += ["--names", "haar"]
    if words[0] == "evaluate" and words[-1] != "analyzers":
        data += ["--boxes", "ground_truth"]
    assert main(data) == 1
    captured = capsys.readouterr()
    assert '--classes "Hardhat=ignore,Person=ignore"' in captured.out + captured.err
    assert main([*data, "--classes", "hardhat=none,person=none"]) == 0
    assert main([*data, "--classes", "hardhat"]) == 1
    assert "--classes: expected NAME=CLASS" in capsys.readouterr().err


def test_tune_accepts_classes_and_shows_the_option(tmp_path, capsys) -> None:
    write_text(
        tmp_path / "x.json",
        make_coco_json({"a.jpg": [([1.0, 1, 20, 20], 1)]}, ("cap",)),
    )
    write_image(tmp_path / "a.jpg")
    assert main(["tune", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert 'as in --classes "cap=ignore"' in error
    assert error.count("\n") == 1
