"""Checkpoints of a training run: weights, averaged weights, optimizer and progress.

Files are replaced atomically; damaged files are rejected when read.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import keras
import numpy as np
from numpy.typing import NDArray

from maskdet.atomic_file import AtomicFile

WeightArrays = list[NDArray[np.float32]]

_FINGERPRINT_KEY = "made_of"


def save_arrays(
    path: Path,
    arrays: Mapping[str, NDArray[np.generic]],
    fingerprint: str | None = None,
) -> None:
    """Write arrays by name to `path` (.npz).

    Args:
        path: the file.
        arrays: the arrays by name.
        fingerprint: identifies what the arrays were made of, for `read_cached_arrays`.

    Raises:
        OSError: the file cannot be written; an existing file is kept.
    """
    if fingerprint is not None:
        arrays = {**arrays, _FINGERPRINT_KEY: np.array(fingerprint)}
    with AtomicFile(path) as file, file.report_target_errors():
        np.savez(file.stream.buffer, allow_pickle=False, **arrays)
        file.commit()


@contextmanager
def open_arrays(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    """Open a file that `save_arrays` wrote, to read arrays by name.

    Raises:
        ValueError: the file is damaged, or lacks a requested array.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise EOFError
            yield stored
    except (BadZipFile, EOFError, KeyError, zlib.error):
        raise ValueError(f"{path}: file is damaged or of another version") from None


def read_cached_arrays(
    path: Path, fingerprint: str | None = None
) -> dict[str, NDArray[Any]] | None:
    """Return the arrays in a file that were made of the same inputs.

    Args:
        path: a file that `save_arrays` wrote.
        fingerprint: of the inputs; None for any.

    Returns:
        The arrays by name; None if there is no file, or it has another fingerprint or
        is damaged.
    """
    if not path.is_file():
        return None
    try:
        with open_arrays(path) as stored:
            if fingerprint not in (None, str(stored[_FINGERPRINT_KEY])):
                return None
            return {name: stored[name] for name in stored if name != _FINGERPRINT_KEY}
    except ValueError:
        return None  # from a version that did not write files atomically


@dataclass
class WeightAverage:
    """Exponential moving average of a network's weights.

    It usually predicts better than the last step. The statistics of batch
    normalisation are averaged as well, so that they match.

    Attributes:
        weights: in the order of `model.get_weights()`.
        decay: weight of the old average at each step.
    """

    weights: WeightArrays
    decay: float

    @classmethod
    def of_model(cls, model: keras.Model, decay: float) -> WeightAverage:
        """Start with the weights of a network."""
        return cls([array.copy() for array in model.get_weights()], decay)

    def update(self, weights: WeightArrays, step: int) -> None:
        """Move towards `weights`; faster in the first steps, to drop the start."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for averaged, new in zip(self.weights, weights, strict=True):
            averaged += (1 - decay) * (new - averaged)


@dataclass(frozen=True)
class TrainingState:
    """Progress of a training.

    Attributes:
        epochs_done: number of completed epochs.
        best: the best score so far, higher is better. The recipe defines the score
            (`ClassifierRecipe.keep`).
        lowest_loss: the lowest validation loss so far.
        waited: epochs since the lowest loss.
        stage: index of the stage whose optimizer was stored.
    """

    epochs_done: int = 0
    best: float = -math.inf
    lowest_loss: float = math.inf
    waited: int = 0
    stage: int = 0


def save_state(
    path: Path,
    model: keras.Model,
    average: WeightAverage | None,
    optimizer: keras.Optimizer,
    state: TrainingState,
) -> None:
    """Write weights, averaged weights, optimizer and progress atomically."""
    arrays = {name: np.array(value) for name, value in vars(state).items()}
    for name, values in (
        ("model", model.get_weights()),
        ("average", average.weights if average else []),
        ("optimizer", _get_optimizer_values(optimizer)),
    ):
        arrays |= {f"{name}_{index}": value for index, value in enumerate(values)}
    save_arrays(path, arrays)


def read_state(path: Path) -> TrainingState:
    """Return the progress that `save_state` wrote.

    Raises:
        FileNotFoundError: there is nothing to resume.
        ValueError: the file is damaged or of another version.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: nothing to resume; train without --resume")
    with open_arrays(path) as stored:
        return TrainingState(
            **{field.name: stored[field.name].item() for field in fields(TrainingState)}
        )


