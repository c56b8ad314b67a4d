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
    IGNORE,
    TARGETS,
    ClassNames,
    suggest_classes,
)
from maskdet.datasets.coco import coco_rows, coco_tables
from maskdet.datasets.examples import SPLITS, Example, no_boxes
from maskdet.datasets.folders import (
    INDEX,
    folder_rows,
    index_rows,
    index_table,
    names_a_class,
)
from maskdet.datasets.issues import Issues, shortened
from maskdet.datasets.listing import (
    IGNORED,
    MAX_FACES,
    Listed,
    Listing,
    SetFiles,
    limited,
)
from maskdet.datasets.placing import Placed, place
from maskdet.datasets.voc import is_voc, voc_rows
from maskdet.datasets.yolo import (
    has_labels,
    names_classes,
    read_data_file,
    yolo_rows,
)
from maskdet.types import Label

UNDERSTOOD: Final = (
    "index.csv (path, label), COCO (.json), Pascal VOC (.xml), YOLO (data.yaml, or "
    "images/ and labels/ with classes.txt), a folder for each class (mask/, no_mask/)"
)
"""What `read_any` can read, for people."""

_NO_CLASSES: Final = ("images", "JPEGImages", *SPLITS, "valid")
"""Folders of images that never name a class."""

_ABOVE: Final = ("annotations", "labels")
"""Folders that lie beside the images of a set."""


class ClassesError(DatasetError):
    """A set in which no class is known; the message is one line.

    Attributes:
        words: how many faces carry each of its names of classes.
    """

    def __init__(self, message: str, words: Mapping[str, int]) -> None:
        """Keep the names, so that a person can say what they mean."""
        super().__init__(message)
        self.words = dict(words)


_Reader = Callable[[SetFiles, Issues], Iterable[Listed]]


