"""Read YOLO: one text file per image, with class numbers and normalized boxes.

Ultralytics and Roboflow use a `data.yaml`, Darknet an `obj.data`; labelling tools
write only a `classes.txt`.
"""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Final

import cv2
import numpy as np

from maskdet.datasets.archives import DatasetError
from maskdet.datasets.example import SPLITS, split_from_name
from maskdet.datasets.files import (
    Coordinates,
    DatasetFiles,
    ImageAnnotations,
    augmentation_group,
    split_from_path,
    stack_boxes,
)
from maskdet.datasets.issues import Issues, truncate_name

_IMAGES_FOLDER, _LABELS_FOLDER = "images", "labels"
_YAML_SUFFIXES: Final = (".yaml", ".yml")
_CLASS_LISTS: Final = ("classes.txt", "obj.names", "_darknet.labels")
_CLASS_LIST_SUFFIXES: Final = (*_CLASS_LISTS, ".names")
_MAX_YAML_CHARS: Final = 100_000
_MAX_DATA_FILES: Final = 100

# Validation is called `val`, by one labelling service also `valid`.
_SPLIT_KEYS: Final = {**{split: split for split in SPLITS}, "valid": "val"}

_LINE_FORMAT: Final = (
    "expected class cx cy w h in fractions of the image, optionally a confidence, or "
    "the corners of a polygon"
)
_ClassNameByNumber = Mapping[int, str]


@dataclass(frozen=True)
class YoloDataFile:
    """Content of a `data.yaml` or an `obj.data`.

    Attributes:
        name: of the file.
        class_names: class names by number; if empty, a class list next to the labels
            is used.
        splits: folders and lists of images, each with its split.
        root: the folder that they are relative to, besides that of the file.
        n_landmark_values: how many numbers of landmarks follow the box in each line.
    """

    name: str
    class_names: _ClassNameByNumber
    splits: tuple[tuple[str, str], ...] = ()
    root: str = ""
    n_landmark_values: int = 0

    @property
    def folder(self) -> str:
        """Folder of the file; empty at the top."""
        return posixpath.dirname(self.name)


def read_yolo(
    files: DatasetFiles, issues: Issues, data_file: str = ""
) -> Iterator[ImageAnnotations]:
    """Yield the images of a data set in the YOLO format.

    The labels of `images/a/b.jpg` are in `labels/a/b.txt`, or next to the image; an
    image without labels has no faces. Each line is `class cx cy w h`: the class number,
    then centre and size of the box as fractions of the upright image's width and height
    (Ultralytics, "Object detection datasets overview"), optionally with a confidence;
    or a class and the corners of a polygon, whose bounds are the box.

    Args:
        files: the files.
        issues: collects problems.
        data_file: read only the images of this file; if empty, the whole folder.

    Raises:
        DatasetError: the data file is broken.
    """
    data_files = _outermost_data_files(files)
    if data_file:
        data_files = [read_data_file(files, data_file)]
    else:
        _note_conflicts(data_files, files, issues)
    reader = _YoloReader(files, issues)
    for item in data_files or [YoloDataFile("", {})]:
        yield from reader.read(item)
    reader.note_orphans()


def has_class_names(files: DatasetFiles) -> bool:
    """Return whether there is a file with the class names of YOLO labels."""
    return bool(files.files_with_suffix(*_CLASS_LIST_SUFFIXES)) or bool(
        _outermost_data_files(files)
    )


def has_labels(files: DatasetFiles, *, without_names: bool = False) -> bool:
    """Return whether there is a label file, with or without its image.

    Args:
        files: the files.
        without_names: there are no class names, so only check the content of files.
    """
    reader = _YoloReader(files, Issues())
    return (not without_names and any(map(reader.label_file, files.images))) or any(
        _is_label_text(files, name) for name in files.files_with_suffix(".txt")
    )


def read_data_file(files: DatasetFiles, name: str) -> YoloDataFile:
    """Read a data file.

    Raises:
        DatasetError: it is broken or has no class names.
    """
    if not name.lower().endswith(_YAML_SUFFIXES):
        return _read_darknet(files, name)
    values = _parse_yaml(files.read_text(name), name)
    return YoloDataFile(
        name,
        _parse_class_names(values.get("names"), name),
        tuple(
            (path, split)
            for key, split in _SPLIT_KEYS.items()
            for path in _to_paths(values.get(key))
        ),
        values["path"] if isinstance(values.get("path"), str) else "",
        _count_landmark_values(values.get("kpt_shape")),
    )


