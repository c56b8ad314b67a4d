"""What the trainings of both networks check before the work, and tell after it."""

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
from maskdet.extras import require_libraries
from maskdet.training.run_log import check_run_folder, read_epochs

if TYPE_CHECKING:
    from maskdet.detectors import Detector

_Recipe = TypeVar("_Recipe")

_MAX_WORKERS = 256


def add_workers_option(parser: argparse.ArgumentParser) -> None:
    """Add how many processes make the batches."""
    parser.add_argument(
        "--workers",
        type=_parse_worker_count,
        default=0,
        metavar="N",
        help="processes that augment images, where a GPU trains (default: 0, a thread "
        "beside the training)",
    )


def _parse_worker_count(text: str) -> int:
    count = int(text) if text.isdecimal() else -1
    if not 0 <= count <= _MAX_WORKERS:
        raise argparse.ArgumentTypeError(
            f"{text!r}: wanted a whole number from 0 to {_MAX_WORKERS}"
        )
    return count


def check_training_libraries() -> None:
    """Make sure that everything a training needs is installed.

    Keras trains with another library where the variable KERAS_BACKEND names one.

    Raises:
        MissingExtraError: something is not; the message names the extra.
    """
    other = os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow"
    backend = "keras" if other else "tensorflow"
    require_libraries("maskdet train", backend, "altair", "vl_convert")


def check_training_paths(args: argparse.Namespace, out: Path) -> None:
    """Make sure, before any work, that what a training reads and writes is there.

    Raises:
        OSError: something is missing, or cannot be written.
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
    """Return a recipe with the values that were given as options.

    Args:
        recipe: a dataclass.
        overrides: its fields by name; None for what was not given.

    Raises:
        ValueError: a value cannot train; the message names the option.
    """
    for name, value in overrides.items():
        if value is None:
            continue
        try:
            recipe = dataclasses.replace(recipe, **{name: value})  # type: ignore[type-var]
        except ValueError as error:
            raise ValueError(f"--{name.replace('_', '-')} {value}: {error}") from None
    return recipe


def enable_training_log() -> None:
    """Let the training tell on stderr how it goes."""
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("maskdet").setLevel(logging.INFO)
    # TensorFlow tells of missing graphics cards unless it is told not to.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def make_progress_bar(title: str) -> partial[Any]:
    """Return a progress bar that shows on a terminal how far something is."""
    from tqdm import tqdm

    return partial(tqdm, desc=title, disable=None, file=sys.stderr)


def load_detector_option(name: str) -> Detector | None:
    """Return the face detector that `--detector` names; None for `none`."""
    if name == "none":
        return None
    from maskdet.detectors import load_detector

    return load_detector(name)


def finish_training(
    out: Path, title: str, *, n_planned_epochs: int, has_ended: bool = False
) -> int:
    """Draw the learning curves, say how the training ended, and return the status.

    Args:
        out: folder of the run.
        title: name of the run.
        n_planned_epochs: epochs of the recipe.
        has_ended: whether fewer epochs than planned are the end.
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
            f"stopped after {len(log)} of {n_planned_epochs} epochs; the same command "
            "with "
            "--resume continues"
        )
    else:
        print_warning(
            "stopped in the first epoch; there is nothing to continue, train anew"
        )
    return EXIT_INTERRUPTED
