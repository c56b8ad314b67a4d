"""The one-pass network in a LiteRT file: a picture in, three raw maps out."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from maskdet.onepass.decode import N_CHANNELS, OUTPUT_NAMES, STRIDES_PX, FeatureMap
from maskdet.types import Image

MAX_STRIDE_PX = STRIDES_PX[-1]
"""Sides of the network's input are multiples of this."""


class SingleStageNetwork:
    """Runs the file at any size; the size of the last call costs nothing to keep.

    It may be shared by threads: they take turns.
    """

    def __init__(self, path: str | Path, *, threads: int = 2) -> None:
        """Load the file and check that it is what this class can read.

        Args:
            path: the `.tflite` file.
            threads: processor threads of one call.

        Raises:
            FileNotFoundError: there is no such file.
            RuntimeError: the file is broken or is another kind of network.
        """
        # Who only draws, or only reads videos, need not load LiteRT.
        from maskdet.litert import open_interpreter

        self._interpreter = open_interpreter(Path(path), "network", threads=threads)
        self._input = _get_input_index(self._interpreter, Path(path))
        self._outputs = _get_output_indices(self._interpreter, Path(path))
        self._size_hw = (0, 0)
        self._lock = threading.Lock()

    def forward(self, image: Image) -> list[FeatureMap]:
        """Return the maps of a picture, fine to coarse.

        The picture gets a black border on the right and below, up to whole cells.

        Args:
            image: `(h, w, 3)` BGR, already as large as the network shall see it.
        """
        height, width = image.shape[:2]
        size_hw = (height + -height % MAX_STRIDE_PX, width + -width % MAX_STRIDE_PX)
        with self._lock:
            self._allocate(size_hw)
            self._write_input(image)
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(index)[0] for index in self._outputs]

    def _allocate(self, size_hw: tuple[int, int]) -> None:
        if size_hw == self._size_hw:
            return
        # Should this fail halfway, the next call must try again.
        self._size_hw = (0, 0)
        self._interpreter.resize_tensor_input(self._input, [1, *size_hw, 3])
        self._interpreter.allocate_tensors()
        self._size_hw = size_hw

    def _write_input(self, image: Image) -> None:
        """Write the picture straight into the network's memory: no copy between.

        The view must be gone before the network runs, hence a method of its own.
        """
        height, width = image.shape[:2]
        view = self._interpreter.tensor(self._input)()[0]
        view[:height, :width] = image
        view[height:] = 0
        view[:height, width:] = 0


# LiteRT has no types that mypy can read.
def _get_input_index(interpreter: Any, path: Path) -> int:
    """Return where the picture goes, once it is clear that any size fits there."""
    inputs = interpreter.get_input_details()
    shapes = [[int(side) for side in details["shape_signature"]] for details in inputs]
    dtypes = [details["dtype"] for details in inputs]
    fits = len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][1:] == [-1, -1, 3]
    if not fits or dtypes != [np.float32]:
        raise RuntimeError(
            f"network {path}: wanted one float32 input (1, any height, any width, 3), "
            f"got {[dtype.__name__ for dtype in dtypes]} {shapes}"
        )
    return int(inputs[0]["index"])


def _get_output_indices(interpreter: Any, path: Path) -> list[int]:
    """Return where the maps come out, fine to coarse: files keep no order, but names.

    The names say which mask column is which class.
    """
    signatures = interpreter.get_signature_list()
    details: dict[str, Any] = {}
    for key in signatures:
        details |= interpreter.get_signature_runner(key).get_output_details()
    if sorted(details) != sorted(OUTPUT_NAMES):
        raise RuntimeError(
            f"network {path}: wanted the outputs {', '.join(OUTPUT_NAMES)}, "
            f"got {', '.join(sorted(details)) or 'none with a name'}"
        )
    for name in OUTPUT_NAMES:
        channels = int(details[name]["shape_signature"][-1])
        if channels != N_CHANNELS:
            raise RuntimeError(
                f"network {path}: wanted {N_CHANNELS} channels in {name}, got "
                f"{channels}"
            )
    return [int(details[name]["index"]) for name in OUTPUT_NAMES]
