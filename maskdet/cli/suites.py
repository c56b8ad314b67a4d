"""`maskdet suites`: hard negatives, low light, groups, false alarms."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from maskdet.analyzer import Analyzer, load_analyzer
from maskdet.classifier import load_classifier
from maskdet.cli.choosing import (
    IMAGE_OPTIONS,
    Choice,
    add_analyzer_options,
    chosen,
)
from maskdet.cli.console import STDOUT, check_target, progress, say, write_text
from maskdet.cli.labelled import (
    add_classes_option,
    add_held_out_option,
    read_examples,
)
from maskdet.datasets import Example, corrected, of_split
from maskdet.detectors import LandmarkFinder, load_detector
from maskdet.media import find_images
from maskdet.metrics.estimate import Estimate
from maskdet.metrics.labelling import Json
from maskdet.suites import (
    AlarmReport,
    DarkReport,
    EmptyReport,
    GroupReport,
    HardReport,
    LookalikeReport,
    PastedReport,
    alarms_in,
    compare_groups,
    false_alarms,
    hard_negatives,
    lookalikes,
    low_light,
    pasted_faces,
    read_groups,
)
from maskdet.types import Settings

_ABOUT = """Robustness benchmark: change labelled faces in ways that must not change
their class, and count the errors. Objects are drawn over the mouths of faces without a
mask, and faces are darkened. Clear shields, and masks with a printed mouth, are drawn
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
        "suites",
        help="benchmark robustness: hard negatives, low light, groups, false positives",
        description=_ABOUT,
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
    _add_without_faces(parser)
    parser.add_argument(
        "--seed", type=int, default=0, help="random seed of the drawings (default: 0)"
    )
    parser.add_argument("--json", metavar="FILE", help="write JSON; - for stdout")


def _add_without_faces(parser: argparse.ArgumentParser) -> None:
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
    check_target("--json", args.json, args.files)
    # A classifier alone is measured alone; what else is chosen is an analyzer's.
    whole = any(
        getattr(args, name) is not None
        for name in ("analyzer", "preset", "settings", *IMAGE_OPTIONS)
    )
    if args.without_faces and not whole:
        raise ValueError("--without-faces goes with --analyzer only")
    if not args.files and not args.without_faces:
        raise ValueError("name files with labelled faces, or --without-faces PATH")
    choice = chosen(args)
    analyzer = None
    if whole:
        analyzer = load_analyzer(
            choice.analyzer, choice.classifier, second_look=choice.second_look
        )
        choice.tell()
    lines, numbers = _on_labelled(args, choice, analyzer) if args.files else ([], {})
    if args.without_faces and analyzer is not None:
        files = progress(_without_faces(args), "picture")
        alarms = alarms_in(analyzer, files, choice.settings)
        lines += _alarm_lines(alarms, choice.analyzer)
        numbers["without_faces"] = alarms.to_json()
    if args.json != STDOUT:
        for line in lines:
            say(line)
    if args.json is not None:
        report = {
            "version": 1,
            "files": [str(file) for file in args.files],
            "classifier": choice.classifier,
            "analyzer": choice.analyzer if whole else None,
            "pipeline": choice.pipeline if whole else None,
            "settings": dataclasses.asdict(choice.settings) if whole else None,
            "seed": args.seed,
            **numbers,
        }
        write_text(args.json, json.dumps(report, indent=2) + "\n")
    return 0


def _on_labelled(
    args: argparse.Namespace, choice: Choice, analyzer: Analyzer | None
) -> tuple[list[str], Json]:
    """Return lines and numbers of every suite that needs labelled faces."""
    groups = None if args.groups is None else read_groups(args.groups)
    classifier = load_classifier(choice.classifier)
    # The finder whose weights come with the package, so that this runs anywhere.
    finder = load_detector("mtcnn")
    assert isinstance(finder, LandmarkFinder)
    examples = _examples(args)
    hard = hard_negatives(
        classifier, finder, progress(examples, "picture"), seed=args.seed
    )
    dark = low_light(classifier, finder, progress(examples, "picture"), seed=args.seed)
    people = [] if groups is None else compare_groups(classifier, examples, groups)
    empty, pasted = _found(analyzer, examples, choice.settings, args.seed)
    alike = lookalikes(
        classifier,
        finder,
        progress(examples, "picture"),
        min_confidence=choice.settings.min_confidence,
        seed=args.seed,
    )
    lines = (
        _lines(hard, dark, people)
        + _alike_lines(alike)
        + _empty_lines(empty, choice.analyzer)
    )
    return lines + _pasted_lines(pasted, choice.analyzer), {
        "hard_negatives": hard.to_json(),
        "low_light": dark.to_json(),
        "lookalikes": alike.to_json(),
        "groups": [group.to_json() for group in people],
        "false_alarms": None if empty is None else empty.to_json(),
        "pasted": None if pasted is None else pasted.to_json(),
    }


