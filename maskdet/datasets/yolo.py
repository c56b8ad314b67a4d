"""YOLO: one text file an image, with class numbers and boxes as fractions of its size.

Ultralytics and Roboflow keep a `data.yaml`, Darknet an `obj.data`; labelling tools
write only a `classes.txt`.
"""

from __future__ import annotations

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
from maskdet.datasets.examples import SPLITS, split_from_name
from maskdet.datasets.issues import Issues, shortened
from maskdet.datasets.listing import (
    Coordinates,
    Listed,
    SetFiles,
    copies_group,
    no_coordinates,
    split_of,
)

_IMAGES, _LABELS = "images", "labels"
_YAMLS: Final = (".yaml", ".yml")
_CLASS_LISTS: Final = ("classes.txt", "obj.names", "_darknet.labels")
_NAMES_END: Final = (*_CLASS_LISTS, ".names")
_MAX_YAML: Final = 100_000
_MAX_DATA_FILES: Final = 100

# Data files call validation `val`; those of one labelling service also `valid`.
_SPLIT_KEYS: Final = {**{split: split for split in SPLITS}, "valid": "val"}

_LINE: Final = (
    "wanted class cx cy w h in fractions of the image, a confidence after them, or the "
    "corners of a polygon"
)
_Words = Mapping[int, str]


@dataclass(frozen=True)
class DataFile:
    """What a `data.yaml` or an `obj.data` says.

    Attributes:
        name: of the file.
        words: what it calls the classes, by their number; where it does not say, a
            class list beside the labels does.
        splits: the folders and lists of images, with the split that each is.
        root: the folder that they are relative to, besides that of the file.
        n_landmarks: numbers of each line after the box that tell landmarks.
    """

    name: str
    words: _Words
    splits: tuple[tuple[str, str], ...] = ()
    root: str = ""
    n_landmarks: int = 0

    @property
    def folder(self) -> str:
        """Where it lies; empty at the top."""
        return posixpath.dirname(self.name)


def yolo_rows(files: SetFiles, issues: Issues, data_file: str = "") -> Iterator[Listed]:
    """Return the images of a set in YOLO's format.

    The labels of `images/a/b.jpg` are in `labels/a/b.txt`, or beside the image; an
    image without is one without a face. Each line is `class cx cy w h`: a number of
    the class, then centre and size of the box as fractions of the upright image's width
    and height (Ultralytics, "Object detection datasets overview"), perhaps with a
    confidence; or a class and the corners of a polygon, whose bounds are the box.

    Args:
        files: the files.
        issues: get what is wrong.
        data_file: only what this file names; without it, the whole folder.

    Raises:
        DatasetError: the data file is broken.
    """
    data_files = _outermost(files)
    if data_file:
        data_files = [read_data_file(files, data_file)]
    else:
        _tell_rivals(data_files, files, issues)
    reader = _Reader(files, issues)
    for item in data_files or [DataFile("", {})]:
        yield from reader.rows(item)
    reader.tell_orphans()


def names_classes(files: SetFiles) -> bool:
    """Return whether there is a file that names the classes of YOLO's labels."""
    return bool(files.ending(*_NAMES_END)) or bool(_outermost(files))


def has_labels(files: SetFiles, *, unnamed: bool = False) -> bool:
    """Return whether there is a label file, of an image or of none.

    Args:
        files: the files.
        unnamed: nothing names the classes, so only what reads like labels counts.
    """
    reader = _Reader(files, Issues())
    return (not unnamed and any(map(reader.label_file, files.images))) or any(
        _is_label_text(files, name) for name in files.ending(".txt")
    )


def read_data_file(files: SetFiles, name: str) -> DataFile:
    """Return what a data file says.

    Raises:
        DatasetError: it is broken, or names no classes.
    """
    if not name.lower().endswith(_YAMLS):
        return _darknet(files, name)
    values = _yaml(files.text(name), name)
    return DataFile(
        name,
        _named(values.get("names"), name),
        tuple(
            (place, split)
            for key, split in _SPLIT_KEYS.items()
            for place in _places(values.get(key))
        ),
        values["path"] if isinstance(values.get("path"), str) else "",
        _landmarks(values.get("kpt_shape")),
    )


