"""`maskdet data`: check labelled images before training, and split them."""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

from maskdet.cli.console import (
    STDOUT,
    check_output_path,
    iterate_with_progress_bar,
    print_line,
    write_text,
)
from maskdet.cli.dataset_options import add_classes_option, parse_class_names_option
from maskdet.datasets import Example
from maskdet.datasets.duplicates import NEAR_DUPLICATE_BITS
from maskdet.datasets.loading import DataReport, ensure_validation, load_and_check
from maskdet.datasets.reading import SUPPORTED_FORMATS
from maskdet.datasets.splits import Leakage, drop_leaks, split_by_group
from maskdet.wording import format_count

_DESCRIPTION = f"""Report images that cannot be read, near-duplicates (difference hash,
at most {NEAR_DUPLICATE_BITS} of 64 bits), near-duplicates in different splits, and the
number and size of the faces of each class. Every error that would stop a training is
listed: images and labels that do not match, unknown classes, boxes outside of their
image. Formats: {SUPPORTED_FORMATS}. The exit status is 1 if an image cannot be read or
a label is invalid."""

_COLUMNS = ("path", "label", "split", "source", "group")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "data", help="check labelled images and split them", description=_DESCRIPTION
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    parser.add_argument("--source", help="only images of this source")
    parser.add_argument(
        "--corrections", type=Path, metavar="LIST", help="list of labels to correct"
    )
    add_classes_option(parser)
    parser.add_argument("--json", metavar="FILE", help="write JSON; - for stdout")
    parser.add_argument(
        "--split",
        type=_parse_split_fractions,
        metavar="70/20/10",
        help="create a new train/val/test split; near-duplicates stay together",
    )
    parser.add_argument("--seed", type=int, default=1, help="random seed of the split")
    parser.add_argument(
        "--out", metavar="INDEX.csv", help="write the split; for images of one face"
    )


def run(args: argparse.Namespace) -> int:
    """Check the images, report, and write the outputs."""
    for option, target in (("--json", args.json), ("--out", args.out)):
        check_output_path(option, target, args.paths)
    if args.json == STDOUT and args.out == STDOUT:
        raise ValueError("--json and --out cannot both go to stdout")
    checked = load_and_check(
        args.paths,
        source=args.source,
        corrections=args.corrections,
        classes=parse_class_names_option(args),
        strict=False,
        progress=lambda paths: iterate_with_progress_bar(paths, "image"),
    )
    examples, leakage = drop_leaks(checked.examples)
    notes: tuple[str, ...] = ()
    if args.split is not None:
        examples = split_by_group(checked.examples, args.split, seed=args.seed)
        leakage = Leakage()
    elif args.out is not None:
        examples, notes = ensure_validation(examples, seed=args.seed)
    if args.out is not None and checked.issues:
        raise ValueError(
            f"--out: fix the labels first, `maskdet data` lists all issues: "
            f"{checked.issues[0]}"
        )
    report = DataReport(checked, examples, leakage, notes)
    if args.out is not None:
        text = _format_index(
            examples, Path() if args.out == STDOUT else Path(args.out).parent
        )
    for line in report.lines():
        print_line(line, to_stderr=STDOUT in (args.json, args.out))
    if args.json is not None:
        metadata = {"version": 2, "paths": [str(path) for path in args.paths]}
        write_text(args.json, json.dumps(metadata | report.to_json(), indent=2) + "\n")
    if args.out is not None:
        write_text(args.out, text)
    return 1 if checked.unreadable or checked.issues else 0


def _format_index(examples: Sequence[Example], folder: Path) -> str:
    """Return an index of the images, their paths relative to `folder`."""
    n_boxed = sum(not example.is_crop for example in examples)
    if n_boxed:
        raise ValueError(
            "--out: an index has one label per image, but "
            f"{format_count(n_boxed, 'image has', 'images have')} boxes; leave out "
            "--out"
        )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for example in sorted(examples, key=lambda example: example.path):
        path = Path(os.path.relpath(example.path, folder)).as_posix()
        writer.writerow(
            [path, example.labels[0].key, example.split, example.source, example.group]
        )
    return text.getvalue()


def _parse_split_fractions(text: str) -> tuple[float, float, float]:
    """Parse `70/20/10`, or `80/20` for no test split."""
    try:
        percentages = [float(percentage) for percentage in text.split("/")]
        train, val, test = percentages if len(percentages) == 3 else [*percentages, 0.0]
    except ValueError:
        percentages = []
    if not percentages or min(percentages) < 0 or train == 0 or sum(percentages) != 100:
        raise argparse.ArgumentTypeError(
            f"must be percentages that sum to 100, such as 70/20/10, not {text!r}"
        )
    return train / 100, val / 100, test / 100
