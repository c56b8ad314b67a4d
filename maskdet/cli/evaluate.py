"""`maskdet evaluate`: evaluate detection and classification; compare analyzers."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from maskdet.analyzers.pipelines import (
    ANALYZERS,
    Analyzer,
    has_refinement,
    load_analyzer,
    max_refined_faces,
)
from maskdet.analyzers.tiles import apply_tiling
from maskdet.classifier import DEFAULT_CLASSIFIER, load_classifier
from maskdet.cli.console import (
    STDOUT,
    check_output_path,
    iterate_with_progress_bar,
    output_results,
    print_line,
    print_warning,
    write_text,
)
from maskdet.cli.dataset_options import (
    add_classes_option,
    filter_by_source,
    parse_class_names_option,
    read_examples_with_warnings,
)
from maskdet.cli.evaluate_tables import (
    format_classification_table,
    format_comparison_table,
    format_detection_table,
    format_label_metrics,
)
from maskdet.cli.options import (
    AnalyzerOptions,
    add_analyzer_options,
    add_models_option,
    add_settings_options,
    add_style_option,
    add_tiles_option,
    parse_analyzer_options,
)
from maskdet.datasets import SPLITS, Example, select_split
from maskdet.datasets.reading import SUPPORTED_FORMATS, has_boxes
from maskdet.evaluation import (
    LARGE_PX,
    ClassificationReport,
    DetectionReport,
    evaluate_boxes,
    evaluate_detection,
    evaluate_faces,
)
from maskdet.evaluation.comparison import RATE_NAMES, AnalyzerMetrics, format_comparison
from maskdet.evaluation.predictions import MIN_STORED_SCORE
from maskdet.evaluation.scoring import FacePredictions
from maskdet.extras import require_libraries
from maskdet.media import encode_png
from maskdet.metrics.classification import Json
from maskdet.metrics.matching import MIN_IOU
from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.wording import format_count, format_error_reason

_ANALYZERS_DESCRIPTION = f"""Compare every analyzer whose model files are present on the
same images, at the same settings. Average precision at IoU {MIN_IOU} follows the rules
of `evaluate scenes`. Recall, precision and the accuracy over the three classes are at
the thresholds; the accuracy is that of the detected faces of at least {LARGE_PX:g} px.
Intervals are 95 %. Times are those of this machine."""

_COMPARISON_FILE = "models/analyzers.json"

SAMPLES_NAME = "samples.png"
"""File in a report folder: sample faces of each class with their labels."""

ERRORS_NAME = "errors.png"
"""File in a report folder: misclassified faces, highest confidence first."""

_KINDS = ("scenes", "faces", "analyzers")

_DESCRIPTION = f"""Evaluate an analyzer on labelled images. Without a KIND, as in
`maskdet evaluate FOLDER`, the kind depends on the data: `scenes` for images with boxes,
`faces` for images of one face. Formats: {SUPPORTED_FORMATS}."""

_SCENES_DESCRIPTION = f"""Evaluate on images with ground-truth boxes (COCO, VOC or
YOLO). Average precision at IoU {MIN_IOU}: detections by descending score, each matched
to the unmatched face with the highest IoU, all-point interpolation, minimum score
{MIN_STORED_SCORE} and size 1 px. A detection counts for its most likely class only,
with its detection score. The line "YOLO's rule" ("ap_every_class" in the JSON) follows
the more lenient rule of the validation of YOLO: every detection counts for every class,
with its score times the probability of the class. For "at least {LARGE_PX:g} px",
smaller faces are ignored. Intervals are 95 %: Wilson for rates, widened for recall and
precision where the faces of an image are correlated; bootstrap over images for average
precision, and over faces for the other class metrics."""

_FACES_DESCRIPTION = """Evaluate on images of one face: a folder for each class, or an
index.csv (path, label, split, source). Mask vs no mask: an incorrectly worn mask counts
as a mask. Intervals are 95 %: Wilson for rates, bootstrap over faces for the other
metrics."""


def add_analyzers_parser(
    kinds: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    """Add `evaluate analyzers` and its options."""
    kind = kinds.add_parser(
        "analyzers",
        help="compare all analyzers",
        description=_ANALYZERS_DESCRIPTION,
    )
    kind.add_argument("files", nargs="+", type=Path, metavar="DATA")
    add_classes_option(kind)
    kind.add_argument(
        "--names",
        nargs="+",
        metavar="NAME",
        help=f"only these of {', '.join(ANALYZERS)}",
    )
    kind.add_argument(
        "--out",
        metavar="FILE",
        help="write the results as JSON; - for stdout. The Models page shows "
        f"{_COMPARISON_FILE}",
    )
    add_models_option(kind)
    add_settings_options(kind, preset=False)
    add_style_option(kind)


def run_analyzers(args: argparse.Namespace) -> int:
    """Evaluate the analyzers, print the tables and write the JSON."""
    check_output_path("--out", args.out, args.files)
    options = parse_analyzer_options(args)
    settings = options.settings
    if args.out is not None and settings != Settings():
        raise ValueError(
            "--out needs the default settings; leave out --out or the options that "
            "change them"
        )
    names = list(dict.fromkeys(args.names or ANALYZERS))
    for name in names:
        if name not in ANALYZERS:
            raise ValueError(
                f"--names: must be one of {', '.join(ANALYZERS)}, not {name!r}"
            )
    sets = _read_sets(args)
    rows = [row for name in names for row in _evaluate_analyzer(name, sets, settings)]
    if not rows:
        raise ValueError("the model files of these analyzers are missing")
    if args.out != STDOUT:
        for line in format_comparison_table(rows, options.style):
            print_line(line)
    if args.out is not None:
        write_text(args.out, format_comparison(rows))
    return 0


def _read_sets(args: argparse.Namespace) -> dict[str, list[Example]]:
    """Return the examples by name of the set."""
    sets: dict[str, list[Example]] = {}
    for file in args.files:
        if file.stem in sets:
            raise ValueError(f"{file}: there is already a set named {file.stem}")
        sets[file.stem] = read_examples_with_warnings(file, args)
    return sets


def _evaluate_analyzer(
    name: str, sets: Mapping[str, list[Example]], settings: Settings
) -> list[AnalyzerMetrics]:
    """Return one row per set; none, and a warning, if the analyzer cannot be loaded."""
    try:
        analyzer = load_analyzer(name)
    except (FileNotFoundError, RuntimeError) as error:
        print_warning(f"{name}: skipped: {format_error_reason(error)}")
        return []
    rows = []
    for set_name, examples in sets.items():
        examples_with_progress = iterate_with_progress_bar(
            examples, f"image, {name} on {set_name}"
        )
        report = evaluate_detection(analyzer, examples_with_progress, settings)
        accuracy = report.classification.class_confusion.accuracy
        estimates = (report.recall, report.precision, accuracy)
        rows.append(
            AnalyzerMetrics(
                analyzer=name,
                set_name=set_name,
                n_images=report.images,
                ap=report.ap,
                ap_large=report.ap_large,
                rates=dict(zip(RATE_NAMES, estimates, strict=True)),
                median_ms=report.median_ms,
            )
        )
    return rows


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command, its kinds and their options."""
    parser = commands.add_parser(
        "evaluate",
        help="measure an analyzer on labelled images",
        description=_DESCRIPTION,
    )
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    scenes = kinds.add_parser(
        "scenes", help="images with ground-truth boxes", description=_SCENES_DESCRIPTION
    )
    scenes.add_argument("file", type=Path, metavar="DATA")
    scenes.add_argument(
        "--boxes",
        choices=("detected", "ground_truth"),
        default="detected",
        help="detected: evaluate the whole analyzer (default); ground_truth: evaluate "
        f"only the classifier, on ground-truth boxes of at least {LARGE_PX:g} px",
    )
    add_tiles_option(scenes)
    faces = kinds.add_parser(
        "faces", help="images of one face", description=_FACES_DESCRIPTION
    )
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
        choices=("detected", "whole"),
        default="detected",
        help="detected: classify the largest detected face, or the whole image if "
        "there is none (default); whole: always classify the whole image",
    )
    for kind in (scenes, faces):
        _add_common_options(kind)
    add_analyzers_parser(kinds)


