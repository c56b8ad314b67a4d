"""`maskdet tune`: evaluate thresholds on a labelled set, and choose them for a goal."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from maskdet.analyzers.pipelines import ANALYZERS, load_analyzer, max_refined_faces
from maskdet.atomic_file import write_file
from maskdet.cli.console import (
    STDOUT,
    check_output_path,
    format_cell,
    format_row,
    print_line,
    print_warning,
    show_progress,
    write_json,
    write_text,
)
from maskdet.cli.dataset_options import add_classes_option, parse_class_names_option
from maskdet.cli.options import (
    AnalyzerOptions,
    add_analyzer_options,
    add_style_option,
    parse_analyzer_options,
)
from maskdet.datasets.class_names import ClassNames, format_classes_hint
from maskdet.datasets.issues import truncate_name
from maskdet.datasets.reading import ClassesError
from maskdet.evaluation.labelled_set import ImportedDataset, import_dataset
from maskdet.evaluation.operating_point import EvaluationResult, Evaluator
from maskdet.evaluation.predictions import (
    BUNDLED_ANALYZERS,
    AnalyzerPredictions,
    encode_bundled_file,
    read_predictions,
)
from maskdet.evaluation.scoring import predict_dataset
from maskdet.extras import require_libraries
from maskdet.metrics.classification import Json
from maskdet.metrics.intervals import estimates_to_json
from maskdet.metrics.matching import MIN_IOU
from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.tuning.class_metrics import compute_class_metrics
from maskdet.tuning.goal_search import Proposal, propose_settings
from maskdet.tuning.goals import GOAL_KINDS, Goal
from maskdet.types import CLASSES, Label
from maskdet.wording import format_count

_METRIC_TITLES = ("precision", "recall", "F1", "false positives per image")

_STORED_SUFFIX: Final = ".npz"

_DESCRIPTION = """Evaluate and choose thresholds on labelled images. `maskdet tune
DATA` is `maskdet tune settings DATA`, unless DATA is the name of an action: then use
the long form or ./DATA."""

_SETTINGS_DESCRIPTION = f"""Run the analyzer on a labelled set once, then report
precision and recall at the thresholds. DATA is a folder, a zip, a COCO, VOC, YOLO or
index file, or stored predictions ({_STORED_SUFFIX}). With --goal, settings are chosen
on one half of the images and evaluated on the other. Intervals are 95 %."""

_SCORES_DESCRIPTION = f"""Run analyzers on labelled sets and store the predictions for
`maskdet tune` and the dashboard: numbers only, without images and their names. Without
--analyzer, those of {", ".join(BUNDLED_ANALYZERS)} are stored."""


def store_scored_sets(
    sources: Sequence[Path],
    folder: Path,
    options: AnalyzerOptions,
    analyzer_names: Sequence[str] | None,
    classes: ClassNames,
) -> None:
    """Run analyzers on sets and store the predictions, a file per set and analyzer.

    Args:
        sources: labelled sets.
        folder: output folder; created if missing.
        options: classifier, and analyzer if there are no `analyzer_names`.
        analyzer_names: names of the analyzers.
        classes: mapping of the class names of the data.

    Raises:
        ValueError: a set cannot be read, or the folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {folder}: is a file, not a folder")
    sets = [read_labelled_set(source, classes) for source in sources]
    folder.mkdir(parents=True, exist_ok=True)
    for name in analyzer_names or (options.analyzer,):
        for labelled_set in sets:
            file, content = encode_bundled_file(
                score_labelled_set(labelled_set, options, name)
            )
            write_file(folder / file, content)
            print_line(f"wrote {folder / file}, {len(content) / 1000:.0f} kB")


def read_labelled_set(source: Path, classes: ClassNames) -> ImportedDataset:
    """Read a labelled set, and print on stderr what is left out.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: the set cannot be read, or no class is known.
    """
    try:
        with show_progress(f"reading {source.name}", " image") as progress:
            labelled_set = import_dataset(
                source, source.stem, classes=classes, progress=progress
            )
    except ClassesError as error:
        hint = _format_class_hint(error.name_counts, classes)
        add_hint = hint and "--classes" not in str(error)
        raise ValueError(f"{error}; {hint}" if add_hint else str(error)) from None
    for note in labelled_set.notes:
        print_warning(f"{source}: {note}")
    if hint := _format_class_hint(labelled_set.class_word_counts, classes):
        print_warning(f"{source}: unknown class: {hint}")
    return labelled_set


def _format_class_hint(class_words: Iterable[str], classes: ClassNames) -> str:
    unknown = [
        truncate_name(class_word)
        for class_word in class_words
        if not classes.target(class_word)
    ]
    return format_classes_hint(unknown) if unknown else ""


