"""Training runs of the Models page: reading them, their metrics as table and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

import streamlit as st

from maskdet.analyzers.pipelines import list_own_model_problems
from maskdet.classifier import BUILT_IN_CLASSIFIERS
from maskdet.evaluation import training_runs
from maskdet.evaluation.predictions import dataset_title
from maskdet.evaluation.training_runs import EVALUATION_SETS, TrainingRun
from maskdet.metrics.classification import Predictions
from maskdet.metrics.intervals import Estimate
from maskdet.model_files.own_models import OwnModel, get_own_models
from maskdet.style import Style
from maskdet.types import CLASSES

FileStamp: TypeAlias = tuple[tuple[str, int, int], ...]
"""Path, modification time and size of each file of the runs, as a cache key."""

_NUMERIC_FACTS: Final = ("parameters", "bytes", "one_face_ms", "four_faces_ms")
"""Required numbers in the facts of a run; null if not measured."""

AccuracyMeasure: TypeAlias = Literal[
    "mask_vs_no_mask", "no_mask_recall", "balanced_accuracy"
]

MEASURE_TITLES: Final[Mapping[AccuracyMeasure, str]] = {
    "mask_vs_no_mask": "Mask vs no mask",
    "no_mask_recall": "No-mask recall",
    "balanced_accuracy": "Balanced accuracy",
}
"""Title of each metric."""

MEASURE_HELP: Final[Mapping[AccuracyMeasure, str]] = {
    "mask_vs_no_mask": "Accuracy of mask against no mask over all faces; an "
    "incorrectly worn mask counts as a mask.",
    "no_mask_recall": "Fraction of the faces without a mask that are classified as "
    "such; the rest would pass a mask check.",
    "balanced_accuracy": "Mean recall of mask, no mask and incorrectly worn; each "
    "class has the same weight.",
}
"""Explanation of each metric."""

SET_TITLES: Final[Mapping[str, str]] = {
    **{
        f"{set_name}/{boxes}": f"{dataset_title(set_name)}, {boxes_title} boxes"
        for boxes, boxes_title in (("true", "true"), ("found", "MTCNN"))
        for set_name in ("kaggle-val", "ilc-val")
    },
    "faces-test": "Faces test",
}
"""Short titles of the `EVALUATION_SETS`, the most informative first."""

COST_COLUMNS: Final[Mapping[str, tuple[str, float]]] = {
    "Parameters (M)": ("parameters", 1e6),
    "File (MB)": ("bytes", 1e6),
    "1 face (ms)": ("one_face_ms", 1.0),
    "1 of 4 faces (ms)": ("four_faces_ms", 4.0),
}
"""Heading of each cost column, its fact and its unit; `four_faces_ms` is one call."""

Column: TypeAlias = list[str] | list[str | None] | list[float | None] | list[int | None]

Heading: TypeAlias = tuple[str, str]
"""Heading of a group of columns, and of the column."""


@dataclass(frozen=True, eq=False)
class RunCatalog:
    """All readable training runs.

    Attributes:
        runs: by name, our own first.
        problems: an error message for each run that could not be read.
        stamp: changes with the content of the folder.
    """

    runs: Mapping[str, TrainingRun]
    problems: tuple[str, ...]
    stamp: FileStamp


CATALOG_HASH: Final[dict[str | type[Any], Callable[[Any], Any]]] = {
    RunCatalog: lambda catalog: catalog.stamp
}
"""Lets a cached function recognize a catalog by its files."""


def load_run_catalog() -> RunCatalog:
    """Return bundled runs, then the user's models; files are read once per change."""
    folder = training_runs.RUNS_FOLDER
    files = sorted(folder.glob("*/*"))
    bundled = _read_runs(str(folder), _compute_stamp(files))
    own = {
        name: model
        for name, model in get_own_models("classifier").items()
        if name not in bundled.runs and name not in BUILT_IN_CLASSIFIERS
    }
    problems = list_own_model_problems()
    if not own and not problems:
        return bundled
    all_runs = {
        **bundled.runs,
        **{name: _run_from_own_model(model) for name, model in own.items()},
    }
    paths = [
        path
        for model in own.values()
        for path in (model.path, *(model.folder or model.path).glob("*"))
    ]
    lines = [f"Own model not available: {line}." for line in problems]
    return RunCatalog(
        all_runs,
        (*bundled.problems, *lines),
        (*bundled.stamp, *_compute_stamp(sorted(paths))),
    )


