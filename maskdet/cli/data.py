"""`maskdet data`: look at labelled pictures before anybody trains on them."""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

from maskdet.cli.console import STDOUT, check_target, progress, say, write_text
from maskdet.cli.labelled import add_classes_option, class_names
from maskdet.datasets import Example
from maskdet.datasets.loading import load_checked, with_validation
from maskdet.datasets.looks import ALIKE_BITS
from maskdet.datasets.reading import UNDERSTOOD
from maskdet.datasets.report import report_on
from maskdet.datasets.splits import Straddling, split_by_group, without_straddlers

_ABOUT = f"""Report images that cannot be read, near-duplicates (difference hash, at
most {ALIKE_BITS} of 64 bits), near-duplicates in different splits, and the number and
size of the faces of each class. Everything that would stop a training is listed: images
and labels that do not fit each other, unknown classes, boxes outside of their image.
Formats: {UNDERSTOOD}. The exit status is 1 if an image cannot be read or a label is
wrong."""

_COLUMNS = ("path", "label", "split", "source", "group")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "data", help="check labelled images and split them", description=_ABOUT
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
        type=_shares,
        metavar="70/20/10",
        help="make a new split into train, val and test; near-duplicates stay together",
    )
    parser.add_argument("--seed", type=int, default=1, help="random seed of the split")
    parser.add_argument(
        "--out", metavar="INDEX.csv", help="write the split; for images of one face"
    )


def run(args: argparse.Namespace) -> int:
    """Check, report, and write what was asked for."""
    for option, target in (("--json", args.json), ("--out", args.out)):
        check_target(option, target, args.paths)
    if args.json == STDOUT and args.out == STDOUT:
        raise ValueError("--json and --out cannot both go to stdout")
    clean = load_checked(
        args.paths,
        source=args.source,
        corrections=args.corrections,
        classes=class_names(args),
        strict=False,
        progress=lambda paths: progress(paths, "picture"),
    )
    kept, straddling = without_straddlers(clean.examples)
    notes: tuple[str, ...] = ()
    if args.split is not None:
        kept = split_by_group(clean.examples, args.split, seed=args.seed)
        straddling = Straddling()
    elif args.out is not None:
        kept, notes = with_validation(kept, seed=args.seed)
    if args.out is not None and clean.issues:
        raise ValueError(
            f"--out: mend the labels first, maskdet data lists all: {clean.issues[0]}"
        )
    report = report_on(clean, kept, straddling, notes)
    if args.out is not None:
        text = _index(kept, Path() if args.out == STDOUT else Path(args.out).parent)
    for line in report.lines():
        say(line, quiet_stdout=STDOUT in (args.json, args.out))
    if args.json is not None:
        head = {"version": 1, "paths": [str(path) for path in args.paths]}
        write_text(args.json, json.dumps(head | report.to_json(), indent=2) + "\n")
    if args.out is not None:
        write_text(args.out, text)
    return 1 if clean.unreadable or clean.issues else 0


def _index(examples: Sequence[Example], folder: Path) -> str:
    """Return an index of the pictures, their paths relative to `folder`."""
    boxed = sum(not one.whole for one in examples)
    if boxed:
        raise ValueError(
            "--out: an index holds one label a picture, but these have boxes "
            f"(boxes in {boxed} of them); leave out --out"
        )
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for one in sorted(examples, key=lambda one: one.path):
        path = Path(os.path.relpath(one.path, folder)).as_posix()
        rows.writerow([path, one.labels[0].key, one.split, one.source, one.group])
    return text.getvalue()


def _shares(text: str) -> tuple[float, float, float]:
    """Read `70/20/10`, or `80/20` for no test."""
    try:
        parts = [float(part) for part in text.split("/")]
        train, val, test = parts if len(parts) == 3 else [*parts, 0.0]
    except ValueError:
        parts = []
    if not parts or min(parts) < 0 or train == 0 or sum(parts) != 100:
        raise argparse.ArgumentTypeError(
            f"wanted shares such as 70/20/10 that sum to 100, not {text!r}"
        )
    return train / 100, val / 100, test / 100
