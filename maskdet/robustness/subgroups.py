"""Compare the accuracy between groups of people."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from maskdet.classifier import Classifier
from maskdet.datasets import Example
from maskdet.datasets.files import read_text
from maskdet.media import read_image
from maskdet.metrics.classification import is_predicted_unmasked
from maskdet.metrics.intervals import Estimate, MetricsReport, proportion_of
from maskdet.metrics.slices import compare_with_rest
from maskdet.types import Label

ALL_FACES: Final = "all"
"""Name of the report on all faces."""

SubgroupsByFace = Mapping[tuple[str, int], frozenset[str]]
"""Groups by file name and index of the face in it."""


@dataclass(frozen=True)
class SubgroupReport(MetricsReport):
    """Accuracy of mask against no mask in one group.

    Attributes:
        subgroup: the group, or `all`.
        accuracy: accuracy within the group.
        unmasked_accuracy: accuracy of its unmasked faces.
        accuracy_difference: `accuracy` minus that of all other faces, with Newcombe's
            interval.
        is_worse: whether the accuracy is significantly lower than that of the others.
    """

    subgroup: str
    accuracy: Estimate
    unmasked_accuracy: Estimate
    accuracy_difference: Estimate
    is_worse: bool


def read_subgroups(path: str | Path) -> SubgroupsByFace:
    """Read a CSV file with the columns `file`, `face` and `groups`.

    `face` is the index of the box in the image, from 0; `groups` contains names
    separated by spaces. Faces without a group are part of the rest.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: a column is missing or `face` is not a number.
    """
    rows = csv.DictReader(io.StringIO(read_text(Path(path))))
    for column in ("file", "face", "groups"):
        if column not in (rows.fieldnames or ()):
            raise ValueError(f"{path}: the column {column!r} is missing")
    try:
        return {
            (row["file"], int(row["face"])): frozenset(row["groups"].split())
            for row in rows
        }
    except ValueError:
        raise ValueError(f"{path}: `face` must be an integer") from None


def compare_subgroups(
    classifier: Classifier, examples: Iterable[Example], groups: SubgroupsByFace
) -> list[SubgroupReport]:
    """Classify the listed faces and compare each group with all others.

    Args:
        classifier: the classifier; incorrectly worn counts as masked.
        examples: scenes with the listed faces.
        groups: from `read_subgroups`.

    Returns:
        `all` first, then the groups by name.

    Raises:
        ValueError: none of the listed faces is in `examples`.
    """
    unmasked: list[bool] = []
    correct: list[bool] = []
    member_groups: list[frozenset[str]] = []
    for example in examples:
        name = example.path.name
        rows = [row for row in range(len(example.boxes)) if (name, row) in groups]
        if not rows:
            continue
        probs = classifier.predict(read_image(example.path), example.boxes[rows])
        is_true = example.label_values[rows] == Label.NO_MASK
        unmasked += is_true.tolist()
        correct += (is_predicted_unmasked(probs) == is_true).tolist()
        member_groups += [groups[name, row] for row in rows]
    if not correct:
        raise ValueError("none of the faces listed with groups is in the data")
    is_unmasked, is_correct = np.array(unmasked), np.array(correct)
    reports = []
    for name in (ALL_FACES, *sorted(frozenset[str]().union(*member_groups))):
        in_group = np.array(
            [name == ALL_FACES or name in face_groups for face_groups in member_groups]
        )
        rate, difference, is_worse = compare_with_rest(is_correct, in_group)
        unmasked_rate = proportion_of(is_correct[in_group & is_unmasked])
        reports.append(SubgroupReport(name, rate, unmasked_rate, difference, is_worse))
    return reports
