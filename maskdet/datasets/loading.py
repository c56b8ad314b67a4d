"""Everything between the paths a person names and the images a training gets.

Listed images become usable ones: each once, each readable, copies grouped.

How many images and faces there are of each kind, and how large the faces are.

What was found in data before anybody trains on it, for people and as JSON.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from maskdet.boxes import sizes_px
from maskdet.datasets.class_names import ClassNames
from maskdet.datasets.corrections import apply_corrections
from maskdet.datasets.duplicates import (
    NEAR_DUPLICATE_BITS,
    HashedImage,
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


@dataclass(frozen=True, eq=False)
class CheckedExamples:
    """Examples that can be trained on, and what was left out.

    Attributes:
        examples: each image once; all carry a group.
        unreadable: images that cannot be opened, each with the reason.
        n_repeated: how often an image was listed again.
        notes: what else a person should know, a sentence each.
        issues: what was left out of the labels, a line each.
    """

    examples: list[Example]
    unreadable: tuple[HashedImage, ...]
    n_repeated: int
    notes: tuple[str, ...] = ()
    issues: tuple[str, ...] = ()


def check_examples(
    examples: Sequence[Example], progress: PathProgress = iter
) -> CheckedExamples:
    """Keep each image once, leave out what cannot be opened, and group copies.

    Raises:
        ValueError: an image is listed twice with different faces.
    """
    unique = deduplicate(examples)
    hashed_images = hash_images([example.path for example in unique], progress)
    hashes = {item.path: item.hash for item in hashed_images if not item.reason}
    return CheckedExamples(
        group_duplicates(
            [example for example in unique if example.path in hashes], hashes
        ),
        tuple(item for item in hashed_images if item.reason),
        len(examples) - len(unique),
    )


def deduplicate(examples: Sequence[Example]) -> list[Example]:
    """Return the examples without those whose image was listed before.

    Where the splits differ, the later of train, val and test counts, so that what is
    held out anywhere is held out.

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


_SIZE_QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class ClassBalance:
    """One part of the data: one split of one source.

    Attributes:
        split: `train`, `val`, `test` or empty.
        source: which collection.
        n_images: how many.
        n_faces: how many of each class.
        sizes_px: shorter sides of the boxes in pixels: smallest twentieth, half and
            largest twentieth lie below, between and above; empty without boxes.
    """

    split: str
    source: str
    n_images: int
    n_faces: dict[Label, int]
    sizes_px: tuple[float, ...]

    def to_json(self) -> dict[str, object]:
        """Return it with plain keys."""
        return {
            "split": self.split,
            "source": self.source,
            "images": self.n_images,
            "faces": {label.key: n for label, n in self.n_faces.items()},
            "sizes_px": list(self.sizes_px),
        }


def compute_balance(examples: Iterable[Example]) -> tuple[ClassBalance, ...]:
    """Return one row for each split and source, in the order of `SPLITS`."""
    parts: dict[tuple[str, str], list[Example]] = {}
    for example in examples:
        parts.setdefault((example.split, example.source), []).append(example)
    return tuple(
        _balance_row(*key, parts[key]) for key in sorted(parts, key=_balance_sort_key)
    )


def balance_lines(rows: Sequence[ClassBalance]) -> list[str]:
    """Return the rows as a table for people."""
    width = max([len(row.source) for row in rows], default=0) + 2
    titles = "".join(f"{label.key:>10}" for label in CLASSES)
    header = f"{'split':<7}{'source':<{width}}{'images':>9}{titles}  face sizes"
    return [header, *(_balance_line(row, width) for row in rows)]


def _balance_sort_key(key: tuple[str, str]) -> tuple[int, str]:
    split, source = key
    return (SPLITS.index(split) if split in SPLITS else -1, source)


def _balance_row(split: str, source: str, examples: Sequence[Example]) -> ClassBalance:
    sizes = np.concatenate([sizes_px(example.boxes) for example in examples])
    quantiles = np.quantile(sizes, _SIZE_QUANTILES).tolist() if len(sizes) else []
    return ClassBalance(
        split,
        source,
        len(examples),
        count_faces_by_class(examples),
        tuple(round(size, 1) for size in quantiles),
    )


