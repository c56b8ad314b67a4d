"""Labelled pictures from disk, checked and split before anybody trains on them."""

from __future__ import annotations

from maskdet.datasets.archives import DatasetError
from maskdet.datasets.class_names import (
    ClassNames,
    label_from_name,
    parse_class_names,
)
from maskdet.datasets.corrections import corrected
from maskdet.datasets.examples import SPLITS, Example, class_counts, of_split
from maskdet.datasets.issues import Issues
from maskdet.datasets.loading import TrainingData, load_training_data
from maskdet.datasets.reading import read_any
from maskdet.datasets.report import DataReport
from maskdet.datasets.splits import split_by_group

__all__ = [
    "SPLITS",
    "ClassNames",
    "DataReport",
    "DatasetError",
    "Example",
    "Issues",
    "TrainingData",
    "class_counts",
    "corrected",
    "label_from_name",
    "load_training_data",
    "of_split",
    "parse_class_names",
    "read_any",
    "split_by_group",
]
