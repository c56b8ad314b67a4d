"""A path of any kind becomes a listing or examples: whatever is found there is read."""

from __future__ import annotations

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
from maskdet.datasets.examples import SPLITS, Example, empty_boxes
from maskdet.datasets.folders import (
    INDEX_FILE,
    has_class_folders,
    read_class_folders,
    read_index,
    read_index_table,
)
from maskdet.datasets.issues import Issues, truncate_name
from maskdet.datasets.listing import (
    IGNORED_NAME,
    MAX_FACES,
    DatasetAnnotations,
    DatasetFiles,
    ImageAnnotations,
    limit_faces,
)
from maskdet.datasets.placing import PixelBoxes, convert_to_pixels
from maskdet.datasets.voc import is_voc, read_voc
from maskdet.datasets.yolo import (
    has_class_names,
    has_labels,
    read_data_file,
    read_yolo,
)
from maskdet.types import Label

SUPPORTED_FORMATS: Final = (
    "index.csv (path, label), COCO (.json), Pascal VOC (.xml), YOLO (data.yaml, or "
    "images/ and labels/ with classes.txt), a folder for each class (mask/, no_mask/)"
)
"""What `read_any` can read, for people."""

_NON_CLASS_FOLDERS: Final = ("images", "JPEGImages", *SPLITS, "valid")
"""Folders of images that never name a class."""

_LABEL_FOLDERS: Final = ("annotations", "labels")
"""Folders that lie beside the images of a set."""


class ClassesError(DatasetError):
    """A set in which no class is known; the message is one line.

    Attributes:
        name_counts: how many faces carry each of its names of classes.
    """

    def __init__(self, message: str, name_counts: Mapping[str, int]) -> None:
        """Keep the names, so that a person can say what they mean."""
        super().__init__(message)
        self.name_counts = dict(name_counts)


_Reader = Callable[[DatasetFiles, Issues], Iterable[ImageAnnotations]]


def read_dataset(
    path: str | Path,
    *,
    classes: ClassNames | None = None,
    issues: Issues | None = None,
    strict: bool = True,
) -> list[Example]:
    """Read a file or folder of labelled images, whichever format it has.

    In a folder, an `index.csv` counts first, then YOLO's names of classes, then COCO
    files, all together, then VOC's XML files, then a folder for each class.

    Args:
        path: the file or folder.
        classes: what the names of classes mean, where the usual words are not enough.
        issues: get everything that is wrong or doubtful.
        strict: raise the first issue after which something of the set is lost or
            wrong; else that is left out.

    Raises:
        FileNotFoundError: there is nothing at `path`, or a listed image is missing.
        DatasetError: none of the formats is there, or what is there is broken.
    """
    path = Path(path)
    issues = Issues() if issues is None else issues
    classes = classes or ClassNames()
    if path.suffix.lower() == ".zip" and path.is_file():
        raise DatasetError(f"{path}: unpack it first; here images are read many times")
    files, folder = open_dataset(path)
    try:
        annotations = read_annotations(
            files, classes, issues, label_file_name(path, folder)
        )
        examples = list(_to_examples(annotations, files, classes, issues, folder))
    except DatasetError as error:
        if strict:  # what was collected before says better why nothing is left
            _raise_first(path, issues)
        raise DatasetError(f"{path}: {error}") from None
    if strict:
        _raise_first(path, issues)
    return examples