def _balance_line(row: ClassBalance, width: int) -> str:
    counts = "".join(f"{row.n_faces[label]:>10,}" for label in CLASSES)
    sizes = "whole images"
    if row.sizes_px:
        low, half, high = row.sizes_px
        sizes = f"{low:.0f} to {high:.0f} px, half below {half:.0f}"
    prefix = f"{row.split or '-':<7}{row.source:<{width}}{row.n_images:>9,}"
    return f"{prefix}{counts}  {sizes}"


_MAX_LISTED = 20
"""Files named in the text; the JSON names them all."""


@dataclass(frozen=True)
class DuplicateStats:
    """Groups of images that look alike or are said to belong together.

    Attributes:
        n_groups: how many have more than one image.
        n_images: how many images are in these.
        largest_group: images in the largest; 0 without any.
    """

    n_groups: int
    n_images: int
    largest_group: int


@dataclass(frozen=True)
class DataReport:
    """What the checks of some data found.

    Attributes:
        unreadable: images that cannot be opened, each with the reason.
        n_repeated: how often an image was listed again; it counts once.
        duplicates: copies among the images.
        leakage: copies on both sides of the splits that the data carry.
        balance: one row for each split and source.
        notes: what else a person should know, a sentence each.
        issues: what was left out of the labels, a line each.
    """

    unreadable: tuple[HashedImage, ...]
    n_repeated: int
    duplicates: DuplicateStats
    leakage: Leakage
    balance: tuple[ClassBalance, ...]
    notes: tuple[str, ...] = ()
    issues: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the report for people, a few lines."""
        return [
            *balance_lines(self.balance),
            "",
            *(["issues in the labels:"] * bool(self.issues)),
            *(f"  {line}" for line in self.issues),
            *self._unreadable_lines(),
            "in several sets: "
            + (
                f"{format_count(self.n_repeated, 'image')}, counted once"
                if self.n_repeated
                else "none"
            ),
            self._duplicates_line(),
            *self._leakage_lines(),
            *self.notes,
        ]

    def to_json(self) -> dict[str, object]:
        """Return everything, with every file that the text leaves out."""
        return {
            "balance": [row.to_json() for row in self.balance],
            "unreadable": [
                {"path": str(hashed_image.path), "reason": hashed_image.reason}
                for hashed_image in self.unreadable
            ],
            "repeated": self.n_repeated,
            "alike": {
                "bits": NEAR_DUPLICATE_BITS,
                "groups": self.duplicates.n_groups,
                "images": self.duplicates.n_images,
                "largest": self.duplicates.largest_group,
            },
            "straddling": {
                "groups": self.leakage.n_groups,
                "dropped": [str(path) for path in self.leakage.dropped],
                "held_out": self.leakage.n_val_test_groups,
            },
            "notes": list(self.notes),
            "issues": list(self.issues),
        }

    def _unreadable_lines(self) -> list[str]:
        if not self.unreadable:
            return ["unreadable: none"]
        return [
            f"unreadable: {format_count(len(self.unreadable), 'image')}, left out",
            *(
                f"  {hashed_image.path}: {hashed_image.reason}"
                for hashed_image in self.unreadable[:_MAX_LISTED]
            ),
            *_remainder_line(len(self.unreadable)),
        ]

    def _duplicates_line(self) -> str:
        if not self.duplicates.n_groups:
            return "alike: none"
        return (
            f"alike: {format_count(self.duplicates.n_images, 'image')} in "
            f"{format_count(self.duplicates.n_groups, 'group')}, "
            f"the largest of {self.duplicates.largest_group}"
        )

    def _leakage_lines(self) -> list[str]:
        leakage_found = self.leakage
        lines = ["on both sides of a split: none"]
        if leakage_found.n_groups:
            lines = [
                "on both sides of a split: "
                f"{format_count(leakage_found.n_groups, 'group')}; "
                f"{format_count(len(leakage_found.dropped), 'image')} left out of "
                "train",
                *(f"  {path}" for path in leakage_found.dropped[:_MAX_LISTED]),
                *_remainder_line(len(leakage_found.dropped)),
            ]
        if leakage_found.n_val_test_groups:
            lines.append(
                "in val and test: "
                f"{format_count(leakage_found.n_val_test_groups, 'group')}, left as "
                "they are"
            )
        return lines


def build_report(
    checked_examples: CheckedExamples,
    kept: Sequence[Example],
    leakage: Leakage,
    notes: Iterable[str] = (),
) -> DataReport:
    """Return the report of checked data, of which `kept` is what is used."""
    return DataReport(
        checked_examples.unreadable,
        checked_examples.n_repeated,
        _duplicate_stats(checked_examples.examples),
        leakage,
        compute_balance(kept),
        (*checked_examples.notes, *notes),
        checked_examples.issues,
    )


def _duplicate_stats(examples: Iterable[Example]) -> DuplicateStats:
    sizes = [
        n for n in Counter(example.group for example in examples).values() if n > 1
    ]
    return DuplicateStats(len(sizes), sum(sizes), max(sizes, default=0))


def _remainder_line(n: int) -> list[str]:
    return [f"  and {n - _MAX_LISTED:,} more"] if n > _MAX_LISTED else []


_TRAIN, _VAL, _TEST = SPLITS

_REQUIRED_CLASSES = (Label.MASK, Label.NO_MASK)
"""Without these nothing can be learnt; `incorrect` can be drawn on bare faces."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Images to train, validate and test on; no group stands in two of them.

    Attributes:
        train: to learn from.
        validation: to choose by.
        test: to measure once; may be empty.
        report: what the checks found.
    """

    train: list[Example]
    validation: list[Example]
    test: list[Example]
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
    """Read data of any format, check it, and cut it into train, val and test.

    Splits that the data carry are used: a column, `train/`, `val/`, `test/` folders, a
    `town-val.json` beside a `town-train.json`. Images without are trained on if there
    is any validation, else split by group. Copies of val and test leave train.

    Args:
        paths: files or folders that `read_dataset` understands.
        val_paths: others, validated on as a whole unless a part of them says `val`.
        seed: fixes the split.
        fractions: of train, val and test, where the data carry no validation.
        source: only images of this source, or all.
        corrections: a list that puts labels right, as `apply_corrections` reads it.
        classes: what the names of classes mean, as `read_dataset` takes it.
        progress: shows how far reading the images is.

    Raises:
        FileNotFoundError: a path or an image is missing.
        ValueError: something is broken, or too little is left to learn or validate.
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
    report = build_report(
        checked_examples, kept, leakage, [*notes, *_missing_classes(kept)]
    )
    train, validation, test = (
        [example for example in kept if example.split == split] for split in SPLITS
    )
    return _check_sufficient(TrainingData(train, validation, test, report))


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
    """Read data as `load_training_data` does and check it, with the splits it carries.

    Unless `strict`, what is broken in the labels is left out and told under `issues`.

    Raises:
        FileNotFoundError: a path or an image is missing.
        ValueError: something is broken, or no image is of `source`.
    """
    issues = Issues()
    examples = read_datasets(paths, val_paths, classes, issues, strict=strict)
    notes = issues.notes()
    if source is not None:
        examples = _select_source(examples, source)
    if corrections is not None:
        examples, correction_notes = _correct_examples(examples, corrections)
        notes += correction_notes
    return dataclasses.replace(
        check_examples(examples, progress), notes=notes, issues=issues.errors()
    )


