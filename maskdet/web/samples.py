"""The samples that a visitor can try without having a picture or film at hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from maskdet.resources import resource_path

_FOLDER: Final = resource_path("samples")

_PORTRAIT: Final = "NASA, Eileen Collins, public domain"
_DRAWN: Final = f"{_PORTRAIT}; mask drawn by this program"


@dataclass(frozen=True)
class Sample:
    """A picture or film that comes with the project.

    Attributes:
        title: what a visitor reads, in plain words.
        path: the JPEG or MP4 file.
        credit: who made it and on which terms; shown with it.
    """

    title: str
    path: Path
    credit: str


SAMPLES: Final[tuple[Sample, ...]] = (
    Sample("Group", _FOLDER / "group.jpg", _DRAWN),
    Sample("Mask", _FOLDER / "portrait-mask.jpg", _DRAWN),
    Sample("No mask", _FOLDER / "portrait-bare.jpg", _PORTRAIT),
    Sample("Mask below the nose", _FOLDER / "portrait-below-nose.jpg", _DRAWN),
)
"""In the order in which they are offered."""

FILM: Final = Sample(
    "Film",
    _FOLDER / "film.mp4",
    f"{_PORTRAIT}; masks, hall and movement drawn by this program",
)
"""Twelve seconds with three people; one of them turns away for a while."""