def insert_kind(arguments: list[str]) -> list[str]:
    """Insert the kind into the arguments if they only name the data."""
    index = arguments.index("evaluate") + 1
    data = Path(arguments[index]) if index < len(arguments) else Path("-")
    if arguments[index:] and arguments[index] not in _KINDS and data.exists():
        parser = argparse.ArgumentParser(add_help=False)
        add_classes_option(parser)
        options, _ = parser.parse_known_args(arguments[index:])
        is_scene = has_boxes(data, parse_class_names_option(options))
        kind = "scenes" if is_scene else "faces"
        return [*arguments[:index], kind, *arguments[index:]]
    return arguments


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
    """Evaluate, then print the table and write the outputs."""
    if args.kind == "analyzers":
        return run_analyzers(args)
    classifier_only = (
        args.boxes == "ground_truth" if args.kind == "scenes" else args.view == "whole"
    )
    options = parse_analyzer_options(args)
    if classifier_only and (args.analyzer, args.preset) != (None, None):
        raise ValueError(
            "only the classifier is evaluated here: leave out --analyzer and --preset"
        )
    check_output_path("--json", args.json, [args.file])
    if args.report is not None:
        if args.report.exists() and not args.report.is_dir():
            raise ValueError(f"--report {args.report}: is a file, not a folder")
        require_libraries("maskdet evaluate --report", "vl_convert")
    evaluate = _evaluate_scenes if args.kind == "scenes" else _evaluate_faces
    evaluation = evaluate(args, options)
    content: Json = {
        "version": 2,
        "kind": args.kind,
        "file": str(args.file),
        "settings": dataclasses.asdict(options.settings),
        "classifier": options.classifier,
        "refine": options.refine,
        "pipeline": None if classifier_only else options.pipeline,
        **evaluation.content,
    }
    output_results(evaluation.lines, args.json, content)
    if args.report is not None:
        _write_report(args, evaluation, options.style)
        options.print_undrawable_names()
    return 0


