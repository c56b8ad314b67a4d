"""Read data sets of any supported format.

Formats are detected from the files.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np

from maskdet.datasets.archives import DatasetError, FolderFiles, ZipFiles
from maskdet.datasets.class_names import (
    CLASS_TARGETS,
    IGNORE,
    ClassNames,
    format_classes_hint,
)
from maskdet.datasets.coco import read_coco, read_coco_tables
from maskdet.datasets.example import SPLITS, Example, empty_boxes
from maskdet.datasets.files import (
    IGNORED_NAME,
    MAX_FACES,
    DatasetAnnotations,
    DatasetFiles,
    ImageAnnotations,
    limit_faces,
)
from maskdet.datasets.folders import (
    INDEX_FILE,
    has_class_folders,
    read_class_folders,
    read_index,
    read_index_table,
)
from maskdet.datasets.issues import Issues, truncate_name
from maskdet.datasets.pixel_boxes import PixelBoxes, convert_to_pixels
from maskdet.datasets.voc import is_voc, read_voc
from maskdet.datasets.yolo import (
    has_class_names,
    has_labels,
    read_data_file,
    read_yolo,
)
from maskdet.types import CLASSES, Label

SUPPORTED_FORMATS: Final = (
    "index.csv (path, label), COCO (.json), Pascal VOC (.xml), YOLO (data.yaml, or "
    "images/ and labels/ with classes.txt), a folder for each class (mask/, no_mask/)"
)
"""The supported formats, for messages."""

_NON_CLASS_FOLDERS: Final = ("images", "JPEGImages", *SPLITS, "valid")
"""Image folders whose names are never classes."""

_LABEL_FOLDERS: Final = ("annotations", "labels")
"""Label folders next to the images of a data set."""

_Reader = Callable[[DatasetFiles, Issues], Iterable[ImageAnnotations]]


class ClassesError(DatasetError):
    """A data set without a known class; the message is one line.

    Attributes:
        name_counts: number of faces by class name.
    """

    def __init__(self, message: str, name_counts: Mapping[str, int]) -> None:
        """Store the names, so that the user can map them."""
        super().__init__(message)
        self.name_counts = dict(name_counts)


def read_dataset(
    path: str | Path,
    *,
    classes: ClassNames | None = None,
    issues: Issues | None = None,
    strict: bool = True,
) -> list[Example]:
    """Read a file or folder of labelled images in any supported format.

    In a folder, the first match is used: an `index.csv`, YOLO class names, all COCO
    files, VOC XML files, one folder per class.

    Args:
        path: the file or folder.
        classes: mapping of class names that are not known.
        issues: collects all problems.
        strict: raise the first error; otherwise leave the broken parts out.

    Raises:
        FileNotFoundError: `path` or a listed image does not exist.
        DatasetError: the format is not supported or the data set is broken.
    """
    path = Path(path)
    issues = Issues() if issues is None else issues
    classes = classes or ClassNames()
    if path.suffix.lower() == ".zip" and path.is_file():
        raise DatasetError(f"{path}: unpack the zip first; images are read many times")
    files, folder = open_dataset(path)
    try:
        annotations = read_annotations(
            files, classes, issues, label_file_name(path, folder)
        )
        examples = list(_to_examples(annotations, files, classes, issues, folder))
    except DatasetError as error:
        if strict:  # earlier issues explain better why nothing is left
            _raise_first(path, issues)
        raise DatasetError(f"{path}: {error}") from None
    if strict:
        _raise_first(path, issues)
    return examples


def has_boxes(path: str | Path, classes: ClassNames | None = None) -> bool:
    """Return whether a data set has boxes; if not, each image is one face.

    Raises:
        FileNotFoundError: `path` does not exist.
        DatasetError: it is not a data set.
    """
    path = Path(path)
    files, folder = open_dataset(path)
    classes = classes or ClassNames()
    try:
        return read_annotations(
            files, classes, Issues(), label_file_name(path, folder)
        ).has_boxes
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None


def open_dataset(source: Path | bytes) -> tuple[DatasetFiles, Path]:
    """Return the files of a data set and the folder that their names are relative to.

    Args:
        source: a folder, a zip, a label file, or the bytes of a zip.

    Raises:
        FileNotFoundError: the file or folder does not exist.
        DatasetError: it is a zip that cannot be read.
    """
    if isinstance(source, bytes):
        return DatasetFiles(ZipFiles(source)), Path()
    if not source.exists():
        raise FileNotFoundError(f"{source}: there is no such file or folder")
    is_folder = source.is_dir()
    if not is_folder and source.suffix.lower() == ".zip":
        return DatasetFiles(ZipFiles(source)), Path()
    folder = source if is_folder else source.parent
    is_json = not is_folder and source.suffix.lower() == ".json"
    if is_json and folder.name.lower() in _LABEL_FOLDERS:
        folder = folder.parent
    return DatasetFiles(FolderFiles(folder), folder.resolve().as_posix()), folder


def read_annotations(
    files: DatasetFiles,
    classes: ClassNames,
    issues: Issues,
    file: str = "",
    *,
    max_faces: int = MAX_FACES,
) -> DatasetAnnotations:
    """Read the annotations among some files in any supported format.

    Args:
        files: the files.
        classes: decides which folders name a class.
        issues: collects problems.
        file: read only this label file; if empty, the format is detected.
        max_faces: limit of faces in the data set.

    Raises:
        ClassesError: there are no labels and no folder names a class.
        DatasetError: the labels list no image or too many faces.
    """
    for title, reader in _detect_formats(files, classes, file):
        rows = tuple(limit_faces(reader(files, issues), max_faces))
        if not rows:
            reasons = "; ".join(issues.lines()) or "it lists no image"
            raise DatasetError(f"no labelled image found: {reasons}")
        annotations = DatasetAnnotations(title, rows, title not in ("index", "folders"))
        if not file:
            _note_unlisted(annotations, files, issues)
        return annotations
    folders = Counter(PurePosixPath(item).parent.name for item in files.images)
    name_counts = {
        item: n
        for item, n in folders.items()
        if item and item not in _NON_CLASS_FOLDERS
    }
    raise ClassesError(_no_dataset_message(files, name_counts), name_counts)


def map_class_names(
    rows: Iterable[ImageAnnotations], classes: ClassNames, issues: Issues
) -> dict[str, Label | None]:
    """Return the class of each name in a data set; None if its boxes are discarded.

    Args:
        rows: of the data set.
        classes: the mapping.
        issues: collects unknown and ignored names.
    """
    labels: dict[str, Label | None] = {IGNORED_NAME: Label.UNKNOWN}
    unknown: list[str] = []
    first_file = {}
    for row in rows:
        for name in row.class_names:
            if name not in labels:
                labels[name] = classes.label(name)
                first_file[name] = row.label_file or row.image
            target = classes.target(name) if name != IGNORED_NAME else ""
            if target == IGNORE:
                issues.add(name, "ignored class", "face", is_error=False)
            elif name != IGNORED_NAME and not target:
                unknown.append(name)
    names = list(dict.fromkeys(unknown))
    for name in unknown:
        issues.add(
            name,
            "unknown class",
            "face",
            outcome="ignored",
            hint=f"first in {truncate_name(first_file[names[0]])}; "
            + format_classes_hint(map(truncate_name, names)),
        )
    return labels


def _detect_formats(
    files: DatasetFiles, classes: ClassNames, file: str
) -> Iterator[tuple[str, _Reader]]:
    """Yield the names and readers of the matching formats, the best first."""
    if file:
        yield _format_from_suffix(file)
        return
    csv_files = files.files_with_suffix(".csv")
    indexes = [
        item for item in csv_files if PurePosixPath(item).name.lower() == INDEX_FILE
    ]
    if indexes:
        yield "index", partial(_read_each, indexes, read_index)
    has_names = has_class_names(files)
    if has_names and has_labels(files):
        yield "YOLO", read_yolo
    if coco_files := _readable_files(read_coco_tables, files, ".json"):
        yield "COCO", partial(_read_each, coco_files, read_coco)
    xml_files = files.files_with_suffix(".xml")
    if any(is_voc(files.read_bytes(item)) for item in xml_files):
        yield "VOC", lambda files, issues: read_voc(files, xml_files, issues)
    if has_class_folders(files, classes):
        yield (
            "folders",
            lambda files, issues: read_class_folders(files, issues, classes),
        )
    if index_tables := _readable_files(read_index_table, files, ".csv"):
        yield "index", partial(_read_each, index_tables, read_index)
    if files.images and (has_names or has_labels(files, without_names=True)):
        # Probably images without faces, or classes without names.
        yield "YOLO", read_yolo


def _read_each(
    names: Iterable[str],
    reader: Callable[[DatasetFiles, str, Issues], Iterable[ImageAnnotations]],
    files: DatasetFiles,
    issues: Issues,
) -> Iterator[ImageAnnotations]:
    for name in names:
        yield from reader(files, name, issues)


def _format_from_suffix(file: str) -> tuple[str, _Reader]:
    suffix = PurePosixPath(file).suffix.lower()
    if suffix == ".csv":
        return "index", lambda files, issues: read_index(files, file, issues)
    if suffix == ".json":
        return "COCO", lambda files, issues: read_coco(files, file, issues)
    if suffix == ".xml":
        return "VOC", lambda files, issues: read_voc(files, [file], issues)
    if suffix in (".yaml", ".yml", ".data"):
        return "YOLO", lambda files, issues: read_yolo(files, issues, file)
    raise DatasetError(f"not a data set; supported are {SUPPORTED_FORMATS}")


def _read_error(
    read: Callable[[DatasetFiles, str], object], files: DatasetFiles, name: str
) -> str:
    """Return why a reader rejects a file; empty if it accepts it."""
    try:
        read(files, name)
    except DatasetError as error:
        return str(error)
    return ""


def _readable_files(
    read: Callable[[DatasetFiles, str], object], files: DatasetFiles, suffix: str
) -> list[str]:
    return [
        name
        for name in files.files_with_suffix(suffix)
        if not _read_error(read, files, name)
    ]


def _no_dataset_message(files: DatasetFiles, folders: Mapping[str, int]) -> str:
    summary = "no labels found" if files.images else "no image found"
    if folders:
        names = [truncate_name(name) for name in sorted(folders)[:3]]
        summary += (
            f" (if the folders {', '.join(names)} are classes, map them, as in "
            f'--classes "{names[0]}={CLASS_TARGETS[0]}")'
        )
    reasons = [summary, *_find_format_errors(files)]
    return f"not a data set: {'; '.join(reasons)}; supported are {SUPPORTED_FORMATS}"


def _find_format_errors(files: DatasetFiles) -> Iterator[str]:
    """Yield the error of the first file of each kind that could contain labels."""
    readers: Mapping[tuple[str, ...], Callable[[DatasetFiles, str], object]] = {
        (".json",): read_coco_tables,
        (".yaml", ".yml"): read_data_file,
        (".csv",): read_index_table,
    }
    for suffixes, read in readers.items():
        for name in files.files_with_suffix(*suffixes)[:1]:
            if error := _read_error(read, files, name):
                yield error


def _note_unlisted(
    annotations: DatasetAnnotations, files: DatasetFiles, issues: Issues
) -> None:
    """Note the images without a label."""
    if annotations.format == "folders":
        return
    listed = {row.image for row in annotations.images}
    for image in files.images:
        if image not in listed:
            note = "no valid label; left out"
            issues.add(image, note, is_error=False)


def label_file_name(path: Path, folder: Path) -> str:
    """Return the name of the label file of a path; empty for a whole data set."""
    is_whole_set = path.is_dir() or path.suffix.lower() == ".zip"
    return "" if is_whole_set else path.relative_to(folder).as_posix()


def _raise_first(path: Path, issues: Issues) -> None:
    """Raise the first error, if there is one."""
    lines = issues.errors()
    if not lines:
        return
    more = f"; {len(lines) - 1} more: see maskdet data" if len(lines) > 1 else ""
    line = f"{path}: {lines[0]}{more}"
    raise FileNotFoundError(line) if issues.missing else DatasetError(line)


def _to_examples(
    annotations: DatasetAnnotations,
    files: DatasetFiles,
    classes: ClassNames,
    issues: Issues,
    folder: Path,
) -> Iterator[Example]:
    labels = map_class_names(annotations.images, classes, issues)
    conversions: Iterable[PixelBoxes | None] = (
        convert_to_pixels(annotations.images, files.source, issues)
        if annotations.has_boxes
        else [None] * len(annotations.images)
    )
    source = folder.resolve().name
    for row, pixel_boxes in zip(annotations.images, conversions, strict=True):
        row_labels = [labels[name] for name in row.class_names]
        path = folder / row.image
        metadata = (
            row.source if row.source is not None else source,
            row.split,
            row.group,
        )
        if pixel_boxes is None:
            if row_labels[0] in CLASSES:
                yield Example(path, empty_boxes(), (row_labels[0],), *metadata)
            continue
        kept = [*itertools.compress(row_labels, pixel_boxes.kept)]
        is_labelled = np.array([label in CLASSES for label in kept], bool)
        is_unknown = np.array([label == Label.UNKNOWN for label in kept], bool)
        yield Example(
            path,
            pixel_boxes.boxes[is_labelled],
            tuple(label for label in kept if label in CLASSES),
            *metadata,
            pixel_boxes.boxes[is_unknown],
        )
