"""From a trained run to the LiteRT file that ships, compared, timed and described."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from time import perf_counter

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from maskdet.classifier import CONTEXT, OUTPUT_NAME, MaskClassifier
from maskdet.datasets import Example
from maskdet.training.fit import (
    BEST_FILE,
    VALIDATION_FILE,
    probabilities,
    read_recipe,
)
from maskdet.training.network import build_classifier
from maskdet.training.samples import Samples, pack_validation, read_samples
from maskdet.training.validation import Rightness, by_source
from maskdet.types import CLASSES

FILE_NAME = "classifier.tflite"
FACTS_NAME = "classifier.json"

# A float32 file computes the same sums in another order; more than this is a defect.
_MOST_DIFFERENCE = 1e-3

_PRECISIONS = ("float32", "float16")


@dataclass(frozen=True)
class Converted:
    """One LiteRT file and how it compares with the Keras network it was made from.

    Attributes:
        path: the file.
        n_bytes: its size.
        sha256: of the whole file.
        difference: largest difference of a probability to Keras, on real crops.
        changed: crops whose most likely class differs from Keras.
        one_ms: shortest time for one face.
        four_ms: shortest time for four faces in one call.
    """

    path: Path
    n_bytes: int
    sha256: str
    difference: float
    changed: int
    one_ms: float
    four_ms: float


@dataclass(frozen=True, eq=False)
class Exported:
    """Everything a card tells about the file that ships.

    Attributes:
        shipped: the file, in the folder it ships in.
        versions: precision to what came of it, the shipped one among them.
        validation: rightness of the shipped file, source by source.
        test: the same on pictures held back to the end; empty if not asked for.
        recipe: what `recipe.json` of the run says.
    """

    shipped: Path
    versions: dict[str, Converted]
    validation: dict[str, Rightness]
    test: dict[str, Rightness]
    recipe: dict[str, object]

    @property
    def data(self) -> list[object]:
        """What the run was trained on, by name."""
        names = self.recipe.get("data")
        return names if isinstance(names, list) else []

    @property
    def precision(self) -> str:
        """Which of the versions ships."""
        return next(
            name
            for name, version in self.versions.items()
            if version.sha256 == _sha256(self.shipped)
        )


def export(run: Path, out: Path, test: Sequence[Example] = ()) -> Exported:
    """Convert the best weights of a run, compare, choose, and write into `out`.

    float16 ships if no crop changes its class, else float32. Both are kept in `run`.

    Args:
        run: folder that `fit` wrote.
        out: folder for the file that ships and for what programs need to know of it.
        test: pictures to measure it on that no choice was made by.

    Raises:
        FileNotFoundError: `run` has no trained weights or no validation crops.
        RuntimeError: the float32 file differs from Keras by more than 1e-3.
    """
    recipe, known = read_recipe(run)
    if not (run / BEST_FILE).is_file():
        raise FileNotFoundError(f"{run / BEST_FILE} is missing; train first")
    crops = read_samples(run / VALIDATION_FILE)
    model = build_classifier(recipe.size_px)
    model.load_weights(run / BEST_FILE)
    truth = probabilities(model, crops.images)
    versions = {}
    for precision in _PRECISIONS:
        path = run / f"{precision}.tflite"
        path.write_bytes(convert(model, half=precision == "float16"))
        versions[precision] = _compared(path, crops.images, truth)
    if versions["float32"].difference > _MOST_DIFFERENCE:
        raise RuntimeError(
            f"{versions['float32'].path} differs from Keras by "
            f"{versions['float32'].difference:.2g}, wanted {_MOST_DIFFERENCE:g}"
        )
    precision = "float32" if versions["float16"].changed else "float16"
    out.mkdir(parents=True, exist_ok=True)
    shipped = out / FILE_NAME
    shipped.write_bytes(versions[precision].path.read_bytes())
    held_back = pack_validation(test, iter, recipe.size_px) if test else None
    exported = Exported(
        shipped=shipped,
        versions=versions,
        validation=_rightness(shipped, crops),
        test=_rightness(shipped, held_back) if held_back else {},
        recipe=known,
    )
    (out / FACTS_NAME).write_text(json.dumps(facts(exported), indent=2) + "\n")
    return exported


def convert(model: keras.Model, *, half: bool) -> bytes:
    """Return the network as a LiteRT file whose output is named after its columns.

    Args:
        model: `(n, s, s, 3)` RGB 0..255 -> `(n, 3)`.
        half: store the weights as float16; sums stay float32.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    shape = (None, *model.input_shape[1:])
    archive.add_endpoint(
        "classify",
        lambda image: {OUTPUT_NAME: model(image, training=False)},
        input_signature=[keras.InputSpec(dtype="float32", shape=shape, name="image")],
    )
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=["classify"]
        )
        if half:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        return bytes(converter.convert())


def facts(exported: Exported) -> dict[str, object]:
    """Return what a program needs to know about the shipped file."""
    shipped = exported.versions[exported.precision]
    return {
        "file": exported.shipped.name,
        "sha256": shipped.sha256,
        "bytes": shipped.n_bytes,
        "made": date.today().isoformat(),
        "weights": exported.precision,
        "input": {
            "size_px": exported.recipe["size_px"],
            "colours": "RGB",
            "range": [0, 255],
            "context": CONTEXT,
        },
        "labels": [label.key for label in CLASSES],
        "validation": _rounded(exported.validation),
        "test": _rounded(exported.test),
        "recipe": exported.recipe,
    }


def _rounded(results: Mapping[str, Rightness]) -> dict[str, dict[str, float]]:
    return {
        source: {name: round(value, 4) for name, value in asdict(result).items()}
        for source, result in results.items()
    }


def _compared(
    path: Path, images: NDArray[np.uint8], truth: NDArray[np.float32]
) -> Converted:
    classifier = MaskClassifier(path)
    probs = classifier.predict_crops(images)
    return Converted(
        path=path,
        n_bytes=path.stat().st_size,
        sha256=_sha256(path),
        difference=float(np.abs(probs - truth).max()),
        changed=int((probs.argmax(axis=1) != truth.argmax(axis=1)).sum()),
        one_ms=_shortest_ms(classifier, images[:1]),
        four_ms=_shortest_ms(classifier, np.resize(images, (4, *images.shape[1:]))),
    )


def _rightness(path: Path, crops: Samples) -> dict[str, Rightness]:
    probs = MaskClassifier(path).predict_crops(crops.images)
    return by_source(crops.sources, crops.labels, probs)


def _shortest_ms(classifier: MaskClassifier, images: NDArray[np.uint8]) -> float:
    """Return the shortest of 100 calls: what else the machine does only adds."""
    times_ms = []
    for _ in range(100):
        started = perf_counter()
        classifier.predict_crops(images)
        times_ms.append((perf_counter() - started) * 1e3)
    return min(times_ms)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