def read_datasets(
    paths: Iterable[str | Path],
    val_paths: Iterable[str | Path] = (),
    classes: ClassNames | None = None,
    issues: Issues | None = None,
    *,
    strict: bool = True,
) -> list[Example]:
    """Read several data sets; what `val_paths` hold has the split `val`.

    Groups of sets in different folders are kept apart, whatever they are called.

    Raises:
        FileNotFoundError: a path or an image is missing.
        ValueError: a path is no data set, or a broken one.
    """
    read = partial(
        _read_path, classes=classes, issues=issues or Issues(), strict=strict
    )
    train_paths, validation_paths = _unique_paths(paths), _unique_paths(val_paths)
    train_paths += [
        path for path in _sibling_files(train_paths, _TEST) if path not in train_paths
    ]
    if not validation_paths:
        train_paths += [
            path
            for path in _sibling_files(train_paths, _VAL)
            if path not in train_paths
        ]
    examples = [example for path in train_paths for example in read(path)]
    for path in validation_paths:
        path_examples = read(path)
        if any(example.split == _VAL for example in path_examples):
            examples += [example for example in path_examples if example.split == _VAL]
        else:
            examples += [
                dataclasses.replace(example, split=_VAL) for example in path_examples
            ]
    return examples


def _unique_paths(paths: Iterable[str | Path]) -> list[Path]:
    return list(dict.fromkeys(Path(path) for path in paths))


