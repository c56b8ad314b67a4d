"""Stored scores that come with maskdet, so that there is something to tune at once."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from maskdet.resources import resource_path
from maskdet.tune.files import lean, nameless, read_scored, to_bytes
from maskdet.tune.scored import Scored

BUNDLED_DIR: Final = resource_path("models/tune")
"""In a checkout, what ships is written there by `maskdet tune scores --out`."""

BUNDLED_ANALYZERS: Final = ("onepass", "onepass-fast", "mtcnn", "haar")
"""Whose scores ship: both of ours, and two that find first and label then."""

_ON: Final = " on "


def bundled(folder: Path = BUNDLED_DIR) -> tuple[str, ...]:
    """Return the names of what is there, as in `onepass on kaggle-val`.

    Ours come first, in the order of `BUNDLED_ANALYZERS`; sets by name.
    """
    names = [_name(path) for path in folder.glob("*.npz") if "." in path.stem]

    def place(name: str) -> tuple[int, str]:
        analyzer = name.partition(_ON)[0]
        known = analyzer in BUNDLED_ANALYZERS
        rank = BUNDLED_ANALYZERS.index(analyzer) if known else len(BUNDLED_ANALYZERS)
        return rank, name

    return tuple(sorted(names, key=place))


def load_bundled(name: str, folder: Path = BUNDLED_DIR) -> Scored:
    """Return stored scores by a name of `bundled`.

    Raises:
        ValueError: there is none of that name, or its file is broken.
    """
    known = bundled(folder)
    if name not in known:
        there = ", ".join(known) or "none at all"
        raise ValueError(f"there are no stored scores {name!r}; there are {there}")
    analyzer, _, set_name = name.partition(_ON)
    return read_scored(folder / f"{set_name}.{analyzer}.npz")


def bundle_file(scored: Scored) -> tuple[str, bytes]:
    """Return name and content of the file to bundle; rounded, pictures by number."""
    return f"{scored.truth.name}.{scored.analyzer}.npz", to_bytes(
        lean(nameless(scored))
    )


def _name(path: Path) -> str:
    set_name, _, analyzer = path.stem.rpartition(".")
    return f"{analyzer}{_ON}{set_name}"
