"""A path of any kind becomes a listing or examples: whatever is found there is read.

Boxes of labels become boxes in pixels of the upright image, or an issue.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, clip_boxes, sizes_px
from maskdet.datasets.archives import DatasetError, FileSource, FolderFiles, ZipFiles
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
    Coordinates,
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
from maskdet.datasets.voc import is_voc, read_voc
from maskdet.datasets.yolo import (
    has_class_names,
    has_labels,
    read_data_file,
    read_yolo,
)
from maskdet.media import MAX_BYTES, read_image
from maskdet.types import Label

_ORIENTATION: Final = 0x0112  # Exif 2.32, tag 274
_SWAPPED_ORIENTATIONS: Final = range(5, 9)  # values of it that swap width and height

_CLIP_TOLERANCE_PX: Final = 1.0
"""People draw boxes this far beyond an image's border without meaning anything."""

_FIT_TOLERANCE_PX: Final = 2.0
"""A box that sticks out this little still says in which frame it was drawn."""


_SIDEWAYS_RATIO: Final = 0.9
"""Height of a face's box for each pixel of its width, below which the face lies on its
side: upright, the medians of four public sets are 1.1 to 1.5."""


@dataclass(frozen=True)
class ImageSize:
    """How large an image is, upright, and how its EXIF data turn it for that.

    Attributes:
        width: in pixels of the upright image.
        height: in pixels of the upright image.
        orientation: 1 to 8 as in EXIF; 1 is upright as stored.
    """

    width: int
    height: int
    orientation: int = 1

    @property
    def upright_wh(self) -> tuple[int, int]:
        """Width and height as shown."""
        return self.width, self.height

    @property
    def stored_wh(self) -> tuple[int, int]:
        """Width and height of the pixels as they lie in the file."""
        return self.upright_wh[::-1] if self.is_rotated else self.upright_wh

    @property
    def is_rotated(self) -> bool:
        """Whether width and height are swapped to show it."""
        return self.orientation in _SWAPPED_ORIENTATIONS


@dataclass(frozen=True, eq=False)
class PixelBoxes:
    """The boxes of one image.

    Attributes:
        boxes: `(k, 4)` float32 in pixels of the upright image, cut at its borders.
        kept: `(n,)` which of the listed boxes these are.
    """

    boxes: Boxes
    kept: NDArray[np.bool_]


def read_image_size(files: FileSource, name: str) -> ImageSize | None:
    """Return the size of an image; of most, only the header is read."""
    from PIL import Image as Pillow

    path = files.local_path(name)
    try:
        source = path or io.BytesIO(files.read(name, MAX_BYTES))
        with Pillow.open(source, formats=["JPEG", "PNG", "WEBP"]) as image:
            size = ImageSize(*image.size, image.getexif().get(_ORIENTATION, 1))
    # Damaged headers make decoders raise nearly anything; all mean the same here.
    except Exception:
        return _decoded_size(files, name)
    return (
        ImageSize(*size.upright_wh[::-1], size.orientation) if size.is_rotated else size
    )


def _decoded_size(files: FileSource, name: str) -> ImageSize | None:
    """Return the size of an image of another format, which must be decoded for it."""
    try:
        height, width = read_image(files.read(name, MAX_BYTES)).shape[:2]
    except (ValueError, OSError):
        return None
    return ImageSize(width, height)


def convert_to_pixels(
    rows: Sequence[ImageAnnotations], files: FileSource, issues: Issues
) -> Iterator[PixelBoxes]:
    """Return the boxes of each row in pixels of its upright image.

    Pixels are those of the size that the labels tell, so the image must have it. A
    camera that was held on its side stores width and height swapped and notes how to
    turn the image; some tools draw on the upright image but tell the stored size,
    others draw on the stored one. Where boxes fit only one of the two, that counts,
    also for the other images of the set. Where nothing tells, faces that are wider than
    high were drawn on the stored image, all others on the upright one.

    Args:
        rows: with boxes.
        files: where the images are.
        issues: get sizes that differ, and boxes that are cut or lie outside.
    """
    sizes = [
        read_image_size(files, row.image) if len(row.boxes) else None for row in rows
    ]
    frames = [_detect_frame(row, size) for row, size in zip(rows, sizes, strict=True)]
    known_frames = {"stored", "upright"} & set(frames)
    all_stored = known_frames == {"stored"} or (
        not known_frames and _are_faces_sideways(rows, frames)
    )
    for row, size, frame in zip(rows, sizes, frames, strict=True):
        stored = frame == "stored" or (all_stored and frame in ("open", "follows"))
        image_size_used = size or (
            ImageSize(*row.size_wh) if all(row.size_wh) else None
        )
        if image_size_used is None or not len(row.boxes):
            # Whoever opens the image is told; it has no pixels to place a box in.
            yield PixelBoxes(
                np.zeros((0, 4), np.float32), np.zeros(len(row.boxes), bool)
            )
            continue
        if size is not None:
            _add_size_issue(row, size, frame, issues, stored=stored)
        with np.errstate(over="ignore", invalid="ignore"):
            boxes = (
                row.boxes * ([*image_size_used.upright_wh] * 2)
                if row.is_normalized
                else row.boxes
            )
            boxes = _rotate_boxes(boxes, image_size_used) if stored else boxes
            yield _clip_boxes(
                boxes.astype(np.float32), image_size_used.upright_wh, row, issues
            )


