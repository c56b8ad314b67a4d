"""Labelled pictures from disk, checked and split before anybody trains on them."""

from __future__ import annotations

from maskdet.datasets.coco import read_coco
from maskdet.datasets.examples import (
    SPLITS,
    Example,
    class_counts,
    label_from_name,
    split_from_name,
)
from maskdet.datasets.faces import read_folder, read_index
from maskdet.datasets.files import PICTURE_SUFFIXES

__all__ = [
    "PICTURE_SUFFIXES",
    "SPLITS",
    "Example",
    "class_counts",
    "label_from_name",
    "read_coco",
    "read_folder",
    "read_index",
    "split_from_name",
]
