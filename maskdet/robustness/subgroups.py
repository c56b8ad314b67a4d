"""Groups of people: is one told wrong more often than the others?"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskdet.classifier import Classifier
from maskdet.datasets import Example
from maskdet.media import read_image
from maskdet.metrics.classification import Json
from maskdet.metrics.intervals import Estimate, proportion
from maskdet.metrics.slices import proportion_difference
from maskdet.types import Label

SubgroupsByFace = Mapping[tuple[str, int], frozenset[str]]
"""File name and number of the face in it, to the groups it was seen to belong to."""


@dataclass(frozen=True)
class SubgroupReport:
    """How often one group's faces are told right, mask against no mask.

    Attributes:
        name: the group, or `everybody`.
        accuracy: share right within the group.
        unmasked_accuracy: share of its bare faces that are told right.
        accuracy_difference: `accuracy` less that of all other faces, with Newcombe's
            interval.
    """

    name: str
    accuracy: Estimate
    unmasked_accuracy: Estimate
    accuracy_difference: Estimate

    @property
    def is_worse(self) -> bool:
        """Whether the group does worse by more than chance explains."""
        return self.accuracy_difference.high < 0

    def to_json(self) -> Json:
        """Return every number with its interval."""
        return {
            "group": self.name,
            "right": self.accuracy.to_json(),
            "bare_right": self.unmasked_accuracy.to_json(),
            "difference_to_the_rest": self.accuracy_difference.to_json(),
            "worse": self.is_worse,
        }


def read_subgroups(path: str | Path) -> SubgroupsByFace:
    """Read a CSV file with the columns `file`, `face` and `groups`.

    `face` counts the boxes of the image from 0; `groups` holds words with blanks
    between. A face without a word belongs to no group and is compared with.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing or `face` is no number.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        for column in ("file", "face", "groups"):
            if column not in (rows.fieldnames or ()):
                raise ValueError(f"{path}: the column {column!r} is missing")
        try:
            return {
                (row["file"], int(row["face"])): frozenset(row["groups"].split())
                for row in rows
            }
        except ValueError:
            raise ValueError(f"{path}: `face` must be a whole number") from None


def compare_subgroups(
    classifier: Classifier, examples: Iterable[Example], groups: SubgroupsByFace
) -> list[SubgroupReport]:
    """Label the listed faces and compare each group with everybody else.

    Args:
        classifier: gives the labels; incorrectly worn counts as masked.
        examples: scenes that hold the listed faces.
        groups: what `read_subgroups` gave.

    Returns:
        `everybody` first, then the groups by name.

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
        predicted_unmasked = probs[:, Label.NO_MASK] > 0.5
        is_unmasked = example.label_values[rows] == Label.NO_MASK
        unmasked += is_unmasked.tolist()
        correct += (predicted_unmasked == is_unmasked).tolist()
        member_groups += [groups[name, row] for row in rows]
    if not correct:
        raise ValueError("none of the faces that are listed with groups is in the data")
    return _build_reports(np.array(unmasked), np.array(correct), member_groups)


def _build_reports(
    unmasked: np.ndarray[tuple[int], np.dtype[np.bool_]],
    correct: np.ndarray[tuple[int], np.dtype[np.bool_]],
    member_groups: list[frozenset[str]],
) -> list[SubgroupReport]:
    names = sorted(frozenset().union(*member_groups))
    reports = []
    for name in ("everybody", *names):
        in_group = np.array(
            [
                name == "everybody" or name in face_groups
                for face_groups in member_groups
            ]
        )
        group_accuracy = proportion(int(correct[in_group].sum()), int(in_group.sum()))
        rest_accuracy = proportion(
            int(correct[~in_group].sum()), int((~in_group).sum())
        )
        unmasked_accuracy = proportion(
            int(correct[in_group & unmasked].sum()), int((in_group & unmasked).sum())
        )
        reports.append(
            SubgroupReport(
                name,
                group_accuracy,
                unmasked_accuracy,
                proportion_difference(group_accuracy, rest_accuracy),
            )
        )
    return reports
