"""Everything between the paths a person names and the pictures a training gets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from maskdet.datasets.checks import Checked, checked
from maskdet.datasets.class_names import ClassNames
from maskdet.datasets.corrections import corrected
from maskdet.datasets.examples import SPLITS, Example, class_counts
from maskdet.datasets.issues import Issues
from maskdet.datasets.looks import Progress
from maskdet.datasets.reading import read_any
from maskdet.datasets.report import DataReport, report_on
from maskdet.datasets.splits import SHARES, split_by_group, without_straddlers
from maskdet.types import CLASSES, Label

_TRAIN, _VAL, _TEST = SPLITS

_NEEDED = (Label.MASK, Label.NO_MASK)
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
    shares: Sequence[float] | None = None,
    source: str | None = None,
    corrections: str | Path | None = None,
    classes: ClassNames | None = None,
    progress: Progress = iter,
) -> TrainingData:
    """Read data of any format, check it, and cut it into train, val and test.

    Splits that the data carry are used: a column, `train/`, `val/`, `test/` folders, a
    `town-val.json` beside a `town-train.json`. Pictures without are trained on if there
    is any validation, else split by group. Copies of val and test leave train.

    Args:
        paths: files or folders that `read_any` understands.
        val_paths: others, validated on as a whole unless a part of them says `val`.
        seed: fixes the split.
        shares: of train, val and test, where the data carry no validation.
        source: only pictures of this source, or all.
        corrections: a list that puts labels right, as `corrected` reads it.
        classes: what the names of classes mean, as `read_any` takes it.
        progress: shows how far reading the pictures is.

    Raises:
        FileNotFoundError: a path or a picture is missing.
        ValueError: something is broken, or too little is left to learn or validate.
    """
    clean = load_checked(
        paths,
        val_paths,
        source=source,
        corrections=corrections,
        classes=classes,
        progress=progress,
    )
    kept, straddling = without_straddlers(clean.examples)
    kept, notes = with_validation(kept, shares, seed=seed)
    report = report_on(clean, kept, straddling, [*notes, *_missing_classes(kept)])
    train, validation, test = (
        [one for one in kept if one.split == split] for split in SPLITS
    )
    return _sufficient(TrainingData(train, validation, test, report))


def load_checked(
    paths: Iterable[str | Path],
    val_paths: Iterable[str | Path] = (),
    *,
    source: str | None = None,
    corrections: str | Path | None = None,
    classes: ClassNames | None = None,
    strict: bool = True,
    progress: Progress = iter,
) -> Checked:
    """Read data as `load_training_data` does and check it, with the splits it carries.

    Unless `strict`, what is broken in the labels is left out and told under `issues`.

    Raises:
        FileNotFoundError: a path or a picture is missing.
        ValueError: something is broken, or no picture is of `source`.
    """
    issues = Issues()
    examples = read_all(paths, val_paths, classes, issues, strict=strict)
    notes = issues.notes()
    if source is not None:
        examples = _of_source(examples, source)
    if corrections is not None:
        examples, made = _put_right(examples, corrections)
        notes += made
    return dataclasses.replace(
        checked(examples, progress), notes=notes, issues=issues.stopping()
    )


def read_all(
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
    read = partial(_read, classes=classes, issues=issues or Issues(), strict=strict)
    trained, held_out = _unique(paths), _unique(val_paths)
    trained += [path for path in _beside(trained, _TEST) if path not in trained]
    if not held_out:
        trained += [path for path in _beside(trained, _VAL) if path not in trained]
    examples = [one for path in trained for one in read(path)]
    for path in held_out:
        found = read(path)
        if any(one.split == _VAL for one in found):
            examples += [one for one in found if one.split == _VAL]
        else:
            examples += [dataclasses.replace(one, split=_VAL) for one in found]
    return examples


def _unique(paths: Iterable[str | Path]) -> list[Path]:
    return list(dict.fromkeys(Path(path) for path in paths))


def _beside(paths: Iterable[Path], split: str) -> list[Path]:
    """Return the `town-val.json` that lies beside each `town-train.json`."""
    found = [
        path.with_name(path.name.replace("-train.json", f"-{split}.json"))
        for path in paths
        if path.name.endswith("-train.json")
    ]
    return [path for path in found if path.is_file()]


def _read(
    path: Path, *, classes: ClassNames | None, issues: Issues, strict: bool
) -> list[Example]:
    place = path.resolve() if path.is_dir() else path.resolve().parent
    return [
        dataclasses.replace(one, group=one.group and f"{place}\n{one.group}")
        for one in read_any(path, classes=classes, issues=issues, strict=strict)
    ]


def _of_source(examples: Sequence[Example], source: str) -> list[Example]:
    kept = [one for one in examples if one.source == source]
    if not kept:
        known = ", ".join(sorted({one.source for one in examples}))
        raise ValueError(f"no picture is of source {source!r}; there are {known}")
    return kept


def _put_right(
    examples: Sequence[Example], list_path: str | Path
) -> tuple[list[Example], tuple[str, ...]]:
    result = corrected(examples, list_path)
    changed = len(result) - len({id(one) for one in examples} & set(map(id, result)))
    dropped = len(examples) - len(result)
    note = f"corrected as {list_path} says: changed {changed}, dropped {dropped}"
    return result, (note,)


def with_validation(
    examples: Sequence[Example], shares: Sequence[float] | None = None, *, seed: int
) -> tuple[list[Example], tuple[str, ...]]:
    """Return the examples, all with a split, and a note where one was made.

    Where no picture is in val, those that are not in test are split by group, else
    those without a split are trained on.

    Args:
        examples: with the splits that they carry, and groups.
        shares: of train, val and test; `SHARES` unless given.
        seed: fixes the split.
    """
    if any(one.split == _VAL for one in examples):
        return [_in_some_split(one) for one in examples], ()
    shares = SHARES if shares is None else shares
    fixed = [one for one in examples if one.split == _TEST]
    free = [one for one in examples if one.split != _TEST]
    if fixed:
        both = sum(shares[:2])
        shares = (shares[0] / both, shares[1] / both, 0.0)
    split = split_by_group(free, shares, seed=seed)
    words = ", ".join(
        f"{name} {share:.0%}" for name, share in zip(SPLITS, shares, strict=True)
    )
    note = f"the data carry no validation: split by group with seed {seed} ({words})"
    return [*split, *fixed], (note,)


def _in_some_split(example: Example) -> Example:
    return dataclasses.replace(example, split=example.split or _TRAIN)


def _missing_classes(examples: Sequence[Example]) -> list[str]:
    notes: list[str] = []
    for split in (_TRAIN, _VAL):
        counts = class_counts(one for one in examples if one.split == split)
        missing = [label.key for label in CLASSES if not counts[label]]
        notes += [f"{split} holds no face of: {', '.join(missing)}"] * bool(missing)
    return notes


def _sufficient(data: TrainingData) -> TrainingData:
    """Return the data, or complain that too little of them is left."""
    found = f"pictures that cannot be read: {len(data.report.unreadable)}"
    if not data.train:
        raise ValueError(f"nothing to train on is left; {found}")
    if not data.validation:
        raise ValueError(
            "nothing to validate on; give more pictures, or some of their own for "
            f"validation; {found}"
        )
    counts = class_counts(data.train)
    for label in _NEEDED:
        if not counts[label]:
            held = ", ".join(f"{one.key} {n}" for one, n in counts.items())
            raise ValueError(
                f"no face of {label.key} to train on; the pictures hold {held}"
            )
    return data
