"""Options, checks and final output shared by the trainings of both networks."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from maskdet.cli import EXIT_INTERRUPTED
from maskdet.cli.console import print_line, print_warning
from maskdet.cli.options import parse_integer
from maskdet.extras import require_libraries
from maskdet.training.run_log import check_run_folder, read_epochs

if TYPE_CHECKING:
    from maskdet.detectors import Detector

_Recipe = TypeVar("_Recipe")

_MAX_WORKERS = 256

_OPTION_NAMES = {
    "body_rate": "backbone-rate",
    "distracted": "distractor-fraction",
    "negatives": "negatives-fraction",
}
"""Field of a recipe to its option, where the names differ."""


def add_workers_option(parser: argparse.ArgumentParser) -> None:
    """Add `--workers`."""
    parser.add_argument(
        "--workers",
        type=partial(parse_integer, minimum=0, maximum=_MAX_WORKERS),
        default=0,
        metavar="N",
        help="processes that augment images, for training on a GPU (default: 0, a "
        "thread of the training process)",
    )


def check_training_libraries() -> None:
    """Check that the libraries for training are installed.

    The variable KERAS_BACKEND selects another backend of Keras than TensorFlow.

    Raises:
        MissingExtraError: a library is missing; the message names the extra.
    """
    other = os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow"
    backend = "keras" if other else "tensorflow"
    require_libraries("maskdet train", backend, "altair", "vl_convert")


def check_training_paths(args: argparse.Namespace, out: Path) -> None:
    """Check before the work the input paths and the folder of a training.

    Raises:
        OSError: a path is missing or cannot be written.
        ValueError: the folder of the run cannot be used.
    """
    check_run_folder(out, resume=args.resume)
    given = [("data", args.data), ("val", args.val)]
    given += [("corrections", [args.corrections])] * (args.corrections is not None)
    for option, paths in given:
        for path in paths:
            if not Path(path).exists():
                raise FileNotFoundError(f"--{option} {path}: there is no such path")


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
    # Silence the warnings of TensorFlow about missing GPUs.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def make_progress_bar(title: str) -> partial[Any]:
    """Return a factory of progress bars on a terminal."""
    from tqdm import tqdm

    return partial(tqdm, desc=title, disable=None, file=sys.stderr)


def load_detector_option(name: str) -> Detector | None:
    """Return the face detector of `--detector`; None for `none`."""
    if name == "none":
        return None
    from maskdet.detectors import load_detector

    return load_detector(name)


def finish_training(
    out: Path, title: str, *, n_planned_epochs: int, has_ended: bool = False
) -> int:
    """Draw the learning curves, report how the training ended, and return the status.

    Args:
        out: folder of the run.
        title: name of the run.
        n_planned_epochs: epochs of the recipe.
        has_ended: whether the training ended before the planned epochs.
    """
    from maskdet.evaluation.report import write_curves

    log = read_epochs(out)
    curves = write_curves(out, log, title)
    if curves:
        print_line(f"wrote {', '.join(str(path) for path in curves)}")
    if has_ended or len(log) >= n_planned_epochs:
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
