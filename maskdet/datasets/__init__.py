"""Labelled pictures from disk, checked and split before anybody trains on them."""

from __future__ import annotations

from maskdet.datasets.coco import read_coco
from maskdet.datasets.corrections import corrected
from maskdet.datasets.examples import (
    SPLITS,
    Example,
    class_counts,
    label_from_name,
)
from maskdet.datasets.faces import read_folder, read_index
from maskdet.datasets.files import PICTURE_SUFFIXES
from maskdet.datasets.loading import TrainingData, load_training_data
from maskdet.datasets.reading import read_any
from maskdet.datasets.report import DataReport
from maskdet.datasets.splits import split_by_group
from maskdet.datasets.voc import read_voc
from maskdet.datasets.yolo import read_yolo

__all__ = [
    "PICTURE_SUFFIXES",
    "SPLITS",
    "DataReport",
    "Example",
    "TrainingData",
    "class_counts",
    "corrected",
    "label_from_name",
    "load_training_data",
    "read_any",
    "read_coco",
    "read_folder",
    "read_index",
    "read_voc",
    "read_yolo",
    "split_by_group",
]
