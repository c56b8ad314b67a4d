"""Everything between the paths a person names and the pictures a training gets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from maskdet.datasets.checks import CheckedExamples, check_examples
from maskdet.datasets.class_names import ClassNames
from maskdet.datasets.corrections import apply_corrections
from maskdet.datasets.examples import SPLITS, Example, count_faces_by_class
from maskdet.datasets.issues import Issues
from maskdet.datasets.looks import PathProgress
from maskdet.datasets.reading import read_dataset
from maskdet.datasets.report import DataReport, build_report
from maskdet.datasets.splits import DEFAULT_FRACTIONS, drop_leaks, split_by_group
from maskdet.types import CLASSES, Label

_TRAIN, _VAL, _TEST = SPLITS

_REQUIRED_CLASSES = (Label.MASK, Label.NO_MASK)
"""Without these nothing can be learnt; `incorrect` can be drawn on bare faces."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Pictures to train, validate and test on; no group stands in two of them.

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
    `town-val.json` beside a `town-train.json`. Pictures without are trained on if there
    is any validation, else split by group. Copies of val and test leave train.

    Args:
        paths: files or folders that `read_dataset` understands.
        val_paths: others, validated on as a whole unless a part of them says `val`.
        seed: fixes the split.
        fractions: of train, val and test, where the data carry no validation.
        source: only pictures of this source, or all.
        corrections: a list that puts labels right, as `apply_corrections` reads it.
        classes: what the names of classes mean, as `read_dataset` takes it.
        progress: shows how far reading the pictures is.

    Raises:
        FileNotFoundError: a path or a picture is missing.
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
        FileNotFoundError: a path or a picture is missing.
        ValueError: something is broken, or no picture is of `source`.
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
        FileNotFoundError: a path or a picture is missing.
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
        raise ValueError(f"no picture is of source {source!r}; there are {sources}")
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

    Where no picture is in val, those that are not in test are split by group, else
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
    unreadable_note = f"pictures that cannot be read: {len(data.report.unreadable)}"
    if not data.train:
        raise ValueError(f"nothing to train on is left; {unreadable_note}")
    if not data.validation:
        raise ValueError(
            "nothing to validate on; give more pictures, or some of their own for "
            f"validation; {unreadable_note}"
        )
    counts = count_faces_by_class(data.train)
    for label in _REQUIRED_CLASSES:
        if not counts[label]:
            class_list = ", ".join(
                f"{label_held.key} {n}" for label_held, n in counts.items()
            )
            raise ValueError(
                f"no face of {label.key} to train on; the pictures hold {class_list}"
            )
    return data
