"""`maskdet tune`: what thresholds cost on a labelled set, and which reach a goal."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Final

from maskdet.analyzer import ANALYZERS
from maskdet.cli.choosing import (
    AnalyzerOptions,
    add_analyzer_options,
    add_style_option,
    parse_analyzer_options,
)
from maskdet.cli.console import STDOUT, check_output_path, print_line, write_text
from maskdet.cli.labelled import add_classes_option, parse_class_names_option
from maskdet.cli.tune_sets import (
    read_labelled_set,
    score_labelled_set,
    store_scored_sets,
)
from maskdet.cli.tune_tables import format_operating_point, format_proposal
from maskdet.metrics.labelling import Json
from maskdet.style import Style
from maskdet.tune.bundled import BUNDLED_ANALYZERS
from maskdet.tune.files import read_predictions
from maskdet.tune.goals import GOAL_KINDS, Goal, Proposal, propose_settings
from maskdet.tune.judging import MIN_IOU, EvaluationResult, Evaluator
from maskdet.tune.scored import AnalyzerPredictions
from maskdet.tune.table import compute_class_metrics
from maskdet.types import CLASSES, Label
from maskdet.wording import format_count

_SCORES_COMMAND: Final = "scores"
"""As the first word: store scores instead of tuning on them."""

_STORED_SUFFIX: Final = ".npz"

_DESCRIPTION = f"""Run the analyzer on a labelled set once, then report precision and
recall at the thresholds. DATA is a folder, a zip, a COCO, VOC, YOLO or index file, or
stored scores ({_STORED_SUFFIX}). With --goal, settings are chosen on one half of the
images and reported on the other. `maskdet tune {_SCORES_COMMAND} DATA... --out DIR`
stores the predictions
instead: numbers only, without images and their names. Intervals are 95 %."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "tune",
        help="report what thresholds cost, and choose them for a goal",
        description=_DESCRIPTION,
        epilog="goals: "
        + "; ".join(f"{name}: {line}" for name, line in GOAL_KINDS.items()),
    )
    parser.add_argument("data", nargs="+", metavar="DATA")
    parser.add_argument(
        "--goal",
        metavar="GOAL",
        help="choose settings for a goal: f1, recall=0.95, cost=5 or equal; the number "
        "may be left out",
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
        help=f"IoU from which a face counts as detected (default: {MIN_IOU:g})",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="random seed of the two halves (default: 0)"
    )
    add_classes_option(parser)
    _add_output_options(parser)
    add_analyzer_options(parser)
    add_style_option(parser)


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", metavar="FILE", help="write JSON; - for stdout")
    parser.add_argument("--report", metavar="FILE", help="write a report as HTML")
    parser.add_argument(
        "--settings-out",
        metavar="FILE",
        help="write the chosen settings as JSON for --settings and the dashboard; - "
        "for stdout",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help=f"with {_SCORES_COMMAND}: the folder for the stored scores; the dashboard reads "
        "models/tune. Without --analyzer, the scores of "
        f"{', '.join(BUNDLED_ANALYZERS)} are stored",
    )