def _sibling_files(paths: Iterable[Path], split: str) -> list[Path]:
    """Return the `town-val.json` that lies beside each `town-train.json`."""
    siblings = [
        path.with_name(path.name.replace("-train.json", f"-{split}.json"))
        for path in paths
        if path.name.endswith("-train.json")
    ]
    return [path for path in siblings if path.is_file()]


def _read_path(
    path: Path, *, classes: ClassNames | None, issues: Issues, strict: bool
) -> list[Example]:
    folder = path.resolve() if path.is_dir() else path.resolve().parent
    return [
        dataclasses.replace(
            example, group=example.group and f"{folder}\n{example.group}"
        )
        for example in read_dataset(path, classes=classes, issues=issues, strict=strict)
    ]


def _select_source(examples: Sequence[Example], source: str) -> list[Example]:
    kept = [example for example in examples if example.source == source]
    if not kept:
        sources = ", ".join(sorted({example.source for example in examples}))
        raise ValueError(f"no image is of source {source!r}; there are {sources}")
    return kept


def _correct_examples(
    examples: Sequence[Example], list_path: str | Path
) -> tuple[list[Example], tuple[str, ...]]:
    result = apply_corrections(examples, list_path)
    changed = len(result) - len(
        {id(example) for example in examples} & set(map(id, result))
    )
    dropped = len(examples) - len(result)
    note = f"corrected as {list_path} says: changed {changed}, dropped {dropped}"
    return result, (note,)


def ensure_validation(
    examples: Sequence[Example], fractions: Sequence[float] | None = None, *, seed: int
) -> tuple[list[Example], tuple[str, ...]]:
    """Return the examples, all with a split, and a note where one was made.

    Where no image is in val, those that are not in test are split by group, else
    those without a split are trained on.

    Args:
        examples: with the splits that they carry, and groups.
        fractions: of train, val and test; `DEFAULT_FRACTIONS` unless given.
        seed: fixes the split.
    """
    if any(example.split == _VAL for example in examples):
        return [_default_to_train(example) for example in examples], ()
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
    note = f"the data carry no validation: split by group with seed {seed} ({words})"
    return [*split, *test_examples], (note,)


def _default_to_train(example: Example) -> Example:
    return dataclasses.replace(example, split=example.split or _TRAIN)


def _missing_classes(examples: Sequence[Example]) -> list[str]:
    notes: list[str] = []
    for split in (_TRAIN, _VAL):
        counts = count_faces_by_class(
            example for example in examples if example.split == split
        )
        missing = [label.key for label in CLASSES if not counts[label]]
        notes += [f"{split} holds no face of: {', '.join(missing)}"] * bool(missing)
    return notes


def _check_sufficient(data: TrainingData) -> TrainingData:
    """Return the data, or complain that too little of them is left."""
    unreadable_note = f"images that cannot be read: {len(data.report.unreadable)}"
    if not data.train:
        raise ValueError(f"nothing to train on is left; {unreadable_note}")
    if not data.validation:
        raise ValueError(
            "nothing to validate on; give more images, or some of their own for "
            f"validation; {unreadable_note}"
        )
    counts = count_faces_by_class(data.train)
    for label in _REQUIRED_CLASSES:
        if not counts[label]:
            class_list = ", ".join(
                f"{label_held.key} {n}" for label_held, n in counts.items()
            )
            raise ValueError(
                f"no face of {label.key} to train on; the images hold {class_list}"
            )
    return data
