"""A labelled set, and what an analyzer said about it, as numbers only.

What an analyzer said about a set, to and from a file: numbers, never images.

Stored scores that come with maskdet, so that there is something to tune at once.
"""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.resources import resource_path
from maskdet.types import CLASSES, Label

MIN_STORED_SCORE = 0.02
"""Faces from this score on are kept, so that every slider above it is right."""

IntArray = NDArray[np.int64]
Float32Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FaceRows:
    """Faces of many images: row i is the same face in every array.

    Attributes:
        image_indices: `(n,)` int64, which image of the set the face is in, rising.
        boxes: `(n, 4)` float32 `x1, y1, x2, y2` in pixels of the image.
        lights: `(n,)` float32 mean brightness of the box, 0 to 255; see
            `metrics.slices.crop_light`.
        sharpness: `(n,)` float32, see `metrics.slices.crop_sharpness`.
    """

    image_indices: IntArray
    boxes: Boxes
    lights: Float32Array
    sharpness: Float32Array

    def __post_init__(self) -> None:
        """Convert and check shapes and order."""
        _convert_fields(
            self, image_indices=np.int64, lights=np.float32, sharpness=np.float32
        )
        boxes = np.asarray(self.boxes, np.float32).reshape(-1, 4)
        object.__setattr__(self, "boxes", boxes)
        n = len(self.image_indices)
        if not n == len(boxes) == len(self.lights) == len(self.sharpness):
            raise ValueError("faces must have one row in every array")
        if n and (np.diff(self.image_indices) < 0).any():
            raise ValueError("faces must be sorted by image")

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self.image_indices)

    def select_images(self, image_mask: NDArray[np.bool_]) -> FaceRows:
        """Return the faces of some images, which are counted anew."""
        row_mask, new_indices = (
            image_mask[self.image_indices],
            np.cumsum(image_mask) - 1,
        )
        return FaceRows(
            new_indices[self.image_indices[row_mask]],
            self.boxes[row_mask],
            self.lights[row_mask],
            self.sharpness[row_mask],
        )


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """What people said is true: images, faces and their labels.

    Attributes:
        name: of the set, as people know it.
        names: of each image, for the gallery; no path of a machine.
        sizes_wh: `(p, 2)` int64 width and height of each image in pixels.
        faces: the true faces.
        labels: `(n,)` int64 values of `Label`; `UNKNOWN` is a face of unknown class,
            which is neither missed nor a false positive.
        has_boxes: whether the boxes are true. Without (folders of a class each), each
            image has one face row whose box is the whole image, and the face found
            there with the highest score answers for it; other faces do not count.
    """

    name: str
    names: tuple[str, ...]
    sizes_wh: IntArray
    faces: FaceRows
    labels: IntArray
    has_boxes: bool = True

    def __post_init__(self) -> None:
        """Convert and check shapes."""
        _convert_fields(self, labels=np.int64)
        sizes = np.asarray(self.sizes_wh, np.int64).reshape(-1, 2)
        object.__setattr__(self, "sizes_wh", sizes)
        if len(sizes) != len(self.names):
            raise ValueError("each image of a set needs a name and a size")
        if len(self.labels) != len(self.faces):
            raise ValueError("each face of a set needs a label")
        if len(self.faces) and self.faces.image_indices[-1] >= len(self.names):
            raise ValueError("a face lies in an image that the set does not have")

    def select_images(self, image_mask: NDArray[np.bool_]) -> LabelledSet:
        """Return the part of the set with the `(p,)` chosen images."""
        return dataclasses.replace(
            self,
            names=tuple(
                self.names[image_index] for image_index in np.flatnonzero(image_mask)
            ),
            sizes_wh=self.sizes_wh[image_mask],
            faces=self.faces.select_images(image_mask),
            labels=self.labels[image_mask[self.faces.image_indices]],
        )


