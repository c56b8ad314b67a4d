"""`maskdet robustness`: hard negatives, low light, groups, false positives."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from maskdet.analyzers.pipelines import Analyzer, load_analyzer
from maskdet.classifier import load_classifier
from maskdet.cli.console import (
    STDOUT,
    check_output_path,
    iterate_with_progress_bar,
    print_line,
    write_text,
)
from maskdet.cli.dataset_options import (
    add_classes_option,
    add_held_out_option,
    read_examples_with_warnings,
)
from maskdet.cli.options import (
    IMAGE_OPTIONS,
    AnalyzerOptions,
    add_analyzer_options,
    parse_analyzer_options,
)
from maskdet.datasets import Example, apply_corrections, select_split
from maskdet.detectors import LandmarkDetector, load_detector
from maskdet.media import find_images
from maskdet.metrics.classification import Json
from maskdet.metrics.intervals import Estimate
from maskdet.robustness import (
    FalsePositiveReport,
    LookalikeReport,
    LowLightReport,
    NegativeImageReport,
    OcclusionReport,
    SmallFaceReport,
    SubgroupReport,
    compare_subgroups,
    evaluate_false_positives,
    evaluate_lookalikes,
    evaluate_low_light,
    evaluate_negative_images,
    evaluate_occlusion,
    evaluate_small_faces,
    read_subgroups,
)
from maskdet.settings import Settings

_DESCRIPTION = """Robustness benchmark: change labelled faces in ways that must not
change their class, and count the errors. Objects are drawn over the mouths of faces
without a mask, and faces are darkened. Clear shields, and masks with a printed mouth,
are drawn
too: then the class should at least be unknown. With --groups, groups of people are
compared. Incorrectly worn counts as masked; intervals are 95 %. With --analyzer or
settings, also count false positives: on parts of the images that touch no face, and on
drawn walls, round things and hands; cartoon faces are reported separately. Images of
one face are then also pasted on drawn walls at small sizes, to measure recall and
classification."""

_WIDTH = 34


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "robustness",
        help="benchmark robustness: hard negatives, low light, groups, false positives",
        description=_DESCRIPTION,
    )
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="COCO files (.json) or an index.csv of images of one face",
    )
    parser.add_argument(
        "--split", default="test", help="split of an index.csv (default: test)"
    )
    parser.add_argument(
        "--groups",
        type=Path,
        metavar="CSV",
        help="groups of the faces; columns file, face, groups",
    )
    parser.add_argument(
        "--corrections",
        type=Path,
        metavar="CSV",
        help="list of labels to correct; see models/corrections.csv",
    )
    add_classes_option(parser)
    add_analyzer_options(parser)
    _add_without_faces_options(parser)
    parser.add_argument(
        "--seed", type=int, default=0, help="random seed of the drawings (default: 0)"
    )
    parser.add_argument("--json", metavar="FILE", help="write JSON; - for stdout")


def _add_without_faces_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--without-faces",
        nargs="+",
        default=[],
        type=Path,
        metavar="PATH",
        help="also count the false positives of --analyzer on images that show no "
        "face: all images in these folders and below, and of COCO files without boxes "
        "(--negatives of `train`) those that are never trained on",
    )
    add_held_out_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run the suites on each file, then on all of them together."""
    check_output_path("--json", args.json, args.files)
    # A classifier alone is measured alone; what else is chosen is an analyzer's.
    with_analyzer = any(
        getattr(args, name) is not None
        for name in ("analyzer", "preset", "settings", *IMAGE_OPTIONS)
    )
    if args.without_faces and not with_analyzer:
        raise ValueError("--without-faces goes with --analyzer only")
    if not args.files and not args.without_faces:
        raise ValueError("name files with labelled faces, or --without-faces PATH")
    options = parse_analyzer_options(args)
    analyzer = None
    if with_analyzer:
        analyzer = load_analyzer(
            options.analyzer, options.classifier, refine=options.refine
        )
        options.print_notices()
    lines, numbers = (
        _run_on_labelled(args, options, analyzer) if args.files else ([], {})
    )
    if args.without_faces and analyzer is not None:
        files = iterate_with_progress_bar(_list_images_without_faces(args), "image")
        false_positives = evaluate_negative_images(analyzer, files, options.settings)
        lines += _format_images_without_faces(false_positives, options.analyzer)
        numbers["without_faces"] = false_positives.to_json()
    if args.json != STDOUT:
        for line in lines:
            print_line(line)
    if args.json is not None:
        report = {
            "version": 2,
            "files": [str(file) for file in args.files],
            "classifier": options.classifier,
            "analyzer": options.analyzer if with_analyzer else None,
            "pipeline": options.pipeline if with_analyzer else None,
            "settings": dataclasses.asdict(options.settings) if with_analyzer else None,
            "seed": args.seed,
            **numbers,
        }
        write_text(args.json, json.dumps(report, indent=2) + "\n")
    return 0


