"""`maskdet label`: boxes for a folder of pictures whose class is known, as COCO."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from maskdet.classifier import CLASSIFIERS, DEFAULT_CLASSIFIER, load_classifier
from maskdet.cli.console import STDOUT, check_target, progress, say, write_file
from maskdet.cli.labelled import add_classes_option, read_examples
from maskdet.datasets import SPLITS, Example, corrected
from maskdet.datasets.coco_writing import coco_content, listed_name
from maskdet.datasets.reading import UNDERSTOOD
from maskdet.detectors import DETECTORS, load_detector
from maskdet.labeller import Boxed, Rules, box_faces, settled
from maskdet.media import encode_png
from maskdet.wording import counted

LIST_NAME = "review.csv"
"""In a review folder: every doubtful picture, to be filled in with yes or no."""

_ABOUT = f"""Add a box to each image of one face whose class is known, and write COCO.
The class comes from the name of the folder or from the index, the box from a face
detector. Images without a reliable box are left out and listed in the file with the
reason. Other faces of an image get no class and are ignored. Formats: {UNDERSTOOD};
each image needs one label and no box."""

_REFUSED = "refused in review"

_SAMPLE = 96
"""Sure boxes shown in a review folder, drawn by chance."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "label", help="add boxes to images whose class is known", description=_ABOUT
    )
    parser.add_argument("path", type=Path, metavar="FOLDER_OR_INDEX")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    parser.add_argument("--finder", choices=sorted(DETECTORS), default="mtcnn")
    parser.add_argument("--split", choices=SPLITS, help="only images of this split")
    parser.add_argument("--source", help="only images of this source")
    parser.add_argument(
        "--corrections", type=Path, metavar="LIST", help="list of labels to correct"
    )
    parser.add_argument(
        "--classifier",
        metavar="NAME",
        default=DEFAULT_CLASSIFIER,
        help="classifier to compare the labels with: "
        f"{', '.join(CLASSIFIERS)}, the path of a .tflite file, or none (default: "
        f"{DEFAULT_CLASSIFIER})",
    )
    parser.add_argument(
        "--review",
        type=Path,
        metavar="DIR",
        help="write contact sheets of the images to review, a sample of the others, "
        f"and {LIST_NAME} there",
    )
    parser.add_argument(
        "--reviewed",
        type=Path,
        metavar="LIST",
        help=f"a {LIST_NAME} that was filled in: keep yes or no",
    )
    add_classes_option(parser)
    for option, line in (
        ("--min-score", "review faces with a lower detection score, 0 to 1"),
        ("--min-face-px", "review faces whose shorter side is smaller, in pixels"),
    ):
        parser.add_argument(option, type=float, metavar="F", help=line)


def run(args: argparse.Namespace) -> int:
    """Box, write, and say what is left out."""
    from maskdet.report.review import read_review

    check_target("--out", str(args.out), [args.path])
    if str(args.out) == STDOUT:
        raise ValueError("--out: wanted a file, paths in it are relative to its place")
    examples = _chosen(args)
    kept = {} if args.reviewed is None else read_review(args.reviewed)
    finder = load_detector(args.finder)
    classifier = None if args.classifier == "none" else load_classifier(args.classifier)
    watched = progress(examples, "picture")
    boxed = list(box_faces(watched, finder, classifier, _rules(args)))
    sure, doubtful = _sorted(boxed, kept)
    write_file(args.out, _file(sure, doubtful, args).encode("utf-8"))
    for line in _lines(sure, doubtful):
        say(line)
    say(f"wrote {args.out}", quiet_stdout=True)
    if args.review is not None:
        _write_review(args.review, sure, doubtful)
    return 0


def _chosen(args: argparse.Namespace) -> list[Example]:
    examples = read_examples(args.path, args)
    if args.corrections is not None:
        examples = corrected(examples, args.corrections)
    wanted = [
        one
        for one in examples
        if args.split in (None, one.split) and args.source in (None, one.source)
    ]
    if not wanted:
        raise ValueError(f"{args.path}: no picture of that split and source")
    return wanted


def _rules(args: argparse.Namespace) -> Rules:
    usual = Rules()
    return Rules(
        min_score=usual.min_score if args.min_score is None else args.min_score,
        min_px=usual.min_px if args.min_face_px is None else args.min_face_px,
    )


def _sorted(
    boxed: Sequence[Boxed], kept: Mapping[Path, bool]
) -> tuple[list[Boxed], list[Boxed]]:
    """Return the sure and the doubtful ones, as a person said where one did."""
    sure: list[Boxed] = []
    doubtful: list[Boxed] = []
    for one in boxed:
        keeps = kept.get(one.example.path.resolve(), not one.doubt)
        (sure if keeps and len(one.boxes) else doubtful).append(one)
    return sure, doubtful


def _file(
    sure: Sequence[Boxed], doubtful: Sequence[Boxed], args: argparse.Namespace
) -> str:
    folder = args.out.parent
    content = coco_content([(settled(one), one.image_wh) for one in sure], folder)
    content["left_out"] = [
        {
            "file_name": listed_name(one.example.path, folder),
            "reason": one.doubt or _REFUSED,
        }
        for one in doubtful
    ]
    content["info"] = {
        "description": f"boxes by {args.finder}, classes from the labels",
    }
    return json.dumps(content, indent=1) + "\n"


def _lines(sure: Sequence[Boxed], doubtful: Sequence[Boxed]) -> list[str]:
    labels = Counter(one.example.labels[0].key for one in sure)
    strangers = sum(len(one.others) for one in sure)
    reasons = Counter(one.doubt or _REFUSED for one in doubtful)
    lines = [f"boxed {len(sure)} of {counted(len(sure) + len(doubtful), 'picture')}"]
    lines += [f"  {label} {n}" for label, n in labels.most_common()]
    lines.append(f"  faces of unknown class beside them: {strangers}")
    lines.append(f"left out {len(doubtful)}")
    return lines + [f"  {reason} {n}" for reason, n in reasons.most_common()]


def _write_review(
    folder: Path, sure: Sequence[Boxed], doubtful: Sequence[Boxed]
) -> None:
    from maskdet.report.review import review_list, review_sheets

    folder.mkdir(parents=True, exist_ok=True)
    for number, sheet in enumerate(review_sheets(doubtful), start=1):
        write_file(folder / f"doubtful-{number}.png", encode_png(sheet))
    drawn = np.random.default_rng(0).permutation(len(sure))[:_SAMPLE]
    for sheet in review_sheets([sure[row] for row in np.sort(drawn)]):
        write_file(folder / "sure.png", encode_png(sheet))
    write_file(folder / LIST_NAME, review_list(doubtful).encode("utf-8"))
    say(f"wrote sheets and {LIST_NAME} to {folder}", quiet_stdout=True)
