"""`maskdet benchmark`: compare the speed of the analyzers and of a baseline."""

from __future__ import annotations

import argparse
import dataclasses
import platform
from collections.abc import Callable, Iterator, Mapping
from importlib import util
from time import perf_counter

import cv2
import numpy as np

from maskdet.analyzers.pipelines import ANALYZERS, load_analyzer
from maskdet.cli.console import (
    STDOUT,
    check_output_path,
    iterate_with_progress_bar,
    print_line,
    print_warning,
    write_json,
)
from maskdet.cli.options import (
    add_models_option,
    add_settings_options,
    make_number_parser,
    parse_analyzer_options,
)
from maskdet.detectors import load_detector
from maskdet.evaluation.timing import (
    LatencyStats,
    TimedFunction,
    benchmark_interleaved,
    make_analyze_and_draw,
)
from maskdet.extras import MissingExtraError
from maskdet.media import read_image
from maskdet.resources import resource_path
from maskdet.settings import Settings
from maskdet.threads import count_cores
from maskdet.types import CLASSES, Image, Scene, select_rows

_TUTORIAL_SCRIPT = resource_path("benchmarks/tutorial_pipeline.py")
_TUTORIAL_NAME = "tutorial"

_PORTRAITS = ("portrait-bare", "portrait-mask", "portrait-below-nose", "portrait-bare")
_PORTRAIT_CROP = (slice(0, 384), slice(0, 512))
"""Rows and columns of a sample portrait that fill a quarter of a frame. Every detector
finds these four faces, so that each pipeline classifies as many."""

_QUARTER_WH = (320, 240)

_NETWORKS_ALONE = {
    "aizoo": "AIZOO's network alone: detects and classifies, draws nothing",
    "yunet-alone": "YuNet alone: detects only",
}

