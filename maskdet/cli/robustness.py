"""`maskdet robustness`: hard negatives, low light, groups and false positives."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from maskdet.analyzers.pipelines import Analyzer, load_analyzer
from maskdet.classifier import load_classifier
from maskdet.cli.console import (
    check_output_path,
    format_line,
    iterate_with_progress_bar,
    output_results,
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
from maskdet.robustness.false_positives import (
    FalsePositiveReport,
    NegativeImageReport,
    evaluate_false_positives,
    evaluate_negative_images,
)
from maskdet.robustness.lookalikes import (
    FaceLabeller,
    LookalikeReport,
    evaluate_lookalikes,
    label_by_analyzer,
    label_by_classifier,
)
from maskdet.robustness.low_light import LowLightReport, evaluate_low_light
from maskdet.robustness.occlusion import OcclusionReport, evaluate_occlusion
from maskdet.robustness.small_faces import SmallFaceReport, evaluate_small_faces
from maskdet.robustness.subgroups import (
    SubgroupReport,
    compare_subgroups,
    read_subgroups,
)

_DESCRIPTION = """Robustness benchmark: change labelled faces in ways that must not
change their class, and count the errors. Objects are drawn over the mouths of faces
without a mask, and faces are darkened. Clear shields, and masks with a printed mouth,
are drawn too: the class should then at least be unknown. With --groups, groups of
people are compared. Incorrectly worn counts as masked; intervals are 95 %. With
--analyzer or settings, false positives are counted too: on image regions without faces,
and on drawn walls, round objects and hands; cartoon faces are reported separately.
Images of one face are then also pasted onto drawn walls at small sizes, to measure
recall and classification."""


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
        help="also count the false positives of --analyzer on images without faces: "
        "all images in these folders (recursively), and the held-out images of COCO "
        "files without boxes (--negatives of `train`)",
    )
    add_held_out_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run the benchmarks, print the results and write the JSON."""
    check_output_path("--json", args.json, args.files)
    # Without these options, only the classifier is evaluated.
    with_analyzer = any(
        getattr(args, name) is not None
        for name in ("analyzer", "preset", "settings", *IMAGE_OPTIONS)
    )
    if args.without_faces and not with_analyzer:
        raise ValueError("--without-faces needs --analyzer")
    if not args.files and not args.without_faces:
        raise ValueError("give files with labelled faces, or --without-faces PATH")
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
    output_results(lines, args.json, report)
    return 0


def _run_on_labelled(
    args: argparse.Namespace, options: AnalyzerOptions, analyzer: Analyzer | None
) -> tuple[list[str], Json]:
    """Run the benchmarks on labelled faces; return lines and values for JSON."""
    groups = None if args.groups is None else read_subgroups(args.groups)
    classifier = load_classifier(options.classifier)
    # A detector whose weights are in the package, so that this runs everywhere.
    detector = load_detector("mtcnn")
    assert isinstance(detector, LandmarkDetector)
    examples = _read_labelled_examples(args)

    def show_progress() -> Iterator[Example]:
        return iterate_with_progress_bar(examples, "image")

    settings, seed = options.settings, args.seed
    occlusion = evaluate_occlusion(classifier, detector, show_progress(), seed=seed)
    low_light = evaluate_low_light(classifier, detector, show_progress(), seed=seed)
    group_reports = (
        [] if groups is None else compare_subgroups(classifier, examples, groups)
    )
    labellers: dict[str, FaceLabeller] = {
        options.classifier: partial(
            label_by_classifier, classifier, settings.min_confidence
        )
    }
    if analyzer is not None:
        labellers[options.analyzer] = partial(label_by_analyzer, analyzer, settings)
    lookalikes = {
        name: evaluate_lookalikes(label_face, detector, show_progress(), seed=seed)
        for name, label_face in labellers.items()
    }
    lines = _format_classifier_results(occlusion, low_light, group_reports)
    for name, lookalike_report in lookalikes.items():
        lines += _format_lookalikes(lookalike_report, name, settings.min_confidence)
    numbers: Json = {
        "hard_negatives": occlusion.to_json(),
        "low_light": low_light.to_json(),
        "lookalikes": {name: one.to_json() for name, one in lookalikes.items()},
        "groups": [group.to_json() for group in group_reports],
        "false_positives": None,
        "small_faces": None,
    }
    if analyzer is not None:
        false_positives = evaluate_false_positives(
            analyzer, show_progress(), settings, seed=seed
        )
        lines += _format_false_positives(false_positives, options.analyzer)
        numbers["false_positives"] = false_positives.to_json()
        if any(example.is_crop for example in examples):
            small_faces = evaluate_small_faces(analyzer, examples, settings, seed=seed)
            lines += _format_small_faces(small_faces, options.analyzer)
            numbers["small_faces"] = small_faces.to_json()
    return lines, numbers


