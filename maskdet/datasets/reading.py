"""A path of any kind becomes examples: whatever format is found there is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from maskdet.datasets.coco import read_coco
from maskdet.datasets.examples import Example
from maskdet.datasets.faces import read_folder, read_index

UNDERSTOOD = (
    "index.csv (path, label), COCO (.json), Pascal VOC (.xml), YOLO (data.yaml, or "
    "images/ and labels/ with classes.txt), a folder for each class (mask/, no_mask/)"
)
"""What `read_any` can read, for people."""


def read_any(path: str | Path) -> list[Example]:
    """Read a file or folder of labelled pictures, whichever format it has.

    Raises:
        FileNotFoundError: there is nothing at `path`, or a listed picture is missing.
        ValueError: none of the formats is there, or what is there is broken.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder")
    return (_read_inside if path.is_dir() else _read_file)(path)


def _read_file(path: Path) -> list[Example]:
    readers: dict[str, Callable[[Path], list[Example]]] = {
        ".csv": read_index,
        ".json": read_coco,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path}: not a data set; understood are {UNDERSTOOD}")
    return reader(path)


def _read_inside(folder: Path) -> list[Example]:
    index = folder / "index.csv"
    if index.is_file():
        return read_index(index)
    return read_folder(folder)
