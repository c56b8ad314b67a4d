"""`maskdet detect`: the faces of images as text, JSON, CSV or annotated copies."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from maskdet.analyzer import Analyzer, analyze_decoded, load_analyzer
from maskdet.cli.choosing import (
    Choice,
    add_analyzer_options,
    add_blur_option,
    add_rotate_option,
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
from maskdet.media import (
    FORMATS,
    DecodedImage,
    decode_image,
    encode_jpeg,
    encode_png,
    find_images,
    public_name,
)
from maskdet.records import ImageRecord, error_record, image_record, to_csv, to_json
from maskdet.style import Style, describe
from maskdet.types import Scene
from maskdet.wording import counted

_JPEG_QUALITY = 95

_SHOWN = 3
"""So many of the files that are left out are named; the JSON has all."""

_ABOUT = f"""Detect the faces of images and classify their masks. Read are {FORMATS}
files; their content decides, not their names. A folder is searched with the folders in
it, except hidden ones; files in it that are not images are left out and counted. For an
image that cannot be read, one line says why, and the others are analyzed. The exit
status is 0 if every image was analyzed and every file written, else 1; files that were
left out do not change it."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "detect",
        help="detect and classify the faces of images",
        description=_ABOUT,
    )
    # No `Path`: it would swallow a slash of an address.
    parser.add_argument("paths", nargs="+", metavar="PATH", help="an image or a folder")
    parser.add_argument("--json", metavar="FILE", help="write JSON; - for stdout")
    parser.add_argument("--csv", metavar="FILE", help="write CSV; - for stdout")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write annotated copies there, in the same folders as the images",
    )
    add_blur_option(parser, "the annotated copies")
    add_tiles_option(parser)
    add_rotate_option(parser, "every image")
    add_analyzer_options(parser)


def run(args: argparse.Namespace) -> int:
    """Analyze every image; 1 if one could not be read or written."""
    if args.json == args.csv == STDOUT:
        raise ValueError("--json - and --csv - cannot both write to stdout")
    choice = chosen(args)
    asked = _asked(args.paths, args.out)
    inputs = [source.path for source in asked.sources]
    for option, target in (("--json", args.json), ("--csv", args.csv)):
        check_target(option, target, inputs)
    copies = None if args.out is None else _Copies(args.out, inputs, choice.style)
    data_only = STDOUT in (args.json, args.csv)
    for path, line in asked.problems.items():
        complain(f"{path}: {line}")
    if asked.left_out:
        complain(_left_out_line(asked.left_out))
    records = [error_record(path, line) for path, line in asked.problems.items()]
    if asked.sources:
        loaded = load_analyzer(
            choice.analyzer, choice.classifier, second_look=choice.second_look
        )
        choice.tell()
        analyzer = tiled(loaded, args.tiles)
        records += [
            _look(
                source,
                analyzer,
                choice,
                rotate=args.rotate,
                copies=copies,
                data_only=data_only,
            )
            for source in progress(asked.sources, "image")
        ]
    if args.json is not None:
        write_text(args.json, to_json(records, asked.left_out))
    if args.csv is not None:
        write_text(args.csv, to_csv(records))
    if copies is not None:
        what = counted(copies.written, "annotated image")
        say(f"wrote {what} to {args.out}", quiet_stdout=True)
        choice.tell_undrawn()
    unread = any(record["error"] is not None for record in records)
    return int(unread or (copies is not None and copies.failed > 0))


@dataclass(frozen=True)
class _Source:
    """An image file that was asked for.

    Attributes:
        path: of the file.
        name: how it was asked for; a path would lose a slash of an address.
        below: its folder within the folder that was asked for.
    """

    path: Path
    name: str
    below: Path = Path()


@dataclass(frozen=True)
class _Asked:
    """What the words of the command stand for.

    Attributes:
        sources: image files.
        problems: what cannot be read, with a line that says why.
        left_out: files of folders that are not images.
    """

    sources: list[_Source] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    left_out: list[Path] = field(default_factory=list)


def _asked(words: Iterable[str], out: Path | None) -> _Asked:
    """Return the images that paths of files and folders stand for."""
    asked = _Asked()
    for word in words:
        path = Path(word)
        if path.is_dir():
            _add_folder(asked, path, out)
        else:
            asked.sources.append(_Source(path, word))
    return asked


def _add_folder(asked: _Asked, folder: Path, out: Path | None) -> None:
    inside = find_images(folder, without=out)
    asked.left_out.extend(inside.left_out)
    for path, error in inside.unread.items():
        asked.problems[str(path)] = f"the folder cannot be read: {reason(error)}"
    asked.sources.extend(
        _Source(path, str(path), path.parent.relative_to(folder))
        for path in inside.images
    )
    if not inside.images and not inside.unread:
        asked.problems[str(folder)] = (
            f"there is no image in this folder; accepted are {FORMATS}"
        )


def _left_out_line(paths: Sequence[Path]) -> str:
    names = ", ".join(str(path) for path in paths[:_SHOWN])
    more = f" and {len(paths) - _SHOWN:,} more" if len(paths) > _SHOWN else ""
    what = counted(len(paths), "file that is not an image", "files that are not images")
    return f"left out {what}: {names}{more}"


def _look(
    source: _Source,
    analyzer: Analyzer,
    choice: Choice,
    *,
    rotate: int,
    copies: _Copies | None,
    data_only: bool,
) -> ImageRecord:
    """Do all there is to do with one image, and return its record."""
    name = public_name(source.name)
    try:
        image = decode_image(source.name).rotated(rotate)
    except (ValueError, OSError) as error:
        complain(f"{name}: {reason(error)}")
        return error_record(name, reason(error))
    scene = analyze_decoded(analyzer, image, choice.settings)
    if not data_only:
        for line in _lines(name, scene, choice.style):
            say(line)
    if copies is not None:
        copies.write(source, image, scene)
    return image_record(name, (image.width, image.height), scene)


def _lines(name: str, scene: Scene, style: Style) -> list[str]:
    found = counted(len(scene), "face") if len(scene) else "no face found"
    lines = [f"{name}: {found}"]
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
    """Writes annotated images into one folder and those in it, never onto an input.

    Attributes:
        written: how many there are by now.
        failed: how many could not be written.
    """

    def __init__(self, folder: Path, inputs: Sequence[Path], style: Style) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.written = 0
        self.failed = 0
        self._folder = folder
        self._style = style
        self._inputs = {source.resolve() for source in inputs}
        self._taken: set[str] = set()

    def write(self, source: _Source, image: DecodedImage, scene: Scene) -> None:
        """Write the annotated copy of an image; a line says why if it cannot be.

        Of a very large JPEG, the copy is as large as what was decoded.
        """
        pixels = draw(image.pixels, image.on_pixels(scene), self._style)
        jpeg = image.format == "JPEG"
        content = encode_jpeg(pixels, _JPEG_QUALITY) if jpeg else encode_png(pixels)
        target = self._target(source, ".jpg" if jpeg else ".png")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_file(target, content)
        except OSError as error:
            self.failed += 1
            complain(f"--out: {reason(error)}")
        else:
            self.written += 1

    def _target(self, source: _Source, suffix: str) -> Path:
        """Return the first free name; case does not part names on every system."""
        stem = source.path.stem
        for number in itertools.count(1):
            name = f"{stem}{'' if number == 1 else f'-{number}'}{suffix}"
            target = self._folder / source.below / name
            taken = str(source.below / name).lower()
            if taken not in self._taken and target.resolve() not in self._inputs:
                break
        self._taken.add(taken)
        return target
