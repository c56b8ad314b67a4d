"""Options, checks and final output shared by the trainings of both networks."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from maskdet.cli import EXIT_INTERRUPTED
from maskdet.cli.console import print_line, print_warning
from maskdet.cli.dataset_options import (
    add_classes_option,
    add_held_out_option,
    parse_class_names_option,
)
from maskdet.cli.options import make_number_parser
from maskdet.datasets import load_training_data
from maskdet.extras import require_libraries
from maskdet.model_files.own_models import read_facts
from maskdet.training.run_log import (
    BEST_FILE,
    RECIPE_FILE,
    check_run_folder,
    read_epochs,
    read_recipe_json,
)

if TYPE_CHECKING:
    from maskdet.datasets import TrainingData
    from maskdet.detectors import Detector
    from maskdet.training.onepass.data import NegativeImages

_Recipe = TypeVar("_Recipe")

_MAX_WORKERS = 256

_OPTION_NAMES = {
    "body_rate": "backbone-rate",
    "distracted": "distractor-fraction",
    "negatives": "negatives-fraction",
}
"""Field of a recipe to its option, where the names differ."""


def add_data_options(parser: argparse.ArgumentParser, *, data: str, val: str) -> None:
    """Add the options of the images to train on.

    Args:
        parser: parser to extend.
        data: help of `--data`.
        val: default of `--val`, for its help.
    """
    add = parser.add_argument
    add(
        "--data",
        nargs="+",
        action="extend",
        required=True,
        metavar="PATH",
        help=f"{data}; several may be given",
    )
    add(
        "--val",
        nargs="+",
        action="extend",
        default=[],
        metavar="PATH",
        help=f"validation images, in the same formats (default: {val})",
    )
    add("--corrections", metavar="FILE", help="list of labels to correct")
    add(
        "--negatives",
        nargs="+",
        action="extend",
        default=[],
        metavar="PATH",
        help="images without faces: COCO files without boxes, or folders. A quarter of "
        "them is held out, to measure false positives",
    )
    add_held_out_option(parser)
    add_classes_option(parser)


def add_run_options(
    parser: argparse.ArgumentParser,
    *,
    out: str,
    detector: str,
    learning_rate: str,
) -> None:
    """Add the options that override a recipe, and those of the run.

    Args:
        parser: parser to extend.
        out: default of `--out`, for its help.
        detector: help of `--detector`.
        learning_rate: help of `--learning-rate`.
    """
    add = parser.add_argument
    add("--out", type=Path, help=f"folder for the run (default: {out})")
    add("--epochs", type=int, help="total number of epochs")
    add("--steps", type=int, help="batches per epoch")
    add("--batch-size", type=int, help="images per batch")
    add("--learning-rate", type=float, help=learning_rate)
    add("--drawn", type=int, help="number of images with masks drawn on to add")
    add("--seed", type=int, help="random seed (default: 1)")
    add("--detector", default="yunet", help=detector)
    add(
        "--workers",
        type=make_number_parser(0, _MAX_WORKERS),
        default=0,
        metavar="N",
        help="processes that augment images, for training on a GPU (default: 0, a "
        "thread of the training process)",
    )
    add("--resume", action="store_true", help="continue the run in --out")


def check_training_libraries() -> None:
    """Check that the libraries for training are installed.

    The variable KERAS_BACKEND selects another backend of Keras than TensorFlow.

    Raises:
        MissingExtraError: a library is missing; the message names the extra.
    """
    other = os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow"
    backend = "keras" if other else "tensorflow"
    require_libraries("maskdet train", backend, "vl_convert")


def check_training_paths(args: argparse.Namespace, out: Path) -> None:
    """Check before the work the input paths and the folder of a training.

    Raises:
        OSError: a path is missing or cannot be written.
        ValueError: the folder of the run cannot be used.
    """
    check_run_folder(out, resume=args.resume)
    given = [("data", args.data), ("val", args.val), ("negatives", args.negatives)]
    given += [("corrections", [args.corrections])] * (args.corrections is not None)
    for option, paths in given:
        for path in paths:
            if not Path(path).exists():
                raise FileNotFoundError(f"--{option} {path}: there is no such path")
    if args.negatives:
        from maskdet.training.onepass.data import list_negatives

        list_negatives(args.negatives, args.held_out_kinds)


def override_recipe(recipe: _Recipe, overrides: Mapping[str, object]) -> _Recipe:
    """Return a recipe with the values of the given options.

    Args:
        recipe: a dataclass.
        overrides: values by field name; None for options that were not given.

    Raises:
        ValueError: a value is invalid; the message names the option.
    """
    for name, value in overrides.items():
        if value is None:
            continue
        try:
            recipe = dataclasses.replace(recipe, **{name: value})  # type: ignore[type-var]
        except ValueError as error:
            raise ValueError(f"{recipe_option(name)} {value}: {error}") from None
    return recipe


def recipe_option(name: str) -> str:
    """Return the option of a field of a recipe, such as `--batch-size`."""
    return f"--{_OPTION_NAMES.get(name, name).replace('_', '-')}"


def enable_training_log() -> None:
    """Log the progress of a training on stderr."""
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("maskdet").setLevel(logging.INFO)


def make_progress_bar(title: str) -> partial[Any]:
    """Return a factory of progress bars on a terminal."""
    from tqdm import tqdm

    return partial(tqdm, desc=title, disable=None, file=sys.stderr)


def load_data_options(
    args: argparse.Namespace,
    seed: int,
    *,
    fractions: tuple[float, float, float] | None = None,
    source: str | None = None,
) -> TrainingData:
    """Read and check the images of `add_data_options`, and print the report.

    Args:
        args: parsed arguments.
        seed: determines splits.
        fractions: of the splits, for data without splits.
        source: only images of this source.
    """
    data = load_training_data(
        args.data,
        args.val,
        seed=seed,
        fractions=fractions,
        source=source,
        corrections=args.corrections,
        classes=parse_class_names_option(args),
        progress=make_progress_bar("checking"),
    )
    for line in data.report.lines():
        print_line(line)
    return data


def read_negatives_options(args: argparse.Namespace) -> NegativeImages | None:
    """Return the images of `--negatives`, or None."""
    if not args.negatives:
        return None
    from maskdet.training.onepass.data import read_negatives

    negatives = read_negatives(
        args.negatives, args.held_out_kinds, make_progress_bar("reading negatives")
    )
    print_line(
        f"images without a face: {len(negatives.train)} to train on, "
        f"{len(negatives.held_out)} held out"
    )
    return negatives


def collect_data_facts(
    args: argparse.Namespace, data: TrainingData, command: str
) -> dict[str, object]:
    """Return the entries of `recipe.json` that both networks have."""
    return {
        "command": command,
        "data": [_data_set_name(Path(path)) for path in args.data],
        "val": [_data_set_name(Path(path)) for path in args.val],
        "data_report": data.report.to_json(),
    }


def _data_set_name(path: Path) -> str:
    """Return the name of a data set, such as `faces` or `kaggle-train`."""
    path = path.resolve()
    return path.parent.name if path.name == "index.csv" else path.stem


def trace_initial_weights(weights: str | None) -> tuple[str | None, list[str]]:
    """Return the initial weights of the first of several runs, and their commands."""
    if weights is None:
        return None, []
    recipe = _read_weights_recipe(Path(weights))
    if recipe is None:
        return Path(weights).name, []
    commands = [*recipe.get("before", []), recipe["command"]]
    return recipe.get("start", recipe.get("weights")), commands


def _read_weights_recipe(weights: Path) -> dict[str, Any] | None:
    """Return the recipe of the run that produced the weights, if it is available."""
    if weights.suffix == ".tflite":
        try:
            facts, _ = read_facts(weights)
        except FileNotFoundError:
            return None
        return facts.get("recipe")
    recipe = weights.parent / RECIPE_FILE
    if weights.suffix != ".h5" or not recipe.is_file():
        return None
    return read_recipe_json(recipe)


def format_command(words: Sequence[str], options: Mapping[str, object]) -> str:
    """Return a command that can be run again.

    Args:
        words: the command and its positional arguments, without `maskdet`.
        options: values by option; True for a flag, a list for several values. Options
            with None, False or an empty list are left out.
    """
    arguments = ["maskdet", *words]
    for option, value in options.items():
        values = value if isinstance(value, list) else [value]
        # A value of 0 counts.
        if any(value is not None and value is not False for value in values):
            arguments += [
                option,
                *(str(value) for value in values if value is not True),
            ]
    return shlex.join(arguments)


def load_detector_option(name: str) -> Detector | None:
    """Return the face detector of `--detector`; None for `none`."""
    if name == "none":
        return None
    from maskdet.detectors import load_detector

    return load_detector(name)


def write_training_report(
    out: Path, lines: Sequence[str], paths: Sequence[Path] = ()
) -> None:
    """Print the validation results, and write them into the folder of the run.

    Args:
        out: folder of the run.
        lines: the results.
        paths: files that were written besides the weights.
    """
    for line in lines:
        print_line(line)
    (out / "report.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print_line(f"wrote {', '.join(str(path) for path in (out / BEST_FILE, *paths))}")


def finish_training(
    out: Path,
    title: str,
    *,
    export: str,
    n_planned_epochs: int,
    has_ended: bool = False,
) -> int:
    """Draw the learning curves, report how the training ended, and return the status.

    Args:
        out: folder of the run.
        title: name of the run.
        export: arguments of `maskdet export` for the run.
        n_planned_epochs: epochs of the recipe.
        has_ended: whether the training ended before the planned epochs.
    """
    from maskdet.evaluation.report import write_curves

    log = read_epochs(out)
    curves = write_curves(out, log, title)
    if curves:
        print_line(f"wrote {', '.join(str(path) for path in curves)}")
    if has_ended or len(log) >= n_planned_epochs:
        print_line(f"next: maskdet export {export}")
        return 0
    if log:
        print_warning(
            f"stopped after {len(log)} of {n_planned_epochs} epochs; the same "
            "command with --resume continues"
        )
    else:
        print_warning(
            "stopped in the first epoch; there is nothing to continue, train anew"
        )
    return EXIT_INTERRUPTED