def _compute_stamp(files: Sequence[Path]) -> FileStamp:
    stats = [(path, path.stat()) for path in files if path.is_file()]
    return tuple((str(path), stat.st_mtime_ns, stat.st_size) for path, stat in stats)


def _run_from_own_model(model: OwnModel) -> TrainingRun:
    """Return a user's model as a run; data missing in its folder stays empty."""
    facts: dict[str, Any] = {
        "title": model.name,
        "about": f"Your own model, {model.path.name}.",
        **dict.fromkeys(_NUMERIC_FACTS),
        **model.facts,
        "file": model.path.name,
        "bytes": model.path.stat().st_size,
    }
    folder = model.folder
    run = TrainingRun(model.name, facts, (), {}, "")
    if folder is not None:
        try:
            stored_run = training_runs.read_training_run(folder.name, folder.parent)
            run = replace(stored_run, name=model.name, facts=facts)
        except (OSError, ValueError):
            pass  # a model needs only its facts
    try:
        return _validate_run(run)
    except ValueError:
        texts = {"title": model.name, "about": run.facts["about"]}
        return replace(
            run, facts={**facts, **dict.fromkeys(_NUMERIC_FACTS), **texts, "about": ""}
        )


@st.cache_data(max_entries=2, show_spinner="Loading training runs …")
def _read_runs(folder_name: str, stamp: FileStamp) -> RunCatalog:
    folder = Path(folder_name)
    runs_by_name: dict[str, TrainingRun] = {}
    problems: list[str] = []
    for name in training_runs.list_training_runs(folder):
        try:
            runs_by_name[name] = _validate_run(
                training_runs.read_training_run(name, folder)
            )
        except (OSError, ValueError) as error:
            reason = _format_reason(error, folder / name)
            problems.append(f"Training run {name} cannot be shown: {reason}")
    return RunCatalog(runs_by_name, tuple(problems), stamp)


def _format_reason(error: Exception, folder: Path) -> str:
    """Return the error in one line without a path of the server."""
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"its {Path(error.filename).name} is missing."
    line = " ".join(str(error).split())
    line = line.replace(f"{folder}/", "").replace(f"{folder}: ", "")
    return f"{line}."


def _validate_run(run: TrainingRun) -> TrainingRun:
    """Return the run if its facts are complete.

    Raises:
        ValueError: a fact is missing or of a wrong type; the message names it.
    """
    if not isinstance(run.facts, Mapping):
        raise ValueError("facts.json must hold a JSON object")
    for name in _NUMERIC_FACTS:
        value: Any = run.facts.get(name, "missing")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not is_number:
            raise ValueError(f"{name} in facts.json must be a number, not {value!r}")
    for name in ("title", "about"):
        if not isinstance(run.facts.get(name), str):
            raise ValueError(f"{name} in facts.json must be a text")
    return run


def has_bundled_weights(run: TrainingRun) -> bool:
    """Return whether the weights of the run are part of the package."""
    return bool(run.facts.get("file"))


def training_command(run: TrainingRun) -> str:
    """Return the command that reproduces the run, or an empty text."""
    recipe = run.facts.get("recipe")
    text = recipe.get("command", "") if isinstance(recipe, Mapping) else ""
    return str(text)


class RunEstimate(NamedTuple):
    """One metric of one run on one dataset.

    Attributes:
        run: name of the run.
        set_name: a name in `EVALUATION_SETS`.
        measure: the metric.
        estimate: value and interval, from 0 to 1.
    """

    run: str
    set_name: str
    measure: AccuracyMeasure
    estimate: Estimate


def compute_measure(predictions: Predictions, measure: AccuracyMeasure) -> Estimate:
    """Compute one metric of a set of predictions."""
    labels = predictions.classification
    if measure == "mask_vs_no_mask":
        return labels.binary_confusion.accuracy
    if measure == "no_mask_recall":
        return labels.binary_confusion.recalls[1]
    return labels.class_confusion.balanced_accuracy()


