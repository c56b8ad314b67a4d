"""`maskdet tune`: what thresholds cost on a labelled set, and which reach a goal."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Final

from maskdet.analyzer import ANALYZERS
from maskdet.cli.choosing import (
    Choice,
    add_analyzer_options,
    add_style_option,
    chosen,
)
from maskdet.cli.console import STDOUT, check_target, say, write_text
from maskdet.cli.labelled import add_classes_option, class_names
from maskdet.cli.tune_sets import look, read, store
from maskdet.cli.tune_tables import outcome_lines, proposal_lines
from maskdet.metrics.labelling import Json
from maskdet.style import Style
from maskdet.tune.bundled import BUNDLED_ANALYZERS
from maskdet.tune.files import read_scored
from maskdet.tune.goals import GOALS, Goal, Proposal, propose
from maskdet.tune.judging import MIN_IOU, Judge, Outcome
from maskdet.tune.scored import Scored
from maskdet.tune.table import class_rows
from maskdet.types import CLASSES, Label
from maskdet.wording import counted

_SCORES: Final = "scores"
"""As the first word: store scores instead of tuning on them."""

_STORED: Final = ".npz"

_ABOUT = f"""Run the analyzer on a labelled set once, then report precision and recall
at the thresholds. DATA is a folder, a zip, a COCO, VOC, YOLO or index file, or stored
scores ({_STORED}). With --goal, settings are chosen on one half of the images and
reported on the other. `maskdet tune {_SCORES} DATA... --out DIR` stores the predictions
instead: numbers only, without images and their names. Intervals are 95 %."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "tune",
        help="report what thresholds cost, and choose them for a goal",
        description=_ABOUT,
        epilog="goals: " + "; ".join(f"{name}: {line}" for name, line in GOALS.items()),
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
    _add_targets(parser)
    add_analyzer_options(parser)
    add_style_option(parser)


def _add_targets(parser: argparse.ArgumentParser) -> None:
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
        help=f"with {_SCORES}: the folder for the stored scores; the dashboard reads "
        "models/tune. Without --analyzer, the scores of "
        f"{', '.join(BUNDLED_ANALYZERS)} are stored",
    )


def run(args: argparse.Namespace) -> int:
    """Store scores, or tune on a set."""
    if args.data[0] == _SCORES:
        if args.out is None or not args.data[1:]:
            raise ValueError(f"maskdet tune {_SCORES} needs DATA... and --out DIR")
        names = BUNDLED_ANALYZERS if args.analyzer is None else None
        sources = [Path(word) for word in args.data[1:]]
        store(sources, args.out, chosen(args), names, class_names(args))
        return 0
    if len(args.data) > 1:
        raise ValueError(f"one DATA at a time, not {len(args.data)}")
    if args.out is not None:
        raise ValueError(f"--out is for `maskdet tune {_SCORES}`")
    source = Path(args.data[0])
    targets = {
        "--json": args.json,
        "--report": args.report,
        "--settings-out": args.settings_out,
    }
    for option, target in targets.items():
        check_target(option, target, [source])
    if list(targets.values()).count(STDOUT) > 1:
        raise ValueError("only one of them can write to stdout")
    goal = None if args.goal is None else _goal(args.goal, args.label)
    _tune(args, source, goal, quiet=STDOUT in targets.values())
    return 0


def _tune(
    args: argparse.Namespace, source: Path, goal: Goal | None, *, quiet: bool
) -> None:
    choice = chosen(args)
    scored = _scored(args, choice, source)
    judge = Judge(scored)
    outcome = judge(choice.settings, min_iou=args.min_iou)
    proposal = None
    if goal is not None:
        proposal = propose(
            judge, choice.settings, goal, seed=args.seed, min_iou=args.min_iou
        )
    truth = scored.truth
    title = (
        f"{source}: {counted(len(truth.names), 'picture')}, "
        f"{counted(len(truth.faces), 'face')}; "
        f"analyzer {scored.analyzer}"
    )
    if not quiet:
        for line in [title, "", *outcome_lines(outcome, choice.style)]:
            say(line)
        if proposal is not None:
            for line in ["", *proposal_lines(proposal, choice.style)]:
                say(line)
    if args.json is not None:
        content = {"file": str(source), **_content(outcome, proposal)}
        write_text(args.json, json.dumps(content, indent=2) + "\n")
    if args.settings_out is not None:
        settings = outcome.settings if proposal is None else proposal.after
        text = json.dumps(
            _chosen(choice, scored.analyzer, dataclasses.asdict(settings)), indent=2
        )
        write_text(args.settings_out, text + "\n")
    if args.report is not None:
        write_text(args.report, _report(judge, outcome, proposal, choice.style))


def _report(
    judge: Judge, outcome: Outcome, proposal: Proposal | None, style: Style
) -> str:
    from maskdet.tune.report import report_html

    shown = outcome
    if proposal is not None:
        shown = judge(proposal.after, min_iou=outcome.min_iou)
    return report_html(shown, proposal=proposal, style=style)


def _goal(text: str, label: str) -> Goal:
    """Return the goal that words such as `recall=0.95` ask for."""
    kind, has_number, number = text.partition("=")
    if kind not in GOALS:
        raise ValueError(f"--goal: {kind!r} is none of {', '.join(GOALS)}")
    wanted = Goal(kind, label=Label[label.upper()])
    if not has_number:
        return wanted
    if kind not in ("recall", "cost"):
        raise ValueError(f"--goal {kind} takes no number")
    try:
        value = float(number)
    except ValueError:
        raise ValueError(f"--goal {kind}: {number!r} is no number") from None
    if kind == "cost":
        return dataclasses.replace(wanted, cost=value)
    return dataclasses.replace(wanted, recall=value)


def _scored(args: argparse.Namespace, choice: Choice, source: Path) -> Scored:
    if source.suffix.lower() != _STORED:
        return look(read(source, class_names(args)), choice, choice.analyzer)
    if (args.analyzer, args.classifier, args.preset) != (None, None, None):
        raise ValueError(
            f"{source}: stored scores are of one analyzer: leave out --analyzer, "
            "--classifier and --preset"
        )
    return read_scored(source)


def _chosen(choice: Choice, analyzer: str, settings: Json) -> Json:
    """Return settings with the analyzer that they were tuned for, as the page saves."""
    if analyzer not in ANALYZERS:
        return settings
    return {
        "analyzer": analyzer,
        "classifier": choice.classifier,
        "second_look": choice.second_look,
        "settings": settings,
    }


def _content(outcome: Outcome, proposal: Proposal | None) -> Json:
    """Return every number for JSON."""
    truth = outcome.scored.truth
    classes = {}
    for row in class_rows(outcome):
        numbers = {
            "precision": row.precision,
            "recall": row.recall,
            "f1": row.f1,
            "false_alarms": row.false_alarms,
        }
        key = "faces" if row.label is None else row.label.key
        classes[key] = {name: one.rounded() for name, one in numbers.items()}
    return {
        "version": 1,
        "set": truth.name,
        "pictures": len(truth.names),
        "faces": len(truth.faces),
        "analyzer": outcome.scored.analyzer,
        "settings": dataclasses.asdict(outcome.settings),
        "min_iou": outcome.min_iou,
        "classes": classes,
        "confusion": outcome.confusion.tolist(),
        "proposal": None if proposal is None else proposal.to_json(),
    }