def score_labelled_set(
    labelled_set: ImportedDataset, options: AnalyzerOptions, name: str
) -> AnalyzerPredictions:
    """Return the predictions of an analyzer on a set."""
    analyzer = load_analyzer(name, options.classifier, refine=options.refine)
    if name == options.analyzer:
        options.print_notices()
    title = f"{name} on {labelled_set.ground_truth.name}"
    with show_progress(title, " image") as progress:
        return predict_dataset(labelled_set, analyzer, name, progress=progress)


def format_operating_point(
    operating_point: EvaluationResult, style: Style
) -> list[str]:
    """Return the metrics of settings on a whole set, a line per class."""
    lines = [
        _format_settings_line("settings:", operating_point.settings),
        format_row("", _METRIC_TITLES),
    ]
    for row in compute_class_metrics(operating_point):
        title = "faces" if row.label is None else style.title(row.label)
        lines.append(format_row(f"  {title}", map(format_cell, row.estimates.values())))
    return lines


def format_proposal(proposal: Proposal, style: Style) -> list[str]:
    """Return the proposed settings of a goal, their metrics and the notes."""
    n_selection = proposal.selection_performance.n_images
    n_holdout = proposal.performance_after.n_images
    rows = (
        ("now", proposal.performance_before),
        ("proposed", proposal.performance_after),
        ("on the selection half", proposal.selection_performance),
    )
    return [
        f"goal: {proposal.goal.title(style)}",
        _format_settings_line("proposed:", proposal.settings_after),
        f"chosen on {format_count(n_selection, 'image')}, evaluated on the other "
        f"{n_holdout}",
        format_row(style.title(proposal.goal.label), _METRIC_TITLES),
        *(
            format_row(f"  {title}", map(format_cell, performance.estimates.values()))
            for title, performance in rows
        ),
        "",
        *proposal.messages,
    ]


def _format_settings_line(prefix: str, settings: Settings) -> str:
    return (
        f"{prefix} detection score {settings.min_score:g}, confidence "
        f"{settings.min_confidence:g}, smallest face {settings.min_face_px:g} px, "
        f"NMS IoU {settings.nms_iou:g}"
    )


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "tune",
        help="report what thresholds cost, and choose them for a goal",
        description=_DESCRIPTION,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    settings = actions.add_parser(
        "settings",
        help="report what thresholds cost, and choose them for a goal",
        description=_SETTINGS_DESCRIPTION,
        epilog="goals: "
        + "; ".join(f"{name}: {line}" for name, line in GOAL_KINDS.items()),
    )
    settings.add_argument("source", type=Path, metavar="DATA")
    _add_evaluation_options(settings)
    _add_output_options(settings)
    scores = actions.add_parser(
        "scores",
        help="store the predictions of analyzers",
        description=_SCORES_DESCRIPTION,
    )
    scores.add_argument("sources", nargs="+", type=Path, metavar="DATA")
    scores.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for the predictions; the dashboard reads models/tune",
    )
    for action in (settings, scores):
        add_classes_option(action)
        add_analyzer_options(action)
    add_style_option(settings)


def _add_evaluation_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--goal",
        metavar="GOAL",
        help="choose settings for a goal: f1, recall=0.95, cost=5 or equal; the value "
        "is optional",
    )
    parser.add_argument(
        "--label",
        choices=[label.key for label in CLASSES],
        default=Label.NO_MASK.key,
        help="the class of the goal (default: no_mask)",
    )
    parser.add_argument(
        "--min-iou",
        type=float,
        default=MIN_IOU,
        metavar="F",
        help="minimum IoU of a detected face with a labelled one (default: "
        f"{MIN_IOU:g})",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="random seed of the split into halves (default: 0)",
    )


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", metavar="FILE", help="write JSON; - for stdout")
    parser.add_argument("--report", metavar="FILE", help="write a report as HTML")
    parser.add_argument(
        "--settings-out",
        metavar="FILE",
        help="write the chosen settings as JSON for --settings and the dashboard; - "
        "for stdout",
    )


def run(args: argparse.Namespace) -> int:
    """Store predictions, or tune on a set."""
    if args.action == "scores":
        store_scored_sets(
            args.sources,
            args.out,
            parse_analyzer_options(args),
            BUNDLED_ANALYZERS if args.analyzer is None else None,
            parse_class_names_option(args),
        )
        return 0
    source: Path = args.source
    output_paths = {
        "--json": args.json,
        "--report": args.report,
        "--settings-out": args.settings_out,
    }
    for option, target in output_paths.items():
        check_output_path(option, target, [source])
    if list(output_paths.values()).count(STDOUT) > 1:
        raise ValueError(
            "only one of --json, --report and --settings-out can write to stdout"
        )
    if args.report is not None:
        require_libraries("maskdet tune --report", "vl_convert")
    goal = None if args.goal is None else _parse_goal(args.goal, args.label)
    _tune(args, source, goal, data_only=STDOUT in output_paths.values())
    return 0