@st.cache_data(
    max_entries=2, show_spinner="Computing metrics …", hash_funcs=CATALOG_HASH
)
def list_run_estimates(catalog: RunCatalog) -> list[RunEstimate]:
    """Return all metrics of all runs; the result is cached."""
    return [
        RunEstimate(
            name, set_name, measure, compute_measure(run.predictions[set_name], measure)
        )
        for name, run in catalog.runs.items()
        for set_name in EVALUATION_SETS
        if set_name in run.predictions
        for measure in get_args(AccuracyMeasure)
    ]


PERCENT_HEADING, PERCENT_INTERVAL_HEADING, COUNT_HEADING = "%", "95 % interval", "n"
"""Headings of the three columns of each dataset."""


def run_table(
    catalog: RunCatalog, measure: AccuracyMeasure, *, in_use: str, usable: Iterable[str]
) -> dict[Heading, Column]:
    """Return the columns of the table of runs; metrics in percent.

    Args:
        catalog: the runs.
        measure: the metric to show for each dataset.
        in_use: name of the active classifier.
        usable: names of the available classifiers.
    """
    rows = list(catalog.runs.items())
    usable_names = set(usable)
    columns: dict[Heading, Column] = {
        ("", "Model"): [name for name, _ in rows],
        ("", "Status"): [
            _describe_run_use(name, run, in_use=in_use, usable_names=usable_names)
            for name, run in rows
        ],
    }
    estimates_by_key = {
        (run_estimate.run, run_estimate.set_name): run_estimate.estimate
        for run_estimate in list_run_estimates(catalog)
        if run_estimate.measure == measure
    }
    for set_name, title in SET_TITLES.items():
        estimates = [estimates_by_key.get((name, set_name)) for name, _ in rows]
        columns[title, PERCENT_HEADING] = [
            to_percent(estimate) for estimate in estimates
        ]
        columns[title, PERCENT_INTERVAL_HEADING] = [
            format_percent_interval(estimate) for estimate in estimates
        ]
        columns[title, COUNT_HEADING] = [
            estimate.n if estimate else None for estimate in estimates
        ]
    for heading, (fact, unit) in COST_COLUMNS.items():
        values = [run.facts[fact] for _, run in rows]
        columns["Cost", heading] = [
            None if value is None else value / unit for value in values
        ]
    return columns


def to_percent(estimate: Estimate | None) -> float | None:
    """Return the value in percent, or None if nothing was measured."""
    return 100 * estimate.value if estimate is not None and estimate.n else None


def format_percent_interval(estimate: Estimate | None) -> str | None:
    """Return the interval in percent, as in "95.1 to 98.2", or None."""
    if estimate is None or not estimate.n:
        return None
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"


def _describe_run_use(
    name: str, run: TrainingRun, *, in_use: str, usable_names: set[str]
) -> str:
    if name == in_use:
        return "active"
    if name in usable_names:
        return "available"
    return "not installed" if has_bundled_weights(run) else "metrics only"


def run_estimates_csv(catalog: RunCatalog, run_name: str | None = None) -> str:
    """Return the metrics of one run, or of all, as CSV with a row per metric."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "dataset", "measure", "value", "low", "high", "n"])
    for run_estimate in list_run_estimates(catalog):
        if run_name in (None, run_estimate.run):
            *names, estimate = run_estimate
            writer.writerow([*names, *estimate.to_json().values()])
    return text.getvalue()


def describe_mistakes(predictions: Predictions, style: Style) -> str:
    """Describe the errors: their number, and the confused classes, most first."""
    counts = predictions.classification.class_confusion.counts
    pairs = [
        (int(counts[actual, predicted]), actual, predicted)
        for actual in CLASSES
        for predicted in CLASSES
        if actual != predicted and counts[actual, predicted]
    ]
    n = len(predictions)
    if not pairs:
        return f"none of {n:,} wrong"
    parts = [
        f"{count} “{style.title(actual)}” predicted as “{style.title(predicted)}”"
        for count, actual, predicted in sorted(pairs, key=lambda pair: -pair[0])
    ]
    return f"{sum(pair[0] for pair in pairs):,} of {n:,} wrong: {', '.join(parts)}"
