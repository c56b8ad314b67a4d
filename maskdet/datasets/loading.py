"""Load training data: read, check, group near-duplicates, split and report.

`load_training_data` does all of it; `load_and_check` stops before the split.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypedDict

import numpy as np

from maskdet.boxes import sizes_px
from maskdet.datasets.class_names import ClassNames
from maskdet.datasets.corrections import apply_corrections
from maskdet.datasets.duplicates import (
    NEAR_DUPLICATE_BITS,
    PathProgress,
    group_duplicates,
    hash_images,
)
from maskdet.datasets.example import SPLITS, Example, count_faces_by_class
from maskdet.datasets.issues import Issues
from maskdet.datasets.reading import read_dataset
from maskdet.datasets.splits import (
    DEFAULT_FRACTIONS,
    Leakage,
    drop_leaks,
    split_by_group,
)
from maskdet.types import CLASSES, Label
from maskdet.wording import format_count

_SIZE_QUANTILES = (0.05, 0.5, 0.95)

_MAX_LISTED = 20
"""Limit of files listed in the text; the JSON lists all."""

_REQUIRED_CLASSES = (Label.MASK, Label.NO_MASK)
"""Classes required for training; `incorrect` can be rendered on unmasked faces."""


@dataclass(frozen=True, eq=False)
class CheckedExamples:
    """Examples after the checks, and what was left out.

    Attributes:
        examples: each image once; all have a group.
        unreadable: images that cannot be opened, with the reasons.
        n_repeated: number of repeated entries of images.
        notes: further notes, one sentence each.
        issues: what was left out of the labels, one line each.
    """

    examples: list[Example]
    unreadable: Mapping[Path, str]
    n_repeated: int
    notes: tuple[str, ...] = ()
    issues: tuple[str, ...] = ()


def check_examples(
    examples: Sequence[Example], progress: PathProgress = iter
) -> CheckedExamples:
    """Remove repeated and unreadable images and group near-duplicates.

    Raises:
        ValueError: an image is listed twice with different faces.
    """
    unique = deduplicate(examples)
    results = hash_images([example.path for example in unique], progress)
    hashes = {path: found for path, found in results.items() if isinstance(found, int)}
    return CheckedExamples(
        group_duplicates(
            [example for example in unique if example.path in hashes], hashes
        ),
        {path: found for path, found in results.items() if isinstance(found, str)},
        len(examples) - len(unique),
    )


def deduplicate(examples: Sequence[Example]) -> list[Example]:
    """Return the examples without repeated images.

    If the splits differ, the later of train, val and test is used, so that held-out
    images stay held out.

    Raises:
        ValueError: an image is listed twice with different faces.
    """
    by_path: dict[Path, Example] = {}
    for example in examples:
        resolved = example.path.resolve()
        first = by_path.setdefault(resolved, example)
        if first is example:
            continue
        if first.labels != example.labels or not np.array_equal(
            first.boxes, example.boxes
        ):
            raise ValueError(f"{example.path}: listed twice with different faces")
        split = max(first.split, example.split, key=("", *SPLITS).index)
        by_path[resolved] = dataclasses.replace(first, split=split)
    return list(by_path.values())


class ClassBalance(TypedDict):
    """Counts of one split of one source, as in the JSON of the report.

    `sizes_px` are the 5 %, 50 % and 95 % quantiles of the shorter sides of the boxes;
    it is empty without boxes.
    """

    split: str
    source: str
    images: int
    faces: dict[str, int]
    sizes_px: list[float]


def _balance_row(split: str, source: str, examples: Sequence[Example]) -> ClassBalance:
    sizes = np.concatenate([sizes_px(example.boxes) for example in examples])
    quantiles = np.quantile(sizes, _SIZE_QUANTILES).tolist() if len(sizes) else []
    return {
        "split": split,
        "source": source,
        "images": len(examples),
        "faces": {label.key: n for label, n in count_faces_by_class(examples).items()},
        "sizes_px": [round(size, 1) for size in quantiles],
    }


def _balance_line(row: ClassBalance, width: int) -> str:
    counts = "".join(f"{row['faces'][label.key]:>10,}" for label in CLASSES)
    sizes = "whole images"
    if row["sizes_px"]:
        low, half, high = row["sizes_px"]
        sizes = f"{low:.0f} to {high:.0f} px, median {half:.0f}"
    prefix = f"{row['split'] or '-':<7}{row['source']:<{width}}{row['images']:>9,}"
    return f"{prefix}{counts}  {sizes}"


@dataclass(frozen=True, eq=False)
class DataReport:
    """Results of the checks of a data set.

    Attributes:
        checked: the images after the checks, and what was left out.
        kept: the images that are used.
        leakage: near-duplicates in several of the existing splits.
        notes: further notes, one sentence each.
    """

    checked: CheckedExamples
    kept: Sequence[Example]
    leakage: Leakage
    notes: tuple[str, ...] = ()

    @cached_property
    def balance(self) -> list[ClassBalance]:
        """One row for each split and source, in the order of `SPLITS`."""
        parts: dict[tuple[str, str], list[Example]] = {}
        for example in self.kept:
            parts.setdefault((example.split, example.source), []).append(example)
        order = sorted(parts, key=lambda part: (("", *SPLITS).index(part[0]), part[1]))
        return [_balance_row(*part, parts[part]) for part in order]

    @property
    def _duplicate_group_sizes(self) -> list[int]:
        """Number of images in each group of near-duplicates."""
        groups = Counter(example.group for example in self.checked.examples)
        return [n for n in groups.values() if n > 1]

    def lines(self) -> list[str]:
        """Return the report as a few lines of text."""
        width = max([len(row["source"]) for row in self.balance], default=0) + 2
        titles = "".join(f"{label.key:>10}" for label in CLASSES)
        n_repeated = self.checked.n_repeated
        return [
            f"{'split':<7}{'source':<{width}}{'images':>9}{titles}  face sizes",
            *(_balance_line(row, width) for row in self.balance),
            "",
            *(["issues in the labels:"] * bool(self.checked.issues)),
            *(f"  {line}" for line in self.checked.issues),
            *self._unreadable_lines(),
            "repeated: "
            + (
                f"{format_count(n_repeated, 'image')}, counted once"
                if n_repeated
                else "none"
            ),
            self._duplicates_line(),
            *self._leakage_lines(),
            *self.checked.notes,
            *self.notes,
        ]

    def to_json(self) -> dict[str, object]:
        """Return the report for JSON, with all file names."""
        sizes = self._duplicate_group_sizes
        return {
            "balance": self.balance,
            "unreadable": [
                {"path": str(path), "reason": reason}
                for path, reason in self.checked.unreadable.items()
            ],
            "n_repeated": self.checked.n_repeated,
            "duplicates": {
                "bits": NEAR_DUPLICATE_BITS,
                "groups": len(sizes),
                "images": sum(sizes),
                "largest": max(sizes, default=0),
            },
            "leakage": {
                "groups": self.leakage.n_groups,
                "dropped": [str(path) for path in self.leakage.dropped],
                "held_out": self.leakage.n_val_test_groups,
            },
            "notes": [*self.checked.notes, *self.notes],
            "issues": list(self.checked.issues),
        }

    def _unreadable_lines(self) -> list[str]:
        unreadable = self.checked.unreadable
        if not unreadable:
            return ["unreadable: none"]
        return [
            f"unreadable: {format_count(len(unreadable), 'image')}, left out",
            *_list_first(f"{path}: {reason}" for path, reason in unreadable.items()),
        ]

    def _duplicates_line(self) -> str:
        sizes = self._duplicate_group_sizes
        if not sizes:
            return "near-duplicates: none"
        return (
            f"near-duplicates: {format_count(sum(sizes), 'image')} in "
            f"{format_count(len(sizes), 'group')}, the largest of {max(sizes)}"
        )

    def _leakage_lines(self) -> list[str]:
        leakage = self.leakage
        lines = ["leakage between splits: none"]
        if leakage.n_groups:
            lines = [
                "leakage between splits: "
                f"{format_count(leakage.n_groups, 'group')}; "
                f"{format_count(len(leakage.dropped), 'image')} removed "
                "from train",
                *_list_first(map(str, leakage.dropped)),
            ]
        if leakage.n_val_test_groups:
            lines.append(
                "in val and test: "
                f"{format_count(leakage.n_val_test_groups, 'group')}, not "
                "changed"
            )
        return lines


def _list_first(texts: Iterable[str]) -> list[str]:
    """Return indented lines of the first texts, and how many more there are."""
    lines = [f"  {text}" for text in texts]
    more = [f"  and {len(lines) - _MAX_LISTED:,} more"] * (len(lines) > _MAX_LISTED)
    return lines[:_MAX_LISTED] + more


_TRAIN, _VAL, _TEST = SPLITS


@dataclass(frozen=True, eq=False)
class DataSplits:
    """Disjoint splits of labelled images; no group is in two of them.

    Attributes:
        train: training images.
        validation: images for model selection.
        test: images for the final evaluation; may be empty.
    """

    train: Sequence[Example]
    validation: Sequence[Example]
    test: Sequence[Example] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingData(DataSplits):
    """The splits of checked images.

    Attributes:
        report: results of the checks.
    """

    report: DataReport


def load_training_data(
    paths: Iterable[str | Path],
    val_paths: Iterable[str | Path] = (),
    *,
    seed: int,
    fractions: Sequence[float] | None = None,
    source: str | None = None,
    corrections: str | Path | None = None,
    classes: ClassNames | None = None,
    progress: PathProgress = iter,
) -> TrainingData:
    """Read data of any format, check it, and split it into train, val and test.

    Existing splits are used: a column, `train/`, `val/`, `test/` folders, a
    `town-val.json` next to a `town-train.json`. Images without a split are training
    images if there is a validation split, otherwise they are split by group.
    Near-duplicates of val and test images are removed from train.

    Args:
        paths: files or folders that `read_dataset` accepts.
        val_paths: validation data; if a part of it has the split `val`, only that.
        seed: random seed of the split.
        fractions: of train, val and test, if the data have no validation split.
        source: use only images of this source.
        corrections: CSV file for `apply_corrections`.
        classes: class name mapping for `read_dataset`.
        progress: progress bar of reading the images.

    Raises:
        FileNotFoundError: a path or an image is missing.
        ValueError: the data are broken or not sufficient.
    """
    checked_examples = load_and_check(
        paths,
        val_paths,
        source=source,
        corrections=corrections,
        classes=classes,
        progress=progress,
    )
    kept, leakage = drop_leaks(checked_examples.examples)
    kept, notes = ensure_validation(kept, fractions, seed=seed)
    report = DataReport(
        checked_examples, kept, leakage, (*notes, *_missing_classes(kept))
    )
    train, validation, test = (
        [example for example in kept if example.split == split] for split in SPLITS
    )
    return _check_sufficient(TrainingData(train, validation, test, report=report))


def load_and_check(
    paths: Iterable[str | Path],
    val_paths: Iterable[str | Path] = (),
    *,
    source: str | None = None,
    corrections: str | Path | None = None,
    classes: ClassNames | None = None,
    strict: bool = True,
    progress: PathProgress = iter,
) -> CheckedExamples:
    """Read and check data as `load_training_data` does, but keep its splits.

    Unless `strict`, broken labels are left out and listed under `issues`.

    Raises:
        FileNotFoundError: a path or an image is missing.
        ValueError: the data are broken, or no image is of `source`.
    """
    issues = Issues()
    examples = _read_datasets(paths, val_paths, classes, issues, strict=strict)
    notes = issues.notes()
    if source is not None:
        examples = _select_source(examples, source)
    if corrections is not None:
        examples, correction_notes = _correct_examples(examples, corrections)
        notes += correction_notes
    return dataclasses.replace(
        check_examples(examples, progress), notes=notes, issues=issues.errors()
    )


def _read_datasets(
    paths: Iterable[str | Path],
    val_paths: Iterable[str | Path],
    classes: ClassNames | None,
    issues: Issues,
    *,
    strict: bool,
) -> list[Example]:
    """Read several data sets; images of `val_paths` get the split `val`.

    Equal group names in different folders are different groups.

    Raises:
        FileNotFoundError: a path or an image is missing.
        ValueError: a path is not a data set, or it is broken.
    """

    def read(path: Path) -> list[Example]:
        folder = path.resolve() if path.is_dir() else path.resolve().parent
        examples = read_dataset(path, classes=classes, issues=issues, strict=strict)
        return [
            dataclasses.replace(
                example, group=example.group and f"{folder}\n{example.group}"
            )
            for example in examples
        ]

    train_paths, validation_paths = [*map(Path, paths)], [*map(Path, val_paths)]
    train_paths += _sibling_files(train_paths, _TEST)
    if not validation_paths:
        train_paths += _sibling_files(train_paths, _VAL)
    unique_paths = dict.fromkeys(train_paths)
    examples = [example for path in unique_paths for example in read(path)]
    for path in dict.fromkeys(validation_paths):
        path_examples = read(path)
        examples += [example for example in path_examples if example.split == _VAL] or [
            dataclasses.replace(example, split=_VAL) for example in path_examples
        ]
    return examples


def _sibling_files(paths: Iterable[Path], split: str) -> list[Path]:
    """Return the `town-val.json` next to each `town-train.json`."""
    siblings = [
        path.with_name(path.name.replace("-train.json", f"-{split}.json"))
        for path in paths
        if path.name.endswith("-train.json")
    ]
    return [path for path in siblings if path.is_file()]


def _select_source(examples: Sequence[Example], source: str) -> list[Example]:
    kept = [example for example in examples if example.source == source]
    if not kept:
        sources = ", ".join(sorted({example.source for example in examples}))
        raise ValueError(f"no image has the source {source!r}; available are {sources}")
    return kept


def _correct_examples(
    examples: Sequence[Example], list_path: str | Path
) -> tuple[list[Example], tuple[str, ...]]:
    result = apply_corrections(examples, list_path)
    changed = len(result) - len(
        {id(example) for example in examples} & set(map(id, result))
    )
    dropped = len(examples) - len(result)
    note = f"corrections of {list_path}: changed {changed}, dropped {dropped}"
    return result, (note,)


def ensure_validation(
    examples: Sequence[Example], fractions: Sequence[float] | None = None, *, seed: int
) -> tuple[list[Example], tuple[str, ...]]:
    """Return the examples with splits, and a note if they were split.

    If no image is in val, those that are not in test are split by group; otherwise
    those without a split go to train.

    Args:
        examples: with groups and their existing splits.
        fractions: of train, val and test; default `DEFAULT_FRACTIONS`.
        seed: random seed of the split.
    """
    if any(example.split == _VAL for example in examples):
        return [
            dataclasses.replace(example, split=example.split or _TRAIN)
            for example in examples
        ], ()
    fractions = DEFAULT_FRACTIONS if fractions is None else fractions
    test_examples = [example for example in examples if example.split == _TEST]
    other_examples = [example for example in examples if example.split != _TEST]
    if test_examples:
        train_and_val = sum(fractions[:2])
        fractions = (fractions[0] / train_and_val, fractions[1] / train_and_val, 0.0)
    split = split_by_group(other_examples, fractions, seed=seed)
    words = ", ".join(
        f"{name} {fraction:.0%}"
        for name, fraction in zip(SPLITS, fractions, strict=True)
    )
    note = f"no validation split in the data: split by group with seed {seed} ({words})"
    return [*split, *test_examples], (note,)


def _missing_classes(examples: Sequence[Example]) -> list[str]:
    notes: list[str] = []
    for split in (_TRAIN, _VAL):
        counts = count_faces_by_class(
            example for example in examples if example.split == split
        )
        missing = [label.key for label in CLASSES if not counts[label]]
        notes += [f"{split} has no face of: {', '.join(missing)}"] * bool(missing)
    return notes


def _check_sufficient(data: TrainingData) -> TrainingData:
    """Return the data; raise `ValueError` if they are not sufficient."""
    unreadable_note = f"unreadable images: {len(data.report.checked.unreadable)}"
    if not data.train:
        raise ValueError(f"no training images are left; {unreadable_note}")
    if not data.validation:
        raise ValueError(
            "no validation images; add images or pass separate validation data; "
            f"{unreadable_note}"
        )
    counts = count_faces_by_class(data.train)
    for label in _REQUIRED_CLASSES:
        if not counts[label]:
            class_list = ", ".join(
                f"{other_label.key} {n}" for other_label, n in counts.items()
            )
            raise ValueError(
                f"no training face of {label.key}; the images have {class_list}"
            )
    return data
