"""Layouts of exported and moved data sets in the strict and the lenient reader."""

from __future__ import annotations

import unicodedata
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import pytest

from maskdet.datasets import Issues, read_dataset
from maskdet.datasets.archives import ZipFiles
from maskdet.datasets.files import DatasetFiles
from maskdet.evaluation.labelled_set import import_dataset
from maskdet.types import Label
from tests.helpers.datasets import write_image
from tests.helpers.zipped_datasets import make_coco_json, make_jpeg, make_zip

BOX = "0.5 0.5 0.4 0.5"
CORNERS = [27.0, 20.0, 63.0, 60.0]
POLYGON = "0.3 0.25 0.7 0.25 0.7 0.75 0.5 0.75 0.3 0.75"

Contents = Mapping[str, str | bytes]


def lay(folder: Path, contents: Contents) -> Path:
    """Write a set, its images and its labels."""
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name).write_bytes(data)
    return folder


def truths(folder: Path, contents: Contents) -> list[tuple[list[float], Label]]:
    """Return box and label of each face; both readers must agree."""
    examples = read_dataset(lay(folder, contents))
    strict = [
        (box.tolist(), label)
        for one in examples
        for box, label in zip(one.boxes, one.labels, strict=True)
    ]
    truth = import_dataset(make_zip(contents)).ground_truth
    lenient = list(zip(truth.faces.boxes.tolist(), truth.labels, strict=True))
    assert len(strict) == len(lenient)
    for (box, label), (other, same) in zip(
        sorted(strict), sorted(lenient), strict=True
    ):
        assert box == pytest.approx(other, abs=1e-3)
        assert label == same
    return strict


def bbox_coco(*names: str) -> str:
    return make_coco_json({name: [([27.0, 20, 36, 40], 1)] for name in names})


def yolo(extra: Contents | None = None, line: str = f"0 {BOX}\n") -> dict:
    return {
        "data.yaml": "names: [mask, no_mask]\ntrain: images\n",
        "images/a.jpg": make_jpeg(1),
        "labels/a.txt": line,
        **(extra or {}),
    }


