"""Options shared by commands: analyzer, classifier, settings and style; times."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from maskdet.analyzers.pipelines import (
    ANALYZERS,
    AUTO,
    DEFAULT_ANALYZER,
    classifies_every_face,
    describe_pipeline,
    resolve_analyzer,
)
from maskdet.analyzers.tiles import MIN_TILE_PX, Tiling
from maskdet.classifier import CLASSIFIERS, DEFAULT_CLASSIFIER
from maskdet.cli.console import print_line
from maskdet.media import ROTATIONS
from maskdet.model_files.model_zoo import MODEL_DIR_VARIABLE
from maskdet.settings import (
    DISTANCE_METHODS,
    SMOOTHING_METHODS,
    Settings,
    upgrade_settings,
)
from maskdet.smoothing import TRACKING_PRESETS
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.validation import parse_fields, parse_json_object, parse_whole_number

IMAGE_OPTIONS = {
    "min_score": "detection threshold: drop faces with a lower score, 0 to 1",
    "min_confidence": "confidence threshold: below it the class is unknown, 0 to 1",
    "min_face_px": "drop faces whose shorter side is smaller, in pixels",
    "nms_iou": "non-maximum suppression: of two boxes with a higher IoU, drop the one "
    "with the lower score, 0 to 1",
}
"""Settings for single images, and their descriptions."""

STREAM_OPTIONS: dict[str, str] = {
    "memory_s": "how long a track is kept without a detection, in seconds",
    "smoothing": "label smoothing over the observations of a person: "
    f"{', '.join(SMOOTHING_METHODS)}",
    "smoothing_window_s": "length of the smoothing window, in seconds",
    "class_weights": "weights of observations of mask, no mask and incorrectly worn: "
    "three numbers, 0 to 1; an observation with probabilities p has the weight "
    "sum(p * weight)",
    "distance": "method of distances between people: " + ", ".join(DISTANCE_METHODS),
    "contact_distance_m": "distance below which two people are in contact, in metres",
    "contact_duration_s": "longest allowed contact, in seconds",
    "field_of_view_deg": "horizontal field of view of the camera, for pinhole",
    "ground_points": "four points on the ground for --distance ground_plane, clockwise "
    "from the far left: x and y of each as fractions of image width and height",
    "ground_width_m": "distance from the first point to the second, in metres",
    "ground_depth_m": "distance from the second point to the third, in metres",
}
"""Settings for tracked people, and their descriptions."""

_ARGUMENT_KWARGS: dict[str, dict[str, Any]] = {
    "smoothing": {"choices": SMOOTHING_METHODS, "metavar": "WORD"},
    "distance": {"choices": DISTANCE_METHODS, "metavar": "WORD"},
    "class_weights": {"type": float, "metavar": "F", "nargs": 3},
    "ground_points": {"type": float, "metavar": "F", "nargs": 8},
}

_AGO: Final = re.compile(r"(\d{1,6})\s*([hd])")

_MAX_PORT: Final = 65_535

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class AnalyzerOptions:
    """Parsed options of a command.

    Attributes:
        analyzer: a name in `ANALYZERS`.
        classifier: a name in `CLASSIFIERS`, or the path of a `.tflite` file.
        settings: thresholds and other settings.
        refine: whether the classifier may check large faces again after a
            single-stage network.
        style: annotation style, with names and colours of the classes.
        notices: preset and pipeline, one line each; empty for the defaults.
    """

    analyzer: str = DEFAULT_ANALYZER
    classifier: str = DEFAULT_CLASSIFIER
    settings: Settings = field(default_factory=Settings)
    refine: bool = True
    style: Style = field(default_factory=Style)
    notices: tuple[str, ...] = field(default=(), compare=False)

    @property
    def pipeline(self) -> str:
        """Detector and classifier in one line."""
        return describe_pipeline(self.analyzer, self.classifier, refine=self.refine)

    def print_notices(self) -> None:
        """Print preset and pipeline on stderr; call it after loading the analyzer."""
        for notice in self.notices:
            print_line(notice, to_stderr=True)

    def print_undrawable_names(self) -> None:
        """Print on stderr which class names cannot be drawn on images."""
        if self.style.substitution_note:
            print_line(self.style.substitution_note, to_stderr=True)


def add_analyzer_options(
    parser: argparse.ArgumentParser, *, live: bool = False
) -> None:
    """Add the options of the analyzer and its settings."""
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
        help="do not let the classifier re-check large faces with a low confidence "
        "after a single-stage network",
    )
    add_settings_options(parser)


def add_settings_options(
    parser: argparse.ArgumentParser, *, preset: bool = True
) -> None:
    """Add the options of `IMAGE_OPTIONS`, `--settings` and `--preset`.

    Args:
        parser: parser to extend.
        preset: whether to add `--preset`, which also selects an analyzer.
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
    """Add the options of `STREAM_OPTIONS`."""
    group = parser.add_argument_group("tracking and distances")
    for name, description in STREAM_OPTIONS.items():
        default = getattr(Settings(), name)
        if isinstance(default, tuple):
            default = " ".join(f"{number:g}" for number in default)
        default_text = f" (default: {default})" if default != "" else ""
        argument_kwargs = _ARGUMENT_KWARGS.get(name, {"type": float, "metavar": "F"})
        group.add_argument(
            _option_string(name), help=description + default_text, **argument_kwargs
        )