def _run_on_labelled(
    args: argparse.Namespace, options: AnalyzerOptions, analyzer: Analyzer | None
) -> tuple[list[str], Json]:
    """Return lines and numbers of every suite that needs labelled faces."""
    groups = None if args.groups is None else read_subgroups(args.groups)
    classifier = load_classifier(options.classifier)
    # The detector whose weights come with the package, so that this runs anywhere.
    detector = load_detector("mtcnn")
    assert isinstance(detector, LandmarkDetector)
    examples = _read_labelled_examples(args)
    occlusion = evaluate_occlusion(
        classifier,
        detector,
        iterate_with_progress_bar(examples, "image"),
        seed=args.seed,
    )
    low_light_report = evaluate_low_light(
        classifier,
        detector,
        iterate_with_progress_bar(examples, "image"),
        seed=args.seed,
    )
    group_reports = (
        [] if groups is None else compare_subgroups(classifier, examples, groups)
    )
    false_positives, small_faces = _run_analyzer_benchmarks(
        analyzer, examples, options.settings, args.seed
    )
    lookalike_report = evaluate_lookalikes(
        classifier,
        detector,
        iterate_with_progress_bar(examples, "image"),
        min_confidence=options.settings.min_confidence,
        seed=args.seed,
    )
    lines = (
        _format_classifier_results(occlusion, low_light_report, group_reports)
        + _format_lookalikes(lookalike_report)
        + _format_false_positives(false_positives, options.analyzer)
    )
    return lines + _format_small_faces(small_faces, options.analyzer), {
        "hard_negatives": occlusion.to_json(),
        "low_light": low_light_report.to_json(),
        "lookalikes": lookalike_report.to_json(),
        "groups": [group.to_json() for group in group_reports],
        "false_positives": None
        if false_positives is None
        else false_positives.to_json(),
        "pasted": None if small_faces is None else small_faces.to_json(),
    }


def _list_images_without_faces(args: argparse.Namespace) -> list[tuple[Path, str]]:
    """Return images that show no face, and the kind of each."""
    from maskdet.training.onepass.data import list_negatives

    coco_files = [path for path in args.without_faces if path.suffix.lower() == ".json"]
    files = [
        (image, folder.name)
        for folder in args.without_faces
        if folder not in coco_files
        for image in find_images(folder).images
    ]
    files += [
        (image.path, image.kind)
        for image in list_negatives(coco_files, args.held_out_kinds)
        if image.held_out
    ]
    if not files:
        names = ", ".join(str(path) for path in args.without_faces)
        raise ValueError(f"--without-faces {names}: there is no image in it")
    return files


def _run_analyzer_benchmarks(
    analyzer: Analyzer | None, examples: list[Example], settings: Settings, seed: int
) -> tuple[FalsePositiveReport | None, SmallFaceReport | None]:
    """Return what an analyzer, if one is asked for, finds where no face and one is."""
    if analyzer is None:
        return None, None
    examples_with_progress = iterate_with_progress_bar(examples, "image")
    false_positives = evaluate_false_positives(
        analyzer, examples_with_progress, settings, seed=seed
    )
    if not any(example.is_crop for example in examples):
        return false_positives, None
    return false_positives, evaluate_small_faces(
        analyzer, examples, settings, seed=seed
    )


