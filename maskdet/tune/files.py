"""What an analyzer said about a set, to and from a file: numbers, never pictures."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from maskdet.tune.scored import FaceRows, LabelledSet, Numbers, Scored
from maskdet.types import CLASSES, Label

MAX_BYTES: Final = 200_000_000
"""What a file may be once unpacked: a million faces are half of it."""

MAX_FACES: Final = 100_000
"""Found or true faces that a file may hold."""

MAX_FACES_A_PICTURE: Final = 2_000
"""Found or true faces that one picture of a file may hold."""

MAX_PAIRS: Final = 10_000_000
"""Pairs of faces of one picture that a file may make: what overlaps of them is kept."""

_VERSION: Final = 1
_FACES: Final = ("pictures", "boxes", "lights", "sharpness")

# Smaller whole numbers than in memory, where they fit whatever the set.
_STORED: Final[dict[str, type[np.generic]]] = {"pictures": np.int32, "labels": np.int8}


class _Unfit(ValueError):  # noqa: N818 - says what, not that it is an error
    """A sound file of something else; the message is one line."""


def to_bytes(scored: Scored) -> bytes:
    """Return it as the content of a compressed `.npz` file, the same each time."""
    arrays = _arrays(scored)
    content = io.BytesIO()
    # NumPy's own writer notes the time of day, and equal numbers would differ.
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_DEFLATED
            with out.open(entry, "w") as member:
                npy.write_array(member, array, allow_pickle=False)
    return content.getvalue()


def from_bytes(content: bytes, name: str = "this file") -> Scored:
    """Return what `to_bytes` wrote; nothing in the file is run.

    Args:
        content: of the file.
        name: of the file, for the message.

    Raises:
        ValueError: it is broken, too large, or something else; one line says what.
    """
    try:
        arrays = _read(content)
    except _Unfit as error:
        raise ValueError(f"{name}: {error}") from None
    # Hostile bytes make zipfile, zlib and NumPy's parser of headers raise nearly
    # anything, and all of it means the same here.
    except Exception:
        raise ValueError(f"{name}: is no file of stored scores, or is broken") from None
    if _text(arrays, "version") != str(_VERSION):
        raise ValueError(
            f"{name}: is no file of stored scores of version {_VERSION}; make one with "
            "`maskdet tune scores`"
        )
    try:
        scored = _scored(arrays)
        refuse_crowds(scored.truth, scored.faces)
        return scored
    except KeyError as error:
        raise ValueError(f"{name}: {error.args[0]} is missing") from None
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: {error}") from None


def read_scored(path: str | Path) -> Scored:
    """Return what is stored in a file; see `from_bytes`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read; one line says why.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    return from_bytes(path.read_bytes(), str(path))


def refuse_crowds(truth: LabelledSet, found: FaceRows | None = None) -> None:
    """Refuse what a small file may claim and a judge would need gigabytes for.

    Raises:
        ValueError: there are more faces than in any real set; the message, one line,
            goes on from the name of the file.
    """
    n = len(truth.names)
    true = np.bincount(truth.faces.pictures, minlength=n)
    seen = (
        np.zeros_like(true) if found is None else np.bincount(found.pictures, None, n)
    )
    for counts, kind in ((seen, "found"), (true, "true")):
        if counts.sum() > MAX_FACES:
            raise ValueError(f"holds more than {MAX_FACES:,} {kind} faces")
        if counts.max(initial=0) > MAX_FACES_A_PICTURE:
            raise ValueError(
                f"holds more than {MAX_FACES_A_PICTURE:,} {kind} faces in one picture"
            )
    if (seen * (seen + true)).sum() > MAX_PAIRS:
        raise ValueError("holds too many pictures that are as crowded as no real ones")


def nameless(scored: Scored) -> Scored:
    """Return the same with the names of pictures replaced by numbers from 1."""
    names = tuple(str(number) for number in range(1, len(scored.truth.names) + 1))
    truth = dataclasses.replace(scored.truth, names=names)
    return dataclasses.replace(scored, truth=truth)


def lean(scored: Scored) -> Scored:
    """Return the same rounded, so that its file is half as large.

    Boxes to 1/16 px, all else to 12 bits: 0.01 % of each number.
    """

    def faces(rows: FaceRows) -> FaceRows:
        return FaceRows(
            rows.pictures,
            (np.round(rows.boxes * 16) / 16).astype(np.float32),
            _short(rows.lights, 8),
            _short(rows.sharpness, 8),
        )

    truth = dataclasses.replace(scored.truth, faces=faces(scored.truth.faces))
    return Scored(
        truth,
        scored.analyzer,
        faces(scored.faces),
        _short(scored.scores, 12),
        _short(scored.probs, 12),
    )


