"""`maskdet evaluate analyzers`: every analyzer that is here, on the same scenes."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from maskdet.analyzer import ANALYZERS, load_analyzer
from maskdet.cli.choosing import (
    add_models_option,
    add_settings_options,
    add_style_option,
    parse_analyzer_options,
)
from maskdet.cli.console import (
    STDOUT,
    check_output_path,
    format_error_reason,
    iterate_with_progress_bar,
    print_line,
    print_warning,
    write_text,
)
from maskdet.cli.evaluate_tables import format_comparison_table
from maskdet.cli.labelled import add_classes_option, read_examples_with_warnings
from maskdet.comparison import RATE_NAMES, AnalyzerMetrics, format_comparison
from maskdet.datasets import Example
from maskdet.evaluation import LARGE_PX, MIN_IOU, DetectionReport, evaluate_detection
from maskdet.types import Settings

_ANALYZERS_DESCRIPTION = f"""Compare every analyzer whose model files are present on the
same images, at the same settings. Average precision at IoU {MIN_IOU} follows the rules
of `evaluate scenes`. Recall, precision and the accuracy of the three classes are at the
thresholds; the accuracy is that of the detected faces of at least {LARGE_PX:g} px.
Intervals are 95 %. Times are those of this machine."""

_COMPARISON_FILE = "models/analyzers.json"


def add_analyzers_parser(
    kinds: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    """Add this kind of `evaluate` and its options."""
    kind = kinds.add_parser(
        "analyzers",
        help="all analyzers side by side",
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
        help=f"write the numbers as JSON; - for stdout. {_COMPARISON_FILE} is the file that "
        "the Models page shows",
    )
    add_models_option(kind)
    add_settings_options(kind, preset=False)
    add_style_option(kind)


def run_analyzers(args: argparse.Namespace) -> int:
    """Measure, print the tables and write the numbers."""
    check_output_path("--out", args.out, args.files)
    options = parse_analyzer_options(args)
    settings = options.settings
    if args.out is not None and settings != Settings():
        raise ValueError(
            "--out is for the comparison at default settings, which is what its file "
            "says of itself; leave out --out or the thresholds"
        )
    names = list(dict.fromkeys(args.names or ANALYZERS))
    for name in names:
        if name not in ANALYZERS:
            raise ValueError(f"--names: {name} is none of {', '.join(ANALYZERS)}")
    sets = _read_sets(args)
    rows = [row for name in names for row in _evaluate_analyzer(name, sets, settings)]
    if not rows:
        raise ValueError("none of these analyzers is here")
    if args.out != STDOUT:
        for line in format_comparison_table(rows, options.style):
            print_line(line)
    if args.out is not None:
        write_text(args.out, format_comparison(rows))
    return 0


def _read_sets(args: argparse.Namespace) -> dict[str, list[Example]]:
    """Return the examples of each set, by its name."""
    sets: dict[str, list[Example]] = {}
    for file in args.files:
        if file.stem in sets:
            raise ValueError(f"{file}: there already is a set called {file.stem}")
        sets[file.stem] = read_examples_with_warnings(file, args)
    return sets


def _evaluate_analyzer(
    name: str, sets: Mapping[str, list[Example]], settings: Settings
) -> list[AnalyzerMetrics]:
    """Return one row a set; none, and a line, where the analyzer is not here."""
    try:
        analyzer = load_analyzer(name)
    except (FileNotFoundError, RuntimeError) as error:
        print_warning(f"{name} is left out: {format_error_reason(error)}")
        return []
    rows = []
    for set_name, examples in sets.items():
        examples_with_progress = iterate_with_progress_bar(
            examples, f"picture, {name} on {set_name}"
        )
        report = evaluate_detection(analyzer, examples_with_progress, settings)
        rows.append(_make_row(name, set_name, report))
    return rows


def _make_row(name: str, set_name: str, report: DetectionReport) -> AnalyzerMetrics:
    estimates = (
        report.recall,
        report.precision,
        report.classification.class_confusion.accuracy,
    )
    return AnalyzerMetrics(
        analyzer=name,
        set_name=set_name,
        n_images=report.images,
        ap=report.ap,
        ap_large=report.ap_large,
        rates=dict(zip(RATE_NAMES, estimates, strict=True)),
        median_ms=report.median_ms,
    )