@dataclass(frozen=True, eq=False)
class _EvaluationOutput:
    """Results of an evaluation.

    Attributes:
        set_name: name of the set in the report folder.
        lines: the table; its first line is the title.
        content: the results for JSON.
        matched_predictions: prediction and ground truth of every face.
        examples: the evaluated images.
    """

    set_name: str
    lines: list[str]
    content: Json
    matched_predictions: FacePredictions
    examples: list[Example]


def _write_report(
    args: argparse.Namespace, evaluation: _EvaluationOutput, style: Style
) -> None:
    # Imported here, as the chart libraries are slow to import.
    from maskdet.evaluation.report import (
        mistakes_grid,
        samples_grid,
        worst_mistakes,
        write_report,
    )

    folder: Path = args.report
    # The report must not reveal the folder of the images.
    title = evaluation.lines[0].replace(str(args.file), args.file.name)
    worst_errors = worst_mistakes(evaluation.matched_predictions)
    predictions = {evaluation.set_name: evaluation.matched_predictions.predictions}
    written = write_report(
        folder, predictions, title=title, mistakes=worst_errors, style=style
    )
    grids = {SAMPLES_NAME: samples_grid(evaluation.examples, style=style)}
    if worst_errors:
        grids[ERRORS_NAME] = mistakes_grid(worst_errors, style=style)
    for name, grid in grids.items():
        written.append(folder / name)
        written[-1].write_bytes(encode_png(grid))
    print_line(
        f"wrote {format_count(len(written), 'file')} to {folder}", to_stderr=True
    )


def _describe_refinement_limit(options: AnalyzerOptions) -> list[str]:
    """Return a line about what `maskdet tune` does in another way."""
    limit = max_refined_faces(
        options.analyzer, options.classifier, refine=options.refine
    )
    if limit is None:
        return []
    return [
        f"as in use, at most {limit} low-confidence faces of an image are re-checked; "
        "`maskdet tune` re-checks all"
    ]


