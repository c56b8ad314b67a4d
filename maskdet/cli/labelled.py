"""Labelled images on the command line: `--classes`, and what is told of a set."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from maskdet.cli.console import complain
from maskdet.datasets import ClassNames, Example, Issues, parse_class_names, read_any
from maskdet.datasets.class_names import IGNORE, NO_FACE, TARGETS


def add_classes_option(parser: argparse.ArgumentParser) -> None:
    """Add `--classes`."""
    parser.add_argument(
        "--classes",
        action="append",
        default=[],
        metavar="NAME=CLASS,...",
        help="what the class names of the data mean, as in helmet=none,chin=incorrect: "
        f"{', '.join(TARGETS)}. {IGNORE}: a face of unknown class; {NO_FACE}: not a "
        "face",
    )


def add_held_out_option(parser: argparse.ArgumentParser) -> None:
    """Add `--held-out-kinds`."""
    parser.add_argument(
        "--held-out-kinds",
        nargs="+",
        default=[],
        metavar="KIND",
        help="kinds of images without a face (their `kind` in the COCO file, or the "
        "folder's name) that are held out as a whole",
    )


def class_names(args: argparse.Namespace) -> ClassNames:
    """Return what `--classes` says.

    Raises:
        ValueError: it is not NAME=CLASS.
    """
    try:
        return parse_class_names(args.classes)
    except ValueError as error:
        raise ValueError(f"--classes: {error}") from None


def read_examples(path: Path, args: argparse.Namespace) -> list[Example]:
    """Return the examples of a set; what is doubtful about it is told on stderr."""
    issues = Issues()
    examples = read_any(path, classes=class_names(args), issues=issues)
    for line in issues.notes():
        complain(f"{path}: {line}")
    return examples


def of_source(
    path: Path, examples: Sequence[Example], source: str | None
) -> list[Example]:
    """Return the examples of one source, or all.

    Raises:
        ValueError: there are none; the message names the sources.
    """
    kept = [one for one in examples if source in (None, one.source)]
    if not kept:
        known = ", ".join(sorted({one.source for one in examples}))
        raise ValueError(f"{path}: no image of source {source!r}; there are {known}")
    return kept