@dataclass(frozen=True, eq=False)
class AnalyzerPredictions:
    """What one analyzer said about a set: every face from `MIN_STORED_SCORE` on.

    Attributes:
        ground_truth: the set.
        analyzer: its name, such as `onepass` or `onepass-fast`.
        faces: all it found, before any threshold and before overlaps are settled (an
            analyzer that settles them itself keeps its own way: its
            `nms_iou` was 1).
        scores: `(n,)` float32 face scores in [0, 1].
        probs: `(n, 3)` float32, rows sum to 1, columns as in `CLASSES`.
    """

    ground_truth: LabelledSet
    analyzer: str
    faces: FaceRows
    scores: Float32Array
    probs: Float32Array

    def __post_init__(self) -> None:
        """Convert and check shapes."""
        _convert_fields(self, scores=np.float32)
        probs = np.asarray(self.probs, np.float32).reshape(-1, len(CLASSES))
        object.__setattr__(self, "probs", probs)
        if not len(self.faces) == len(self.scores) == len(probs):
            raise ValueError("each face found needs a score and its probabilities")
        if len(self.faces) and self.faces.image_indices[-1] >= len(
            self.ground_truth.names
        ):
            raise ValueError("a face was found in an image that the set does not have")

    def select_images(self, image_mask: NDArray[np.bool_]) -> AnalyzerPredictions:
        """Return what was said about the `(p,)` chosen images."""
        row_mask = image_mask[self.faces.image_indices]
        return dataclasses.replace(
            self,
            ground_truth=self.ground_truth.select_images(image_mask),
            faces=self.faces.select_images(image_mask),
            scores=self.scores[row_mask],
            probs=self.probs[row_mask],
        )


def _convert_fields(owner: object, **types: type[np.generic[Any]]) -> None:
    for name, dtype in types.items():
        values = np.asarray(getattr(owner, name), dtype).reshape(-1)
        object.__setattr__(owner, name, values)


MAX_UNPACKED_BYTES: Final = 200_000_000
"""What a file may be once unpacked: a million faces are half of it."""

MAX_FACES: Final = 100_000
"""Found or true faces that a file may hold."""

MAX_FACES_PER_IMAGE: Final = 2_000
"""Found or true faces that one image of a file may hold."""

MAX_OVERLAP_PAIRS: Final = 10_000_000
"""Pairs of faces of one image that a file may make: what overlaps of them is kept."""

_FORMAT_VERSION: Final = 1
# Fields of `FaceRows` by their name in a file.
_FACE_FIELDS: Final = {
    "pictures": "image_indices",
    "boxes": "boxes",
    "lights": "lights",
    "sharpness": "sharpness",
}

# Smaller whole numbers than in memory, where they fit whatever the set.
_STORED_DTYPES: Final[dict[str, type[np.generic]]] = {
    "pictures": np.int32,
    "labels": np.int8,
}


class _UnsupportedFileError(ValueError):
    """A sound file of something else; the message is one line."""


def encode_predictions(predictions: AnalyzerPredictions) -> bytes:
    """Return it as the content of a compressed `.npz` file, the same each time."""
    arrays = _to_arrays(predictions)
    content = io.BytesIO()
    # NumPy's own writer notes the time of day, and equal numbers would differ.
    with zipfile.ZipFile(
        content, "w", zipfile.ZIP_DEFLATED, compresslevel=9
    ) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w") as member:
                npy.write_array(member, array, allow_pickle=False)
    return content.getvalue()


def decode_predictions(content: bytes, name: str = "this file") -> AnalyzerPredictions:
    """Return what `encode_predictions` wrote; nothing in the file is run.

    Args:
        content: of the file.
        name: of the file, for the message.

    Raises:
        ValueError: it is broken, too large, or something else; one line says what.
    """
    try:
        arrays = _read_arrays(content)
    except _UnsupportedFileError as error:
        raise ValueError(f"{name}: {error}") from None
    # Hostile bytes make zipfile, zlib and NumPy's parser of headers raise nearly
    # anything, and all of it means the same here.
    except Exception:
        raise ValueError(f"{name}: is no file of stored scores, or is broken") from None
    if _text_value(arrays, "version") != str(_FORMAT_VERSION):
        raise ValueError(
            f"{name}: is no file of stored scores of version {_FORMAT_VERSION}; make "
            "one with "
            "`maskdet tune scores`"
        )
    try:
        predictions = _from_arrays(arrays)
        check_limits(predictions.ground_truth, predictions.faces)
        return predictions
    except KeyError as error:
        raise ValueError(f"{name}: {error.args[0]} is missing") from None
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: {error}") from None


