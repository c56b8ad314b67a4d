"""A path of any kind becomes examples: whatever format is found there is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from maskdet.datasets.coco import is_coco, read_coco
from maskdet.datasets.examples import Example, split_from_name
from maskdet.datasets.faces import read_folder, read_index
from maskdet.datasets.files import folders_in
from maskdet.datasets.voc import has_voc, read_voc
from maskdet.datasets.yolo import has_yolo, read_yolo

UNDERSTOOD: Final = (
    "index.csv (path, label), COCO (.json), Pascal VOC (.xml), YOLO (data.yaml, or "
    "images/ and labels/ with classes.txt), a folder for each class (mask/, no_mask/)"
)
"""What `read_any` can read, for people."""

_READERS: Final[Mapping[str, Callable[[Path], list[Example]]]] = {
    ".csv": read_index,
    ".json": read_coco,
    ".xml": read_voc,
    ".yaml": read_yolo,
    ".yml": read_yolo,
}


def read_any(path: str | Path) -> list[Example]:
    """Read a file or folder of labelled pictures, whichever format it has.

    In a folder, an `index.csv` counts first, then YOLO's names of classes, then COCO
    files in it and in its split folders, all together, then VOC's XML files, then a
    folder for each class.

    Raises:
        FileNotFoundError: there is nothing at `path`, or a listed picture is missing.
        ValueError: none of the formats is there, or what is there is broken.
    """
    path = Path(path)
    if path.is_dir():
        return _read_inside(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path}: not a data set; understood are {UNDERSTOOD}")
    return reader(path)


def _read_inside(folder: Path) -> list[Example]:
    index = folder / "index.csv"
    if index.is_file():
        return read_index(index)
    if has_yolo(folder):
        return read_yolo(folder)
    coco_files = _coco_files(folder)
    if coco_files:
        return [one for file in coco_files for one in read_coco(file)]
    if has_voc(folder):
        return read_voc(folder)
    if not folders_in(folder):
        raise ValueError(f"{folder}: not a data set; understood are {UNDERSTOOD}")
    return read_folder(folder)


def _coco_files(folder: Path) -> list[Path]:
    splits = [one for one in folders_in(folder) if split_from_name(one.name)]
    return [
        file
        for place in (folder, *splits)
        for file in sorted(place.glob("*.json"))
        if is_coco(file)
    ]
