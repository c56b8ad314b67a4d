"""The options that choose analyzer, classifier, settings and style, all alike."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskdet.analyzer import (
    ANALYZERS,
    AUTO,
    DEFAULT_ANALYZER,
    Analyzer,
    classifies_every_face,
    pipeline,
    resolved,
)
from maskdet.assets import MODEL_DIR_VARIABLE
from maskdet.classifier import CLASSIFIERS, DEFAULT_CLASSIFIER
from maskdet.cli.console import say
from maskdet.media import ROTATIONS
from maskdet.settings import DISTANCES, SMOOTHINGS
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.tiles import MIN_SIDE_PX, Tiled, Tiling
from maskdet.types import Settings
from maskdet.voting import PRESETS, TrackingPreset

IMAGE_OPTIONS = {
    "min_score": "detection threshold: drop faces with a lower score, 0 to 1",
    "min_confidence": "confidence threshold: below it the class is unknown, 0 to 1",
    "min_face_px": "drop faces whose shorter side is smaller, in pixels",
    "nms_iou": "non-maximum suppression: of two boxes with a higher IoU, drop the one "
    "with the lower score, 0 to 1",
}
"""The settings that act on every image, and what each does."""

STREAM_OPTIONS: dict[str, str] = {
    "memory_s": "how long a person who is not detected is remembered, in seconds",
    "smoothing": "how several observations of a person become one class: "
    f"{', '.join(SMOOTHINGS)}",
    "smoothing_window_s": "how far back observations count, in seconds",
    "class_weights": "how much an observation counts that shows a mask, no mask, an "
    "incorrectly worn mask: three numbers, 0 to 1; with the probabilities p it counts "
    "by the factor sum(p * weight)",
    "distance": f"how distances between people are measured: {', '.join(DISTANCES)}",
    "contact_distance_m": "people who are closer are in contact, in metres",
    "contact_duration_s": "a contact that lasts longer is too long, in seconds",
    "field_of_view_deg": "horizontal field of view of the camera, for pinhole",
    "ground_points": "four points on the ground for --distance ground_plane, clockwise "
    "from the far left: x and y of each as fractions of image width and height",
    "ground_width_m": "from the first point to the second, in metres",
    "ground_depth_m": "from the second to the third, in metres",
}
"""The settings that act on what is known of people over time, and what each does."""

_WORDS: dict[str, Sequence[str]] = {"smoothing": SMOOTHINGS, "distance": DISTANCES}
_NUMBERS: dict[str, int] = {"class_weights": 3, "ground_points": 8}


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        analyzer: a name in `ANALYZERS`.
        classifier: a name in `CLASSIFIERS`, or the path of a `.tflite` file.
        settings: the thresholds.
        second_look: whether the classifier may check large faces again after a
            single-stage network.
        style: how images and videos are annotated, and what classes are called.
        said: what the preset does and which pipeline runs, a line each; nothing
            where all is as usual.
    """

    analyzer: str = DEFAULT_ANALYZER
    classifier: str = DEFAULT_CLASSIFIER
    settings: Settings = field(default_factory=Settings)
    second_look: bool = True
    style: Style = field(default_factory=Style)
    said: tuple[str, ...] = field(default=(), compare=False)

    @property
    def pipeline(self) -> str:
        """Who detects and who classifies, in one line."""
        return pipeline(self.analyzer, self.classifier, second_look=self.second_look)

    def tell(self) -> None:
        """Say on stderr which pipeline runs; once it is loaded, so that it is true."""
        for line in self.said:
            say(line, quiet_stdout=True)

    def tell_undrawn(self) -> None:
        """Say on stderr which own names the images that are written cannot show."""
        if self.style.undrawn:
            say(self.style.undrawn, quiet_stdout=True)


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
    add_settings_options(parser)


def add_settings_options(
    parser: argparse.ArgumentParser, *, preset: bool = True
) -> None:
    """Add the options of the settings that act on every image.

    Args:
        parser: gets them.
        preset: whether a preset can be chosen, which names an analyzer too.
    """
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="settings saved by the dashboard or by `tune --settings-out`",
    )
    if preset:
        parser.add_argument(
            "--preset",
            choices=list(PRESETS),
            help="start from an example program of ami-a/MaskDetection. "
            + " ".join(
                f"{name}: {one.about.replace('%', '%%')}"
                for name, one in PRESETS.items()
            ),
        )
    for name, line in IMAGE_OPTIONS.items():
        usual = getattr(Settings(), name)
        parser.add_argument(
            _option(name), type=float, metavar="F", help=f"{line} (default: {usual:g})"
        )