class _Reader:
    """Reads the images of data files, and remembers which labels were taken."""

    def __init__(self, files: SetFiles, issues: Issues) -> None:
        self._files = files
        self._issues = issues
        self._taken: dict[str, str] = {}

    def rows(self, data_file: DataFile) -> Iterator[Listed]:
        """Return the images that a data file names, or all where it names none."""
        n_landmarks = data_file.n_landmarks
        for image, split in self._images(data_file):
            labels = self.label_file(image)
            row = Listed(image, split=split, group=copies_group(image))
            if not labels:
                note = "counted as without a face"
                noun = "image without a label file"
                self._issues.add(image, note, noun, stops=False)
                yield row
                continue
            other = self._taken.setdefault(labels, image)
            if other != image:
                note = "the same label file as another image of that name"
                self._issues.add(image, note, stops=False)
            try:
                kinds, boxes = _label_rows(
                    self._files.text(labels), labels, n_landmarks
                )
            except DatasetError as error:
                name, _, reason = str(error).partition(": ")
                self._issues.add(name, reason, "label file")
                continue
            words = data_file.words or self._nearest_words(labels)
            yield Listed(
                image,
                tuple(words.get(kind, f"class {kind}") for kind in kinds),
                boxes,
                fractions=True,
                labels=labels,
                split=split,
                group=row.group,
            )

    def tell_orphans(self) -> None:
        """Complain of labels that no image takes: half of a data set may be missing."""
        for image in self._files.images:
            if labels := self.label_file(image):
                self._taken.setdefault(labels, image)
        for name in self._files.ending(".txt"):
            if name not in self._taken and _is_label_text(self._files, name):
                reason = (
                    "no image takes it; the image of a.txt is called a.jpg or alike"
                )
                self._issues.add(name, reason, "label file", missing=True)

    def _images(self, data_file: DataFile) -> Iterator[tuple[str, str]]:
        there = False
        missing = []
        for place, split in data_file.splits:
            images = self._images_at(data_file, place)
            if images is None:
                missing.append(place)
                continue
            there = True
            yield from ((image, split) for image in images)
        for place in missing:
            self._issues.add(
                f"{data_file.name}: {place}",
                "not there; was this split not exported?" if there else "not there",
                "folder of a split",
                stops=not there,
                missing=True,
                outcome="all images below are read",
            )
        if not there:
            yield from (
                (item, split_of(item))
                for item in self._files.images_in(data_file.folder)
            )

    def _images_at(self, data_file: DataFile, place: str) -> Sequence[str] | None:
        """Return the images of a folder, or of a text file with one a line."""
        for name in _guesses(data_file, place):
            if name.endswith(".txt"):
                if self._files.source.has(name):
                    return self._images_listed(name)
            elif images := self._files.images_in(name):
                return images
        return None

    def _images_listed(self, file: str) -> Sequence[str]:
        images = []
        lines = map(str.strip, self._files.text(file).splitlines())
        for line in filter(None, lines):
            image = self._files.image(line, [posixpath.dirname(file)])
            if image:
                images.append(image)
            else:
                reason = f"listed in {shortened(file)}, but there is no such image"
                self._issues.add(line, reason, missing=True)
        return images

    def label_file(self, image: str) -> str:
        """Return the labels of an image: in `labels/` for its `images/`, or beside it.

        Some tools keep the end of the image (`a.jpg.txt`), some write `.TXT`.
        """
        path = PurePosixPath(image)
        places = [path]
        at = [place for place, part in enumerate(path.parts) if part.lower() == _IMAGES]
        if at:
            parts = path.parts
            places.insert(
                0, PurePosixPath(*parts[: at[-1]], _LABELS, *parts[at[-1] + 1 :])
            )
        names = [str(item.with_suffix(".txt")) for item in places]
        names += [f"{item}.txt" for item in places]
        return next(filter(None, map(self._files.file, names)), "")

    def _nearest_words(self, labels: str) -> _Words:
        """Return the class list that lies nearest above a label file."""
        folder = posixpath.dirname(labels)
        while True:
            for place in (folder, posixpath.join(folder, _LABELS)):
                if place in self._class_lists:
                    return self._class_lists[place]
            if not folder:
                return next(iter(self._class_lists.values()), {})
            folder = posixpath.dirname(folder)

    @cached_property
    def _class_lists(self) -> Mapping[str, _Words]:
        lists: dict[str, _Words] = {}
        for name in self._files.ending(*_NAMES_END):
            lists.setdefault(posixpath.dirname(name), _listed_words(self._files, name))
        return lists


