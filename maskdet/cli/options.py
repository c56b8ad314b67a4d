"""The options that choose analyzer, classifier, settings and style, all alike.

Moments as people type them: a date, a time of day, or so long ago.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from maskdet.analyzers.pipelines import (
    ANALYZERS,
    AUTO,
    DEFAULT_ANALYZER,
    Analyzer,
    classifies_every_face,
    describe_pipeline,
    resolve_analyzer,
)
from maskdet.analyzers.tiles import MIN_TILE_PX, TiledAnalyzer, Tiling
from maskdet.classifier import CLASSIFIERS, DEFAULT_CLASSIFIER
from maskdet.cli.console import print_line
from maskdet.media import ROTATIONS
from maskdet.model_zoo import MODEL_DIR_VARIABLE
from maskdet.settings import DISTANCE_METHODS, SMOOTHING_METHODS, Settings
from maskdet.smoothing import TRACKING_PRESETS, TrackingPreset
from maskdet.style import DEFAULT_STYLE, Style

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
    f"{', '.join(SMOOTHING_METHODS)}",
    "smoothing_window_s": "how far back observations count, in seconds",
    "class_weights": "how much an observation counts that shows a mask, no mask, an "
    "incorrectly worn mask: three numbers, 0 to 1; with the probabilities p it counts "
    "by the factor sum(p * weight)",
    "distance": f"how distances between people are measured: {', '.join(DISTANCE_METHODS)}",
    "contact_distance_m": "people who are closer are in contact, in metres",
    "contact_duration_s": "a contact that lasts longer is too long, in seconds",
    "field_of_view_deg": "horizontal field of view of the camera, for pinhole",
    "ground_points": "four points on the ground for --distance ground_plane, clockwise "
    "from the far left: x and y of each as fractions of image width and height",
    "ground_width_m": "from the first point to the second, in metres",
    "ground_depth_m": "from the second to the third, in metres",
}
"""The settings that act on what is known of people over time, and what each does."""

_OPTION_CHOICES: dict[str, Sequence[str]] = {
    "smoothing": SMOOTHING_METHODS,
    "distance": DISTANCE_METHODS,
}
_OPTION_LENGTHS: dict[str, int] = {"class_weights": 3, "ground_points": 8}


@dataclass(frozen=True)
class AnalyzerOptions:
    """What was chosen.

    Attributes:
        analyzer: a name in `ANALYZERS`.
        classifier: a name in `CLASSIFIERS`, or the path of a `.tflite` file.
        settings: the thresholds.
        refine: whether the classifier may check large faces again after a
            single-stage network.
        style: how images and videos are annotated, and what classes are called.
        notices: what the preset does and which pipeline runs, a line each; nothing
            where all is as usual.
    """

    analyzer: str = DEFAULT_ANALYZER
    classifier: str = DEFAULT_CLASSIFIER
    settings: Settings = field(default_factory=Settings)
    refine: bool = True
    style: Style = field(default_factory=Style)
    notices: tuple[str, ...] = field(default=(), compare=False)

    @property
    def pipeline(self) -> str:
        """Who detects and who classifies, in one line."""
        return describe_pipeline(self.analyzer, self.classifier, refine=self.refine)

    def print_notices(self) -> None:
        """Say on stderr which pipeline runs; once it is loaded, so that it is true."""
        for notice in self.notices:
            print_line(notice, to_stderr=True)

    def print_undrawable_names(self) -> None:
        """Say on stderr which own names the images that are written cannot show."""
        if self.style.substitution_note:
            print_line(self.style.substitution_note, to_stderr=True)


def add_analyzer_options(
    parser: argparse.ArgumentParser, *, live: bool = False
) -> None:
    """Add the options that choose the analyzer and its settings."""
    default = resolve_analyzer(AUTO, live=True) if live else DEFAULT_ANALYZER
    parser.add_argument(
        "--analyzer",
        metavar="NAME",
        help=f"{', '.join(ANALYZERS)} (default: the one in --settings, else {default})",
    )
    add_classifier_option(parser)
    parser.add_argument(
        "--no-refinement",
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
            choices=list(TRACKING_PRESETS),
            help="start from an example program of ami-a/MaskDetection. "
            + " ".join(
                f"{name}: {tracking_preset.description.replace('%', '%%')}"
                for name, tracking_preset in TRACKING_PRESETS.items()
            ),
        )
    for name, description in IMAGE_OPTIONS.items():
        default = getattr(Settings(), name)
        parser.add_argument(
            _option_string(name),
            type=float,
            metavar="F",
            help=f"{description} (default: {default:g})",
        )


def add_tracking_options(parser: argparse.ArgumentParser) -> None:
    """Add the settings of what is known of people over time."""
    group = parser.add_argument_group("tracking and distances")
    for name, description in STREAM_OPTIONS.items():
        default = getattr(Settings(), name)
        if isinstance(default, tuple):
            default = " ".join(f"{number:g}" for number in default)
        default_text = f" (default: {default})" if default != "" else ""
        argument_kwargs: dict[str, Any] = {"type": float, "metavar": "F"}
        if name in _OPTION_CHOICES:
            argument_kwargs = {"choices": _OPTION_CHOICES[name], "metavar": "WORD"}
        elif name in _OPTION_LENGTHS:
            argument_kwargs["nargs"] = _OPTION_LENGTHS[name]
        group.add_argument(
            _option_string(name), help=description + default_text, **argument_kwargs
        )


def _option_string(name: str) -> str:
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
    """Add the option that looks at images in windows, for far cameras."""
    parser.add_argument(
        "--tiles",
        type=_parse_tiling,
        nargs="?",
        const=Tiling(),
        metavar="PX",
        help="also analyze overlapping windows of so many pixels, which detects faces "
        f"that are far away and takes longer ({Tiling.side_px} if no number follows)",
    )


def add_blur_option(parser: argparse.ArgumentParser, where: str) -> None:
    """Add the options on how what is written looks, say `the video`."""
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


def apply_tiling(analyzer: Analyzer, tiling: Tiling | None) -> Analyzer:
    """Return the analyzer, looking in windows if that was asked for."""
    return analyzer if tiling is None else TiledAnalyzer(analyzer, tiling)


def _parse_tiling(text: str) -> Tiling:
    try:
        return Tiling(int(text))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"wanted a whole number of pixels, at least {MIN_TILE_PX}, not {text!r}"
        ) from None


def parse_analyzer_options(
    args: argparse.Namespace, *, live: bool = False
) -> AnalyzerOptions:
    """Return what was chosen: options win over the file, that over defaults.

    Args:
        args: the words of the command, with the options that were added here.
        live: whether it is for video, where the fast analyzer is the usual one.

    Raises:
        ValueError: the file is no settings file, a value is out of its range, or two
            options contradict each other.
        OSError: the file cannot be read.
    """
    defaults = AnalyzerOptions(resolve_analyzer(AUTO, live=live))
    base = dataclasses.replace(defaults, analyzer=AUTO if live else DEFAULT_ANALYZER)
    preset = _parse_preset(args)
    if preset is not None:
        base = _apply_preset(base, preset)
    if args.settings is not None:
        try:
            base = _parse_settings_file(args.settings.read_bytes())
        except ValueError as error:
            raise ValueError(f"{args.settings}: {error}") from None
    analyzer = getattr(args, "analyzer", None)
    classifier = getattr(args, "classifier", None)
    no_refinement = getattr(args, "no_refinement", False)
    options = AnalyzerOptions(
        resolve_analyzer(analyzer or base.analyzer, live=live),
        classifier or base.classifier,
        parse_settings(args, base.settings),
        base.refine and not no_refinement,
        parse_style(args, base.style),
    )
    if (
        no_refinement
        and classifier
        and classifies_every_face(options.analyzer, options.classifier)
    ):
        raise ValueError(
            f"--no-refinement: {options.pipeline}, so there is no second look to leave "
            "out; leave out --no-refinement or --classifier"
        )
    if preset or analyzer or classifier or options.pipeline != defaults.pipeline:
        notices = [f"preset {args.preset}: {preset.description}"] if preset else []
        notices.append(f"pipeline: {options.pipeline}")
        options = dataclasses.replace(options, notices=tuple(notices))
    return options


def parse_settings(args: argparse.Namespace, base: Settings) -> Settings:
    """Return the settings with those that an option names put in."""
    overrides = {
        option: getattr(args, option)
        for option in (*IMAGE_OPTIONS, *STREAM_OPTIONS)
        if getattr(args, option, None) is not None
    }
    return dataclasses.replace(base, **overrides)


def _parse_preset(args: argparse.Namespace) -> TrackingPreset | None:
    name = getattr(args, "preset", None)
    if name is not None and args.settings is not None:
        raise ValueError("--preset and --settings are both a beginning: choose one")
    return None if name is None else TRACKING_PRESETS[name]


def _apply_preset(options: AnalyzerOptions, preset: TrackingPreset) -> AnalyzerOptions:
    return dataclasses.replace(
        options,
        analyzer=preset.analyzer,
        settings=preset.settings,
        refine=preset.refine,
    )


def _parse_settings_file(content: bytes) -> AnalyzerOptions:
    """Read bare settings, or everything that the dashboard saves around them."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or not isinstance(values.get("settings"), dict):
        return AnalyzerOptions(settings=Settings.from_json(content))
    refine = values.get("refine", True)
    if not isinstance(refine, bool):
        raise ValueError(f"refine must be true or false, not {refine!r}")
    return AnalyzerOptions(
        str(values.get("analyzer", DEFAULT_ANALYZER)),
        str(values.get("classifier", DEFAULT_CLASSIFIER)),
        Settings.from_json(json.dumps(values["settings"])),
        refine,
        Style.from_json(json.dumps(values.get("style", {}))),
    )


