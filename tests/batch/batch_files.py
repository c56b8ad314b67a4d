"""Files and results of batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskdet.batch.analysis import FileResult
from maskdet.batch.inputs import BatchFile, FileKind
from maskdet.media import encode_jpeg
from tests.helpers.fakes import make_grey_image

DAY_NS = 86_400 * 10**9


def make_file(
    path: str, kind: FileKind = "image", *, day: int = 0, size_bytes: int = 100
) -> BatchFile:
    return BatchFile(path, kind, size_bytes, day * DAY_NS + 1, f"/data/{path}")


def make_face(label: str, *probs: float) -> dict[str, Any]:
    keys = "mask", "no_mask", "incorrect"
    return {
        "box": [1.5, 2.0, 30.5, 40.0],
        "score": 0.9876,
        "label": label,
        "probs": dict(zip(keys, probs, strict=True)),
    }


def make_image_result(
    file: BatchFile, faces: Sequence[dict[str, Any]] = (), *, cpu_s: float = 0.0
) -> FileResult:
    record = {
        "path": file.path,
        "width": 64,
        "height": 48,
        "error": None,
        "faces": [*faces],
    }
    return FileResult(file, record, file.day, cpu_s=cpu_s, elapsed_s=cpu_s)


def write_images(folder: Path, n: int) -> list[Path]:
    """Write small grey images with different content; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:03}.jpg" for number in range(n)]
    for number, path in enumerate(paths):
        path.write_bytes(encode_jpeg(make_grey_image(64 + number, 48)))
    return paths
