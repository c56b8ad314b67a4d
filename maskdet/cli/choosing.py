"""The options that choose analyzer, classifier and settings, the same everywhere."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskdet.analyzer import ANALYZERS, AUTO, DEFAULT_ANALYZER, Analyzer, resolved
from maskdet.classifier import CLASSIFIERS, DEFAULT_CLASSIFIER
from maskdet.media import ROTATIONS
from maskdet.settings import DISTANCES, SMOOTHINGS
from maskdet.tiles import MIN_SIDE_PX, Tiled, Tiling
from maskdet.types import Settings
from maskdet.voting import PRESETS

_SETTINGS_OPTIONS = {
    "min_score": "detection threshold: drop faces with a lower score, 0 to 1",
    "min_confidence": "confidence threshold: below it the class is unknown, 0 to 1",
    "min_face_px": "drop faces whose shorter side is smaller, in pixels",
}

_PEOPLE_OPTIONS: dict[str, str] = {
    "memory_s": "how long a person who is not detected is remembered, in seconds",
    "smoothing": "how several observations of a person become one class: "
    f"{', '.join(SMOOTHINGS)}",
    "smoothing_window_s": "how far back observations count, in seconds",
    "distance": f"how distances between people are measured: {', '.join(DISTANCES)}",
    "contact_distance_m": "people who are closer are in contact, in metres",
    "contact_duration_s": "a contact that lasts longer is too long, in seconds",
    "field_of_view_deg": "horizontal field of view of the camera, for pinhole",
    "ground_points": "four points on the ground for --distance ground_plane, clockwise "
    "from the far left: x and y of each as fractions of image width and height",
    "ground_width_m": "from the first point to the second, in metres",
    "ground_depth_m": "from the second to the third, in metres",
}


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        analyzer: a name in `ANALYZERS`.
        classifier: a name in `CLASSIFIERS`, or the path of a `.tflite` file.
        settings: the thresholds.
        second_look: whether the classifier may read large faces again after a
            one-pass analyzer.
        blur: whether faces in pictures and films are made unrecognisable.
    """

    analyzer: str = DEFAULT_ANALYZER
    classifier: str = DEFAULT_CLASSIFIER
    settings: Settings = field(default_factory=Settings)
    second_look: bool = True
    blur: bool = False


def add_analyzer_options(
    parser: argparse.ArgumentParser, *, live: bool = False
) -> None:
    """Add the options that choose the analyzer and its settings."""
    usual = resolved(AUTO, live=True) if live else DEFAULT_ANALYZER
    parser.add_argument(
        "--analyzer",
        metavar="NAME",
        help=f"{', '.join(ANALYZERS)} (default: the one in --settings, else {usual})",
    )
    add_classifier_option(parser)
    parser.add_argument(
        "--no-second-look",
        action="store_true",
        help="no refinement: do not let the classifier check large faces again whose "
        "confidence is low",
    )
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="settings saved by the dashboard or by `tune --settings-out`",
    )
    for name, line in _SETTINGS_OPTIONS.items():
        parser.add_argument(_option(name), type=float, metavar="F", help=line)


def add_people_options(parser: argparse.ArgumentParser) -> None:
    """Add the settings of what is known of people over time."""
    people = parser.add_argument_group("tracking and distances")
    people.add_argument(
        "--preset",
        choices=list(PRESETS),
        help="start from the settings of an example program of ami-a/MaskDetection",
    )
    words: dict[str, Sequence[str]] = {"smoothing": SMOOTHINGS, "distance": DISTANCES}
    for name, line in _PEOPLE_OPTIONS.items():
        usual = getattr(Settings(), name)
        shown = f" (default: {usual})" if usual != () else ""
        form: dict[str, Any] = {"type": float, "metavar": "F"}
        if name in words:
            form = {"choices": words[name], "metavar": "WORD"}
        elif name == "ground_points":
            form["nargs"] = 8
        people.add_argument(_option(name), help=line + shown, **form)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def add_classifier_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses who labels the faces."""
    parser.add_argument(
        "--classifier",
        metavar="NAME",
        help=f"{', '.join(CLASSIFIERS)} or the path of a .tflite file that `maskdet "
        f"export` wrote (default: {DEFAULT_CLASSIFIER})",
    )


def add_tiles_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that looks at pictures in windows, for far cameras."""
    parser.add_argument(
        "--tiles",
        type=_tiling,
        nargs="?",
        const=Tiling(),
        metavar="PX",
        help="also analyze overlapping windows of so many pixels, which detects faces "
        f"that are far away and takes longer ({Tiling.side_px} if no number follows)",
    )


