"""`maskdet detect`: detect faces in images; text, JSON, CSV or annotated copies."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from maskdet.analyzers.pipelines import Analyzer, analyze_decoded, load_analyzer
from maskdet.analyzers.tiles import apply_tiling
from maskdet.atomic_file import write_file
from maskdet.cli.console import (
    STDOUT,
    check_output_path,
    format_left_out,
    iterate_with_progress_bar,
    print_line,
    print_warning,
    write_text,
)
from maskdet.cli.options import (
    AnalyzerOptions,
    add_analyzer_options,
    add_blur_option,
    add_rotate_option,
    add_tiles_option,
    parse_analyzer_options,
)
from maskdet.drawing import draw
from maskdet.media import (
    IMAGE_FORMATS,
    DecodedImage,
    decode_image,
    encode_jpeg,
    encode_png,
    find_images,
    redact_url,
)
from maskdet.results_io import (
    ImageRecord,
    error_record,
    format_results_csv,
    format_results_json,
    image_record,
)
from maskdet.style import Style, format_face_caption
from maskdet.types import Scene
from maskdet.wording import format_count, format_error_reason

_JPEG_QUALITY = 95

_DESCRIPTION = f"""Detect the faces of images and classify their masks. Formats:
{IMAGE_FORMATS}, detected from the content, not from the file name. Folders are searched
recursively, except hidden ones; files in them that are not images are skipped and
counted. An image that cannot be read is reported in one line, and the others are
analyzed. The exit status is 0 if every image was analyzed and every file written, else
1; skipped files do not change it."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "detect",
        help="detect and classify the faces of images",
        description=_DESCRIPTION,
    )
    # Not `Path`: it would remove a slash of a URL.
    parser.add_argument("paths", nargs="+", metavar="PATH", help="an image or a folder")
    parser.add_argument("--json", metavar="FILE", help="write JSON; - for stdout")
    parser.add_argument("--csv", metavar="FILE", help="write CSV; - for stdout")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write annotated copies there, in the folder structure of the images",
    )
    add_blur_option(parser, "the annotated copies")
    add_tiles_option(parser)
    add_rotate_option(parser, "every image")
    add_analyzer_options(parser)


def run(args: argparse.Namespace) -> int:
    """Analyze every image; 1 if one could not be read or written."""
    if args.json == args.csv == STDOUT:
        raise ValueError("--json - and --csv - cannot both write to stdout")
    options = parse_analyzer_options(args)
    inputs_to_read = _collect_inputs(args.paths, args.out)
    inputs = [source.path for source in inputs_to_read.sources]
    for option, target in (("--json", args.json), ("--csv", args.csv)):
        check_output_path(option, target, inputs)
    copies = (
        None if args.out is None else _AnnotatedCopies(args.out, inputs, options.style)
    )
    data_only = STDOUT in (args.json, args.csv)
    for path, message in inputs_to_read.problems.items():
        print_warning(f"{path}: {message}")
    if inputs_to_read.left_out:
        nouns = "file that is not an image", "files that are not images"
        print_warning(format_left_out(inputs_to_read.left_out, *nouns))
    records = [
        error_record(path, message) for path, message in inputs_to_read.problems.items()
    ]
    if inputs_to_read.sources:
        loaded = load_analyzer(
            options.analyzer, options.classifier, refine=options.refine
        )
        options.print_notices()
        analyzer = apply_tiling(loaded, args.tiles)
        records += [
            _process_image(
                source,
                analyzer,
                options,
                rotate=args.rotate,
                copies=copies,
                data_only=data_only,
            )
            for source in iterate_with_progress_bar(inputs_to_read.sources, "image")
        ]
    if args.json is not None:
        write_text(args.json, format_results_json(records, inputs_to_read.left_out))
    if args.csv is not None:
        write_text(args.csv, format_results_csv(records))
    if copies is not None:
        what = format_count(copies.n_written, "annotated image")
        print_line(f"wrote {what} to {args.out}", to_stderr=True)
        options.print_undrawable_names()
    unread = any(record["error"] is not None for record in records)
    return int(unread or (copies is not None and copies.n_failed > 0))


@dataclass(frozen=True)
class _ImageInput:
    """An image file to analyze.

    Attributes:
        path: path of the file.
        name: argument as given; a path would lose a slash of a URL.
        relative_folder: folder of the file, relative to the given folder.
    """

    path: Path
    name: str
    relative_folder: Path = Path()