def _outermost(files: SetFiles) -> list[DataFile]:
    """Return the data files that name classes, without those in a folder of another."""
    kept: list[DataFile] = []
    for name in files.ending(*_YAMLS, ".data")[:_MAX_DATA_FILES]:
        try:
            item = read_data_file(files, name)
        except DatasetError:
            continue  # some other tool's settings
        inner = any(
            f"{item.folder}/".startswith(f"{k.folder}/") or not k.folder for k in kept
        )
        if not inner:
            kept.append(item)
    return kept


def _tell_rivals(chosen: Sequence[DataFile], files: SetFiles, issues: Issues) -> None:
    """Complain of data files beside the chosen ones that name other classes."""
    words = {item.folder: item.words for item in chosen}
    for name in files.ending(*_YAMLS)[:_MAX_DATA_FILES]:
        if posixpath.dirname(name) in words:
            with suppress(DatasetError):
                if read_data_file(files, name).words != words[posixpath.dirname(name)]:
                    reason = "names other classes than the one beside it; name the file"
                    issues.add(name, reason, "data file", outcome="not read")


def _yaml(text: str, name: str) -> dict[str, Any]:
    import yaml

    shown = shortened(name)
    if len(text) > _MAX_YAML:
        raise DatasetError(f"{shown}: larger than {_MAX_YAML / 1e3:g} kB, not opened")
    try:
        # Every scalar stays text: `no` is a name here, not False.
        values = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise DatasetError(f"{shown}{where}: not understood as YAML") from None
    if not isinstance(values, dict):
        raise DatasetError(
            f"{shown}: not understood, wanted lines such as names: [mask]"
        )
    return values


def _named(names: object, name: str) -> _Words:
    """Return what a YAML file calls its classes, by their number."""
    shown = shortened(name)
    if isinstance(names, list) and names:
        words = dict(enumerate(names))
    elif isinstance(names, dict) and names:
        if not all(isinstance(key, str) and key.isdecimal() for key in names):
            raise DatasetError(f"{shown}: names must be a list, or numbered from 0")
        words = {int(key): word for key, word in names.items()}
    else:
        raise DatasetError(
            f"{shown}: not a YOLO data file, wanted names of the classes"
        )
    if not all(isinstance(word, str) for word in words.values()):
        raise DatasetError(f"{shown}: names must be a list of words")
    return words


def _places(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, str) and item]


def _landmarks(shape: object) -> int:
    sides = shape if isinstance(shape, list) and len(shape) == 2 else []
    digits = [int(side) for side in sides if str(side).isdecimal()]
    return digits[0] * digits[1] if len(digits) == 2 else 0


def _darknet(files: SetFiles, name: str) -> DataFile:
    """Return what an `obj.data` says; its paths begin in some other folder."""
    lines = (line.partition("=") for line in files.text(name).splitlines())
    values = {key.strip(): value.strip() for key, _, value in lines}
    folder = posixpath.dirname(name)
    for guess in _guesses(DataFile(name, {}), values.get("names", "")):
        if guess not in ("", folder) and files.source.has(guess):
            splits = tuple(
                (values[key], split)
                for key, split in _SPLIT_KEYS.items()
                if values.get(key)
            )
            return DataFile(name, _listed_words(files, guess), splits)
    raise DatasetError(
        f"{shortened(name)}: not Darknet's, the file of names is missing"
    )


