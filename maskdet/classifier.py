"""Mask classifiers: the crop rule, the registry, and the LiteRT classifier."""

from __future__ import annotations

import math
import threading
from collections import UserDict
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.model_files.model_zoo import MODEL_FILES, model_path
from maskdet.model_files.own_models import (
    CLASSIFIER_OUTPUT,
    FACTS_NAME,
    VERIFIER_OUTPUT,
    get_own_models,
    parse_context,
    read_facts,
)
from maskdet.types import CLASSES, Image, check_image

DEFAULT_CONTEXT = 1.3
"""Side of the square crop, in longer sides of the face box."""


DEFAULT_CLASSIFIER = "maskdet"

# Larger batches are no faster per face on a CPU and cost about 1 MB a face.
_MAX_BATCH_SIZE = 32


@dataclass(frozen=True)
class ClassifierFile:
    """A registered classifier.

    Attributes:
        model_name: its file in `model_files.model_zoo`; empty for a user's model.
        context: side of the crops it was trained on, in longer sides of the box.
        title: display name.
        user_path: path of a user's model file, otherwise None.
    """

    model_name: str
    context: float
    title: str
    user_path: Path | None = None

    def get_path(self) -> Path:
        """Return the path of the file; errors as in `model_zoo.model_path`."""
        return model_path(self.model_name) if self.user_path is None else self.user_path


_BUILT_IN_FILES = {
    "maskdet": ClassifierFile("classifier", DEFAULT_CONTEXT, "maskdet"),
    "tutorial": ClassifierFile("tutorial", 1.0, "Tutorial recipe"),
    "finetune": ClassifierFile("finetune", 1.0, "Two-stage fine-tuning"),
    "early-stop": ClassifierFile("early-stop", 1.0, "Early stopping"),
}


class _ClassifierRegistry(UserDict[str, ClassifierFile]):
    """The bundled classifiers, then those in the user's model folder."""

    def __missing__(self, name: str) -> ClassifierFile:
        model = get_own_models("classifier")[name]
        title = str(model.facts.get("title", name))
        return ClassifierFile("", model.context, title, model.path)

    def __contains__(self, name: object) -> bool:
        return name in self.data or name in get_own_models("classifier")

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self.data, *get_own_models("classifier")]))

    def __len__(self) -> int:
        return len(list(iter(self)))


CLASSIFIERS: MutableMapping[str, ClassifierFile] = _ClassifierRegistry(
    {
        name: file
        for name, file in _BUILT_IN_FILES.items()
        if file.model_name in MODEL_FILES and MODEL_FILES[file.model_name].is_bundled
    }
)
"""The available classifiers by name: the bundled ones, then those in the folder
`MASKDET_MODEL_DIR`."""

BUILT_IN_CLASSIFIERS = frozenset(_BUILT_IN_FILES)
"""Reserved names that a user's model must not have."""


class Classifier(Protocol):
    """Protocol of a classifier: class probabilities for each face.

    Examples:
        >>> import numpy
        >>> class AlwaysMask:
        ...     def predict(self, image, boxes):
        ...         return numpy.tile([[0.9, 0.1, 0.0]], (len(boxes), 1))
        >>> haar = maskdet.load_detector("haar")
        >>> analyzer = maskdet.TwoStage(haar, AlwaysMask())
        >>> set(maskdet.analyze("group.jpg", analyzer=analyzer).labels)
        {<Label.MASK: 0>}
    """

    def predict(self, image: Image, boxes: Boxes) -> NDArray[np.float32]:
        """Return the class probabilities of all faces.

        Args:
            image: `(h, w, 3)` uint8, BGR; not changed.
            boxes: `(n, 4)` faces in pixels of `image`; n may be 0.

        Returns:
            `(n, 3)` float32, rows sum to 1, columns as in `CLASSES`.
        """
        ...


