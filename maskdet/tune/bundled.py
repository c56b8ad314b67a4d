"""Stored scores that come with maskdet, so that there is something to tune at once."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from maskdet.resources import resource_path
from maskdet.tune.files import (
    anonymize_image_names,
    encode_predictions,
    quantize_predictions,
    read_predictions,
)
from maskdet.tune.scored import AnalyzerPredictions

BUNDLED_DIR: Final = resource_path("models/tune")
"""In a checkout, what ships is written there by `maskdet tune scores --out`."""

BUNDLED_ANALYZERS: Final = ("onepass", "onepass-fast", "mtcnn", "haar")
"""Whose scores ship: both of ours, and two that find first and label then."""

_NAME_SEPARATOR: Final = " on "


def list_bundled(folder: Path = BUNDLED_DIR) -> tuple[str, ...]:
    """Return the names of what is there, as in `onepass on kaggle-val`.

    Ours come first, in the order of `BUNDLED_ANALYZERS`; sets by name.
    """
    names = [_bundled_name(path) for path in folder.glob("*.npz") if "." in path.stem]

    def sort_key(name: str) -> tuple[int, str]:
        analyzer = name.partition(_NAME_SEPARATOR)[0]
        is_listed = analyzer in BUNDLED_ANALYZERS
        rank = (
            BUNDLED_ANALYZERS.index(analyzer) if is_listed else len(BUNDLED_ANALYZERS)
        )
        return rank, name

    return tuple(sorted(names, key=sort_key))


def load_bundled_predictions(
    name: str, folder: Path = BUNDLED_DIR
) -> AnalyzerPredictions:
    """Return stored scores by a name of `list_bundled`.

    Raises:
        ValueError: there is none of that name, or its file is broken.
    """
    names = list_bundled(folder)
    if name not in names:
        available = ", ".join(names) or "none at all"
        raise ValueError(f"there are no stored scores {name!r}; there are {available}")
    analyzer, _, set_name = name.partition(_NAME_SEPARATOR)
    return read_predictions(folder / f"{set_name}.{analyzer}.npz")


def encode_bundled_file(predictions: AnalyzerPredictions) -> tuple[str, bytes]:
    """Return name and content of the file to bundle; rounded, pictures by number."""
    return (
        f"{predictions.ground_truth.name}.{predictions.analyzer}.npz",
        encode_predictions(quantize_predictions(anonymize_image_names(predictions))),
    )


def _bundled_name(path: Path) -> str:
    set_name, _, analyzer = path.stem.rpartition(".")
    return f"{analyzer}{_NAME_SEPARATOR}{set_name}"