def _short(values: Numbers, bits: int) -> Numbers:
    """Return numbers whose mantissa has so many bits: the rest packs into nothing."""
    mantissas, exponents = np.frexp(values)
    rounded = np.round(mantissas * 2**bits) / 2**bits
    result: Numbers = np.ldexp(rounded, exponents).astype(np.float32)
    return result


def _arrays(scored: Scored) -> dict[str, NDArray[Any]]:
    truth = scored.truth
    arrays: dict[str, NDArray[Any]] = {
        "version": np.array(str(_VERSION)),
        "set": np.array(truth.name),
        "analyzer": np.array(scored.analyzer),
        "names": np.array(truth.names, np.str_),
        "sizes_wh": truth.sizes_wh.astype(np.int32),
        "boxed": np.array(truth.boxed),
        "labels": truth.labels,
        "scores": scored.scores,
        "probs": scored.probs,
    }
    for part, faces in (("true", truth.faces), ("found", scored.faces)):
        arrays |= {f"{part}/{field}": getattr(faces, field) for field in _FACES}
    return {
        name: array.astype(_STORED.get(name.rpartition("/")[2], array.dtype))
        for name, array in arrays.items()
    }


def _read(content: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file that may come from anywhere.

    Sizes are checked before anything is unpacked, shapes before memory is taken.
    """
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as stored:
        entries = stored.infolist()
        if sum(entry.file_size for entry in entries) > MAX_BYTES or len(entries) > 100:
            raise _Unfit("is too large for stored scores")
        for entry in entries:
            with stored.open(entry) as member:
                name = entry.filename.removesuffix(".npy")
                arrays[name] = _array(member, entry.file_size)
    return arrays


def _array(member: IO[bytes], n_bytes: int) -> NDArray[Any]:
    """Read one array of plain numbers or text; raises `_Unfit` for all else."""
    if npy.read_magic(member) != (1, 0):
        raise _Unfit("holds arrays of another version of NumPy's format")
    shape, by_columns, dtype = npy.read_array_header_1_0(member)
    if dtype.kind not in "biufU" or by_columns or len(shape) > 2:
        raise _Unfit("holds something else than numbers and text")
    count = 1
    for side in shape:
        count *= side
    if count < 0 or count * dtype.itemsize > n_bytes:
        raise _Unfit("holds an array that is cut off")
    data = member.read(count * dtype.itemsize)
    if member.read(1):  # at the end, which also checks the sum
        raise _Unfit("holds an array with something after it")
    array: NDArray[Any] = np.frombuffer(data, dtype, count).reshape(shape)
    return array


def _scored(arrays: Mapping[str, NDArray[Any]]) -> Scored:
    true, found = _faces(arrays, "true"), _faces(arrays, "found")
    labels, sizes = arrays["labels"], arrays["sizes_wh"]
    if not np.isin(labels, (*CLASSES, Label.UNKNOWN)).all():
        raise ValueError("holds a label that is none")
    if len(sizes) and sizes.min() < 1:
        raise ValueError("holds a picture without a size")
    truth = LabelledSet(
        _text(arrays, "set"),
        tuple(str(name) for name in arrays["names"].reshape(-1)),
        sizes,
        true,
        labels,
        bool(arrays["boxed"].all()),
    )
    scores, probs = _finite(arrays, "scores"), _finite(arrays, "probs")
    for values in (scores, probs):
        if values.size and not (values.min() >= 0 and values.max() <= 1):
            raise ValueError("holds a score that is not from 0 to 1")
    if len(probs) and not np.allclose(probs.sum(axis=-1), 1, atol=1e-3):
        raise ValueError("holds probabilities that do not sum to 1")
    return Scored(truth, _text(arrays, "analyzer"), found, scores, probs)


def _faces(arrays: Mapping[str, NDArray[Any]], part: str) -> FaceRows:
    numbers = (_finite(arrays, f"{part}/{field}") for field in _FACES)
    faces = FaceRows(*numbers)
    if len(faces) and faces.pictures[0] < 0:
        raise ValueError("holds a face that lies in no picture")
    return faces


def _finite(arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    array = arrays[name]
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise ValueError(f"{name} holds something else than finite numbers")
    return array


def _text(arrays: Mapping[str, NDArray[Any]], name: str) -> str:
    array = arrays.get(name)
    return "" if array is None or array.ndim else str(array)
