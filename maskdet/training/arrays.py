"""Files of arrays of a run: written whole or not at all, refused if damaged."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from maskdet.part_file import AtomicFile


def save_arrays(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write arrays by name to `path` (.npz).

    Raises:
        OSError: it cannot be written; an older file of this name is still there.
    """
    with AtomicFile(path) as file, file.report_target_errors():
        np.savez(file.stream.buffer, allow_pickle=False, **arrays)
        file.commit()


@contextmanager
def open_arrays(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    """Open what `save_arrays` wrote, to read arrays by name.

    Raises:
        ValueError: the file is damaged, or lacks an array that is asked for.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise EOFError
            yield stored
    except (BadZipFile, EOFError, KeyError, zlib.error):
        raise ValueError(f"{path}: is damaged or of another version") from None