def run(args: argparse.Namespace) -> int:
    """Store scores, or tune on a set."""
    if args.data[0] == _SCORES_COMMAND:
        if args.out is None or not args.data[1:]:
            raise ValueError(
                f"maskdet tune {_SCORES_COMMAND} needs DATA... and --out DIR"
            )
        names = BUNDLED_ANALYZERS if args.analyzer is None else None
        sources = [Path(path_text) for path_text in args.data[1:]]
        store_scored_sets(
            sources,
            args.out,
            parse_analyzer_options(args),
            names,
            parse_class_names_option(args),
        )
        return 0
    if len(args.data) > 1:
        raise ValueError(f"one DATA at a time, not {len(args.data)}")
    if args.out is not None:
        raise ValueError(f"--out is for `maskdet tune {_SCORES_COMMAND}`")
    source = Path(args.data[0])
    output_paths = {
        "--json": args.json,
        "--report": args.report,
        "--settings-out": args.settings_out,
    }
    for option, target in output_paths.items():
        check_output_path(option, target, [source])
    if list(output_paths.values()).count(STDOUT) > 1:
        raise ValueError("only one of them can write to stdout")
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
    title = (
        f"{source}: {format_count(len(ground_truth.names), 'picture')}, "
        f"{format_count(len(ground_truth.faces), 'face')}; "
        f"analyzer {scored_set.analyzer}"
    )
    if not data_only:
        for line in [
            title,
            "",
            *format_operating_point(operating_point, options.style),
        ]:
            print_line(line)
        if proposal is not None:
            for line in ["", *format_proposal(proposal, options.style)]:
                print_line(line)
    if args.json is not None:
        content = {"file": str(source), **_to_json(operating_point, proposal)}
        write_text(args.json, json.dumps(content, indent=2) + "\n")
    if args.settings_out is not None:
        settings = (
            operating_point.settings if proposal is None else proposal.settings_after
        )
        text = json.dumps(
            _format_settings(
                options, scored_set.analyzer, dataclasses.asdict(settings)
            ),
            indent=2,
        )
        write_text(args.settings_out, text + "\n")
    if args.report is not None:
        write_text(
            args.report,
            _make_report(evaluator, operating_point, proposal, options.style),
        )


def _make_report(
    evaluator: Evaluator,
    operating_point: EvaluationResult,
    proposal: Proposal | None,
    style: Style,
) -> str:
    from maskdet.tune.report import render_html_report

    reported_point = operating_point
    if proposal is not None:
        reported_point = evaluator(
            proposal.settings_after, min_iou=operating_point.min_iou
        )
    return render_html_report(reported_point, proposal=proposal, style=style)


def _parse_goal(text: str, label: str) -> Goal:
    """Return the goal that words such as `recall=0.95` ask for."""
    kind, has_value, value_text = text.partition("=")
    if kind not in GOAL_KINDS:
        raise ValueError(f"--goal: {kind!r} is none of {', '.join(GOAL_KINDS)}")
    goal = Goal(kind, label=Label[label.upper()])
    if not has_value:
        return goal
    if kind not in ("recall", "cost"):
        raise ValueError(f"--goal {kind} takes no number")
    try:
        value = float(value_text)
    except ValueError:
        raise ValueError(f"--goal {kind}: {value_text!r} is no number") from None
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
            f"{source}: stored scores are of one analyzer: leave out --analyzer, "
            "--classifier and --preset"
        )
    return read_predictions(source)


def _format_settings(options: AnalyzerOptions, analyzer: str, settings: Json) -> Json:
    """Return settings with the analyzer that they were tuned for, as the page saves."""
    if analyzer not in ANALYZERS:
        return settings
    return {
        "analyzer": analyzer,
        "classifier": options.classifier,
        "refine": options.refine,
        "settings": settings,
    }


def _to_json(operating_point: EvaluationResult, proposal: Proposal | None) -> Json:
    """Return every number for JSON."""
    ground_truth = operating_point.predictions.ground_truth
    classes = {}
    for row in compute_class_metrics(operating_point):
        metrics = {
            "precision": row.precision,
            "recall": row.recall,
            "f1": row.f1,
            "false_alarms": row.false_positives_per_image,
        }
        key = "faces" if row.label is None else row.label.key
        classes[key] = {name: estimate.to_json() for name, estimate in metrics.items()}
    return {
        "version": 1,
        "set": ground_truth.name,
        "pictures": len(ground_truth.names),
        "faces": len(ground_truth.faces),
        "analyzer": operating_point.predictions.analyzer,
        "settings": dataclasses.asdict(operating_point.settings),
        "min_iou": operating_point.min_iou,
        "classes": classes,
        "confusion": operating_point.confusion.tolist(),
        "proposal": None if proposal is None else proposal.to_json(),
    }
