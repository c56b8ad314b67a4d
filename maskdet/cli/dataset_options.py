"""Options for labelled data, and functions that read it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from maskdet.cli.console import print_warning
from maskdet.datasets import (
    ClassNames,
    Example,
    Issues,
    parse_class_names,
    read_dataset,
)
from maskdet.datasets.class_names import CLASS_TARGETS, IGNORE, NO_FACE


def add_classes_option(parser: argparse.ArgumentParser) -> None:
    """Add `--classes`."""
    parser.add_argument(
        "--classes",
        action="append",
        default=[],
        metavar="NAME=CLASS,...",
        help="map class names of the data, as in helmet=none,chin=incorrect, to one of "
        f"{', '.join(CLASS_TARGETS)}. {IGNORE}: a face of unknown class; {NO_FACE}: "
        "not a face",
    )


def add_held_out_option(parser: argparse.ArgumentParser) -> None:
    """Add `--held-out-kinds`."""
    parser.add_argument(
        "--held-out-kinds",
        nargs="+",
        default=[],
        metavar="KIND",
        help="kinds of images without a face (`kind` in the COCO file, or the name of "
        "the folder) to hold out completely",
    )


def parse_class_names_option(args: argparse.Namespace) -> ClassNames:
    """Parse `--classes`.

    Raises:
        ValueError: a value is not NAME=CLASS.
    """
    try:
        return parse_class_names(args.classes)
    except ValueError as error:
        raise ValueError(f"--classes: {error}") from None


def read_examples_with_warnings(path: Path, args: argparse.Namespace) -> list[Example]:
    """Return the examples of a set, and print warnings about it on stderr."""
    issues = Issues()
    examples = read_dataset(path, classes=parse_class_names_option(args), issues=issues)
    for note in issues.notes():
        print_warning(f"{path}: {note}")
    return examples


def filter_by_source(
    path: Path, examples: Sequence[Example], source: str | None
) -> list[Example]:
    """Return the examples of one source, or all for None.

    Raises:
        ValueError: there are none; the message lists the sources.
    """
    selected = [example for example in examples if source in (None, example.source)]
    if not selected:
        sources = ", ".join(sorted({example.source for example in examples}))
        raise ValueError(f"{path}: no image of source {source!r}; there are {sources}")
    return selected