def _detect_frame(row: ImageAnnotations, size: ImageSize | None) -> str:
    """Return in which frame the boxes were drawn: `fits_upright`, `fits_stored` or `open`.

    `follows` where the size cannot tell, but the set may; empty where there is no
    question.
    """
    if size is None or size.orientation == 1 or row.is_normalized:
        return ""
    if not size.is_rotated or size.stored_wh == size.upright_wh:
        return "follows" if row.size_wh in ((0, 0), size.upright_wh) else ""
    if row.size_wh not in ((0, 0), size.stored_wh):
        return ""
    fits_upright, fits_stored = (
        _boxes_fit(row.boxes, wh) for wh in (size.upright_wh, size.stored_wh)
    )
    if fits_upright == fits_stored:
        return "open"
    return "upright" if fits_upright else "stored"


def _are_faces_sideways(
    rows: Sequence[ImageAnnotations], frames: Sequence[str]
) -> bool:
    """Return whether faces of which nothing else tells the frame lie on their sides."""
    boxes = [
        row.boxes for row, frame in zip(rows, frames, strict=True) if frame == "open"
    ]
    if not boxes:
        return False
    sides = np.concatenate(boxes)[:, 2:] - np.concatenate(boxes)[:, :2]
    sides = sides[(sides > 0).all(axis=1)]
    return (
        bool(len(sides))
        and float(np.median(sides[:, 1] / sides[:, 0])) < _SIDEWAYS_RATIO
    )


def _boxes_fit(boxes: Coordinates, size_wh: tuple[int, int]) -> bool:
    limits = np.array([*size_wh]) + _FIT_TOLERANCE_PX
    return bool((boxes[:, 2:] <= limits).all())


def _add_size_issue(
    row: ImageAnnotations, size: ImageSize, frame: str, issues: Issues, *, stored: bool
) -> None:
    """Note what a person should know of the size, and what is wrong with it."""
    if stored:
        note = "boxes were drawn before the EXIF turn of the image; turned with it"
        issues.add(row.image, note, is_error=False)
    elif size.is_rotated and (frame or row.is_normalized):
        note = "turned by EXIF; boxes are taken as drawn on the upright image"
        issues.add(row.image, note, is_error=False)
    elif row.size_wh in ((0, 0), size.upright_wh):
        return
    elif row.size_wh == size.upright_wh[::-1]:
        note = "the labels swap width and height; boxes are taken as they are"
        issues.add(row.image, note, is_error=False)
    else:
        (width, height), (listed_width, listed_height) = size.upright_wh, row.size_wh
        issues.add(
            f"{row.image}: {width} x {height}, told {listed_width} x {listed_height}",
            "another size than the labels say, so boxes may lie wrong; give the images "
            "that were labelled or, if the boxes fit, take the size out of the labels",
            outcome="",
        )


def _rotate_boxes(boxes: Coordinates, size: ImageSize) -> Coordinates:
    """Return boxes of the stored image in the upright one (Exif 2.32, tag 274)."""
    width, height = size.stored_wh
    x1, y1, x2, y2 = boxes.T
    flips = {2: (1, 0), 3: (1, 1), 4: (0, 1), 6: (0, 1), 7: (1, 1), 8: (1, 0)}
    flip_x, flip_y = flips.get(size.orientation, (0, 0))
    if flip_x:
        x1, x2 = width - x2, width - x1
    if flip_y:
        y1, y2 = height - y2, height - y1
    return np.stack((y1, x1, y2, x2) if size.is_rotated else (x1, y1, x2, y2), axis=1)


def _clip_boxes(
    boxes: Boxes, size_wh: tuple[int, int], row: ImageAnnotations, issues: Issues
) -> PixelBoxes:
    """Return the boxes cut at the borders, and which are left then."""
    clipped = clip_boxes(boxes, *size_wh)
    # Written so that a box which is not a number fails too.
    kept = sizes_px(clipped) > 0
    is_clipped = kept & ~(np.abs(boxes - clipped) <= _CLIP_TOLERANCE_PX).all(axis=1)
    location = (
        row.image
        if row.label_file in ("", row.image)
        else f"{row.label_file}: {row.image}"
    )
    for _ in range(int((~kept).sum())):
        issues.add(location, "empty or outside the image", "box")
    for _ in range(int(is_clipped.sum())):
        note = "partly outside the image; cut at its border"
        issues.add(location, note, "box", is_error=False)
    return PixelBoxes(clipped[kept], kept)


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
