"""`maskdet benchmark`: analyzers side by side, and the way they replace."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from importlib import util
from time import perf_counter

import cv2
import numpy as np

from maskdet.analyzer import ANALYZERS, load_analyzer
from maskdet.cli.choosing import add_models_option, add_settings_options, chosen
from maskdet.cli.console import (
    STDOUT,
    check_target,
    complain,
    progress,
    say,
    write_text,
)
from maskdet.detectors import load_detector
from maskdet.extras import MissingExtraError
from maskdet.media import read_image
from maskdet.resources import resource_path
from maskdet.timing import Look, Timing, take_turns, whole_loop
from maskdet.types import CLASSES, Image, Scene, Settings, accepted

_OLD_WAY = resource_path("benchmarks/old_way.py")
_OLD = "old-way"

_PORTRAITS = ("portrait-bare", "portrait-mask", "portrait-below-nose", "portrait-bare")
_PART = (slice(0, 384), slice(0, 512))
"""Rows and columns of a sample portrait that fill a quarter of the frame: all finders
see four faces then, so that all label as many."""

_QUARTER_WH = (320, 240)

_ALONE = {
    "aizoo": "AIZOO's network alone: finds and labels, draws nothing",
    "yunet-alone": "YuNet alone: finds only",
}

_ABOUT = """Time the analyzers on one frame of 640 x 480 pixels with four faces, made
from the samples: detect, classify and draw. They take turns, so that a slow moment of
the machine affects all of them. For comparison: AIZOO's and YuNet's networks alone, and
the usual tutorial pipeline (ResNet-10 SSD, then `keras.Model.predict`; needs
TensorFlow). What cannot be loaded is left out with a line. A ratio is the median over
the rounds, relative to the first row. Quote ratios: a single time says more about the
machine."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "benchmark", help="compare the speed of the analyzers", description=_ABOUT
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"only these: {', '.join(_names())}"
    )
    parser.add_argument(
        "--rounds", type=_count, default=50, help="frames for each (default: 50)"
    )
    parser.add_argument("--json", metavar="FILE", help="write JSON; - for stdout")
    add_models_option(parser)
    add_settings_options(parser, preset=False)


def run(args: argparse.Namespace) -> int:
    """Load what can be loaded, let all take turns, print."""
    for name in args.names:
        if name not in _names():
            raise ValueError(f"name must be one of {', '.join(_names())}, not {name!r}")
    check_target("--json", args.json, [])
    settings = chosen(args).settings
    quiet = args.json == STDOUT
    looks: dict[str, Look] = {}
    for name in args.names or _names():
        try:
            looks |= _looks(name, settings)
        except (FileNotFoundError, ImportError, MissingExtraError) as missing:
            complain(f"{name}: left out: {missing}")
    if not looks:
        raise ValueError("nothing is left to be timed")
    timings = take_turns(looks, frame(), progress(range(args.rounds), "round"))
    for line in _lines(timings, args.rounds):
        say(line, quiet_stdout=quiet)
    if args.json is not None:
        write_text(
            args.json,
            json.dumps(_content(timings, args.rounds, settings), indent=2) + "\n",
        )
    return 0


def frame() -> Image:
    """Return four sample portraits in one 640 x 480 frame."""
    parts = []
    for name in _PORTRAITS:
        portrait = read_image(resource_path(f"samples/{name}.jpg"))[_PART]
        parts.append(cv2.resize(portrait, _QUARTER_WH, interpolation=cv2.INTER_AREA))
    # The same face twice, but not the same pixels.
    parts[-1] = parts[-1][:, ::-1]
    rows = [np.hstack(parts[:2]), np.hstack(parts[2:])]
    return np.ascontiguousarray(np.vstack(rows), np.uint8)


def _names() -> list[str]:
    ours = sorted(
        (name for name in ANALYZERS if name not in _ALONE),
        key=lambda name: name != "onepass-fast",
    )
    return [*ours, *_ALONE, _OLD]


def _looks(name: str, settings: Settings) -> dict[str, Look]:
    """Load one contestant; the old way comes in two kinds."""
    if name == _OLD:
        return _old_ways()
    if name == "yunet-alone":
        return {name: _finder_alone("yunet", settings)}
    analyzer = load_analyzer(name)
    if name in _ALONE:
        return {name: lambda image: analyzer.analyze(image, settings)}
    return {name: whole_loop(analyzer, settings)}


def _finder_alone(name: str, settings: Settings) -> Look:
    finder = load_detector(name)

    def look(image: Image) -> Scene:
        started = perf_counter()
        faces = finder.detect(image)
        find_ms = (perf_counter() - started) * 1e3
        faces = faces[accepted(faces, settings)]
        unknown = np.full((len(faces), len(CLASSES)), 1 / len(CLASSES), np.float32)
        return Scene(faces, unknown, stage_ms={"find": find_ms})

    return look


def _old_ways() -> dict[str, Look]:
    """Load the file outside the package that may use TensorFlow."""
    spec = util.spec_from_file_location("old_way", _OLD_WAY)
    if spec is None or spec.loader is None or not _OLD_WAY.is_file():
        raise FileNotFoundError(
            "benchmarks/old_way.py is missing; only a checkout of the repository has it"
        )
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: Callable[[], dict[str, Look]] = module.looks
    return made()


def _lines(timings: Mapping[str, Timing], rounds: int) -> Iterator[str]:
    first = next(iter(timings))
    yield f"640 x 480, 4 faces, {rounds} rounds, {os.cpu_count()} cores; milliseconds"
    yield f"{'':20} {'faces':>5} {'median':>8} {'p95':>8} {'ratio':>7}  stages"
    for name, one in timings.items():
        stages = ", ".join(
            f"{key} {ms:.2f}" for key, ms in one.median_stages_ms.items()
        )
        ratio = one.ratio_to(timings[first])
        yield (
            f"{name:20} {one.faces:5} {one.median_ms:8.2f} {one.p95_ms:8.2f} "
            f"{ratio:7.2f}  {stages}"
        )


def _content(
    timings: Mapping[str, Timing], rounds: int, settings: Settings
) -> dict[str, object]:
    first = next(iter(timings))
    rows = {
        name: {
            "faces": one.faces,
            "median_ms": round(one.median_ms, 3),
            "p95_ms": round(one.p95_ms, 3),
            "ratio": round(one.ratio_to(timings[first]), 3),
            "stages_ms": {
                stage: round(ms, 3) for stage, ms in one.median_stages_ms.items()
            },
        }
        for name, one in timings.items()
    }
    return {
        "version": 1,
        "frame_wh": [640, 480],
        "rounds": rounds,
        "settings": dataclasses.asdict(settings),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "ratio_to": first,
        "times": rows,
    }


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"wanted a whole number above 0, not {text!r}")
    return int(text)
