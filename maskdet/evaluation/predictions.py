"""Labelled sets and the predictions of an analyzer on them, without images.

`encode_predictions` and `decode_predictions` convert them to and from an `.npz` file;
predictions of the built-in analyzers are bundled with maskdet.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.classifier import crop_face
from maskdet.datasets.files import MAX_FACES_PER_IMAGE
from maskdet.metrics.matching import BoolArray, BoxRows, Float32Array, IntArray
from maskdet.metrics.slices import MEASURED_PX, crop_light, crop_sharpness
from maskdet.resources import resource_path
from maskdet.types import CLASSES, Image, Label

MIN_STORED_SCORE = 0.02
"""Faces with at least this score are stored; sliders must not go below it."""

MAX_UNPACKED_BYTES: Final = 200_000_000
"""Maximum size of an unpacked file: a million faces take half of it."""

MAX_SET_FACES: Final = 100_000
"""Maximum number of detected or of true faces in a file."""

MAX_OVERLAP_PAIRS: Final = 10_000_000
"""Maximum number of pairs of faces in an image, over all images of a file."""

_FORMAT_VERSION: Final = 1

# Stored key of the image indices in version 1.
_IMAGE_INDICES_KEY: Final = "pictures"

# Stored keys of version 1 for the fields of `FaceRows`.
_FACE_FIELDS: Final = {
    _IMAGE_INDICES_KEY: "image_indices",
    "boxes": "boxes",
    "lights": "lights",
    "sharpness": "sharpness",
}

# Narrower integers than in memory; they are large enough for any set.
_STORED_DTYPES: Final[dict[str, type[np.generic]]] = {
    _IMAGE_INDICES_KEY: np.int32,
    "labels": np.int8,
}

BUNDLED_DIR: Final = resource_path("models/tune")
"""Folder of the bundled predictions; `maskdet tune scores --out` writes them."""

BUNDLED_ANALYZERS: Final = ("onepass", "onepass-fast", "mtcnn", "haar")
"""Analyzers with bundled predictions: two single-stage and two two-stage ones."""

_NAME_SEPARATOR: Final = " on "

SAMPLES_NAME: Final = "scenes"
"""Name of the bundled set whose images are included."""

_DATASET_TITLES: Final = {
    "kaggle-val": "kaggle-853",
    "ilc-val": "ilc-2021",
    SAMPLES_NAME: "sample scenes",
}

_NO_LABELS: Final[IntArray] = np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class MeasuredBoxes:
    """Faces of one image, with the quality of their boxes.

    Attributes:
        boxes: `(n, 4)` in pixels of the image.
        lights: `(n,)` float32 mean brightness of the box, 0 to 255; see
            `metrics.slices.crop_light`.
        sharpness: `(n,)` float32, see `metrics.slices.crop_sharpness`.
    """

    boxes: Boxes
    lights: Float32Array
    sharpness: Float32Array

    @classmethod
    def from_image(cls, image: Image, boxes: Boxes) -> MeasuredBoxes:
        """Measure light and sharpness of each box, extended to a square.

        The wider crop of the classifier is not used.
        """
        crops = [crop_face(image, box, MEASURED_PX, context=1.0) for box in boxes]
        return cls(
            boxes,
            np.array([crop_light(crop) for crop in crops], np.float32),
            np.array([crop_sharpness(crop) for crop in crops], np.float32),
        )


@dataclass(frozen=True, eq=False)
class FaceRows(BoxRows):
    """Faces of many images: row i is the same face in every array.

    Attributes:
        lights: `(n,)` float32, as in `MeasuredBoxes`.
        sharpness: `(n,)` float32, as in `MeasuredBoxes`.
    """

    lights: Float32Array
    sharpness: Float32Array

    def __post_init__(self) -> None:
        """Convert and check shapes and order."""
        super().__post_init__()
        _convert_fields(self, lights=np.float32, sharpness=np.float32)
        if not len(self) == len(self.lights) == len(self.sharpness):
            raise ValueError("faces must have one row in every array")

    @classmethod
    def from_images(cls, faces: Sequence[MeasuredBoxes]) -> FaceRows:
        """Return the faces of several images, in their order."""
        rows = BoxRows.concat([image_faces.boxes for image_faces in faces])
        no_values = np.zeros(0, np.float32)
        return cls(
            rows.image_indices,
            rows.boxes,
            np.concatenate([no_values, *(item.lights for item in faces)]),
            np.concatenate([no_values, *(item.sharpness for item in faces)]),
        )

    def select_images(self, image_mask: BoolArray) -> FaceRows:
        """Return the faces of some images, which are renumbered."""
        row_mask = image_mask[self.image_indices]
        new_indices = np.cumsum(image_mask) - 1
        return FaceRows(
            new_indices[self.image_indices[row_mask]],
            self.boxes[row_mask],
            self.lights[row_mask],
            self.sharpness[row_mask],
        )


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """The true faces of one image.

    Attributes:
        name: name of the image.
        size_wh: its width and height in pixels.
        faces: the true faces.
        labels: `(n,)` int64 values of `Label`.
    """

    name: str
    size_wh: tuple[int, int]
    faces: MeasuredBoxes
    labels: IntArray


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Ground truth of a set: images, faces and their labels.

    Attributes:
        name: name of the set.
        names: name of each image for the gallery, without a local path.
        sizes_wh: `(p, 2)` int64 width and height of each image in pixels.
        faces: the true faces.
        labels: `(n,)` int64 values of `Label`; `UNKNOWN` is a face of unknown class,
            which is neither missed nor a false positive.
        has_boxes: whether the set has face boxes. If not (a folder for each class), an
            image has one face whose box is the whole image; the detection with the
            highest score matches it, and others are ignored.
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
        _check_image_indices(self.faces, self)

    @classmethod
    def from_images(
        cls, name: str, images: Sequence[LabelledImage], *, has_boxes: bool = True
    ) -> LabelledSet:
        """Return the set of some images, in their order."""
        return cls(
            name,
            tuple(image.name for image in images),
            np.array([image.size_wh for image in images], np.int64),
            FaceRows.from_images([image.faces for image in images]),
            np.concatenate([_NO_LABELS, *(image.labels for image in images)]),
            has_boxes,
        )

    def select_images(self, image_mask: BoolArray) -> LabelledSet:
        """Return the part of the set with the images of a `(p,)` mask."""
        return dataclasses.replace(
            self,
            names=tuple(itertools.compress(self.names, image_mask)),
            sizes_wh=self.sizes_wh[image_mask],
            faces=self.faces.select_images(image_mask),
            labels=self.labels[image_mask[self.faces.image_indices]],
        )


@dataclass(frozen=True, eq=False)
class AnalyzerPredictions:
    """Predictions of an analyzer on a set, with scores from `MIN_STORED_SCORE`.

    Attributes:
        ground_truth: the set.
        analyzer: name of the analyzer, such as `onepass` or `onepass-fast`.
        faces: all detections before thresholds and NMS (made with `nms_iou` 1; some
            analyzers apply an NMS of their own).
        scores: `(n,)` float32 detection scores in [0, 1].
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
            raise ValueError("each detected face needs a score and probabilities")
        _check_image_indices(self.faces, self.ground_truth)

    def select_images(self, image_mask: BoolArray) -> AnalyzerPredictions:
        """Return the predictions for the images of a `(p,)` mask."""
        row_mask = image_mask[self.faces.image_indices]
        return dataclasses.replace(
            self,
            ground_truth=self.ground_truth.select_images(image_mask),
            faces=self.faces.select_images(image_mask),
            scores=self.scores[row_mask],
            probs=self.probs[row_mask],
        )