def read_predictions(path: str | Path) -> AnalyzerPredictions:
    """Return what is stored in a file; see `decode_predictions`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read; one line says why.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    return decode_predictions(path.read_bytes(), str(path))


def check_limits(ground_truth: LabelledSet, detections: FaceRows | None = None) -> None:
    """Refuse what a small file may claim and a judge would need gigabytes for.

    Raises:
        ValueError: there are more faces than in any real set; the message, one line,
            goes on from the name of the file.
    """
    n = len(ground_truth.names)
    true_counts = np.bincount(ground_truth.faces.image_indices, minlength=n)
    detected_counts = (
        np.zeros_like(true_counts)
        if detections is None
        else np.bincount(detections.image_indices, None, n)
    )
    for counts, kind in ((detected_counts, "found"), (true_counts, "true")):
        if counts.sum() > MAX_FACES:
            raise ValueError(f"holds more than {MAX_FACES:,} {kind} faces")
        if counts.max(initial=0) > MAX_FACES_PER_IMAGE:
            raise ValueError(
                f"holds more than {MAX_FACES_PER_IMAGE:,} {kind} faces in one image"
            )
    if (detected_counts * (detected_counts + true_counts)).sum() > MAX_OVERLAP_PAIRS:
        raise ValueError("holds too many images that are as crowded as no real ones")


def anonymize_image_names(predictions: AnalyzerPredictions) -> AnalyzerPredictions:
    """Return the same with the names of images replaced by numbers from 1."""
    names = tuple(
        str(number) for number in range(1, len(predictions.ground_truth.names) + 1)
    )
    ground_truth = dataclasses.replace(predictions.ground_truth, names=names)
    return dataclasses.replace(predictions, ground_truth=ground_truth)


def quantize_predictions(predictions: AnalyzerPredictions) -> AnalyzerPredictions:
    """Return the same rounded, so that its file is half as large.

    Boxes to 1/16 px, all else to 12 bits: 0.01 % of each number.
    """

    def faces(rows: FaceRows) -> FaceRows:
        return FaceRows(
            rows.image_indices,
            (np.round(rows.boxes * 16) / 16).astype(np.float32),
            _round_mantissas(rows.lights, 8),
            _round_mantissas(rows.sharpness, 8),
        )

    ground_truth = dataclasses.replace(
        predictions.ground_truth, faces=faces(predictions.ground_truth.faces)
    )
    return AnalyzerPredictions(
        ground_truth,
        predictions.analyzer,
        faces(predictions.faces),
        _round_mantissas(predictions.scores, 12),
        _round_mantissas(predictions.probs, 12),
    )


def _round_mantissas(values: Float32Array, bits: int) -> Float32Array:
    """Return numbers whose mantissa has so many bits: the rest packs into nothing."""
    mantissas, exponents = np.frexp(values)
    rounded = np.round(mantissas * 2**bits) / 2**bits
    result: Float32Array = np.ldexp(rounded, exponents).astype(np.float32)
    return result


def _to_arrays(predictions: AnalyzerPredictions) -> dict[str, NDArray[Any]]:
    ground_truth = predictions.ground_truth
    arrays: dict[str, NDArray[Any]] = {
        "version": np.array(str(_FORMAT_VERSION)),
        "set": np.array(ground_truth.name),
        "analyzer": np.array(predictions.analyzer),
        "names": np.array(ground_truth.names, np.str_),
        "sizes_wh": ground_truth.sizes_wh.astype(np.int32),
        "boxed": np.array(ground_truth.has_boxes),
        "labels": ground_truth.labels,
        "scores": predictions.scores,
        "probs": predictions.probs,
    }
    for part, faces in (("true", ground_truth.faces), ("found", predictions.faces)):
        arrays |= {
            f"{part}/{key}": getattr(faces, field)
            for key, field in _FACE_FIELDS.items()
        }
    return {
        name: array.astype(_STORED_DTYPES.get(name.rpartition("/")[2], array.dtype))
        for name, array in arrays.items()
    }


def _read_arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file that may come from anywhere.

    Sizes are checked before anything is unpacked, shapes before memory is taken.
    """
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as stored:
        entries = stored.infolist()
        if (
            sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES
            or len(entries) > 100
        ):
            raise _UnsupportedFileError("is too large for stored scores")
        for entry in entries:
            with stored.open(entry) as member:
                name = entry.filename.removesuffix(".npy")
                arrays[name] = _read_array(member, entry.file_size)
    return arrays


def _read_array(member: IO[bytes], n_bytes: int) -> NDArray[Any]:
    """Read one array of plain numbers or text; raises `_UnsupportedFileError` for all else."""
    if npy.read_magic(member) != (1, 0):
        raise _UnsupportedFileError("holds arrays of another version of NumPy's format")
    shape, by_columns, dtype = npy.read_array_header_1_0(member)
    if dtype.kind not in "biufU" or by_columns or len(shape) > 2:
        raise _UnsupportedFileError("holds something else than numbers and text")
    count = 1
    for side in shape:
        count *= side
    if count < 0 or count * dtype.itemsize > n_bytes:
        raise _UnsupportedFileError("holds an array that is cut off")
    data = member.read(count * dtype.itemsize)
    if member.read(1):  # at the end, which also checks the sum
        raise _UnsupportedFileError("holds an array with something after it")
    array: NDArray[Any] = np.frombuffer(data, dtype, count).reshape(shape)
    return array