def parse_style(args: argparse.Namespace, base: Style = DEFAULT_STYLE) -> Style:
    """Return the style: what the file of `--style` says, else that of `--settings`.

    Raises:
        ValueError: the file is no style file, or a value is not allowed.
        OSError: the file cannot be read.
    """
    style, file = base, getattr(args, "style", None)
    if file is not None:
        try:
            style = _parse_style_file(file.read_bytes())
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None
    return dataclasses.replace(style, blur=style.blur or getattr(args, "blur", False))


def _parse_style_file(content: bytes) -> Style:
    """Read a bare style, or the one in what the dashboard saves."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        values = None
    if isinstance(values, dict) and isinstance(values.get("style"), dict):
        content = json.dumps(values["style"]).encode()
    return Style.from_json(content)


_AGO: Final = re.compile(r"(\d{1,6})\s*([hd])")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


def _now() -> datetime:
    return datetime.now().astimezone()


def parse_time(
    text: str, *, whole_day: bool = False, clock: Callable[[], datetime] = _now
) -> datetime:
    """Return the moment that a text names, with its time zone.

    Args:
        text: `2026-11-21`, `2026-11-21T10:30`, the same with a zone such as `Z` or
            `+01:00` (else it is local time), or how long ago: `36h`, `7d`.
        whole_day: a date alone is the end of that day, not its beginning.
        clock: tells the time; tests bring their own.

    Raises:
        ValueError: it names none.
    """
    stripped = text.strip()
    ago_match = _AGO.fullmatch(stripped)
    try:
        if ago_match is not None:
            n_hours = int(ago_match[1]) * (24 if ago_match[2] == "d" else 1)
            return clock() - timedelta(hours=n_hours)
        parsed = datetime.fromisoformat(stripped)
        if whole_day and _DATE.fullmatch(stripped):
            parsed += timedelta(days=1)
        return parsed if parsed.tzinfo is not None else parsed.astimezone()
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            f"a time looks like 2026-11-21, 2026-11-21T10:30, 36h or 7d, not {text!r}"
        ) from None