@runtime_checkable
class Verifier(Protocol):
    """A classifier that can also reject crops without a face.

    Attributes:
        verifies: whether this model rejects them.
    """

    verifies: bool

    def verify(
        self, image: Image, boxes: Boxes
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the class probabilities and the probability that it is a face.

        Args:
            image: `(h, w, 3)` uint8, BGR; not changed.
            boxes: `(n, 4)` detections in pixels of `image`; n may be 0.

        Returns:
            `(n, 3)` float32 as in `Classifier.predict`, and `(n,)` in [0, 1].
        """
        ...


class MaskClassifier:
    """A classifier in a LiteRT file; its output name gives the class order.

    Thread-safe; calls are serialized.

    Attributes:
        size_px: side of the network's input.
        context: side of a crop, in longer sides of the face box.
        verifies: whether it also rejects crops without a face.
    """

    def __init__(self, path: str | Path, *, context: float = DEFAULT_CONTEXT) -> None:
        """Load the file, check its signature and run it once.

        Args:
            path: the `.tflite` file.
            context: side of the crops it was trained on, in longer sides of the box.

        Raises:
            FileNotFoundError: the file does not exist.
            RuntimeError: the file is damaged or has another signature.
        """
        self.context = context
        # Imported late: drawing and reading videos do not need LiteRT.
        from maskdet.model_files.litert import open_interpreter

        self._interpreter = open_interpreter(Path(path), "classifier")
        self.size_px, self.verifies = _check_signature(self._interpreter, Path(path))
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self._lock = threading.Lock()
        self._batch = 0
        grey = np.full((self.size_px, self.size_px, 3), 128, np.uint8)
        self.predict_crops(grey[None])

    def predict(self, image: Image, boxes: Boxes) -> NDArray[np.float32]:
        """Return `(n, 3)` probabilities; see `Classifier.predict`."""
        return self.verify(image, boxes)[0]

    def verify(
        self, image: Image, boxes: Boxes
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return both probabilities; see `Verifier`.

        The face probabilities are 1 if the model has no `no_face` output.
        """
        image = check_image(image)
        crops = [
            crop_face(image, box, self.size_px, context=self.context) for box in boxes
        ]
        shape = (-1, self.size_px, self.size_px, 3)
        return split_face_probability(
            self._predict_batches(np.array(crops, np.uint8).reshape(shape))
        )

    def predict_crops(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return `(n, 3)` probabilities of crops made by `crop_face`.

        Args:
            crops: `(n, size_px, size_px, 3)` BGR.
        """
        return split_face_probability(self._predict_batches(crops))[0]

    def _predict_batches(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = [np.zeros((0, len(CLASSES) + self.verifies), np.float32)]
        for start in range(0, len(crops), _MAX_BATCH_SIZE):
            parts.append(self._predict_batch(crops[start : start + _MAX_BATCH_SIZE]))
        return np.concatenate(parts)

    def _predict_batch(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        values = crops[..., ::-1].astype(np.float32)
        with self._lock:
            if len(crops) != self._batch:
                self._interpreter.resize_tensor_input(self._input, values.shape)
                self._interpreter.allocate_tensors()
                self._batch = len(crops)
            self._interpreter.set_tensor(self._input, values)
            self._interpreter.invoke()
            probs: NDArray[np.float32] = self._interpreter.get_tensor(self._output)
        return probs


def split_face_probability(
    outputs: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Split the network's outputs into class and face probabilities.

    Args:
        outputs: `(n, 3)`, or `(n, 4)` with `no_face` last; rows sum to 1.

    Returns:
        `(n, 3)` class probabilities given a face, rows sum to 1; and `(n,)` face
        probabilities.
    """
    classes = outputs[:, : len(CLASSES)]
    face_probs = classes.sum(axis=1)
    probs = classes / np.maximum(face_probs, 1e-9)[:, None]
    if outputs.shape[1] == len(CLASSES):
        face_probs = np.ones(len(outputs), np.float32)
    return probs.astype(np.float32), face_probs.astype(np.float32)


def load_classifier(name: str = DEFAULT_CLASSIFIER) -> MaskClassifier:
    """Load a classifier and run it once to warm up.

    Examples:
        >>> scene = maskdet.analyze("group.jpg")
        >>> classifier = maskdet.load_classifier()
        >>> image = maskdet.read_image("group.jpg")
        >>> classifier.predict(image, scene.boxes).shape
        (7, 3)

    Args:
        name: a name in `CLASSIFIERS`, which includes the models in the folder
            `MASKDET_MODEL_DIR`; or the path of a `.tflite` file that `maskdet export`
            wrote, with its `facts.json`.

    Raises:
        ValueError: the name is not in `CLASSIFIERS`, or `facts.json` is invalid.
        FileNotFoundError: the model file or its `facts.json` is missing; the message
            says how to get it.
        RuntimeError: the file is damaged or another version.
    """
    path = classifier_path(name)
    if name not in CLASSIFIERS:
        facts, facts_folder = read_facts(path)
        context = parse_context(facts, facts_folder / FACTS_NAME)
        return MaskClassifier(path, context=context)
    return MaskClassifier(path, context=CLASSIFIERS[name].context)


def classifier_path(name: str) -> Path:
    """Return the file of a classifier; names and errors as in `load_classifier`."""
    if name.endswith(".tflite"):
        path = Path(name)
        if not path.is_file():
            raise FileNotFoundError(f"classifier file {path} does not exist")
        return path
    if name not in CLASSIFIERS:
        raise ValueError(
            f"classifier must be one of {', '.join(CLASSIFIERS)} or the path of a "
            f".tflite file, not {name!r}"
        )
    return CLASSIFIERS[name].get_path()


def crop_face(
    image: Image,
    box: NDArray[np.float32],
    size_px: int,
    *,
    context: float = DEFAULT_CONTEXT,
) -> Image:
    """Crop a square window around one face, in training as in inference.

    Pixels outside the image repeat its border. A box that is empty, not finite or
    outside the image gives a window of at least one pixel instead of an error.

    Args:
        image: `(h, w, 3)` BGR.
        box: `(4,)` `x1, y1, x2, y2` in pixels of `image`.
        size_px: side of the result.
        context: side of the window, in longer sides of the box.

    Returns:
        `(size_px, size_px, 3)` uint8 BGR.
    """
    height, width = image.shape[:2]
    limits = np.array([width, height, width, height], np.float64)
    x1, y1, x2, y2 = np.clip(np.nan_to_num(np.asarray(box, np.float64)), 0, limits)
    side = max(1, round(context * max(x2 - x1, y2 - y1)))
    # The centre stays half a pixel inside, so that the window always meets the image.
    left = math.floor(min(max((x1 + x2) / 2, 0.5), width - 0.5) - side / 2 + 0.5)
    top = math.floor(min(max((y1 + y2) / 2, 0.5), height - 0.5) - side / 2 + 0.5)
    return _resize_window(_cut_window(image, left, top, side), size_px)


def _cut_window(image: Image, left: int, top: int, side: int) -> Image:
    height, width = image.shape[:2]
    right, bottom = left + side, top + side
    inside = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    padding = (
        max(-top, 0),
        max(bottom - height, 0),
        max(-left, 0),
        max(right - width, 0),
    )
    if not any(padding):
        return inside
    window = cv2.copyMakeBorder(inside, *padding, cv2.BORDER_REPLICATE)
    return np.asarray(window, np.uint8)


def _resize_window(window: Image, size_px: int) -> Image:
    is_smaller = window.shape[0] > size_px
    resampling = cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR
    crop = cv2.resize(window, (size_px, size_px), interpolation=resampling)
    return np.asarray(crop, np.uint8)


# LiteRT has no types that mypy can read.
def _check_signature(interpreter: Any, path: Path) -> tuple[int, bool]:
    """Return the side of the input, and whether the output has a `no_face` column."""
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if len(inputs) != 1 or len(outputs) != 1:
        raise RuntimeError(
            f"classifier {path}: expected one input and one output, "
            f"got {len(inputs)} and {len(outputs)}"
        )
    shape = [int(side) for side in inputs[0]["shape_signature"]]
    dtype = inputs[0]["dtype"]
    is_square = len(shape) == 4 and shape[1] == shape[2] > 0
    if not is_square or shape[0] != -1 or shape[3] != 3 or dtype != np.float32:
        raise RuntimeError(
            f"classifier {path}: expected a float32 input (any, side, side, 3), "
            f"got {dtype.__name__} {shape}"
        )
    signatures = interpreter.get_signature_list().values()
    names = [name for signature in signatures for name in signature["outputs"]]
    verifies = names == [VERIFIER_OUTPUT]
    is_known_output = verifies or names == [CLASSIFIER_OUTPUT]
    if not is_known_output or int(outputs[0]["shape"][-1]) != len(CLASSES) + verifies:
        raise RuntimeError(
            f"classifier {path}: expected the output {CLASSIFIER_OUTPUT} or "
            f"{VERIFIER_OUTPUT}, got {names}"
        )
    return shape[1], verifies
