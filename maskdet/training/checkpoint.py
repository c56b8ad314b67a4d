"""What a training keeps on disk, so that it can go on where it stopped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

Weights = list[NDArray[np.float32]]


@dataclass
class Average:
    """A slow copy of a network's weights, which judges better than the last step.

    The statistics of normalisation are averaged with the rest, so they fit.
    """

    weights: Weights
    decay: float

    def update(self, weights: Weights, step: int) -> None:
        """Move towards `weights`; faster in the first steps, to forget the start."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for slow, new in zip(self.weights, weights, strict=True):
            slow += (1 - decay) * (new - slow)


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Attributes:
        epochs_done: whole epochs behind it.
        best_merit: the best validation so far; below 0 before the first.
    """

    epochs_done: int = 0
    best_merit: float = -1.0


def save_state(
    path: Path, model: keras.Model, average: Average, progress: Progress
) -> None:
    """Write weights, averaged weights, optimizer and progress; replaces as a whole."""
    arrays = {
        "epochs_done": np.array(progress.epochs_done),
        "best_merit": np.array(progress.best_merit),
    }
    for name, values in (
        ("model", model.get_weights()),
        ("average", average.weights),
        ("optimizer", _values(model.optimizer)),
    ):
        arrays |= {f"{name}_{index}": value for index, value in enumerate(values)}
    part = path.with_suffix(".part.npz")
    np.savez(part, allow_pickle=False, **arrays)
    part.replace(path)


def load_state(path: Path, model: keras.Model, average: Average) -> Progress:
    """Put what `save_state` wrote into `model` and `average`.

    Raises:
        FileNotFoundError: there is nothing to resume.
        ValueError: the file is of another network or another optimizer.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: nothing to resume; train without --resume")
    with np.load(path, allow_pickle=False) as stored:
        model.optimizer.build(model.trainable_variables)
        variables = model.optimizer.variables
        try:
            model.set_weights(_numbered(stored, "model"))
            average.weights = _numbered(stored, "average")
            for variable, value in zip(
                variables, _numbered(stored, "optimizer"), strict=True
            ):
                variable.assign(value)
        except ValueError:
            raise ValueError(f"{path}: is of another network or optimizer") from None
        return Progress(int(stored["epochs_done"]), float(stored["best_merit"]))


def save_average(path: Path, model: keras.Model, average: Average) -> None:
    """Write the averaged weights in Keras' format; `model` itself is left as it is."""
    own = model.get_weights()
    model.set_weights(average.weights)
    model.save_weights(path)
    model.set_weights(own)


def _values(optimizer: keras.Optimizer) -> Weights:
    return [keras.ops.convert_to_numpy(variable) for variable in optimizer.variables]


def _numbered(stored: np.lib.npyio.NpzFile, name: str) -> Weights:
    count = sum(key.startswith(f"{name}_") for key in stored.files)
    return [stored[f"{name}_{index}"] for index in range(count)]