class _YoloReader:
    """Reads the images of data files and tracks which label files were used."""

    def __init__(self, files: DatasetFiles, issues: Issues) -> None:
        self._files = files
        self._issues = issues
        self._image_by_label_file: dict[str, str] = {}

    def read(self, data_file: YoloDataFile) -> Iterator[ImageAnnotations]:
        """Yield the images that a data file lists, or all if it lists none."""
        n_landmarks = data_file.n_landmark_values
        for image, split in self._images(data_file):
            labels = self.label_file(image)
            row = ImageAnnotations(image, split=split, group=augmentation_group(image))
            if not labels:
                note = "treated as an image without faces"
                noun = "image without a label file"
                self._issues.add(image, note, noun, is_error=False)
                yield row
                continue
            other = self._image_by_label_file.setdefault(labels, image)
            if other != image:
                note = "same label file as another image of this name"
                self._issues.add(image, note, is_error=False)
            try:
                class_numbers, boxes = _parse_labels(
                    self._files.read_text(labels), labels, n_landmarks
                )
            except DatasetError as error:
                name, _, reason = str(error).partition(": ")
                self._issues.add(name, reason, "label file")
                continue
            class_names = data_file.class_names or self._nearest_class_list(labels)
            yield dataclasses.replace(
                row,
                class_names=tuple(
                    class_names.get(class_number, f"class {class_number}")
                    for class_number in class_numbers
                ),
                boxes=boxes,
                is_normalized=True,
                label_file=labels,
            )

    def note_orphans(self) -> None:
        """Report label files without an image; some images may be missing."""
        for image in self._files.images:
            if labels := self.label_file(image):
                self._image_by_label_file.setdefault(labels, image)
        for name in self._files.files_with_suffix(".txt"):
            if name not in self._image_by_label_file and _is_label_text(
                self._files, name
            ):
                reason = "no image; the image of a.txt must be called a.jpg or similar"
                self._issues.add(name, reason, "label file", missing=True)

    def _images(self, data_file: YoloDataFile) -> Iterator[tuple[str, str]]:
        has_split = False
        missing = []
        for location, split in data_file.splits:
            images = self._images_in(data_file, location)
            if images is None:
                missing.append(location)
                continue
            has_split = True
            yield from ((image, split) for image in images)
        for location in missing:
            self._issues.add(
                f"{data_file.name}: {location}",
                "not found; was this split exported?" if has_split else "not found",
                "folder of a split",
                is_error=not has_split,
                missing=True,
                outcome="all images below are read",
            )
        if not has_split:
            yield from (
                (item, split_from_path(item))
                for item in self._files.images_in(data_file.folder)
            )

    def _images_in(
        self, data_file: YoloDataFile, location: str
    ) -> Sequence[str] | None:
        """Return the images of a folder, or of a text file with one image per line."""
        for name in _candidate_paths(data_file, location):
            if name.endswith(".txt"):
                if self._files.source.exists(name):
                    return self._read_image_list(name)
            elif images := self._files.images_in(name):
                return images
        return None

    def _read_image_list(self, file: str) -> Sequence[str]:
        folders = [posixpath.dirname(file)]
        lines = map(str.strip, self._files.read_text(file).splitlines())
        images = [
            self._files.find_listed_image(line, folders, file, self._issues)
            for line in lines
            if line
        ]
        return [image for image in images if image]

    def label_file(self, image: str) -> str:
        """Return the label file of an image, in `labels/` or next to it.

        Some tools keep the suffix of the image (`a.jpg.txt`), some write `.TXT`.
        """
        path = PurePosixPath(image)
        candidates = [path]
        positions = [
            index
            for index, part in enumerate(path.parts)
            if part.lower() == _IMAGES_FOLDER
        ]
        if positions:
            parts = path.parts
            candidates.insert(
                0,
                PurePosixPath(
                    *parts[: positions[-1]], _LABELS_FOLDER, *parts[positions[-1] + 1 :]
                ),
            )
        names = [str(item.with_suffix(".txt")) for item in candidates]
        names += [f"{item}.txt" for item in candidates]
        return next(filter(None, map(self._files.find_file, names)), "")

    def _nearest_class_list(self, labels: str) -> _ClassNameByNumber:
        """Return the class list in the nearest parent folder of a label file."""
        folder = posixpath.dirname(labels)
        while True:
            for candidate_folder in (folder, posixpath.join(folder, _LABELS_FOLDER)):
                if candidate_folder in self._class_lists:
                    return self._class_lists[candidate_folder]
            if not folder:
                return next(iter(self._class_lists.values()), {})
            folder = posixpath.dirname(folder)

    @cached_property
    def _class_lists(self) -> Mapping[str, _ClassNameByNumber]:
        lists: dict[str, _ClassNameByNumber] = {}
        for name in self._files.files_with_suffix(*_CLASS_LIST_SUFFIXES):
            lists.setdefault(
                posixpath.dirname(name), _read_class_list(self._files, name)
            )
        return lists


