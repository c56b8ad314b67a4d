"""Stored scores that come with maskdet, so that there is something to tune at once."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from maskdet.tune.scored import Scored

BUNDLED_DIR: Final = Path(__file__).resolve().parents[2] / "models/tune"
"""Where `maskdet tune scores --out` writes what ships."""

BUNDLED_ANALYZERS: Final = ("onepass", "onepass-fast", "mtcnn", "haar")
"""Whose scores ship: both of ours, and two that find first and label then."""


def bundled() -> tuple[str, ...]:
    """Return the names of what is there, as in `onepass on kaggle-val`, best first."""
    raise NotImplementedError


def load_bundled(name: str) -> Scored:
    """Return stored scores by a name of `bundled`.

    Raises:
        ValueError: there is none of that name, or its file is broken.
    """
    raise NotImplementedError