def _list_images_without_faces(args: argparse.Namespace) -> list[tuple[Path, str]]:
    """Return the images without faces, and the kind of each."""
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
        raise ValueError(f"--without-faces {names}: no images found")
    return files


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
        "faces without mask, predicted masked",
        format_line("  unchanged", occlusion.baseline),
        *_format_lines("  with a ", occlusion.occluders),
        format_line("  all objects", occlusion.overall),
        "",
        "accuracy, mask vs no mask",
        format_line("  unchanged", low_light_report.baseline),
        format_line("  in low light", low_light_report.darkened),
        format_line("  loss", low_light_report.accuracy_loss),
    ]
    if group_reports:
        lines += ["", f"{'accuracy, by group':66}difference to the rest"]
    for group in group_reports:
        line = format_line(f"  {group.subgroup}", group.accuracy)
        if not math.isnan(group.accuracy_difference.value):
            flag = "  WORSE" if group.is_worse else ""
            line = f"{line:66}{group.accuracy_difference}{flag}"
        lines.append(line)
    return lines


def _format_lines(prefix: str, estimates: Mapping[Any, Estimate]) -> list[str]:
    return [
        format_line(f"{prefix}{name}", estimate) for name, estimate in estimates.items()
    ]


def _format_lookalikes(
    report: LookalikeReport, name: str, min_confidence: float
) -> list[str]:
    lines = [
        "",
        f"predicted no mask by {name}, confidence >= {min_confidence:g}",
        format_line("  faces without mask", report.baseline),
    ]
    for name, estimate in report.predicted_no_mask.items():
        lines.append(format_line(f"  with a {name}", estimate))
        lines.append(format_line("    unknown", report.unknown[name]))
    return lines


def _format_false_positives(report: FalsePositiveReport, analyzer: str) -> list[str]:
    return [
        "",
        f"false positives per image, {analyzer}",
        *_format_lines("  ", report.by_kind),
        format_line("  all", report.overall),
        format_line("  fraction of images with one", report.fraction_with_any),
        "",
        "detected cartoon faces per image",
        *_format_lines("  ", report.cartoons),
    ]


def _format_images_without_faces(
    report: NegativeImageReport, analyzer: str
) -> list[str]:
    return [
        "",
        f"images without a face, {analyzer}",
        format_line("  false positives per image", report.per_image),
        format_line("  fraction of images with one", report.fraction_with_any),
        *(_format_lines("    ", report.by_kind) if len(report.by_kind) > 1 else ()),
        *(f"  skipped: {file}: {reason}" for file, reason in report.unreadable.items()),
    ]


def _format_small_faces(report: SmallFaceReport, analyzer: str) -> list[str]:
    lines = ["", f"small faces, pasted onto walls, {analyzer}"]
    for side_px, recall in report.recall.items():
        lines.append(format_line(f"  {side_px} px, recall", recall))
        lines.append(
            format_line("    accuracy of the detected", report.accuracy[side_px])
        )
    return [
        *lines,
        format_line("  false positives per scene", report.false_positives),
    ]