def _tune(
    args: argparse.Namespace, source: Path, goal: Goal | None, *, data_only: bool
) -> None:
    options = parse_analyzer_options(args)
    scored_set = _load_scored_set(args, options, source)
    evaluator = Evaluator(scored_set)
    operating_point = evaluator(options.settings, min_iou=args.min_iou)
    proposal = None
    if goal is not None:
        proposal = propose_settings(
            evaluator, options.settings, goal, seed=args.seed, min_iou=args.min_iou
        )
    ground_truth = scored_set.ground_truth
    is_stored = source.suffix.lower() == _STORED_SUFFIX
    title = (
        f"{source}: {format_count(len(ground_truth.names), 'image')}, "
        f"{format_count(len(ground_truth.faces), 'face')}; "
        f"analyzer {scored_set.analyzer}"
    )
    if not data_only:
        lines = [title, *_describe_counts(scored_set, options, is_stored=is_stored), ""]
        lines += format_operating_point(operating_point, options.style)
        if proposal is not None:
            lines += ["", *format_proposal(proposal, options.style)]
        for line in lines:
            print_line(line)
    if args.json is not None:
        content = {"file": str(source), **_to_json(operating_point, proposal)}
        write_json(args.json, content)
    settings = operating_point.settings if proposal is None else proposal.settings_after
    if args.settings_out is not None:
        write_json(
            args.settings_out,
            _format_settings(
                options, scored_set.analyzer, dataclasses.asdict(settings)
            ),
        )
    if args.report is not None:
        from maskdet.tuning.html_report import render_html_report

        reported = evaluator(settings, min_iou=args.min_iou)
        write_text(
            args.report,
            render_html_report(reported, proposal=proposal, style=options.style),
        )


def _describe_counts(
    scored_set: AnalyzerPredictions, options: AnalyzerOptions, *, is_stored: bool
) -> list[str]:
    """Return lines about what `maskdet evaluate scenes` counts in another way."""
    lines = []
    n_unknown = int((scored_set.ground_truth.labels == Label.UNKNOWN).sum())
    if n_unknown:
        lines.append(
            f"{format_count(n_unknown, 'face')} of unknown class: neither right nor "
            "wrong"
        )
    limit = max_refined_faces(
        options.analyzer, options.classifier, refine=options.refine
    )
    if limit is not None and not is_stored:
        lines.append(
            "all low-confidence faces are re-checked, so that thresholds can be "
            f"compared; `maskdet evaluate` and live video re-check at most {limit} of "
            "an image"
        )
    return lines


def _parse_goal(text: str, label: str) -> Goal:
    """Parse a goal such as `recall=0.95`."""
    kind, has_value, value_text = text.partition("=")
    if kind not in GOAL_KINDS:
        raise ValueError(
            f"--goal: must be one of {', '.join(GOAL_KINDS)}, not {kind!r}"
        )
    goal = Goal(kind, label=Label[label.upper()])
    if not has_value:
        return goal
    if kind not in ("recall", "cost"):
        raise ValueError(f"--goal {kind} takes no value")
    try:
        value = float(value_text)
    except ValueError:
        raise ValueError(f"--goal {kind}: {value_text!r} is not a number") from None
    if kind == "cost":
        return dataclasses.replace(goal, cost=value)
    return dataclasses.replace(goal, recall=value)


def _load_scored_set(
    args: argparse.Namespace, options: AnalyzerOptions, source: Path
) -> AnalyzerPredictions:
    if source.suffix.lower() != _STORED_SUFFIX:
        return score_labelled_set(
            read_labelled_set(source, parse_class_names_option(args)),
            options,
            options.analyzer,
        )
    if (args.analyzer, args.classifier, args.preset) != (None, None, None):
        raise ValueError(
            f"{source}: stored predictions are of one analyzer: leave out --analyzer, "
            "--classifier and --preset"
        )
    return read_predictions(source)


def _format_settings(options: AnalyzerOptions, analyzer: str, settings: Json) -> Json:
    """Return settings with their analyzer, in the format of the dashboard."""
    if analyzer not in ANALYZERS:
        return settings
    return {
        "analyzer": analyzer,
        "classifier": options.classifier,
        "refine": options.refine,
        "settings": settings,
    }


def _to_json(operating_point: EvaluationResult, proposal: Proposal | None) -> Json:
    """Return the results for JSON."""
    ground_truth = operating_point.predictions.ground_truth
    classes = {}
    for row in compute_class_metrics(operating_point):
        key = "faces" if row.label is None else row.label.key
        classes[key] = estimates_to_json(row.estimates)
    return {
        "version": 2,
        "set": ground_truth.name,
        "images": len(ground_truth.names),
        "faces": len(ground_truth.faces),
        "analyzer": operating_point.predictions.analyzer,
        "settings": dataclasses.asdict(operating_point.settings),
        "min_iou": operating_point.min_iou,
        "classes": classes,
        "confusion": operating_point.confusion.tolist(),
        "proposal": None if proposal is None else proposal.to_json(),
    }