def load_state(
    path: Path,
    model: keras.Model,
    average: WeightAverage | None,
    optimizer: keras.Optimizer | None,
) -> None:
    """Load the state that `save_state` wrote.

    Args:
        path: the file.
        model: receives the weights.
        average: receives the averaged weights.
        optimizer: receives the state of the optimizer; None for a new stage.

    Raises:
        ValueError: the file is damaged, or of another network or optimizer.
    """
    with open_arrays(path) as stored:
        try:
            model.set_weights(_read_numbered_arrays(stored, "model"))
            if average is not None:
                average.weights = _read_numbered_arrays(stored, "average")
            if optimizer is not None:
                optimizer.build(model.trainable_variables)
                values = _read_numbered_arrays(stored, "optimizer")
                for variable, value in zip(optimizer.variables, values, strict=True):
                    variable.assign(value)
        except ValueError:
            raise ValueError(
                f"{path}: state does not match this network and optimizer"
            ) from None


def load_average(path: Path, model: keras.Model) -> None:
    """Load the averaged weights of a run's last epoch into `model`.

    Raises:
        ValueError: the file is damaged, or of another network.
    """
    with open_arrays(path) as stored:
        try:
            model.set_weights(_read_numbered_arrays(stored, "average"))
        except ValueError:
            raise ValueError(f"{path}: weights do not match this network") from None


def save_best(path: Path, model: keras.Model, average: WeightAverage | None) -> None:
    """Write the averaged weights, or else the model's, in the format of Keras.

    `model` is not changed.

    Raises:
        OSError: the file cannot be written; an existing file is kept.
    """
    # Keras infers the format from the suffix.
    part_file = path.with_name(f".part-{path.name}")
    try:
        with use_average(model, average):
            _reserve_disk_space(part_file, model)
            model.save_weights(part_file)
        part_file.replace(path)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else _first_line(error)
        raise OSError(error.errno, reason, str(path)) from None
    finally:
        part_file.unlink(missing_ok=True)


def _reserve_disk_space(path: Path, model: keras.Model) -> None:
    """Reserve the space of a weights file: HDF5 reports a full disk in many lines."""
    optimizer = getattr(model, "optimizer", None)  # None before compiling
    values = model.get_weights() + (
        [] if optimizer is None else _get_optimizer_values(optimizer)
    )
    if hasattr(os, "posix_fallocate"):  # not on Windows and macOS
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 2**16 + sum(v.nbytes for v in values))


def load_weights(path: Path, model: keras.Model) -> None:
    """Load the weights of a Keras file into `model`.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is damaged, or holds the weights of another network.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: weights file does not exist")
    try:
        model.load_weights(path)
    except (ValueError, OSError, KeyError, RuntimeError) as error:
        raise ValueError(
            f"{path}: weights do not match this network ({_first_line(error)})"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")


@contextmanager
def use_average(model: keras.Model, average: WeightAverage | None) -> Iterator[None]:
    """Give the model the averaged weights, if any, until the end of the block."""
    if average is None:
        yield
        return
    own_weights: WeightArrays = model.get_weights()
    model.set_weights(average.weights)
    try:
        yield
    finally:
        model.set_weights(own_weights)


def _get_optimizer_values(optimizer: keras.Optimizer) -> WeightArrays:
    return [keras.ops.convert_to_numpy(variable) for variable in optimizer.variables]


def _read_numbered_arrays(stored: np.lib.npyio.NpzFile, name: str) -> WeightArrays:
    count = sum(key.startswith(f"{name}_") for key in stored.files)
    return [stored[f"{name}_{index}"] for index in range(count)]