def add_blur_option(parser: argparse.ArgumentParser, where: str) -> None:
    """Add the option that hides faces in what is written, say `the film`."""
    parser.add_argument(
        "--blur", action="store_true", help=f"blur all faces in {where}"
    )


def add_rotate_option(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the option that turns what is read, say `every frame`."""
    parser.add_argument(
        "--rotate",
        type=int,
        choices=ROTATIONS,
        default=0,
        help=f"turn {what} so many degrees clockwise before it is analyzed, for a "
        "camera that hangs upside down or on its side; boxes and points refer to the "
        "turned image (default: 0)",
    )


def tiled(analyzer: Analyzer, tiling: Tiling | None) -> Analyzer:
    """Return the analyzer, looking in windows if that was asked for."""
    return analyzer if tiling is None else Tiled(analyzer, tiling)


def _tiling(text: str) -> Tiling:
    try:
        return Tiling(int(text))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"wanted a whole number of pixels, at least {MIN_SIDE_PX}, not {text!r}"
        ) from None


def chosen(args: argparse.Namespace, *, live: bool = False) -> Choice:
    """Return what was chosen: options win over the file, that over defaults.

    Args:
        args: the words of the command, with the options that were added here.
        live: whether it is for video, where the fast analyzer is the usual one.

    Raises:
        ValueError: the file is no settings file, or a value is out of its range.
        OSError: the file cannot be read.
    """
    choice = Choice(AUTO if live else DEFAULT_ANALYZER)
    preset = getattr(args, "preset", None)
    if preset is not None and args.settings is not None:
        raise ValueError("--preset and --settings are both a beginning: choose one")
    if preset is not None:
        choice = dataclasses.replace(choice, settings=PRESETS[preset])
    if args.settings is not None:
        try:
            choice = _from_file(args.settings.read_bytes())
        except ValueError as error:
            raise ValueError(f"{args.settings}: {error}") from None
    given = {
        option: getattr(args, option)
        for option in (*_SETTINGS_OPTIONS, *_PEOPLE_OPTIONS)
        if getattr(args, option, None) is not None
    }
    return Choice(
        resolved(args.analyzer or choice.analyzer, live=live),
        args.classifier or choice.classifier,
        dataclasses.replace(choice.settings, **given),
        choice.second_look and not args.no_second_look,
        choice.blur or getattr(args, "blur", False),
    )


def _from_file(content: bytes) -> Choice:
    """Read bare settings, or everything that the dashboard saves around them."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or not isinstance(values.get("settings"), dict):
        return Choice(settings=Settings.from_json(content))
    second_look = values.get("second_look", True)
    if not isinstance(second_look, bool):
        raise ValueError(f"second_look must be true or false, not {second_look!r}")
    return Choice(
        str(values.get("analyzer", DEFAULT_ANALYZER)),
        str(values.get("classifier", DEFAULT_CLASSIFIER)),
        Settings.from_json(json.dumps(values["settings"])),
        second_look,
        blur=_blurs(values.get("style", {})),
    )


def _blurs(style: Any) -> bool:
    blur = style.get("blur", False) if isinstance(style, dict) else None
    if not isinstance(blur, bool):
        raise ValueError(f"style: blur must be true or false, not {blur!r}")
    return blur