def _evaluate_scenes(
    args: argparse.Namespace, options: AnalyzerOptions
) -> _EvaluationOutput:
    examples = read_examples_with_warnings(args.file, args)
    if any(example.is_crop for example in examples):
        raise ValueError(
            f"{args.file}: its images have one label each and no boxes; use maskdet "
            "evaluate faces"
        )
    faces = sum(len(example.labels) for example in examples)
    title = (
        f"{args.file}: {format_count(len(examples), 'image')}, "
        f"{format_count(faces, 'face')}"
    )
    examples_with_progress = iterate_with_progress_bar(examples, "image")
    if args.boxes == "ground_truth":
        classifier_report = evaluate_boxes(
            load_classifier(options.classifier), examples_with_progress
        )
        lines = [
            f"{title}; {_describe_model(options, classifier_only=True)} on "
            f"ground-truth boxes of at least {LARGE_PX:g} px",
            "",
            *format_label_metrics(
                classifier_report.classification,
                classifier_report.summary,
                options.style,
            ),
            "",
            f"median time {classifier_report.median_ms:.1f} ms per image",
        ]
        content: Json = {}
        report: ClassificationReport | DetectionReport = classifier_report
    else:
        analyzer = apply_tiling(_load_analyzer(options), args.tiles)
        report = detection_report = evaluate_detection(
            analyzer, examples_with_progress, options.settings
        )
        lines = [
            f"{title}; {_describe_model(options)}",
            *_describe_refinement_limit(options),
            *format_detection_table(detection_report, options.settings, options.style),
        ]
        content = {"analyzer": options.analyzer}
    return _EvaluationOutput(
        f"{args.file.stem}/{args.boxes}",
        lines,
        {"boxes": args.boxes, **content, **report.to_json()},
        report.face_predictions,
        examples,
    )


def _load_analyzer(options: AnalyzerOptions) -> Analyzer:
    loaded = load_analyzer(options.analyzer, options.classifier, refine=options.refine)
    options.print_notices()
    return loaded


def _evaluate_faces(
    args: argparse.Namespace, options: AnalyzerOptions
) -> _EvaluationOutput:
    examples = _read_face_examples(args)
    whole_images = args.view == "whole"
    analyzer = None if whole_images else _load_analyzer(options)
    classifier = load_classifier(options.classifier)
    examples_with_progress = iterate_with_progress_bar(examples, "image")
    report = evaluate_faces(
        analyzer, classifier, examples_with_progress, options.settings
    )
    view = (
        f"the whole image, {_describe_model(options, classifier_only=True)}"
        if whole_images
        else _describe_model(options)
    )
    n = format_count(len(examples), "image")
    title = f"{args.file}: {n}, split {args.split}; {view}"
    content: Json = {
        "split": args.split,
        "view": args.view,
        "source": args.source,
        "analyzer": None if whole_images else options.analyzer,
        **report.to_json(),
    }
    return _EvaluationOutput(
        f"faces-{args.split}",
        [title, *format_classification_table(report, args.view, options.style)],
        content,
        report.face_predictions,
        examples,
    )


def _read_face_examples(args: argparse.Namespace) -> list[Example]:
    """Return the images of one split, and of one source if `--source` is given."""
    examples = read_examples_with_warnings(args.file, args)
    if not all(example.is_crop for example in examples):
        raise ValueError(
            f"{args.file}: its images have boxes; use maskdet evaluate scenes"
        )
    if args.split is None:
        args.split = "test" if any(example.split for example in examples) else "all"
    if args.split != "all":
        examples = select_split(examples, args.split, args.file)
    return filter_by_source(args.file, examples, args.source)


def _describe_model(options: AnalyzerOptions, *, classifier_only: bool = False) -> str:
    """Describe the evaluated model; `classifier_only` leaves out the detector."""
    is_default = options.classifier == DEFAULT_CLASSIFIER
    classifier = "our classifier" if is_default else f"classifier {options.classifier}"
    if classifier_only:
        return classifier
    name = f"analyzer {options.analyzer}" + ("" if is_default else f", {classifier}")
    without_refinement = (
        has_refinement(options.analyzer, options.classifier) and not options.refine
    )
    return f"{name}, without refinement" if without_refinement else name