def _outermost_data_files(files: DatasetFiles) -> list[YoloDataFile]:
    """Return the data files with class names, except those nested below another."""
    kept: list[YoloDataFile] = []
    for name in files.files_with_suffix(*_YAML_SUFFIXES, ".data")[:_MAX_DATA_FILES]:
        try:
            item = read_data_file(files, name)
        except DatasetError:
            continue  # settings of another tool
        is_nested = any(
            f"{item.folder}/".startswith(f"{outer.folder}/") or not outer.folder
            for outer in kept
        )
        if not is_nested:
            kept.append(item)
    return kept


def _note_conflicts(
    data_files: Sequence[YoloDataFile], files: DatasetFiles, issues: Issues
) -> None:
    """Report data files next to the selected ones that have other class names."""
    names_by_folder = {item.folder: item.class_names for item in data_files}
    for name in files.files_with_suffix(*_YAML_SUFFIXES)[:_MAX_DATA_FILES]:
        if posixpath.dirname(name) in names_by_folder:
            with suppress(DatasetError):
                if (
                    read_data_file(files, name).class_names
                    != names_by_folder[posixpath.dirname(name)]
                ):
                    reason = "other class names than the file next to it; pass one file"
                    issues.add(name, reason, "data file", outcome="not read")


def _parse_yaml(text: str, name: str) -> dict[str, Any]:
    import yaml

    short_name = truncate_name(name)
    if len(text) > _MAX_YAML_CHARS:
        raise DatasetError(
            f"{short_name}: rejected: larger than {_MAX_YAML_CHARS / 1e3:g} kB"
        )
    try:
        # Every scalar stays text: `no` is a name, not False.
        values = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        location = f", line {mark.line + 1}" if mark else ""
        raise DatasetError(f"{short_name}{location}: not valid YAML") from None
    if not isinstance(values, dict):
        raise DatasetError(
            f"{short_name}: invalid, expected lines such as names: [mask]"
        )
    return values


def _parse_class_names(names: object, name: str) -> _ClassNameByNumber:
    """Return the class names of a YAML file by number."""
    short_name = truncate_name(name)
    if isinstance(names, list) and names:
        class_names = dict(enumerate(names))
    elif isinstance(names, dict) and names:
        if not all(isinstance(key, str) and key.isdecimal() for key in names):
            raise DatasetError(
                f"{short_name}: names must be a list, or numbered from 0"
            )
        class_names = {int(key): class_name for key, class_name in names.items()}
    else:
        raise DatasetError(
            f"{short_name}: not a YOLO data file, expected names of the classes"
        )
    if not all(isinstance(class_name, str) for class_name in class_names.values()):
        raise DatasetError(f"{short_name}: names must be texts")
    return class_names


def _to_paths(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, str) and item]


def _count_landmark_values(shape: object) -> int:
    sides = shape if isinstance(shape, list) and len(shape) == 2 else []
    digits = [int(side) for side in sides if str(side).isdecimal()]
    return digits[0] * digits[1] if len(digits) == 2 else 0


def _read_darknet(files: DatasetFiles, name: str) -> YoloDataFile:
    """Read an `obj.data`; its paths are relative to another folder."""
    lines = (line.partition("=") for line in files.read_text(name).splitlines())
    values = {key.strip(): value.strip() for key, _, value in lines}
    folder = posixpath.dirname(name)
    for candidate in _candidate_paths(YoloDataFile(name, {}), values.get("names", "")):
        if candidate not in ("", folder) and files.source.exists(candidate):
            splits = tuple(
                (values[key], split)
                for key, split in _SPLIT_KEYS.items()
                if values.get(key)
            )
            return YoloDataFile(name, _read_class_list(files, candidate), splits)
    raise DatasetError(
        f"{truncate_name(name)}: not a Darknet data file: its names file is missing"
    )


