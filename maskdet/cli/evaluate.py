"""`maskdet evaluate`: how well faces are found and labelled, as a table and JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from maskdet.analyzer import Analyzer, load_analyzer, reads_twice
from maskdet.classifier import DEFAULT_CLASSIFIER, load_classifier
from maskdet.cli import evaluate_analyzers
from maskdet.cli.choosing import (
    Choice,
    add_analyzer_options,
    add_style_option,
    add_tiles_option,
    chosen,
    tiled,
)
from maskdet.cli.console import STDOUT, check_target, progress, say, write_text
from maskdet.cli.evaluate_tables import face_lines, label_lines, scene_lines
from maskdet.cli.labelled import (
    add_classes_option,
    class_names,
    of_source,
    read_examples,
)
from maskdet.datasets import SPLITS, Example, of_split
from maskdet.datasets.reading import UNDERSTOOD, is_boxed
from maskdet.evaluation import (
    FLOOR_SCORE,
    LARGE_PX,
    MIN_IOU,
    Judged,
    evaluate_boxes,
    evaluate_detection,
    evaluate_faces,
)
from maskdet.extras import require
from maskdet.media import encode_png
from maskdet.metrics.labelling import Json
from maskdet.style import Style
from maskdet.wording import counted

SAMPLES_NAME = "samples.png"
"""In a report folder: some faces of each class, with what they are labelled as."""

MISTAKES_NAME = "mistakes.png"
"""In a report folder: the faces that were labelled wrongly, the surest first."""

_KINDS = ("scenes", "faces", "analyzers")

_ABOUT = f"""Measure an analyzer on labelled images. Without a KIND, the data decide:
`maskdet evaluate FOLDER` measures on images with boxes as `scenes` does, on images of
one face as `faces` does. Formats: {UNDERSTOOD}."""

_SCENES = f"""Evaluate on images with ground-truth boxes (COCO, VOC or YOLO). Average
precision at IoU {MIN_IOU}: detections by falling score, each matched to the best free
face, all-point interpolation, from score {FLOOR_SCORE} and size 1 px on. A detection
counts for its most likely class only, with its detection score; under "ap_every_class"
the JSON also has the more lenient rule of YOLO's validation: every detection for every
class, its score times the probability of that class. For "at least
{LARGE_PX:g} px", smaller faces are ignored. Intervals are 95 %: a bootstrap over images
for average precision, Wilson's for rates, and a bootstrap over faces for the other
numbers on classes and for all under "numbers" in the JSON."""

_FACES = """Evaluate on images of one face: a folder for each class, or an index.csv
(path, label, split, source). Mask against no mask: an incorrectly worn mask counts as a
mask. Intervals are 95 %: Wilson's for rates, and a bootstrap over faces for the other
numbers and for all under "numbers" in the JSON."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command, its two kinds of data and their options."""
    parser = commands.add_parser(
        "evaluate",
        help="measure an analyzer on labelled images",
        description=_ABOUT,
    )
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    scenes = kinds.add_parser(
        "scenes", help="images with ground-truth boxes", description=_SCENES
    )
    scenes.add_argument("file", type=Path, metavar="DATA")
    scenes.add_argument(
        "--boxes",
        choices=("found", "truth"),
        default="found",
        help="found: evaluate the whole analyzer (default); truth: evaluate the "
        f"classifier alone, on ground-truth boxes of at least {LARGE_PX:g} px",
    )
    add_tiles_option(scenes)
    faces = kinds.add_parser("faces", help="images of one face", description=_FACES)
    faces.add_argument("file", type=Path, metavar="DATA")
    faces.add_argument(
        "--split",
        choices=(*SPLITS, "all"),
        help="only images of this split (default: test if there are any splits, else "
        "all)",
    )
    faces.add_argument("--source", help="only images of this source, such as real")
    faces.add_argument(
        "--view",
        choices=("found", "whole"),
        default="found",
        help="found: classify the largest detected face, else the whole image "
        "(default); whole: always the whole image",
    )
    for kind in (scenes, faces):
        _add_common_options(kind)
    evaluate_analyzers.add_kind(kinds)


def with_kind(words: list[str]) -> list[str]:
    """Return the words with the kind of data where a person named only the data."""
    at = words.index("evaluate") + 1
    data = Path(words[at]) if at < len(words) else Path("-")
    if words[at:] and words[at] not in _KINDS and data.exists():
        options, _ = _classes_alone().parse_known_args(words[at:])
        kind = "scenes" if is_boxed(data, class_names(options)) else "faces"
        return [*words[:at], kind, *words[at:]]
    return words


def _classes_alone() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    add_classes_option(parser)
    return parser


def _add_common_options(kind: argparse.ArgumentParser) -> None:
    add_classes_option(kind)
    kind.add_argument("--json", metavar="FILE", help="write JSON; - for stdout")
    kind.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="write report.json, charts (SVG, PNG), samples and the worst errors there",
    )
    add_analyzer_options(kind)
    add_style_option(kind)


def run(args: argparse.Namespace) -> int:
    """Measure, then print a table or write the report."""
    if args.kind == "analyzers":
        return evaluate_analyzers.run(args)
    alone = args.boxes == "truth" if args.kind == "scenes" else args.view == "whole"
    choice = chosen(args)
    if alone and (args.analyzer, args.preset) != (None, None):
        raise ValueError(
            "here the classifier is measured alone: leave out --analyzer and --preset"
        )
    check_target("--json", args.json, [args.file])
    if args.report is not None and args.report.exists() and not args.report.is_dir():
        raise ValueError(f"--report {args.report}: is a file, wanted a folder")
    if args.report is not None:
        require("maskdet evaluate --report", "altair", "vl_convert")
    measure = _measure_scenes if args.kind == "scenes" else _measure_faces
    done = measure(args, choice)
    if args.json != STDOUT:
        for line in done.lines:
            say(line)
    if args.json is not None:
        head: Json = {
            "version": 1,
            "kind": args.kind,
            "file": str(args.file),
            "settings": dataclasses.asdict(choice.settings),
            "classifier": choice.classifier,
            "second_look": choice.second_look,
            "pipeline": None if alone else choice.pipeline,
        }
        write_text(args.json, json.dumps({**head, **done.content}, indent=2) + "\n")
    if args.report is not None:
        _write_report(args, done, choice.style)
        choice.tell_undrawn()
    return 0


