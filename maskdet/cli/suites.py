"""`python -m maskdet suites`: hard negatives, low light and groups of people."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from maskdet.classifier import DEFAULT_CLASSIFIER, load_classifier
from maskdet.cli.choosing import add_classifier_option
from maskdet.cli.console import STDOUT, check_target, progress, say, write_text
from maskdet.datasets import Example, corrected, read_coco, read_index
from maskdet.detectors import LandmarkFinder, load_detector
from maskdet.metrics.estimate import Estimate
from maskdet.suites import (
    DarkReport,
    GroupReport,
    HardReport,
    compare_groups,
    hard_negatives,
    low_light,
    read_groups,
)

_ABOUT = """Change labelled faces in ways that must not change their label, and count
the wrong answers: things drawn before bare mouths, and low light. With --groups, also
compare groups of people. Incorrectly worn counts as masked; intervals are 95 %."""

_WIDTH = 34


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "suites",
        help="test a classifier on hard negatives, low light and groups of people",
        description=_ABOUT,
    )
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="COCO files (.json) or an index.csv of pictures of one face",
    )
    parser.add_argument(
        "--split", default="test", help="part of an index.csv (default: test)"
    )
    parser.add_argument(
        "--groups", type=Path, metavar="CSV", help="file, face, groups: who is who"
    )
    parser.add_argument(
        "--corrections",
        type=Path,
        metavar="CSV",
        help="labels that are plainly wrong; see models/corrections.csv",
    )
    add_classifier_option(parser)
    parser.add_argument(
        "--seed", type=int, default=0, help="fixes what is drawn (default: 0)"
    )
    parser.add_argument("--json", metavar="FILE", help="write JSON; - for stdout")


def run(args: argparse.Namespace) -> int:
    """Run the suites on each file, then on all of them together."""
    check_target("--json", args.json, args.files)
    groups = None if args.groups is None else read_groups(args.groups)
    classifier = load_classifier(args.classifier or DEFAULT_CLASSIFIER)
    # The finder whose weights come with the package, so that this runs anywhere.
    finder = load_detector("mtcnn")
    assert isinstance(finder, LandmarkFinder)
    examples = [one for file in args.files for one in _examples(file, args.split)]
    if args.corrections is not None:
        examples = corrected(examples, args.corrections)
    hard = hard_negatives(
        classifier, finder, progress(examples, "picture"), seed=args.seed
    )
    dark = low_light(classifier, finder, progress(examples, "picture"), seed=args.seed)
    people = [] if groups is None else compare_groups(classifier, examples, groups)
    if args.json != STDOUT:
        for line in _lines(hard, dark, people):
            say(line)
    if args.json is not None:
        report = {
            "version": 1,
            "files": [str(file) for file in args.files],
            "classifier": args.classifier or DEFAULT_CLASSIFIER,
            "seed": args.seed,
            "hard_negatives": hard.to_json(),
            "low_light": dark.to_json(),
            "groups": [group.to_json() for group in people],
        }
        write_text(args.json, json.dumps(report, indent=2) + "\n")
    return 0


def _examples(file: Path, split: str) -> list[Example]:
    if file.suffix.lower() == ".csv":
        return read_index(file, split)
    return read_coco(file)


def _lines(hard: HardReport, dark: DarkReport, people: list[GroupReport]) -> list[str]:
    lines = [
        "bare faces called masked",
        _line("  as they are", hard.untouched),
        *(_line(f"  with a {name}", one) for name, one in hard.things.items()),
        _line("  with anything", hard.together),
        "",
        "mask against no mask, right",
        _line("  as they are", dark.lit),
        _line("  in low light", dark.dark),
        _line("  lost", dark.lost),
    ]
    if people:
        lines += ["", f"{'right, by group':{_WIDTH}}{'':32}difference to the rest"]
    for group in people:
        gap, flag = _number(group.gap), "  WORSE" if group.worse else ""
        own = _line(f"  {group.name}", group.right)
        lines.append(own if not group.gap.n or gap == "" else f"{own:66}{gap}{flag}")
    return lines


def _line(title: str, estimate: Estimate) -> str:
    return f"{title:{_WIDTH}}{_number(estimate)}"


def _number(estimate: Estimate) -> str:
    if estimate.n == 0 or estimate.value != estimate.value:
        return ""
    low, high = estimate.low, estimate.high
    return f"{estimate.value:.3f} [{low:.3f}, {high:.3f}] n={estimate.n}"