def _without_faces(args: argparse.Namespace) -> list[tuple[Path, str]]:
    """Return images that show no face, and the kind of each."""
    from maskdet.training.onepass.negatives import list_negatives

    listed = [path for path in args.without_faces if path.suffix.lower() == ".json"]
    files = [
        (image, folder.name)
        for folder in args.without_faces
        if folder not in listed
        for image in find_images(folder).images
    ]
    files += [
        (image.path, image.kind)
        for image in list_negatives(listed, args.held_out_kinds)
        if image.held_out
    ]
    if not files:
        names = ", ".join(str(path) for path in args.without_faces)
        raise ValueError(f"--without-faces {names}: there is no picture in it")
    return files


def _found(
    analyzer: Analyzer | None, examples: list[Example], settings: Settings, seed: int
) -> tuple[EmptyReport | None, PastedReport | None]:
    """Return what an analyzer, if one is asked for, finds where no face and one is."""
    if analyzer is None:
        return None, None
    watched = progress(examples, "picture")
    empty = false_alarms(analyzer, watched, settings, seed=seed)
    if not any(example.whole for example in examples):
        return empty, None
    return empty, pasted_faces(analyzer, examples, settings, seed=seed)


def _examples(args: argparse.Namespace) -> list[Example]:
    examples: list[Example] = []
    for file in args.files:
        read = read_examples(file, args)
        if file.suffix.lower() == ".csv":
            read = of_split(read, args.split, file)
        examples += read
    if args.corrections is not None:
        examples = corrected(examples, args.corrections)
    return examples


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


def _alike_lines(report: LookalikeReport) -> list[str]:
    limit = f"confidence from {report.min_confidence:g}"
    lines = ["", f'called "no mask", {limit}', _line("  bare", report.untouched)]
    for name, called in report.called_bare.items():
        lines.append(_line(f"  with a {name}", called))
        lines.append(_line("    unsure", report.unsure[name]))
    return lines


def _empty_lines(report: EmptyReport | None, analyzer: str) -> list[str]:
    if report is None:
        return []
    return [
        "",
        f"false alarms a picture, {analyzer}",
        *(_line(f"  {name}", one) for name, one in report.kinds.items()),
        _line("  together", report.together),
        _line("  share of pictures with one", report.alarmed),
        "",
        "drawn faces taken for faces, a picture (a matter of taste)",
        *(_line(f"  {name}", one) for name, one in report.cartoons.items()),
    ]


def _alarm_lines(report: AlarmReport, analyzer: str) -> list[str]:
    return [
        "",
        f"pictures without a face, {analyzer}",
        _line("  false alarms a picture", report.boxes),
        _line("  share of pictures with one", report.alarmed),
        *(
            _line(f"    {kind}", alarmed)
            for kind, alarmed in report.kinds.items()
            if len(report.kinds) > 1
        ),
        *(f"  left out: {file}: {why}" for file, why in report.unreadable.items()),
    ]


def _pasted_lines(report: PastedReport | None, analyzer: str) -> list[str]:
    if report is None:
        return []
    lines = ["", f"pictures of one face pasted on walls, {analyzer}"]
    for side_px, found in report.found.items():
        lines.append(_line(f"  {side_px} px, found", found))
        lines.append(_line("    found ones right", report.right[side_px]))
    return [*lines, _line("  false alarms a scene", report.beside)]


def _line(title: str, estimate: Estimate) -> str:
    return f"{title:{_WIDTH}}{_number(estimate)}"


def _number(estimate: Estimate) -> str:
    if estimate.n == 0 or estimate.value != estimate.value:
        return ""
    low, high = estimate.low, estimate.high
    return f"{estimate.value:.3f} [{low:.3f}, {high:.3f}] n={estimate.n}"
