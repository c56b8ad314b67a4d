"""The one-pass network in a LiteRT file: a picture in, three raw maps out."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from maskdet.onepass.decode import CHANNELS, OUTPUT_NAMES, STRIDES_PX, Map
from maskdet.types import Image

CELL_PX = STRIDES_PX[-1]
"""Sides of the network's input are multiples of this."""


class Network:
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
        self._input = _checked_input(self._interpreter, Path(path))
        self._outputs = _checked_outputs(self._interpreter, Path(path))
        self._size_hw = (0, 0)
        self._lock = threading.Lock()

    def run(self, image: Image) -> list[Map]:
        """Return the maps of a picture, fine to coarse.

        The picture gets a black border on the right and below, up to whole cells.

        Args:
            image: `(h, w, 3)` BGR, already as large as the network shall see it.
        """
        height, width = image.shape[:2]
        size_hw = (height + -height % CELL_PX, width + -width % CELL_PX)
        with self._lock:
            self._allocate(size_hw)
            self._fill(image)
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(place)[0] for place in self._outputs]

    def _allocate(self, size_hw: tuple[int, int]) -> None:
        if size_hw == self._size_hw:
            return
        # Should this fail halfway, the next call must try again.
        self._size_hw = (0, 0)
        self._interpreter.resize_tensor_input(self._input, [1, *size_hw, 3])
        self._interpreter.allocate_tensors()
        self._size_hw = size_hw

    def _fill(self, image: Image) -> None:
        """Write the picture straight into the network's memory: no copy between.

        The view must be gone before the network runs, hence a method of its own.
        """
        height, width = image.shape[:2]
        view = self._interpreter.tensor(self._input)()[0]
        view[:height, :width] = image
        view[height:] = 0
        view[:height, width:] = 0


# LiteRT has no types that mypy can read.
def _checked_input(interpreter: Any, path: Path) -> int:
    """Return where the picture goes, once it is clear that any size fits there."""
    inputs = interpreter.get_input_details()
    shapes = [[int(side) for side in one["shape_signature"]] for one in inputs]
    kinds = [one["dtype"] for one in inputs]
    fits = len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][1:] == [-1, -1, 3]
    if not fits or kinds != [np.float32]:
        raise RuntimeError(
            f"network {path}: wanted one float32 input (1, any height, any width, 3), "
            f"got {[kind.__name__ for kind in kinds]} {shapes}"
        )
    return int(inputs[0]["index"])


def _checked_outputs(interpreter: Any, path: Path) -> list[int]:
    """Return where the maps come out, fine to coarse: files keep no order, but names.

    The names say which mask column is which class.
    """
    signatures = interpreter.get_signature_list()
    found: dict[str, Any] = {}
    for key in signatures:
        found |= interpreter.get_signature_runner(key).get_output_details()
    if sorted(found) != sorted(OUTPUT_NAMES):
        raise RuntimeError(
            f"network {path}: wanted the outputs {', '.join(OUTPUT_NAMES)}, "
            f"got {', '.join(sorted(found)) or 'none with a name'}"
        )
    for name in OUTPUT_NAMES:
        channels = int(found[name]["shape_signature"][-1])
        if channels != CHANNELS:
            raise RuntimeError(
                f"network {path}: wanted {CHANNELS} channels in {name}, got {channels}"
            )
    return [int(found[name]["index"]) for name in OUTPUT_NAMES]