def _check_image_indices(faces: FaceRows, ground_truth: LabelledSet) -> None:
    if len(faces) and faces.image_indices[-1] >= len(ground_truth.names):
        raise ValueError("a face has an image index that the set does not have")


def _convert_fields(owner: object, **types: type[np.generic[Any]]) -> None:
    for name, dtype in types.items():
        values = np.asarray(getattr(owner, name), dtype).reshape(-1)
        object.__setattr__(owner, name, values)


class _UnsupportedFileError(ValueError):
    """A readable file with other content; the message is one line."""


def encode_predictions(predictions: AnalyzerPredictions) -> bytes:
    """Return the content of a compressed `.npz` file; it is deterministic."""
    arrays = _to_arrays(predictions)
    content = io.BytesIO()
    # NumPy's writer stores the current time, so equal arrays would give other files.
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
    """Read the output of `encode_predictions`; no code in the file is executed.

    Args:
        content: content of the file.
        name: name of the file for error messages.

    Raises:
        ValueError: the file is broken, too large, or not a predictions file; one line.
    """
    try:
        arrays = _read_arrays(content)
    except _UnsupportedFileError as error:
        raise ValueError(f"{name}: {error}") from None
    # Malformed bytes can raise nearly any exception in zipfile, zlib and NumPy.
    except Exception:
        raise ValueError(f"{name}: not a predictions file, or broken") from None
    if _text_value(arrays, "version") != str(_FORMAT_VERSION):
        raise ValueError(
            f"{name}: not a predictions file of version {_FORMAT_VERSION}; create one "
            "with `maskdet tune scores`"
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
    """Read a predictions file; see `decode_predictions`.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file cannot be read; one line.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    return decode_predictions(path.read_bytes(), str(path))


def check_limits(ground_truth: LabelledSet, detections: FaceRows | None = None) -> None:
    """Check the number of faces: a small file could need gigabytes to evaluate.

    Raises:
        ValueError: there are more faces than in any real set; the message is one line
            that continues after the name of the file.
    """
    n = len(ground_truth.names)
    true_counts = np.bincount(ground_truth.faces.image_indices, minlength=n)
    detected_counts = np.zeros_like(true_counts)
    if detections is not None:
        detected_counts = np.bincount(detections.image_indices, None, n)
    for counts, kind in ((detected_counts, "detected"), (true_counts, "true")):
        if counts.sum() > MAX_SET_FACES:
            raise ValueError(f"more than {MAX_SET_FACES:,} {kind} faces")
        if counts.max(initial=0) > MAX_FACES_PER_IMAGE:
            raise ValueError(
                f"more than {MAX_FACES_PER_IMAGE:,} {kind} faces in one image"
            )
    if (detected_counts * (detected_counts + true_counts)).sum() > MAX_OVERLAP_PAIRS:
        raise ValueError("too many images with an implausible number of faces")


def anonymize_image_names(predictions: AnalyzerPredictions) -> AnalyzerPredictions:
    """Replace the names of the images by numbers from 1."""
    numbers = range(1, len(predictions.ground_truth.names) + 1)
    names = tuple(map(str, numbers))
    ground_truth = dataclasses.replace(predictions.ground_truth, names=names)
    return dataclasses.replace(predictions, ground_truth=ground_truth)


def quantize_predictions(predictions: AnalyzerPredictions) -> AnalyzerPredictions:
    """Round the numbers, which halves the size of the file.

    Boxes are rounded to 1/16 px, light and sharpness to 8 bits (0.2 %), scores and
    probabilities to 12 bits (0.01 %).
    """

    def quantize_faces(rows: FaceRows) -> FaceRows:
        return FaceRows(
            rows.image_indices,
            (np.round(rows.boxes * 16) / 16).astype(np.float32),
            _round_mantissas(rows.lights, 8),
            _round_mantissas(rows.sharpness, 8),
        )

    ground_truth = dataclasses.replace(
        predictions.ground_truth, faces=quantize_faces(predictions.ground_truth.faces)
    )
    return AnalyzerPredictions(
        ground_truth,
        predictions.analyzer,
        quantize_faces(predictions.faces),
        _round_mantissas(predictions.scores, 12),
        _round_mantissas(predictions.probs, 12),
    )


def _round_mantissas(values: Float32Array, bits: int) -> Float32Array:
    """Round the mantissas to a number of bits, so that the zeros compress well."""
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
    """Read the arrays of an untrusted file.

    Sizes are checked before unpacking, shapes before memory is allocated.
    """
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as stored:
        entries = stored.infolist()
        if (
            sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES
            or len(entries) > 100
        ):
            raise _UnsupportedFileError("too large for a predictions file")
        for entry in entries:
            with stored.open(entry) as member:
                name = entry.filename.removesuffix(".npy")
                arrays[name] = _read_array(member, entry.file_size)
    return arrays


def _read_array(member: IO[bytes], n_bytes: int) -> NDArray[Any]:
    """Read one array of numbers or text; else raise `_UnsupportedFileError`."""
    if npy.read_magic(member) != (1, 0):
        raise _UnsupportedFileError("the version of the NumPy format must be 1.0")
    shape, by_columns, dtype = npy.read_array_header_1_0(member)
    if dtype.kind not in "biufU" or by_columns or len(shape) > 2:
        raise _UnsupportedFileError(
            "arrays must be numbers or text with at most 2 dimensions"
        )
    count = math.prod(shape)
    if count < 0 or count * dtype.itemsize > n_bytes:
        raise _UnsupportedFileError("an array is truncated")
    data = member.read(count * dtype.itemsize)
    if member.read(1):  # reading to the end also verifies the checksum
        raise _UnsupportedFileError("an array has trailing data")
    return np.frombuffer(data, dtype, count).reshape(shape)


def _from_arrays(arrays: Mapping[str, NDArray[Any]]) -> AnalyzerPredictions:
    true_faces, detections = _face_rows(arrays, "true"), _face_rows(arrays, "found")
    labels, sizes = arrays["labels"], arrays["sizes_wh"]
    if not np.isin(labels, (*CLASSES, Label.UNKNOWN)).all():
        raise ValueError("a label is not a known class")
    if len(sizes) and sizes.min() < 1:
        raise ValueError("the size of an image is not positive")
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
            raise ValueError("a score is not in the range from 0 to 1")
    if len(probs) and not np.allclose(probs.sum(axis=-1), 1, atol=1e-3):
        raise ValueError("probabilities of a face do not sum to 1")
    return AnalyzerPredictions(
        ground_truth, _text_value(arrays, "analyzer"), detections, scores, probs
    )


def _face_rows(arrays: Mapping[str, NDArray[Any]], part: str) -> FaceRows:
    numbers = (_finite_array(arrays, f"{part}/{field}") for field in _FACE_FIELDS)
    faces = FaceRows(*numbers)
    if len(faces) and faces.image_indices[0] < 0:
        raise ValueError("the image index of a face is negative")
    return faces


def _finite_array(arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    array = arrays[name]
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite numbers")
    return array


def _text_value(arrays: Mapping[str, NDArray[Any]], name: str) -> str:
    array = arrays.get(name)
    return "" if array is None or array.ndim else str(array)


def list_bundled(folder: Path = BUNDLED_DIR) -> tuple[str, ...]:
    """Return the names of the bundled predictions, as in `onepass on kaggle-val`.

    They are in the order of `BUNDLED_ANALYZERS`, then by name.
    """
    ranks = {analyzer: rank for rank, analyzer in enumerate(BUNDLED_ANALYZERS)}
    parts = [path.stem.rpartition(".") for path in folder.glob("*.npz")]
    names = [
        (ranks.get(analyzer, len(ranks)), join_bundled_name(analyzer, set_name))
        for set_name, separator, analyzer in parts
        if separator
    ]
    return tuple(name for _, name in sorted(names))


def join_bundled_name(analyzer: str, set_name: str) -> str:
    """Return the name of bundled predictions, as in `onepass on kaggle-val`."""
    return f"{analyzer}{_NAME_SEPARATOR}{set_name}"


def split_bundled_name(name: str) -> tuple[str, str]:
    """Return the analyzer and the set of a name of `list_bundled`."""
    analyzer, _, set_name = name.partition(_NAME_SEPARATOR)
    return analyzer, set_name


def dataset_title(set_name: str) -> str:
    """Return the title of a bundled set, as in the documentation.

    Other sets have their name as the title.
    """
    return _DATASET_TITLES.get(set_name, set_name)


def load_bundled_predictions(
    name: str, folder: Path = BUNDLED_DIR
) -> AnalyzerPredictions:
    """Load bundled predictions by a name of `list_bundled`.

    Raises:
        ValueError: the name is not known, or the file is broken.
    """
    names = list_bundled(folder)
    if name not in names:
        available = ", ".join(names) or "none"
        raise ValueError(f"no bundled predictions {name!r}; available: {available}")
    analyzer, set_name = split_bundled_name(name)
    return read_predictions(folder / f"{set_name}.{analyzer}.npz")


def encode_bundled_file(predictions: AnalyzerPredictions) -> tuple[str, bytes]:
    """Return name and content of a file to bundle, quantized and anonymized."""
    return (
        f"{predictions.ground_truth.name}.{predictions.analyzer}.npz",
        encode_predictions(quantize_predictions(anonymize_image_names(predictions))),
    )
