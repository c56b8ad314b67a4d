"""Read, check and split labelled images."""

from __future__ import annotations

from maskdet.datasets.archives import DatasetError
from maskdet.datasets.class_names import (
    ClassNames,
    label_from_name,
    parse_class_names,
)
from maskdet.datasets.corrections import apply_corrections
from maskdet.datasets.example import SPLITS, Example, count_faces_by_class, select_split
from maskdet.datasets.issues import Issues
from maskdet.datasets.loading import (
    DataReport,
    DataSplits,
    TrainingData,
    load_training_data,
)
from maskdet.datasets.reading import read_dataset
from maskdet.datasets.splits import split_by_group

__all__ = [
    "SPLITS",
    "ClassNames",
    "DataReport",
    "DataSplits",
    "DatasetError",
    "Example",
    "Issues",
    "TrainingData",
    "apply_corrections",
    "count_faces_by_class",
    "label_from_name",
    "load_training_data",
    "parse_class_names",
    "read_dataset",
    "select_split",
    "split_by_group",
]