_DESCRIPTION = """Time the analyzers on one frame of 640 x 480 pixels with four faces,
made from the samples: detect, classify and draw. They run in turn, so that other load
of the machine affects all of them. For comparison: AIZOO's and YuNet's networks alone,
and the usual tutorial pipeline (ResNet-10 SSD, then `keras.Model.predict`; needs
TensorFlow). A pipeline that cannot be loaded is skipped with a warning. A ratio is the
median over the rounds, relative to the first row. Quote ratios: times depend on the
machine."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "benchmark", help="compare the speed of the analyzers", description=_DESCRIPTION
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"only these: {', '.join(_list_names())}",
    )
    parser.add_argument(
        "--rounds",
        type=make_number_parser(1),
        default=50,
        help="frames per pipeline (default: 50)",
    )
    parser.add_argument("--json", metavar="FILE", help="write JSON; - for stdout")
    add_models_option(parser)
    add_settings_options(parser, preset=False)


def run(args: argparse.Namespace) -> int:
    """Load the pipelines, time them in turn, and print the results."""
    for name in args.names:
        if name not in _list_names():
            raise ValueError(
                f"name must be one of {', '.join(_list_names())}, not {name!r}"
            )
    check_output_path("--json", args.json, [])
    settings = parse_analyzer_options(args).settings
    data_only = args.json == STDOUT
    pipelines: dict[str, TimedFunction] = {}
    for name in args.names or _list_names():
        try:
            pipelines |= _load_pipelines(name, settings)
        except (FileNotFoundError, ImportError, MissingExtraError) as error:
            print_warning(f"{name}: left out: {error}")
    if not pipelines:
        raise ValueError("none of the pipelines can be loaded")
    timings = benchmark_interleaved(
        pipelines,
        make_benchmark_frame(),
        iterate_with_progress_bar(range(args.rounds), "round"),
    )
    for line in _format_lines(timings, args.rounds):
        print_line(line, to_stderr=data_only)
    if args.json is not None:
        write_json(args.json, _to_json(timings, args.rounds, settings))
    return 0


def make_benchmark_frame() -> Image:
    """Return four sample portraits in one 640 x 480 frame."""
    portraits = []
    for name in _PORTRAITS:
        portrait = read_image(resource_path(f"samples/{name}.jpg"))[_PORTRAIT_CROP]
        portraits.append(
            cv2.resize(portrait, _QUARTER_WH, interpolation=cv2.INTER_AREA)
        )
    # The same face twice, but not the same pixels.
    portraits[-1] = portraits[-1][:, ::-1]
    rows = [np.hstack(portraits[:2]), np.hstack(portraits[2:])]
    return np.ascontiguousarray(np.vstack(rows), np.uint8)


def _list_names() -> list[str]:
    analyzers = sorted(
        (name for name in ANALYZERS if name not in _NETWORKS_ALONE),
        key=lambda name: name != "onepass-fast",
    )
    return [*analyzers, *_NETWORKS_ALONE, _TUTORIAL_NAME]


def _load_pipelines(name: str, settings: Settings) -> dict[str, TimedFunction]:
    """Load the pipelines of a name; the tutorial has two."""
    if name == _TUTORIAL_NAME:
        return _load_tutorial_pipelines()
    if name == "yunet-alone":
        return {name: _make_yunet_pipeline(settings)}
    analyzer = load_analyzer(name)
    if name in _NETWORKS_ALONE:
        return {name: lambda image: analyzer.analyze(image, settings)}
    return {name: make_analyze_and_draw(analyzer, settings)}


def _make_yunet_pipeline(settings: Settings) -> TimedFunction:
    detector = load_detector("yunet")

    def detect_only(image: Image) -> Scene:
        start_s = perf_counter()
        faces = detector.detect(image)
        detection_ms = (perf_counter() - start_s) * 1e3
        faces = faces[select_rows(faces, settings)]
        unknown = np.full((len(faces), len(CLASSES)), 1 / len(CLASSES), np.float32)
        return Scene(faces, unknown, stage_ms={"detect": detection_ms})

    return detect_only


def _load_tutorial_pipelines() -> dict[str, TimedFunction]:
    """Load the pipelines of the file outside the package, which uses TensorFlow."""
    spec = util.spec_from_file_location("tutorial_pipeline", _TUTORIAL_SCRIPT)
    if spec is None or spec.loader is None or not _TUTORIAL_SCRIPT.is_file():
        raise FileNotFoundError(
            "benchmarks/tutorial_pipeline.py is missing; only a checkout of the "
            "repository contains it"
        )
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    make_pipelines: Callable[[], dict[str, TimedFunction]] = module.load_pipelines
    return make_pipelines()


def _format_lines(timings: Mapping[str, LatencyStats], rounds: int) -> Iterator[str]:
    first = next(iter(timings))
    yield f"640 x 480, 4 faces, {rounds} rounds, {count_cores()} cores; milliseconds"
    yield f"{'':20} {'faces':>5} {'median':>8} {'p95':>8} {'ratio':>7}  stages"
    for name, timing in timings.items():
        stages = ", ".join(
            f"{key} {ms:.2f}" for key, ms in timing.median_stages_ms.items()
        )
        ratio = timing.ratio_to(timings[first])
        yield (
            f"{name:20} {timing.n_faces:5} {timing.median_ms:8.2f} "
            f"{timing.p95_ms:8.2f} "
            f"{ratio:7.2f}  {stages}"
        )


def _to_json(
    timings: Mapping[str, LatencyStats], rounds: int, settings: Settings
) -> dict[str, object]:
    first = next(iter(timings))
    rows = {
        name: {
            "faces": timing.n_faces,
            "median_ms": round(timing.median_ms, 3),
            "p95_ms": round(timing.p95_ms, 3),
            "ratio": round(timing.ratio_to(timings[first]), 3),
            "stages_ms": {
                stage: round(ms, 3) for stage, ms in timing.median_stages_ms.items()
            },
        }
        for name, timing in timings.items()
    }
    return {
        "version": 2,
        "frame_wh": [640, 480],
        "rounds": rounds,
        "settings": dataclasses.asdict(settings),
        "cores": count_cores(),
        "machine": platform.machine(),
        "ratio_to": first,
        "times": rows,
    }