def has_boxes(path: str | Path, classes: ClassNames | None = None) -> bool:
    """Return whether a set has boxes; without, each image is one face.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        DatasetError: it is no set.
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
    """Return the files of a set, and the folder that their names are relative to.

    Args:
        source: a folder, a zip, a label file, or the bytes of a zip.

    Raises:
        FileNotFoundError: there is no such file or folder.
        DatasetError: it is a zip that cannot be read.
    """
    if isinstance(source, bytes):
        return DatasetFiles(ZipFiles(source)), Path()
    if not source.exists():
        raise FileNotFoundError(f"{source}: there is no such file or folder")
    if source.is_dir():
        return DatasetFiles(FolderFiles(source), _absolute_path(source)), source
    if source.suffix.lower() == ".zip":
        return DatasetFiles(ZipFiles(source)), Path()
    folder = source.parent
    if folder.name.lower() in _LABEL_FOLDERS and source.suffix.lower() == ".json":
        folder = folder.parent
    return DatasetFiles(FolderFiles(folder), _absolute_path(folder)), folder


def read_annotations(
    files: DatasetFiles,
    classes: ClassNames,
    issues: Issues,
    file: str = "",
    *,
    max_faces: int = MAX_FACES,
) -> DatasetAnnotations:
    """Return what the labels among some files say, whichever format they have.

    Args:
        files: the files.
        classes: which folders name a class.
        issues: get what is wrong.
        file: only what this label file says; without it, the format is found out.
        max_faces: faces that the set may hold.

    Raises:
        ClassesError: there is no label of any format, and no folder names a class.
        DatasetError: the labels hold no image, or too many faces.
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
    """Return what each word of a set means; None means that its boxes are not there.

    Args:
        rows: of the set.
        classes: what the names mean.
        issues: get the names that are not known, and those that do not count.
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
                issues.add(name, "a class that does not count", "face", is_error=False)
            elif name != IGNORED_NAME and not target:
                unknown.append(name)
    names = list(dict.fromkeys(unknown))
    for name in unknown:
        issues.add(
            name,
            "unknown class",
            "face",
            outcome="neither right nor wrong",
            hint=f"first in {truncate_name(first_file[names[0]])}; "
            + format_classes_hint(map(truncate_name, names)),
        )
    return labels


def _detect_formats(
    files: DatasetFiles, classes: ClassNames, file: str
) -> Iterator[tuple[str, _Reader]]:
    """Yield the readers that fit, the first one is it."""
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
        # Of images without a face, as it seems, or of classes that only have numbers.
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
    raise DatasetError(f"not a data set; understood are {SUPPORTED_FORMATS}")


def _absolute_path(folder: Path) -> str:
    return folder.resolve().as_posix()


def _read_error(
    read: Callable[[DatasetFiles, str], object], files: DatasetFiles, name: str
) -> str:
    """Return why a file is not what a reader wants; empty if it is."""
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
            f" (if the folders {', '.join(names)} are classes, say which, as in "
            f'--classes "{names[0]}={CLASS_TARGETS[0]}")'
        )
    reasons = [summary, *_find_format_errors(files)]
    return f"not a data set: {'; '.join(reasons)}; understood are {SUPPORTED_FORMATS}"


def _find_format_errors(files: DatasetFiles) -> Iterator[str]:
    """Yield what is wrong with the first file of each kind that could hold labels."""
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
    """Note the images of a folder that no label names."""
    if annotations.format == "folders":
        return
    listed = {row.image for row in annotations.images}
    for image in files.images:
        if image not in listed:
            note = "no label names it, or only a broken one; left out"
            issues.add(image, note, is_error=False)


def label_file_name(path: Path, folder: Path) -> str:
    """Return the label file that a path names, or nothing for all of a set."""
    is_whole_set = path.is_dir() or path.suffix.lower() == ".zip"
    return "" if is_whole_set else path.relative_to(folder).as_posix()


def _raise_first(path: Path, issues: Issues) -> None:
    """Raise what stops a strict reader, if anything does."""
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
        image_labels = [labels[word] for word in row.class_names]
        path = folder / row.image
        metadata = (
            row.source if row.source is not None else source,
            row.split,
            row.group,
        )
        if pixel_boxes is None:
            label = image_labels[0]
            if label not in (None, Label.UNKNOWN):
                yield Example(path, empty_boxes(), (label,), *metadata)
            continue
        image_labels = [
            item
            for item, is_kept in zip(image_labels, pixel_boxes.kept, strict=True)
            if is_kept
        ]
        is_labelled = np.array(
            [item not in (None, Label.UNKNOWN) for item in image_labels], bool
        )
        is_unknown = np.array([item == Label.UNKNOWN for item in image_labels], bool)
        yield Example(
            path,
            pixel_boxes.boxes[is_labelled],
            tuple(item for item in image_labels if item not in (None, Label.UNKNOWN)),
            *metadata,
            pixel_boxes.boxes[is_unknown],
        )
