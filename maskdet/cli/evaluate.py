"""`maskdet evaluate`: how well faces are found and labelled, as a table and JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from maskdet.analyzer import load_analyzer
from maskdet.classifier import load_classifier
from maskdet.cli.console import STDOUT, check_target, progress, say, write_text
from maskdet.cli.detect import add_analyzer_options, chosen
from maskdet.datasets import SPLITS, Example, read_coco, read_index
from maskdet.evaluation import (
    FLOOR_SCORE,
    LARGE_PX,
    MIN_IOU,
    LabelsReport,
    ScenesReport,
    evaluate_boxes,
    evaluate_faces,
    evaluate_scenes,
)
from maskdet.metrics.estimate import Estimate
from maskdet.metrics.labelling import Json, Labelling
from maskdet.types import CLASSES, Settings

_SCENES = f"""Measure on scenes with true boxes (COCO; the pictures lie in images/
beside the file). Average precision at IoU {MIN_IOU}: faces by falling score, each
matched to the best free truth, all-point interpolation, faces from score {FLOOR_SCORE}
and size 1 px on; a class's score is the face's times the probability of that class,
for every class. With "at least {LARGE_PX:g} px", smaller truths are ignored. Intervals
are 95 %: by drawing pictures anew for average precision, Wilson's for shares."""

_FACES = """Measure on pictures of one face (index.csv: path, label, split, source).
Mask against no mask: a mask worn wrongly counts as a mask."""


_WIDTH = 34
"""Of the first column of the tables, in characters."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command, its two kinds of data and their options."""
    parser = commands.add_parser(
        "evaluate",
        help="measure an analyzer on labelled pictures",
        description="Measure an analyzer on labelled pictures.",
    )
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    scenes = kinds.add_parser(
        "scenes", help="scenes with true boxes (COCO)", description=_SCENES
    )
    scenes.add_argument("file", type=Path, metavar="FILE.json")
    scenes.add_argument(
        "--boxes",
        choices=("found", "truth"),
        default="found",
        help=f"truth: give the true boxes of at least {LARGE_PX:g} px to the "
        "classifier, which measures it alone (default: found)",
    )
    faces = kinds.add_parser(
        "faces", help="pictures of one face (index.csv)", description=_FACES
    )
    faces.add_argument("file", type=Path, metavar="INDEX.csv")
    faces.add_argument("--split", choices=(*SPLITS, "all"), default="test")
    faces.add_argument("--source", help="only pictures of this source, as real")
    faces.add_argument(
        "--view",
        choices=("found", "whole"),
        default="found",
        help="found: the largest face found, else the whole picture (default); "
        "whole: always the whole picture",
    )
    for kind in (scenes, faces):
        kind.add_argument("--json", metavar="FILE", help="write JSON; - for stdout")
        add_analyzer_options(kind)


def run(args: argparse.Namespace) -> int:
    """Measure, then print a table or write the report."""
    name, settings = chosen(args)
    alone = args.boxes == "truth" if args.kind == "scenes" else args.view == "whole"
    if alone and args.analyzer is not None:
        raise ValueError("here the classifier is measured alone: leave out --analyzer")
    check_target("--json", args.json, [args.file])
    measure = _measure_scenes if args.kind == "scenes" else _measure_faces
    lines, report = measure(args, name, settings)
    if args.json != STDOUT:
        for line in lines:
            say(line)
    if args.json is not None:
        head: Json = {
            "version": 1,
            "kind": args.kind,
            "file": str(args.file),
            "settings": dataclasses.asdict(settings),
        }
        write_text(args.json, json.dumps({**head, **report}, indent=2) + "\n")
    return 0


_Measured = tuple[list[str], Json]


def _measure_scenes(
    args: argparse.Namespace, name: str, settings: Settings
) -> _Measured:
    examples = read_coco(args.file)
    title = f"{args.file}: {len(examples)} pictures, {_n_faces(examples)} faces"
    if args.boxes == "truth":
        alone = evaluate_boxes(load_classifier(), progress(examples, "picture"))
        lines = [
            f"{title}; our classifier on true boxes of at least {LARGE_PX:g} px",
            "",
            *_label_lines(alone.labels),
            "",
            f"median time {alone.median_ms:.1f} ms a picture",
        ]
        return lines, {"boxes": "truth", **alone.to_json()}
    analyzer = load_analyzer(name)
    report = evaluate_scenes(analyzer, progress(examples, "picture"), settings)
    lines = [f"{title}; analyzer {name}", *_scene_lines(report, settings)]
    return lines, {"boxes": "found", "analyzer": name, **report.to_json()}


