"""Pascal VOC: one XML file a picture, with the corners of its faces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath, PureWindowsPath
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from maskdet.boxes import Boxes
from maskdet.datasets.examples import Example, no_boxes, split_from_name
from maskdet.datasets.files import (
    PICTURE_SUFFIXES,
    boxes_inside,
    copies_group,
    files_in,
    label_in,
    listed_picture,
    picture_size_wh,
    split_of,
    text_of,
)
from maskdet.media import ImageReadError

_SUFFIX = ".xml"
_PICTURE_FOLDERS = ("images", "JPEGImages")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")

_MAX_BYTES = 16_000_000
"""A file of one picture's faces has a few kilobytes."""


class _NoDoctype(ElementTree.TreeBuilder):
    """Builds trees, but not of files that define entities of their own."""

    def doctype(self, *_: str | None) -> None:
        """Refuse before anything of the definition is read: entities can grow."""
        raise ValueError("it has a document type, which such files do not need")


def read_voc(path: str | Path) -> list[Example]:
    """Read Pascal VOC: one XML file, or a folder with any number below it.

    A picture is looked for by its `<filename>` or the name of the XML file: beside it,
    in `../images` and in `../JPEGImages`. `train/`, `val/` (or `valid/`) and `test/`
    folders and the lists in `ImageSets/Main` are understood as splits.

    Corners count pixels from 1 and belong to the box ("The PASCAL Visual Object Classes
    Challenge 2012 Development Kit", M. Everingham and J. Winn: the top-left pixel has
    the coordinates (1, 1)), so `xmin, xmax = 1, w` spans a picture `w` wide and becomes
    `x1, x2 = 0, w`. Boxes are cut at the picture's borders.

    Raises:
        FileNotFoundError: the file, folder or a picture is missing.
        ValueError: not VOC, an unknown class, or a box outside its picture.
    """
    path = Path(path)
    if not path.is_dir():
        return [_example(path, path.resolve().parent.name, "")]
    files = list(files_in(path, [_SUFFIX]))
    if not files:
        raise ValueError(f"{path}: no XML file found")
    lists = _split_lists(path)
    source = path.resolve().name
    return [
        _example(file, source, split_of(file, path) or lists.get(file.stem, ""))
        for file in files
    ]


def has_voc(folder: Path) -> bool:
    """Return whether there is an XML file in a folder or one below it."""
    return any(True for _ in files_in(folder, [_SUFFIX]))


def _split_lists(folder: Path) -> Mapping[str, str]:
    """Return the splits that `ImageSets/Main/train.txt` and its like give to stems."""
    return {
        line.split()[0]: split
        for file in sorted((folder / "ImageSets" / "Main").glob("*.txt"))
        if (split := split_from_name(file.stem))
        for line in text_of(file).splitlines()
        if line.split()
    }


def _example(file: Path, source: str, split: str) -> Example:
    root = _tree(file)
    picture = _picture(file, root)
    group = copies_group(picture)
    faces = [(voc_corners(found, file), found) for found in root.iter("object")]
    labels = tuple(
        label_in(file, (found.findtext("name") or "").strip()) for _, found in faces
    )
    try:
        size_wh = told_size_wh(root) or picture_size_wh(picture)
    except ImageReadError:
        # Whoever opens the picture is told; it has no pixels to place a box in.
        return Example(picture, no_boxes(), (), source, split, group)
    boxes = boxes_inside(np.array([box for box, _ in faces]), size_wh, str(file))
    return Example(picture, boxes, labels, source, split, group)


def _tree(file: Path) -> Element:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: there is no such file")
    if file.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{file}: larger than {_MAX_BYTES / 1e6:g} MB, not opened")
    return voc_tree(file.read_bytes(), file)


def voc_tree(content: bytes, file: PurePath) -> Element:
    """Return the `<annotation>` of a VOC file.

    Args:
        content: of the file.
        file: names it in a complaint.

    Raises:
        ValueError: it is not VOC.
    """
    parser = ElementTree.XMLParser(target=_NoDoctype())
    try:
        parser.feed(content)
        root = parser.close()
    except ElementTree.ParseError as error:
        raise ValueError(f"{file}: not valid XML: {error}") from None
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    if not isinstance(root, Element) or root.tag != "annotation":
        raise ValueError(f"{file}: not a Pascal VOC file, wanted <annotation>")
    return root


def _picture(file: Path, root: Element) -> Path:
    return listed_picture(map(Path, voc_places(file, root)), file)


def voc_places(file: PurePath, root: Element) -> Iterator[PurePath]:
    """Return where the picture of an XML file may lie, the best guess first."""
    named = _told_picture(root)
    folders = [file.parent]
    folders += [file.parent.parent / name for name in _PICTURE_FOLDERS]
    # VOC with splits keeps `Annotations/train/` and `images/train/` side by side.
    folders += [
        file.parent.parent.parent / name / file.parent.name for name in _PICTURE_FOLDERS
    ]
    names = [named] if named else []
    names += [file.stem + suffix for suffix in PICTURE_SUFFIXES]
    return (folder / name for name in names for folder in folders)


def _told_picture(root: Element) -> str:
    """Return the picture's name that the file tells, or nothing.

    Only its name: the folder is that of the machine where the file was made.
    """
    return PureWindowsPath((root.findtext("filename") or "").strip()).name


def told_size_wh(root: Element) -> tuple[int, int] | None:
    """Return the size that the file tells; some tools write none, or 0."""
    try:
        width = int(float(root.findtext("size/width") or 0))
        height = int(float(root.findtext("size/height") or 0))
    except (ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def voc_corners(found: Element, file: PurePath) -> Boxes:
    """Return `(4,)` `x1, y1, x2, y2` of an `<object>`.

    Raises:
        ValueError: a corner is no number.
    """
    try:
        values = [float(found.findtext(f"bndbox/{name}") or "") for name in _CORNERS]
    except ValueError:
        raise ValueError(
            f"{file}: a <bndbox> needs numbers in {', '.join(_CORNERS)}"
        ) from None
    first_pixel = np.array([1, 1, 0, 0])
    return np.array(values - first_pixel, dtype=np.float32)