def _candidate_paths(data_file: YoloDataFile, location: str) -> list[str]:
    """Return the candidate paths of a location that a data file lists.

    The location may be a path of another machine: suffixes of the path are candidates
    as long as they still contain the split.
    """
    location = location.replace("\\", "/").rstrip("/")
    bases = [posixpath.join(data_file.folder, data_file.root), data_file.folder]
    candidates = [posixpath.join(base, location) for base in bases]
    parts = [part for part in location.split("/") if part not in ("", ".", "..")]
    for start in range(len(parts)):
        if not any(split_from_name(part) for part in parts[:start]):
            candidates.append(posixpath.join(data_file.folder, *parts[start:]))
    return list(
        dict.fromkeys(posixpath.normpath(candidate) for candidate in candidates)
    )


def _read_class_list(files: DatasetFiles, name: str) -> _ClassNameByNumber:
    try:
        lines = files.read_text(name).splitlines()
    except DatasetError:
        return {}
    return {n: line.strip() for n, line in enumerate(lines) if line.strip()}


def _is_label_text(files: DatasetFiles, name: str) -> bool:
    """Return whether a text file contains labels; empty files in `labels/` count."""
    file_name = posixpath.basename(name).lower()
    if file_name in _CLASS_LISTS:
        return False
    try:
        text = files.read_text(name)
    except DatasetError:
        return False
    first_line = next((line for line in text.splitlines() if line.strip()), "")
    if not first_line:
        return _LABELS_FOLDER in name.lower().split("/")[:-1]
    try:
        return len([float(word) for word in first_line.split()]) > 4
    except ValueError:
        return False


def _parse_labels(
    text: str, name: str, n_landmarks: int = 0
) -> tuple[list[int], Coordinates]:
    """Return class numbers and `(n, 4)` corners in fractions of the image's sides."""
    class_numbers: list[int] = []
    boxes: list[Coordinates] = []
    for line_number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            class_number, *values = map(float, line.split())
            if class_number != int(class_number):
                raise ValueError
            box = _parse_box(values, n_landmarks)
        except (ValueError, OverflowError):
            location = f"{truncate_name(name)} line {line_number}"
            raise DatasetError(f"{location}: {_LINE_FORMAT}") from None
        class_numbers.append(int(class_number))
        boxes.append(box)
    return class_numbers, stack_boxes(boxes)


def _has_face_landmarks(values: Sequence[float]) -> bool:
    """Return whether numbers are a box and the five landmarks of a face.

    Face data sets have such lines without declaring it, and they are as long as
    polygons. Landmarks are inside the box; the centre of the box is among them (unlike
    a corner of a convex polygon), or its size is not a point close to them.
    """
    if len(values) not in (4 + 10, 4 + 15):
        return False
    landmarks = np.reshape(values[4:], (5, -1))[:, :2]
    centre, size = np.array(values[:2]), np.array(values[2:4])
    inside = np.abs(landmarks - centre) <= size / 2
    hull = cv2.convexHull(landmarks.astype(np.float32))
    is_centre_inside = (
        cv2.pointPolygonTest(hull, centre.tolist(), measureDist=False) > 0
    )
    is_size_outside = np.abs(size - centre) > np.ptp(landmarks, axis=0)
    return bool(inside.all() and (is_centre_inside or is_size_outside.any()))


def _parse_box(values: Sequence[float], n_landmarks: int) -> Coordinates:
    n = len(values)
    if (
        n in (4, 5)
        or (n_landmarks and n == 4 + n_landmarks)
        or _has_face_landmarks(values)
    ):
        cx, cy, width, height = values[:4]
        half_width, half_height = width / 2, height / 2
        return np.array(
            [cx - half_width, cy - half_height, cx + half_width, cy + half_height]
        )
    # An odd last number is a confidence after the polygon.
    points = np.array(values[: n - n % 2]).reshape(-1, 2)
    if len(points) < 3 or not ((points >= 0) & (points <= 1)).all():
        raise ValueError("not a polygon in fractions of the image")
    return np.concatenate([points.min(axis=0), points.max(axis=0)])
