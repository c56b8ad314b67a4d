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

from maskdet.cli import STOPPED
from maskdet.cli.console import complain, say
from maskdet.extras import require
from maskdet.training.logs import check_folder, epochs_of

if TYPE_CHECKING:
    from maskdet.detectors import Detector

_Recipe = TypeVar("_Recipe")

_MOST_WORKERS = 256


def add_workers_option(parser: argparse.ArgumentParser) -> None:
    """Add how many processes make the batches."""
    parser.add_argument(
        "--workers",
        type=_worker_count,
        default=0,
        metavar="N",
        help="processes that augment images, where a GPU trains (default: 0, a thread "
        "beside the training)",
    )


def _worker_count(text: str) -> int:
    count = int(text) if text.isdecimal() else -1
    if not 0 <= count <= _MOST_WORKERS:
        raise argparse.ArgumentTypeError(
            f"{text!r}: wanted a whole number from 0 to {_MOST_WORKERS}"
        )
    return count


def check_libraries() -> None:
    """Make sure that everything a training needs is installed.

    Keras trains with another library where the variable KERAS_BACKEND names one.

    Raises:
        MissingExtraError: something is not; the message names the extra.
    """
    other = os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow"
    backend = "keras" if other else "tensorflow"
    require("maskdet train", backend, "altair", "vl_convert")


def check_paths(args: argparse.Namespace, out: Path) -> None:
    """Make sure, before any work, that what a training reads and writes is there.

    Raises:
        OSError: something is missing, or cannot be written.
        ValueError: the folder of the run cannot be used.
    """
    check_folder(out, resume=args.resume)
    given = [("data", args.data), ("val", args.val)]
    given += [("corrections", [args.corrections])] * (args.corrections is not None)
    for option, paths in given:
        for path in paths:
            if not Path(path).exists():
                raise FileNotFoundError(f"--{option} {path}: there is no such path")


def with_knobs(recipe: _Recipe, knobs: Mapping[str, object]) -> _Recipe:
    """Return a recipe with the values that were given as options.

    Args:
        recipe: a dataclass.
        knobs: its fields by name; None for what was not given.

    Raises:
        ValueError: a value cannot train; the message names the option.
    """
    for name, value in knobs.items():
        if value is None:
            continue
        try:
            recipe = dataclasses.replace(recipe, **{name: value})  # type: ignore[type-var]
        except ValueError as error:
            raise ValueError(f"--{name.replace('_', '-')} {value}: {error}") from None
    return recipe


def show_progress() -> None:
    """Let the training tell on stderr how it goes."""
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("maskdet").setLevel(logging.INFO)
    # TensorFlow tells of missing graphics cards unless it is told not to.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def bar(title: str) -> partial[Any]:
    """Return a progress bar that shows on a terminal how far something is."""
    from tqdm import tqdm

    return partial(tqdm, desc=title, disable=None, file=sys.stderr)


def find_with(name: str) -> Detector | None:
    """Return the face detector that `--finder` names; None for `none`."""
    if name == "none":
        return None
    from maskdet.detectors import load_detector

    return load_detector(name)


def finish(out: Path, title: str, *, planned: int, ended: bool = False) -> int:
    """Draw the learning curves, say how the training ended, and return the status.

    Args:
        out: folder of the run.
        title: name of the run.
        planned: epochs of the recipe.
        ended: whether fewer epochs than planned are the end.
    """
    from maskdet.report import write_curves

    log = epochs_of(out)
    curves = write_curves(out, log, title)
    if curves:
        say(f"wrote {', '.join(str(path) for path in curves)}")
    if ended or len(log) >= planned:
        return 0
    if log:
        complain(
            f"stopped after {len(log)} of {planned} epochs; the same command with "
            "--resume continues"
        )
    else:
        complain("stopped in the first epoch; there is nothing to continue, train anew")
    return STOPPED