LAYOUTS: dict[str, Contents] = {
    "cvat": {
        "annotations/instances_default.json": bbox_coco("a.jpg"),
        "images/a.jpg": make_jpeg(1),
    },
    "cvat, split": {
        "annotations/instances_train2017.json": bbox_coco("a.jpg"),
        "train/a.jpg": make_jpeg(1),
        "val/a.jpg": make_jpeg(2),
    },
    "label studio, windows": {
        "result.json": bbox_coco("images\\a.jpg"),
        "images/a.jpg": make_jpeg(1),
    },
    "windows, absolute": {
        "result.json": bbox_coco("C:\\Users\\me\\set\\images\\a.jpg"),
        "images/a.jpg": make_jpeg(1),
    },
    "absolute": {
        "x.json": bbox_coco("/home/me/set/a.jpg"),
        "deep/er/a.jpg": make_jpeg(1),
    },
    "address": {
        "x.json": bbox_coco("http://host:8080/data/upload/1/a%20b.jpg?d=1"),
        "images/a b.jpg": make_jpeg(1),
    },
    "tail of the path decides": {
        "x.json": bbox_coco("/home/me/two/a.jpg"),
        "one/a.jpg": make_jpeg(2),
        "two/a.jpg": make_jpeg(1),
    },
    "polygons without a bbox": {
        "x.json": bbox_coco("a.jpg").replace(
            '"bbox": [27.0, 20, 36, 40]',
            '"bbox": [], "segmentation": [[27, 20, 63, 20, 63, 60]]',
        ),
        "a.jpg": make_jpeg(1),
    },
    "roboflow, test not exported": {
        "data.yaml": "names: ['mask']\ntrain: ../train/images\ntest: ../test/images\n",
        "train/images/a.jpg": make_jpeg(1),
        "train/labels/a.txt": f"0 {BOX}",
    },
    "paths of another machine": {
        "data.yaml": "names: [mask]\npath: /content/set\ntrain: /content/set/train\n",
        "train/images/a.jpg": make_jpeg(1),
        "train/labels/a.txt": f"0 {BOX}",
    },
    "darknet": {
        "obj.data": "classes = 1\nnames = data/obj.names\ntrain = data/train.txt\n",
        "obj.names": "mask\n",
        "train.txt": "data/obj_train_data/a.jpg\n",
        "obj_train_data/a.jpg": make_jpeg(1),
        "obj_train_data/a.txt": f"0 {BOX}",
    },
    "nearest class list": {
        "labels/train/classes.txt": "mask\nno_mask\n",
        "labels/train/a.txt": f"0 {BOX}",
        "images/train/a.jpg": make_jpeg(1),
        "classes.txt": "no_mask\nmask\n",
    },
    "labels.TXT": yolo({"labels/a.txt": "", "images/b.jpg": make_jpeg(2)})
    | {"labels/b.TXT": f"0 {BOX}"},
    "a.jpg.txt": {
        "data.yaml": "names: [mask]\ntrain: images\n",
        "images/a.jpg": make_jpeg(1),
        "labels/a.jpg.txt": f"0 {BOX}",
    },
    "polygons": yolo(line=f"0 {POLYGON}\n"),
    "polygon with a confidence": yolo(line=f"0 {POLYGON} 0.9\n"),
    "confidence": yolo(line=f"0 {BOX} 0.93\n"),
    "class 0.0": yolo(line=f"0.0 {BOX}\n"),
    "landmarks": yolo(line=f"0 {BOX} {'0.5 0.5 2 ' * 5}\n")
    | {"data.yaml": "names: [mask]\ntrain: images\nkpt_shape: [5, 3]\n"},
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_both_readers_return_the_same_face(tmp_path: Path, name: str) -> None:
    ((box, label),) = truths(tmp_path, LAYOUTS[name])
    assert box == pytest.approx(CORNERS, abs=1e-3)
    assert label is Label.MASK


@pytest.mark.parametrize("mark", ["", " 1"])
def test_five_landmarks_after_a_box_are_not_a_polygon(tmp_path, mark) -> None:
    points = ["0.42 0.4", "0.58 0.4", "0.5 0.52", "0.44 0.6", "0.56 0.6"]
    line = f"0 {BOX} {' '.join(point + mark for point in points)}\n"
    ((box, _),) = truths(tmp_path, yolo(line=line))
    assert box == pytest.approx(CORNERS, abs=1e-3)


@pytest.mark.parametrize(
    ("start", "is_image"),
    [
        (b"\x89PNG\r\n\x1a\n", True),
        (b"BM" + bytes(12) + b"\x28\0\0\0", True),
        (b"P6 9 9 255\n", True),
        (b"\0\0\0\x18ftypheic", True),
        (b"a plain text", False),
    ],
)
def test_a_file_without_a_known_suffix_is_an_image_by_its_content(start, is_image):
    content = make_zip({"images/first": start + bytes(60), "images/b.txt": start})
    files = DatasetFiles(ZipFiles(content))
    assert files.images == (("images/first",) if is_image else ())


def test_a_polygon_as_long_as_five_landmarks_is_a_polygon(tmp_path) -> None:
    corners = "0.3 0.25 0.5 0.25 0.7 0.25 0.7 0.5 0.7 0.75 0.5 0.75 0.3 0.75"
    ((box, _),) = truths(tmp_path, yolo(line=f"0 {corners}\n"))
    assert box == pytest.approx(CORNERS, abs=1e-3)


def test_a_quoted_name_may_contain_a_comment_sign(tmp_path: Path) -> None:
    names = {"data.yaml": "names:\n- 'mask # one'\ntrain: images\n"}
    with pytest.raises(ValueError, match=r"1 face \(mask # one\): unknown class"):
        read_dataset(lay(tmp_path, yolo() | names))


def test_lines_of_both_kinds_may_be_mixed(tmp_path: Path) -> None:
    lines = f"0 {POLYGON}\n1 {BOX}\n0 {BOX} 0.5\n"
    found = truths(tmp_path, yolo(line=lines))
    assert [label for _, label in found] == [Label.MASK, Label.NO_MASK, Label.MASK]


@pytest.mark.parametrize("line", ["0 0.1 0.1 0.5 0.1 0.5 1.5", "0.5 0 0 1 1", "0 1 2"])
def test_lines_that_are_neither_box_nor_polygon_are_rejected(
    tmp_path: Path, line: str
) -> None:
    with pytest.raises(
        ValueError, match=r"labels/a\.txt line 1\): expected class cx cy"
    ):
        read_dataset(lay(tmp_path, yolo(line=line)))


def test_a_split_that_was_not_exported_is_noted(tmp_path: Path) -> None:
    issues = Issues()
    folder = lay(tmp_path, LAYOUTS["roboflow, test not exported"])
    read_dataset(folder, issues=issues)
    assert "data.yaml: ../test/images): not found" in issues.notes()[0]


def test_class_folders_may_be_nested(tmp_path: Path) -> None:
    for name in ("x/dataset/with_mask/1/a.jpg", "x/dataset/train/without_mask/b.jpg"):
        write_image(tmp_path / name)
    first, second = read_dataset(tmp_path)
    assert first.labels == (Label.NO_MASK,)
    assert (second.labels, second.split) == ((Label.MASK,), "")
    assert first.split == "train"


@pytest.mark.parametrize("name", ["a.jfif", "a.jpe", "a.JPG", "noend", "a.bin"])
def test_images_are_detected_by_content(tmp_path, name) -> None:
    lay(tmp_path, {f"mask/{name}": make_jpeg(1), "mask/thumbs.dat": b"\0" * 99})
    assert [one.path.name for one in read_dataset(tmp_path)] == [name]


def test_an_unknown_format_lists_the_supported_ones(tmp_path) -> None:
    lay(tmp_path, {"photos/a.jpg": make_jpeg(1), "labels.json": "{}"})
    line = r"""not a data set: no labels found .*--classes "photos=mask"\); """
    with pytest.raises(ValueError, match=line + r"labels\.json: not a COCO file"):
        read_dataset(tmp_path)


def test_data_files_with_different_classes_are_reported(tmp_path) -> None:
    lay(tmp_path, yolo({"old.yaml": "names: [mask, no_mask]\n", "ci.yaml": "on: x\n"}))
    assert len(read_dataset(tmp_path)) == 1
    lay(tmp_path, {"old.yaml": "names: [no_mask, mask]\n"})
    with pytest.raises(ValueError, match=r"1 data file \(old\.yaml\): other class na"):
        read_dataset(tmp_path)
    assert len(read_dataset(tmp_path / "data.yaml")) == 1


# Labels without images.

ORPHANS: dict[str, tuple[Contents, str]] = {
    "misnamed": (
        yolo({"labels/lost.txt": f"0 {BOX}"}),
        r"1 label file \(labels/lost\.txt\): no image;",
    ),
    "all misnamed": (
        {
            "data.yaml": "names: [mask]\ntrain: images\n",
            "images/a.jpg": make_jpeg(1),
            "images/b.jpg": make_jpeg(2),
            "labels/frame_a.txt": f"0 {BOX}",
            "labels/frame_b.txt": f"0 {BOX}",
        },
        r"2 label files \(labels/frame_a\.txt, labels/frame_b\.txt\)",
    ),
    "both spellings": (
        yolo({"labels/a.jpg.txt": f"1 {BOX}"}),
        r"labels/a\.jpg\.txt\): no image;",
    ),
    "next to the image": (
        {
            "classes.txt": "mask\n",
            "a.jpg": make_jpeg(1),
            "a.txt": f"0 {BOX}",
            "c.txt": f"0 {BOX}",
        },
        r"c\.txt\): no image;",
    ),
    "coco annotation": (
        {
            "x.json": bbox_coco("a.jpg").replace('_id": 0', '_id": 5'),
            "a.jpg": make_jpeg(1),
        },
        r"x\.json: image_id 5\): its image is not listed",
    ),
    "coco id used twice": (
        {
            "x.json": bbox_coco("a.jpg", "b.jpg").replace('"id": 1,', '"id": 0,', 1),
            "a.jpg": make_jpeg(1),
            "b.jpg": make_jpeg(2),
        },
        r"1 image id \(x\.json: 0\): used by several images",
    ),
    "voc": (
        {
            "a.jpg": make_jpeg(1),
            "a.xml": "<annotation/>",
            "b.xml": "<annotation><filename>c.png</filename></annotation>",
        },
        r"1 XML file \(b\.xml\): its image c\.png is missing",
    ),
    "index row": (
        {"index.csv": "path,label\na.jpg,mask\nb.jpg,mask\n", "a.jpg": make_jpeg(1)},
        r"1 image \(b\.jpg\): listed in index\.csv, but the image does not exist",
    ),
    "another split's image": (
        {"x.json": bbox_coco("train/a.jpg"), "val/a.jpg": make_jpeg(1)},
        r"train/a\.jpg\): listed in x\.json, but the image does not exist",
    ),
}


@pytest.mark.parametrize("name", ORPHANS)
def test_labels_without_their_image_stop(tmp_path: Path, name: str) -> None:
    contents, line = ORPHANS[name]
    with pytest.raises((ValueError, FileNotFoundError), match=line):
        read_dataset(lay(tmp_path, contents))


UNLABELLED: dict[str, tuple[Contents, str]] = {
    "yolo": (
        yolo({"images/b.jpg": make_jpeg(2), "images/c.jpg": make_jpeg(3)}),
        "2 images without a label file (images/b.jpg, images/c.jpg): treated as an "
        "image without faces",
    ),
    "coco": (
        {
            "x.json": make_coco_json({"a.jpg": [([1.0, 1, 9, 9], 1)], "b.jpg": []}),
            "a.jpg": make_jpeg(1),
            "b.jpg": make_jpeg(2),
        },
        "1 image (b.jpg): no annotation; treated as an image without faces",
    ),
    "voc": (
        {"a.jpg": make_jpeg(1), "a.xml": "<annotation/>", "b.jpg": make_jpeg(2)},
        "1 image (b.jpg): no valid label; left out",
    ),
    "index": (
        {
            "index.csv": "path,label\na.jpg,mask\n",
            "a.jpg": make_jpeg(1),
            "b.jpg": make_jpeg(2),
        },
        "1 image (b.jpg): no valid label; left out",
    ),
}


@pytest.mark.parametrize("name", UNLABELLED)
def test_images_without_labels_are_counted(tmp_path: Path, name: str) -> None:
    contents, line = UNLABELLED[name]
    issues = Issues()
    read_dataset(lay(tmp_path, contents), issues=issues)
    assert line in issues.notes()


# Spelling of names.

NAME = "Prüfung é.jpg"


@pytest.mark.parametrize(
    "stored",
    [
        unicodedata.normalize("NFD", NAME),
        NAME.upper(),
        unicodedata.normalize("NFD", NAME.upper()),
        NAME.encode().decode("cp437"),
        NAME.encode("cp1252").decode("cp437"),
    ],
)
def test_names_in_the_spelling_of_another_system_match(tmp_path, stored: str) -> None:
    ((_, label),) = truths(
        tmp_path, {"x.json": bbox_coco(NAME), f"images/{stored}": make_jpeg(1)}
    )
    assert label is Label.MASK


def test_ambiguous_names_do_not_match(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {"x.json": bbox_coco("a.jpg"), "A.jpg": make_jpeg(1), "a.JPG": make_jpeg(2)},
    )
    with pytest.raises(FileNotFoundError, match=r"a\.jpg\): listed in x\.json"):
        read_dataset(tmp_path)


class Unflagged(zipfile.ZipInfo):
    """An entry in UTF-8 without the UTF-8 flag, as written by macOS."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - zipfile's
        return self.filename.encode(), self.flag_bits


def test_a_zip_without_the_utf8_flag_is_read() -> None:
    target = BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        made.writestr("x.json", bbox_coco(NAME))
        made.writestr(Unflagged(NAME), make_jpeg(1))
    assert import_dataset(target.getvalue()).ground_truth.labels.tolist() == [
        Label.MASK
    ]


# Indexes as Excel saves them.

INDEX = "Path;Label\r\nPrüfung.jpg;with_mask\r\nb.jpg;without_mask\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("hint", ["", "sep={}\r\n"])
def test_an_index_that_excel_saved_is_read(
    tmp_path: Path, encoding: str, separator: str, hint: str
) -> None:
    text = hint.format(separator) + INDEX.replace(";", separator)
    contents = {
        "index.csv": text.encode(encoding),
        "Prüfung.jpg": make_jpeg(1),
        "b.jpg": make_jpeg(2),
    }
    examples = read_dataset(lay(tmp_path, contents))
    assert [one.labels[0] for one in examples] == [Label.MASK, Label.NO_MASK]
    assert len(import_dataset(make_zip(contents)).ground_truth.names) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a;b\n1;2\n", r"the column 'path' is missing; expected .* got a, b"),
        (
            "filename,class,xmin\na.jpg,mask,1\n",
            "CSV files with boxes",
        ),
        ("path,label\na.jpg,\n", r"index\.csv: a\.jpg\): its label is empty"),
    ],
)
def test_other_tables_are_rejected_with_the_expected_columns(
    tmp_path, text, says
) -> None:
    with pytest.raises(ValueError, match=says):
        read_dataset(lay(tmp_path, {"index.csv": text, "a.jpg": make_jpeg(1)}))


# Encodings of XML.


@pytest.mark.parametrize("encoding", ["GB2312", "gbk", "utf-16", "iso-8859-1", "Big5"])
def test_voc_in_the_encoding_that_it_declares_is_read(tmp_path, encoding: str) -> None:
    name = "口罩.jpg" if encoding != "iso-8859-1" else "é.jpg"
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?><annotation><filename>{name}'
        "</filename><object><name>mask</name><bndbox><xmin>28</xmin><ymin>21</ymin>"
        "<xmax>63</xmax><ymax>60</ymax></bndbox></object></annotation>"
    )
    ((box, _),) = truths(tmp_path, {"a.xml": text.encode(encoding), name: make_jpeg(1)})
    assert box == pytest.approx(CORNERS)


def test_voc_in_gbk_without_declaration_is_read(tmp_path: Path) -> None:
    text = "<annotation><filename>口罩.jpg</filename></annotation>"
    (only,) = read_dataset(
        lay(tmp_path, {"a.xml": text.encode("gbk"), "口罩.jpg": make_jpeg(1)})
    )
    assert only.path.name == "口罩.jpg"


@pytest.mark.parametrize("encoding", ["rot13", "zip", "no-such", "base64"])
def test_an_invalid_encoding_is_reported_in_one_line(
    tmp_path: Path, encoding: str
) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><annotation/>'
    contents = {"a.jpg": make_jpeg(1), "a.xml": text}
    with pytest.raises(ValueError, match="not text in") as refused:
        read_dataset(lay(tmp_path, contents))
    assert str(refused.value).isprintable()
    with pytest.raises(ValueError, match="not text in"):
        import_dataset(make_zip(contents))