def _measure_faces(
    args: argparse.Namespace, name: str, settings: Settings
) -> _Measured:
    examples = read_index(args.file, None if args.split == "all" else args.split)
    if args.source is not None:
        known = sorted({example.source for example in examples})
        examples = [one for one in examples if one.source == args.source]
        if not examples:
            raise ValueError(
                f"{args.file}: no picture of source {args.source!r}; "
                f"there are {', '.join(known)}"
            )
    analyzer = load_analyzer(name) if args.view == "found" else None
    report = evaluate_faces(
        analyzer, load_classifier(), progress(examples, "picture"), settings
    )
    view = "the whole picture" if analyzer is None else f"analyzer {name}"
    title = f"{args.file}: {len(examples)} pictures, split {args.split}; {view}"
    used: Json = {"split": args.split, "view": args.view, "source": args.source}
    used["analyzer"] = None if analyzer is None else name
    return [title, *_face_lines(report, args.view)], {**used, **report.to_json()}


def _n_faces(examples: list[Example]) -> int:
    return sum(len(example.labels) for example in examples)


def _scene_lines(report: ScenesReport, settings: Settings) -> list[str]:
    large = f"at least {LARGE_PX:g} px"
    titles = {
        "faces": "  faces",
        **{label.key: f"  {label.title}" for label in CLASSES},
        "mean": "  mean of the three",
    }
    lines = ["", f"{f'AP at IoU {MIN_IOU}':{_WIDTH}}{'all sizes':32}{large}"]
    for key, title in titles.items():
        both = (_number(table[key]) for table in (report.ap, report.ap_large))
        lines.append((f"{title:{_WIDTH}}" + "".join(f"{x:32}" for x in both)).rstrip())
    return [
        *lines,
        "",
        f"as shown, from face score {settings.min_score:g} on",
        _line(f"  faces of {large} found", report.recall),
        _line("  boxes that are faces", report.precision),
        "",
        f"labels of the faces found, {large}",
        *_label_lines(report.labels),
        "",
        f"median time {report.median_ms:.1f} ms a picture",
    ]


def _face_lines(report: LabelsReport, view: str) -> list[str]:
    lines = ["", *_label_lines(report.labels)]
    if len(report.by_source) > 1:
        lines += ["", "mask against no mask, by source"]
        for source, labels in report.by_source.items():
            lines.append(_line(f"  {source or '(none)'}", labels.wearing.accuracy))
    lines.append("")
    if view == "found":
        n = len(report.labels.truths)
        lines.append(f"a face was found in {report.found} of {n}")
    return [*lines, f"median time {report.median_ms:.1f} ms a picture"]


def _label_lines(labels: Labelling) -> list[str]:
    states, wearing = labels.states, labels.wearing
    lines = [
        _line("mask against no mask", wearing.accuracy),
        _line("  wearing one, right", wearing.recalls[0]),
        _line("  bare, right", wearing.recalls[1]),
        _line("three states", states.accuracy),
        _line("  mean of their rows", states.balanced_accuracy()),
        *(
            _line(f"  {label.title}, right", recall)
            for label, recall in zip(CLASSES, states.recalls, strict=True)
        ),
        f"{'truth / said':{_WIDTH}}" + "".join(f"{x.title:>14}" for x in CLASSES),
    ]
    for label, row in zip(CLASSES, states.counts, strict=True):
        cells = "".join(f"{count:14}" for count in row[:-1])
        lines.append(f"{f'  {label.title}':{_WIDTH}}{cells}")
    return lines


def _line(title: str, estimate: Estimate) -> str:
    return f"{title:{_WIDTH}}{_number(estimate)}"


def _number(estimate: Estimate) -> str:
    if estimate.n == 0:
        return "nothing to measure"
    low, high = estimate.low, estimate.high
    return f"{estimate.value:.3f} [{low:.3f}, {high:.3f}] n={estimate.n}"