def _option_string(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def add_classifier_option(parser: argparse.ArgumentParser) -> None:
    """Add the options of the classifier."""
    parser.add_argument(
        "--classifier",
        metavar="NAME",
        help=f"{', '.join(CLASSIFIERS)} or the path of a .tflite file that `maskdet "
        f"export` wrote (default: {DEFAULT_CLASSIFIER}). A classifier other than the "
        "default classifies every face",
    )
    add_models_option(parser)


def add_models_option(parser: argparse.ArgumentParser) -> None:
    """Add `--models`."""
    parser.add_argument(
        "--models",
        type=Path,
        metavar="DIR",
        help="folder of your own models, as written by `maskdet export --out DIR`; "
        "--classifier and --analyzer accept their names (default: the variable "
        f"{MODEL_DIR_VARIABLE})",
    )


def add_listen_options(
    parser: argparse.ArgumentParser,
    *,
    port: int | None,
    port_note: str,
    address_note: str,
) -> None:
    """Add `--port` and `--address` of a server.

    Args:
        parser: parser to extend.
        port: default port.
        port_note: what the default port is.
        address_note: what is needed for other machines, and what the default is.
    """
    parser.add_argument(
        "--port",
        type=make_number_parser(1, _MAX_PORT),
        default=port,
        metavar="N",
        help=f"port to listen on (default: {port_note})",
    )
    parser.add_argument(
        "--address",
        metavar="HOST",
        help=f"address to listen on; 0.0.0.0 allows other machines{address_note}",
    )


def add_tiles_option(parser: argparse.ArgumentParser) -> None:
    """Add `--tiles`."""
    parser.add_argument(
        "--tiles",
        type=_parse_tiling,
        nargs="?",
        const=Tiling(),
        metavar="PX",
        help="also analyze overlapping tiles of this size in pixels, which detects "
        f"small faces but is slower (default without a number: {Tiling.side_px})",
    )


def add_blur_option(parser: argparse.ArgumentParser, where: str) -> None:
    """Add `--blur` and `--style` for an output, such as `the video`."""
    parser.add_argument(
        "--blur", action="store_true", help=f"blur all faces in {where}"
    )
    add_style_option(parser, f"how faces are marked in {where}")


def add_style_option(parser: argparse.ArgumentParser, what: str = "") -> None:
    """Add `--style`.

    Args:
        parser: parser to extend.
        what: further use of the style, such as `how faces are marked in the copies`.
    """
    more = f"{what} and " if what else ""
    parser.add_argument(
        "--style",
        type=Path,
        metavar="FILE",
        help=f"{more}names and colours of the classes: a JSON "
        'object such as {"class_names": {"unknown": "Collecting info"}, '
        '"class_colours": {"mask": "#0072b2"}}, or settings saved by the dashboard',
    )


def add_rotate_option(parser: argparse.ArgumentParser, what: str) -> None:
    """Add `--rotate` for an input, such as `every frame`."""
    parser.add_argument(
        "--rotate",
        type=int,
        choices=ROTATIONS,
        default=0,
        help=f"rotate {what} clockwise by this angle in degrees before analysis, for a "
        "camera mounted upside down or on its side; boxes and points refer to the "
        "rotated image (default: 0)",
    )


def add_every_option(parser: argparse.ArgumentParser, action: str) -> None:
    """Add `--every` for videos, such as `analyze and write only every Nth frame`."""
    parser.add_argument(
        "--every",
        type=make_number_parser(1),
        default=1,
        metavar="N",
        help=f"{action} (default: every frame)",
    )


def make_number_parser(low: int, high: int | None = None) -> Callable[[str], int]:
    """Return a parser of whole numbers, for the `type` of an argument."""

    def parse(text: str) -> int:
        try:
            return parse_whole_number(text, low, high)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def _parse_tiling(text: str) -> Tiling:
    return Tiling(make_number_parser(MIN_TILE_PX)(text))


def parse_analyzer_options(
    args: argparse.Namespace, *, live: bool = False
) -> AnalyzerOptions:
    """Parse the options; they override the settings file, which overrides defaults.

    Args:
        args: parsed arguments, with the options added here.
        live: whether it is for video, where the fast analyzer is the default.

    Raises:
        ValueError: the file is not a settings file, a value is out of range, or two
            options contradict each other.
        OSError: the file cannot be read.
    """
    defaults = AnalyzerOptions(resolve_analyzer(AUTO, live=live))
    base = dataclasses.replace(defaults, analyzer=AUTO if live else DEFAULT_ANALYZER)
    preset = TRACKING_PRESETS.get(getattr(args, "preset", None) or "")
    if preset is not None:
        if args.settings is not None:
            raise ValueError("--preset and --settings cannot be combined; choose one")
        base = dataclasses.replace(
            base,
            analyzer=preset.analyzer,
            settings=preset.settings,
            refine=preset.refine,
        )
    if args.settings is not None:
        base = _read_file(args.settings, _parse_settings_file)
    analyzer = getattr(args, "analyzer", None)
    classifier = getattr(args, "classifier", None)
    no_refinement = getattr(args, "no_refinement", False)
    options = AnalyzerOptions(
        resolve_analyzer(analyzer or base.analyzer, live=live),
        classifier or base.classifier,
        _override_settings(args, base.settings),
        base.refine and not no_refinement,
        parse_style(args, base.style),
    )
    if (
        no_refinement
        and classifier
        and classifies_every_face(options.analyzer, options.classifier)
    ):
        raise ValueError(
            f"--no-refinement: {options.pipeline}, so there is no refinement; leave "
            "out --no-refinement or --classifier"
        )
    if preset or analyzer or classifier or options.pipeline != defaults.pipeline:
        notices = [f"preset {args.preset}: {preset.description}"] if preset else []
        notices.append(f"pipeline: {options.pipeline}")
        options = dataclasses.replace(options, notices=tuple(notices))
    return options


def check_ground_points(settings: Settings) -> None:
    """Raise an error if the ground plane lacks its points.

    Raises:
        ValueError: there are no points.
    """
    if settings.distance == "ground_plane" and not settings.ground_points:
        raise ValueError(
            "--distance ground_plane needs four points; set --ground-points"
        )


def _override_settings(args: argparse.Namespace, base: Settings) -> Settings:
    overrides = {
        option: getattr(args, option)
        for option in (*IMAGE_OPTIONS, *STREAM_OPTIONS)
        if getattr(args, option, None) is not None
    }
    return dataclasses.replace(base, **overrides)


_Options = TypeVar("_Options", AnalyzerOptions, Style)


def _read_file(path: Path, parse: Callable[[bytes], _Options]) -> _Options:
    try:
        return parse(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _parse_settings_file(content: bytes) -> AnalyzerOptions:
    """Parse plain settings, or a settings file of the dashboard."""
    values = upgrade_settings(parse_json_object(content, "settings are"))
    if not isinstance(values.get("settings"), dict):
        return AnalyzerOptions(settings=parse_fields(Settings, values))
    values["settings"] = upgrade_settings(values["settings"])
    names = ("analyzer", "classifier", "settings", "refine", "style")
    return parse_fields(
        AnalyzerOptions, {name: values[name] for name in names if name in values}
    )


def parse_style(args: argparse.Namespace, base: Style = DEFAULT_STYLE) -> Style:
    """Return the style of `--style`, or `base`.

    Raises:
        ValueError: the file is not a style file, or a value is invalid.
        OSError: the file cannot be read.
    """
    style, file = base, getattr(args, "style", None)
    if file is not None:
        style = _read_file(file, _parse_style_file)
    return dataclasses.replace(style, blur=style.blur or getattr(args, "blur", False))


def _parse_style_file(content: bytes) -> Style:
    """Parse a plain style, or that of a settings file of the dashboard."""
    values = parse_json_object(content, "style is")
    style = values.get("style")
    return parse_fields(Style, style if isinstance(style, dict) else values)


def _now() -> datetime:
    return datetime.now().astimezone()


def parse_time(
    text: str, *, whole_day: bool = False, clock: Callable[[], datetime] = _now
) -> datetime:
    """Parse a date, time or duration before now into a time with a time zone.

    Args:
        text: `2026-11-21`, `2026-11-21T10:30`, the same with a zone such as `Z` or
            `+01:00` (else it is local time), or a duration before now: `36h`, `7d`.
        whole_day: whether a date without time means the end of the day.
        clock: returns the current time.

    Raises:
        ValueError: the text is not a time.
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
            "must be a time such as 2026-11-21, 2026-11-21T10:30, 36h or 7d, not "
            f"{text!r}"
        ) from None
