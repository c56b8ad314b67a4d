"""`maskdet label`: add boxes to images whose class is known, and write COCO."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from maskdet.atomic_file import write_file
from maskdet.auto_label import AutoLabel, AutoLabelRules, auto_label_faces, to_example
from maskdet.classifier import CLASSIFIERS, DEFAULT_CLASSIFIER, load_classifier
from maskdet.cli.console import (
    STDOUT,
    check_output_path,
    iterate_with_progress_bar,
    print_line,
)
from maskdet.cli.dataset_options import add_classes_option, read_examples_with_warnings
from maskdet.datasets import SPLITS, Example, apply_corrections
from maskdet.datasets.coco import build_coco, relative_file_name
from maskdet.datasets.reading import SUPPORTED_FORMATS
from maskdet.detectors import DETECTORS, load_detector
from maskdet.media import encode_png
from maskdet.wording import format_count

_REVIEW_LIST_NAME = "review.csv"
"""File in a review folder: the images to review, to be filled in with yes or no."""

_DESCRIPTION = f"""Add a box to each image of one face whose class is known, and write
COCO. The class comes from the name of the folder or from the index, the box from a face
detector. Images without a reliable box are left out and listed in the file with the
reason. Other faces of an image get no class and are ignored. Formats:
{SUPPORTED_FORMATS}; each image needs one label and no box."""

_REJECTED_IN_REVIEW = "rejected in review"

_SAMPLE_SIZE = 96
"""Maximum number of randomly chosen accepted images in a review folder."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "label",
        help="add boxes to images whose class is known",
        description=_DESCRIPTION,
    )
    parser.add_argument("path", type=Path, metavar="FOLDER_OR_INDEX")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    parser.add_argument("--detector", choices=sorted(DETECTORS), default="mtcnn")
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
        f"and {_REVIEW_LIST_NAME} there",
    )
    parser.add_argument(
        "--reviewed",
        type=Path,
        metavar="LIST",
        help=f"{_REVIEW_LIST_NAME}, filled in: yes or no in the column keep",
    )
    add_classes_option(parser)
    for option, line in (
        ("--min-score", "review faces with a lower detection score, 0 to 1"),
        ("--min-face-px", "review faces whose shorter side is smaller, in pixels"),
    ):
        parser.add_argument(option, type=float, metavar="F", help=line)
    parser.set_defaults(
        min_score=AutoLabelRules.min_score, min_face_px=AutoLabelRules.min_px
    )


def run(args: argparse.Namespace) -> int:
    """Add boxes, write the file, and report what is left out."""
    from maskdet.evaluation.report import read_review

    check_output_path("--out", str(args.out), [args.path])
    if str(args.out) == STDOUT:
        raise ValueError(
            "--out: must be a file, as its paths are relative to its folder"
        )
    examples = _read_examples(args)
    review_decisions = {} if args.reviewed is None else read_review(args.reviewed)
    detector = load_detector(args.detector)
    classifier = None if args.classifier == "none" else load_classifier(args.classifier)
    examples_with_progress = iterate_with_progress_bar(examples, "image")
    rules = AutoLabelRules(args.min_score, args.min_face_px)
    boxed = list(auto_label_faces(examples_with_progress, detector, classifier, rules))
    accepted, doubtful = _split_by_doubt(boxed, review_decisions)
    write_file(args.out, _format_coco(accepted, doubtful, args).encode("utf-8"))
    for line in _format_summary(accepted, doubtful):
        print_line(line)
    print_line(f"wrote {args.out}", to_stderr=True)
    if args.review is not None:
        _write_review(args.review, accepted, doubtful)
    return 0


def _read_examples(args: argparse.Namespace) -> list[Example]:
    examples = read_examples_with_warnings(args.path, args)
    if args.corrections is not None:
        examples = apply_corrections(examples, args.corrections)
    selected = [
        example
        for example in examples
        if args.split in (None, example.split) and args.source in (None, example.source)
    ]
    if not selected:
        raise ValueError(f"{args.path}: no images of this split and source")
    return selected


def _split_by_doubt(
    boxed: Sequence[AutoLabel], review_decisions: Mapping[Path, bool]
) -> tuple[list[AutoLabel], list[AutoLabel]]:
    """Return the accepted and the doubtful images; review decisions take precedence."""
    accepted: list[AutoLabel] = []
    doubtful: list[AutoLabel] = []
    for boxed_image in boxed:
        is_accepted = review_decisions.get(
            boxed_image.example.path.resolve(), not boxed_image.review_reason
        )
        (accepted if is_accepted and len(boxed_image.boxes) else doubtful).append(
            boxed_image
        )
    return accepted, doubtful


def _format_coco(
    accepted: Sequence[AutoLabel],
    doubtful: Sequence[AutoLabel],
    args: argparse.Namespace,
) -> str:
    folder = args.out.parent
    content = build_coco(
        [(to_example(boxed_image), boxed_image.image_wh) for boxed_image in accepted],
        folder,
    )
    content["left_out"] = [
        {
            "file_name": relative_file_name(boxed_image.example.path, folder),
            "reason": boxed_image.review_reason or _REJECTED_IN_REVIEW,
        }
        for boxed_image in doubtful
    ]
    content["info"] = {
        "description": f"boxes by {args.detector}, classes from the labels",
    }
    return json.dumps(content, indent=1) + "\n"


def _format_summary(
    accepted: Sequence[AutoLabel], doubtful: Sequence[AutoLabel]
) -> list[str]:
    labels = Counter(boxed_image.example.labels[0].key for boxed_image in accepted)
    n_other_faces = sum(len(boxed_image.other_boxes) for boxed_image in accepted)
    reasons = Counter(
        boxed_image.review_reason or _REJECTED_IN_REVIEW for boxed_image in doubtful
    )
    lines = [
        f"boxed {len(accepted)} of "
        f"{format_count(len(accepted) + len(doubtful), 'image')}"
    ]
    lines += [f"  {label} {n}" for label, n in labels.most_common()]
    lines.append(f"  other faces, of unknown class: {n_other_faces}")
    lines.append(f"left out {len(doubtful)}")
    return lines + [f"  {reason} {n}" for reason, n in reasons.most_common()]


def _write_review(
    folder: Path, accepted: Sequence[AutoLabel], doubtful: Sequence[AutoLabel]
) -> None:
    from maskdet.evaluation.report import format_review_csv, render_review_sheets

    folder.mkdir(parents=True, exist_ok=True)
    for number, sheet in enumerate(render_review_sheets(doubtful), start=1):
        write_file(folder / f"review-{number}.png", encode_png(sheet))
    sample_rows = np.random.default_rng(0).permutation(len(accepted))[:_SAMPLE_SIZE]
    for sheet in render_review_sheets([accepted[row] for row in np.sort(sample_rows)]):
        write_file(folder / "sample.png", encode_png(sheet))
    write_file(folder / _REVIEW_LIST_NAME, format_review_csv(doubtful).encode("utf-8"))
    print_line(
        f"wrote contact sheets and {_REVIEW_LIST_NAME} to {folder}", to_stderr=True
    )