def _read_labelled_examples(args: argparse.Namespace) -> list[Example]:
    examples: list[Example] = []
    for file in args.files:
        read = read_examples_with_warnings(file, args)
        if file.suffix.lower() == ".csv":
            read = select_split(read, args.split, file)
        examples += read
    if args.corrections is not None:
        examples = apply_corrections(examples, args.corrections)
    return examples


def _format_classifier_results(
    occlusion: OcclusionReport,
    low_light_report: LowLightReport,
    group_reports: list[SubgroupReport],
) -> list[str]:
    lines = [
        "bare faces called masked",
        _format_line("  as they are", occlusion.baseline),
        *(
            _format_line(f"  with a {name}", estimate)
            for name, estimate in occlusion.occluders.items()
        ),
        _format_line("  with anything", occlusion.overall),
        "",
        "mask against no mask, right",
        _format_line("  as they are", low_light_report.baseline),
        _format_line("  in low light", low_light_report.darkened),
        _format_line("  lost", low_light_report.accuracy_loss),
    ]
    if group_reports:
        lines += ["", f"{'right, by group':{_WIDTH}}{'':32}difference to the rest"]
    for group in group_reports:
        gap_text, flag = (
            _format_estimate(group.accuracy_difference),
            "  WORSE" if group.is_worse else "",
        )
        group_line = _format_line(f"  {group.name}", group.accuracy)
        lines.append(
            group_line
            if not group.accuracy_difference.n or gap_text == ""
            else f"{group_line:66}{gap_text}{flag}"
        )
    return lines


def _format_lookalikes(report: LookalikeReport) -> list[str]:
    threshold_text = f"confidence from {report.min_confidence:g}"
    lines = [
        "",
        f'called "no mask", {threshold_text}',
        _format_line("  bare", report.baseline),
    ]
    for name, estimate in report.predicted_no_mask.items():
        lines.append(_format_line(f"  with a {name}", estimate))
        lines.append(_format_line("    unsure", report.unsure[name]))
    return lines


def _format_false_positives(
    report: FalsePositiveReport | None, analyzer: str
) -> list[str]:
    if report is None:
        return []
    return [
        "",
        f"false positives an image, {analyzer}",
        *(
            _format_line(f"  {name}", estimate)
            for name, estimate in report.by_kind.items()
        ),
        _format_line("  together", report.overall),
        _format_line("  share of images with one", report.fraction_with_any),
        "",
        "drawn faces taken for faces, an image (a matter of taste)",
        *(
            _format_line(f"  {name}", estimate)
            for name, estimate in report.cartoons.items()
        ),
    ]


def _format_images_without_faces(
    report: NegativeImageReport, analyzer: str
) -> list[str]:
    return [
        "",
        f"images without a face, {analyzer}",
        _format_line("  false positives an image", report.per_image),
        _format_line("  share of images with one", report.fraction_with_any),
        *(
            _format_line(f"    {kind}", estimate)
            for kind, estimate in report.by_kind.items()
            if len(report.by_kind) > 1
        ),
        *(
            f"  left out: {file}: {reason}"
            for file, reason in report.unreadable.items()
        ),
    ]


def _format_small_faces(report: SmallFaceReport | None, analyzer: str) -> list[str]:
    if report is None:
        return []
    lines = ["", f"images of one face pasted on walls, {analyzer}"]
    for side_px, recall in report.recall.items():
        lines.append(_format_line(f"  {side_px} px, found", recall))
        lines.append(_format_line("    found ones right", report.accuracy[side_px]))
    return [*lines, _format_line("  false positives a scene", report.false_positives)]


def _format_line(title: str, estimate: Estimate) -> str:
    return f"{title:{_WIDTH}}{_format_estimate(estimate)}"


def _format_estimate(estimate: Estimate) -> str:
    if estimate.n == 0 or estimate.value != estimate.value:
        return ""
    low, high = estimate.low, estimate.high
    return f"{estimate.value:.3f} [{low:.3f}, {high:.3f}] n={estimate.n}"
