"""A pattern in images that can be found again in the memory of a process.

It is a row of grey bars. Grey has the same value in each channel, so that the bars are
runs of similar bytes in an image of one or three channels, and compression hardly
changes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskdet.types import Image

BAR_PX: Final = 20
LEVELS: Final = (40, 136, 64, 184, 88, 208, 112, 160)
"""Grey levels of the bars, again and again; chosen at will."""

_TOLERANCE: Final = 8  # of lossy compression; less than half of their distance
_MIN_BARS: Final = 6  # in a row, which are found nowhere by chance
_MIN_BYTES: Final = 6  # of a bar in a smaller image
_MAX_EDGE_BYTES: Final = 24  # between two bars

_CHUNK_BYTES: Final = 1 << 24

# How networks scale their input, and what brings it back.
_FLOAT_SCALES: Final = ((1.0, 0.0), (255.0, 0.0), (127.5, 127.5))


def make_marked_image(width: int = 640, height: int = 480) -> Image:
    """Return a BGR image of the bars."""
    levels = np.resize(np.array(LEVELS, np.uint8), -(-width // BAR_PX))
    row = np.repeat(levels, BAR_PX)[:width]
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (height, width, 3)))


def count_marked_places(content: bytes) -> int:
    """Return in how many places of a part of memory the bars are, also as floats."""
    if content.count(0) == len(content):
        return 0  # most memory has not been used
    values = np.frombuffer(content, np.uint8)
    n_rows = _count_rows(values)
    floats = np.frombuffer(content[: len(content) // 4 * 4], np.float32)
    for factor, offset in _FLOAT_SCALES:
        with np.errstate(all="ignore"):
            levels = floats * np.float32(factor) + np.float32(offset)
            is_level = (levels > 1) & (levels < 254)
            if is_level.any():
                n_rows += _count_rows(np.where(is_level, levels, 0).astype(np.uint8))
    return n_rows


def _count_rows(values: NDArray[np.uint8]) -> int:
    return sum(_count_rows_of(values, classes) for classes in _LEVEL_CLASSES)


def _count_rows_of(values: NDArray[np.uint8], classes: NDArray[np.uint8]) -> int:
    """Count the rows in which bars follow each other, from either side."""
    if len(values) < _MIN_BARS * _MIN_BYTES:
        return 0
    bars = classes[values]
    edges = np.flatnonzero(bars[1:] != bars[:-1]) + 1
    begins = np.concatenate([[0], edges])
    ends = np.concatenate([edges, [len(bars)]])
    is_bar = (ends - begins >= _MIN_BYTES) & (bars[begins] > 0)
    begins, ends = begins[is_bar], ends[is_bar]
    if len(begins) < _MIN_BARS:
        return 0
    numbers = bars[begins].astype(int)
    steps = (numbers[1:] - numbers[:-1]) % len(LEVELS)
    is_close = begins[1:] - ends[:-1] <= _MAX_EDGE_BYTES
    return sum(
        _count_long_runs(is_close & (steps == step)) for step in (1, len(LEVELS) - 1)
    )


def _count_long_runs(is_next: NDArray[np.bool_]) -> int:
    """Return the number of runs of true values that are long enough for a row."""
    padded = np.concatenate([[False], is_next, [False]])
    changes = np.flatnonzero(padded[1:] != padded[:-1])
    return int((changes[1::2] - changes[::2] >= _MIN_BARS - 1).sum())


def read_memory(pid: int) -> Iterator[tuple[str, bytes]]:
    """Yield all memory that a process can write, with the names of its regions."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            addresses, rights, _, _, _, *name = line.split(maxsplit=5)
            begin, end = (int(address, 16) for address in addresses.split("-"))
            if not rights.startswith("rw"):
                continue
            for start in range(begin, end, _CHUNK_BYTES):
                try:
                    memory.seek(start)
                    content = memory.read(min(_CHUNK_BYTES, end - start))
                except OSError:  # a device, or memory that went meanwhile
                    break
                yield (name[0] if name else "anonymous"), content


def _number_levels(levels: list[float]) -> NDArray[np.uint8]:
    """Return the number of the level, from 1, of each byte; 0 if it is none."""
    classes = np.zeros(256, np.uint8)
    for number, level in enumerate(levels, start=1):
        classes[round(level) - _TOLERANCE : round(level) + _TOLERANCE + 1] = number
    return classes


# The luma of a video has the range 16 to 235 (BT.601).
_LEVEL_CLASSES: Final = (
    _number_levels([*LEVELS]),
    _number_levels([16 + level * 219 / 255 for level in LEVELS]),
)
