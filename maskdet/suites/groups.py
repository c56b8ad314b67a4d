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
from maskdet.metrics.estimate import Estimate, share
from maskdet.metrics.labelling import Json
from maskdet.metrics.slices import difference
from maskdet.types import Label

Groups = Mapping[tuple[str, int], frozenset[str]]
"""File name and number of the face in it, to the groups it was seen to belong to."""


@dataclass(frozen=True)
class GroupReport:
    """How often one group's faces are told right, mask against no mask.

    Attributes:
        name: the group, or `everybody`.
        right: share right within the group.
        bare: share of its bare faces that are told right.
        gap: `right` less that of all other faces, with Newcombe's interval.
    """

    name: str
    right: Estimate
    bare: Estimate
    gap: Estimate

    @property
    def worse(self) -> bool:
        """Whether the group does worse by more than chance explains."""
        return self.gap.high < 0

    def to_json(self) -> Json:
        """Return every number with its interval."""
        return {
            "group": self.name,
            "right": self.right.rounded(),
            "bare_right": self.bare.rounded(),
            "difference_to_the_rest": self.gap.rounded(),
            "worse": self.worse,
        }


def read_groups(path: str | Path) -> Groups:
    """Read a CSV file with the columns `file`, `face` and `groups`.

    `face` counts the boxes of the picture from 0; `groups` holds words with blanks
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


def compare_groups(
    classifier: Classifier, examples: Iterable[Example], groups: Groups
) -> list[GroupReport]:
    """Label the listed faces and compare each group with everybody else.

    Args:
        classifier: gives the labels; incorrectly worn counts as masked.
        examples: scenes that hold the listed faces.
        groups: what `read_groups` gave.

    Returns:
        `everybody` first, then the groups by name.

    Raises:
        ValueError: none of the listed faces is in `examples`.
    """
    bare: list[bool] = []
    right: list[bool] = []
    members: list[frozenset[str]] = []
    for example in examples:
        name = example.path.name
        rows = [row for row in range(len(example.boxes)) if (name, row) in groups]
        if not rows:
            continue
        probs = classifier.predict(read_image(example.path), example.boxes[rows])
        said_bare = probs[:, Label.NO_MASK] > 0.5
        is_bare = example.label_values[rows] == Label.NO_MASK
        bare += is_bare.tolist()
        right += (said_bare == is_bare).tolist()
        members += [groups[name, row] for row in rows]
    if not right:
        raise ValueError("none of the faces that are listed with groups is in the data")
    return _compared(np.array(bare), np.array(right), members)


def _compared(
    bare: np.ndarray[tuple[int], np.dtype[np.bool_]],
    right: np.ndarray[tuple[int], np.dtype[np.bool_]],
    members: list[frozenset[str]],
) -> list[GroupReport]:
    names = sorted(frozenset().union(*members))
    reports = []
    for name in ("everybody", *names):
        inside = np.array([name == "everybody" or name in one for one in members])
        own = share(int(right[inside].sum()), int(inside.sum()))
        rest = share(int(right[~inside].sum()), int((~inside).sum()))
        own_bare = share(int(right[inside & bare].sum()), int((inside & bare).sum()))
        reports.append(GroupReport(name, own, own_bare, difference(own, rest)))
    return reports