@dataclass(frozen=True, eq=False)
class _Measured:
    """What was measured.

    Attributes:
        set_name: the name of the set in the report folder.
        lines: the table; the first line says what was measured.
        content: the same for JSON.
        judged: every answer.
        examples: the pictures that were measured on.
    """

    set_name: str
    lines: list[str]
    content: Json
    judged: Judged
    examples: list[Example]


def _write_report(args: argparse.Namespace, done: _Measured, style: Style) -> None:
    # Charts need libraries that take long to load, and nobody else here wants them.
    from maskdet.report import (
        mistakes_grid,
        samples_grid,
        worst_mistakes,
        write_report,
    )

    folder: Path = args.report
    # Who gets the report need not know where the pictures lie.
    title = done.lines[0].replace(str(args.file), args.file.name)
    mistakes = worst_mistakes(done.judged)
    answers = {done.set_name: done.judged.answers}
    written = write_report(folder, answers, title=title, mistakes=mistakes, style=style)
    grids = {SAMPLES_NAME: samples_grid(done.examples, style=style)}
    if mistakes:
        grids[MISTAKES_NAME] = mistakes_grid(mistakes, style=style)
    for name, grid in grids.items():
        written.append(folder / name)
        written[-1].write_bytes(encode_png(grid))
    say(f"wrote {counted(len(written), 'file')} to {folder}", quiet_stdout=True)


def _measure_scenes(args: argparse.Namespace, choice: Choice) -> _Measured:
    examples = read_examples(args.file, args)
    if any(example.whole for example in examples):
        raise ValueError(
            f"{args.file}: its images have one label each and no boxes; use maskdet "
            "evaluate faces"
        )
    faces = sum(len(example.labels) for example in examples)
    title = (
        f"{args.file}: {counted(len(examples), 'picture')}, {counted(faces, 'face')}"
    )
    watched = progress(examples, "picture")
    if args.boxes == "truth":
        alone = evaluate_boxes(load_classifier(choice.classifier), watched)
        lines = [
            f"{title}; {_named(choice, alone=True)} on true boxes of at least "
            f"{LARGE_PX:g} px",
            "",
            *label_lines(alone.labels, alone.numbers, choice.style),
            "",
            f"median time {alone.median_ms:.1f} ms a picture",
        ]
        content: Json = {"boxes": "truth", **alone.to_json()}
        set_name = f"{args.file.stem}/true"
        return _Measured(set_name, lines, content, alone.judged, examples)
    analyzer = tiled(_analyzer(choice), args.tiles)
    report = evaluate_detection(analyzer, watched, choice.settings)
    table = scene_lines(report, choice.settings, choice.style)
    lines = [f"{title}; {_named(choice)}", *table]
    content = {"boxes": "found", "analyzer": choice.analyzer, **report.to_json()}
    set_name = f"{args.file.stem}/found"
    return _Measured(set_name, lines, content, report.judged, examples)


def _analyzer(choice: Choice) -> Analyzer:
    loaded = load_analyzer(
        choice.analyzer, choice.classifier, second_look=choice.second_look
    )
    choice.tell()
    return loaded


def _measure_faces(args: argparse.Namespace, choice: Choice) -> _Measured:
    examples = _chosen_faces(args)
    whole = args.view == "whole"
    analyzer = None if whole else _analyzer(choice)
    classifier = load_classifier(choice.classifier)
    watched = progress(examples, "picture")
    report = evaluate_faces(analyzer, classifier, watched, choice.settings)
    view = (
        f"the whole picture, {_named(choice, alone=True)}" if whole else _named(choice)
    )
    n = counted(len(examples), "picture")
    title = f"{args.file}: {n}, split {args.split}; {view}"
    content: Json = {
        "split": args.split,
        "view": args.view,
        "source": args.source,
        "analyzer": None if whole else choice.analyzer,
        **report.to_json(),
    }
    lines = [title, *face_lines(report, args.view, choice.style)]
    set_name = f"faces-{args.split}"
    return _Measured(set_name, lines, content, report.judged, examples)


def _chosen_faces(args: argparse.Namespace) -> list[Example]:
    """Return the pictures of one split, and of one source if one is asked for."""
    examples = read_examples(args.file, args)
    if not all(example.whole for example in examples):
        raise ValueError(
            f"{args.file}: its images have boxes; use maskdet evaluate scenes"
        )
    if args.split is None:
        args.split = "test" if any(one.split for one in examples) else "all"
    if args.split != "all":
        examples = of_split(examples, args.split, args.file)
    return of_source(args.file, examples, args.source)


def _named(choice: Choice, *, alone: bool = False) -> str:
    """Return who was measured, in words; `alone` for the classifier without finder."""
    ours = choice.classifier == DEFAULT_CLASSIFIER
    classifier = "our classifier" if ours else f"classifier {choice.classifier}"
    if alone:
        return classifier
    name = f"analyzer {choice.analyzer}" + ("" if ours else f", {classifier}")
    once = reads_twice(choice.analyzer, choice.classifier) and not choice.second_look
    return f"{name}, without a second look" if once else name