def _from_arrays(arrays: Mapping[str, NDArray[Any]]) -> AnalyzerPredictions:
    true_faces, detections = _face_rows(arrays, "true"), _face_rows(arrays, "found")
    labels, sizes = arrays["labels"], arrays["sizes_wh"]
    if not np.isin(labels, (*CLASSES, Label.UNKNOWN)).all():
        raise ValueError("holds a label that is none")
    if len(sizes) and sizes.min() < 1:
        raise ValueError("holds an image without a size")
    ground_truth = LabelledSet(
        _text_value(arrays, "set"),
        tuple(str(name) for name in arrays["names"].reshape(-1)),
        sizes,
        true_faces,
        labels,
        bool(arrays["boxed"].all()),
    )
    scores, probs = _finite_array(arrays, "scores"), _finite_array(arrays, "probs")
    for values in (scores, probs):
        if values.size and not (values.min() >= 0 and values.max() <= 1):
            raise ValueError("holds a score that is not from 0 to 1")
    if len(probs) and not np.allclose(probs.sum(axis=-1), 1, atol=1e-3):
        raise ValueError("holds probabilities that do not sum to 1")
    return AnalyzerPredictions(
        ground_truth, _text_value(arrays, "analyzer"), detections, scores, probs
    )


def _face_rows(arrays: Mapping[str, NDArray[Any]], part: str) -> FaceRows:
    numbers = (_finite_array(arrays, f"{part}/{field}") for field in _FACE_FIELDS)
    faces = FaceRows(*numbers)
    if len(faces) and faces.image_indices[0] < 0:
        raise ValueError("holds a face that lies in no image")
    return faces


def _finite_array(arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    array = arrays[name]
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise ValueError(f"{name} holds something else than finite numbers")
    return array


def _text_value(arrays: Mapping[str, NDArray[Any]], name: str) -> str:
    array = arrays.get(name)
    return "" if array is None or array.ndim else str(array)


BUNDLED_DIR: Final = resource_path("models/tune")
"""In a checkout, what ships is written there by `maskdet tune scores --out`."""

BUNDLED_ANALYZERS: Final = ("onepass", "onepass-fast", "mtcnn", "haar")
"""Whose scores ship: both of ours, and two that find first and label then."""

_NAME_SEPARATOR: Final = " on "


def list_bundled(folder: Path = BUNDLED_DIR) -> tuple[str, ...]:
    """Return the names of what is there, as in `onepass on kaggle-val`.

    Ours come first, in the order of `BUNDLED_ANALYZERS`; sets by name.
    """
    names = [_bundled_name(path) for path in folder.glob("*.npz") if "." in path.stem]

    def sort_key(name: str) -> tuple[int, str]:
        analyzer = name.partition(_NAME_SEPARATOR)[0]
        is_listed = analyzer in BUNDLED_ANALYZERS
        rank = (
            BUNDLED_ANALYZERS.index(analyzer) if is_listed else len(BUNDLED_ANALYZERS)
        )
        return rank, name

    return tuple(sorted(names, key=sort_key))


def load_bundled_predictions(
    name: str, folder: Path = BUNDLED_DIR
) -> AnalyzerPredictions:
    """Return stored scores by a name of `list_bundled`.

    Raises:
        ValueError: there is none of that name, or its file is broken.
    """
    names = list_bundled(folder)
    if name not in names:
        available = ", ".join(names) or "none at all"
        raise ValueError(f"there are no stored scores {name!r}; there are {available}")
    analyzer, _, set_name = name.partition(_NAME_SEPARATOR)
    return read_predictions(folder / f"{set_name}.{analyzer}.npz")


def encode_bundled_file(predictions: AnalyzerPredictions) -> tuple[str, bytes]:
    """Return name and content of the file to bundle; rounded, images by number."""
    return (
        f"{predictions.ground_truth.name}.{predictions.analyzer}.npz",
        encode_predictions(quantize_predictions(anonymize_image_names(predictions))),
    )


def _bundled_name(path: Path) -> str:
    set_name, _, analyzer = path.stem.rpartition(".")
    return f"{analyzer}{_NAME_SEPARATOR}{set_name}"