def _guesses(data_file: DataFile, place: str) -> list[str]:
    """Return where a place may be that a data file names, on this machine or another.

    A tail of the path is a guess as long as it still says which split it is.
    """
    place = place.replace("\\", "/").rstrip("/")
    bases = [posixpath.join(data_file.folder, data_file.root), data_file.folder]
    guesses = [posixpath.join(base, place) for base in bases]
    parts = [part for part in place.split("/") if part not in ("", ".", "..")]
    for start in range(len(parts)):
        if not any(split_from_name(part) for part in parts[:start]):
            guesses.append(posixpath.join(data_file.folder, *parts[start:]))
    return list(dict.fromkeys(posixpath.normpath(guess) for guess in guesses))


def _listed_words(files: SetFiles, name: str) -> _Words:
    try:
        lines = files.text(name).splitlines()
    except DatasetError:
        return {}
    return {n: line.strip() for n, line in enumerate(lines) if line.strip()}


def _is_label_text(files: SetFiles, name: str) -> bool:
    """Return whether a text file holds lines of labels; empty ones in `labels/` do."""
    last = posixpath.basename(name).lower()
    if last in _CLASS_LISTS:
        return False
    try:
        text = files.text(name)
    except DatasetError:
        return False
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        return _LABELS in name.lower().split("/")[:-1]
    try:
        return len([float(word) for word in first.split()]) > 4
    except ValueError:
        return False


def _label_rows(
    text: str, name: str, n_landmarks: int = 0
) -> tuple[list[int], Coordinates]:
    """Return class numbers and `(n, 4)` corners in fractions of the image's sides."""
    kinds: list[int] = []
    boxes: list[Coordinates] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            kind, *values = map(float, line.split())
            if kind != int(kind):
                raise ValueError
            box = _box(values, n_landmarks)
        except (ValueError, OverflowError):
            where = f"{shortened(name)} line {number}"
            raise DatasetError(f"{where}: {_LINE}") from None
        kinds.append(int(kind))
        boxes.append(box)
    return kinds, np.stack(boxes) if boxes else no_coordinates()


def _is_face(values: Sequence[float]) -> bool:
    """Return whether numbers are a box and the five landmarks of a face.

    Sets of faces have such lines without saying so, and they are as long as polygons.
    The landmarks lie in the box, and its centre among them (as no corner of a convex
    polygon does), or at least its size is no point near them.
    """
    if len(values) not in (4 + 10, 4 + 15):
        return False
    marks = np.reshape(values[4:], (5, -1))[:, :2]
    centre, size = np.array(values[:2]), np.array(values[2:4])
    inside = np.abs(marks - centre) <= size / 2
    hull = cv2.convexHull(marks.astype(np.float32))
    among = cv2.pointPolygonTest(hull, centre.tolist(), measureDist=False) > 0
    apart = np.abs(size - centre) > np.ptp(marks, axis=0)
    return bool(inside.all() and (among or apart.any()))


def _box(values: Sequence[float], n_landmarks: int) -> Coordinates:
    n = len(values)
    if n in (4, 5) or (n_landmarks and n == 4 + n_landmarks) or _is_face(values):
        cx, cy, width, height = values[:4]
        half_width, half_height = width / 2, height / 2
        return np.array(
            [cx - half_width, cy - half_height, cx + half_width, cy + half_height]
        )
    # An odd number more is a confidence after the polygon.
    points = np.array(values[: n - n % 2]).reshape(-1, 2)
    if len(points) < 3 or not ((points >= 0) & (points <= 1)).all():
        raise ValueError("not a polygon in fractions of the image")
    return np.concatenate([points.min(axis=0), points.max(axis=0)])