def add_people_options(parser: argparse.ArgumentParser) -> None:
    """Add the settings of what is known of people over time."""
    people = parser.add_argument_group("tracking and distances")
    for name, line in STREAM_OPTIONS.items():
        usual = getattr(Settings(), name)
        if isinstance(usual, tuple):
            usual = " ".join(f"{number:g}" for number in usual)
        shown = f" (default: {usual})" if usual != "" else ""
        form: dict[str, Any] = {"type": float, "metavar": "F"}
        if name in _WORDS:
            form = {"choices": _WORDS[name], "metavar": "WORD"}
        elif name in _NUMBERS:
            form["nargs"] = _NUMBERS[name]
        people.add_argument(_option(name), help=line + shown, **form)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def add_classifier_option(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose who classifies the faces."""
    parser.add_argument(
        "--classifier",
        metavar="NAME",
        help=f"{', '.join(CLASSIFIERS)} or the path of a .tflite file that `maskdet "
        f"export` wrote (default: {DEFAULT_CLASSIFIER}). Another one than the default "
        "classifies every face",
    )
    add_models_option(parser)


def add_models_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the folder of own models."""
    parser.add_argument(
        "--models",
        type=Path,
        metavar="DIR",
        help="folder of your own models, as `maskdet export --out DIR` writes it: "
        "--classifier and --analyzer know them by name (default: that of the variable "
        f"{MODEL_DIR_VARIABLE})",
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
    """Add the options on how what is written looks, say `the film`."""
    parser.add_argument(
        "--blur", action="store_true", help=f"blur all faces in {where}"
    )
    add_style_option(parser, f"how faces are marked in {where}")


def add_style_option(parser: argparse.ArgumentParser, what: str = "") -> None:
    """Add the option with the own names and colours of classes.

    Args:
        parser: gets it.
        what: else the style says, such as `how faces are marked in the copies`.
    """
    more = f"{what} and " if what else ""
    parser.add_argument(
        "--style",
        type=Path,
        metavar="FILE",
        help=f"{more}what classes are called: a JSON "
        'object such as {"class_names": {"unknown": "Collecting info"}, '
        '"class_colours": {"mask": "#0072b2"}}, or settings saved by the dashboard',
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
        ValueError: the file is no settings file, a value is out of its range, or two
            options contradict each other.
        OSError: the file cannot be read.
    """
    usual = Choice(resolved(AUTO, live=live))
    choice = dataclasses.replace(usual, analyzer=AUTO if live else DEFAULT_ANALYZER)
    preset = _preset(args)
    if preset is not None:
        choice = _with_preset(choice, preset)
    if args.settings is not None:
        try:
            choice = _from_file(args.settings.read_bytes())
        except ValueError as error:
            raise ValueError(f"{args.settings}: {error}") from None
    analyzer = getattr(args, "analyzer", None)
    classifier = getattr(args, "classifier", None)
    once = getattr(args, "no_second_look", False)
    made = Choice(
        resolved(analyzer or choice.analyzer, live=live),
        classifier or choice.classifier,
        chosen_settings(args, choice.settings),
        choice.second_look and not once,
        chosen_style(args, choice.style),
    )
    if once and classifier and classifies_every_face(made.analyzer, made.classifier):
        raise ValueError(
            f"--no-second-look: {made.pipeline}, so there is no second look to leave "
            "out; leave out --no-second-look or --classifier"
        )
    if preset or analyzer or classifier or made.pipeline != usual.pipeline:
        said = [f"preset {args.preset}: {preset.about}"] if preset else []
        said.append(f"pipeline: {made.pipeline}")
        made = dataclasses.replace(made, said=tuple(said))
    return made


def chosen_settings(args: argparse.Namespace, before: Settings) -> Settings:
    """Return the settings with those that an option names put in."""
    given = {
        option: getattr(args, option)
        for option in (*IMAGE_OPTIONS, *STREAM_OPTIONS)
        if getattr(args, option, None) is not None
    }
    return dataclasses.replace(before, **given)


def _preset(args: argparse.Namespace) -> TrackingPreset | None:
    name = getattr(args, "preset", None)
    if name is not None and args.settings is not None:
        raise ValueError("--preset and --settings are both a beginning: choose one")
    return None if name is None else PRESETS[name]


def _with_preset(choice: Choice, preset: TrackingPreset) -> Choice:
    return dataclasses.replace(
        choice,
        analyzer=preset.analyzer,
        settings=preset.settings,
        second_look=preset.second_look,
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
        Style.from_json(json.dumps(values.get("style", {}))),
    )


def chosen_style(args: argparse.Namespace, before: Style = DEFAULT_STYLE) -> Style:
    """Return the style: what the file of `--style` says, else that of `--settings`.

    Raises:
        ValueError: the file is no style file, or a value is not allowed.
        OSError: the file cannot be read.
    """
    style, file = before, getattr(args, "style", None)
    if file is not None:
        try:
            style = _style_in(file.read_bytes())
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None
    return dataclasses.replace(style, blur=style.blur or getattr(args, "blur", False))


def _style_in(content: bytes) -> Style:
    """Read a bare style, or the one in what the dashboard saves."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        values = None
    if isinstance(values, dict) and isinstance(values.get("style"), dict):
        content = json.dumps(values["style"]).encode()
    return Style.from_json(content)
