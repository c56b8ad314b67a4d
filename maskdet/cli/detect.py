"""`maskdet detect`: the faces of pictures as text, JSON, CSV or annotated copies."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

from maskdet.analyzer import Analyzer, load_analyzer
from maskdet.cli.choosing import (
    Choice,
    add_analyzer_options,
    add_blur_option,
    add_tiles_option,
    chosen,
    tiled,
)
from maskdet.cli.console import (
    STDOUT,
    check_target,
    complain,
    progress,
    reason,
    say,
    write_file,
    write_text,
)
from maskdet.drawing import draw
from maskdet.media import encode_jpeg, encode_png, image_paths, read_image
from maskdet.records import ImageRecord, error_record, image_record, to_csv, to_json
from maskdet.style import Style, describe
from maskdet.types import Image, Scene

_JPEG_SUFFIXES = (".jpg", ".jpeg")
_JPEG_QUALITY = 95


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "detect",
        help="detect and classify the faces of images",
        description="Detect the faces of images and classify their masks. For an image "
        "that cannot be read, one line says why, the others are analyzed, and the exit "
        "status is 1.",
    )
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="an image or a folder"
    )
    parser.add_argument("--json", metavar="FILE", help="write JSON; - for stdout")
    parser.add_argument("--csv", metavar="FILE", help="write CSV; - for stdout")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write annotated copies there"
    )
    add_blur_option(parser, "the annotated copies")
    add_tiles_option(parser)
    add_analyzer_options(parser)


def run(args: argparse.Namespace) -> int:
    """Look at every picture; 1 if one of them could not be read."""
    if args.json == args.csv == STDOUT:
        raise ValueError("--json - and --csv - cannot both write to stdout")
    choice = chosen(args)
    sources, problems = _sources(args.paths)
    for option, target in (("--json", args.json), ("--csv", args.csv)):
        check_target(option, target, sources)
    copies = None if args.out is None else _Copies(args.out, sources, choice.style)
    data_only = STDOUT in (args.json, args.csv)
    for path, line in problems.items():
        complain(f"{path}: {line}")
    records = [error_record(path, line) for path, line in problems.items()]
    if sources:
        loaded = load_analyzer(
            choice.analyzer, choice.classifier, second_look=choice.second_look
        )
        choice.tell()
        analyzer = tiled(loaded, args.tiles)
        records += [
            _look(source, analyzer, choice, copies=copies, data_only=data_only)
            for source in progress(sources, "picture")
        ]
    if args.json is not None:
        write_text(args.json, to_json(records))
    if args.csv is not None:
        write_text(args.csv, to_csv(records))
    if copies is not None:
        what = "annotated picture" if copies.written == 1 else "annotated pictures"
        say(f"wrote {copies.written} {what} to {args.out}", quiet_stdout=True)
    return int(any(record["error"] is not None for record in records))


def _sources(paths: Sequence[Path]) -> tuple[list[Path], dict[Path, str]]:
    """Return the pictures that `paths` stand for, and what is wrong with folders."""
    sources: list[Path] = []
    problems: dict[Path, str] = {}
    for path in paths:
        if not path.is_dir():
            sources.append(path)
            continue
        try:
            inside = image_paths(path)
        except OSError as error:
            problems[path] = f"the folder cannot be read: {reason(error)}"
            continue
        sources += inside
        if not inside:
            problems[path] = "there is no JPEG, PNG or WebP picture in this folder"
    return sources, problems


def _look(
    source: Path,
    analyzer: Analyzer,
    choice: Choice,
    *,
    copies: _Copies | None,
    data_only: bool,
) -> ImageRecord:
    """Do all there is to do with one picture, and return its record."""
    try:
        image = read_image(source)
    except (ValueError, OSError) as error:
        complain(f"{source}: {reason(error)}")
        return error_record(source, reason(error))
    scene = analyzer.analyze(image, choice.settings)
    if not data_only:
        for line in _lines(source, scene, choice.style):
            say(line)
    if copies is not None:
        copies.write(source, image, scene)
    return image_record(source, image, scene)


def _lines(source: Path, scene: Scene, style: Style) -> list[str]:
    n = len(scene)
    found = {0: "no face found", 1: "1 face"}.get(n, f"{n} faces")
    lines = [f"{source}: {found}"]
    words = dataclasses.replace(style, labels=True, percentages=True)
    for label, likeliest, confidence, box, score in zip(
        scene.labels,
        scene.likeliest,
        scene.confidences,
        scene.faces.boxes,
        scene.faces.scores,
        strict=True,
    ):
        x1, y1, x2, y2 = (round(float(corner)) for corner in box)
        place = f"{x2 - x1} x {y2 - y1} px at {x1}, {y1}"
        what = describe(label, float(confidence), words, likeliest=likeliest)
        lines.append(f"  {what:22} {place:28} face score {score:.2f}")
    return lines


class _Copies:
    """Writes annotated pictures into one folder, never onto an input.

    Attributes:
        written: how many there are by now.
    """

    def __init__(self, folder: Path, inputs: Sequence[Path], style: Style) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.written = 0
        self._folder = folder
        self._style = style
        self._inputs = {source.resolve() for source in inputs}
        self._taken: set[str] = set()

    def write(self, source: Path, image: Image, scene: Scene) -> None:
        """Write the annotated copy of the picture `source`."""
        image = draw(image, scene, self._style)
        jpeg = source.suffix.lower() in _JPEG_SUFFIXES
        target = self._target(source.stem, ".jpg" if jpeg else ".png")
        content = encode_jpeg(image, _JPEG_QUALITY) if jpeg else encode_png(image)
        write_file(target, content)
        self.written += 1

    def _target(self, stem: str, suffix: str) -> Path:
        """Return the first free name; case does not part names on every system."""
        for number in itertools.count(1):
            name = f"{stem}{'' if number == 1 else f'-{number}'}{suffix}"
            target = self._folder / name
            free = name.lower() not in self._taken
            if free and target.resolve() not in self._inputs:
                break
        self._taken.add(name.lower())
        return target