def read_any(
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
    files, folder = open_set(path)
    try:
        listed = read_listing(files, classes, issues, label_file(path, folder))
        examples = list(_examples(listed, files, classes, issues, folder))
    except DatasetError as error:
        if strict:  # what was collected before says better why nothing is left
            _raise_first(path, issues)
        raise DatasetError(f"{path}: {error}") from None
    if strict:
        _raise_first(path, issues)
    return examples


def is_boxed(path: str | Path, classes: ClassNames | None = None) -> bool:
    """Return whether a set has boxes; without, each image is one face.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        DatasetError: it is no set.
    """
    path = Path(path)
    files, folder = open_set(path)
    classes = classes or ClassNames()
    try:
        return read_listing(files, classes, Issues(), label_file(path, folder)).boxed
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None


def open_set(source: Path | bytes) -> tuple[SetFiles, Path]:
    """Return the files of a set, and the folder that their names are relative to.

    Args:
        source: a folder, a zip, a label file, or the bytes of a zip.

    Raises:
        FileNotFoundError: there is no such file or folder.
        DatasetError: it is a zip that cannot be read.
    """
    if isinstance(source, bytes):
        return SetFiles(ZipFiles(source)), Path()
    if not source.exists():
        raise FileNotFoundError(f"{source}: there is no such file or folder")
    if source.is_dir():
        return SetFiles(FolderFiles(source), _whole(source)), source
    if source.suffix.lower() == ".zip":
        return SetFiles(ZipFiles(source)), Path()
    folder = source.parent
    if folder.name.lower() in _ABOVE and source.suffix.lower() == ".json":
        folder = folder.parent
    return SetFiles(FolderFiles(folder), _whole(folder)), folder


def read_listing(
    files: SetFiles,
    classes: ClassNames,
    issues: Issues,
    file: str = "",
    *,
    most: int = MAX_FACES,
) -> Listing:
    """Return what the labels among some files say, whichever format they have.

    Args:
        files: the files.
        classes: which folders name a class.
        issues: get what is wrong.
        file: only what this label file says; without it, the format is found out.
        most: faces that the set may hold.

    Raises:
        ClassesError: there is no label of any format, and no folder names a class.
        DatasetError: the labels hold no image, or too many faces.
    """
    for title, reader in _formats(files, classes, file):
        rows = tuple(limited(reader(files, issues), most))
        if not rows:
            reasons = "; ".join(issues.lines()) or "it lists no image"
            raise DatasetError(f"no labelled image found: {reasons}")
        listing = Listing(title, rows, title not in ("index", "folders"))
        if not file:
            _tell_unlisted(listing, files, issues)
        return listing
    folders = Counter(PurePosixPath(item).parent.name for item in files.images)
    names = {item: n for item, n in folders.items() if item and item not in _NO_CLASSES}
    raise ClassesError(_not_a_set(files, names), names)


def labels_of(
    rows: Iterable[Listed], classes: ClassNames, issues: Issues
) -> dict[str, Label | None]:
    """Return what each word of a set means; None means that its boxes are not there.

    Args:
        rows: of the set.
        classes: what the names mean.
        issues: get the names that are not known, and those that do not count.
    """
    labels: dict[str, Label | None] = {IGNORED: Label.UNKNOWN}
    unknown: list[str] = []
    first = {}
    for row in rows:
        for word in row.words:
            if word not in labels:
                labels[word] = classes.label(word)
                first[word] = row.labels or row.image
            target = classes.target(word) if word != IGNORED else ""
            if target == IGNORE:
                issues.add(word, "a class that does not count", "face", stops=False)
            elif word != IGNORED and not target:
                unknown.append(word)
    names = list(dict.fromkeys(unknown))
    for word in unknown:
        issues.add(
            word,
            "unknown class",
            "face",
            outcome="neither right nor wrong",
            hint=f"first in {shortened(first[names[0]])}; "
            + suggest_classes(map(shortened, names)),
        )
    return labels


def _formats(
    files: SetFiles, classes: ClassNames, file: str
) -> Iterator[tuple[str, _Reader]]:
    """Yield the readers that fit, the first one is it."""
    if file:
        yield _format_of(file)
        return
    csvs = files.ending(".csv")
    indexes = [item for item in csvs if PurePosixPath(item).name.lower() == INDEX]
    if indexes:
        yield "index", partial(_each, indexes, index_rows)
    named = names_classes(files)
    if named and has_labels(files):
        yield "YOLO", yolo_rows
    if cocos := _readable(coco_tables, files, ".json"):
        yield "COCO", partial(_each, cocos, coco_rows)
    xmls = files.ending(".xml")
    if any(is_voc(files.content(item)) for item in xmls):
        yield "VOC", lambda files, issues: voc_rows(files, xmls, issues)
    if names_a_class(files, classes):
        yield "folders", lambda files, issues: folder_rows(files, issues, classes)
    if tables := _readable(index_table, files, ".csv"):
        yield "index", partial(_each, tables, index_rows)
    if files.images and (named or has_labels(files, unnamed=True)):
        # Of images without a face, as it seems, or of classes that only have numbers.
        yield "YOLO", yolo_rows


def _each(
    names: Iterable[str],
    reader: Callable[[SetFiles, str, Issues], Iterable[Listed]],
    files: SetFiles,
    issues: Issues,
) -> Iterator[Listed]:
    for name in names:
        yield from reader(files, name, issues)


def _format_of(file: str) -> tuple[str, _Reader]:
    suffix = PurePosixPath(file).suffix.lower()
    if suffix == ".csv":
        return "index", lambda files, issues: index_rows(files, file, issues)
    if suffix == ".json":
        return "COCO", lambda files, issues: coco_rows(files, file, issues)
    if suffix == ".xml":
        return "VOC", lambda files, issues: voc_rows(files, [file], issues)
    if suffix in (".yaml", ".yml", ".data"):
        return "YOLO", lambda files, issues: yolo_rows(files, issues, file)
    raise DatasetError(f"not a data set; understood are {UNDERSTOOD}")


def _whole(folder: Path) -> str:
    return folder.resolve().as_posix()


def _trouble(
    read: Callable[[SetFiles, str], object], files: SetFiles, name: str
) -> str:
    """Return why a file is not what a reader wants; empty if it is."""
    try:
        read(files, name)
    except DatasetError as error:
        return str(error)
    return ""


def _readable(
    read: Callable[[SetFiles, str], object], files: SetFiles, end: str
) -> list[str]:
    return [name for name in files.ending(end) if not _trouble(read, files, name)]


def _not_a_set(files: SetFiles, folders: Mapping[str, int]) -> str:
    seen = "no labels found" if files.images else "no image found"
    if folders:
        names = [shortened(name) for name in sorted(folders)[:3]]
        seen += (
            f" (if the folders {', '.join(names)} are classes, say which, as in "
            f'--classes "{names[0]}={TARGETS[0]}")'
        )
    reasons = [seen, *_why_not(files)]
    return f"not a data set: {'; '.join(reasons)}; understood are {UNDERSTOOD}"


def _why_not(files: SetFiles) -> Iterator[str]:
    """Yield what is wrong with the first file of each kind that could hold labels."""
    readers: Mapping[tuple[str, ...], Callable[[SetFiles, str], object]] = {
        (".json",): coco_tables,
        (".yaml", ".yml"): read_data_file,
        (".csv",): index_table,
    }
    for ends, read in readers.items():
        for name in files.ending(*ends)[:1]:
            if trouble := _trouble(read, files, name):
                yield trouble


def _tell_unlisted(listing: Listing, files: SetFiles, issues: Issues) -> None:
    """Note the images of a folder that no label names."""
    if listing.format == "folders":
        return
    listed = {row.image for row in listing.rows}
    for image in files.images:
        if image not in listed:
            note = "no label names it, or only a broken one; left out"
            issues.add(image, note, stops=False)


def label_file(path: Path, folder: Path) -> str:
    """Return the label file that a path names, or nothing for all of a set."""
    whole = path.is_dir() or path.suffix.lower() == ".zip"
    return "" if whole else path.relative_to(folder).as_posix()


def _raise_first(path: Path, issues: Issues) -> None:
    """Raise what stops a strict reader, if anything does."""
    lines = issues.stopping()
    if not lines:
        return
    more = f"; {len(lines) - 1} more: see maskdet data" if len(lines) > 1 else ""
    line = f"{path}: {lines[0]}{more}"
    raise FileNotFoundError(line) if issues.missing else DatasetError(line)


def _examples(
    listed: Listing, files: SetFiles, classes: ClassNames, issues: Issues, folder: Path
) -> Iterator[Example]:
    labels = labels_of(listed.rows, classes, issues)
    places: Iterable[Placed | None] = (
        place(listed.rows, files.source, issues)
        if listed.boxed
        else [None] * len(listed.rows)
    )
    source = folder.resolve().name
    for row, placed in zip(listed.rows, places, strict=True):
        known = [labels[word] for word in row.words]
        path = folder / row.image
        about = (row.source if row.source is not None else source, row.split, row.group)
        if placed is None:
            label = known[0]
            if label not in (None, Label.UNKNOWN):
                yield Example(path, no_boxes(), (label,), *about)
            continue
        known = [item for item, kept in zip(known, placed.kept, strict=True) if kept]
        counts = np.array([item not in (None, Label.UNKNOWN) for item in known], bool)
        unknown = np.array([item == Label.UNKNOWN for item in known], bool)
        yield Example(
            path,
            placed.boxes[counts],
            tuple(item for item in known if item not in (None, Label.UNKNOWN)),
            *about,
            placed.boxes[unknown],
        )