@dataclass(frozen=True)
class _ImageInputs:
    """Files named by the arguments of the command.

    Attributes:
        sources: image files.
        problems: paths that cannot be read, with the reason in one line.
        left_out: files in folders that are not images.
    """

    sources: list[_ImageInput] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    left_out: list[Path] = field(default_factory=list)


def _collect_inputs(path_texts: Iterable[str], out: Path | None) -> _ImageInputs:
    """Return the images of the given files and folders."""
    collected = _ImageInputs()
    for path_text in path_texts:
        path = Path(path_text)
        if path.is_dir():
            _add_folder(collected, path, out)
        else:
            collected.sources.append(_ImageInput(path, path_text))
    return collected


def _add_folder(collected: _ImageInputs, folder: Path, out: Path | None) -> None:
    folder_content = find_images(folder, exclude=out)
    collected.left_out.extend(folder_content.skipped)
    for path, error in folder_content.unreadable_folders.items():
        collected.problems[str(path)] = (
            f"the folder cannot be read: {format_error_reason(error)}"
        )
    collected.sources.extend(
        _ImageInput(path, str(path), path.parent.relative_to(folder))
        for path in folder_content.images
    )
    if not folder_content.images and not folder_content.unreadable_folders:
        collected.problems[str(folder)] = (
            f"no images in this folder; accepted formats: {IMAGE_FORMATS}"
        )


def _process_image(
    source: _ImageInput,
    analyzer: Analyzer,
    options: AnalyzerOptions,
    *,
    rotate: int,
    copies: _AnnotatedCopies | None,
    data_only: bool,
) -> ImageRecord:
    """Analyze one image, print and write its results, and return its record."""
    name = redact_url(source.name)
    try:
        image = decode_image(source.name).rotate(rotate)
    except (ValueError, OSError) as error:
        print_warning(f"{name}: {format_error_reason(error)}")
        return error_record(name, format_error_reason(error))
    scene = analyze_decoded(analyzer, image, options.settings)
    if not data_only:
        for line in _format_scene(name, scene, options.style):
            print_line(line)
    if copies is not None:
        copies.write(source, image, scene)
    return image_record(name, (image.width, image.height), scene)


def _format_scene(name: str, scene: Scene, style: Style) -> list[str]:
    count_text = format_count(len(scene), "face") if len(scene) else "no face detected"
    lines = [f"{name}: {count_text}"]
    text_style = dataclasses.replace(style, labels=True, percentages=True)
    for face, likeliest in zip(scene, scene.likeliest, strict=True):
        x1, y1, x2, y2 = map(round, face.box)
        box_text = f"{x2 - x1} x {y2 - y1} px at {x1}, {y1}"
        label_text = format_face_caption(
            face.label, face.confidence, text_style, likeliest=likeliest
        )
        lines.append(f"  {label_text:22} {box_text:28} score {face.score:.2f}")
    return lines


class _AnnotatedCopies:
    """Writes annotated images into a folder tree, never over an input.

    Attributes:
        n_written: number of images written so far.
        n_failed: number of images that could not be written.
    """

    def __init__(self, folder: Path, inputs: Sequence[Path], style: Style) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.n_written = 0
        self.n_failed = 0
        self._folder = folder
        self._style = style
        self._inputs = {source.resolve() for source in inputs}
        self._used_names: set[str] = set()

    def write(self, source: _ImageInput, image: DecodedImage, scene: Scene) -> None:
        """Write the annotated copy of an image; print a warning if that fails.

        The copy of a very large JPEG has the reduced size at which it was decoded.
        """
        pixels = draw(image.pixels, image.scale_scene(scene), self._style)
        jpeg = image.format == "JPEG"
        content = encode_jpeg(pixels, _JPEG_QUALITY) if jpeg else encode_png(pixels)
        target = self._free_path(source, ".jpg" if jpeg else ".png")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_file(target, content)
        except OSError as error:
            self.n_failed += 1
            print_warning(f"--out: {format_error_reason(error)}")
        else:
            self.n_written += 1

    def _free_path(self, source: _ImageInput, suffix: str) -> Path:
        """Return the first free path; some file systems ignore the case of names."""
        stem = source.path.stem
        for number in itertools.count(1):
            name = f"{stem}{'' if number == 1 else f'-{number}'}{suffix}"
            target = self._folder / source.relative_folder / name
            name_key = str(source.relative_folder / name).lower()
            if (
                name_key not in self._used_names
                and target.resolve() not in self._inputs
            ):
                break
        self._used_names.add(name_key)
        return target
